//! The assignment of the rows of a frame to slots, each of one group.

use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::util::bit_chunk_iterator::BitChunks;

/// The number of values that are added side by side, so that no addition waits for another.
const LANES: usize = 8;

/// The mean length of sequences from which on they are faster than a number for each row.
const SEQUENCE: usize = 16;

/// The rows of a frame that count.
#[derive(Clone, Debug, Default)]
pub struct Present(Option<BooleanBuffer>);

impl Present {
    /// The selected rows in which no value is missing.
    pub fn new<'a>(
        mask: Option<BooleanBuffer>,
        nulls: impl IntoIterator<Item = Option<&'a NullBuffer>>,
    ) -> Self {
        let nulls = nulls.into_iter().flatten().filter(|nulls| nulls.null_count() > 0);
        Self(nulls.fold(mask, |mask, nulls| match mask {
            Some(mask) => Some(&mask & nulls.inner()),
            None => Some(nulls.inner().clone()),
        }))
    }
}

/// The group of each row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Slots {
    /// All rows are of one group.
    One,
    /// Runs of rows of one group, with their lengths.
    Runs(Vec<(u32, usize)>),
    /// Sequences of rows in which the group's number grows by one from row to row: the first group
    /// and the length of each.
    Sequences(Vec<(u32, usize)>),
    /// The slots of large boxes, one box after the other.
    Boxes(Vec<BoxSlots>),
    /// The group of each row.
    Rows(Vec<u32>),
}

/// The groups of the rows of a box. They depend on some of the box's dimensions.
///
/// The rows form consecutive lines, all divided into the same runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoxSlots {
    /// The group of each place.
    numbers: Vec<u32>,
    /// For each line, the place of its first group.
    lines: Vec<u32>,
    /// The lengths of the runs of a line. Each run belongs to the next place.
    runs: Vec<usize>,
    /// True if each run is one row.
    side_by_side: bool,
}

impl BoxSlots {
    /// The slots of a box. `sizes` are the sizes along its dimensions, slowest first, each with
    /// whether the group depends on the dimension; `numbers` are the groups.
    pub fn new(sizes: &[(bool, usize)], numbers: &[u32]) -> Self {
        let last = sizes.iter().rposition(|(has, _)| *has);
        let length = sizes.iter().skip(last.map_or(0, |last| last + 1)).map(|(_, size)| size).product();
        let count = last.and_then(|last| sizes.get(last)).map_or(1, |(_, size)| *size);
        let mut lines = vec![0u32];
        let narrow = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let mut stride = numbers.len();
        for &(has, size) in sizes.iter().take(last.unwrap_or(0)) {
            stride = if has { stride / size.max(1) } else { stride };
            let step = if has { narrow(stride) } else { 0 };
            lines = lines.iter().flat_map(|line| (0..narrow(size)).map(move |i| line + i * step)).collect();
        }
        if numbers.len() != count {
            let (numbers, side_by_side) = (numbers.to_vec(), length == 1);
            return Self { numbers, lines, runs: vec![length; count], side_by_side };
        }
        // All lines are alike, so consecutive places of one group are merged into one run.
        let (mut places, mut runs): (Vec<u32>, Vec<usize>) = (Vec::new(), Vec::new());
        for &number in numbers {
            match runs.last_mut() {
                Some(run) if places.last() == Some(&number) => *run += length,
                _ => {
                    places.push(number);
                    runs.push(length);
                }
            }
        }
        let side_by_side = runs.iter().all(|&run| run == 1);
        Self { numbers: places, lines, runs, side_by_side }
    }

    /// The number of rows of a line.
    fn line(&self) -> usize {
        self.runs.iter().sum()
    }

    /// The number of rows.
    fn rows(&self) -> usize {
        self.lines.len() * self.line()
    }

    fn to_rows(&self, rows: &mut Vec<usize>) {
        self.for_runs(0, |place, _, length| {
            let group = self.numbers.get(place).map_or(0, |&group| group as usize);
            rows.extend(std::iter::repeat_n(group, length));
        });
    }

    /// Calls `add` with each place, the first row of its run relative to `start`, and the run's
    /// length.
    fn for_runs(&self, start: usize, mut add: impl FnMut(usize, usize, usize)) {
        let mut first = start;
        for &line in &self.lines {
            for (run, &length) in self.runs.iter().enumerate() {
                add(line as usize + run, first, length);
                first += length;
            }
        }
    }

