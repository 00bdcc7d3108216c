//! Reads classic files: CDF-1, CDF-2 (64-bit offsets) and CDF-5 (64-bit data), by the [NetCDF file
//! format
//! specifications](https://docs.unidata.ucar.edu/netcdf-c/current/file_format_specifications.html).

use std::ops::Range;

use hdf5_reader::Storage;
use netcdf_reader::{NcAttrValue, NcType};

use super::attributes::{RawAttribute, RawValue, decode};
use super::{Claims, Contents, Dimension, FileFormat, FileVariable, GroupAttributes, Stored};

/// The number of bytes of a header that are read at once.
const BLOCK: usize = 64 * 1024;
/// The largest header that is read. Headers usually have a few kilobytes.
const MAX_HEADER: u64 = 64 * 1024 * 1024;

/// Tags of the lists in a header.
const DIMENSIONS: u64 = 10;
const VARIABLES: u64 = 11;
const ATTRIBUTES: u64 = 12;

/// The position of the cells of a variable, as rows along its first dimension.
#[derive(Clone, Debug)]
pub(super) struct Place {
    begin: u64,
    /// The number of bytes of a row, or of the only cell.
    row: u64,
    /// The number of bytes from one row to the next. It is larger than a row if rows of other
    /// variables lie between.
    stride: u64,
    rows: u64,
}

/// A variable as described in the header.
struct Entry {
    name: Vec<u8>,
    dims: Vec<usize>,
    attributes: Vec<RawAttribute>,
    dtype: NcType,
    width: u64,
    begin: u64,
}

/// Reads the header: the contents of the file, and the positions of the cells of each variable.
pub(super) fn contents(storage: &dyn Storage) -> Result<(Contents, Vec<Place>), String> {
    let mut header = Header::new(storage)?;
    let records = header.size()?;
    let mut contents = Contents { format: header.format(), ..Contents::default() };
    for _ in 0..header.list(DIMENSIONS, "dimensions")? {
        let name = contents.name(&header.name()?);
        let size = header.size()?;
        contents.dims.push(Dimension { group: Vec::new(), name, size, unlimited: size == 0 });
    }
    let attributes = header.attributes()?;
    let (attributes, _) = decode(attributes, "", &mut contents);
    contents.attributes.push(GroupAttributes { group: Vec::new(), attributes });
    let mut entries = Vec::new();
    for _ in 0..header.list(VARIABLES, "variables")? {
        entries.push(header.variable(contents.dims.len())?);
    }

    let record_dim = |entry: &Entry| {
        let first = entry.dims.first().and_then(|&dim| contents.dims.get(dim));
        first.is_some_and(|dim| dim.unlimited)
    };
    let row_bytes = |entry: &Entry| -> Option<u64> {
        let mut sizes =
            entry.dims.iter().skip(1).map(|&dim| contents.dims.get(dim).map_or(0, |dim| dim.size));
        sizes.try_fold(entry.width, u64::checked_mul)
    };
    let with_records: Vec<&Entry> = entries.iter().filter(|entry| record_dim(entry)).collect();
    // A record contains one row of each record variable. If there are several, each row is padded
    // to a multiple of four bytes.
    let record = match with_records.as_slice() {
        [only] => row_bytes(only),
        all => all
            .iter()
            .try_fold(0u64, |bytes, entry| bytes.checked_add(row_bytes(entry)?.checked_next_multiple_of(4)?)),
    };
    let first_record = with_records.iter().map(|entry| entry.begin).min().unwrap_or(0);
    let records = match record {
        // The header of a file that is still being written does not contain the number of records.
        Some(record) if records == header.streaming() && record > 0 => {
            storage.len().saturating_sub(first_record) / record
        }
        _ if records == header.streaming() => 0,
        _ => records,
    };
    let places: Vec<Result<Place, String>> = entries
        .iter()
        .map(|entry| {
            let too_large = || "its size is too large to be true".to_owned();
            let row = row_bytes(entry).ok_or_else(too_large)?;
            let dim = |dim: usize| contents.dims.get(dim);
            if entry.dims.iter().skip(1).any(|&other| dim(other).is_some_and(|dim| dim.unlimited)) {
                return Err("its unlimited dimension is not the first".to_owned());
            }
            let rows = entry.dims.first().map_or(Some(1), |&first| dim(first).map(|dim| dim.size));
            let (rows, stride) = match record_dim(entry) {
                true => (records, record.ok_or_else(too_large)?),
                false => (rows.unwrap_or(0), row),
            };
            Ok(Place { begin: entry.begin, row, stride, rows })
        })
        .collect();
    for dim in contents.dims.iter_mut().filter(|dim| dim.unlimited) {
        dim.size = records;
    }

    let mut claims = Claims::new(storage.len());
    let mut found = Vec::with_capacity(entries.len());
    for (entry, place) in entries.into_iter().zip(places) {
        let variable = contents.name(&entry.name);
        let shape: Vec<u64> =
            entry.dims.iter().map(|&dim| contents.dims.get(dim).map_or(0, |dim| dim.size)).collect();
        let place = place.and_then(|place| claims.take(&shape, entry.width).map(|()| place));
        match place {
            Ok(place) => {
                let (attributes, encoding) = decode(entry.attributes, &variable, &mut contents);
                contents.variables.push(FileVariable {
                    group: Vec::new(),
                    name: variable,
                    dims: entry.dims,
                    dtype: entry.dtype,
                    attributes,
                    encoding,
                });
                found.push(place);
            }
            Err(reason) => contents.unreadable(variable, reason),
        }
    }
    Ok((contents, found))
}

