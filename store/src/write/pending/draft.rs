//! A dataset with its uncommitted changes: a new one, or a committed one that is changed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::error::ArrowError;

use super::open_chunk::{OpenChunk, Under, cut};
use super::sealed::Sealed;
use crate::error::{Error, Result};
use crate::format::catalog::{Catalog, Dataset};
use crate::model::grid::{ChunkGrid, Region};
use crate::model::schema::{ArraySchema, Attributes};
use crate::model::schema::{DEFAULT_CHUNK_CELLS, default_chunk};
use crate::write::changes::Changed;

/// A dataset with its changes.
pub(super) struct Draft {
    pub(super) ordinal: u32,
    pub(super) name: String,
    pub(super) arrays: Arrays,
    pub(super) attributes: Attributes,
    pub(super) deleted: bool,
    /// Deleted arrays of which complete segments have chunks. These chunks must not reappear in
    /// other arrays.
    pub(super) stale: BTreeSet<String>,
}

/// The arrays of a dataset, which may be thousands, in the order in which they were defined.
#[derive(Default)]
pub(super) struct Arrays {
    /// `None` for a deleted array.
    list: Vec<Option<DraftArray>>,
    /// Their positions in `list`, by name.
    places: HashMap<String, usize>,
    /// The size of each dimension, and the number of arrays with it.
    dims: HashMap<String, (usize, usize)>,
}

impl Arrays {
    pub(super) fn contains(&self, name: &str) -> bool {
        self.places.contains_key(name)
    }

    /// The size of a dimension, if some array has it.
    pub(super) fn size(&self, dim: &str) -> Option<usize> {
        self.dims.get(dim).map(|&(size, _)| size)
    }

    pub(super) fn push(&mut self, array: DraftArray) {
        for (dim, &size) in array.schema.dims.iter().zip(&array.shape) {
            self.dims.entry(dim.clone()).or_insert((size, 0)).1 += 1;
        }
        self.places.insert(array.schema.name.clone(), self.list.len());
        self.list.push(Some(array));
    }

    pub(super) fn remove(&mut self, name: &str) -> Option<DraftArray> {
        let place = self.places.remove(name)?;
        let array = self.list.get_mut(place)?.take()?;
        for dim in &array.schema.dims {
            if let Some((_, arrays)) = self.dims.get_mut(dim) {
                *arrays -= 1;
            }
        }
        self.dims.retain(|_, &mut (_, arrays)| arrays > 0);
        Some(array)
    }

    pub(super) fn get(&self, name: &str) -> Option<&DraftArray> {
        self.list.get(*self.places.get(name)?)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, name: &str) -> Option<&mut DraftArray> {
        self.list.get_mut(*self.places.get(name)?)?.as_mut()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &DraftArray> {
        self.list.iter().flatten()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut DraftArray> {
        self.list.iter_mut().flatten()
    }

    pub(super) fn into_iter(self) -> impl Iterator<Item = DraftArray> {
        self.list.into_iter().flatten()
    }

    /// Extends a dimension of all arrays over it to `size`. `schemas` has their new schemas, by
    /// name.
    pub(super) fn extend(&mut self, dim: &str, size: usize, mut schemas: HashMap<String, Arc<ArraySchema>>) {
        if let Some((before, _)) = self.dims.get_mut(dim) {
            *before = size;
        }
        for array in self.iter_mut() {
            let along = array.schema.dims.iter().position(|name| name == dim);
            if let Some((d, schema)) = along.zip(schemas.remove(&array.schema.name)) {
                array.extend(d, size, schema);
            }
        }
    }
}

/// An array with its changes.
pub(super) struct DraftArray {
    pub(super) schema: Arc<ArraySchema>,
    pub(super) shape: Vec<usize>,
    /// The committed chunks, if the array is committed.
    pub(super) committed: Option<Box<ChunkGrid>>,
    /// Whether chunks of another array of that name must be deleted.
    pub(super) replaces: Replaces,
    /// Chunks of which some cells were written.
    pub(super) open: BTreeMap<Vec<u32>, OpenChunk>,
    /// Chunks that were complete and were written to their segment.
    pub(super) sealed: Sealed,
}

/// Whether segments may have chunks of a deleted array of the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Replaces {
    No,
    /// They may. These chunks must be deleted before the first chunk is written.
    Due,
    /// They were deleted.
    Done,
}

/// A complete chunk: its coordinate and its cells.
pub(crate) type Complete = (Vec<u32>, ArrayRef);

impl Draft {
    /// A new dataset.
    pub(super) fn new(ordinal: u32, name: &str) -> Self {
        let (arrays, attributes) = (Arrays::default(), Attributes::new());
        Self { ordinal, name: name.to_owned(), arrays, attributes, deleted: false, stale: BTreeSet::new() }
    }

    /// A committed dataset, without changes.
    pub(super) fn of(catalog: &Catalog, dataset: Dataset<'_>) -> Self {
        let mut draft =
            Self::again(dataset.ordinal(), Changed::of(catalog, dataset), |_, _| Sealed::default());
        for array in draft.arrays.iter_mut() {
            array.committed = Some(Box::new(array.grid()));
        }
        draft
    }

    /// A dataset of which some chunks were written.
    pub(super) fn again(
        ordinal: u32,
        dataset: Changed,
        sealed: impl Fn(&ArraySchema, &[usize]) -> Sealed,
    ) -> Self {
        let mut arrays = Arrays::default();
        for (schema, shape) in dataset.arrays {
            let sealed = sealed(&schema, &shape);
            let (committed, replaces, open) = (None, Replaces::No, BTreeMap::new());
            arrays.push(DraftArray { schema, shape, committed, replaces, open, sealed });
        }
        Self {
            ordinal,
            name: dataset.name,
            arrays,
            attributes: dataset.attributes,
            deleted: false,
            stale: BTreeSet::new(),
        }
    }