    /// The number of rows of each place that count, from row `first` on.
    fn counts(&self, bits: Option<&BooleanBuffer>, first: usize) -> Vec<u64> {
        let mut counts = vec![0u64; self.numbers.len()];
        match bits {
            None => {
                for &line in &self.lines {
                    let places = line as usize..line as usize + self.runs.len();
                    let counts = counts.get_mut(places).unwrap_or_default();
                    counts.iter_mut().zip(&self.runs).for_each(|(count, &run)| *count += run as u64);
                }
            }
            Some(bits) => self.for_runs(first, |place, row, length| {
                if let Some(count) = counts.get_mut(place) {
                    *count += set_bits(bits, row, length) as u64;
                }
            }),
        }
        counts
    }

    /// Combines the values of each place, as [`Slots::fold`] does.
    fn fold<T: Copy, A: Copy>(
        &self,
        (values, first): (&[T], usize),
        bits: Option<&BooleanBuffer>,
        start: A,
        step: impl Fn(u32, A, T) -> A,
        combine: impl Fn(A, A) -> A,
    ) -> Vec<A> {
        let mut folded = vec![start; self.numbers.len()];
        if self.side_by_side {
            // Lines of adjacent groups are accumulated line by line.
            let lines = values.chunks(self.runs.len().max(1)).zip(&self.lines);
            for (number, (values, &line)) in lines.enumerate() {
                let place = line as usize..line as usize + values.len();
                let groups = self.numbers.get(place.clone()).unwrap_or_default();
                let slots = folded.get_mut(place).unwrap_or_default();
                let step = |i: usize, a, value| step(groups.get(i).copied().unwrap_or_default(), a, value);
                add_beside(slots, values, bits.map(|bits| (bits, first + number * self.runs.len())), step);
            }
            return folded;
        }
        self.for_runs(0, |place, row, length| {
            let group = self.numbers.get(place).copied().unwrap_or(0);
            let step = |a, value| step(group, a, value);
            let run = values.get(row..row + length).unwrap_or_default();
            let own = fold_run(run, first + row, bits, start, step, &combine);
            if let Some(slot) = folded.get_mut(place) {
                *slot = combine(*slot, own);
            }
        });
        folded
    }
}

impl Slots {
    /// Slots from the group of each row.
    pub fn of_rows(groups: Vec<u32>) -> Self {
        let is_next = |pair: &[u32]| matches!(pair, [before, group] if *group == before.wrapping_add(1));
        let sequences = groups.windows(2).filter(|pair| !is_next(pair)).count() + 1;
        if groups.len() / SEQUENCE < sequences {
            return Self::Rows(groups);
        }
        let sequence = |own: &[u32]| Some((*own.first()?, own.len()));
        let chunks = groups.chunk_by(|before, group| is_next(&[*before, *group]));
        Self::Sequences(chunks.filter_map(sequence).collect())
    }

    /// The group of each row, as numbers.
    pub fn to_rows(&self, rows: usize) -> Vec<usize> {
        match self {
            Self::One => vec![0; rows],
            Self::Runs(runs) => {
                let run = |&(group, length): &(u32, usize)| std::iter::repeat_n(group as usize, length);
                runs.iter().flat_map(run).collect()
            }
            Self::Sequences(sequences) => {
                let groups = |&(first, length): &(u32, usize)| (first as usize..).take(length);
                sequences.iter().flat_map(groups).collect()
            }
            Self::Boxes(boxes) => {
                let mut groups = Vec::with_capacity(rows);
                boxes.iter().for_each(|own| own.to_rows(&mut groups));
                groups
            }
            Self::Rows(groups) => groups.iter().map(|&group| group as usize).collect(),
        }
    }