/// Reads rows of a variable.
pub(super) fn read<T: Stored>(
    storage: &dyn Storage,
    place: &Place,
    rows: Range<usize>,
) -> Result<Vec<T>, String> {
    let (first, last) = (rows.start as u64, (rows.end as u64).min(place.rows));
    let start = |row: u64| row.checked_mul(place.stride).and_then(|bytes| bytes.checked_add(place.begin));
    let too_large = || "its size is too large to be true".to_owned();
    if first >= last || place.row == 0 {
        return Ok(Vec::new());
    }
    let end = start(last - 1).and_then(|start| start.checked_add(place.row)).ok_or_else(too_large)?;
    if end > storage.len() {
        return Err("the file ends before its values".to_owned());
    }
    let bytes = |start: u64, length: u64| -> Result<Vec<T>, String> {
        let length = usize::try_from(length).map_err(|e| e.to_string())?;
        let bytes = storage.read_range(start, length).map_err(|e| e.to_string())?;
        Ok(numbers(&bytes))
    };
    let begin = start(first).ok_or_else(too_large)?;
    if place.stride == place.row {
        return bytes(begin, end - begin);
    }
    let mut values = Vec::new();
    for row in first..last {
        values.extend(bytes(start(row).ok_or_else(too_large)?, place.row)?);
    }
    Ok(values)
}

fn numbers<T: Stored>(bytes: &[u8]) -> Vec<T> {
    bytes.chunks_exact(T::WIDTH).map(T::from_be).collect()
}

/// The type with a code, and the number of bytes of a value.
fn type_of(code: u64) -> Result<(NcType, u64), String> {
    Ok(match code {
        1 => (NcType::Byte, 1),
        2 => (NcType::Char, 1),
        3 => (NcType::Short, 2),
        4 => (NcType::Int, 4),
        5 => (NcType::Float, 4),
        6 => (NcType::Double, 8),
        7 => (NcType::UByte, 1),
        8 => (NcType::UShort, 2),
        9 => (NcType::UInt, 4),
        10 => (NcType::Int64, 8),
        11 => (NcType::UInt64, 8),
        code => return Err(format!("its header is damaged: there is no type {code}")),
    })
}

/// A header that is being read.
struct Header<'a> {
    storage: &'a dyn Storage,
    block: Vec<u8>,
    /// The position of the next byte in the block.
    next: usize,
    /// The end of the block in the file.
    end: u64,
    /// The numbers of bytes of a size, and of an offset.
    sizes: usize,
    offsets: usize,
}

impl<'a> Header<'a> {
    fn new(storage: &'a dyn Storage) -> Result<Self, String> {
        let mut header = Self { storage, block: Vec::new(), next: 0, end: 0, sizes: 4, offsets: 4 };
        (header.sizes, header.offsets) = match header.take(4)?.as_slice() {
            [.., 1] => (4, 4),
            [.., 2] => (4, 8),
            [.., 5] => (8, 8),
            _ => return Err("it is a classic NetCDF file of an unknown version".to_owned()),
        };
        Ok(header)
    }

    fn format(&self) -> FileFormat {
        match (self.sizes, self.offsets) {
            (4, 4) => FileFormat::Classic,
            (4, _) => FileFormat::Offset64,
            _ => FileFormat::Cdf5,
        }
    }

    /// The value that marks an unknown number of records.
    fn streaming(&self) -> u64 {
        if self.sizes == 4 { u32::MAX.into() } else { u64::MAX }
    }

