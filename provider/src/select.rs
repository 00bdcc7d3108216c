//! Which rows of a group of tiles a scan is about.
//!
//! In this order: predicates on a coordinate cut boxes out of tiles, statistics rule boxes out or tell that all their rows
//! are wanted, and of the others the columns of the remaining predicates are read and choose rows.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{ArrayRef, BooleanArray, BooleanBufferBuilder, UInt32Array};
use arrow::compute::{concat, filter, take};
use atlas::{ChunkGrid, ReadMetrics, Region};
use datafusion::common::Result;
use datafusion::physical_expr::PhysicalExpr;

use crate::columns::Table;
use crate::dynamic;
use crate::layout::{ColumnKind, Tile};
use crate::predicate::{Predicate, Scope, all_of};
use crate::pruning::Pruning;
use crate::scan::Reading;

/// Rows that boxes are worked on together for, where they are smaller.
pub const STRETCH: usize = 8192;

/// Selects the rows of a scan.
pub struct Selection {
    pub table: Table,
    /// What rows must satisfy.
    pub predicates: Vec<Predicate>,
    /// What rules boxes out.
    pub pruning: Vec<Pruning>,
    /// What rules out boxes of which not every row is wanted; `None` where that cannot be told.
    pub partial: Option<Pruning>,
    /// Filters that others fill while the scan runs: rows for which they do not hold may come or not.
    pub dynamic: Vec<Arc<dyn PhysicalExpr>>,
    /// For a predicate on a coordinate and a dataset, the indices that it selects.
    pub selections: Mutex<HashMap<(usize, u32), BooleanArray>>,
}

/// A box of rows of one dataset.
pub struct Selected {
    pub tile: Tile,
    /// Those of its rows that are selected; all, where there is no mask.
    pub mask: Option<BooleanArray>,
    /// Whether the predicates on rows may rule some of its rows out.
    pub open: bool,
    /// The numbers of the rows that are left, where others were dropped.
    picked: Option<UInt32Array>,
    /// The columns that were read, by position in the table, each for all rows that are left.
    pub values: Vec<(usize, ArrayRef)>,
}

impl Selected {
    fn new(tile: Tile, mask: Option<BooleanArray>) -> Self {
        Self { tile, mask, open: true, picked: None, values: Vec::new() }
    }

    /// The number of rows, selected or not.
    pub fn rows(&self) -> usize {
        self.picked.as_ref().map_or_else(|| self.tile.region.cells(), |picked| picked.len())
    }

    /// The box cut into parts of about `rows` rows each, in their order. Nothing was read for it
    /// yet.
    pub fn parts(self, rows: usize) -> Vec<Self> {
        let Region { start, shape } = &self.tile.region;
        // Whole along the fastest dimensions, cut along one, and single along those before it.
        let mut inner = 1usize;
        let mut cut = shape.len();
        while let Some(&size) = cut.checked_sub(1).and_then(|dim| shape.get(dim)) {
            cut -= 1;
            if inner.saturating_mul(size) > rows {
                break;
            }
            inner *= size;
        }
        let step = (rows / inner).max(1);
        let chunk = shape.iter().enumerate().map(|(dim, &size)| match dim.cmp(&cut) {
            std::cmp::Ordering::Less => 1,
            std::cmp::Ordering::Equal => step,
            std::cmp::Ordering::Greater => size.max(1),
        });
        let grid = ChunkGrid::new(shape, &chunk.collect::<Vec<_>>());
        let mut first = 0;
        let parts = (0..grid.len() as u64).map(|number| {
            let mut region = grid.region(&grid.coordinate(number));
            region.start.iter_mut().zip(start).for_each(|(at, origin)| *at += origin);
            let tile = Tile { dataset: self.tile.dataset, region };
            let mask = self.mask.as_ref().map(|mask| mask.slice(first, tile.region.cells()));
            first += tile.region.cells();
            Self { open: self.open, ..Self::new(tile, mask) }
        });
        parts.collect()
    }

    /// Drops the rows that are not selected, so that what is read of other columns is of those that are.
    pub fn pick(&mut self) -> Result<()> {
        let Some(mask) = self.mask.take() else { return Ok(()) };
        let number = |row: usize| u32::try_from(row).unwrap_or(u32::MAX);
        let picked = UInt32Array::from_iter_values(mask.values().set_indices().map(number));
        for (_, values) in &mut self.values {
            *values = take(values, &picked, None)?;
        }
        self.picked = Some(picked);
        Ok(())
    }

