//! The groups of rows, determined at the levels of the keys rather than for each row.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{DataType, Int32Type, Int64Type, SchemaRef};
use datafusion::common::Result;
use datafusion::logical_expr::EmitTo;
use datafusion::physical_plan::aggregates::group_values::new_group_values;
use datafusion::physical_plan::aggregates::order::GroupOrdering;

use super::plan::Keys;
use super::repeats::Repeats;
use super::slots::{BoxSlots, Slots};
use crate::scan::Work;
use crate::scan::boxes::{Boxes, Tile, runs_of_datasets};
use crate::scan::expand::Expansion;
use crate::scan::frame::Frame;
use crate::tables::columns::Table;
use crate::tables::layout::Layout;
use crate::tables::level::Level;

/// The greatest number of combinations of keys for which a dense table is used.
const DENSE: usize = 1 << 22;

/// Combinations of keys are few if there is at most one for this many values.
const FEW: usize = 4;

/// Integers whose range is below this are numbered by a table.
const NEAR: usize = 1 << 16;

/// The average number of rows in a box from which on boxes are treated individually.
const LARGE: usize = 1024;

/// The groups of the rows of a frame.
#[derive(Clone, Debug)]
pub struct Groups {
    /// The level on which the group of a row depends.
    level: Level,
    /// For each value of the level, box by box, the number of its group.
    numbers: Vec<u32>,
    /// The keys of each group, in the order of the aggregation.
    keys: Vec<ArrayRef>,
    len: usize,
}

impl Groups {
    /// Assigns the rows of a frame to groups, by keys.
    pub async fn assign(keys: &[Keys], frame: &mut Frame, work: &Work<'_>) -> Result<Self> {
        let table = &work.reader.table;
        let mut parts = Vec::with_capacity(keys.len());
        for keys in keys {
            parts.push(Self::of_keys(keys, frame, work).await?);
        }
        let mut parts = parts.into_iter();
        let Some(mut all) = parts.next() else {
            let numbers = vec![0; frame.boxes.len()];
            return Ok(Self { level: Level::DATASET, numbers, keys: Vec::new(), len: 1 });
        };
        let mut places: Vec<usize> = keys.first().map_or_else(Vec::new, |keys| keys.places.clone());
        for (part, keys) in parts.zip(keys.iter().skip(1)) {
            all = all.combined(&part, table, &frame.boxes)?;
            places.extend(&keys.places);
        }
        let mut sorted: Vec<(usize, ArrayRef)> = places.into_iter().zip(all.keys).collect();
        sorted.sort_by_key(|(place, _)| *place);
        all.keys = sorted.into_iter().map(|(_, keys)| keys).collect();
        Ok(all)
    }

    /// The groups of keys that depend on the same dimensions.
    async fn of_keys(keys: &Keys, frame: &mut Frame, work: &Work<'_>) -> Result<Self> {
        let (table, level) = (&work.reader.table, keys.expressions.level);
        let is_known = |&column: &usize| table.layout.is_of_datasets(column);
        let known = keys.name_datasets && keys.expressions.columns.iter().all(is_known);
        if known && frame.boxes.datasets().is_sorted() {
            return Self::of_datasets(keys, table, &frame.boxes);
        }
        if let Some(groups) = keys.expressions.column().and_then(|column| Self::of_index(column, frame, work))
        {
            return Ok(groups);
        }
        let mut columns = Vec::with_capacity(keys.expressions.columns.len());
        for &column in &keys.expressions.columns {
            let values = if work.needed.contains(&column) {
                frame.read(work.reader, &[column], work.reading).await?;
                frame.column(column)?
            } else {
                work.reader.quietly(column, &frame.boxes, work.reading).await?
            };
            let from = table.layout.level(column);
            let expansion = Expansion { boxes: &frame.boxes, layout: &table.layout, from, to: level };
            columns.push(expansion.array(&values)?);
        }
        let boxes = frame.boxes.iter().map(|tile| tile.values(&table.layout, level)).collect::<Vec<_>>();
        let numbered =
            |columns: Vec<ArrayRef>, rows| numbered(&keys.expressions.evaluate(columns, rows)?, &keys.schema);
        let repeats = match columns.as_slice() {
            [column] => Repeats::find(column, boxes.iter().copied())?,
            _ => None,
        };
        let (numbers, keys) = match repeats {
            Some(repeats) => {
                let different = Arc::clone(&repeats.different);
                let rows = different.len();
                let (numbers, keys) = numbered(vec![different], rows)?;
                (repeats.numbers(&numbers), keys)
            }
            None => numbered(columns, boxes.iter().sum())?,
        };
        let len = keys.first().map_or(0, |keys| keys.len());
        Ok(Self { level, numbers, keys, len })
    }

