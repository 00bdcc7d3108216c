//! What has been written and not yet committed.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::error::ArrowError;
use futures::{StreamExt, stream};

use crate::catalog::{Catalog, Dataset, DatasetSchema, MAX_CELLS, SegmentEntry};
use crate::open_chunk::{OpenChunk, cut};
use crate::schema::{MAX_CHUNK_BYTES, check_name};
use crate::segment::SegmentWriter;
use crate::snapshot::check_region;
use crate::storage::Storage;
use crate::{ArraySchema, AttributeValue, Attributes, ChunkGrid, Codec, DType, Error, Region, Result};

/// Segments that are finished at one time.
const CONCURRENCY: usize = 8;

/// The changes to one generation of a store.
pub(crate) struct Pending {
    storage: Storage,
    /// The catalog that is being added to.
    base: Arc<Catalog>,
    /// The token in the names of this writer's segments, which tells them from those of others.
    token: u64,
    datasets: Vec<PendingDataset>,
    ordinals: HashMap<String, usize>,
    writers: BTreeMap<(String, DType), SegmentWriter>,
    /// True once a write failed half-way.
    poisoned: bool,
}

struct PendingDataset {
    name: String,
    dims: Vec<(String, usize)>,
    arrays: Vec<PendingArray>,
    attributes: Attributes,
    discarded: bool,
}

struct PendingArray {
    schema: ArraySchema,
    shape: Vec<usize>,
    grid: ChunkGrid,
    /// Chunks of which some cells were written.
    open: BTreeMap<Vec<u32>, OpenChunk>,
    /// Chunks that were complete and went to their segment.
    sealed: HashSet<Vec<u32>>,
}

impl Pending {
    pub(crate) fn new(storage: Storage, base: Arc<Catalog>) -> Self {
        Self {
            storage,
            base,
            // The hasher's keys are random, and differ from one to the next.
            token: RandomState::new().hash_one(std::process::id()),
            datasets: Vec::new(),
            ordinals: HashMap::new(),
            writers: BTreeMap::new(),
            poisoned: false,
        }
    }

    /// Forgets all that is pending.
    pub(crate) fn forget(&mut self) {
        *self = Self::new(self.storage.clone(), Arc::clone(&self.base));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.datasets.is_empty()
    }

    /// The codec of the store.
    pub(crate) fn codec(&self) -> Codec {
        self.base.codec
    }

    pub(crate) fn contains(&self, name: &str) -> bool {
        self.ordinals.contains_key(name)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.datasets.iter().filter(|dataset| !dataset.discarded).map(|dataset| dataset.name.as_str())
    }

    pub(crate) fn create_dataset(&mut self, name: &str) -> Result<()> {
        check_name("a dataset", name)?;
        if self.contains(name) || self.base.ordinal(name).is_some() {
            return Err(Error::DatasetExists { dataset: name.to_owned() });
        }
        self.ordinals.insert(name.to_owned(), self.datasets.len());
        self.datasets.push(PendingDataset {
            name: name.to_owned(),
            dims: Vec::new(),
            arrays: Vec::new(),
            attributes: Vec::new(),
            discarded: false,
        });
        Ok(())
    }

    /// Takes a dataset back. The cells that were written of it are left out of what is committed.
    pub(crate) fn discard_dataset(&mut self, name: &str) -> Result<()> {
        let dataset = self.dataset(name)?;
        dataset.discarded = true;
        dataset.arrays.clear();
        self.ordinals.remove(name);
        Ok(())
    }

    pub(crate) fn set_attribute(&mut self, dataset: &str, key: &str, value: AttributeValue) -> Result<()> {
        check_key(key)?;
        set(&mut self.dataset(dataset)?.attributes, key, value);
        Ok(())
    }

    pub(crate) fn set_array_attribute(
        &mut self,
        dataset: &str,
        array: &str,
        key: &str,
        value: AttributeValue,
    ) -> Result<()> {
        check_key(key)?;
        set(&mut self.dataset(dataset)?.array(array)?.schema.attributes, key, value);
        Ok(())
    }

