//! The index of a segment: two Arrow tables, of its blocks and of its chunks.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, ListArray, RecordBatch, UInt32Array, UInt64Array,
};
use arrow::buffer::{Buffer, OffsetBuffer};
use arrow::compute::{concat, take_record_batch};
use arrow::datatypes::{DataType, Field, Float64Type, Schema, SchemaRef, UInt32Type, UInt64Type};
use arrow::error::ArrowError;

use super::{block, table};
use crate::encoding::parts::Parts;
use crate::model::dtype::DType;
use crate::model::statistics::Statistics;
use crate::model::value::Value;

/// Where a block lies in its segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlockEntry {
    pub offset: u64,
    pub length: u32,
    pub cells: u32,
}

/// A chunk to be added to an index.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ChunkEntry {
    /// The ordinal of its dataset as the index has it: without the segment's `first`.
    pub dataset: u32,
    /// Its coordinate. `None` deletes every chunk of the dataset in earlier segments.
    pub chunk: Option<Vec<u32>>,
    /// The block that holds it.
    pub block: u32,
    /// Its first cell in the block.
    pub offset: u32,
    pub statistics: Statistics,
}

/// The index of a segment, as read.
#[derive(Debug)]
pub(crate) struct Index {
    pub dtype: DType,
    pub blocks: Vec<BlockEntry>,
    /// The length of the tables, in whose memory the columns lie.
    length: usize,
    /// A number that is added to the ordinals of datasets in the table.
    first: u32,
    /// The table of chunks as stored, in order of dataset and then of coordinate. Its columns
    /// follow.
    chunks: RecordBatch,
    dataset: UInt32Array,
    chunk: ListArray,
    block: UInt32Array,
    offset: UInt32Array,
    row_count: UInt32Array,
    null_count: UInt32Array,
    nan_count: UInt32Array,
    min: ArrayRef,
    max: ArrayRef,
    /// The sums and their type; `None` where the dtype has none.
    sum: Option<(DType, ArrayRef)>,
    m2: Option<Float64Array>,
    has_nan: bool,
}

/// The chunks of one segment as columns, with a row for each chunk, in order of dataset and then of
/// coordinate. Some rows are obsolete: later segments replace them, or their dataset is deleted.
/// Rows without a coordinate delete chunks of earlier segments.
#[derive(Clone, Copy, Debug)]
pub struct ChunkColumns<'a> {
    file: &'a str,
    index: &'a Index,
}

impl<'a> ChunkColumns<'a> {
    pub(crate) fn new(file: &'a str, index: &'a Index) -> Self {
        Self { file, index }
    }

    /// The path of the segment in the store.
    pub fn file(&self) -> &'a str {
        self.file
    }

    /// The type of the values.
    pub fn dtype(&self) -> DType {
        self.index.dtype
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.index.len()
    }

    /// The ordinals of the datasets in the catalog.
    pub fn datasets(&self) -> UInt32Array {
        let Index { first, dataset, .. } = self.index;
        // `decode` made sure that they do not overflow.
        if *first == 0 { dataset.clone() } else { dataset.unary(|ordinal| ordinal.wrapping_add(*first)) }
    }

    /// The coordinates in the grids of chunks; null in rows that delete.
    pub fn coordinates(&self) -> &'a ListArray {
        &self.index.chunk
    }

    /// The numbers of the blocks in the segment.
    pub fn blocks(&self) -> &'a UInt32Array {
        &self.index.block
    }

    /// The first cell of each chunk among those of its block.
    pub fn offsets(&self) -> &'a UInt32Array {
        &self.index.offset
    }

    /// [`Statistics::row_count`] of each chunk.
    pub fn row_counts(&self) -> &'a UInt32Array {
        &self.index.row_count
    }

    /// [`Statistics::null_count`] of each chunk.
    pub fn null_counts(&self) -> &'a UInt32Array {
        &self.index.null_count
    }

    /// [`Statistics::nan_count`] of each chunk.
    pub fn nan_counts(&self) -> &'a UInt32Array {
        &self.index.nan_count
    }

    /// [`Statistics::min`] of each chunk, as an array of the dtype.
    pub fn min(&self) -> &'a ArrayRef {
        &self.index.min
    }

    /// [`Statistics::max`] of each chunk, as an array of the dtype.
    pub fn max(&self) -> &'a ArrayRef {
        &self.index.max
    }

    /// [`Statistics::sum`] of each chunk, in the type of [`DType::sum`]; `None` where the dtype has
    /// none.
    pub fn sum(&self) -> Option<&'a ArrayRef> {
        self.index.sum.as_ref().map(|(_, sums)| sums)
    }

    /// [`Statistics::m2`] of each chunk; `None` where the dtype has none.
    pub fn m2(&self) -> Option<&'a Float64Array> {
        self.index.m2.as_ref()
    }
}