    /// The groups of a key that is the index along its dimension in all boxes: the indices are the
    /// numbers. `None` if it is not such a key, or if the indices are far apart.
    fn of_index(column: usize, frame: &Frame, work: &Work<'_>) -> Option<Self> {
        let (table, boxes) = (&work.reader.table, &frame.boxes);
        if *table.layout.schema.field(column).data_type() != DataType::Int64 {
            return None;
        }
        let spans = work.reader.index_spans(column, boxes)?;
        let least = spans.iter().map(|span| span.start).min()?;
        let end = spans.iter().map(|span| span.end()).max()?;
        let count = spans.iter().map(|span| span.size).sum::<usize>();
        if end - least > NEAR.max(count) {
            return None;
        }
        let mut numbers = Vec::with_capacity(count);
        for span in spans {
            let narrow = |index: usize| u32::try_from(index - least).ok();
            numbers.extend(narrow(span.start)?..narrow(span.end())?);
        }
        let indices = i64::try_from(least).ok()?..i64::try_from(end).ok()?;
        let keys: ArrayRef = Arc::new(Int64Array::from_iter_values(indices));
        let (level, len) = (table.layout.level(column), keys.len());
        Some(Self { level, numbers, keys: vec![keys], len })
    }

    /// The groups of keys that differ between datasets, which need no comparison.
    fn of_datasets(keys: &Keys, table: &Table, boxes: &Boxes) -> Result<Self> {
        let (datasets, numbers) = runs_of_datasets(boxes);
        let columns = keys.expressions.columns.iter().map(|&column| table.of_datasets(column, &datasets));
        let values = keys.expressions.evaluate(columns.collect::<Result<_>>()?, datasets.len())?;
        Ok(Self { level: Level::DATASET, numbers, keys: values, len: datasets.len() })
    }

    /// The groups of the combinations of keys of two levels.
    fn combined(&self, other: &Self, table: &Table, boxes: &Boxes) -> Result<Self> {
        let level = self.level | other.level;
        let raise = |groups: &Self| {
            Expansion { boxes, layout: &table.layout, from: groups.level, to: level }.values(&groups.numbers)
        };
        let (numbers, pairs) = paired(&raise(self), &raise(other), (self.len, other.len));
        let of = |side: fn(&(u32, u32)) -> u32| UInt32Array::from_iter_values(pairs.iter().map(side));
        let (of_own, of_others) = (of(|pair| pair.0), of(|pair| pair.1));
        let own = self.keys.iter().map(|keys| take(keys, &of_own, None));
        let keys = own.chain(other.keys.iter().map(|keys| take(keys, &of_others, None)));
        let keys = keys.collect::<std::result::Result<_, _>>()?;
        Ok(Self { level, numbers, keys, len: pairs.len() })
    }

    /// The number of groups.
    pub fn len(&self) -> usize {
        self.len
    }

    /// The keys of the groups: an array for each key of the aggregation.
    pub fn keys(&self) -> &[ArrayRef] {
        &self.keys
    }

