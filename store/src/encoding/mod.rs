//! Encodings of a block's values: how values become bytes before general-purpose compression.
//!
//! Encodings see only values that are not missing, so they never meet a null.

#![deny(clippy::indexing_slicing, clippy::cast_possible_truncation)]

pub(crate) mod checksum;
pub(crate) mod codec;
mod decimal;
mod integer;
mod lane;
mod packed;
pub(crate) mod parts;
mod plain;
mod text;

use std::borrow::Cow;
use std::ops::Range;

use arrow::array::{Array, ArrayRef};
use arrow::buffer::{Buffer, NullBuffer};
use arrow::compute::concat;
use arrow::datatypes::ArrowNativeType;

use self::lane::Lane;
use crate::encoding::codec::Codec;
use crate::model::dtype::DType;

#[cfg(target_endian = "big")]
compile_error!("Atlas reads and writes its little-endian files by copying: it needs a little-endian machine");

/// The number of runs of values on which encodings are tried, and the length of a run.
const SAMPLES: usize = 8;
const SAMPLE: usize = packed::VECTOR;

/// How the values of a block are encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// Little-endian values one after the other. For text and bytes: all lengths (u32), then all
    /// bytes.
    Raw = 0,
    /// The first byte of every value, then the second of every value, and so on.
    Shuffle = 1,
    /// One raw value, which all values equal.
    Constant = 2,
    /// Integers, or the bits of floats as integers, as bit-packed multiples of a step above a base.
    Packed = 3,
    /// Integers as differences to the previous one, packed as in `Packed`.
    Delta = 4,
    /// Floats as decimals, bit-packed.
    Decimal = 5,
    /// Text and bytes as bit-packed positions in a list of the distinct values.
    Dictionary = 6,
}

impl Encoding {
    pub(crate) const ALL: [Self; 7] = [
        Self::Raw,
        Self::Shuffle,
        Self::Constant,
        Self::Packed,
        Self::Delta,
        Self::Decimal,
        Self::Dictionary,
    ];

    pub(crate) fn code(self) -> u8 {
        self as u8
    }

