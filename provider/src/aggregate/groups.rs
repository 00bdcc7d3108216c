//! The groups that rows belong to, worked out for datasets and coordinates instead of for rows.

use std::ops::Range;

use arrow::array::{Array, ArrayRef, UInt64Array};
use arrow::compute::take;
use atlas::ReadMetrics;
use datafusion::common::{HashMap, Result};
use datafusion::logical_expr::EmitTo;
use datafusion::physical_plan::aggregates::group_values::new_group_values;
use datafusion::physical_plan::aggregates::order::GroupOrdering;

use super::Aggregation;
use super::plan::Keys;
use super::reduce::Layout;
use crate::columns::Table;
use crate::predicate::Scope;
use crate::select::{Selected, along};

/// Rows of a box from which on it is worth adding up on its own.
pub const LARGE: usize = 1024;

/// The groups of the rows of some boxes.
pub struct Groups {
    parts: Vec<Part>,
    /// The group of each combination of keys of the parts, where there are several; the group of one part's keys is
    /// the number of these.
    combinations: HashMap<Vec<usize>, usize>,
    /// The number of keys of the aggregation.
    keys: usize,
    len: usize,
}

/// The keys that depend on one thing: on the dataset alone, or on one coordinate too.
struct Part {
    /// The places of these among all keys.
    places: Vec<usize>,
    /// For each box the dimension, among those of its rows, that they depend on.
    dims: Vec<Option<usize>>,
    /// The numbers of the keys of all datasets or coordinates.
    numbers: Vec<usize>,
    /// For each box its numbers: one, or one for each index along its dimension.
    spans: Vec<Range<usize>>,
    /// The keys by number.
    values: Vec<ArrayRef>,
}

/// Where the rows of a box belong.
pub struct Slots {
    /// The dimensions of the box on which the group depends, ascending: with the place of each index among the different ones,
    /// and the number of these.
    pub along: Vec<(usize, Vec<usize>, usize)>,
    /// The group of each combination of places, in row-major order.
    pub groups: Vec<usize>,
}

impl Slots {
    /// Adds what was counted for slots to their groups.
    pub fn add(&self, counts: &[u64], groups: &mut [u64]) {
        for (&group, count) in self.groups.iter().zip(counts) {
            if let Some(slot) = groups.get_mut(group) {
                *slot += count;
            }
        }
    }
}

impl Groups {
    /// The groups that an aggregation makes of boxes.
    pub async fn assign(
        aggregation: &Aggregation,
        table: &Table,
        boxes: &[Selected],
        metrics: &ReadMetrics,
    ) -> Result<Self> {
        let mut parts = Vec::with_capacity(aggregation.keys.len());
        for keys in &aggregation.keys {
            parts.push(Part::new(keys, table, boxes, metrics).await?);
        }
        let keys = parts.iter().map(|part| part.places.len()).sum();
        let mut groups = Self { parts, combinations: HashMap::new(), keys, len: 1 };
        groups.len = match groups.parts.as_slice() {
            [] => 1,
            [part] => part.values.first().map_or(0, |values| values.len()),
            _ => {
                for place in 0..boxes.len() {
                    let along = groups.along(place);
                    groups.combine(place, &along);
                }
                groups.combinations.len()
            }
        };
        Ok(groups)
    }

    /// The number of groups.
    pub fn len(&self) -> usize {
        self.len
    }

    /// The only group of a box's rows, if there is only one.
    pub fn only(&self, place: usize) -> Option<usize> {
        let mut numbers = Vec::with_capacity(self.parts.len());
        for part in &self.parts {
            let own = part.of(place);
            let first = own.first()?;
            if own.iter().any(|number| number != first) {
                return None;
            }
            numbers.push(*first);
        }
        match numbers.as_slice() {
            [] => Some(0),
            [number] => Some(*number),
            _ => self.combinations.get(&numbers).copied(),
        }
    }

    /// Where the rows of a large box belong.
    pub fn slots(&self, place: usize, selected: &Selected) -> Option<Slots> {
        if selected.rows() < LARGE {
            return None;
        }
        Some(self.slots_of(place))
    }

