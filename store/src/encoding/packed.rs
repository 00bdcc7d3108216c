//! Integers packed in as few bits as their range needs, in vectors of 1,024.

use std::ops::Range;

use fastlanes::{BitPacking, FoR};

use super::lane::Lane;

/// The number of values in a vector. Values of a vector are packed together.
pub(super) const VECTOR: usize = 1024;

/// The number of bytes of an outlier's position.
const PLACE: usize = 4;

/// Packs `values`: the reference of each vector, the number of bits of its differences, the number
/// of outliers, the differences, the positions of the outliers, their values.
pub(super) fn pack<L: PackedLane>(values: &[L], out: &mut Vec<u8>) {
    let frames: Vec<Frame<L>> = values.chunks(VECTOR).map(Frame::of).collect();
    for frame in &frames {
        frame.reference.put(out);
    }
    out.extend(frames.iter().map(|frame| u8::try_from(frame.bits).unwrap_or(u8::MAX)));
    let mut outliers = Vec::new();
    for ((vector, frame), start) in values.chunks(VECTOR).zip(&frames).zip((0u32..).step_by(VECTOR)) {
        let outside = (start..).zip(vector).filter(|(_, value)| frame.difference(**value).is_none());
        outliers.extend(outside.map(|(place, value)| (place, *value)));
    }
    // A block has fewer values than u32::MAX.
    out.extend(u32::try_from(outliers.len()).unwrap_or(u32::MAX).to_le_bytes());
    for (vector, frame) in values.chunks(VECTOR).zip(&frames) {
        let mut differences = [L::default(); VECTOR];
        for (difference, value) in differences.iter_mut().zip(vector) {
            *difference = frame.difference(*value).unwrap_or_default();
        }
        L::pack_vector(frame.bits, &differences, out);
    }
    out.extend(outliers.iter().flat_map(|(place, _)| place.to_le_bytes()));
    for (_, value) in outliers {
        value.put(out);
    }
}

/// The range of values that a vector packs: from a reference on, as far as its bits reach. Other
/// values are outliers.
#[derive(Clone, Copy)]
struct Frame<L> {
    reference: L,
    bits: usize,
}

impl<L: PackedLane> Frame<L> {
    /// The frame in which a vector needs the fewest bytes.
    fn of(vector: &[L]) -> Self {
        let least = vector.iter().copied().min().unwrap_or_default();
        let most = vector.iter().copied().max().unwrap_or_default();
        let whole = Self { reference: least, bits: most.wrapping_less(least).bits() };
        // Most vectors have no outliers worth a search. A few values show that; their positions
        // have no period.
        let places = (0..64).map(|i| i * 40_503 % 65_536 * vector.len() / 65_536);
        let mut few: Vec<L> = places.filter_map(|place| vector.get(place).copied()).collect();
        few.sort_unstable();
        let (low, high) = (few.get(few.len() / 8), few.get(few.len() - 1 - few.len() / 8));
        let usual = low.zip(high).map_or(0, |(low, high)| high.wrapping_less(*low).bits());
        if usual + 2 >= whole.bits {
            return whole;
        }
        let mut sorted = vector.to_vec();
        sorted.sort_unstable();
        let cost = |bits: usize, outliers: usize| bits * VECTOR / 8 + outliers * (PLACE + L::BYTES);
        let (mut best, mut least_cost) = (whole, cost(whole.bits, 0));
        for bits in (usual.saturating_sub(2)..best.bits).rev() {
            let (start, inside) = widest(&sorted, bits);
            let cost = cost(bits, sorted.len() - inside);
            if cost < least_cost {
                let reference = sorted.get(start).copied().unwrap_or_default();
                (best, least_cost) = (Self { reference, bits }, cost);
            }
        }
        best
    }

    /// The difference between a value and the reference, if the value is in the frame.
    fn difference(&self, value: L) -> Option<L> {
        let difference = value.wrapping_less(self.reference);
        (value >= self.reference && difference.bits() <= self.bits).then_some(difference)
    }
}

