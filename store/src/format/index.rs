//! The index of a segment: two Arrow tables, of its blocks and of its chunks.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, RecordBatch, UInt32Array, UInt64Array};
use arrow::buffer::{Buffer, OffsetBuffer};
use arrow::compute::{concat, take_record_batch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, UInt32Type, UInt64Type};
use arrow::error::ArrowError;

use super::{block, table};
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

/// A chunk, as it goes into an index.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ChunkEntry {
    /// The ordinal of its dataset in the catalog.
    pub dataset: u32,
    /// Its coordinate; `None` deletes every chunk that earlier segments have of the dataset.
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
    /// The length of the tables, in which the columns lie.
    length: usize,
    /// The table of chunks as the format has it, in order of dataset and then of coordinate.
    chunks: RecordBatch,
    dataset: UInt32Array,
    chunk: ListArray,
    block: UInt32Array,
    offset: UInt32Array,
    row_count: UInt32Array,
    null_count: UInt32Array,
    nan_count: UInt32Array,
    has_nan: bool,
}

/// Bytes of an index before compression, at the most.
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
    fields.extend(dtype.sum().map(|sum| Field::new("sum", sum, true)));
    Arc::new(Schema::new(fields))
}

/// Bounds and sums that are gathered before they become columns.
const GATHERED: usize = 4096;

/// The table of chunks while it is written: columns, which take a fraction of what entries would.
pub(crate) struct ChunkTable {
    dtype: DType,
    dataset: Vec<u32>,
    coordinates: Vec<u32>,
    /// For each row the end of its coordinate in `coordinates`, and whether it has one.
    ends: Vec<u32>,
    located: Vec<bool>,
    /// `block`, `offset`, `row_count`, `null_count`, `nan_count`.
    numbers: [Vec<u32>; 5],
    /// `min`, `max`, `sum`: what is gathered, and what became columns.
    gathered: [Vec<Option<Value>>; 3],
    values: [Vec<ArrayRef>; 3],
    /// The rows of these datasets before these ones mean nothing.
    forgotten: HashMap<u32, usize>,
    /// True while rows come in the order that the format wants.
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

    /// Adds a row. It takes the place of an earlier one with the same dataset and coordinate.
    pub(crate) fn push(&mut self, entry: ChunkEntry) {
        let ChunkEntry { dataset, chunk, block, offset, statistics } = entry;
        let row = self.dataset.len();
        self.dataset.push(dataset);
        self.located.push(chunk.is_some());
        self.coordinates.extend(chunk.unwrap_or_default());
        // Of u32::MAX numbers the coordinates would take 16 GiB.
        self.ends.push(u32::try_from(self.coordinates.len()).unwrap_or(u32::MAX));
        // Counts of cells of a block, which has at most u32::MAX of them.
        let narrow = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
        let counts = [statistics.row_count, statistics.null_count, statistics.nan_count].map(narrow);
        let [rows, nulls, nans] = counts;
        for (column, number) in self.numbers.iter_mut().zip([block, offset, rows, nulls, nans]) {
            column.push(number);
        }
        for (column, value) in self.gathered.iter_mut().zip([statistics.min, statistics.max, statistics.sum])
        {
            column.push(value);
        }
        if self.gathered.iter().any(|column| column.len() >= GATHERED) {
            self.gather();
        }
        self.sorted = self.sorted && (row == 0 || self.order(row - 1, row).is_lt());
    }

    /// Drops the rows that a dataset has so far.
    pub(crate) fn forget(&mut self, dataset: u32) {
        self.forgotten.insert(dataset, self.dataset.len());
    }

    fn gather(&mut self) {
        let types = [Some(self.dtype), Some(self.dtype), sum_type(self.dtype)];
        for ((gathered, values), dtype) in self.gathered.iter_mut().zip(&mut self.values).zip(types) {
            let gathered = std::mem::take(gathered);
            values.extend(dtype.map(|dtype| dtype.array(gathered)));
        }
    }

    fn key(&self, row: usize) -> (u32, bool, &[u32]) {
        let end = |row: usize| self.ends.get(row).map_or(0, |&end| end as usize);
        let start = row.checked_sub(1).map_or(0, end);
        let coordinate = self.coordinates.get(start..end(row)).unwrap_or_default();
        let at = |row: usize| self.dataset.get(row).copied().unwrap_or_default();
        (at(row), self.located.get(row).copied().unwrap_or_default(), coordinate)
    }

    fn order(&self, a: usize, b: usize) -> Ordering {
        self.key(a).cmp(&self.key(b))
    }

