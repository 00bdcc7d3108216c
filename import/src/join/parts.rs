//! Writes the cells of files at their positions in a joined dataset.

use std::collections::HashMap;

use arrow::array::{Array, ArrayRef};
use arrow::compute::concat;
use atlas::{ArraySchema, Atlas, DatasetView, default_chunk};

use super::place::Run;
use crate::differ::Declaration;
use crate::notice::{Notice, NoticeClass};
use crate::piece::Piece;
use crate::run::{Reading, Written};
use crate::source::Source;
use crate::{Error, ImportOptions};

/// The length that is assumed for a growing dimension when its chunks are chosen.
const LONG: usize = 1 << 20;

/// The largest number of bytes that are kept of cells in which files must not differ, for
/// comparison.
const MOST_COMPARED: usize = 64 * 1024 * 1024;

/// The approximate number of bytes of an array that are copied at once.
const COPIED: usize = 32 * 1024 * 1024;

/// A joined dataset that is being written.
pub(super) struct Parts<'a> {
    atlas: &'a Atlas,
    view: DatasetView,
    dim: &'a str,
    /// The length of the dimension.
    total: usize,
    options: &'a ImportOptions,
    /// Whether its attributes are set.
    begun: bool,
    /// The cells of arrays without the dimension, as in the first file, by array and start.
    fixed: HashMap<(String, Vec<usize>), ArrayRef>,
    compared: usize,
}

impl<'a> Parts<'a> {
    /// Begins a dataset, or continues one of the store.
    pub(super) async fn begin(
        atlas: &'a Atlas,
        name: &str,
        dim: &'a str,
        total: usize,
        extends: bool,
        options: &'a ImportOptions,
    ) -> Result<Self, Error> {
        let view = if extends { atlas.open_dataset(name).await? } else { atlas.create_dataset(name).await? };
        if extends {
            view.extend(dim, total).await?;
        }
        let (fixed, compared) = (HashMap::new(), 0);
        Ok(Self { atlas, view, dim, total, options, begun: extends, fixed, compared })
    }

    /// Copies another dataset. `runs` maps its indices along the dimension.
    pub(super) async fn copy(&mut self, name: &str, runs: &[Run]) -> Result<(), Error> {
        let old = self.atlas.open_dataset(name).await?;
        let meta = old.meta()?;
        for (key, value) in meta.attributes {
            self.view.set_attribute(&key, value)?;
        }
        self.begun = true;
        for (schema, shape) in meta.arrays {
            let array = schema.name.clone();
            let axis = schema.dims.iter().position(|dim| dim == self.dim);
            let mut whole = shape.clone();
            if let Some(axis) = axis {
                whole.get_mut(axis).into_iter().for_each(|size| *size = self.total);
            }
            self.view.define(ArraySchema::clone(&schema), &whole)?;
            let Some(axis) = axis else {
                let cells = old.read_arrow(&array, &[], &[]).await?;
                self.view.write_arrow(&array, &vec![0; shape.len()], &shape, cells).await?;
                continue;
            };
            let of_one = shape.iter().enumerate().filter(|(d, _)| *d != axis).map(|(_, size)| size);
            let of_one = of_one.product::<usize>().saturating_mul(schema.dtype.width().unwrap_or(16));
            let step = (COPIED / of_one.max(1)).max(1);
            for run in runs {
                for first in (0..run.len).step_by(step) {
                    let part = along(&shape, axis, run.from + first, step.min(run.len - first));
                    let cells = old.read_arrow(&array, &part.0, &part.1).await?;
                    let to = along(&shape, axis, run.to + first, step.min(run.len - first));
                    self.view.write_arrow(&array, &to.0, &to.1, cells).await?;
                }
            }
        }
        Ok(())
    }

    /// Writes the cells of a file to the positions that `runs` give.
    pub(super) async fn file(&mut self, reading: &mut Reading, runs: &[Run]) -> Result<Written, Error> {
        let mut written = Written::default();
        let first = !self.begun;
        while let Some(piece) = reading.next(self.options).await? {
            self.piece(piece, runs, first, &mut written).await.map_err(|reason| match reason {
                Failed::Store(error @ (atlas::Error::Storage { .. } | atlas::Error::Poisoned)) => {
                    Error::Store(error)
                }
                Failed::Store(error) => {
                    Error::File { path: reading.file.path.clone(), reason: error.to_string() }
                }
                Failed::File(reason) => Error::File { path: reading.file.path.clone(), reason },
            })?;
        }
        reading.end().await?;
        self.begun = true;
        Ok(written)
    }