/// The run of `sorted` with the most values that `bits` can distinguish: its start and its length.
fn widest<L: Lane>(sorted: &[L], bits: usize) -> (usize, usize) {
    let (mut best, mut end) = ((0, 0), 0);
    for (start, &low) in sorted.iter().enumerate() {
        while sorted.get(end).is_some_and(|high| high.wrapping_less(low).bits() <= bits) {
            end += 1;
        }
        if end - start > best.1 {
            best = (start, end - start);
        }
    }
    best
}

/// The parts of packed integers.
struct Parts<'a> {
    references: &'a [u8],
    widths: &'a [u8],
    vectors: &'a [u8],
    places: &'a [u8],
    outliers: &'a [u8],
}

impl<'a> Parts<'a> {
    /// The parts of `count` integers at the start of `bytes`, and the bytes after them; `None` if
    /// there are too few bytes.
    fn split<L: PackedLane>(bytes: &'a [u8], count: usize) -> Option<(Self, &'a [u8])> {
        let vectors = count.div_ceil(VECTOR);
        let (references, rest) = bytes.split_at_checked(vectors.checked_mul(L::BYTES)?)?;
        let (widths, rest) = rest.split_at_checked(vectors)?;
        let (outliers, rest) = rest.split_first_chunk::<4>()?;
        let outliers = u32::from_le_bytes(*outliers) as usize;
        let packed = widths.iter().map(|&width| usize::from(width) * VECTOR / 8).sum();
        let (vectors, rest) = rest.split_at_checked(packed)?;
        let (places, rest) = rest.split_at_checked(outliers.checked_mul(PLACE)?)?;
        let (outliers, rest) = rest.split_at_checked(outliers.checked_mul(L::BYTES)?)?;
        Some((Self { references, widths, vectors, places, outliers }, rest))
    }
}

/// The inverse of [`pack`]: passes the `wanted` values among `count` to `take`, vector by vector.
/// Returns the bytes after the packed values.
pub(super) fn unpack<L: PackedLane>(
    bytes: &[u8],
    count: usize,
    wanted: Range<usize>,
    mut take: impl FnMut(&[L]),
) -> Result<&[u8], String> {
    let short = || format!("{} bytes for {count} packed values", bytes.len());
    let (parts, after) = Parts::split::<L>(bytes, count).ok_or_else(short)?;
    let mut packed = parts.vectors;
    let mut outliers =
        u32::all(parts.places).map(|place| place as usize).zip(L::all(parts.outliers)).peekable();
    let mut start = 0;
    let (mut words, mut values) = ([L::default(); VECTOR], [L::default(); VECTOR]);
    for (reference, &width) in L::all(parts.references).zip(parts.widths) {
        let width = usize::from(width);
        if width > L::BYTES * 8 {
            return Err(format!("values of {width} bits where there are {} at the most", L::BYTES * 8));
        }
        let (vector, rest) = packed.split_at_checked(width * VECTOR / 8).ok_or_else(short)?;
        packed = rest;
        let end = count.min(start + VECTOR);
        let (first, last) = (wanted.start.clamp(start, end), wanted.end.clamp(start, end));
        if first < last {
            L::unpack_vector(width, vector, reference, &mut words, &mut values).ok_or_else(short)?;
        }
        while let Some((place, value)) = outliers.next_if(|(place, _)| (start..end).contains(place)) {
            if let Some(outlier) = values.get_mut(place - start) {
                *outlier = value;
            }
        }
        if first < last {
            take(values.get(first - start..last - start).unwrap_or_default());
        }
        start = end;
    }
    match outliers.next() {
        Some((place, _)) => Err(format!("an outlier at {place} of {count}, or out of order")),
        None => Ok(after),
    }
}