    /// The boxes, each with the group numbers in it.
    fn of_boxes<'a>(
        &'a self,
        layout: &'a Layout,
        boxes: &'a Boxes,
    ) -> impl Iterator<Item = (Tile<'a>, &'a [u32])> {
        let mut rest = self.numbers.as_slice();
        boxes.iter().map(move |tile| {
            let (own, after) = rest.split_at_checked(tile.values(layout, self.level)).unwrap_or((rest, &[]));
            rest = after;
            (tile, own)
        })
    }

    /// For each box, the only group of its rows, if there is only one.
    pub fn only(&self, table: &Table, boxes: &Boxes) -> Vec<Option<u32>> {
        let only = self.of_boxes(&table.layout, boxes).map(|(_, own)| {
            let first = own.first()?;
            own.iter().all(|number| number == first).then_some(*first)
        });
        only.collect()
    }

    /// The groups of some of the boxes.
    pub fn part(&self, table: &Table, boxes: &Boxes, wanted: &[bool]) -> Self {
        let mut numbers = Vec::with_capacity(self.numbers.len());
        for ((_, own), wanted) in self.of_boxes(&table.layout, boxes).zip(wanted) {
            if *wanted {
                numbers.extend_from_slice(own);
            }
        }
        Self { numbers, keys: Vec::new(), ..*self }
    }

    /// The groups of the rows of boxes.
    pub fn slots(&self, table: &Table, boxes: &Boxes) -> Slots {
        if self.len == 1 {
            return Slots::One;
        }
        let layout = &table.layout;
        let is_leading = boxes.iter().all(|tile| {
            let mut sizes = tile.sizes(layout, Level::ROWS, self.level).filter(|(_, size)| *size > 1);
            // From the first dimension that the level lacks, it must lack all others.
            sizes.by_ref().find(|(has, _)| !has);
            sizes.all(|(has, _)| !has)
        });
        let expansion = Expansion { boxes, layout, from: self.level, to: Level::ROWS };
        if !is_leading && boxes.rows() / LARGE >= boxes.len() {
            let of_box = |(tile, own): (Tile<'_>, &[u32])| {
                BoxSlots::new(&tile.sizes(layout, Level::ROWS, self.level).collect::<Vec<_>>(), own)
            };
            return Slots::Boxes(self.of_boxes(layout, boxes).map(of_box).collect());
        }
        if !is_leading || expansion.is_none() {
            return Slots::of_rows(expansion.values(&self.numbers));
        }
        let mut runs: Vec<(u32, usize)> = Vec::new();
        for (tile, own) in self.of_boxes(layout, boxes) {
            let rows = tile.rows() / own.len().max(1);
            for &group in own {
                match runs.last_mut() {
                    Some((last, length)) if *last == group => *length += rows,
                    _ => runs.push((group, rows)),
                }
            }
        }
        Slots::Runs(runs)
    }
}

/// Numbers for pairs of numbers below `lens`, and the pair of each number. If there are few
/// different pairs, pairs that do not occur have a number too.
fn paired(own: &[u32], others: &[u32], lens: (usize, usize)) -> (Vec<u32>, Vec<(u32, u32)>) {
    let product = lens.0.saturating_mul(lens.1);
    let narrow = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    if product <= own.len() / FEW {
        let stride = narrow(lens.1);
        let numbers = own.iter().zip(others).map(|(a, b)| a * stride + b).collect();
        let pairs = (0..narrow(lens.0)).flat_map(|a| (0..stride).map(move |b| (a, b))).collect();
        return (numbers, pairs);
    }
    let mut pairs: Vec<(u32, u32)> = Vec::new();
    let mut numbers = Vec::with_capacity(own.len());
    let mut add = |pair| {
        pairs.push(pair);
        narrow(pairs.len() - 1)
    };
    if product <= DENSE {
        let mut known = vec![u32::MAX; product];
        for (&a, &b) in own.iter().zip(others) {
            let Some(slot) = known.get_mut(a as usize * lens.1 + b as usize) else { continue };
            if *slot == u32::MAX {
                *slot = add((a, b));
            }
            numbers.push(*slot);
        }
    } else {
        let mut known: HashMap<(u32, u32), u32> = HashMap::with_capacity(own.len());
        let pairs = own.iter().copied().zip(others.iter().copied());
        numbers.extend(pairs.map(|pair| *known.entry(pair).or_insert_with(|| add(pair))));
    }
    (numbers, pairs)
}

