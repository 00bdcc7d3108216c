//! Reads files of all NetCDF formats into one model: dimensions, variables, attributes, and their
//! cells.
//!
//! Names and attributes are decoded; cells are returned as stored. Parts that cannot be read are
//! reported, and the rest is read. The reader does not trust the claims of a file: sizes are
//! checked against the size of the file before memory is allocated, and each reference is followed
//! once.

mod attributes;
mod classic;
mod datasets;
mod filters;
mod heap;
pub(crate) mod kind;
mod netcdf4;
mod objects;
#[cfg(test)]
mod tests;
mod types;

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use atlas::Element;
use hdf5_reader::{FileStorage, H5Type};
use netcdf_reader::{NcAttribute, NcType};
use serde::{Deserialize, Serialize};

use crate::encoding::TextEncoding;
use crate::notice::{Notice, NoticeClass};
use kind::Kind;

/// The number of bytes of cells that any file may claim: unwritten cells take no space.
const CLAIM_FLOOR: u64 = 4 << 30;
/// The largest ratio of claimed cells to the size of the file beyond [`CLAIM_FLOOR`]: four times
/// the largest ratio of deflate.
const CLAIM_FACTOR: u64 = 4096;

/// A dimension, by its name in the group that defines it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Dimension {
    pub group: Vec<String>,
    pub name: String,
    pub size: u64,
    pub unlimited: bool,
}

/// A variable, by its name in its group.
#[derive(Clone, Debug)]
pub(crate) struct FileVariable {
    pub group: Vec<String>,
    pub name: String,
    /// The positions of its dimensions in [`Contents::dims`].
    pub dims: Vec<usize>,
    pub dtype: NcType,
    pub attributes: Vec<NcAttribute>,
    /// The encoding of its text.
    pub encoding: TextEncoding,
}

impl FileVariable {
    pub fn dtype(&self) -> &NcType {
        &self.dtype
    }

    pub fn attributes(&self) -> &[NcAttribute] {
        &self.attributes
    }
}

/// Attributes of a group.
#[derive(Clone, Debug)]
pub(crate) struct GroupAttributes {
    pub group: Vec<String>,
    pub attributes: Vec<NcAttribute>,
}

/// The format of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum FileFormat {
    /// CDF-1.
    #[serde(rename = "classic")]
    Classic,
    /// CDF-2.
    #[serde(rename = "64-bit offset")]
    Offset64,
    /// CDF-5.
    #[serde(rename = "cdf5")]
    Cdf5,
    /// NetCDF-4, or another HDF5 file.
    #[default]
    #[serde(rename = "netCDF-4")]
    Netcdf4,
}

/// The contents of a file without its cells.
#[derive(Clone, Debug, Default)]
pub(crate) struct Contents {
    pub format: FileFormat,
    pub dims: Vec<Dimension>,
    pub variables: Vec<FileVariable>,
    pub attributes: Vec<GroupAttributes>,
    /// Notices about what is not taken literally.
    pub notices: Vec<Notice>,
    /// The number of variables that cannot be read; each has a notice.
    pub unreadable: usize,
}

/// The detail of notices about names and attributes that are not UTF-8.
const NOT_UTF_8: &str = "it is not UTF-8, and taken as Windows-1252";

impl Contents {
    /// The names of dimensions and variables, with their groups.
    pub fn names(&self) -> impl Iterator<Item = (&[String], &str)> {
        let variables =
            self.variables.iter().map(|variable| (variable.group.as_slice(), variable.name.as_str()));
        variables.chain(self.dims.iter().map(|dim| (dim.group.as_slice(), dim.name.as_str())))
    }

    /// Decodes a name, and adds a notice if it is not UTF-8.
    fn name(&mut self, bytes: &[u8]) -> String {
        let (name, other) = attributes::name(bytes);
        if other {
            self.notice(NoticeClass::TextDecoded, format!("name {name}"), NOT_UTF_8);
        }
        name
    }

    fn unreadable(&mut self, subject: impl Into<String>, reason: impl Into<String>) {
        self.unreadable += 1;
        self.left_out(subject, reason);
    }

