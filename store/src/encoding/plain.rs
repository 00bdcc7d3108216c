//! Values of a fixed width as bytes: one after the other, shuffled, or one value for all.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, PrimitiveArray, downcast_primitive_array,
};
use arrow::buffer::{BooleanBuffer, Buffer, MutableBuffer, NullBuffer, ScalarBuffer};
use arrow::datatypes::{
    ArrowNativeType, DataType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    TimestampNanosecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};

use super::text;
use crate::model::dtype::DType;

/// The values one after the other, a byte for each bool.
pub(super) fn bytes(values: &ArrayRef) -> Buffer {
    let values = values.as_ref();
    downcast_primitive_array!(
        values => values.values().inner().clone(),
        DataType::Boolean => Buffer::from_vec(values.as_boolean().values().iter().map(u8::from).collect::<Vec<_>>()),
        _ => Buffer::default()
    )
}

/// True if all values are equal bit by bit.
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

/// The number of values that are assembled at a time: few enough to stay in the processor's caches.
const TOGETHER: usize = 512;

/// The inverse of [`shuffle`], for the wanted values.
pub(super) fn unshuffle(bytes: &[u8], width: usize, wanted: Range<usize>) -> MutableBuffer {
    let mut values = MutableBuffer::with_capacity(wanted.len() * width);
    let length = bytes.len() / width.max(1);
    let (mut halves, mut quarters) = ([[0u16; TOGETHER]; 4], [[0u32; TOGETHER]; 2]);
    let mut wholes = [0u64; TOGETHER];
    for start in wanted.clone().step_by(TOGETHER) {
        let count = TOGETHER.min(wanted.end - start);
        let plane = |byte: usize| {
            let first = byte * length + start;
            bytes.get(first..first + count).unwrap_or_default()
        };
        // Combine pairs of planes first, then pairs of the results. A processor does each step for
        // many values at once.
        for (half, pair) in halves.iter_mut().zip(0..width / 2) {
            pairs(plane(2 * pair), plane(2 * pair + 1), half);
        }
        let [a, b, c, d] = &halves;
        match width {
            2 => put(a, count, &mut values),
            4 => {
                let [whole, _] = &mut quarters;
                pairs(a, b, whole);
                put(whole, count, &mut values);
            }
            8 => {
                let [low, high] = &mut quarters;
                pairs(a, b, low);
                pairs(c, d, high);
                pairs(low, high, &mut wholes);
                put(&wholes, count, &mut values);
            }
            _ => values.extend_from_slice(plane(0)),
        }
    }
    values
}

/// An unsigned integer of twice the width of `Half`.
trait Twice<Half>: Copy {
    fn of(low: Half, high: Half) -> Self;
}

macro_rules! twice {
    ($($half:ty, $whole:ty;)*) => {
        $(impl Twice<$half> for $whole {
            fn of(low: $half, high: $half) -> Self {
                Self::from(low) | Self::from(high) << <$half>::BITS
            }
        })*
    };
}

twice! {
    u8, u16;
    u16, u32;
    u32, u64;
}

/// Each integer of `low` with the corresponding one of `high` in its upper half.
fn pairs<Half: Copy, Whole: Twice<Half>>(low: &[Half], high: &[Half], wholes: &mut [Whole; TOGETHER]) {
    for ((whole, &low), &high) in wholes.iter_mut().zip(low).zip(high) {
        *whole = Whole::of(low, high);
    }
}

/// Appends the bytes of the first `count` integers.
fn put<Whole: ArrowNativeType>(wholes: &[Whole; TOGETHER], count: usize, values: &mut MutableBuffer) {
    values.extend_from_slice(wholes.get(..count).unwrap_or_default());
}

/// The value in `bytes`, repeated `count` times.
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

/// An array of the values in `values`, moved to the cells that are not missing.
pub(super) fn array(dtype: DType, values: Buffer, validity: Option<NullBuffer>) -> Result<ArrayRef, String> {
    fn array<P: ArrowPrimitiveType>(values: Buffer, validity: Option<NullBuffer>) -> ArrayRef {
        // Scalars must be aligned to their width; bytes from a file may not be.
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

/// Moves consecutive values to the cells that are not missing.
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