    /// A column, where it was read.
    pub fn value(&self, column: usize) -> Option<&ArrayRef> {
        self.values.iter().find(|(c, _)| *c == column).map(|(_, values)| values)
    }
}

impl Selection {
    /// The datasets of a range of tiles for which the predicates on datasets hold, with those of their tiles that are
    /// in the range.
    pub fn datasets(&self, tiles: Range<u64>) -> Result<Vec<(u32, Range<u64>)>> {
        let first = self.table.layout.first_in(&tiles);
        let datasets: Vec<_> = self.table.layout.datasets_in(tiles).collect();
        let places = first..first + datasets.len();
        Ok(match select_datasets(&self.table, &self.predicates, places)? {
            None => datasets,
            Some(mask) => {
                datasets.into_iter().zip(mask.values()).filter_map(|(d, keep)| keep.then_some(d)).collect()
            }
        })
    }

    /// The columns that the predicates on rows name.
    pub fn row_columns(&self) -> impl Iterator<Item = usize> {
        self.row_predicates().flat_map(|predicate| predicate.columns.iter().copied())
    }

    /// The boxes of tiles that have selected rows as far as coordinates and statistics tell.
    pub async fn sift(&self, tiles: Vec<Tile>, metrics: &ReadMetrics) -> Result<Vec<Selected>> {
        let dynamic = self.current()?;
        let tiles = self.of_wanted_datasets(tiles, &dynamic)?;
        let mut boxes = self.cut(tiles, metrics).await?;
        for pruning in &self.pruning {
            self.prune(pruning, &mut boxes, metrics).await?;
        }
        self.prune_dynamically(&dynamic, &mut boxes, metrics).await?;
        let by_rows = self.row_predicates().next().is_some();
        let open = match &self.partial {
            Some(partial) if by_rows => partial.may_match(&self.table, &boxes, metrics).await?,
            _ => vec![by_rows; boxes.len()],
        };
        boxes.iter_mut().zip(open).for_each(|(selected, open)| selected.open = open);
        Ok(boxes)
    }

    /// The boxes with selected rows, of those that were [sifted](Self::sift).
    pub async fn select(&self, mut boxes: Vec<Selected>, reading: &Reading<'_>) -> Result<Vec<Selected>> {
        // They may know more by now than when the boxes were sifted.
        let dynamic = self.current()?;
        self.prune_dynamically(&dynamic, &mut boxes, reading.metrics).await?;
        self.choose_rows(boxes, &dynamic, reading).await
    }

    async fn prune(&self, pruning: &Pruning, boxes: &mut Vec<Selected>, metrics: &ReadMetrics) -> Result<()> {
        let mut keep = pruning.may_match(&self.table, boxes, metrics).await?.into_iter();
        boxes.retain(|_| keep.next().unwrap_or(true));
        Ok(())
    }

    /// Prunes boxes by what the dynamic filters say.
    async fn prune_dynamically(
        &self,
        dynamic: &[Predicate],
        boxes: &mut Vec<Selected>,
        metrics: &ReadMetrics,
    ) -> Result<()> {
        for predicate in dynamic {
            if boxes.is_empty() {
                return Ok(());
            }
            if let Some(pruning) = Pruning::new(&self.table, predicate.expr()) {
                self.prune(&pruning, boxes, metrics).await?;
            }
        }
        Ok(())
    }

    fn row_predicates(&self) -> impl Iterator<Item = &Predicate> {
        self.predicates.iter().filter(|predicate| predicate.scope == Scope::Rows)
    }

    /// What the dynamic filters say by now.
    fn current(&self) -> Result<Vec<Predicate>> {
        let mut current = Vec::new();
        for filter in &self.dynamic {
            let layout = &self.table.layout;
            for expr in dynamic::current(filter, &layout.schema)? {
                let predicate = Predicate::new(&expr, &layout.schema, &layout.columns)?.inexact();
                // A filter that nobody filled yet is a literal.
                if !predicate.columns.is_empty() {
                    current.push(predicate);
                }
            }
        }
        Ok(current)
    }

    fn of_wanted_datasets(&self, tiles: Vec<Tile>, dynamic: &[Predicate]) -> Result<Vec<Tile>> {
        if dynamic.iter().all(|predicate| predicate.scope != Scope::Dataset) {
            return Ok(tiles);
        }
        let mut ordinals: Vec<_> = tiles.iter().map(|tile| tile.dataset).collect();
        ordinals.dedup();
        let of_datasets = |column: usize| self.table.of_datasets(column, &ordinals);
        let Some(mask) = select(dynamic, ordinals.len(), of_datasets)? else { return Ok(tiles) };
        let wanted =
            ordinals.iter().zip(mask.values()).filter_map(|(&ordinal, keep)| keep.then_some(ordinal));
        let wanted: BTreeSet<u32> = wanted.collect();
        Ok(tiles.into_iter().filter(|tile| wanted.contains(&tile.dataset)).collect())
    }