    pub(crate) fn define(&mut self, dataset: &str, schema: ArraySchema, shape: &[usize]) -> Result<()> {
        check_name("an array", &schema.name)?;
        for dim in &schema.dims {
            check_name("a dimension", dim)?;
        }
        let dataset = self.dataset(dataset)?;
        if dataset.arrays.iter().any(|array| array.schema.name == schema.name) {
            return Err(Error::ArrayExists { dataset: dataset.name.clone(), array: schema.name });
        }
        let grid =
            check_shape(&schema, shape).map_err(|reason| shape_error(&dataset.name, &schema.name, reason))?;
        for (dim, &size) in schema.dims.iter().zip(shape) {
            match dataset.dims.iter().find(|(name, _)| name == dim) {
                Some(&(_, expected)) if expected != size => {
                    return Err(Error::DimensionSize {
                        dataset: dataset.name.clone(),
                        array: schema.name.clone(),
                        dimension: dim.clone(),
                        expected,
                        found: size,
                    });
                }
                _ => {}
            }
        }
        for (dim, &size) in schema.dims.iter().zip(shape) {
            if !dataset.dims.iter().any(|(name, _)| name == dim) {
                dataset.dims.push((dim.clone(), size));
            }
        }
        dataset.arrays.push(PendingArray {
            schema,
            shape: shape.to_vec(),
            grid,
            open: BTreeMap::new(),
            sealed: HashSet::new(),
        });
        Ok(())
    }

    /// Writes the cells of a region, in row-major order; null ones and those that equal the fill value are
    /// missing.
    pub(crate) async fn write(
        &mut self,
        dataset: &str,
        array: &str,
        region: Region,
        cells: ArrayRef,
    ) -> Result<()> {
        if self.poisoned {
            return Err(Error::Poisoned);
        }
        let pending = self.dataset(dataset)?.array(array)?;
        let (variable, expected) = (pending.schema.name.clone(), pending.schema.dtype);
        if DType::from_arrow(cells.data_type()) != Some(expected) {
            return Err(Error::WrongType {
                dataset: dataset.to_owned(),
                array: variable,
                expected,
                found: DType::from_arrow(cells.data_type())
                    .map_or_else(|| cells.data_type().to_string(), |dtype| dtype.to_string()),
            });
        }
        check_region(dataset, array, &region, &pending.shape)?;
        if region.cells() != cells.len() {
            let (found, shape) = (cells.len(), &region.shape);
            let reason = format!("{found} values were given for a region of shape {shape:?}");
            return Err(shape_error(dataset, &variable, reason));
        }
        let crossing = pending.grid.crossing(&region);
        if let Some(chunk) = crossing.iter().find(|chunk| pending.sealed.contains(*chunk)) {
            let chunk = chunk.clone();
            return Err(Error::Written { dataset: dataset.to_owned(), array: variable, chunk });
        }
        let cells = match &pending.schema.fill {
            Some(fill) => expected.mask(&cells, fill),
            None => cells,
        };
        let written = crossing.into_iter().map(|coordinate| pending.write_chunk(coordinate, &region, &cells));
        let complete: Vec<_> = match written.collect() {
            Ok(complete) => complete,
            Err(error) => {
                self.poisoned = true;
                return Err(shape_error(dataset, &variable, ArrowError::to_string(&error)));
            }
        };
        for (coordinate, cells) in complete.into_iter().flatten() {
            self.append(dataset, &variable, expected, coordinate, cells).await?;
        }
        Ok(())
    }

    async fn append(
        &mut self,
        dataset: &str,
        variable: &str,
        dtype: DType,
        coordinate: Vec<u32>,
        cells: ArrayRef,
    ) -> Result<()> {
        let position = self.ordinals.get(dataset).copied().unwrap_or_default();
        let ordinal = self.ordinal(position)?;
        let (storage, generation, token, codec) =
            (&self.storage, self.base.generation + 1, self.token, self.base.codec);
        let writer = self.writers.entry((variable.to_owned(), dtype)).or_insert_with(|| {
            let file = format!("data.{generation}-{token:016x}.{dtype}.af");
            SegmentWriter::new(storage, variable, file, dtype, codec)
        });
        let appended = writer.append(ordinal, coordinate, cells).await;
        self.poisoned |= appended.is_err();
        appended
    }

