//! The index of a segment: two Arrow tables, of its blocks and of its chunks.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, ListArray, ListBuilder, RecordBatch, UInt32Array, UInt32Builder, UInt64Array,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, UInt32Type, UInt64Type};
use arrow::error::ArrowError;
use arrow::ipc::CompressionType;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::{IpcWriteOptions, StreamWriter};

use super::block;
use crate::{DType, Statistics};

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
    /// The table of chunks as the format has it, in order of dataset and then of coordinate.
    chunks: RecordBatch,
    dataset: UInt32Array,
    chunk: ListArray,
    block: UInt32Array,
    offset: UInt32Array,
    row_count: UInt32Array,
    null_count: UInt32Array,
    nan_count: UInt32Array,
}

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

/// `blocks` and `chunks` of values of `dtype` as the bytes of an index. The chunks come sorted.
pub(crate) fn encode(dtype: DType, blocks: &[BlockEntry], chunks: &[ChunkEntry]) -> Result<Vec<u8>, String> {
    let blocks = RecordBatch::try_new(
        block_schema(),
        vec![
            Arc::new(UInt64Array::from_iter_values(blocks.iter().map(|b| b.offset))),
            Arc::new(UInt32Array::from_iter_values(blocks.iter().map(|b| b.length))),
            Arc::new(UInt32Array::from_iter_values(blocks.iter().map(|b| b.cells))),
        ],
    );
    let coordinate = Field::new("item", DataType::UInt32, false);
    let mut coordinates = ListBuilder::new(UInt32Builder::new()).with_field(coordinate);
    for chunk in chunks {
        coordinates.values().append_slice(chunk.chunk.as_deref().unwrap_or_default());
        coordinates.append(chunk.chunk.is_some());
    }
    let numbers = |number: fn(&ChunkEntry) -> u64| -> ArrayRef {
        // Counts of cells of a block, which has at most u32::MAX of them.
        Arc::new(UInt32Array::from_iter_values(
            chunks.iter().map(|chunk| u32::try_from(number(chunk)).unwrap_or(u32::MAX)),
        ))
    };
    let mut columns = vec![
        numbers(|chunk| u64::from(chunk.dataset)),
        Arc::new(coordinates.finish()),
        numbers(|chunk| u64::from(chunk.block)),
        numbers(|chunk| u64::from(chunk.offset)),
        numbers(|chunk| chunk.statistics.row_count),
        numbers(|chunk| chunk.statistics.null_count),
        numbers(|chunk| chunk.statistics.nan_count),
        dtype.array(chunks.iter().map(|chunk| chunk.statistics.min.clone())),
        dtype.array(chunks.iter().map(|chunk| chunk.statistics.max.clone())),
    ];
    if let Some(sum) = dtype.sum().as_ref().and_then(DType::from_arrow) {
        columns.push(sum.array(chunks.iter().map(|chunk| chunk.statistics.sum.clone())));
    }
    let chunks = RecordBatch::try_new(chunk_schema(dtype), columns);
    (|| {
        let (blocks, chunks) = (write(&blocks?)?, write(&chunks?)?);
        let length = u32::try_from(blocks.len())
            .map_err(|_| ArrowError::InvalidArgumentError("too many blocks for one segment".to_owned()))?;
        Ok([&length.to_le_bytes(), blocks.as_slice(), chunks.as_slice()].concat())
    })()
    .map_err(|e: ArrowError| e.to_string())
}

fn write(batch: &RecordBatch) -> Result<Vec<u8>, ArrowError> {
    let options = IpcWriteOptions::default().try_with_compression(Some(CompressionType::ZSTD))?;
    let mut writer = StreamWriter::try_new_with_options(Vec::new(), batch.schema_ref(), options)?;
    writer.write(batch)?;
    writer.into_inner()
}

fn read(bytes: &[u8], schema: &SchemaRef) -> Result<RecordBatch, String> {
    let mut reader = StreamReader::try_new(bytes, None).map_err(|e| e.to_string())?;
    if reader.schema() != *schema {
        return Err("a table of it has other columns than the format gives it".to_owned());
    }
    let batch = reader.next().ok_or("a table of it is empty")?;
    batch.map_err(|e| e.to_string())
}