    /// The boxes of tiles that the predicates on coordinates leave.
    async fn cut(&self, tiles: Vec<Tile>, metrics: &ReadMetrics) -> Result<Vec<Selected>> {
        let mut masks: HashMap<u32, Vec<(usize, BooleanArray)>> = HashMap::new();
        for (number, predicate) in self.predicates.iter().enumerate() {
            if let Scope::Dimension(dim) = predicate.scope {
                self.select_indices(number, predicate, dim, &tiles, &mut masks, metrics).await?;
            }
        }
        let none = Vec::new();
        Ok(tiles
            .into_iter()
            .filter_map(|tile| {
                let masks = masks.get(&tile.dataset).unwrap_or(&none);
                cut(tile, masks)
            })
            .collect())
    }

    /// Adds, for each dataset of `tiles`, the indices along `dim` that a predicate selects, with the position of
    /// the dimension in the dataset's rows.
    async fn select_indices(
        &self,
        number: usize,
        predicate: &Predicate,
        dim: usize,
        tiles: &[Tile],
        masks: &mut HashMap<u32, Vec<(usize, BooleanArray)>>,
        metrics: &ReadMetrics,
    ) -> Result<()> {
        let ordinals: BTreeSet<u32> = tiles.iter().map(|tile| tile.dataset).collect();
        let mut known = {
            let mut selections = self.selections.lock().unwrap_or_else(PoisonError::into_inner);
            // Groups go through the datasets in order: those before this group's are done with.
            let first = ordinals.first().copied().unwrap_or(0);
            selections.retain(|&(_, dataset), _| dataset + 1 >= first);
            selections.clone()
        };
        // For each dataset that is not known yet, the extent of its rows along the dimension: one, where
        // they lack it and the coordinate is NULL.
        let mut places = HashMap::new();
        let mut missing = Vec::new();
        for &ordinal in &ordinals {
            let Some((dataset, layout)) = self.table.dataset(ordinal) else { continue };
            let local = layout.local(dim);
            let size = local.and_then(|local| layout.shape(dataset).get(local).copied());
            places.insert(ordinal, local);
            if !known.contains_key(&(number, ordinal)) {
                missing.push((ordinal, 0, size.unwrap_or(1)));
            }
        }
        if !missing.is_empty() {
            let columns = along(&self.table, &predicate.columns, &missing, metrics).await?;
            let rows = missing.iter().map(|&(_, _, size)| size).sum();
            let selected = predicate.evaluate(columns, rows)?;
            let mut start = 0;
            let mut selections = self.selections.lock().unwrap_or_else(PoisonError::into_inner);
            for (ordinal, _, size) in missing {
                let mask = selected.slice(start, size);
                start += size;
                selections.insert((number, ordinal), mask.clone());
                known.insert((number, ordinal), mask);
            }
        }
        for (ordinal, local) in places {
            if let Some(mask) = known.remove(&(number, ordinal)) {
                // A dataset without the dimension is selected or not as a whole.
                masks.entry(ordinal).or_default().push((local.unwrap_or(usize::MAX), mask));
            }
        }
        Ok(())
    }

