//! Integers as multiples of a step above a base, and as differences of such multiples.

use std::ops::Range;

use super::packed::{self, PackedLane};

/// Encodes values as `base + step * multiple`, with packed multiples.
pub(super) fn encode_packed<L: PackedLane>(values: &[L], signed: bool) -> Vec<u8> {
    let mut out = Vec::new();
    multiples(values, signed, &mut out);
    out
}

/// The inverse of [`encode_packed`]: the wanted values among `count`.
pub(super) fn decode_packed<L: PackedLane>(
    bytes: &[u8],
    count: usize,
    wanted: Range<usize>,
) -> Result<Vec<L>, String> {
    let mut values = Vec::with_capacity(capacity(wanted.len(), bytes));
    read_multiples(bytes, count, wanted, |vector: &[L]| values.extend_from_slice(vector))?;
    Ok(values)
}

/// Encodes the first value, and then the difference of each value to the one before, as
/// [`encode_packed`] does.
pub(super) fn encode_delta<L: PackedLane>(values: &[L]) -> Vec<u8> {
    let mut out = Vec::new();
    values.first().copied().unwrap_or_default().put(&mut out);
    let differences: Vec<L> =
        values.windows(2).filter_map(|pair| Some(pair.last()?.wrapping_less(*pair.first()?))).collect();
    multiples(&differences, true, &mut out);
    out
}

/// The inverse of [`encode_delta`].
pub(super) fn decode_delta<L: PackedLane>(bytes: &[u8], count: usize) -> Result<Vec<L>, String> {
    let short = || format!("{} bytes for {count} differences", bytes.len());
    let (first, rest) = bytes.split_at_checked(L::BYTES).ok_or_else(short)?;
    let mut last = L::all(first).next().ok_or_else(short)?;
    let Some(differences) = count.checked_sub(1) else {
        return read_multiples(rest, 0, 0..0, |_: &[L]| {}).map(|()| Vec::new());
    };
    let mut values = Vec::with_capacity(capacity(count, bytes));
    values.push(last);
    read_multiples(rest, differences, 0..differences, |vector: &[L]| {
        values.extend(vector.iter().map(|difference| {
            last = last.wrapping_plus(*difference);
            last
        }));
    })?;
    Ok(values)
}

/// The capacity for `count` values, or for as many as the packed `bytes` can contain.
fn capacity(count: usize, bytes: &[u8]) -> usize {
    count.min(bytes.len().saturating_mul(packed::VECTOR))
}

fn multiples<L: PackedLane>(values: &[L], signed: bool, out: &mut Vec<u8>) {
    let order = |value: L| if signed { value.flip_sign() } else { value };
    let base = values.iter().copied().min_by_key(|&value| order(value)).unwrap_or_default();
    let mut above: Vec<L> = values.iter().map(|value| value.wrapping_less(base)).collect();
    let step = above.iter().fold(L::default(), |step, &value| step.common_divisor(value));
    if step > L::ONE {
        above.iter_mut().for_each(|value| *value = value.divided_by(step));
    }
    base.put(out);
    step.put(out);
    packed::pack(&above, out);
}

fn read_multiples<L: PackedLane>(
    bytes: &[u8],
    count: usize,
    wanted: Range<usize>,
    mut take: impl FnMut(&[L]),
) -> Result<(), String> {
    let head = bytes.split_at_checked(2 * L::BYTES);
    let (head, bytes) = head.ok_or_else(|| format!("{} bytes for {count} values", bytes.len()))?;
    let mut head = L::all(head);
    let (base, step) = (head.next().unwrap_or_default(), head.next().unwrap_or_default());
    let mut values = [L::default(); packed::VECTOR];
    packed::unpack_all(bytes, count, wanted, |multiples: &[L]| {
        let values = values.get_mut(..multiples.len()).unwrap_or_default();
        if step == L::ONE {
            for (value, multiple) in values.iter_mut().zip(multiples) {
                *value = base.wrapping_plus(*multiple);
            }
        } else {
            for (value, multiple) in values.iter_mut().zip(multiples) {
                *value = base.wrapping_plus(step.wrapping_times(*multiple));
            }
        }
        take(values);
    })
}

#[cfg(test)]
#[allow(clippy::cast_possible_truncation, reason = "numbers made up to fit, or to be cut")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn integers_come_back(
            values in prop::collection::vec(any::<i64>(), 0..1500),
            (shift, step) in (0u32..64, 1i64..5000),
        ) {
            let lanes = |wide: i64| (wide >> shift).wrapping_mul(step) as u64;
            let values: Vec<u64> = values.into_iter().map(lanes).collect();
            for signed in [false, true] {
                let bytes = encode_packed(&values, signed);
                prop_assert_eq!(&decode_packed::<u64>(&bytes, values.len(), 0..values.len()).unwrap(), &values);
                let some = values.len() / 3..values.len() - values.len() / 5;
                let part = decode_packed::<u64>(&bytes, values.len(), some.clone()).unwrap();
                prop_assert_eq!(&part, &values[some]);
            }
            let bytes = encode_delta(&values);
            prop_assert_eq!(&decode_delta::<u64>(&bytes, values.len()).unwrap(), &values);
            for end in (0..bytes.len()).step_by(bytes.len() / 16 + 1) {
                prop_assert!(decode_delta::<u64>(&bytes[..end], values.len()).is_err());
            }
            let narrow: Vec<u16> = values.iter().map(|&value| value as u16).collect();
            let bytes = encode_delta(&narrow);
            prop_assert_eq!(decode_delta::<u16>(&bytes, narrow.len()).unwrap(), narrow);
        }
    }

    #[test]
    fn hours_take_next_to_nothing() {
        const HOUR: i64 = 3_600_000_000_000;
        let hours: Vec<u64> = (0..100_000).map(|i| (-HOUR * 50_000 + i * HOUR) as u64).collect();
        assert!(encode_delta(&hours).len() < hours.len() * 8 / 400);
        // Hours of consecutive days, as in short series of many stations.
        let days: Vec<u64> =
            (0..100_000).map(|i| (i / 24 % 7 * 1000 * HOUR + i % 24 * HOUR) as u64).collect();
        assert!(encode_packed(&days, true).len() < days.len() * 8 / 4);
    }
}