impl Index {
    /// The inverse of [`encode`], for a segment whose index starts at `index_offset`.
    pub(crate) fn decode(dtype: DType, bytes: &[u8], index_offset: u64) -> Result<Self, String> {
        let (length, tables) = bytes.split_first_chunk::<4>().ok_or("it is too short")?;
        let (blocks, chunks) =
            tables.split_at_checked(u32::from_le_bytes(*length) as usize).ok_or("it is too short")?;
        let blocks = decode_blocks(&read(blocks, &block_schema())?, index_offset)?;
        let chunks = read(chunks, &chunk_schema(dtype))?;
        let column = |name: &str| -> Result<UInt32Array, String> {
            let column = chunks.column_by_name(name).and_then(|c| c.as_primitive_opt::<UInt32Type>());
            column.cloned().ok_or_else(|| format!("it has no column {name}"))
        };
        let index = Self {
            dtype,
            blocks,
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
                        return std::cmp::Ordering::Less;
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
        let length = datasets.iter().skip(start).take_while(|&&d| d == dataset).count();
        start..start + length
    }

    /// True where the index deletes what earlier segments have of the dataset of `rows`.
    pub(crate) fn deletes(&self, rows: &std::ops::Range<usize>) -> bool {
        !rows.is_empty() && self.chunk.is_null(rows.start)
    }

    /// The row of a chunk, among the `rows` of its dataset.
    pub(crate) fn find(&self, rows: std::ops::Range<usize>, coordinate: &[u32]) -> Option<usize> {
        let (mut low, mut high) = (rows.start, rows.end);
        while low < high {
            let middle = low.midpoint(high);
            match self.coordinate(middle).cmp(coordinate) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal if self.chunk.is_null(middle) => low = middle + 1,
                std::cmp::Ordering::Equal => return Some(middle),
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
fn decode_blocks(table: &RecordBatch, index_offset: u64) -> Result<Vec<BlockEntry>, String> {
    let columns = table.columns();
    let [offset, length, cells] = columns else { return Err("a table of it has other columns".to_owned()) };
    let offset = offset.as_primitive::<UInt64Type>();
    let (length, cells) = (length.as_primitive::<UInt32Type>(), cells.as_primitive::<UInt32Type>());
    let mut blocks = Vec::with_capacity(table.num_rows());
    let mut end = 0u64;
    for row in 0..table.num_rows() {
        let entry =
            BlockEntry { offset: offset.value(row), length: length.value(row), cells: cells.value(row) };
        if entry.offset != end || entry.cells as usize > block::MAX_CELLS {
            return Err(format!("block {row} is out of place"));
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
mod tests {
    use super::*;
    use crate::Value;

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
        let bytes = encode(DType::F64, &BLOCKS, &chunks).unwrap();
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
    fn an_index_that_contradicts_itself_is_refused() {
        let refused = |blocks: &[BlockEntry], chunks: &[ChunkEntry]| {
            let bytes = encode(DType::F64, blocks, chunks).unwrap();
            Index::decode(DType::F64, &bytes, 100).unwrap_err()
        };
        assert!(refused(&BLOCKS, &[entry(0, Some(vec![0]), 31)]).contains("outside its block"));
        let (a, b) = (entry(0, Some(vec![0]), 0), entry(0, Some(vec![1]), 0));
        assert!(refused(&BLOCKS, &[b, a.clone()]).contains("out of order"));
        assert!(refused(&BLOCKS, &[a.clone(), a.clone()]).contains("out of order"));
        assert!(refused(&BLOCKS[..1], std::slice::from_ref(&a)).contains("not where its index starts"));
        assert!(refused(&BLOCKS[1..], &[a]).contains("out of place"));
    }

    #[test]
    fn truncated_bytes_are_refused() {
        let bytes = encode(DType::F64, &BLOCKS, &[entry(0, Some(vec![0]), 0)]).unwrap();
        for end in 0..bytes.len() - 8 {
            assert!(Index::decode(DType::F64, &bytes[..end], 100).is_err(), "{end}");
        }
        assert!(Index::decode(DType::F32, &bytes, 100).is_err());
    }
}