/// The greatest size of an index before compression.
pub(crate) const MAX_BYTES: u64 = 1 << 31;

/// The columns of the table of blocks.
fn block_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("offset", DataType::UInt64, false),
        Field::new("length", DataType::UInt32, false),
        Field::new("cells", DataType::UInt32, false),
    ]))
}

/// The columns of the table of chunks for values of `dtype`.
pub(crate) fn chunk_schema(dtype: DType) -> SchemaRef {
    let coordinate = Arc::new(Field::new("item", DataType::UInt32, false));
    let mut fields = vec![
        Field::new("dataset", DataType::UInt32, false),
        Field::new("chunk", DataType::List(coordinate), true),
        Field::new("block", DataType::UInt32, false),
        Field::new("offset", DataType::UInt32, false),
        Field::new("row_count", DataType::UInt32, false),
        Field::new("null_count", DataType::UInt32, false),
        Field::new("nan_count", DataType::UInt32, false),
        Field::new("min", dtype.arrow(), true),
        Field::new("max", dtype.arrow(), true),
    ];
    if let Some(sum) = dtype.sum() {
        fields.extend([Field::new("sum", sum, true), Field::new("m2", DataType::Float64, true)]);
    }
    Arc::new(Schema::new(fields))
}

/// The number of bounds and sums that are gathered before they become columns.
const GATHERED: usize = 4096;

/// The table of chunks while it is written. Columns need a fraction of the memory of entries.
pub(crate) struct ChunkTable {
    dtype: DType,
    dataset: Vec<u32>,
    coordinates: Vec<u32>,
    /// For each row, the end of its coordinate in `coordinates`, and whether it has one.
    ends: Vec<i32>,
    located: Vec<bool>,
    /// `block`, `offset`, `row_count`, `null_count`, `nan_count`.
    numbers: [Vec<u32>; 5],
    /// `min`, `max`, `sum`, `m2`: the values gathered so far, and the finished columns.
    gathered: [Vec<Option<Value>>; 4],
    values: [Vec<ArrayRef>; 4],
    /// For these datasets, rows before the given one are obsolete.
    forgotten: HashMap<u32, usize>,
    /// True while rows come in the order that the format requires.
    sorted: bool,
}

impl ChunkTable {
    pub(crate) fn new(dtype: DType) -> Self {
        Self {
            dtype,
            dataset: Vec::new(),
            coordinates: Vec::new(),
            ends: Vec::new(),
            located: Vec::new(),
            numbers: Default::default(),
            gathered: Default::default(),
            values: Default::default(),
            forgotten: HashMap::new(),
            sorted: true,
        }
    }

    /// Adds a row. It replaces an earlier row with the same dataset and coordinate.
    ///
    /// # Errors
    /// If the table has too many rows, or the chunk too many cells.
    pub(crate) fn push(&mut self, entry: ChunkEntry) -> Result<(), String> {
        let ChunkEntry { dataset, chunk, block, offset, statistics } = entry;
        let row = self.dataset.len();
        let coordinate = chunk.as_deref().unwrap_or_default();
        // Arrow's offsets are i32.
        let end = i32::try_from(self.coordinates.len() + coordinate.len());
        let end = end.map_err(|_| "it has too many chunks for one segment".to_owned())?;
        let narrow = |count: u64| {
            u32::try_from(count).map_err(|_| format!("a chunk has {count} cells, more than a block can have"))
        };
        let Statistics { row_count, null_count, nan_count, min, max, sum, m2 } = statistics;
        let numbers = [block, offset, narrow(row_count)?, narrow(null_count)?, narrow(nan_count)?];
        self.dataset.push(dataset);
        self.located.push(chunk.is_some());
        self.coordinates.extend(coordinate);
        self.ends.push(end);
        for (column, number) in self.numbers.iter_mut().zip(numbers) {
            column.push(number);
        }
        for (column, value) in self.gathered.iter_mut().zip([min, max, sum, m2.map(Value::F64)]) {
            column.push(value);
        }
        if self.gathered.iter().any(|column| column.len() >= GATHERED) {
            self.gather();
        }
        self.sorted = self.sorted && (row == 0 || self.order(row - 1, row).is_lt());
        Ok(())
    }

