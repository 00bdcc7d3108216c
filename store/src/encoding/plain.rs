//! Values of a fixed width as bytes: side by side, byte by byte, once for all.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, PrimitiveArray, downcast_primitive_array,
};
use arrow::buffer::{BooleanBuffer, Buffer, MutableBuffer, NullBuffer, ScalarBuffer};
use arrow::datatypes::{
    DataType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, TimestampNanosecondType,
    UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};

use super::text;
use crate::DType;

/// The values one after the other, a byte for each bool.
pub(super) fn bytes(values: &ArrayRef) -> Buffer {
    let values = values.as_ref();
    downcast_primitive_array!(
        values => values.values().inner().clone(),
        DataType::Boolean => Buffer::from_vec(values.as_boolean().values().iter().map(u8::from).collect::<Vec<_>>()),
        _ => Buffer::default()
    )
}

/// True where all values are the same to the bit.
pub(super) fn all_equal(values: &ArrayRef, dtype: DType) -> bool {
    match dtype.width() {
        Some(width) => {
            let raw = bytes(values);
            raw.get(..raw.len().saturating_sub(width)) == raw.get(width..)
        }
        None => text::all_equal(values),
    }
}

/// The first byte of every value, then the second of every value, and so on.
pub(super) fn shuffle(values: &[u8], width: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(values.len());
    for byte in 0..width {
        bytes.extend(values.iter().skip(byte).step_by(width));
    }
    bytes
}

/// The inverse of [`shuffle`].
pub(super) fn unshuffle(bytes: &[u8], width: usize) -> MutableBuffer {
    let mut values = MutableBuffer::from_len_zeroed(bytes.len());
    let plane = bytes.len() / width.max(1);
    match width {
        2 => unshuffle_planes::<2>(bytes, plane, &mut values),
        4 => unshuffle_planes::<4>(bytes, plane, &mut values),
        8 => unshuffle_planes::<8>(bytes, plane, &mut values),
        _ => values.copy_from_slice(bytes),
    }
    values
}

fn unshuffle_planes<const WIDTH: usize>(bytes: &[u8], plane: usize, values: &mut [u8]) {
    let planes: [&[u8]; WIDTH] =
        std::array::from_fn(|byte| bytes.get(byte * plane..(byte + 1) * plane).unwrap_or_default());
    for (i, value) in values.as_chunks_mut::<WIDTH>().0.iter_mut().enumerate() {
        for (byte, plane) in value.iter_mut().zip(planes) {
            *byte = plane.get(i).copied().unwrap_or_default();
        }
    }
}

/// The value that `bytes` are, `count` times.
pub(super) fn repeat(bytes: &[u8], count: usize) -> MutableBuffer {
    if bytes.iter().all(|&byte| byte == 0) {
        return MutableBuffer::from_len_zeroed(bytes.len() * count);
    }
    let mut values = MutableBuffer::with_capacity(bytes.len() * count);
    for _ in 0..count {
        values.extend_from_slice(bytes);
    }
    values
}

/// An array of the values that lie side by side in `values`, moved to the cells that are not missing.
pub(super) fn array(dtype: DType, values: Buffer, validity: Option<NullBuffer>) -> Result<ArrayRef, String> {
    fn array<P: ArrowPrimitiveType>(values: Buffer, validity: Option<NullBuffer>) -> ArrayRef {
        // Scalars must lie where their width asks for it, which bytes out of a file need not.
        let aligned = values.as_ptr().align_offset(align_of::<P::Native>()) == 0;
        let values = if aligned { values } else { Buffer::from(values.as_slice()) };
        Arc::new(PrimitiveArray::<P>::new(ScalarBuffer::from(values), validity))
    }
    let values = match &validity {
        Some(validity) => spread(&values, dtype.width().unwrap_or(1), validity)?.into(),
        None => values,
    };
    Ok(match dtype {
        DType::Bool => {
            if values.iter().any(|&byte| byte > 1) {
                return Err("a bool that is neither 0 nor 1".to_owned());
            }
            let bits: BooleanBuffer = values.iter().map(|&byte| byte == 1).collect();
            Arc::new(BooleanArray::new(bits, validity))
        }
        DType::I8 => array::<Int8Type>(values, validity),
        DType::I16 => array::<Int16Type>(values, validity),
        DType::I32 => array::<Int32Type>(values, validity),
        DType::I64 => array::<Int64Type>(values, validity),
        DType::U8 => array::<UInt8Type>(values, validity),
        DType::U16 => array::<UInt16Type>(values, validity),
        DType::U32 => array::<UInt32Type>(values, validity),
        DType::U64 => array::<UInt64Type>(values, validity),
        DType::F32 => array::<Float32Type>(values, validity),
        DType::F64 => array::<Float64Type>(values, validity),
        DType::Timestamp => array::<TimestampNanosecondType>(values, validity),
        DType::String | DType::Binary => return Err(format!("{dtype} has no fixed width")),
    })
}

/// Moves values that lie side by side to the cells that are not missing.
fn spread(values: &[u8], width: usize, validity: &NullBuffer) -> Result<MutableBuffer, String> {
    let mut cells = MutableBuffer::with_capacity(validity.len() * width);
    let mut rest = values;
    for (start, end) in validity.valid_slices() {
        let run = rest.split_at_checked((end - start) * width);
        let (run, after) = run.ok_or("fewer values than cells that are not missing")?;
        cells.extend_zeros(start * width - cells.len());
        cells.extend_from_slice(run);
        rest = after;
    }
    cells.extend_zeros(validity.len() * width - cells.len());
    Ok(cells)
}