    /// The dataset after its changes.
    pub(super) fn changed(&self) -> Changed {
        let arrays = self.arrays.iter().map(|array| (Arc::clone(&array.schema), array.shape.clone()));
        let attributes = self.attributes.clone();
        Changed { name: self.name.clone(), arrays: arrays.collect(), attributes }
    }

    /// True if a cell was written, or chunks are to be deleted.
    pub(super) fn is_written(&self) -> bool {
        self.arrays
            .iter()
            .any(|array| !array.open.is_empty() || !array.sealed.is_empty() || array.replaces != Replaces::No)
    }

    /// True if the draft has data in memory that rows of datasets cannot hold.
    pub(super) fn is_open(&self) -> bool {
        self.arrays.iter().any(|array| !array.open.is_empty() || array.replaces == Replaces::Due)
    }

    pub(super) fn array(&mut self, name: &str) -> Result<&mut DraftArray> {
        let dataset = &self.name;
        self.arrays
            .get_mut(name)
            .ok_or_else(|| Error::NoArray { dataset: dataset.clone(), array: name.to_owned() })
    }
}

impl DraftArray {
    pub(super) fn grid(&self) -> ChunkGrid {
        ChunkGrid::new(&self.shape, &self.schema.chunk_shape(&self.shape))
    }

    /// Writes `cells`, the cells of `region`, and returns the chunks that are now complete.
    pub(super) fn write(&mut self, region: &Region, cells: &ArrayRef) -> Result<Vec<Complete>, ArrowError> {
        let grid = self.grid();
        let mut complete = Vec::new();
        for coordinate in grid.crossing(region) {
            let chunk = grid.region(&coordinate);
            let part = chunk.intersect(region);
            let piece = cut(cells, region, &part)?;
            let number = grid.number(&coordinate);
            if part == chunk {
                self.open.remove(&coordinate);
                self.sealed.insert(number);
                complete.push((coordinate, piece));
                continue;
            }
            let under = self.under(&grid, &coordinate, number);
            let open = self.open.entry(coordinate.clone()).or_insert_with(|| OpenChunk::new(chunk, under));
            open.write(part, piece);
            if open.is_complete() {
                let cells = open.assemble(self.schema.dtype, None)?;
                self.open.remove(&coordinate);
                self.sealed.insert(number);
                complete.push((coordinate, cells));
            }
        }
        Ok(complete)
    }

    /// The cells beneath the unwritten cells of a chunk of `grid`.
    fn under(&self, grid: &ChunkGrid, coordinate: &[u32], number: u64) -> Under {
        match &self.committed {
            _ if self.sealed.contains(number) => Under::Written(grid.region(coordinate)),
            Some(committed) if committed.contains(coordinate) => {
                Under::Committed(committed.region(coordinate))
            }
            _ => Under::Nothing,
        }
    }

    /// Extends the array to `size` along dimension `d`. Chunks that ended at the old edge are
    /// rewritten.
    pub(super) fn extend(&mut self, d: usize, size: usize, schema: Arc<ArraySchema>) {
        let old = self.grid();
        let edge = self.shape.get(d).map_or(0, |&size| size.saturating_sub(1));
        if let Some(extent) = self.shape.get_mut(d) {
            *extent = size;
        }
        self.schema = schema;
        let new = self.grid();
        // The last index along the dimension, unless the array has no cells.
        let mut last = Region::all(old.shape());
        if let (Some(start), Some(extent)) = (last.start.get_mut(d), last.shape.get_mut(d)) {
            *start = edge;
            *extent = (*extent).min(1);
        }
        for coordinate in old.crossing(&last) {
            let region = new.region(&coordinate);
            if region == old.region(&coordinate) {
                continue;
            }
            let number = old.number(&coordinate);
            let under = self.under(&old, &coordinate, number);
            match self.open.get_mut(&coordinate) {
                Some(open) => open.grow(region),
                None if under == Under::Nothing => {}
                None => {
                    self.sealed.remove(number);
                    self.open.insert(coordinate, OpenChunk::new(region, under));
                }
            }
        }
        let sealed = std::mem::take(&mut self.sealed);
        self.sealed = sealed.numbers().map(|number| new.number(&old.coordinate(number))).collect();
    }
}

/// The schema of an array of `shape` that is extended to `size` along dimension `d`. A dimension
/// that is one chunk stays one while the chunk is small, so that arrays that grow step by step do
/// not get a chunk for each step.
pub(super) fn extended(schema: &ArraySchema, shape: &[usize], d: usize, size: usize) -> ArraySchema {
    let mut longer = shape.to_vec();
    let mut schema = schema.clone();
    let (Some(extent), Some(chunk)) = (longer.get_mut(d), schema.chunk.get(d).copied()) else {
        return schema;
    };
    let before = std::mem::replace(extent, size);
    let cells = schema.chunk_shape(&longer).iter().fold(1usize, |cells, &chunk| cells.saturating_mul(chunk));
    if chunk == 0 && cells > DEFAULT_CHUNK_CELLS {
        let cut =
            if before > 0 { before } else { default_chunk(&longer).get(d).copied().unwrap_or(1).max(1) };
        if let Some(chunk) = schema.chunk.get_mut(d) {
            *chunk = cut;
        }
    }
    schema
}