    fn left_out(&mut self, subject: impl Into<String>, reason: impl Into<String>) {
        self.notice(NoticeClass::LeftOut, subject, reason);
    }

    fn notice(&mut self, class: NoticeClass, subject: impl Into<String>, detail: impl Into<String>) {
        self.notices.push(Notice { class, subject: subject.into(), detail: detail.into(), cells: 0 });
    }
}

/// A type of numbers as stored.
pub(crate) trait Stored: Element + H5Type + Copy {
    /// The number of bytes of a number.
    const WIDTH: usize;
    /// Decodes big-endian bytes, of which there are [`WIDTH`](Self::WIDTH).
    fn from_be(bytes: &[u8]) -> Self;
}

macro_rules! stored {
    ($($number:ty),*) => {$(
        impl Stored for $number {
            const WIDTH: usize = size_of::<Self>();
            fn from_be(bytes: &[u8]) -> Self {
                bytes.try_into().map(Self::from_be_bytes).unwrap_or_default()
            }
        }
    )*};
}
stored!(i8, i16, i32, i64, u8, u16, u32, u64, f32, f64);

/// An open file.
pub(crate) struct File {
    contents: Contents,
    cells: Cells,
}

/// The positions of the variables' cells, in the order of [`Contents::variables`].
enum Cells {
    Classic { storage: Arc<FileStorage>, places: Vec<classic::Place> },
    Hdf5(datasets::Datasets),
}

impl File {
    /// Opens a file, and reads everything except its cells.
    ///
    /// # Errors
    /// The file is not a NetCDF or HDF5 file, and the message says what it is; or it is too damaged
    /// to find its contents.
    pub fn open(path: &Path) -> Result<Self, String> {
        let (file, kind) = kind::open(path)?;
        let storage = Arc::new(FileStorage::from_file(file).map_err(|e| e.to_string())?);
        let (mut contents, cells) = match kind {
            Kind::Classic => {
                let (contents, places) = classic::contents(storage.as_ref())?;
                (contents, Cells::Classic { storage, places })
            }
            Kind::Hdf5 => {
                let (contents, datasets) = netcdf4::contents(storage)?;
                (contents, Cells::Hdf5(datasets))
            }
        };
        contents.notices.dedup();
        Ok(Self { contents, cells })
    }

    /// The contents of the file without its cells.
    pub fn contents(&self) -> &Contents {
        &self.contents
    }

    /// Reads cells of a numeric, character or enumeration variable: those with `rows` as their
    /// first index, or all cells if it has no dimension.
    pub fn read<T: Stored>(&self, variable: usize, rows: Range<usize>) -> Result<Vec<T>, String> {
        match &self.cells {
            Cells::Classic { storage, places } => {
                let place = places.get(variable).ok_or("it is not in the file")?;
                classic::read(storage.as_ref(), place, rows)
            }
            Cells::Hdf5(datasets) => datasets.read(variable, rows),
        }
    }

    /// Reads the bytes of each string of a string variable, with `rows` as for
    /// [`read`](Self::read).
    pub fn read_strings(&self, variable: usize, rows: Range<usize>) -> Result<Vec<Vec<u8>>, String> {
        match &self.cells {
            Cells::Classic { .. } => Err("classic files have no strings".to_owned()),
            Cells::Hdf5(datasets) => datasets.read_strings(variable, rows),
        }
    }
}

/// Sums the bytes that variables claim, and rejects claims that are too large for the size of the
/// file.
struct Claims {
    left: u64,
}

impl Claims {
    fn new(file_bytes: u64) -> Self {
        Self { left: CLAIM_FLOOR.max(file_bytes.saturating_mul(CLAIM_FACTOR)) }
    }

    /// Adds the cells of a variable, which have `width` bytes each.
    fn take(&mut self, shape: &[u64], width: u64) -> Result<(), String> {
        let bytes = shape.iter().try_fold(width, |bytes, &size| bytes.checked_mul(size));
        match bytes.and_then(|bytes| self.left.checked_sub(bytes)) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => Err(format!(
                "its shape {shape:?} claims more than a file of this size can hold: the limit is {CLAIM_FACTOR} \
                 times the file's size"
            )),
        }
    }
}
