//! Converts types of HDF5 to types of NetCDF.

use hdf5_reader::io::Cursor;
use hdf5_reader::messages::datatype;
use hdf5_reader::{Datatype, StringPadding, StringSize, VarLenKind};
use netcdf_reader::{NcAttrValue, NcEnumMember, NcIntegerValue, NcType};

use super::Stored;
use super::attributes::{RawValue, name};
use super::objects::{AttributeBytes, Objects, told};

/// The number of bytes before the properties of a type.
const HEAD: usize = 8;
/// The number of bytes of an integer's description.
const INTEGER: usize = 12;
/// The properties of floats: offset and number of bits, position and number of bits of the exponent
/// and of the mantissa, and the bias of the exponent.
const IEEE_32: [u8; 12] = [0, 0, 32, 0, 23, 8, 0, 23, 127, 0, 0, 0];
const IEEE_64: [u8; 12] = [0, 0, 64, 0, 52, 11, 0, 52, 255, 3, 0, 0];

/// A type in a file.
#[derive(Clone, Debug)]
pub(super) struct FileType {
    /// The type in NetCDF.
    pub netcdf: NcType,
    /// The encoding of its cells; for an enumeration, the encoding of its numbers.
    pub cells: Datatype,
    /// The description of [`cells`](Self::cells).
    pub bytes: Vec<u8>,
}

impl FileType {
    /// Parses the message that describes a type.
    ///
    /// # Errors
    /// NetCDF or Atlas does not support the type.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let class = bytes.first().map_or(0, |byte| byte & 15);
        if class == 8 {
            return enumeration(bytes);
        }
        let cells = datatype::parse(&mut Cursor::new(bytes), bytes.len()).map_err(told)?.datatype;
        Ok(Self { netcdf: netcdf_type(&cells, bytes)?, cells, bytes: bytes.to_vec() })
    }

    /// The number of stored bytes of a cell. Text of variable length is stored as a reference.
    pub fn width(&self, offset_size: u8) -> u32 {
        match &self.cells {
            Datatype::FixedPoint { size, .. } | Datatype::FloatingPoint { size, .. } => u32::from(*size),
            Datatype::String { size: StringSize::Fixed(size), .. } => *size,
            _ => 8 + u32::from(offset_size),
        }
    }
}

fn netcdf_type(datatype: &Datatype, bytes: &[u8]) -> Result<NcType, String> {
    Ok(match datatype {
        Datatype::FixedPoint { size, signed, .. } => {
            let dtype = match (size, signed) {
                (1, true) => NcType::Byte,
                (1, false) => NcType::UByte,
                (2, true) => NcType::Short,
                (2, false) => NcType::UShort,
                (4, true) => NcType::Int,
                (4, false) => NcType::UInt,
                (8, true) => NcType::Int64,
                (8, false) => NcType::UInt64,
                (size, _) => return Err(format!("NetCDF has no integers of {size} bytes")),
            };
            let (offset, bits) = (half(bytes, HEAD), half(bytes, HEAD + 2));
            let whole = u16::from(*size) * 8;
            // Padding bits are zero, so they would change negative numbers.
            if offset != 0 || bits > whole || (*signed && bits != whole) {
                return Err(format!("it has integers of {bits} bits in {size} bytes"));
            }
            dtype
        }
        Datatype::FloatingPoint { size, .. } => {
            let ieee = match size {
                4 => IEEE_32,
                8 => IEEE_64,
                size => return Err(format!("NetCDF has no floats of {size} bytes")),
            };
            let vax = bytes.get(1).is_some_and(|flags| flags & 0x40 != 0);
            if vax || bytes.get(HEAD..HEAD + ieee.len()) != Some(ieee.as_slice()) {
                return Err(format!("it has floats of {size} bytes that are not those of IEEE 754"));
            }
            if *size == 4 { NcType::Float } else { NcType::Double }
        }
        Datatype::String { size: StringSize::Fixed(1), .. } => NcType::Char,
        Datatype::String { .. } => NcType::String,
        Datatype::VarLen { base, kind: VarLenKind::String, .. } if base.is_vlen_string_base() => {
            NcType::String
        }
        // Variables of these types are left out, so their properties do not matter.
        Datatype::Compound { .. }
        | Datatype::Opaque { .. }
        | Datatype::Array { .. }
        | Datatype::VarLen { .. } => NcType::Opaque { size: 0, tag: String::new() },
        Datatype::Bitfield { .. } => return Err("NetCDF has no bit fields".to_owned()),
        Datatype::Reference { .. } => return Err("it has references to other objects".to_owned()),
        Datatype::Enum { .. } => return Err("it has an enumeration that cannot be read".to_owned()),
    })
}

