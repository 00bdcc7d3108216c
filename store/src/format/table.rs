//! Arrow tables in the index: IPC streams of one record batch, whose columns are known beforehand.
//!
//! Arrow's own reader trusts the lengths and types in a stream. This module first checks the stream
//! against the expected table, and only then uses its buffers as columns.

use std::collections::HashMap;

use arrow::array::RecordBatch;
use arrow::buffer::Buffer;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::ipc::reader::read_record_batch;
use arrow::ipc::writer::StreamEncoder;
use arrow::ipc::{FieldNode, Message, MetadataVersion, RecordBatch as Batch, root_as_message};

use crate::encoding::parts::Parts;

const CONTINUATION: [u8; 4] = [0xff; 4];

/// Encodes a table as an IPC stream, in consecutive parts. The parts of columns share the memory of
/// the columns.
pub(super) fn write(table: &RecordBatch) -> Result<Parts, ArrowError> {
    let mut encoder = StreamEncoder::try_new(table.schema_ref())?;
    let mut parts: Parts = encoder.encode(table)?.into_iter().collect();
    parts.extend(encoder.finish()?);
    Ok(parts)
}

/// The inverse of [`write`], for a table with these columns. The columns stay in the memory of
/// `bytes`.
pub(super) fn read(bytes: &Buffer, schema: &SchemaRef) -> Result<RecordBatch, String> {
    let strange = || "a table of it is not an Arrow IPC stream as the format has it".to_owned();
    let (head, rest) = message(bytes).ok_or_else(strange)?;
    if !has_columns(&head, schema) {
        return Err("a table of it has other columns than the format gives it".to_owned());
    }
    let start = bytes.len() - rest.len();
    let (message_, body) = message(rest).ok_or_else(strange)?;
    let length = usize::try_from(message_.bodyLength()).map_err(|_| strange())?;
    let end = body.get(length..).ok_or_else(strange)?;
    if end
        .split_first_chunk::<8>()
        .is_none_or(|(marker, after)| *marker != [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0] || !after.is_empty())
    {
        return Err(strange());
    }
    let batch = message_.header_as_record_batch().ok_or("a table of it is empty")?;
    check(&batch, schema, length).ok_or_else(strange)?;
    let body = bytes.slice_with_length(start + rest.len() - body.len(), length);
    read_record_batch(&body, batch, SchemaRef::clone(schema), &HashMap::new(), None, &message_.version())
        .map_err(|e| e.to_string())
}

/// The message at the start of `bytes`, and its body with all that follows.
fn message(bytes: &[u8]) -> Option<(Message<'_>, &[u8])> {
    let (head, rest) = bytes.split_first_chunk::<8>()?;
    let (continuation, length) = head.split_first_chunk::<4>()?;
    let length = u32::from_le_bytes(*length.first_chunk::<4>()?) as usize;
    let (metadata, body) = rest.split_at_checked(length)?;
    let message = root_as_message(metadata).ok()?;
    (*continuation == CONTINUATION && message.version() == MetadataVersion::V5).then_some((message, body))
}

