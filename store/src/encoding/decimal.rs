//! Floats that are decimals of few digits, stored as integers: ALP (Afroozeh, Kuffo and Boncz,
//! "ALP: Adaptive Lossless floating-Point Compression", SIGMOD 2024). It computes in f64 for f32
//! too, which represents more decimals exactly.

use std::ops::Range;

use alp::{ALPFloat, Exponents};

use super::lane::Lane;
use super::packed::{self, PackedLane};

/// How the integers of decimals are packed.
const AS_THEY_ARE: u8 = 0;
const AS_DIFFERENCES: u8 = 1;

/// The number of values from which the exponents of f32 are chosen.
const SAMPLE: usize = 256;

/// Floats, and the integers that they become.
pub(super) trait Decimal: Copy {
    /// The lane in which these integers are packed. They are signed; their highest bit is inverted
    /// to keep their order.
    type Lane: PackedLane;

    /// The exponents with which most values are decimals.
    fn exponents(values: &[Self]) -> Exponents;

    /// The integer of a value with these exponents, if there is one.
    fn to_lane(self, exponents: Exponents) -> Option<Self::Lane>;

    /// The value of an integer, given 10^f and 10^-e.
    fn of_lane(lane: Self::Lane, up: f64, down: f64) -> Self;

    /// The float's bits.
    fn bits(self) -> Self::Lane;

    /// The float with these bits.
    fn of_bits(lane: Self::Lane) -> Self;
}

impl Decimal for f64 {
    type Lane = u64;

    fn exponents(values: &[Self]) -> Exponents {
        alp::find_best_exponents(values)
    }

    fn to_lane(self, exponents: Exponents) -> Option<u64> {
        let integer = alp::encode_single(self, exponents)?;
        // The library compares values, so it treats zeros of both signs as equal.
        let lane = integer.cast_unsigned().flip_sign();
        let (up, down) = scales(exponents)?;
        (Self::of_lane(lane, up, down).to_bits() == self.to_bits()).then_some(lane)
    }

    fn of_lane(lane: u64, up: f64, down: f64) -> Self {
        lane.flip_sign().cast_signed() as Self * up * down
    }

    fn bits(self) -> u64 {
        self.to_bits()
    }

    fn of_bits(lane: u64) -> Self {
        Self::from_bits(lane)
    }
}

impl Decimal for f32 {
    type Lane = u32;

    /// The exponents that need the fewest bytes for a sample of the values.
    fn exponents(values: &[Self]) -> Exponents {
        let sample: Vec<_> = values.iter().step_by(values.len() / SAMPLE + 1).copied().collect();
        let cost = |exponents: Exponents| {
            let lanes: Vec<_> = sample.iter().filter_map(|value| value.to_lane(exponents)).collect();
            let range = lanes.iter().max().zip(lanes.iter().min()).map_or(0, |(most, least)| most - least);
            range.bits() * sample.len() + (sample.len() - lanes.len()) * 8 * 8
        };
        let choices = (0..=10).map(|e| Exponents { e, f: 0 });
        choices.min_by_key(|&exponents| cost(exponents)).unwrap_or(Exponents { e: 0, f: 0 })
    }

    #[allow(clippy::cast_possible_truncation)]
    fn to_lane(self, exponents: Exponents) -> Option<u32> {
        let (up, down) = scales(exponents)?;
        let exact = f64::from(self) / down / up;
        let integer = exact.round_ties_even() as i32;
        let lane = integer.cast_unsigned().flip_sign();
        (Self::of_lane(lane, up, down).to_bits() == self.to_bits()).then_some(lane)
    }

    #[allow(clippy::cast_possible_truncation)]
    fn of_lane(lane: u32, up: f64, down: f64) -> Self {
        (f64::from(lane.flip_sign().cast_signed()) * up * down) as Self
    }

    fn bits(self) -> u32 {
        self.to_bits()
    }

    fn of_bits(lane: u32) -> Self {
        Self::from_bits(lane)
    }
}

/// 10^f and 10^-e.
fn scales(exponents: Exponents) -> Option<(f64, f64)> {
    let up = f64::F10.get(usize::from(exponents.f));
    up.copied().zip(f64::IF10.get(usize::from(exponents.e)).copied())
}