    /// Writes all segments and returns the catalog that names them, to be committed; and their paths.
    pub(crate) async fn finish(&mut self) -> Result<(Catalog, Vec<String>)> {
        if self.poisoned {
            return Err(Error::Poisoned);
        }
        // From here on nothing can be added: what fails half-way cannot be taken up again.
        self.poisoned = true;
        for position in 0..self.datasets.len() {
            for (dataset, array, dtype, coordinate, chunk) in self.take_open(position) {
                let cells =
                    chunk.assemble(dtype).map_err(|e| shape_error(&dataset, &array, e.to_string()))?;
                self.append(&dataset, &array, dtype, coordinate, cells).await?;
            }
        }
        let first = u32::try_from(self.base.datasets.len()).unwrap_or(u32::MAX);
        let discarded: HashSet<_> =
            (first..).zip(&self.datasets).filter(|(_, d)| d.discarded).map(|(ordinal, _)| ordinal).collect();
        let discarded = &discarded;
        let writers = std::mem::take(&mut self.writers);
        let mut finished: Vec<_> = stream::iter(writers)
            .map(|((variable, _), mut writer)| async move {
                let finished = writer.finish(|dataset| !discarded.contains(&dataset)).await;
                if finished.is_err() {
                    writer.abort().await;
                }
                (variable, writer.path().to_owned(), finished)
            })
            .buffer_unordered(CONCURRENCY)
            .collect()
            .await;
        finished.sort_by(|a, b| a.1.cmp(&b.1));
        let mut entries = Vec::new();
        let mut failure = None;
        let mut paths = Vec::new();
        for (variable, path, entry) in finished {
            match entry {
                Ok(Some(entry)) => {
                    entries.push((variable, entry));
                    paths.push(path);
                }
                Ok(None) => {}
                Err(error) => failure = Some(error),
            }
        }
        match failure {
            None => Ok((self.catalog(entries), paths)),
            Some(error) => {
                discard_files(&self.storage, &paths).await;
                Err(error)
            }
        }
    }

    fn catalog(&self, entries: Vec<(String, SegmentEntry)>) -> Catalog {
        let mut catalog = Catalog::clone(&self.base).changed();
        catalog.generation += 1;
        for (variable, entry) in entries {
            catalog.variables.entry(variable).or_default().push(entry);
        }
        let mut arrays: HashMap<Arc<ArraySchema>, usize> = catalog.arrays.iter().cloned().zip(0..).collect();
        let mut schemas: HashMap<Arc<DatasetSchema>, usize> =
            catalog.schemas.iter().cloned().zip(0..).collect();
        for dataset in &self.datasets {
            if dataset.discarded {
                catalog.datasets.push(None);
                continue;
            }
            let numbers = dataset.arrays.iter().map(|array| {
                let array = Arc::new(array.schema.clone());
                *arrays.entry(array).or_insert_with_key(|array| {
                    catalog.arrays.push(Arc::clone(array));
                    catalog.arrays.len() - 1
                })
            });
            let schema = DatasetSchema {
                arrays: numbers.collect(),
                dims: dataset.dims.iter().map(|(name, _)| name.clone()).collect(),
                attributes: dataset.attributes.iter().map(|(key, _)| key.clone()).collect(),
            };
            let schema = *schemas.entry(Arc::new(schema)).or_insert_with_key(|schema| {
                catalog.schemas.push(Arc::clone(schema));
                catalog.schemas.len() - 1
            });
            catalog.datasets.push(Some(Dataset {
                name: dataset.name.clone(),
                schema,
                sizes: dataset.dims.iter().map(|&(_, size)| size).collect(),
                attributes: dataset.attributes.iter().map(|(_, value)| value.clone()).collect(),
            }));
        }
        catalog
    }

    /// The chunks of a dataset that are still open, with the dataset, the array and its type.
    fn take_open(&mut self, position: usize) -> Vec<(String, String, DType, Vec<u32>, OpenChunk)> {
        let Some(dataset) = self.datasets.get_mut(position) else { return Vec::new() };
        let name = &dataset.name;
        let arrays = dataset.arrays.iter_mut().flat_map(|array| {
            let (variable, dtype) = (array.schema.name.clone(), array.schema.dtype);
            let open = std::mem::take(&mut array.open);
            open.into_iter()
                .map(move |(coordinate, chunk)| (name.clone(), variable.clone(), dtype, coordinate, chunk))
        });
        arrays.collect()
    }

    fn dataset(&mut self, name: &str) -> Result<&mut PendingDataset> {
        match self.ordinals.get(name).and_then(|&position| self.datasets.get_mut(position)) {
            Some(dataset) => Ok(dataset),
            None if self.base.ordinal(name).is_some() => Err(Error::Committed { dataset: name.to_owned() }),
            None => Err(Error::NoDataset { dataset: name.to_owned() }),
        }
    }