/// A number for each row, equal for rows with equal values in all columns; and the values of each
/// number.
fn numbered(columns: &[ArrayRef], schema: &SchemaRef) -> Result<(Vec<u32>, Vec<ArrayRef>)> {
    if let [column] = columns
        && let Some(found) = numbered_integers(column)?
    {
        return Ok(found);
    }
    let rows = columns.first().map_or(0, |column| column.len());
    let starts = run_starts(columns).filter(|starts| starts.len() <= rows / 2);
    let different: Vec<ArrayRef> = match &starts {
        // Of a run of equal values, only the first is compared.
        Some(starts) => {
            let places = UInt32Array::from(starts.clone());
            columns.iter().map(|column| take(column, &places, None)).collect::<std::result::Result<_, _>>()?
        }
        None => columns.to_vec(),
    };
    let mut values = new_group_values(schema.clone(), &GroupOrdering::None)?;
    let mut interned = Vec::new();
    values.intern(&different, &mut interned)?;
    let narrow = |&number: &usize| u32::try_from(number).unwrap_or(u32::MAX);
    let mut numbers = Vec::with_capacity(rows);
    match starts {
        Some(starts) => {
            let ends = starts.iter().skip(1).map(|&start| start as usize).chain([rows]);
            for ((number, &start), end) in interned.iter().zip(&starts).zip(ends) {
                numbers.extend(std::iter::repeat_n(narrow(number), end - start as usize));
            }
        }
        None => numbers.extend(interned.iter().map(narrow)),
    }
    Ok((numbers, values.emit(EmitTo::All)?))
}

/// The same for integers that are close to each other and not NULL, by a table with an entry for
/// each.
fn numbered_integers(column: &ArrayRef) -> Result<Option<(Vec<u32>, Vec<ArrayRef>)>> {
    fn number<T: Copy>(values: &[T], offset: impl Fn(T) -> Option<usize>) -> Option<(Vec<u32>, Vec<u32>)> {
        let mut places = vec![u32::MAX; NEAR];
        let (mut firsts, mut numbers) = (Vec::new(), Vec::with_capacity(values.len()));
        for (row, &value) in values.iter().enumerate() {
            let slot = places.get_mut(offset(value)?)?;
            if *slot == u32::MAX {
                *slot = u32::try_from(firsts.len()).ok()?;
                firsts.push(u32::try_from(row).ok()?);
            }
            numbers.push(*slot);
        }
        Some((numbers, firsts))
    }
    if column.null_count() > 0 || column.len() < NEAR / 16 {
        return Ok(None);
    }
    let numbered = match column.data_type() {
        DataType::Int32 => {
            let values: &[i32] = column.as_primitive::<Int32Type>().values();
            let least = values.iter().copied().min().unwrap_or(0);
            number(values, |value| usize::try_from(i64::from(value) - i64::from(least)).ok())
        }
        DataType::Int64 => {
            let values: &[i64] = column.as_primitive::<Int64Type>().values();
            let least = values.iter().copied().min().unwrap_or(0);
            number(values, |value| usize::try_from(value.checked_sub(least)?).ok())
        }
        _ => None,
    };
    let Some((numbers, firsts)) = numbered else { return Ok(None) };
    Ok(Some((numbers, vec![take(column, &UInt32Array::from(firsts), None)?])))
}

/// The rows that differ from the row before them; `None` if that cannot be seen from bytes.
fn run_starts(columns: &[ArrayRef]) -> Option<Vec<u32>> {
    let rows = columns.first()?.len();
    let mut differs = vec![false; rows];
    *differs.first_mut()? = true;
    for column in columns {
        let data = column.to_data();
        let is_view = matches!(data.data_type(), DataType::Utf8View | DataType::BinaryView);
        let width = if is_view { 16 } else { data.data_type().primitive_width()? };
        let (buffer, place) = (data.buffers().first()?, data.offset()..data.offset() + rows);
        match width {
            1 => mark(buffer.typed_data::<u8>().get(place)?, &mut differs),
            2 => mark(buffer.typed_data::<u16>().get(place)?, &mut differs),
            4 => mark(buffer.typed_data::<u32>().get(place)?, &mut differs),
            8 => mark(buffer.typed_data::<u64>().get(place)?, &mut differs),
            16 => mark(buffer.typed_data::<u128>().get(place)?, &mut differs),
            _ => return None,
        }
        if let Some(nulls) = data.nulls().filter(|nulls| nulls.null_count() > 0) {
            let valid: Vec<bool> = nulls.iter().collect();
            mark(&valid, &mut differs);
        }
    }
    let row = |(row, differs): (usize, &bool)| differs.then_some(u32::try_from(row).unwrap_or(u32::MAX));
    Some(differs.iter().enumerate().filter_map(row).collect())
}