    /// The boxes that have rows for which the predicates on rows hold, with those rows, and with what was read to know
    /// them.
    async fn choose_rows(
        &self,
        boxes: Vec<Selected>,
        dynamic: &[Predicate],
        reading: &Reading<'_>,
    ) -> Result<Vec<Selected>> {
        let late = dynamic.iter().filter(|predicate| predicate.scope != Scope::Dataset);
        let predicates: Vec<&Predicate> = self.row_predicates().chain(late).collect();
        if predicates.is_empty() || boxes.is_empty() {
            return Ok(boxes);
        }
        // Boxes of which all rows are wanted are as good as done.
        let mut undecided: Vec<(usize, Selected)> = Vec::new();
        let mut chosen: Vec<(usize, Selected)> = Vec::new();
        for (place, selected) in boxes.into_iter().enumerate() {
            let open = selected.open || !dynamic.is_empty();
            if open { &mut undecided } else { &mut chosen }.push((place, selected));
        }
        let (places, mut undecided): (Vec<_>, Vec<_>) = undecided.into_iter().unzip();
        let columns: BTreeSet<usize> = predicates.iter().flat_map(|p| p.columns.iter().copied()).collect();
        for column in columns {
            read(&self.table, column, &mut undecided, &|_| true, reading).await?;
        }
        for stretch in stretches(&undecided, STRETCH) {
            let Some(boxes) = undecided.get_mut(stretch.clone()) else { continue };
            let rows = boxes.iter().map(Selected::rows).sum();
            let masks = predicates.iter().map(|predicate| {
                let columns = predicate.columns.iter().map(|&column| gather(boxes, column));
                predicate.evaluate(columns.collect::<Result<_>>()?, rows)
            });
            let masks = masks.collect::<Result<Vec<_>>>()?;
            let Some(mask) = all_of(masks.into_iter().chain(join(boxes))) else { continue };
            let mut start = 0;
            for selected in boxes {
                selected.mask = Some(mask.slice(start, selected.rows()));
                start += selected.rows();
            }
        }
        let has_rows = |selected: &Selected| selected.mask.as_ref().is_none_or(|mask| mask.true_count() > 0);
        let rest = places.into_iter().zip(undecided).filter(|(_, selected)| has_rows(selected));
        chosen.extend(rest);
        chosen.sort_by_key(|&(place, _)| place);
        Ok(chosen.into_iter().map(|(_, selected)| selected).collect())
    }
}

/// Reads a column for those of some boxes that `wanted` is true of, by their place, unless they have it.
pub async fn read(
    table: &Table,
    column: usize,
    boxes: &mut [Selected],
    wanted: &(dyn Fn(usize) -> bool + Sync),
    reading: &Reading<'_>,
) -> Result<()> {
    let missing =
        boxes.iter().enumerate().filter(|(i, selected)| wanted(*i) && selected.value(column).is_none());
    let places: Vec<usize> = missing.map(|(i, _)| i).collect();
    let rows: Vec<(&Tile, Option<&UInt32Array>)> = places
        .iter()
        .filter_map(|&place| boxes.get(place))
        .map(|selected| (&selected.tile, selected.picked.as_ref()))
        .collect();
    reading.counters.count_read(table, &rows, column, reading.metrics).await?;
    let values = table.read(column, &rows, reading).await?;
    for (place, values) in places.into_iter().zip(values) {
        if let Some(selected) = boxes.get_mut(place) {
            selected.values.push((column, values));
        }
    }
    Ok(())
}

/// Columns that depend on the dataset and on one coordinate, along spans of that coordinate: dataset, first index, number
/// of indices. One span after the other.
pub async fn along(
    table: &Table,
    columns: &[usize],
    spans: &[(u32, usize, usize)],
    metrics: &ReadMetrics,
) -> Result<Vec<ArrayRef>> {
    let mut arrays = Vec::with_capacity(columns.len());
    for &column in columns {
        let parts = match table.layout.columns.get(column) {
            Some(ColumnKind::Dimension(_)) => table.coordinates(column, spans, metrics).await?,
            _ => spans
                .iter()
                .map(|&(ordinal, _, size)| table.constant(column, ordinal, size))
                .collect::<Result<_>>()?,
        };
        arrays.push(concat_all(&parts)?);
    }
    Ok(arrays)
}

/// Which of the datasets with rows, at these places among them, the predicates on datasets select; `None` where there
/// are no such predicates.
pub fn select_datasets(
    table: &Table,
    predicates: &[Predicate],
    places: Range<usize>,
) -> Result<Option<BooleanArray>> {
    let Some(named) = named(table, predicates) else {
        return select(predicates, places.len(), |column| table.of_places(column, places.clone()));
    };
    // The others need no look.
    let named: Vec<(usize, u32)> = named.into_iter().filter(|(place, _)| places.contains(place)).collect();
    let ordinals: Vec<u32> = named.iter().map(|&(_, ordinal)| ordinal).collect();
    let selected = select(predicates, named.len(), |column| table.of_datasets(column, &ordinals))?;
    let mut all = BooleanBufferBuilder::new(places.len());
    all.append_n(places.len(), false);
    for (i, (place, _)) in named.iter().enumerate() {
        all.set_bit(place - places.start, selected.as_ref().is_none_or(|selected| selected.value(i)));
    }
    Ok(Some(BooleanArray::new(all.finish(), None)))
}

/// The datasets that predicates name, as their places among those with rows, and their ordinals; `None` where others may be selected
/// too.
fn named(table: &Table, predicates: &[Predicate]) -> Option<Vec<(usize, u32)>> {
    let names = predicates.iter().find_map(Predicate::names)?;
    let place = |name: &String| {
        let ordinal = table.catalog.ordinal(name)?;
        Some((table.layout.place_of(ordinal)?, ordinal))
    };
    Some(names.iter().filter_map(place).collect())
}