/// Running sums of `differences`, with the bits of `flip` inverted in each, beginning at `start`.
/// Returns the last sum.
pub(super) fn add_up<L: Lane>(differences: &[L], flip: L, start: L, sums: &mut [L; VECTOR]) -> L {
    // As many sums at a time as a processor has adders, each over a stretch of its own.
    const STRETCH: usize = VECTOR / 8;
    let mut padded;
    let differences: &[L; VECTOR] = match differences.try_into() {
        Ok(differences) => differences,
        Err(_) => {
            padded = [flip; VECTOR];
            padded.iter_mut().zip(differences).for_each(|(to, from)| *to = *from);
            &padded
        }
    };
    let ([d0, d1, d2, d3, d4, d5, d6, d7], _) = differences.as_chunks::<STRETCH>() else { return start };
    let [s0, s1, s2, s3, s4, s5, s6, s7] = sums.as_chunks_mut::<STRETCH>().0 else { return start };
    let mut running = [L::ZERO; 8];
    let [r0, r1, r2, r3, r4, r5, r6, r7] = &mut running;
    let add = |running: &mut L, difference: L| {
        *running = running.wrapping_plus(difference.xor(flip));
        *running
    };
    let low = s0
        .iter_mut()
        .zip(d0)
        .zip(s1.iter_mut().zip(d1))
        .zip(s2.iter_mut().zip(d2).zip(s3.iter_mut().zip(d3)));
    let high = s4
        .iter_mut()
        .zip(d4)
        .zip(s5.iter_mut().zip(d5))
        .zip(s6.iter_mut().zip(d6).zip(s7.iter_mut().zip(d7)));
    for ((((s0, d0), (s1, d1)), ((s2, d2), (s3, d3))), (((s4, d4), (s5, d5)), ((s6, d6), (s7, d7)))) in
        low.zip(high)
    {
        *s0 = add(r0, *d0);
        *s1 = add(r1, *d1);
        *s2 = add(r2, *d2);
        *s3 = add(r3, *d3);
        *s4 = add(r4, *d4);
        *s5 = add(r5, *d5);
        *s6 = add(r6, *d6);
        *s7 = add(r7, *d7);
    }
    let mut before = start;
    for (sums, running) in sums.as_chunks_mut::<STRETCH>().0.iter_mut().zip(running) {
        sums.iter_mut().for_each(|sum| *sum = before.wrapping_plus(*sum));
        before = before.wrapping_plus(running);
    }
    before
}

/// Like [`unpack`], for `bytes` with nothing after the packed values.
pub(super) fn unpack_all<L: PackedLane>(
    bytes: &[u8],
    count: usize,
    wanted: Range<usize>,
    take: impl FnMut(&[L]),
) -> Result<(), String> {
    let after = unpack(bytes, count, wanted, take)?;
    if after.is_empty() { Ok(()) } else { Err(format!("{} bytes after packed values", after.len())) }
}

/// Lanes that can be packed.
pub(super) trait PackedLane: Lane {
    /// Packs a vector of values of `width` bits.
    fn pack_vector(width: usize, values: &[Self; VECTOR], out: &mut Vec<u8>);

    /// Unpacks a vector of values of `width` bits and adds `least` to each; `None` if there are too
    /// few `bytes`. `words` is a buffer for the packed words.
    fn unpack_vector(
        width: usize,
        bytes: &[u8],
        least: Self,
        words: &mut [Self; VECTOR],
        values: &mut [Self; VECTOR],
    ) -> Option<()>;
}

macro_rules! packed_lane {
    ($lane:ty: $($width:literal)*) => {
        impl PackedLane for $lane {
            fn pack_vector(width: usize, values: &[Self; VECTOR], out: &mut Vec<u8>) {
                match width {
                    $($width => {
                        const WORDS: usize = VECTOR * $width / (<$lane>::BITS as usize);
                        let mut words = [0; WORDS];
                        <$lane as BitPacking>::pack::<$width, WORDS>(values, &mut words);
                        out.extend(words.iter().flat_map(|word| word.to_le_bytes()));
                    })*
                    _ => unreachable!("a value of {width} bits in a lane of {}", <$lane>::BITS),
                }
            }

            fn unpack_vector(
                width: usize,
                bytes: &[u8],
                least: Self,
                words: &mut [Self; VECTOR],
                values: &mut [Self; VECTOR],
            ) -> Option<()> {
                for (word, value) in words.iter_mut().zip(<$lane as Lane>::all(bytes)) {
                    *word = value;
                }
                match width {
                    $($width => {
                        const WORDS: usize = VECTOR * $width / (<$lane>::BITS as usize);
                        let words = words.first_chunk::<WORDS>()?;
                        <$lane as FoR>::unfor_pack::<$width, WORDS>(words, least, values);
                    })*
                    _ => return None,
                }
                Some(())
            }
        }
    };
}