    /// The rows that count, in the order that the format wants; `None` where these are all as they are.
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
        // Stable, so that of equal rows the last is the newest.
        rows.sort_by(|&a, &b| self.order(a, b));
        let newest = |pair: &[usize]| match *pair {
            [row, next] => self.order(row, next).is_ne().then_some(row as u64),
            _ => None,
        };
        let last = rows.last().map(|&row| row as u64);
        Some(rows.windows(2).filter_map(newest).chain(last).collect())
    }

    /// The table; empty where no chunk counts.
    pub(crate) fn finish(mut self) -> Result<RecordBatch, ArrowError> {
        self.gather();
        let rows = self.rows();
        let mut offsets = vec![0i32];
        for &end in &self.ends {
            offsets.push(i32::try_from(end).map_err(|_| {
                ArrowError::InvalidArgumentError("too many chunks for one segment".to_owned())
            })?);
        }
        let chunk = ListArray::try_new(
            Arc::new(Field::new("item", DataType::UInt32, false)),
            OffsetBuffer::new(offsets.into()),
            Arc::new(UInt32Array::from(self.coordinates)),
            Some(self.located.into()),
        )?;
        let mut columns: Vec<ArrayRef> = vec![Arc::new(UInt32Array::from(self.dataset)), Arc::new(chunk)];
        columns.extend(self.numbers.map(|numbers| Arc::new(UInt32Array::from(numbers)) as ArrayRef));
        let types = [Some(self.dtype), Some(self.dtype), sum_type(self.dtype)];
        for (values, dtype) in self.values.into_iter().zip(types) {
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

/// Chunks, cells and missing cells of a table of chunks. Rows that delete count for nothing.
pub(crate) fn totals(table: &RecordBatch) -> (u64, u64, u64) {
    let column = |name: &str| table.column_by_name(name).and_then(|c| c.as_primitive_opt::<UInt32Type>());
    let chunk = table.column_by_name("chunk");
    let counts = |row: &usize| chunk.is_none_or(|chunk| chunk.is_valid(*row));
    let sum = |name: &str| -> u64 {
        let values = column(name).into_iter().flat_map(|column| column.values().iter().enumerate());
        values.filter(|(row, _)| counts(row)).map(|(_, &number)| u64::from(number)).sum()
    };
    let deletions = chunk.map_or(0, |chunk| chunk.null_count());
    ((table.num_rows() - deletions) as u64, sum("row_count"), sum("null_count"))
}

/// `blocks` and the table of `chunks` as the bytes of an index.
pub(crate) fn encode(blocks: &[BlockEntry], chunks: &RecordBatch) -> Result<Vec<u8>, String> {
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
        Ok([&(blocks.len() as u64).to_le_bytes(), blocks.as_slice(), chunks.as_slice()].concat())
    })()
    .map_err(|e: ArrowError| e.to_string())
}

impl Index {
    /// The inverse of [`encode`], for a segment whose index starts at `index_offset`.
    pub(crate) fn decode(dtype: DType, bytes: &Buffer, index_offset: u64) -> Result<Self, String> {
        // Arrow wants numbers where their width asks for them.
        let aligned = bytes.as_ptr().align_offset(8) == 0;
        let bytes = &if aligned { bytes.clone() } else { Buffer::from(bytes.as_slice()) };
        let (length, tables) = bytes.split_first_chunk::<8>().ok_or("it is too short")?;
        let length = usize::try_from(u64::from_le_bytes(*length)).unwrap_or(usize::MAX);
        if length > tables.len() {
            return Err("it is too short".to_owned());
        }
        let blocks = table::read(&bytes.slice_with_length(8, length), &block_schema())?;
        let blocks = decode_blocks(&blocks, dtype, index_offset)?;
        let chunks = table::read(&bytes.slice(8 + length), &chunk_schema(dtype))?;
        let column = |name: &str| -> Result<UInt32Array, String> {
            let column = chunks.column_by_name(name).and_then(|c| c.as_primitive_opt::<UInt32Type>());
            column.cloned().ok_or_else(|| format!("it has no column {name}"))
        };
        let index = Self {
            dtype,
            blocks,
            length: bytes.len(),
            dataset: column("dataset")?,
            chunk: chunks
                .column_by_name("chunk")
                .and_then(|c| c.as_list_opt())
                .cloned()
                .ok_or("it has no chunks")?,
            block: column("block")?,
            offset: column("offset")?,
            row_count: column("row_count")?,
            null_count: column("null_count")?,
            nan_count: column("nan_count")?,
            has_nan: column("nan_count")?.values().iter().any(|&count| count > 0),
            chunks,
        };
        index.check()?;
        Ok(index)
    }

