//! Reads the cells of datasets in an HDF5 file.
//!
//! The HDF5 crate can open a dataset only by its name in a group, and reads all of its attributes.
//! It therefore gets the file with an additional root group behind its end. That group contains
//! datasets with numbers for names, without attributes, and with the same cells. Invalid names,
//! links and attributes of the file therefore do not affect the crate.

use std::ops::Range;

use hdf5_reader::checksum::jenkins_lookup3;
use hdf5_reader::io::Cursor;
use hdf5_reader::messages::dataspace;
use hdf5_reader::messages::{
    MSG_DATA_LAYOUT, MSG_DATASPACE, MSG_DATATYPE, MSG_EXTERNAL_FILES, MSG_FILL_VALUE, MSG_FILL_VALUE_OLD,
    MSG_FILTER_PIPELINE, MSG_LINK,
};
use hdf5_reader::storage::DynStorage;
use hdf5_reader::superblock::HDF5_MAGIC;
use hdf5_reader::{
    Dataset, Datatype, H5Type, Hdf5File, OpenOptions, SliceInfo, SliceInfoElem, Storage, StorageBuffer,
    StringSize,
};
use netcdf_reader::NcType;

use super::filters::{registry, unknown_filter};
use super::objects::{Message, Object, Objects, told};
use super::types::{FileType, byte_type, opaque_type, unpadded};

/// The largest number of bytes that are read at once.
const MAX_READ: usize = 1 << 30;
/// The largest decoded chunk that is allowed in any file.
const MAX_CHUNK: u64 = 256 << 20;
/// The largest ratio of a decoded chunk to the size of its file beyond [`MAX_CHUNK`].
const CHUNK_FACTOR: u64 = 128;

/// The header messages of a dataset that describe its cells.
const OF_CELLS: [u16; 6] =
    [MSG_DATASPACE, MSG_DATATYPE, MSG_FILL_VALUE_OLD, MSG_FILL_VALUE, MSG_DATA_LAYOUT, MSG_FILTER_PIPELINE];

/// The datasets of a file, by number.
pub(super) struct Datasets(Vec<Opened>);

/// A dataset that can be read.
pub(super) struct Opened {
    dataset: Dataset,
    cells: Datatype,
}

/// A dataset to open.
pub(super) struct Wanted {
    pub object: Object,
    pub dtype: FileType,
    /// The number of bytes of a cell.
    pub width: u32,
    /// Its extent. It is larger than the stored one if another variable is longer along an
    /// unlimited dimension.
    pub shape: Vec<u64>,
}

impl Datasets {
    /// Opens datasets. A dataset that cannot be opened is replaced by the reason.
    pub fn open(objects: &Objects, wanted: &[Wanted]) -> Result<Vec<Result<Opened, String>>, String> {
        let storage = objects.storage();
        let mut overlay = Overlay::new(storage.clone(), objects.offset_size, objects.length_size);
        let addresses: Vec<u64> = wanted
            .iter()
            .map(|wanted| {
                let header = cells_header(wanted, objects);
                overlay.add(&header)
            })
            .collect();
        let links = addresses.iter().enumerate().map(|(number, &address)| Message {
            kind: MSG_LINK,
            bytes: overlay.link(&number.to_string(), address),
        });
        let links: Vec<Message> = links.collect();
        overlay.finish(&links);
        let largest = MAX_CHUNK.max(storage.len().saturating_mul(CHUNK_FACTOR));
        let largest = usize::try_from(largest).unwrap_or(usize::MAX);
        let options = OpenOptions::default()
            .with_filter_registry(registry(largest))
            .with_max_read_bytes(MAX_READ)
            .with_max_chunk_bytes(largest);
        let file =
            Hdf5File::from_storage_with_options(std::sync::Arc::new(overlay), options).map_err(told)?;
        let opened = wanted.iter().enumerate().map(|(number, wanted)| {
            if wanted.object.message(MSG_EXTERNAL_FILES).is_some() {
                return Err("its values are in another file".to_owned());
            }
            if let Some(bytes) = wanted.object.message(MSG_FILTER_PIPELINE) {
                unknown_filter(bytes)?;
            }
            let dataset = file.dataset(&number.to_string()).map_err(told)?;
            let dataset = dataset.with_padded_shape(&wanted.shape).map_err(told)?;
            Ok(Opened { dataset, cells: wanted.dtype.cells.clone() })
        });
        Ok(opened.collect())
    }

    pub fn new(datasets: Vec<Opened>) -> Self {
        Self(datasets)
    }