/// True if a message is a schema with the columns of `schema`.
fn has_columns(message: &Message<'_>, schema: &Schema) -> bool {
    use arrow::ipc::{Precision, TimeUnit as Unit, Type};
    let Some(fields) = message.header_as_schema().and_then(|schema| schema.fields()) else { return false };
    let is = |field: &arrow::ipc::Field<'_>, data_type: &DataType| {
        let int = |bits: i32, signed: bool| {
            field.type_as_int().is_some_and(|int| (int.bitWidth(), int.is_signed()) == (bits, signed))
        };
        let float = |precision: Precision| {
            field.type_as_floating_point().is_some_and(|float| float.precision() == precision)
        };
        match data_type {
            DataType::Boolean => field.type_type() == Type::Bool,
            DataType::Int8 => int(8, true),
            DataType::Int16 => int(16, true),
            DataType::Int32 => int(32, true),
            DataType::Int64 => int(64, true),
            DataType::UInt8 => int(8, false),
            DataType::UInt16 => int(16, false),
            DataType::UInt32 => int(32, false),
            DataType::UInt64 => int(64, false),
            DataType::Float32 => float(Precision::SINGLE),
            DataType::Float64 => float(Precision::DOUBLE),
            DataType::Timestamp(_, _) => {
                field.type_as_timestamp().is_some_and(|timestamp| timestamp.unit() == Unit::NANOSECOND)
            }
            DataType::Utf8View => field.type_type() == Type::Utf8View,
            DataType::BinaryView => field.type_type() == Type::BinaryView,
            DataType::List(_) => field.type_type() == Type::List,
            _ => false,
        }
    };
    fields.len() == schema.fields().len()
        && fields.iter().zip(schema.fields()).all(|(field, expected)| {
            field.name() == Some(expected.name())
                && field.dictionary().is_none()
                && is(&field, expected.data_type())
                && match expected.data_type() {
                    DataType::List(item) => field.children().is_some_and(|children| {
                        children.len() == 1 && is(&children.get(0), item.data_type())
                    }),
                    _ => true,
                }
        })
}

/// Checks that a batch has the nodes and buffers of the columns of `schema`, that each has the
/// right length, and that all lie within a body of `length` bytes.
fn check(batch: &Batch<'_>, schema: &Schema, length: usize) -> Option<()> {
    let rows = usize::try_from(batch.length()).ok().filter(|rows| *rows <= length)?;
    let mut body = Body {
        length,
        nodes: batch.nodes()?.iter(),
        buffers: batch.buffers()?.iter(),
        variadic: batch.variadicBufferCounts().into_iter().flatten(),
    };
    for field in schema.fields() {
        body.column(field, Some(rows))?;
    }
    let rest = (batch.compression(), body.nodes.next(), body.buffers.next(), body.variadic.next());
    matches!(rest, (None, None, None, None)).then_some(())
}

/// What a batch says of its body, as far as it is not checked yet.
struct Body<N, B, V> {
    length: usize,
    nodes: N,
    buffers: B,
    variadic: V,
}

impl<'a, N, B, V> Body<N, B, V>
where
    N: Iterator<Item = &'a FieldNode>,
    B: Iterator<Item = &'a arrow::ipc::Buffer>,
    V: Iterator<Item = i64>,
{
    /// The next column, or the items of a list, which may be any number.
    fn column(&mut self, field: &Field, expected: Option<usize>) -> Option<()> {
        let node = self.nodes.next()?;
        let (rows, nulls) = (usize::try_from(node.length()).ok()?, usize::try_from(node.null_count()).ok()?);
        let is_nullable = field.is_nullable() || nulls == 0;
        if expected.is_some_and(|expected| expected != rows) || nulls > rows || !is_nullable {
            return None;
        }
        self.buffer(if nulls > 0 { rows.div_ceil(8) } else { 0 }, 1)?;
        match field.data_type() {
            DataType::Utf8View | DataType::BinaryView => {
                self.buffer(rows, 16)?;
                for _ in 0..usize::try_from(self.variadic.next()?).ok()? {
                    self.buffer(0, 1)?;
                }
                Some(())
            }
            DataType::List(items) => {
                self.buffer(if rows == 0 { 0 } else { rows.checked_add(1)? }, 4)?;
                self.column(items, None)
            }
            DataType::Boolean => self.buffer(rows.div_ceil(8), 1),
            fixed => self.buffer(rows, fixed.primitive_width()?),
        }
    }

    /// The next buffer. It must have room for a whole number of items of that width, and be aligned
    /// as Arrow requires.
    fn buffer(&mut self, items: usize, width: usize) -> Option<()> {
        let buffer = self.buffers.next()?;
        let (start, size) = (usize::try_from(buffer.offset()).ok()?, usize::try_from(buffer.length()).ok()?);
        let fits = size >= items.checked_mul(width)? && size.is_multiple_of(width) && start.is_multiple_of(8);
        start.checked_add(size).filter(|end| fits && *end <= self.length).map(drop)
    }
}