    /// Drops the rows that a dataset has so far.
    pub(crate) fn forget(&mut self, dataset: u32) {
        self.forgotten.insert(dataset, self.dataset.len());
    }

    fn gather(&mut self) {
        let types = value_types(self.dtype);
        for ((gathered, values), dtype) in self.gathered.iter_mut().zip(&mut self.values).zip(types) {
            let gathered = std::mem::take(gathered);
            values.extend(dtype.map(|dtype| dtype.array(gathered)));
        }
    }

    fn key(&self, row: usize) -> (u32, bool, &[u32]) {
        // The rows exist: `push` has numbered them.
        let end = |row: usize| self.ends.get(row).and_then(|&end| usize::try_from(end).ok()).unwrap_or(0);
        let start = row.checked_sub(1).map_or(0, end);
        let coordinate = self.coordinates.get(start..end(row)).unwrap_or_default();
        let at = |row: usize| self.dataset.get(row).copied().unwrap_or_default();
        (at(row), self.located.get(row).copied().unwrap_or_default(), coordinate)
    }

    fn order(&self, a: usize, b: usize) -> Ordering {
        self.key(a).cmp(&self.key(b))
    }

    /// The rows that count, in the order that the format requires; `None` if these are all rows as
    /// they are.
    fn rows(&self) -> Option<UInt64Array> {
        if self.sorted && self.forgotten.is_empty() {
            return None;
        }
        let counts = |row: &usize| {
            let dataset = self.dataset.get(*row);
            let forgotten = dataset.and_then(|dataset| self.forgotten.get(dataset));
            forgotten.is_none_or(|before| row >= before)
        };
        let mut rows: Vec<usize> = (0..self.dataset.len()).filter(counts).collect();
        // The sort is stable, so that the last of equal rows is the newest.
        rows.sort_by(|&a, &b| self.order(a, b));
        let newest = |pair: &[usize]| match *pair {
            [row, next] => self.order(row, next).is_ne().then_some(row as u64),
            _ => None,
        };
        let last = rows.last().map(|&row| row as u64);
        Some(rows.windows(2).filter_map(newest).chain(last).collect())
    }

    /// The finished table; empty if no chunk counts.
    pub(crate) fn finish(mut self) -> Result<RecordBatch, ArrowError> {
        self.gather();
        let rows = self.rows();
        let offsets: Vec<i32> = std::iter::once(0).chain(std::mem::take(&mut self.ends)).collect();
        let chunk = ListArray::try_new(
            Arc::new(Field::new("item", DataType::UInt32, false)),
            OffsetBuffer::new(offsets.into()),
            Arc::new(UInt32Array::from(self.coordinates)),
            Some(self.located.into()),
        )?;
        let mut columns: Vec<ArrayRef> = vec![Arc::new(UInt32Array::from(self.dataset)), Arc::new(chunk)];
        columns.extend(self.numbers.map(|numbers| Arc::new(UInt32Array::from(numbers)) as ArrayRef));
        for (values, dtype) in self.values.into_iter().zip(value_types(self.dtype)) {
            let Some(dtype) = dtype else { continue };
            let values: Vec<&dyn Array> = values.iter().map(AsRef::as_ref).collect();
            columns.push(if values.is_empty() { dtype.array([]) } else { concat(&values)? });
        }
        let table = RecordBatch::try_new(chunk_schema(self.dtype), columns)?;
        match rows {
            Some(rows) => take_record_batch(&table, &rows),
            None => Ok(table),
        }
    }
}