    fn ordinal(&self, position: usize) -> Result<u32> {
        u32::try_from(self.base.datasets.len() + position).map_err(|_| Error::Location {
            location: self.storage.to_string(),
            reason: "it has as many datasets as a store can have".to_owned(),
        })
    }
}

impl PendingDataset {
    fn array(&mut self, name: &str) -> Result<&mut PendingArray> {
        let dataset = &self.name;
        self.arrays
            .iter_mut()
            .find(|array| array.schema.name == name)
            .ok_or_else(|| Error::NoArray { dataset: dataset.clone(), array: name.to_owned() })
    }
}

impl PendingArray {
    /// Writes the part of `region`'s cells that is in a chunk; the chunk, where it is complete now.
    fn write_chunk(
        &mut self,
        coordinate: Vec<u32>,
        region: &Region,
        cells: &ArrayRef,
    ) -> Result<Option<(Vec<u32>, ArrayRef)>, ArrowError> {
        let chunk = self.grid.region(&coordinate);
        let part = chunk.intersect(region);
        let piece = cut(cells, region, &part)?;
        if part == chunk {
            self.open.remove(&coordinate);
            self.sealed.insert(coordinate.clone());
            return Ok(Some((coordinate, piece)));
        }
        let open = self.open.entry(coordinate.clone()).or_insert_with(|| OpenChunk::new(chunk));
        open.write(part, piece);
        if !open.is_complete() {
            return Ok(None);
        }
        let cells = open.assemble(self.schema.dtype)?;
        self.open.remove(&coordinate);
        self.sealed.insert(coordinate.clone());
        Ok(Some((coordinate, cells)))
    }
}

fn set(attributes: &mut Attributes, key: &str, value: AttributeValue) {
    match attributes.iter_mut().find(|(name, _)| name == key) {
        Some((_, old)) => *old = value,
        None => attributes.push((key.to_owned(), value)),
    }
}

fn shape_error(dataset: &str, array: &str, reason: String) -> Error {
    Error::Shape { dataset: dataset.to_owned(), array: array.to_owned(), reason }
}

fn check_key(key: &str) -> Result<()> {
    if key.is_empty() {
        return Err(Error::Name { kind: "an attribute", name: String::new(), reason: "it is empty" });
    }
    Ok(())
}

/// Checks that `schema` and `shape` fit each other.
fn check_shape(schema: &ArraySchema, shape: &[usize]) -> Result<ChunkGrid, String> {
    let (rank, dims) = (schema.dims.len(), &schema.dims);
    if shape.len() != rank || schema.chunk.len() != rank {
        let chunk = &schema.chunk;
        return Err(format!(
            "dimensions {dims:?}, shape {shape:?} and chunk shape {chunk:?} differ in length"
        ));
    }
    if let Some(dim) =
        (1..rank).find_map(|i| dims.get(i).filter(|dim| dims.iter().take(i).any(|d| d == *dim)))
    {
        return Err(format!("it has dimension `{dim}` twice"));
    }
    if let Some(fill) = schema.fill.as_ref().filter(|fill| !schema.dtype.holds(fill)) {
        return Err(format!("its fill value {fill} is not a {}", schema.dtype));
    }
    let cells = shape.iter().try_fold(1usize, |cells, &size| cells.checked_mul(size));
    if cells.is_none_or(|cells| cells as u64 > MAX_CELLS) {
        return Err(format!("its shape {shape:?} has too many cells"));
    }
    let chunk = schema.chunk_shape(shape);
    let bytes =
        chunk.iter().zip(shape).try_fold(schema.dtype.width().unwrap_or(1), |bytes, (&chunk, &size)| {
            bytes.checked_mul(chunk.min(size.max(1)))
        });
    if bytes.is_none_or(|bytes| bytes > MAX_CHUNK_BYTES) {
        return Err(format!(
            "a chunk of shape {chunk:?} is larger than {MAX_CHUNK_BYTES} bytes: choose smaller chunks"
        ));
    }
    Ok(ChunkGrid::new(shape, &chunk))
}

/// Removes files that no catalog names. What cannot be removed does no harm.
pub(crate) async fn discard_files(storage: &Storage, paths: &[String]) {
    for path in paths {
        let _ = storage.delete(path).await;
    }
}