/// Reads two bytes of a description.
fn half(bytes: &[u8], at: usize) -> u16 {
    let pair = bytes.get(at..at + 2).and_then(|pair| pair.try_into().ok());
    pair.map_or(0, u16::from_le_bytes)
}

/// Parses an enumeration, whose members may have names that are not UTF-8.
fn enumeration(bytes: &[u8]) -> Result<FileType, String> {
    let damaged = || "it is damaged: its enumeration has no end".to_owned();
    let base = bytes.get(HEAD..HEAD + INTEGER).ok_or_else(damaged)?;
    if base.first().is_some_and(|byte| byte & 15 != 0) {
        return Err("its enumeration is not one of integers".to_owned());
    }
    let base = FileType::parse(base)?;
    let version = bytes.first().map_or(0, |byte| byte >> 4);
    let count = half(bytes, 1);
    let mut rest = bytes.get(HEAD + INTEGER..).unwrap_or_default();
    let mut names = Vec::new();
    for _ in 0..count {
        let end = rest.iter().position(|&byte| byte == 0).ok_or_else(damaged)?;
        names.push(name(rest.get(..end).unwrap_or_default()).0);
        let used = if version < 3 { (end + 1).next_multiple_of(8) } else { end + 1 };
        rest = rest.get(used..).ok_or_else(damaged)?;
    }
    let width = usize::try_from(base.width(0)).unwrap_or(1);
    let mut members = Vec::new();
    for name in names {
        let (value, after) = rest.split_at_checked(width).ok_or_else(damaged)?;
        members.push(NcEnumMember { name, value: integer(value, &base.cells)? });
        rest = after;
    }
    let netcdf = NcType::Enum { base: Box::new(base.netcdf), members };
    Ok(FileType { netcdf, ..base })
}

fn integer(bytes: &[u8], datatype: &Datatype) -> Result<NcIntegerValue, String> {
    fn number<T: Stored>(bytes: &[u8], datatype: &Datatype) -> Result<T, String> {
        T::from_bytes(bytes, datatype).map_err(told)
    }
    let Datatype::FixedPoint { size, signed, .. } = datatype else {
        return Err("its enumeration is not one of integers".to_owned());
    };
    Ok(match (size, signed) {
        (1, true) => NcIntegerValue::I8(number(bytes, datatype)?),
        (1, false) => NcIntegerValue::U8(number(bytes, datatype)?),
        (2, true) => NcIntegerValue::I16(number(bytes, datatype)?),
        (2, false) => NcIntegerValue::U16(number(bytes, datatype)?),
        (4, true) => NcIntegerValue::I32(number(bytes, datatype)?),
        (4, false) => NcIntegerValue::U32(number(bytes, datatype)?),
        (8, true) => NcIntegerValue::I64(number(bytes, datatype)?),
        _ => NcIntegerValue::U64(number(bytes, datatype)?),
    })
}

/// Removes the padding of a string.
pub(super) fn unpadded(bytes: &[u8], padding: StringPadding) -> &[u8] {
    let last = |pad: u8| bytes.iter().rposition(|&byte| byte != pad).map_or(0, |last| last + 1);
    let end = match padding {
        StringPadding::NullTerminate => bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len()),
        StringPadding::NullPad => last(0),
        StringPadding::SpacePad => last(b' '),
    };
    bytes.get(..end).unwrap_or_default()
}