packed_lane!(u8: 0 1 2 3 4 5 6 7 8);
packed_lane!(u16: 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16);
packed_lane!(u32: 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32);
packed_lane!(u64: 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32
    33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59 60 61 62 63 64);

#[cfg(test)]
#[allow(clippy::cast_possible_truncation, reason = "numbers made up to fit, or to be cut")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Reads the bits of a vector word by word, as the format describes it.
    fn naive(bytes: &[u8], width: usize) -> Vec<u32> {
        const ORDER: [usize; 8] = [0, 4, 2, 6, 1, 5, 3, 7];
        let words: Vec<u32> = u32::all(bytes).collect();
        let mut values = vec![0; VECTOR];
        for lane in 0..32 {
            for row in 0..32 {
                let bit =
                    |i: usize| words[(row * width + i) / 32 * 32 + lane] >> ((row * width + i) % 32) & 1;
                values[ORDER[row / 8] * 16 + row % 8 * 128 + lane] =
                    (0..width).map(|i| bit(i) << i).sum::<u32>();
            }
        }
        values
    }

    fn round_trip<L: PackedLane + std::fmt::Debug>(values: &[L]) {
        let mut bytes = Vec::new();
        pack(values, &mut bytes);
        let mut back = Vec::new();
        unpack_all(&bytes, values.len(), 0..values.len(), |vector: &[L]| back.extend_from_slice(vector))
            .unwrap();
        assert_eq!(back, values);
        for end in (0..bytes.len()).step_by(bytes.len() / 16 + 1) {
            assert!(unpack_all(&bytes[..end], values.len(), 0..values.len(), |_: &[L]| {}).is_err());
        }
        let longer = [bytes.as_slice(), b"after"].concat();
        assert_eq!(unpack(&longer, values.len(), 0..0, |_: &[L]| {}), Ok(b"after".as_slice()));
    }

    #[test]
    fn sums_are_sums() {
        for count in [0, 1, 127, 128, 1000, VECTOR] {
            let differences: Vec<u16> = (0..count).map(|i| (i * 7919) as u16).collect();
            let mut sums = [0; VECTOR];
            let last = add_up(&differences, 0x8000, 99, &mut sums);
            let mut expected = 99u16;
            for (sum, difference) in sums.iter().zip(&differences) {
                expected = expected.wrapping_add(difference ^ 0x8000);
                assert_eq!(*sum, expected);
            }
            assert_eq!(last, expected);
        }
    }

    proptest! {
        #[test]
        fn packed_values_come_back(
            values in prop::collection::vec(any::<u64>(), 0..2500), shift in 0u32..64, odd in 1usize..400,
        ) {
            let shifted = |(i, value): (usize, u64)| if i % odd == 0 { value } else { value >> shift };
            let values: Vec<u64> = values.into_iter().enumerate().map(shifted).collect();
            let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>();
            round_trip(&values);
            round_trip(&u32::all(&bytes).collect::<Vec<_>>());
            round_trip(&u16::all(&bytes).collect::<Vec<_>>());
            round_trip(&bytes);
        }

        /// No frame of another width is smaller.
        #[test]
        fn a_frame_is_as_wide_as_pays(values in prop::collection::vec(0u32..5000, 1024), odd in 12usize..200) {
            let wide = |(i, value): (usize, u32)| if i % odd == 0 { value << 18 } else { value };
            let values: Vec<u32> = values.into_iter().enumerate().map(wide).collect();
            let mut bytes = Vec::new();
            pack(&values, &mut bytes);
            let cost = |bits: usize| {
                let outside = values.iter().filter(|value| value.bits() > bits).count();
                bits * VECTOR / 8 + outside * 8 + 4 + 1 + 4
            };
            prop_assert!(bytes.len() <= cost(13).min(cost(32)) + 2 * VECTOR / 8);
        }

        /// The library packs as the format says.
        #[test]
        fn bits_lie_where_the_format_says(seed: u32, width in 1usize..32) {
            let values: [u32; VECTOR] =
                std::array::from_fn(|i| (i as u32 ^ seed).wrapping_mul(2_654_435_761) >> (32 - width));
            let mut bytes = Vec::new();
            u32::pack_vector(width, &values, &mut bytes);
            prop_assert_eq!(naive(&bytes, width), values);
        }
    }
}