    /// The number of counted rows of each group, among `rows` rows.
    pub fn counts(&self, present: &Present, rows: usize, groups: usize) -> Vec<u64> {
        let mut counts = vec![0u64; groups];
        let mut add = |group: u32, count: usize| {
            if let Some(slot) = counts.get_mut(group as usize) {
                *slot += count as u64;
            }
        };
        match (self, &present.0) {
            (Self::One, None) => add(0, rows),
            (Self::One, Some(bits)) => add(0, bits.count_set_bits()),
            (Self::Runs(runs), bits) => {
                let mut start = 0;
                for &(group, length) in runs {
                    add(group, bits.as_ref().map_or(length, |bits| set_bits(bits, start, length)));
                    start += length;
                }
            }
            (Self::Boxes(boxes), bits) => {
                let mut start = 0;
                for own in boxes {
                    let counts = own.counts(bits.as_ref(), start);
                    let counts = own.numbers.iter().zip(counts);
                    counts.for_each(|(&group, count)| add(group, usize::try_from(count).unwrap_or(0)));
                    start += own.rows();
                }
            }
            (Self::Sequences(sequences), bits) => {
                for ((first, length), row) in with_starts(sequences) {
                    let counts = counts.get_mut(first..first + length).unwrap_or_default();
                    let bits = bits.as_ref().map(|bits| (bits, row));
                    add_beside(counts, &vec![(); length], bits, |_, count, ()| count + 1);
                }
            }
            (Self::Rows(groups), None) => groups.iter().for_each(|&group| add(group, 1)),
            (Self::Rows(groups), Some(bits)) => {
                for_each_set(bits, |row| groups.get(row).into_iter().for_each(|&group| add(group, 1)));
            }
        }
        counts
    }

    /// Folds the counted values of each group, beginning with `start`. `step` and `combine` may be
    /// applied in any order. `step` also gets the group.
    pub fn fold<T: Copy, A: Copy>(
        &self,
        values: &[T],
        present: &Present,
        (start, groups): (A, usize),
        step: impl Fn(u32, A, T) -> A,
        combine: impl Fn(A, A) -> A,
    ) -> Vec<A> {
        let mut folded = vec![start; groups];
        let mut add = |group: u32, values: &[T], first: usize| {
            let step = |a, value| step(group, a, value);
            let own = fold_run(values, first, present.0.as_ref(), start, step, &combine);
            if let Some(slot) = folded.get_mut(group as usize) {
                *slot = combine(*slot, own);
            }
        };
        match self {
            Self::One => add(0, values, 0),
            Self::Runs(runs) => {
                let mut first = 0;
                for &(group, length) in runs {
                    add(group, values.get(first..first + length).unwrap_or_default(), first);
                    first += length;
                }
            }
            Self::Boxes(boxes) => {
                let mut first = 0;
                for own in boxes {
                    let values = values.get(first..first + own.rows()).unwrap_or_default();
                    let places = own.fold((values, first), present.0.as_ref(), start, &step, &combine);
                    for (&group, value) in own.numbers.iter().zip(places) {
                        if let Some(slot) = folded.get_mut(group as usize) {
                            *slot = combine(*slot, value);
                        }
                    }
                    first += own.rows();
                }
            }
            Self::Sequences(sequences) => {
                for ((first, length), row) in with_starts(sequences) {
                    let values = values.get(row..row + length).unwrap_or_default();
                    let slots = folded.get_mut(first..first + length).unwrap_or_default();
                    let bits = present.0.as_ref().map(|bits| (bits, row));
                    let group = |i: usize| u32::try_from(first + i).unwrap_or(u32::MAX);
                    add_beside(slots, values, bits, |i, a, value| step(group(i), a, value));
                }
            }
            Self::Rows(of_rows) => {
                let mut add = |group: u32, value: T| {
                    if let Some(slot) = folded.get_mut(group as usize) {
                        *slot = step(group, *slot, value);
                    }
                };
                match &present.0 {
                    None => of_rows.iter().zip(values).for_each(|(&group, &value)| add(group, value)),
                    Some(bits) => for_each_set(bits, |row| {
                        if let Some((&group, &value)) = of_rows.get(row).zip(values.get(row)) {
                            add(group, value);
                        }
                    }),
                }
            }
        }
        folded
    }
}

/// The sequences, each with its first group, its length, and the number of its first row.
fn with_starts(sequences: &[(u32, usize)]) -> impl Iterator<Item = ((usize, usize), usize)> {
    sequences.iter().scan(0, |row, &(first, length)| {
        *row += length;
        Some(((first as usize, length), *row - length))
    })
}