    /// Records the sources of the dataset.
    pub(super) fn finish(self, sources: &[Source]) -> Result<(), Error> {
        Ok(self.view.set_attribute(Source::ATTRIBUTE, Source::to_attribute(sources))?)
    }

    async fn piece(
        &mut self,
        piece: Piece,
        runs: &[Run],
        first: bool,
        written: &mut Written,
    ) -> Result<(), Failed> {
        match piece {
            // The first file sets the attributes.
            Piece::Attribute(key, value) if first => Ok(self.view.set_attribute(&key, value)?),
            Piece::ArrayAttribute(array, key, value) if first => {
                Ok(self.view.set_array_attribute(&array, &key, value)?)
            }
            // The positions of kept cells refer to the file, and not to the dataset.
            Piece::Attribute(..) | Piece::ArrayAttribute(..) | Piece::KeptCells(..) | Piece::Waiting => {
                Ok(())
            }
            Piece::Array(schema, shape) => self.array(schema, shape, written),
            Piece::Cells { array, start, shape, cells } => {
                self.cells(&array, &start, &shape, cells, runs, written).await
            }
            Piece::Drop(array) => {
                Err(Failed::File(format!("{array} cannot be read, and other files have it")))
            }
            Piece::Notice(notice) => {
                written.notices.push(notice);
                Ok(())
            }
        }
    }

    /// Defines an array, or compares it with the existing one.
    fn array(
        &mut self,
        mut schema: ArraySchema,
        mut shape: Vec<usize>,
        written: &mut Written,
    ) -> Result<(), Failed> {
        written.dims.extend(schema.dims.iter().cloned());
        written.arrays.push(Declaration::of(&schema));
        let axis = schema.dims.iter().position(|dim| dim == self.dim);
        if let Some(axis) = axis {
            shape.get_mut(axis).into_iter().for_each(|size| *size = self.total);
        }
        let known = match self.view.array_meta(&schema.name) {
            Err(atlas::Error::NoArray { .. }) => {
                if let Some(axis) = axis {
                    schema.chunk = self.chunk(&schema, &shape, axis);
                }
                return Ok(self.view.define(schema, &shape)?);
            }
            known => known?,
        };
        let (one, other) = (&known.schema, &schema);
        let different = |what: &str, here: String, there: String| {
            let name = &schema.name;
            Err(Failed::File(format!("its `{name}` has {what} {here}, and what it is joined to {there}")))
        };
        if one.dims != other.dims {
            return different("the dimensions", other.dims.join(", "), one.dims.join(", "));
        }
        if known.shape != shape {
            return different("the shape", format!("{shape:?}"), format!("{:?}", known.shape));
        }
        if one.dtype != other.dtype {
            return different("the type", other.dtype.to_string(), one.dtype.to_string());
        }
        let units = |schema: &ArraySchema| schema.attribute("units").map(ToString::to_string);
        // Times are instants in any units.
        if one.dtype != atlas::DType::Timestamp && units(one) != units(other) {
            let shown =
                |schema| units(schema).map_or_else(|| "none".to_owned(), |units| format!("`{units}`"));
            return different("the units", shown(other), shown(one));
        }
        Ok(())
    }

    /// The chunk shape of an array along a growing dimension.
    fn chunk(&self, schema: &ArraySchema, shape: &[usize], axis: usize) -> Vec<usize> {
        let mut long = shape.to_vec();
        long.get_mut(axis).into_iter().for_each(|size| *size = (*size).max(LONG));
        let chosen = schema.dims.iter().zip(default_chunk(&long)).zip(shape).enumerate();
        let chosen = chosen.map(|(place, ((dim, default), &size))| match self.options.chunk.get(dim) {
            Some(&chunk) if chunk >= size && place != axis => 0,
            Some(&chunk) => chunk,
            None => default,
        });
        chosen.collect()
    }

    async fn cells(
        &mut self,
        array: &str,
        start: &[usize],
        shape: &[usize],
        cells: ArrayRef,
        runs: &[Run],
        written: &mut Written,
    ) -> Result<(), Failed> {
        let schema = self.view.array_meta(array)?.schema;
        let Some(axis) = schema.dims.iter().position(|dim| dim == self.dim) else {
            return self.fixed(array, start, shape, cells, written).await;
        };
        let (first, count) = (start.get(axis).copied().unwrap_or(0), shape.get(axis).copied().unwrap_or(1));
        for run in runs {
            // The part of the run that these cells cover.
            let from = run.from.max(first);
            let end = (run.from + run.len).min(first + count);
            if from >= end {
                continue;
            }
            let part = selected(&cells, shape, axis, from - first, end - from)?;
            let (mut to, mut size) = (start.to_vec(), shape.to_vec());
            to.get_mut(axis).into_iter().for_each(|place| *place = run.to + from - run.from);
            size.get_mut(axis).into_iter().for_each(|length| *length = end - from);
            self.view.write_arrow(array, &to, &size, part).await?;
        }
        Ok(())
    }

