//! Encodings of a block's values: what the values become before general-purpose compression.
//!
//! The values here are those that are not missing, so an encoder never meets a null.

#![deny(clippy::indexing_slicing, clippy::cast_possible_truncation)]

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BinaryViewArray, BooleanArray, PrimitiveArray,
    StringViewArray, make_view,
};
use arrow::buffer::{BooleanBuffer, Buffer, MutableBuffer, NullBuffer, ScalarBuffer};
use arrow::datatypes::{
    Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, TimestampNanosecondType, UInt8Type,
    UInt16Type, UInt32Type, UInt64Type,
};

use crate::{Codec, DType};

#[cfg(target_endian = "big")]
compile_error!("Atlas reads and writes its little-endian files by copying: it needs a little-endian machine");

/// Bytes of raw values on which two encodings are compared before one is chosen.
const SAMPLE: usize = 32 * 1024;

/// How the values of a block became bytes. Codes 3 and up are kept for encodings to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// Little-endian values one after the other; for text and bytes, all lengths (u32) and then all bytes.
    Raw = 0,
    /// The first byte of every value, then the second of every value, and so on.
    Shuffle = 1,
    /// One value, encoded raw, that all of them equal.
    Constant = 2,
}

impl Encoding {
    pub(crate) fn code(self) -> u8 {
        self as u8
    }

    pub(crate) fn from_code(code: u8) -> Option<Self> {
        [Self::Raw, Self::Shuffle, Self::Constant].get(usize::from(code)).copied()
    }

    /// The length of `count` values in this encoding, where that follows from their number.
    pub(crate) fn length(self, dtype: DType, count: usize) -> Option<usize> {
        let stored = if self == Self::Constant { count.min(1) } else { count };
        dtype.width().and_then(|width| width.checked_mul(stored))
    }
}

/// Encodes `values`, which has no nulls, in the way that `codec` will make smallest.
pub(crate) fn encode(values: &dyn Array, dtype: DType, codec: Codec) -> (Encoding, Vec<u8>) {
    let raw_one = |values: &dyn Array| raw(&values.slice(0, 1), dtype);
    let Some(width) = dtype.width() else {
        let constant = values.len() > 1 && all_equal(values, dtype);
        return if constant {
            (Encoding::Constant, raw_one(values))
        } else {
            (Encoding::Raw, raw(values, dtype))
        };
    };
    let raw = raw(values, dtype);
    if values.len() > 1 && is_constant(&raw, width) {
        return (Encoding::Constant, raw_one(values));
    }
    if width == 1 || codec == Codec::None {
        return (Encoding::Raw, raw);
    }
    let sample = raw.get(..SAMPLE).unwrap_or(&raw);
    let shuffled = shuffle(sample, width);
    if codec.compress(&shuffled).1.len() < codec.compress(sample).1.len() {
        (Encoding::Shuffle, shuffle(&raw, width))
    } else {
        (Encoding::Raw, raw)
    }
}

/// The inverse of [`encode`]: `count` values, placed in the cells that `validity` says are not missing,
/// or in as many cells where there is no validity.
pub(crate) fn decode(
    encoding: Encoding,
    dtype: DType,
    bytes: &[u8],
    count: usize,
    validity: Option<NullBuffer>,
) -> Result<ArrayRef, String> {
    let present = validity.as_ref().map_or(count, |validity| validity.len() - validity.null_count());
    if present != count {
        return Err(format!("{count} values for {present} cells that are not missing"));
    }
    let Some(width) = dtype.width() else {
        return decode_views(encoding, dtype, bytes, count, validity);
    };
    if encoding.length(dtype, count) != Some(bytes.len()) {
        return Err(format!("{} bytes for {count} values of {dtype}", bytes.len()));
    }
    let mut values = MutableBuffer::from_len_zeroed(count * width);
    match encoding {
        Encoding::Raw => values.copy_from_slice(bytes),
        Encoding::Shuffle => unshuffle(bytes, width, &mut values),
        Encoding::Constant => values.chunks_exact_mut(width).for_each(|value| value.copy_from_slice(bytes)),
    }
    if let Some(validity) = &validity {
        values = spread(&values, width, validity)?;
    }
    fixed_width(dtype, values.into(), validity)
}

/// Moves values that lie side by side to the cells that are not missing.
fn spread(values: &[u8], width: usize, validity: &NullBuffer) -> Result<MutableBuffer, String> {
    let mut cells = MutableBuffer::from_len_zeroed(validity.len() * width);
    let mut from = 0;
    for (start, end) in validity.valid_slices() {
        let length = (end - start) * width;
        match (cells.get_mut(start * width..end * width), values.get(from..from + length)) {
            (Some(cells), Some(values)) => cells.copy_from_slice(values),
            _ => return Err("fewer values than cells that are not missing".to_owned()),
        }
        from += length;
    }
    Ok(cells)
}