/// The type of the column of sums.
fn sum_type(dtype: DType) -> Option<DType> {
    dtype.sum().as_ref().and_then(DType::from_arrow)
}

/// The types of the columns `min`, `max`, `sum` and `m2`; `None` for a column that does not exist.
fn value_types(dtype: DType) -> [Option<DType>; 4] {
    let sum = sum_type(dtype);
    [Some(dtype), Some(dtype), sum, sum.map(|_| DType::F64)]
}

/// A column of a table.
fn column<'a>(table: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef, String> {
    table.column_by_name(name).ok_or_else(|| format!("it has no column `{name}`"))
}

/// A column of counts or numbers of a table.
fn numbers<'a>(table: &'a RecordBatch, name: &str) -> Result<&'a UInt32Array, String> {
    let numbers = column(table, name)?.as_primitive_opt::<UInt32Type>();
    numbers.ok_or_else(|| format!("its column `{name}` has no numbers"))
}

/// The column of coordinates of a table.
fn coordinates(table: &RecordBatch) -> Result<&ListArray, String> {
    column(table, "chunk")?.as_list_opt().ok_or_else(|| "its column `chunk` has no coordinates".to_owned())
}

/// The numbers of chunks, cells and missing cells of a table of chunks, without rows that delete.
pub(crate) fn totals(table: &RecordBatch) -> Result<(u64, u64, u64), String> {
    let chunk = coordinates(table)?;
    let sum = |name: &str| -> Result<u64, String> {
        let counts = numbers(table, name)?.values().iter().enumerate();
        Ok(counts.filter(|(row, _)| chunk.is_valid(*row)).map(|(_, &count)| u64::from(count)).sum())
    };
    Ok(((table.num_rows() - chunk.null_count()) as u64, sum("row_count")?, sum("null_count")?))
}

/// Encodes `blocks` and the table of `chunks` as the bytes of an index, in parts.
pub(crate) fn encode(blocks: &[BlockEntry], chunks: &RecordBatch) -> Result<Parts, String> {
    let rows = chunks.num_rows();
    let blocks = RecordBatch::try_new(
        block_schema(),
        vec![
            Arc::new(UInt64Array::from_iter_values(blocks.iter().map(|b| b.offset))),
            Arc::new(UInt32Array::from_iter_values(blocks.iter().map(|b| b.length))),
            Arc::new(UInt32Array::from_iter_values(blocks.iter().map(|b| b.cells))),
        ],
    );
    (|| {
        let (blocks, chunks) = (table::write(&blocks?)?, table::write(chunks)?);
        if (blocks.len() + chunks.len() + 8) as u64 > MAX_BYTES {
            let reason = format!("{} chunks are too many for one segment: make chunks larger", rows);
            return Err(ArrowError::InvalidArgumentError(reason));
        }
        let length = Buffer::from((blocks.len() as u64).to_le_bytes());
        Ok(std::iter::once(length).chain(blocks).chain(chunks).collect())
    })()
    .map_err(|e: ArrowError| e.to_string())
}