    /// Every row lies in its block, and rows are sorted, each once.
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
        Ok(())
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
        let datasets = self.dataset.values();
        let start = datasets.partition_point(|&d| d < dataset);
        let length = datasets.get(start..).map_or(0, |rest| rest.partition_point(|&d| d == dataset));
        start..start + length
    }

    /// True where the index deletes what earlier segments have of the dataset of `rows`.
    pub(crate) fn deletes(&self, rows: &std::ops::Range<usize>) -> bool {
        !rows.is_empty() && self.chunk.is_null(rows.start)
    }

    /// True for a row that deletes, and is no chunk.
    pub(crate) fn is_deletion(&self, row: usize) -> bool {
        self.chunk.is_null(row)
    }

    /// True where some chunk has a cell that is NaN.
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
        self.dataset.value(row)
    }

    /// The coordinate of a row; empty for one that deletes.
    pub(crate) fn coordinate(&self, row: usize) -> &[u32] {
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

    /// True where all cells of a row's chunk are missing.
    pub(crate) fn all_missing(&self, row: usize) -> bool {
        self.null_count.value(row) == self.row_count.value(row)
    }

    /// What is known of a row's chunk.
    pub(crate) fn statistics(&self, row: usize) -> Statistics {
        let bound = |name| self.chunks.column_by_name(name).and_then(|column| self.dtype.value(column, row));
        let sum = self.chunks.column_by_name("sum").and_then(|column| {
            DType::from_arrow(column.data_type()).and_then(|dtype| dtype.value(column, row))
        });
        Statistics {
            row_count: u64::from(self.row_count.value(row)),
            null_count: u64::from(self.null_count.value(row)),
            nan_count: u64::from(self.nan_count.value(row)),
            min: bound("min"),
            max: bound("max"),
            sum,
        }
    }
}

/// The blocks of a segment, which fill it from its start to its index.
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
        };
        ChunkEntry { dataset, chunk, block: 0, offset, statistics }
    }

    fn encode_all(dtype: DType, blocks: &[BlockEntry], chunks: &[ChunkEntry]) -> Buffer {
        let mut table = ChunkTable::new(dtype);
        chunks.iter().cloned().for_each(|chunk| table.push(chunk));
        // As they come, to tell what is refused.
        table.sorted = true;
        Buffer::from_vec(encode(blocks, &table.finish().unwrap()).unwrap())
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
        let index = Index::decode(DType::F64, &bytes, 100).unwrap();
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
    fn rows_that_come_in_any_order_are_sorted_and_later_ones_stay() {
        let mut table = ChunkTable::new(DType::F64);
        let rows = [
            entry(3, Some(vec![1, 0]), 1),
            entry(0, Some(vec![0, 0]), 2),
            entry(5, Some(vec![0, 0]), 3),
            entry(3, Some(vec![0, 7]), 4),
            entry(3, Some(vec![1, 0]), 5),
        ];
        rows.into_iter().for_each(|row| table.push(row));
        table.forget(5);
        table.push(entry(5, Some(vec![0, 1]), 6));
        table.push(entry(5, None, 7));
        let table = table.finish().unwrap();
        // The row that deletes counts for nothing.
        assert_eq!(totals(&table), (4, 40, 8));
        let offset = table.column_by_name("offset").unwrap().as_primitive::<UInt32Type>();
        assert_eq!(offset.values(), &[2, 4, 5, 7, 6]);
        let many = GATHERED as u32 * 2 + 1;
        let mut table = ChunkTable::new(DType::F64);
        (0..many).for_each(|dataset| table.push(entry(dataset, Some(vec![]), 0)));
        let table = table.finish().unwrap();
        assert_eq!(table.num_rows(), many as usize);
        assert_eq!(DType::F64.value(table.column_by_name("max").unwrap(), 8000), Some(Value::F64(8000.0)));
    }

    #[test]
    fn an_index_that_contradicts_itself_is_refused() {
        let refused = |blocks: &[BlockEntry], chunks: &[ChunkEntry]| {
            let bytes = encode_all(DType::F64, blocks, chunks);
            Index::decode(DType::F64, &bytes, 100).unwrap_err()
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

    /// Found by fuzzing: Arrow takes offsets, lengths and counts of buffers as it is told.
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
                    // Any answer but a panic: the checksum was for telling this.
                    let _ = Index::decode(dtype, &Buffer::from_vec(damaged), 100);
                }
            }
        }
    }

    #[test]
    fn truncated_bytes_are_refused() {
        let bytes = encode_all(DType::F64, &BLOCKS, &[entry(0, Some(vec![0]), 0)]);
        for end in 0..bytes.len() {
            let short = bytes.slice_with_length(0, end);
            assert!(Index::decode(DType::F64, &short, 100).is_err(), "{end}");
        }
        assert!(Index::decode(DType::F32, &bytes, 100).is_err());
    }
}