fn mark<T: PartialEq>(values: &[T], differs: &mut [bool]) {
    for (pair, differs) in values.windows(2).zip(differs.iter_mut().skip(1)) {
        if let [before, value] = pair {
            *differs |= before != value;
        }
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int32Array, StringViewArray};
    use arrow::datatypes::{Field, Schema};
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Rows have equal numbers exactly if their values are equal, and the number identifies the
        /// values.
        #[test]
        fn numbers_stand_for_values(rows in prop::collection::vec((prop::option::of(0i32..3), 0usize..3, 1usize..5), 0..30)) {
            let texts = ["", "short", "longer than what a view holds"];
            let rows: Vec<_> = rows.into_iter().flat_map(|(i, text, n)| std::iter::repeat_n((i, text), n)).collect();
            let integers: Int32Array = rows.iter().map(|(i, _)| *i).collect();
            let strings = StringViewArray::from_iter_values(rows.iter().map(|(_, text)| texts[*text]));
            let schema = Arc::new(Schema::new(vec![
                Field::new("i", DataType::Int32, true),
                Field::new("s", DataType::Utf8View, true),
            ]));
            let (numbers, keys) = numbered(&[Arc::new(integers), Arc::new(strings)], &schema).unwrap();
            prop_assert_eq!(numbers.len(), rows.len());
            let integers = keys[0].as_primitive::<Int32Type>();
            for (number, (i, text)) in numbers.iter().zip(&rows) {
                let number = *number as usize;
                prop_assert_eq!(integers.is_valid(number).then(|| integers.value(number)), *i);
                prop_assert_eq!(keys[1].as_string_view().value(number), texts[*text]);
            }
            let different: std::collections::BTreeSet<_> = rows.iter().collect();
            prop_assert_eq!(keys[0].len(), different.len());
        }

        #[test]
        fn numbers_of_pairs_stand_for_pairs(
            own in prop::collection::vec((0u32..5, 0u32..4), 0..200),
            room in prop_oneof![Just((0, 0)), Just((0, 40)), Just((3000, 3000))],
        ) {
            let (a, b): (Vec<u32>, Vec<u32>) = own.iter().copied().unzip();
            let (numbers, pairs) = paired(&a, &b, (5 + room.0, 4 + room.1));
            let found: Vec<_> = numbers.iter().map(|&number| pairs[number as usize]).collect();
            prop_assert_eq!(found, own);
            let different: std::collections::BTreeSet<_> = pairs.iter().collect();
            prop_assert_eq!(different.len(), pairs.len());
        }

        #[test]
        fn integers_are_numbered_as_other_values_are(
            values in prop::collection::vec(prop_oneof![8 => -40i64..40, 1 => Just(30_000), 1 => Just(-30_000)], 4096..4200),
            far in prop::option::of(prop_oneof![Just(i64::MIN), Just(i64::MAX), Just(100_000)]),
        ) {
            let values: Vec<i64> = values.into_iter().chain(far).collect();
            let column: ArrayRef = Arc::new(Int64Array::from(values.clone()));
            prop_assert_eq!(numbered_integers(&column).unwrap().is_some(), far.is_none());
            let schema = Arc::new(Schema::new(vec![Field::new("i", DataType::Int64, true)]));
            let (numbers, keys) = numbered(&[column], &schema).unwrap();
            let keys = keys[0].as_primitive::<Int64Type>().values().to_vec();
            let found: Vec<i64> = numbers.iter().map(|&number| keys[number as usize]).collect();
            prop_assert_eq!(found, values);
            let different: std::collections::BTreeSet<_> = keys.iter().collect();
            prop_assert_eq!(different.len(), keys.len());
        }
    }
}