/// The value of an attribute. `count` is the number of its elements, and `None` for a scalar.
pub(super) fn attribute_value(
    objects: &Objects,
    attribute: &AttributeBytes,
    count: Option<u64>,
) -> Result<RawValue, String> {
    fn numbers<T: Stored>(bytes: &[u8], datatype: &Datatype) -> Result<Vec<T>, String> {
        bytes.chunks_exact(T::WIDTH).map(|bytes| T::from_bytes(bytes, datatype).map_err(told)).collect()
    }
    let dtype = FileType::parse(&attribute.datatype)?;
    let elements = usize::try_from(count.unwrap_or(1)).map_err(|e| e.to_string())?;
    let width = usize::try_from(dtype.width(objects.offset_size)).map_err(|e| e.to_string())?;
    if matches!(dtype.netcdf, NcType::Opaque { .. }) {
        let value = NcAttrValue::UserDefined { dtype: dtype.netcdf, values: Vec::new() };
        return Ok(RawValue::Other(value));
    }
    let length = elements.checked_mul(width).filter(|_| width > 0);
    let bytes = length.and_then(|length| attribute.data.get(..length));
    let bytes = bytes.ok_or("it is damaged: it has fewer values than it says")?;
    let strings = |strings: Result<Vec<Vec<u8>>, String>| -> Result<RawValue, String> {
        let mut strings = strings?;
        Ok(match count {
            None => RawValue::Text(strings.pop().unwrap_or_default()),
            Some(_) => RawValue::Strings(strings),
        })
    };
    match &dtype.cells {
        Datatype::String { size: StringSize::Fixed(_), padding, .. } => {
            return strings(Ok(bytes
                .chunks(width)
                .map(|bytes| unpadded(bytes, *padding).to_vec())
                .collect()));
        }
        Datatype::String { padding, .. } | Datatype::VarLen { padding, .. } => {
            let found = bytes.chunks(width).map(|reference| {
                let bytes = objects.sequence(reference, 1)?;
                Ok(unpadded(&bytes, *padding).to_vec())
            });
            return strings(found.collect());
        }
        _ => {}
    }
    let numbers_of = match &dtype.netcdf {
        NcType::Enum { base, .. } => base.as_ref(),
        other => other,
    };
    let cells = &dtype.cells;
    Ok(RawValue::Other(match numbers_of {
        NcType::Byte => NcAttrValue::Bytes(numbers(bytes, cells)?),
        NcType::UByte => NcAttrValue::UBytes(numbers(bytes, cells)?),
        NcType::Short => NcAttrValue::Shorts(numbers(bytes, cells)?),
        NcType::UShort => NcAttrValue::UShorts(numbers(bytes, cells)?),
        NcType::Int => NcAttrValue::Ints(numbers(bytes, cells)?),
        NcType::UInt => NcAttrValue::UInts(numbers(bytes, cells)?),
        NcType::Int64 => NcAttrValue::Int64s(numbers(bytes, cells)?),
        NcType::UInt64 => NcAttrValue::UInt64s(numbers(bytes, cells)?),
        NcType::Float => NcAttrValue::Floats(numbers(bytes, cells)?),
        _ => NcAttrValue::Doubles(numbers(bytes, cells)?),
    }))
}

/// The description of an unsigned byte, as which characters are read.
pub(super) fn byte_type() -> Vec<u8> {
    vec![0x10, 0, 0, 0, 1, 0, 0, 0, 0, 0, 8, 0]
}

/// The description of opaque cells of this many bytes, as which strings are read.
pub(super) fn opaque_type(size: u32) -> Vec<u8> {
    [0x15, 0, 0, 0].into_iter().chain(size.to_le_bytes()).collect()
}