    /// Writes cells of an array without the dimension. The cells of the first file with the array
    /// are kept.
    async fn fixed(
        &mut self,
        array: &str,
        start: &[usize],
        shape: &[usize],
        cells: ArrayRef,
        written: &mut Written,
    ) -> Result<(), Failed> {
        let key = (array.to_owned(), start.to_vec());
        let known = match self.fixed.get(&key) {
            Some(known) => Some(ArrayRef::clone(known)),
            // The cells of the store, or of an earlier file whose cells were too large to be kept
            // in memory.
            None if self.begun => Some(self.view.read_arrow(array, start, shape).await?),
            None => None,
        };
        let Some(known) = known else {
            self.view.write_arrow(array, start, shape, ArrayRef::clone(&cells)).await?;
            self.keep(key, cells);
            return Ok(());
        };
        if known.null_count() == known.len() && cells.null_count() < cells.len() {
            // No earlier file has the array.
            self.view.write_arrow(array, start, shape, ArrayRef::clone(&cells)).await?;
            self.fixed.insert(key, cells);
            return Ok(());
        }
        if *known != *cells {
            let detail = "it differs between joined files: that of the first stays".to_owned();
            let notice =
                Notice { class: NoticeClass::JoinedDiffer, subject: array.to_owned(), detail, cells: 0 };
            if !written.notices.contains(&notice) {
                written.notices.push(notice);
            }
        }
        self.keep(key, known);
        Ok(())
    }

    fn keep(&mut self, key: (String, Vec<usize>), cells: ArrayRef) {
        let bytes = cells.get_array_memory_size();
        if !self.fixed.contains_key(&key) && self.compared + bytes <= MOST_COMPARED {
            self.compared += bytes;
            self.fixed.insert(key, cells);
        }
    }
}

/// The reason why a piece was not written.
enum Failed {
    Store(atlas::Error),
    File(String),
}

impl From<atlas::Error> for Failed {
    fn from(error: atlas::Error) -> Self {
        Self::Store(error)
    }
}

/// The region of an array of `shape` that covers `len` indices along an axis, starting at `first`.
fn along(shape: &[usize], axis: usize, first: usize, len: usize) -> (Vec<usize>, Vec<usize>) {
    let (mut start, mut size) = (vec![0; shape.len()], shape.to_vec());
    start.get_mut(axis).into_iter().for_each(|place| *place = first);
    size.get_mut(axis).into_iter().for_each(|length| *length = len);
    (start, size)
}

/// The cells of a region of `shape`, of which `len` indices along an axis are selected, starting at
/// `first`.
fn selected(
    cells: &ArrayRef,
    shape: &[usize],
    axis: usize,
    first: usize,
    len: usize,
) -> Result<ArrayRef, Failed> {
    let size = shape.get(axis).copied().unwrap_or(1);
    if first == 0 && len == size {
        return Ok(ArrayRef::clone(cells));
    }
    let outer: usize = shape.iter().take(axis).product();
    let inner: usize = shape.iter().skip(axis + 1).product();
    let slices: Vec<ArrayRef> =
        (0..outer).map(|place| cells.slice((place * size + first) * inner, len * inner)).collect();
    let slices: Vec<&dyn Array> = slices.iter().map(AsRef::as_ref).collect();
    match slices.as_slice() {
        [] => Ok(cells.slice(0, 0)),
        slices => concat(slices).map_err(|e| Failed::File(e.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{AsArray, Int32Array};
    use arrow::datatypes::Int32Type;

    use super::*;

    #[test]
    fn cells_are_selected_along_any_axis() {
        // An array of shape (2, 3, 2).
        let cells: ArrayRef = Arc::new(Int32Array::from_iter_values(0..12));
        let of = |axis, first, len| {
            let Ok(found) = selected(&cells, &[2, 3, 2], axis, first, len) else { panic!("it failed") };
            found.as_primitive::<Int32Type>().values().to_vec()
        };
        assert_eq!(of(0, 1, 1), [6, 7, 8, 9, 10, 11]);
        assert_eq!(of(1, 1, 1), [2, 3, 8, 9]);
        assert_eq!(of(1, 0, 2), [0, 1, 2, 3, 6, 7, 8, 9]);
        assert_eq!(of(2, 1, 1), [1, 3, 5, 7, 9, 11]);
        assert_eq!(of(0, 0, 2).len(), 12);
    }
}