    fn slots_of(&self, place: usize) -> Slots {
        let along = self.along(place);
        let mut groups = vec![Vec::new()];
        for (part, _, distinct) in &along {
            groups = groups
                .into_iter()
                .flat_map(|numbers: Vec<(usize, usize)>| {
                    distinct.numbers.iter().map(move |&number| {
                        let mut numbers = numbers.clone();
                        numbers.push((*part, number));
                        numbers
                    })
                })
                .collect();
        }
        let group = |varying: Vec<(usize, usize)>| {
            let number = |(i, part): (usize, &Part)| {
                let own = varying.iter().find(|(p, _)| *p == i).map(|(_, number)| *number);
                own.or_else(|| part.of(place).first().copied()).unwrap_or(0)
            };
            let numbers: Vec<usize> = self.parts.iter().enumerate().map(number).collect();
            match numbers.as_slice() {
                [] => 0,
                [number] => *number,
                _ => self.combinations.get(&numbers).copied().unwrap_or(0),
            }
        };
        Slots {
            groups: groups.into_iter().map(group).collect(),
            along: along
                .into_iter()
                .map(|(_, dim, distinct)| (dim, distinct.places, distinct.numbers.len()))
                .collect(),
        }
    }

    /// The parts that vary in a box, by dimension: the part, the dimension, and the different numbers along it.
    fn along(&self, place: usize) -> Vec<(usize, usize, Distinct)> {
        let parts = self.parts.iter().enumerate();
        let varying = parts.filter_map(|(i, part)| {
            let dim = part.dims.get(place).copied().flatten()?;
            Some((i, dim, Distinct::of(part.of(place))))
        });
        let mut varying: Vec<_> = varying.filter(|(_, _, distinct)| distinct.numbers.len() > 1).collect();
        varying.sort_by_key(|(_, dim, _)| *dim);
        varying
    }

    /// Gives each combination of keys in a box a group.
    fn combine(&mut self, place: usize, along: &[(usize, usize, Distinct)]) {
        let mut combinations = vec![Vec::with_capacity(self.parts.len())];
        for (i, part) in self.parts.iter().enumerate() {
            let numbers = match along.iter().find(|(p, _, _)| *p == i) {
                Some((_, _, distinct)) => distinct.numbers.as_slice(),
                None => part.of(place).get(..1).unwrap_or_default(),
            };
            combinations = combinations
                .into_iter()
                .flat_map(|combination: Vec<usize>| {
                    numbers.iter().map(move |&number| {
                        let mut combination = combination.clone();
                        combination.push(number);
                        combination
                    })
                })
                .collect();
        }
        for combination in combinations {
            let next = self.combinations.len();
            self.combinations.entry(combination).or_insert(next);
        }
    }

    /// The group of each row of boxes, the first of which is at a place.
    pub fn of_rows(&self, first: usize, boxes: &[Selected]) -> Vec<usize> {
        let mut rows = Vec::with_capacity(boxes.iter().map(Selected::rows).sum());
        for (place, selected) in (first..).zip(boxes) {
            self.push_rows(place, selected, &mut rows);
        }
        rows
    }

    fn push_rows(&self, place: usize, selected: &Selected, rows: &mut Vec<usize>) {
        if let Some(group) = self.only(place) {
            rows.extend(std::iter::repeat_n(group, selected.rows()));
            return;
        }
        let shape = &selected.tile.region.shape;
        if let [part] = self.parts.as_slice()
            && let Some(dim) = part.dims.get(place).copied().flatten()
        {
            let inner: usize = shape.iter().skip(dim + 1).product();
            let outer: usize = shape.iter().take(dim).product();
            for _ in 0..outer {
                rows.extend(part.of(place).iter().flat_map(|&number| std::iter::repeat_n(number, inner)));
            }
            return;
        }
        let slots = self.slots_of(place);
        rows.extend(Layout::new(shape, &slots).row_groups(&slots));
    }

    /// Adds the number of selected rows of boxes, the first of which is at a place, to their groups.
    pub fn count_rows(&self, first: usize, boxes: &[Selected], counts: &mut [u64]) {
        let mut rows = Vec::new();
        for (place, selected) in (first..).zip(boxes) {
            match (self.only(place), &selected.mask) {
                (Some(group), mask) => {
                    let count = mask.as_ref().map_or(selected.rows(), |mask| mask.true_count());
                    if let Some(slot) = counts.get_mut(group) {
                        *slot += count as u64;
                    }
                }
                (None, mask) => {
                    rows.clear();
                    self.push_rows(place, selected, &mut rows);
                    for (row, &group) in rows.iter().enumerate() {
                        if mask.as_ref().is_none_or(|mask| mask.value(row))
                            && let Some(slot) = counts.get_mut(group)
                        {
                            *slot += 1;
                        }
                    }
                }
            }
        }
    }