fn fixed_width(dtype: DType, buffer: Buffer, validity: Option<NullBuffer>) -> Result<ArrayRef, String> {
    fn array<P: ArrowPrimitiveType>(buffer: Buffer, validity: Option<NullBuffer>) -> ArrayRef {
        Arc::new(PrimitiveArray::<P>::new(ScalarBuffer::from(buffer), validity))
    }
    Ok(match dtype {
        DType::Bool => {
            if buffer.iter().any(|&byte| byte > 1) {
                return Err("a bool that is neither 0 nor 1".to_owned());
            }
            let bits: BooleanBuffer = buffer.iter().map(|&byte| byte == 1).collect();
            Arc::new(BooleanArray::new(bits, validity))
        }
        DType::I8 => array::<Int8Type>(buffer, validity),
        DType::I16 => array::<Int16Type>(buffer, validity),
        DType::I32 => array::<Int32Type>(buffer, validity),
        DType::I64 => array::<Int64Type>(buffer, validity),
        DType::U8 => array::<UInt8Type>(buffer, validity),
        DType::U16 => array::<UInt16Type>(buffer, validity),
        DType::U32 => array::<UInt32Type>(buffer, validity),
        DType::U64 => array::<UInt64Type>(buffer, validity),
        DType::F32 => array::<Float32Type>(buffer, validity),
        DType::F64 => array::<Float64Type>(buffer, validity),
        DType::Timestamp => array::<TimestampNanosecondType>(buffer, validity),
        DType::String | DType::Binary => return Err(format!("{dtype} has no fixed width")),
    })
}

fn decode_views(
    encoding: Encoding,
    dtype: DType,
    bytes: &[u8],
    count: usize,
    validity: Option<NullBuffer>,
) -> Result<ArrayRef, String> {
    let stored = match encoding {
        Encoding::Raw => count,
        Encoding::Constant => count.min(1),
        Encoding::Shuffle => return Err(format!("{dtype} cannot be shuffled")),
    };
    let short = || format!("{} bytes for {count} values of {dtype}", bytes.len());
    let (lengths, text) = bytes.split_at_checked(stored.saturating_mul(4)).ok_or_else(short)?;
    let mut views = Vec::with_capacity(stored);
    let mut rest = text;
    let mut offset = 0u32;
    for length in lengths.as_chunks::<4>().0 {
        let length = u32::from_le_bytes(*length);
        let (value, after) = rest.split_at_checked(length as usize).ok_or_else(short)?;
        views.push(make_view(value, 0, offset));
        offset = offset.checked_add(length).ok_or_else(short)?;
        rest = after;
    }
    if !rest.is_empty() {
        return Err(short());
    }
    if encoding == Encoding::Constant
        && let Some(&view) = views.first()
    {
        views.resize(count, view);
    }
    if let Some(validity) = &validity {
        let mut values = views.into_iter();
        views = validity.iter().map(|valid| valid.then(|| values.next()).flatten().unwrap_or(0)).collect();
    }
    let (views, buffers) = (ScalarBuffer::from(views), vec![Buffer::from(text)]);
    let array: Result<ArrayRef, _> = if dtype == DType::String {
        StringViewArray::try_new(views, buffers, validity).map(|array| Arc::new(array) as _)
    } else {
        BinaryViewArray::try_new(views, buffers, validity).map(|array| Arc::new(array) as _)
    };
    array.map_err(|e| e.to_string())
}

/// The values one after the other, as [`Encoding::Raw`] has them.
fn raw(values: &dyn Array, dtype: DType) -> Vec<u8> {
    fn bytes<P: ArrowPrimitiveType>(values: &dyn Array) -> Vec<u8> {
        values.as_primitive::<P>().values().inner().to_vec()
    }
    fn lengths_and_bytes<'a>(values: impl Iterator<Item = &'a [u8]> + Clone) -> Vec<u8> {
        // A view's length is a u32 already.
        let lengths =
            values.clone().flat_map(|value| u32::try_from(value.len()).unwrap_or(u32::MAX).to_le_bytes());
        lengths.chain(values.clone().flatten().copied()).collect()
    }
    match dtype {
        DType::Bool => values.as_boolean().values().iter().map(u8::from).collect(),
        DType::I8 => bytes::<Int8Type>(values),
        DType::I16 => bytes::<Int16Type>(values),
        DType::I32 => bytes::<Int32Type>(values),
        DType::I64 => bytes::<Int64Type>(values),
        DType::U8 => bytes::<UInt8Type>(values),
        DType::U16 => bytes::<UInt16Type>(values),
        DType::U32 => bytes::<UInt32Type>(values),
        DType::U64 => bytes::<UInt64Type>(values),
        DType::F32 => bytes::<Float32Type>(values),
        DType::F64 => bytes::<Float64Type>(values),
        DType::Timestamp => bytes::<TimestampNanosecondType>(values),
        DType::String => lengths_and_bytes(values.as_string_view().iter().flatten().map(str::as_bytes)),
        DType::Binary => lengths_and_bytes(values.as_binary_view().iter().flatten()),
    }
}