    fn get(&self, number: usize) -> Result<&Opened, String> {
        self.0.get(number).ok_or_else(|| "it is not in the file".to_owned())
    }

    pub fn read<T: H5Type>(&self, number: usize, rows: Range<usize>) -> Result<Vec<T>, String> {
        let dataset = &self.get(number)?.dataset;
        let all = dataset.shape().first().is_none_or(|&size| rows.start == 0 && rows.end as u64 >= size);
        let cells = if all {
            dataset.read_array::<T>()
        } else {
            let mut selection = SliceInfo::all(dataset.ndim());
            if let Some(first) = selection.selections.first_mut() {
                *first = SliceInfoElem::Slice { start: rows.start as u64, end: rows.end as u64, step: 1 };
            }
            dataset.read_slice::<T>(&selection)
        };
        Ok(cells.map_err(told)?.into_iter().collect())
    }

    pub fn read_strings(&self, number: usize, rows: Range<usize>) -> Result<Vec<Vec<u8>>, String> {
        let Opened { dataset, cells } = self.get(number)?;
        let mut total = 0usize;
        let strings = self.read::<Bytes>(number, rows)?.into_iter().map(|Bytes(bytes)| match cells {
            Datatype::String { size: StringSize::Fixed(_), padding, .. } => {
                Ok(unpadded(&bytes, *padding).to_vec())
            }
            Datatype::String { padding, .. } | Datatype::VarLen { padding, .. } => {
                let bytes = dataset.resolve_vlen_reference_bytes(&bytes, 1).map_err(told)?;
                // Many cells can refer to the same bytes.
                total = total.saturating_add(bytes.len());
                if total > MAX_READ {
                    return Err(format!("its text has more than {MAX_READ} bytes"));
                }
                Ok(unpadded(&bytes, *padding).to_vec())
            }
            _ => Err("it has no strings".to_owned()),
        });
        strings.collect()
    }
}

/// The bytes of a cell.
#[derive(Clone)]
struct Bytes(Vec<u8>);

impl H5Type for Bytes {
    fn hdf5_type() -> Datatype {
        Datatype::Opaque { size: 0, tag: String::new() }
    }

    fn from_bytes(bytes: &[u8], _: &Datatype) -> hdf5_reader::error::Result<Self> {
        Ok(Self(bytes.to_vec()))
    }

    fn element_size(dtype: &Datatype) -> usize {
        if let Datatype::Opaque { size, .. } = dtype { *size as usize } else { 0 }
    }
}

/// The messages of a header that only describes the cells of a dataset.
fn cells_header(wanted: &Wanted, objects: &Objects) -> Vec<Message> {
    let of_cells = wanted.object.messages.iter().filter(|message| OF_CELLS.contains(&message.kind));
    let of_cells = of_cells.map(|message| {
        let bytes = match (message.kind, &wanted.dtype.netcdf) {
            (MSG_DATATYPE, NcType::Char) => byte_type(),
            (MSG_DATATYPE, NcType::String) => opaque_type(wanted.width),
            (MSG_DATATYPE, _) => wanted.dtype.bytes.clone(),
            (MSG_DATA_LAYOUT, _) => {
                old_layout(&message.bytes, wanted, objects).unwrap_or_else(|| message.bytes.clone())
            }
            _ => message.bytes.clone(),
        };
        Message { kind: message.kind, bytes }
    });
    of_cells.collect()
}

/// Converts a layout of version 1 or 2, which HDF5 wrote before 1.6.3, to version 3. The HDF5 crate
/// reads the address and the size of these versions from other bytes than the HDF5 library does.
/// `None` for other versions.
fn old_layout(bytes: &[u8], wanted: &Wanted, objects: &Objects) -> Option<Vec<u8>> {
    let (&[version, rank, class, ..], rest) = bytes.split_first_chunk::<8>()?;
    if !(1..=2).contains(&version) {
        return None;
    }
    let (offset, length) = (objects.offset_size, objects.length_size);
    let mut layout = vec![3, class];
    match class {
        // The layout contains the sizes of dimensions, then the size of the cells, then the cells.
        0 => {
            let rest = rest.get(4 * usize::from(rank)..)?;
            let (size, cells) = rest.split_first_chunk::<4>()?;
            let size = usize::try_from(u32::from_le_bytes(*size)).ok()?;
            layout.extend(u16::try_from(size).ok()?.to_le_bytes());
            layout.extend(cells.get(..size)?);
        }
        1 => {
            let space = wanted.object.message(MSG_DATASPACE)?;
            let space = dataspace::parse(&mut Cursor::new(space), offset, length, space.len()).ok()?;
            let cells = space.dims.iter().try_fold(1u64, |cells, &size| cells.checked_mul(size))?;
            let size = cells.checked_mul(wanted.width.into())?.to_le_bytes();
            layout.extend(rest.get(..offset.into())?);
            layout.extend(size.get(..length.into())?);
        }
        2 => {
            layout.push(rank);
            layout.extend(rest.get(..usize::from(offset) + 4 * usize::from(rank))?);
        }
        _ => return None,
    }
    Some(layout)
}