impl Index {
    /// The inverse of [`encode`], for a segment whose index starts at `index_offset`. `first` is
    /// added to the ordinals of datasets.
    pub(crate) fn decode(
        dtype: DType,
        bytes: &Buffer,
        index_offset: u64,
        first: u32,
    ) -> Result<Self, String> {
        // Arrow requires that numbers are aligned to their width.
        let aligned = bytes.as_ptr().align_offset(8) == 0;
        let bytes = &if aligned { bytes.clone() } else { Buffer::from(bytes.as_slice()) };
        let (length, tables) = bytes.split_first_chunk::<8>().ok_or("it is too short")?;
        let length = usize::try_from(u64::from_le_bytes(*length)).ok();
        let length = length.filter(|&length| length <= tables.len()).ok_or("it is too short")?;
        let blocks = table::read(&bytes.slice_with_length(8, length), &block_schema())?;
        let blocks = decode_blocks(&blocks, dtype, index_offset)?;
        let chunks = table::read(&bytes.slice(8 + length), &chunk_schema(dtype))?;
        let numbers = |name| numbers(&chunks, name).cloned();
        let nan_count = numbers("nan_count")?;
        let sum = match sum_type(dtype) {
            Some(sum) => Some((sum, Arc::clone(column(&chunks, "sum")?))),
            None => None,
        };
        let m2 = match &sum {
            Some(_) => {
                let m2 = column(&chunks, "m2")?.as_primitive_opt::<Float64Type>().cloned();
                Some(m2.ok_or("its column `m2` has no numbers")?)
            }
            None => None,
        };
        let index = Self {
            dtype,
            blocks,
            length: bytes.len(),
            first,
            dataset: numbers("dataset")?,
            chunk: coordinates(&chunks)?.clone(),
            block: numbers("block")?,
            offset: numbers("offset")?,
            row_count: numbers("row_count")?,
            null_count: numbers("null_count")?,
            has_nan: nan_count.values().iter().any(|&count| count > 0),
            nan_count,
            min: Arc::clone(column(&chunks, "min")?),
            max: Arc::clone(column(&chunks, "max")?),
            sum,
            m2,
            chunks,
        };
        index.check()?;
        Ok(index)
    }

    /// Checks that every row lies in its block, that rows are sorted and unique, and that datasets
    /// have valid ordinals.
    fn check(&self) -> Result<(), String> {
        for row in 0..self.len() {
            let cells = u64::from(self.offset.value(row)) + u64::from(self.row_count.value(row));
            let deletes = self.chunk.is_null(row);
            match self.blocks.get(self.block.value(row) as usize) {
                _ if deletes => {}
                _ if self.row_count.value(row) == 0 => return Err(format!("row {row} has no cells")),
                Some(block) if cells <= u64::from(block.cells) => {}
                _ => return Err(format!("row {row} lies outside its block")),
            }
            let missing = u64::from(self.null_count.value(row)) + u64::from(self.nan_count.value(row));
            if missing > u64::from(self.row_count.value(row)) {
                return Err(format!("row {row} has more missing cells than cells"));
            }
            if row > 0 {
                let order = self.dataset.value(row - 1).cmp(&self.dataset.value(row));
                let order = order.then_with(|| {
                    if self.chunk.is_null(row - 1) && !deletes {
                        return Ordering::Less;
                    }
                    self.coordinate(row - 1).cmp(self.coordinate(row))
                });
                if order.is_ge() {
                    return Err(format!("row {row} is out of order"));
                }
            }
        }
        // The last ordinal is the greatest. `u32::MAX` is not a valid ordinal.
        let Some(last) = self.dataset.values().last() else { return Ok(()) };
        match last.checked_add(self.first) {
            None | Some(u32::MAX) => {
                Err(format!("dataset {last} after the first, {}, is more than a store can have", self.first))
            }
            Some(_) => Ok(()),
        }
    }

    /// The number of rows of the table of chunks.
    pub(crate) fn len(&self) -> usize {
        self.chunks.num_rows()
    }

    /// The table of chunks.
    pub(crate) fn table(&self) -> &RecordBatch {
        &self.chunks
    }

    /// The rows of a dataset.
    pub(crate) fn rows(&self, dataset: u32) -> std::ops::Range<usize> {
        let Some(dataset) = dataset.checked_sub(self.first) else { return 0..0 };
        let datasets = self.dataset.values();
        let start = datasets.partition_point(|&d| d < dataset);
        let length = datasets.get(start..).map_or(0, |rest| rest.partition_point(|&d| d == dataset));
        start..start + length
    }

    /// True if the index deletes the chunks of the dataset of `rows` in earlier segments.
    pub(crate) fn deletes(&self, rows: &std::ops::Range<usize>) -> bool {
        !rows.is_empty() && self.chunk.is_null(rows.start)
    }

    /// True for a row that deletes rather than describes a chunk.
    pub(crate) fn is_deletion(&self, row: usize) -> bool {
        self.chunk.is_null(row)
    }

    /// True if some chunk has a cell that is NaN.
    pub(crate) fn has_nan(&self) -> bool {
        self.has_nan
    }