fn all_equal(values: &dyn Array, dtype: DType) -> bool {
    fn equal<'a>(mut values: impl Iterator<Item = &'a [u8]>) -> bool {
        values.next().is_none_or(|first| values.all(|value| value == first))
    }
    match dtype {
        DType::String => equal(values.as_string_view().iter().flatten().map(str::as_bytes)),
        _ => equal(values.as_binary_view().iter().flatten()),
    }
}

/// True where all values, each `width` bytes of `raw`, are the same to the bit.
fn is_constant(raw: &[u8], width: usize) -> bool {
    raw.get(..raw.len().saturating_sub(width)) == raw.get(width..)
}

fn shuffle(values: &[u8], width: usize) -> Vec<u8> {
    (0..width).flat_map(|byte| values.iter().skip(byte).step_by(width).copied()).collect()
}

fn unshuffle(bytes: &[u8], width: usize, values: &mut [u8]) {
    let planes = bytes.chunks_exact((bytes.len() / width).max(1));
    for (byte, plane) in planes.enumerate() {
        for (to, from) in values.iter_mut().skip(byte).step_by(width).zip(plane) {
            *to = *from;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Element;

    fn round_trip<T: Element + PartialEq + std::fmt::Debug>(values: Vec<T>) -> Encoding {
        let array = T::to_arrow(values.iter().cloned());
        let (encoding, bytes) = encode(&array, T::DTYPE, Codec::Zstd);
        let back = decode(encoding, T::DTYPE, &bytes, values.len(), None).unwrap();
        assert_eq!(&back, &array);

        // The same values, each after a missing cell.
        let validity: NullBuffer = (0..2 * values.len()).map(|i| i % 2 == 1).collect();
        let spread = decode(encoding, T::DTYPE, &bytes, values.len(), Some(validity)).unwrap();
        let cells = T::from_arrow(&spread, &T::default());
        assert_eq!(cells.into_iter().skip(1).step_by(2).collect::<Vec<_>>(), values);

        for end in 0..bytes.len() {
            assert!(decode(encoding, T::DTYPE, &bytes[..end], values.len(), None).is_err());
        }
        assert!(decode(encoding, T::DTYPE, &bytes, values.len() + 1, None).is_err() || values.len() > 1);
        encoding
    }

    #[test]
    fn values_of_every_kind_come_back() {
        assert_eq!(round_trip(vec![true, false, true]), Encoding::Raw);
        assert_eq!(round_trip(vec![-1i8, 5]), Encoding::Raw);
        assert_eq!(round_trip((0..99).map(f64::from).collect()), Encoding::Shuffle);
        assert_eq!(round_trip((0..99).map(|i| i as f32 * 0.25).collect()), Encoding::Shuffle);
        assert_eq!(round_trip(vec![7u64; 9]), Encoding::Constant);
        assert_eq!(round_trip(vec![String::from("a station, by name"); 9]), Encoding::Constant);
        round_trip(vec![String::new(), "short".into(), "longer than a view holds".into()]);
        round_trip(vec![vec![0u8, 255], vec![]]);
        round_trip((0..50).map(|i| crate::Timestamp(i * 3_600_000_000_000)).collect());
        round_trip(Vec::<i32>::new());
        round_trip(vec![1i32]);
    }

    #[test]
    fn zeros_of_both_signs_are_not_one_constant() {
        assert_ne!(round_trip(vec![0.0f64, -0.0]), Encoding::Constant);
    }

    #[test]
    fn text_that_is_not_utf8_is_refused() {
        let bytes = [2, 0, 0, 0, 0xff, 0xfe];
        assert!(decode(Encoding::Raw, DType::String, &bytes, 1, None).is_err());
        assert!(decode(Encoding::Raw, DType::Binary, &bytes, 1, None).is_ok());
    }
}