/// Encodes as the format says: the exponents, how the integers are packed, the number of
/// exceptions, the integers, the positions of the exceptions, their values.
pub(super) fn encode<F: Decimal>(values: &[F]) -> Vec<u8> {
    let exponents = F::exponents(values);
    let mut exceptions = Vec::new();
    let mut last = F::Lane::default().flip_sign();
    let lanes: Vec<F::Lane> = (0u32..)
        .zip(values)
        .map(|(place, value)| {
            // An exception repeats the integer before it, which costs least.
            last = value.to_lane(exponents).unwrap_or_else(|| {
                exceptions.push((place, *value));
                last
            });
            last
        })
        .collect();
    let mut packed = Vec::new();
    packed::pack(&lanes, &mut packed);
    let mut before = F::Lane::default();
    let differences: Vec<F::Lane> = lanes
        .iter()
        .map(|lane| lane.wrapping_less(std::mem::replace(&mut before, *lane)).flip_sign())
        .collect();
    let mut packed_differences = Vec::new();
    packed::pack(&differences, &mut packed_differences);
    // Adding up differences takes time, so they must save a twentieth.
    let (how, packed) = if packed_differences.len() * 20 < packed.len() * 19 {
        (AS_DIFFERENCES, packed_differences)
    } else {
        (AS_THEY_ARE, packed)
    };
    let mut out = vec![exponents.e, exponents.f, how, 0];
    // A block has fewer values than u32::MAX.
    out.extend(u32::try_from(exceptions.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend(packed);
    out.extend(exceptions.iter().flat_map(|(place, _)| place.to_le_bytes()));
    for (_, exception) in exceptions {
        exception.bits().put(&mut out);
    }
    out
}

/// The inverse of [`encode`]: the wanted values among `count`.
pub(super) fn decode<F: Decimal>(bytes: &[u8], count: usize, wanted: Range<usize>) -> Result<Vec<F>, String> {
    let short = || format!("{} bytes for {count} decimals", bytes.len());
    let (&[e, f, how, _, n0, n1, n2, n3], rest) = bytes.split_first_chunk::<8>().ok_or_else(short)?;
    let exceptions = u32::from_le_bytes([n0, n1, n2, n3]) as usize;
    let scales = scales(Exponents { e, f });
    let (up, down) = scales.ok_or_else(|| format!("a decimal has no exponents {e} and {f}"))?;
    // Differences add up from the first value on, so all values before the wanted ones are needed.
    let decoded = if how == AS_THEY_ARE { wanted.clone() } else { 0..wanted.end };
    let mut values = Vec::with_capacity(decoded.len().min(bytes.len().saturating_mul(packed::VECTOR)));
    let rest = match how {
        AS_THEY_ARE => packed::unpack(rest, count, decoded.clone(), |vector: &[F::Lane]| {
            extend(&mut values, vector, up, down);
        }),
        AS_DIFFERENCES => {
            let mut last = F::Lane::default();
            let mut lanes = [F::Lane::default(); packed::VECTOR];
            packed::unpack(rest, count, decoded.clone(), |vector: &[F::Lane]| {
                last = packed::add_up(vector, F::Lane::default().flip_sign(), last, &mut lanes);
                extend(&mut values, lanes.get(..vector.len()).unwrap_or_default(), up, down);
            })
        }
        other => Err(format!("decimals packed in the unknown way {other}")),
    }?;
    let (places, patches) = rest.split_at_checked(exceptions.saturating_mul(4)).ok_or_else(short)?;
    if patches.len() != exceptions * F::Lane::BYTES {
        return Err(short());
    }
    for (place, patch) in u32::all(places).zip(F::Lane::all(patches)) {
        let place = place as usize;
        if place >= count {
            return Err(format!("an exception at {place} of {count}"));
        }
        if let Some(value) = place.checked_sub(decoded.start).and_then(|place| values.get_mut(place)) {
            *value = F::of_bits(patch);
        }
    }
    values.drain(..(wanted.start - decoded.start).min(values.len()));
    Ok(values)
}

fn extend<F: Decimal>(values: &mut Vec<F>, lanes: &[F::Lane], up: f64, down: f64) {
    if up == 1.0 {
        values.extend(lanes.iter().map(|&lane| F::of_lane(lane, 1.0, down)));
    } else {
        values.extend(lanes.iter().map(|&lane| F::of_lane(lane, up, down)));
    }
}

#[cfg(test)]
#[allow(clippy::cast_possible_truncation, reason = "numbers made up to fit, or to be cut")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn same<F: Decimal>(values: &[F]) -> usize {
        let bytes = encode(values);
        let back = decode::<F>(&bytes, values.len(), 0..values.len()).unwrap();
        let some = values.len() / 3..values.len() - values.len() / 5;
        let part = decode::<F>(&bytes, values.len(), some.clone()).unwrap();
        assert!(values[some].iter().zip(&part).all(|(a, b)| a.bits() == b.bits()));
        assert!(values.iter().zip(&back).all(|(a, b)| a.bits() == b.bits()) && back.len() == values.len());
        for end in (0..bytes.len()).step_by(bytes.len() / 16 + 1) {
            assert!(decode::<F>(&bytes[..end], values.len(), 0..values.len()).is_err());
        }
        bytes.len()
    }

    proptest! {
        /// Floats come back bit by bit, including NaN, infinities and zeros of both signs.
        #[test]
        fn floats_come_back(
            bits in prop::collection::vec(any::<u64>(), 0..2100), decimals in 0i32..6, odd in 0usize..5,
        ) {
            let decimal = |bits: u64| (bits % 100_000) as f64 / 10f64.powi(decimals) - 300.0;
            let wide: Vec<f64> = bits
                .iter()
                .enumerate()
                .map(|(i, &bits)| if i % 5 < odd { f64::from_bits(bits) } else { decimal(bits) })
                .collect();
            same(&wide);
            same(&wide.iter().map(|&value| value as f32).collect::<Vec<_>>());
        }
    }

    #[test]
    fn odd_floats_come_back() {
        same(&[
            0.0f32,
            -0.0,
            f32::NAN,
            -f32::NAN,
            f32::INFINITY,
            f32::NEG_INFINITY,
            f32::MIN_POSITIVE,
            1e-40,
        ]);
        same(&[0.0f64, -0.0, f64::NAN, -f64::NAN, f64::INFINITY, f64::MAX, 5e-324]);
        same::<f32>(&[]);
    }

    #[test]
    fn every_f32_of_three_decimals_is_one() {
        for i in -99_999..99_999 {
            let value = (f64::from(i) / 1000.0) as f32;
            assert!(value.to_lane(Exponents { e: 3, f: 0 }).is_some(), "{value}");
        }
    }

    #[test]
    fn profiles_are_kept_by_their_differences() {
        // Profiles from the surface down, one after the other: small steps, and a large one between
        // profiles.
        let levels = (0..8192).map(|i| (28_000 - (i % 70) * 370 + i * 7919 % 40) as f32 / 1000.0);
        assert!(same(&levels.collect::<Vec<_>>()) < 8192 * 12 / 8);
    }
}