    /// Bytes in memory.
    pub(crate) fn memory(&self) -> usize {
        self.length + self.blocks.len() * size_of::<BlockEntry>()
    }

    /// The row of a chunk, among the `rows` of its dataset.
    pub(crate) fn find(&self, rows: std::ops::Range<usize>, coordinate: &[u32]) -> Option<usize> {
        let (mut low, mut high) = (rows.start, rows.end);
        while low < high {
            let middle = low.midpoint(high);
            match self.coordinate(middle).cmp(coordinate) {
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
                Ordering::Equal if self.chunk.is_null(middle) => low = middle + 1,
                Ordering::Equal => return Some(middle),
            }
        }
        None
    }

    /// The dataset of a row.
    pub(crate) fn dataset(&self, row: usize) -> u32 {
        // `check` made sure that this does not overflow.
        self.dataset.value(row).wrapping_add(self.first)
    }

    /// The coordinate of a row; empty for one that deletes.
    pub(crate) fn coordinate(&self, row: usize) -> &[u32] {
        // Arrow has checked that the offsets ascend and lie in the values.
        let offsets = self.chunk.value_offsets();
        let bound = |row: usize| offsets.get(row).and_then(|&o| usize::try_from(o).ok()).unwrap_or(0);
        let values = self.chunk.values().as_primitive::<UInt32Type>().values();
        values.get(bound(row)..bound(row + 1)).unwrap_or_default()
    }

    /// The block of a row, and the cells of the row in it.
    pub(crate) fn cells(&self, row: usize) -> (usize, std::ops::Range<usize>) {
        let start = self.offset.value(row) as usize;
        (self.block.value(row) as usize, start..start + self.row_count.value(row) as usize)
    }

    /// True if all cells of a row's chunk are missing.
    pub(crate) fn all_missing(&self, row: usize) -> bool {
        self.null_count.value(row) == self.row_count.value(row)
    }

    /// The statistics of a row's chunk.
    pub(crate) fn statistics(&self, row: usize) -> Statistics {
        Statistics {
            row_count: u64::from(self.row_count.value(row)),
            null_count: u64::from(self.null_count.value(row)),
            nan_count: u64::from(self.nan_count.value(row)),
            min: self.dtype.value(&self.min, row),
            max: self.dtype.value(&self.max, row),
            sum: self.sum.as_ref().and_then(|(dtype, sums)| dtype.value(sums, row)),
            m2: self.m2.as_ref().and_then(|m2| m2.is_valid(row).then(|| m2.value(row))),
        }
    }
}

/// The blocks of a segment. They fill it from its start to its index.
fn decode_blocks(table: &RecordBatch, dtype: DType, index_offset: u64) -> Result<Vec<BlockEntry>, String> {
    let columns = table.columns();
    let [offset, length, cells] = columns else { return Err("a table of it has other columns".to_owned()) };
    let offset = offset.as_primitive::<UInt64Type>();
    let (length, cells) = (length.as_primitive::<UInt32Type>(), cells.as_primitive::<UInt32Type>());
    let mut blocks = Vec::with_capacity(table.num_rows());
    let mut end = 0u64;
    for row in 0..table.num_rows() {
        let entry =
            BlockEntry { offset: offset.value(row), length: length.value(row), cells: cells.value(row) };
        if entry.offset != end {
            return Err(format!("block {row} is out of place"));
        }
        if entry.cells as usize > block::max_cells(dtype) {
            return Err(format!("block {row} has {} cells, more than a block can have", entry.cells));
        }
        end = end.saturating_add(u64::from(entry.length));
        blocks.push(entry);
    }
    if end == index_offset {
        Ok(blocks)
    } else {
        Err(format!("its blocks end at {end}, not where its index starts at {index_offset}"))
    }
}

#[cfg(test)]
#[allow(clippy::cast_possible_truncation, reason = "numbers made up to fit, or to be cut")]
mod tests {
    use super::*;

