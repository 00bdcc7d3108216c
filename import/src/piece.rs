//! The pieces in which a file is read.

use std::ops::Range;

use arrow::array::ArrayRef;
use atlas::{ArraySchema, AttributeValue, Value};
use netcdf_reader::NcAttrValue;

use crate::notice::Notice;
use crate::reader::FileVariable;

/// The largest number of bytes of a variable that are read at once, if it can be read in parts.
const SLAB_BYTES: usize = 32 * 1024 * 1024;

/// A piece of a file. Pieces come in the order in which a store can accept them.
pub(crate) enum Piece {
    /// An attribute of the dataset.
    Attribute(String, AttributeValue),
    /// An array and its shape.
    Array(ArraySchema, Vec<usize>),
    /// Cells of an earlier array.
    Cells { array: String, start: Vec<usize>, shape: Vec<usize>, cells: ArrayRef },
    /// An attribute of an earlier array.
    ArrayAttribute(String, String, AttributeValue),
    /// Cells of an array that cannot be reconstructed from its values, by position.
    KeptCells(String, Vec<(u64, Value)>),
    /// Removes an earlier array from the dataset.
    Drop(String),
    /// Something that was not taken literally.
    Notice(Notice),
    /// Nothing yet: the file is still being fetched.
    Waiting,
}

/// A variable, with its name and those of its dimensions in the dataset.
pub(crate) struct Variable<'a> {
    /// Its number in the reader.
    pub id: usize,
    pub name: String,
    pub dims: Vec<(String, usize)>,
    pub source: &'a FileVariable,
}

impl Variable<'_> {
    pub fn attribute(&self, name: &str) -> Option<&NcAttrValue> {
        let mut attributes = self.source.attributes().iter();
        attributes.find(|attribute| attribute.name == name).map(|attribute| &attribute.value)
    }

    pub fn text(&self, name: &str) -> Option<String> {
        self.attribute(name).and_then(NcAttrValue::as_string)
    }

    pub fn shape(&self) -> Vec<usize> {
        self.dims.iter().map(|&(_, size)| size).collect()
    }
}

/// The number of rows along the first dimension that are read at once: whole chunks, of about
/// [`SLAB_BYTES`].
pub(crate) fn slab_rows(rows: usize, row_bytes: usize, chunk: Option<&usize>) -> usize {
    let fitting = (SLAB_BYTES / row_bytes.max(1)).max(1);
    match chunk {
        Some(&chunk) if chunk > 0 => (fitting / chunk).max(1) * chunk,
        // The array has one chunk along this dimension, which is assembled from slabs.
        _ => fitting,
    }
    .min(rows)
}

/// Writes an array and its cells. `read` returns the cells for `slab` indices of the first
/// dimension at a time.
pub(crate) fn write_slabs(
    schema: &ArraySchema,
    shape: &[usize],
    slab: usize,
    read: &mut dyn FnMut(Range<usize>) -> Result<ArrayRef, String>,
    take: &mut dyn FnMut(Piece) -> bool,
) -> Result<bool, String> {
    if !take(Piece::Array(schema.clone(), shape.to_vec())) {
        return Ok(false);
    }
    let rows = shape.first().copied().unwrap_or(1);
    for first in (0..rows).step_by(slab.max(1)) {
        let count = slab.max(1).min(rows - first);
        let cells = read(first..first + count)?;
        let (mut start, mut shape) = (vec![0; shape.len()], shape.to_vec());
        if let (Some(start), Some(size)) = (start.first_mut(), shape.first_mut()) {
            (*start, *size) = (first, count);
        }
        if !take(Piece::Cells { array: schema.name.clone(), start, shape, cells }) {
            return Ok(false);
        }
    }
    Ok(true)
}