fn select(
    predicates: &[Predicate],
    count: usize,
    column: impl Fn(usize) -> Result<ArrayRef>,
) -> Result<Option<BooleanArray>> {
    let masks = predicates.iter().filter(|predicate| predicate.scope == Scope::Dataset).map(|predicate| {
        let columns = predicate.columns.iter().map(|&number| column(number));
        predicate.evaluate(columns.collect::<Result<_>>()?, count)
    });
    Ok(all_of(masks.collect::<Result<Vec<_>>>()?))
}

/// Boxes in order, cut into runs that are worth a vectorised call; those of `large` rows or more are on their own.
pub fn stretches(boxes: &[Selected], large: usize) -> Vec<Range<usize>> {
    let mut stretches: Vec<Range<usize>> = Vec::new();
    // Rows of the last stretch, or enough of them for nothing to be added.
    let mut rows = STRETCH;
    for (i, selected) in boxes.iter().enumerate() {
        let alone = selected.rows() >= large;
        match stretches.last_mut() {
            Some(last) if rows < STRETCH && !alone => last.end = i + 1,
            _ => {
                stretches.push(i..i + 1);
                rows = 0;
            }
        }
        rows += if alone { STRETCH } else { selected.rows() };
    }
    stretches
}

/// A column of boxes that all have it, one box after the other.
pub fn gather(boxes: &[Selected], column: usize) -> Result<ArrayRef> {
    let parts: Vec<_> = boxes.iter().filter_map(|selected| selected.value(column).cloned()).collect();
    concat_all(&parts)
}

/// The selected rows of boxes, one box after the other; `None` where all are.
pub fn join(boxes: &[Selected]) -> Option<BooleanArray> {
    if let [Selected { mask, .. }] = boxes {
        return mask.clone();
    }
    if boxes.iter().all(|selected| selected.mask.is_none()) {
        return None;
    }
    let mut rows = BooleanBufferBuilder::new(boxes.iter().map(Selected::rows).sum());
    for selected in boxes {
        match &selected.mask {
            Some(mask) => rows.append_buffer(mask.values()),
            None => rows.append_n(selected.rows(), true),
        }
    }
    Some(BooleanArray::new(rows.finish(), None))
}

/// The selected values of a column of boxes.
pub fn filtered(values: &ArrayRef, mask: Option<&BooleanArray>) -> Result<ArrayRef> {
    Ok(match mask {
        Some(mask) => filter(values, mask)?,
        None => Arc::clone(values),
    })
}

fn concat_all(arrays: &[ArrayRef]) -> Result<ArrayRef> {
    if let [array] = arrays {
        return Ok(Arc::clone(array));
    }
    Ok(concat(&arrays.iter().map(AsRef::as_ref).collect::<Vec<_>>())?)
}

/// The part of a tile that masks along its dimensions leave; `None` where that is nothing.
fn cut(mut tile: Tile, masks: &[(usize, BooleanArray)]) -> Option<Selected> {
    if masks.is_empty() {
        return Some(Selected::new(tile, None));
    }
    let rank = tile.region.shape.len();
    let mut along: Vec<Option<BooleanArray>> = vec![None; rank];
    for (dim, mask) in masks {
        match along.get_mut(*dim) {
            Some(slot) => *slot = all_of(slot.take().into_iter().chain([mask.clone()])),
            None if mask.true_count() == 0 => return None,
            None => {}
        }
    }
    let mut residual = Vec::with_capacity(rank);
    let extents = tile.region.start.iter_mut().zip(&mut tile.region.shape);
    for ((start, size), mask) in extents.zip(along) {
        let Some(mask) = mask else {
            residual.push(None);
            continue;
        };
        let mask = mask.slice(*start, *size);
        let first = mask.values().set_indices().next()?;
        let last = (0..*size).rev().find(|&i| mask.value(i))?;
        let mask = mask.slice(first, last + 1 - first);
        *start += first;
        *size = mask.len();
        residual.push((mask.true_count() < mask.len()).then_some(mask));
    }
    let mask = residual.iter().any(Option::is_some).then(|| {
        let mut rows = vec![true];
        for (mask, &size) in residual.iter().zip(&tile.region.shape) {
            let along = |i: usize| mask.as_ref().is_none_or(|mask| mask.value(i));
            rows = rows.into_iter().flat_map(|row| (0..size).map(move |i| row && along(i))).collect();
        }
        BooleanArray::from(rows)
    });
    Some(Selected::new(tile, mask))
}