    fn entry(dataset: u32, chunk: Option<Vec<u32>>, offset: u32) -> ChunkEntry {
        let statistics = Statistics {
            row_count: 10,
            null_count: 2,
            nan_count: 1,
            min: Some(Value::F64(-1.0)),
            max: Some(Value::F64(f64::from(dataset))),
            sum: Some(Value::F64(0.25)),
            m2: Some(1.5),
        };
        ChunkEntry { dataset, chunk, block: 0, offset, statistics }
    }

    fn encode_all(dtype: DType, blocks: &[BlockEntry], chunks: &[ChunkEntry]) -> Buffer {
        let mut table = ChunkTable::new(dtype);
        chunks.iter().cloned().for_each(|chunk| table.push(chunk).unwrap());
        // Keep the order of the entries, to test what is refused.
        table.sorted = true;
        Buffer::from_vec(encode(blocks, &table.finish().unwrap()).unwrap().concat())
    }

    const BLOCKS: [BlockEntry; 2] =
        [BlockEntry { offset: 0, length: 60, cells: 40 }, BlockEntry { offset: 60, length: 40, cells: 1 }];

    #[test]
    fn rows_are_found_by_dataset_and_coordinate() {
        let chunks = [
            entry(0, Some(vec![0, 0]), 0),
            entry(3, None, 0),
            entry(3, Some(vec![0, 0]), 10),
            entry(3, Some(vec![0, 1]), 20),
            entry(3, Some(vec![1, 0]), 30),
            entry(7, Some(vec![]), 0),
        ];
        let bytes = encode_all(DType::F64, &BLOCKS, &chunks);
        let index = Index::decode(DType::F64, &bytes, 100, 0).unwrap();
        assert_eq!(index.len(), chunks.len());
        assert_eq!(index.blocks, BLOCKS);
        assert_eq!(index.rows(3), 1..5);
        assert_eq!((index.rows(1), index.rows(9)), (1..1, 6..6));
        assert!(index.deletes(&index.rows(3)) && !index.deletes(&index.rows(0)) && !index.deletes(&(2..2)));
        for (row, chunk) in chunks.iter().enumerate() {
            if let Some(coordinate) = &chunk.chunk {
                assert_eq!(index.find(index.rows(chunk.dataset), coordinate), Some(row));
                assert_eq!(index.coordinate(row), coordinate);
                assert_eq!(index.cells(row), (0, chunk.offset as usize..chunk.offset as usize + 10));
                assert_eq!(index.statistics(row), chunk.statistics);
            }
        }
        assert_eq!(index.find(index.rows(3), &[2, 0]), None);
        assert_eq!(index.find(index.rows(3), &[]), None);
    }

    #[test]
    fn an_index_starts_at_the_ordinal_that_it_is_told() {
        let chunks = [entry(0, Some(vec![0]), 0), entry(2, Some(vec![0]), 10), entry(2, Some(vec![1]), 20)];
        let bytes = encode_all(DType::F64, &BLOCKS, &chunks);
        let index = Index::decode(DType::F64, &bytes, 100, 5).unwrap();
        assert_eq!((0..3).map(|row| index.dataset(row)).collect::<Vec<_>>(), [5, 7, 7]);
        assert_eq!((index.rows(0), index.rows(2), index.rows(4)), (0..0, 0..0, 0..0));
        assert_eq!((index.rows(5), index.rows(6), index.rows(7)), (0..1, 1..1, 1..3));
        assert_eq!(index.find(index.rows(7), &[1]), Some(2));
        let columns = ChunkColumns::new("x", &index);
        assert_eq!(columns.datasets().values(), &[5, 7, 7]);
        assert_eq!(columns.m2().unwrap().value(1), 1.5);
        // The table itself stays unchanged.
        assert_eq!(numbers(index.table(), "dataset").unwrap().values(), &[0, 2, 2]);
        let last = u32::MAX - 1;
        assert!(Index::decode(DType::F64, &bytes, 100, last - 2).is_ok());
        for first in [last - 1, last, u32::MAX] {
            let reason = Index::decode(DType::F64, &bytes, 100, first).unwrap_err();
            assert!(reason.contains("more than a store can have"), "{reason}");
        }
    }