    pub(crate) fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }

    /// The encodings worth trying for values of a type.
    fn candidates(dtype: DType) -> &'static [Self] {
        match dtype {
            DType::Bool => &[Self::Raw, Self::Packed],
            DType::I8 | DType::U8 => &[Self::Raw, Self::Packed, Self::Delta],
            DType::F32 | DType::F64 => &[Self::Raw, Self::Shuffle, Self::Packed, Self::Decimal],
            DType::String | DType::Binary => &[Self::Raw, Self::Dictionary],
            _ => &[Self::Raw, Self::Shuffle, Self::Packed, Self::Delta],
        }
    }

    /// `values`, which have no nulls, in this encoding.
    fn encode(self, values: &ArrayRef, dtype: DType) -> Vec<u8> {
        match dtype {
            DType::String | DType::Binary => match self {
                Self::Constant => text::encode(&values.slice(0, 1)),
                Self::Dictionary => text::encode_dictionary(values),
                _ => text::encode(values),
            },
            _ => self.encode_fixed(&plain::bytes(values), dtype),
        }
    }

    fn encode_fixed(self, raw: &[u8], dtype: DType) -> Vec<u8> {
        fn lanes<L: Lane>(raw: &[u8]) -> Vec<L> {
            L::all(raw).collect()
        }
        fn floats<F: decimal::Decimal>(raw: &[u8]) -> Vec<F> {
            F::Lane::all(raw).map(F::of_bits).collect()
        }
        let width = dtype.width().unwrap_or(1);
        let signed = matches!(dtype, DType::I8 | DType::I16 | DType::I32 | DType::I64 | DType::Timestamp);
        match (self, width) {
            (Self::Shuffle, _) => plain::shuffle(raw, width),
            (Self::Constant, _) => raw.get(..width).unwrap_or_default().to_vec(),
            (Self::Packed, 1) => integer::encode_packed::<u8>(raw, signed),
            (Self::Packed, 2) => integer::encode_packed::<u16>(&lanes(raw), signed),
            (Self::Packed, 4) => integer::encode_packed::<u32>(&lanes(raw), signed),
            (Self::Packed, _) => integer::encode_packed::<u64>(&lanes(raw), signed),
            (Self::Delta, 1) => integer::encode_delta::<u8>(raw),
            (Self::Delta, 2) => integer::encode_delta::<u16>(&lanes(raw)),
            (Self::Delta, 4) => integer::encode_delta::<u32>(&lanes(raw)),
            (Self::Delta, _) => integer::encode_delta::<u64>(&lanes(raw)),
            (Self::Decimal, 4) => decimal::encode::<f32>(&floats(raw)),
            (Self::Decimal, _) => decimal::encode::<f64>(&floats(raw)),
            (Self::Raw | Self::Dictionary, _) => raw.to_vec(),
        }
    }

    /// The wanted values of a fixed width among the `count` that `bytes` contain in this encoding.
    fn decode_fixed(
        self,
        bytes: &Buffer,
        dtype: DType,
        count: usize,
        wanted: Range<usize>,
    ) -> Result<Buffer, String> {
        let width = dtype.width().unwrap_or(1);
        let length = if self == Self::Constant { count.min(1) } else { count }.saturating_mul(width);
        match self {
            Self::Raw | Self::Shuffle | Self::Constant if length != bytes.len() => {
                return Err(format!("{} bytes for {count} values of {dtype}", bytes.len()));
            }
            Self::Decimal if !dtype.is_float() => return Err(format!("{dtype} cannot be decimals")),
            Self::Delta if dtype.is_float() => return Err(format!("{dtype} cannot be differences")),
            Self::Dictionary => return Err(format!("{dtype} cannot have a dictionary")),
            _ => {}
        }
        Ok(match (self, width) {
            (Self::Raw | Self::Dictionary, _) => {
                bytes.slice_with_length(wanted.start * width, wanted.len() * width)
            }
            (Self::Shuffle, _) => plain::unshuffle(bytes, width, wanted).into(),
            (Self::Constant, _) => plain::repeat(bytes, wanted.len()).into(),
            (Self::Packed, 1) => Buffer::from_vec(integer::decode_packed::<u8>(bytes, count, wanted)?),
            (Self::Packed, 2) => Buffer::from_vec(integer::decode_packed::<u16>(bytes, count, wanted)?),
            (Self::Packed, 4) => Buffer::from_vec(integer::decode_packed::<u32>(bytes, count, wanted)?),
            (Self::Packed, _) => Buffer::from_vec(integer::decode_packed::<u64>(bytes, count, wanted)?),
            (Self::Delta, 1) => part(integer::decode_delta::<u8>(bytes, count)?, wanted),
            (Self::Delta, 2) => part(integer::decode_delta::<u16>(bytes, count)?, wanted),
            (Self::Delta, 4) => part(integer::decode_delta::<u32>(bytes, count)?, wanted),
            (Self::Delta, _) => part(integer::decode_delta::<u64>(bytes, count)?, wanted),
            (Self::Decimal, 4) => Buffer::from_vec(decimal::decode::<f32>(bytes, count, wanted)?),
            (Self::Decimal, _) => Buffer::from_vec(decimal::decode::<f64>(bytes, count, wanted)?),
        })
    }
}

/// Encodes `values`, which has no nulls, in the encoding that is cheapest to store and to read.
pub(crate) fn encode(values: &ArrayRef, dtype: DType, codec: Codec) -> (Encoding, Vec<u8>) {
    let encoding = choose(values, dtype, codec);
    (encoding, encoding.encode(values, dtype))
}

fn choose(values: &ArrayRef, dtype: DType, codec: Codec) -> Encoding {
    if values.len() < 2 {
        return Encoding::Raw;
    }
    if plain::all_equal(values, dtype) {
        return Encoding::Constant;
    }
    let sample = sample(values);
    let cost = |encoding: &Encoding| codec.cost(&encoding.encode(&sample, dtype));
    let candidates = Encoding::candidates(dtype).iter();
    candidates.min_by_key(|encoding| cost(encoding)).copied().unwrap_or(Encoding::Raw)
}