/// Adds each value to the slot at the same position, if its bit is set. `bits` come with the
/// position of the first value's bit. `step` gets the position.
fn add_beside<T: Copy, A: Copy>(
    slots: &mut [A],
    values: &[T],
    bits: Option<(&BooleanBuffer, usize)>,
    step: impl Fn(usize, A, T) -> A,
) {
    let Some((bits, first)) = bits else {
        let each = slots.iter_mut().zip(values).enumerate();
        return each.for_each(|(i, (slot, &value))| *slot = step(i, *slot, value));
    };
    let words = BitChunks::new(bits.values(), bits.offset() + first, values.len()).iter_padded();
    for (number, ((slots, values), word)) in
        slots.chunks_mut(64).zip(values.chunks(64)).zip(words).enumerate()
    {
        let each = slots.iter_mut().zip(values).enumerate();
        match word {
            0 => {}
            u64::MAX => each.for_each(|(i, (slot, &value))| *slot = step(number * 64 + i, *slot, value)),
            _ => each.for_each(|(i, (slot, &value))| {
                let with = step(number * 64 + i, *slot, value);
                *slot = if word & (1 << i) == 0 { *slot } else { with };
            }),
        }
    }
}

/// Folds the values of a run that starts at a position.
fn fold_run<T: Copy, A: Copy>(
    values: &[T],
    first: usize,
    bits: Option<&BooleanBuffer>,
    start: A,
    step: impl Fn(A, T) -> A,
    combine: impl Fn(A, A) -> A,
) -> A {
    match bits {
        None => fold_all(values, start, step, combine),
        Some(bits) if values.len() < LANES => {
            let set = (0..).zip(values).filter(|(i, _)| bits.value(first + i));
            set.fold(start, |a, (_, &value)| step(a, value))
        }
        Some(bits) => {
            let words = BitChunks::new(bits.values(), bits.offset() + first, values.len());
            fold_marked(values, words.iter_padded(), start, step, combine)
        }
    }
}

fn set_bits(bits: &BooleanBuffer, start: usize, length: usize) -> usize {
    if length == 1 { usize::from(bits.value(start)) } else { bits.slice(start, length).count_set_bits() }
}

/// Calls `f` with the position of each set bit.
fn for_each_set(bits: &BooleanBuffer, mut f: impl FnMut(usize)) {
    for (number, mut word) in
        BitChunks::new(bits.values(), bits.offset(), bits.len()).iter_padded().enumerate()
    {
        while word != 0 {
            f(number * 64 + word.trailing_zeros() as usize);
            word &= word - 1;
        }
    }
}

fn fold_all<T: Copy, A: Copy>(
    values: &[T],
    start: A,
    step: impl Fn(A, T) -> A,
    combine: impl Fn(A, A) -> A,
) -> A {
    if values.len() < LANES {
        return values.iter().fold(start, |all, &value| step(all, value));
    }
    let mut lanes = [start; LANES];
    let rest = add_to_lanes(&mut lanes, values, &step);
    let rest = rest.iter().fold(start, |all, &value| step(all, value));
    lanes.into_iter().fold(rest, combine)
}

/// Like [`fold_all`], for the values whose bits are set. The first value has the lowest bit of the
/// first word.
fn fold_marked<T: Copy, A: Copy>(
    values: &[T],
    words: impl Iterator<Item = u64>,
    start: A,
    step: impl Fn(A, T) -> A,
    combine: impl Fn(A, A) -> A,
) -> A {
    let mut lanes = [start; LANES];
    for (values, mut word) in values.chunks(64).zip(words) {
        match word {
            0 => {}
            u64::MAX => {
                add_to_lanes(&mut lanes, values, &step);
            }
            _ => {
                for values in values.chunks(LANES) {
                    for (i, (lane, &value)) in lanes.iter_mut().zip(values).enumerate() {
                        let with = step(*lane, value);
                        *lane = if word & (1 << i) == 0 { *lane } else { with };
                    }
                    word >>= LANES;
                }
            }
        }
    }
    lanes.into_iter().fold(start, combine)
}

/// Folds the values that fill all lanes, and returns the rest.
fn add_to_lanes<'v, T: Copy, A: Copy>(
    lanes: &mut [A; LANES],
    values: &'v [T],
    step: impl Fn(A, T) -> A,
) -> &'v [T] {
    let (many, rest) = values.as_chunks::<LANES>();
    for values in many {
        for (lane, &value) in lanes.iter_mut().zip(values) {
            *lane = step(*lane, value);
        }
    }
    rest
}