    #[test]
    fn rows_that_come_in_any_order_are_sorted_and_later_ones_stay() {
        let mut table = ChunkTable::new(DType::F64);
        let rows = [
            entry(3, Some(vec![1, 0]), 1),
            entry(0, Some(vec![0, 0]), 2),
            entry(5, Some(vec![0, 0]), 3),
            entry(3, Some(vec![0, 7]), 4),
            entry(3, Some(vec![1, 0]), 5),
        ];
        rows.into_iter().for_each(|row| table.push(row).unwrap());
        table.forget(5);
        table.push(entry(5, Some(vec![0, 1]), 6)).unwrap();
        table.push(entry(5, None, 7)).unwrap();
        let table = table.finish().unwrap();
        // The row that deletes does not count.
        assert_eq!(totals(&table), Ok((4, 40, 8)));
        let offset = table.column_by_name("offset").unwrap().as_primitive::<UInt32Type>();
        assert_eq!(offset.values(), &[2, 4, 5, 7, 6]);
        let many = GATHERED as u32 * 2 + 1;
        let mut table = ChunkTable::new(DType::F64);
        (0..many).for_each(|dataset| table.push(entry(dataset, Some(vec![]), 0)).unwrap());
        let table = table.finish().unwrap();
        assert_eq!(table.num_rows(), many as usize);
        assert_eq!(DType::F64.value(table.column_by_name("max").unwrap(), 8000), Some(Value::F64(8000.0)));
    }

    #[test]
    fn an_index_that_contradicts_itself_is_refused() {
        let refused = |blocks: &[BlockEntry], chunks: &[ChunkEntry]| {
            let bytes = encode_all(DType::F64, blocks, chunks);
            Index::decode(DType::F64, &bytes, 100, 0).unwrap_err()
        };
        assert!(refused(&BLOCKS, &[entry(0, Some(vec![0]), 31)]).contains("outside its block"));
        let (a, b) = (entry(0, Some(vec![0]), 0), entry(0, Some(vec![1]), 0));
        assert!(refused(&BLOCKS, &[b, a.clone()]).contains("out of order"));
        assert!(refused(&BLOCKS, &[a.clone(), a.clone()]).contains("out of order"));
        assert!(refused(&BLOCKS[..1], std::slice::from_ref(&a)).contains("not where its index starts"));
        assert!(refused(&BLOCKS[1..], std::slice::from_ref(&a)).contains("out of place"));
        let large = BlockEntry { cells: u32::MAX, ..BLOCKS[0] };
        assert!(
            refused(&[large, BLOCKS[1]], std::slice::from_ref(&a)).contains("more than a block can have")
        );
        let none = ChunkEntry { statistics: Statistics::default(), ..a };
        assert!(refused(&BLOCKS, &[none]).contains("has no cells"));
    }

    /// Found by fuzzing: Arrow trusts the offsets, lengths and counts of buffers.
    #[test]
    fn an_index_that_lies_about_its_buffers_is_refused() {
        let text = ChunkEntry {
            statistics: Statistics {
                min: Some(Value::String("a long bound of text".into())),
                ..Statistics::default()
            },
            ..entry(0, Some(vec![0]), 0)
        };
        for (dtype, entry) in [(DType::F64, entry(0, Some(vec![0]), 0)), (DType::String, text)] {
            let bytes = encode_all(dtype, &BLOCKS, &[entry]);
            for byte in 8..bytes.len() {
                for value in [0, 1, 0x10, 0x80, 0xfe, 0xff] {
                    let mut damaged = bytes.to_vec();
                    damaged[byte] = value;
                    // Any result but a panic: only the checksum could have detected this damage.
                    let _ = Index::decode(dtype, &Buffer::from_vec(damaged), 100, 0);
                }
            }
        }
    }

    #[test]
    fn truncated_bytes_are_refused() {
        let bytes = encode_all(DType::F64, &BLOCKS, &[entry(0, Some(vec![0]), 0)]);
        for end in 0..bytes.len() {
            let short = bytes.slice_with_length(0, end);
            assert!(Index::decode(DType::F64, &short, 100, 0).is_err(), "{end}");
        }
        assert!(Index::decode(DType::F32, &bytes, 100, 0).is_err());
    }
}