/// All values, or some runs from all over them.
fn sample(values: &ArrayRef) -> Cow<'_, ArrayRef> {
    if values.len() <= SAMPLES * SAMPLE {
        return Cow::Borrowed(values);
    }
    let step = (values.len() - SAMPLE) / (SAMPLES - 1);
    let runs: Vec<_> = (0..SAMPLES).map(|run| values.slice(run * step, SAMPLE)).collect();
    let runs: Vec<&dyn Array> = runs.iter().map(AsRef::as_ref).collect();
    concat(&runs).map_or(Cow::Borrowed(values), Cow::Owned)
}

/// Runs of the values, from all over them.
fn part<T: ArrowNativeType>(values: Vec<T>, wanted: Range<usize>) -> Buffer {
    Buffer::from_vec(values).slice_with_length(wanted.start * size_of::<T>(), wanted.len() * size_of::<T>())
}

/// The inverse of [`encode`]: decodes `count` values and places them in the cells that `validity`
/// marks as not missing, or in consecutive cells without a validity. Returns the wanted cells.
pub(crate) fn decode(
    encoding: Encoding,
    dtype: DType,
    bytes: &Buffer,
    count: usize,
    validity: Option<NullBuffer>,
    wanted: Range<usize>,
) -> Result<ArrayRef, String> {
    let present = validity.as_ref().map_or(count, |validity| validity.len() - validity.null_count());
    if present != count {
        return Err(format!("{count} values for {present} cells that are not missing"));
    }
    let cells = validity.as_ref().map_or(count, |validity| validity.len());
    if wanted.start > wanted.end || wanted.end > cells {
        return Err(format!("cells {wanted:?} of {cells}"));
    }
    if dtype.width().is_none() {
        let all = text::decode(encoding, dtype, bytes, count, validity)?;
        return Ok(all.slice(wanted.start, wanted.len()));
    }
    let (values, validity) = match validity {
        None => (wanted, None),
        Some(validity) => {
            let present =
                |cells: Range<usize>| validity.inner().slice(cells.start, cells.len()).count_set_bits();
            let first = present(0..wanted.start);
            let values = first..first + present(wanted.clone());
            (values, Some(validity.slice(wanted.start, wanted.len())))
        }
    };
    let values = encoding.decode_fixed(bytes, dtype, count, values)?;
    plain::array(dtype, values, validity)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::dtype::{Element, Timestamp};

    fn round_trip<T: Element + PartialEq + std::fmt::Debug>(values: Vec<T>) -> Encoding {
        let array = T::to_arrow(values.iter().cloned());
        let chosen = choose(&array, T::DTYPE, Codec::Zstd);
        for &encoding in Encoding::candidates(T::DTYPE).iter().chain([&chosen]) {
            let bytes = Buffer::from_vec(encoding.encode(&array, T::DTYPE));
            let back = decode(encoding, T::DTYPE, &bytes, values.len(), None, 0..values.len()).unwrap();
            assert_eq!(&back, &array, "{encoding:?}");
            let some = values.len() / 3..values.len() - values.len() / 5;
            let part = decode(encoding, T::DTYPE, &bytes, values.len(), None, some.clone()).unwrap();
            assert_eq!(&part, &array.slice(some.start, some.len()), "{encoding:?}");

            // The same values, each after a missing cell.
            let validity: NullBuffer = (0..2 * values.len()).map(|i| i % 2 == 1).collect();
            let spread =
                decode(encoding, T::DTYPE, &bytes, values.len(), Some(validity), 0..2 * values.len())
                    .unwrap();
            let some = values.len() / 3..2 * values.len() - values.len() / 5;
            let part =
                decode(encoding, T::DTYPE, &bytes, values.len(), spread.nulls().cloned(), some.clone());
            assert_eq!(&part.unwrap(), &spread.slice(some.start, some.len()), "{encoding:?}");
            let cells = T::from_arrow(&spread, &T::default());
            assert_eq!(cells.into_iter().skip(1).step_by(2).collect::<Vec<_>>(), values);

            for end in (0..bytes.len()).step_by(bytes.len() / 16 + 1) {
                let short = bytes.slice_with_length(0, end);
                assert!(
                    decode(encoding, T::DTYPE, &short, values.len(), None, 0..values.len()).is_err(),
                    "{encoding:?}"
                );
            }
            let more = decode(encoding, T::DTYPE, &bytes, values.len() + 5000, None, 0..values.len() + 5000);
            assert!(more.is_err() || encoding == Encoding::Constant);
        }
        chosen
    }

    #[test]
    fn values_of_every_kind_come_back() {
        assert_eq!(round_trip(vec![true, false, true]), Encoding::Raw);
        assert_eq!(
            round_trip((0..3000).map(|i| i % 3 == 0 || i % 7 == 1).collect::<Vec<_>>()),
            Encoding::Packed
        );
        assert_eq!(round_trip(vec![-1i8, 5]), Encoding::Raw);
        assert_eq!(round_trip((0..2000).map(|i| f64::from(i).sin()).collect()), Encoding::Shuffle);
        let chance = |i: u32| (i * i).wrapping_mul(2_654_435_761) >> 20;
        // Noise of one magnitude, and floats with half the precision of their type.
        let noise = |i: u64| {
            let x = (i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            (x ^ (x >> 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9) as f64 / u64::MAX as f64
        };
        assert_eq!(round_trip((0..2000).map(|i| 1000.0 + noise(i)).collect()), Encoding::Packed);
        assert_eq!(
            round_trip((0..2000).map(|i| f64::from(chance(i) as f32 / 3.0)).collect()),
            Encoding::Packed
        );
        assert_eq!(round_trip((0..2000).map(|i| chance(i) as f32 / 100.0).collect()), Encoding::Decimal);
        assert_eq!(round_trip((0..2000).map(chance).collect()), Encoding::Packed);
        assert_eq!(round_trip(vec![7u64; 9]), Encoding::Constant);
        assert_eq!(round_trip(vec![String::from("a station, by name"); 9]), Encoding::Constant);
        round_trip(vec![String::new(), "short".into(), "longer than a view holds".into()]);
        let name = |i: u32| format!("station {} by name", i.wrapping_mul(2_654_435_761) >> 24);
        assert_eq!(round_trip((0..2000).map(name).collect()), Encoding::Dictionary);
        round_trip(vec![vec![0u8, 255], vec![]]);
        let hours = (0..3000).map(|i| Timestamp(i * 3_600_000_000_000)).collect();
        assert_eq!(round_trip(hours), Encoding::Delta);
        round_trip(vec![i64::MIN, i64::MAX, 0, -1]);
        round_trip(vec![i16::MIN, i16::MAX, 0, -1]);
        round_trip(Vec::<i32>::new());
        round_trip(vec![1i32]);
    }

    #[test]
    fn zeros_of_both_signs_are_not_one_constant() {
        assert_ne!(round_trip(vec![0.0f64, -0.0]), Encoding::Constant);
    }

    #[test]
    fn noise_stays_as_it_is() {
        let mut state = 1u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            f64::from_bits(state)
        };
        let noise: ArrayRef = f64::to_arrow((0..20_000).map(|_| next()));
        assert_eq!(choose(&noise, DType::F64, Codec::Zstd), Encoding::Raw);
    }

    #[test]
    fn an_encoding_of_another_type_is_refused() {
        for dtype in DType::ALL {
            for encoding in Encoding::ALL {
                let bytes = Buffer::from_vec(vec![0u8; 64]);
                if let Ok(array) = decode(encoding, dtype, &bytes, 8, None, 0..8) {
                    assert_eq!((array.data_type(), array.len()), (&dtype.arrow(), 8));
                }
            }
        }
    }
}