/// A file with its own superblock, and additional objects behind its end.
pub(super) struct Overlay {
    file: DynStorage,
    head: Vec<u8>,
    /// The position of the additional objects.
    start: u64,
    tail: Vec<u8>,
    offset_size: u8,
    length_size: u8,
}

impl Overlay {
    pub fn new(file: DynStorage, offset_size: u8, length_size: u8) -> Self {
        let start = file.len().next_multiple_of(8);
        Self { file, head: Vec::new(), start, tail: Vec::new(), offset_size, length_size }
    }

    fn address(&self, address: u64) -> Vec<u8> {
        address.to_le_bytes().into_iter().take(self.offset_size.into()).collect()
    }

    /// The address of the next object to be added.
    pub fn next_address(&self) -> u64 {
        self.start + self.tail.len() as u64
    }

    /// Adds an object with a version 1 header, and returns its address.
    pub fn add(&mut self, messages: &[Message]) -> u64 {
        let address = self.next_address();
        let mut body = Vec::new();
        for Message { kind, bytes } in messages {
            // No message of a file is longer than 16 bits can express.
            let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
            body.extend(kind.to_le_bytes());
            body.extend(length.to_le_bytes());
            body.extend([0; 4]);
            body.extend(bytes);
        }
        let count = u16::try_from(messages.len()).unwrap_or(u16::MAX);
        self.tail.extend([1, 0]);
        self.tail.extend(count.to_le_bytes());
        self.tail.extend(1u32.to_le_bytes());
        self.tail.extend(u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes());
        self.tail.extend([0; 4]);
        self.tail.extend(body);
        self.tail.resize(self.tail.len().next_multiple_of(8), 0);
        address
    }

    /// The message for a link to an object.
    fn link(&self, name: &str, address: u64) -> Vec<u8> {
        let length = u8::try_from(name.len()).unwrap_or(u8::MAX);
        let mut bytes = vec![1, 0, length];
        bytes.extend(name.as_bytes());
        bytes.extend(self.address(address));
        bytes
    }

    /// Adds the root group, and the superblock that refers to it. The superblock has version 2,
    /// which is never longer than that of the file.
    pub fn finish(&mut self, links: &[Message]) {
        let root = self.add(links);
        let mut head = HDF5_MAGIC.to_vec();
        head.extend([2, self.offset_size, self.length_size, 0]);
        head.extend(self.address(0));
        head.extend(self.address(u64::MAX));
        head.extend(self.address(self.len()));
        head.extend(self.address(root));
        head.extend(jenkins_lookup3(&head).to_le_bytes());
        self.head = head;
    }
}

impl Storage for Overlay {
    fn len(&self) -> u64 {
        self.start + self.tail.len() as u64
    }

    fn read_range(&self, offset: u64, len: usize) -> hdf5_reader::error::Result<StorageBuffer> {
        let end = offset.checked_add(len as u64).filter(|&end| end <= self.len());
        let end = end.ok_or(hdf5_reader::error::Error::OffsetOutOfBounds(offset))?;
        if offset >= self.head.len() as u64 && end <= self.file.len() {
            return self.file.read_range(offset, len);
        }
        // The bytes of the file come first; the superblock and the objects are then laid over them.
        let in_file = end.min(self.file.len()).saturating_sub(offset);
        let mut bytes = match in_file {
            0 => Vec::new(),
            length => self.file.read_range(offset, usize::try_from(length).unwrap_or(len))?.to_vec(),
        };
        bytes.resize(len, 0);
        for (start, part) in [(0, &self.head), (self.start, &self.tail)] {
            for (place, byte) in (offset..).zip(bytes.iter_mut()) {
                let inside = place.checked_sub(start).and_then(|at| usize::try_from(at).ok());
                if let Some(found) = inside.and_then(|at| part.get(at)) {
                    *byte = *found;
                }
            }
        }
        Ok(StorageBuffer::from_vec(bytes))
    }
}