    fn take(&mut self, length: u64) -> Result<Vec<u8>, String> {
        let length = usize::try_from(length).map_err(|e| e.to_string())?;
        let mut taken = Vec::new();
        while taken.len() < length {
            if self.next >= self.block.len() {
                let left = self.storage.len().saturating_sub(self.end).min(BLOCK as u64);
                if left == 0 {
                    return Err("it is a NetCDF file that ends within its header".to_owned());
                }
                if self.end >= MAX_HEADER {
                    return Err(format!("its header is larger than {MAX_HEADER} bytes"));
                }
                let block = self.storage.read_range(self.end, usize::try_from(left).unwrap_or(BLOCK));
                self.block = block.map_err(|e| e.to_string())?.to_vec();
                self.end += left;
                self.next = 0;
            }
            let rest = self.block.get(self.next..).unwrap_or_default();
            let part = rest.get(..rest.len().min(length - taken.len())).unwrap_or_default();
            taken.extend_from_slice(part);
            self.next += part.len();
        }
        Ok(taken)
    }

    /// Reads bytes, and the padding to a multiple of four.
    fn padded(&mut self, length: u64) -> Result<Vec<u8>, String> {
        let whole =
            length.checked_next_multiple_of(4).ok_or("its header is damaged: a length is too large")?;
        let mut bytes = self.take(whole)?;
        bytes.truncate(usize::try_from(length).unwrap_or(usize::MAX));
        Ok(bytes)
    }

    fn unsigned(&mut self, width: usize) -> Result<u64, String> {
        Ok(self.take(width as u64)?.iter().fold(0, |number, &byte| number << 8 | u64::from(byte)))
    }

    fn size(&mut self) -> Result<u64, String> {
        self.unsigned(self.sizes)
    }

    fn name(&mut self) -> Result<Vec<u8>, String> {
        let length = self.size()?;
        self.padded(length)
    }

    /// The number of entries in a list.
    fn list(&mut self, tag: u64, what: &str) -> Result<u64, String> {
        let found = self.unsigned(4)?;
        match (found, self.size()?) {
            (0, 0) => Ok(0),
            (found, count) if found == tag => Ok(count),
            _ => Err(format!("its header is damaged: it has {found} in place of the list of {what}")),
        }
    }

    fn attributes(&mut self) -> Result<Vec<RawAttribute>, String> {
        let mut attributes = Vec::new();
        for _ in 0..self.list(ATTRIBUTES, "attributes")? {
            let name = self.name()?;
            let (dtype, width) = type_of(self.unsigned(4)?)?;
            let length = self.size()?.checked_mul(width).ok_or("an attribute is too large to be true")?;
            let bytes = self.padded(length)?;
            let value = match dtype {
                NcType::Char => RawValue::Text(bytes),
                NcType::Byte => RawValue::Other(NcAttrValue::Bytes(numbers(&bytes))),
                NcType::Short => RawValue::Other(NcAttrValue::Shorts(numbers(&bytes))),
                NcType::Int => RawValue::Other(NcAttrValue::Ints(numbers(&bytes))),
                NcType::Float => RawValue::Other(NcAttrValue::Floats(numbers(&bytes))),
                NcType::UByte => RawValue::Other(NcAttrValue::UBytes(numbers(&bytes))),
                NcType::UShort => RawValue::Other(NcAttrValue::UShorts(numbers(&bytes))),
                NcType::UInt => RawValue::Other(NcAttrValue::UInts(numbers(&bytes))),
                NcType::Int64 => RawValue::Other(NcAttrValue::Int64s(numbers(&bytes))),
                NcType::UInt64 => RawValue::Other(NcAttrValue::UInt64s(numbers(&bytes))),
                _ => RawValue::Other(NcAttrValue::Doubles(numbers(&bytes))),
            };
            attributes.push(RawAttribute { name, value });
        }
        Ok(attributes)
    }

    fn variable(&mut self, dims: usize) -> Result<Entry, String> {
        let name = self.name()?;
        let rank = self.size()?;
        let mut used = Vec::new();
        for _ in 0..rank {
            let dim = usize::try_from(self.size()?).unwrap_or(usize::MAX);
            if dim >= dims {
                return Err(format!("its header is damaged: there is no dimension {dim}"));
            }
            used.push(dim);
        }
        let attributes = self.attributes()?;
        let (dtype, width) = type_of(self.unsigned(4)?)?;
        // The size in the header is redundant, and wrong for large variables.
        let _ = self.size()?;
        let begin = self.unsigned(self.offsets)?;
        Ok(Entry { name, dims: used, attributes, dtype, width, begin })
    }
}