    /// The keys of the groups: an array for each key of the aggregation.
    pub fn keys(&self) -> Result<Vec<ArrayRef>> {
        let mut keys: Vec<Option<ArrayRef>> = vec![None; self.keys];
        let mut combinations: Vec<(&Vec<usize>, usize)> =
            self.combinations.iter().map(|(combination, &group)| (combination, group)).collect();
        combinations.sort_by_key(|&(_, group)| group);
        for (i, part) in self.parts.iter().enumerate() {
            let numbers = combinations.iter().filter_map(|(combination, _)| combination.get(i));
            let numbers: UInt64Array = numbers.map(|&number| number as u64).collect();
            for (&place, values) in part.places.iter().zip(&part.values) {
                let values =
                    if self.parts.len() == 1 { values.clone() } else { take(values, &numbers, None)? };
                if let Some(slot) = keys.get_mut(place) {
                    *slot = Some(values);
                }
            }
        }
        Ok(keys.into_iter().flatten().collect())
    }
}

impl Part {
    async fn new(keys: &Keys, table: &Table, boxes: &[Selected], metrics: &ReadMetrics) -> Result<Self> {
        if keys.name_datasets && boxes.is_sorted_by_key(|selected| selected.tile.dataset) {
            return Self::of_datasets(keys, table, boxes);
        }
        let mut known: HashMap<(u32, usize, usize), Range<usize>> = HashMap::new();
        let (mut dims, mut spans) = (Vec::with_capacity(boxes.len()), Vec::with_capacity(boxes.len()));
        let (mut wanted, mut rows) = (Vec::new(), 0);
        for Selected { tile, .. } in boxes {
            let local = match keys.scope {
                Scope::Dimension(dim) => {
                    table.dataset(tile.dataset).and_then(|(_, layout)| layout.local(dim))
                }
                _ => None,
            };
            let extent = local.and_then(|local| {
                let (start, size) = (&tile.region.start, &tile.region.shape);
                Some((*start.get(local)?, *size.get(local)?))
            });
            let (start, size) = extent.unwrap_or((0, 1));
            let span = known.entry((tile.dataset, start, size)).or_insert_with(|| {
                wanted.push((tile.dataset, start, size));
                rows += size;
                rows - size..rows
            });
            spans.push(span.clone());
            dims.push(local);
        }
        let arrays = if keys.scope == Scope::Dataset {
            let datasets: Vec<u32> = wanted.iter().map(|&(dataset, _, _)| dataset).collect();
            let columns = keys.expressions.columns.iter().map(|&column| table.of_datasets(column, &datasets));
            columns.collect::<Result<_>>()?
        } else {
            along(table, &keys.expressions.columns, &wanted, metrics).await?
        };
        let columns = keys.expressions.evaluate(arrays, rows)?;
        let mut values = new_group_values(keys.schema.clone(), &GroupOrdering::None)?;
        let mut numbers = Vec::with_capacity(rows);
        values.intern(&columns, &mut numbers)?;
        Ok(Self { places: keys.places.clone(), dims, numbers, spans, values: values.emit(EmitTo::All)? })
    }

    /// Keys that are others for each dataset: none need to be compared.
    fn of_datasets(keys: &Keys, table: &Table, boxes: &[Selected]) -> Result<Self> {
        let (mut datasets, mut spans) = (Vec::new(), Vec::with_capacity(boxes.len()));
        for Selected { tile, .. } in boxes {
            if datasets.last() != Some(&tile.dataset) {
                datasets.push(tile.dataset);
            }
            spans.push(datasets.len() - 1..datasets.len());
        }
        let columns = keys.expressions.columns.iter().map(|&column| table.of_datasets(column, &datasets));
        let values = keys.expressions.evaluate(columns.collect::<Result<_>>()?, datasets.len())?;
        let (dims, numbers) = (vec![None; boxes.len()], (0..datasets.len()).collect());
        Ok(Self { places: keys.places.clone(), dims, numbers, spans, values })
    }

    /// The numbers of a box.
    fn of(&self, place: usize) -> &[usize] {
        self.spans.get(place).and_then(|span| self.numbers.get(span.clone())).unwrap_or_default()
    }
}

/// The different numbers in some.
struct Distinct {
    /// Each once, as they come.
    numbers: Vec<usize>,
    /// For each of the given its place in `numbers`.
    places: Vec<usize>,
}

impl Distinct {
    fn of(given: &[usize]) -> Self {
        let mut known = HashMap::with_capacity(given.len());
        let mut numbers = Vec::new();
        let places = given.iter().map(|&number| {
            *known.entry(number).or_insert_with(|| {
                numbers.push(number);
                numbers.len() - 1
            })
        });
        let places = places.collect();
        Self { numbers, places }
    }
}
