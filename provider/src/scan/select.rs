//! Selects the rows of boxes for a scan.
//!
//! Predicates along one dimension reduce boxes first. Statistics then prune boxes, or prove that
//! all their rows match. For the remaining boxes, the columns of the other predicates are read,
//! those of lower levels first. A box without selected rows is not read any further, and of a box
//! with few of them only the part around these.

use std::collections::BTreeSet;
use std::ops::Range;

use arrow::array::{ArrayRef, BooleanBufferBuilder};
use arrow::buffer::BooleanBuffer;
use atlas::{ReadMetrics, Span};
use datafusion::common::Result;

use super::boxes::{Boxes, runs_of_datasets};
use super::expand::Expansion;
use super::filters::{Filter, Filters};
use super::frame::Frame;
use super::pruning::Pruning;
use super::reader::{Reader, Reading};
use crate::tables::columns::Table;

/// Selects the rows of a scan.
pub struct Selection {
    pub reader: Reader,
    pub filters: Filters,
}

impl Selection {
    /// The table.
    pub fn table(&self) -> &Table {
        &self.reader.table
    }

    /// The datasets of a range of tiles that satisfy the predicates on datasets, each with its
    /// tiles in the range.
    pub fn datasets(&self, tiles: Range<u64>) -> Result<Vec<(u32, Range<u64>)>> {
        let layout = &self.table().layout;
        let first = layout.first_in(&tiles);
        let datasets: Vec<_> = layout.datasets_in(tiles).collect();
        let places = first..first + datasets.len();
        Ok(match select_datasets(self.table(), &self.filters.datasets, places)? {
            None => datasets,
            Some(mask) => datasets.into_iter().zip(&mask).filter_map(|(d, keep)| keep.then_some(d)).collect(),
        })
    }

    /// The columns of the predicates on rows.
    pub fn row_columns(&self) -> impl Iterator<Item = usize> {
        self.filters.rows.iter().flat_map(|filter| filter.columns().iter().copied())
    }

    /// The boxes of tiles that may have selected rows, according to coordinates and statistics.
    pub async fn sift(&self, tiles: Boxes, reading: &Reading<'_>) -> Result<Boxes> {
        let dynamic = self.filters.current(self.table())?;
        let mut boxes = self.of_wanted_datasets(tiles, &dynamic)?;
        for filter in &self.filters.dimensions {
            boxes = self.cut(filter, boxes, reading).await?;
        }
        for pruning in &self.filters.pruning {
            boxes = self.prune(pruning, boxes, reading.metrics).await?;
        }
        boxes = self.prune_dynamically(&dynamic, boxes, reading.metrics).await?;
        let undecided = match &self.filters.unless_all_match {
            _ if self.filters.rows.is_empty() => vec![false; boxes.len()],
            Some(pruning) => pruning.may_match(self.table(), &boxes, reading.metrics).await?,
            None => vec![true; boxes.len()],
        };
        boxes.set_undecided(undecided);
        Ok(boxes)
    }

    /// Selects the rows of boxes that were [sifted](Self::sift). `needed` are the columns that the
    /// scan needs.
    pub async fn select(&self, boxes: Boxes, needed: &[usize], reading: &Reading<'_>) -> Result<Frame> {
        // The filters may have become stricter since the boxes were sifted.
        let dynamic = self.filters.current(self.table())?;
        let boxes = self.prune_dynamically(&dynamic, boxes, reading.metrics).await?;
        let mut frame = self.along_dimensions(Frame::new(boxes), reading).await?;
        let layout = &self.table().layout;
        let late: Vec<&Filter> = dynamic.iter().filter(|filter| !filter.is_of_datasets(layout)).collect();
        // Boxes of which all rows match need no more checks.
        let undecided: Vec<bool> =
            frame.boxes.iter().map(|tile| tile.undecided || !late.is_empty()).collect();
        let mut filters: Vec<&Filter> = self.filters.rows.iter().chain(late).collect();
        filters.sort_by_key(|filter| filter.level().dims());
        if filters.is_empty() || !undecided.contains(&true) {
            return Ok(frame);
        }
        if !undecided.contains(&false) {
            return self.choose(frame, &filters, needed, reading).await.map(|(frame, _)| frame);
        }
        let part = frame.part(self.table(), &undecided)?;
        let (part, kept) = self.choose(part, &filters, needed, reading).await?;
        // The positions of the remaining undecided boxes among all boxes.
        let places: Vec<usize> = (0..undecided.len()).filter(|&place| undecided[place]).collect();
        let kept: BTreeSet<usize> = kept.iter().filter_map(|&own| places.get(own).copied()).collect();
        let is_left = |place: usize| undecided.get(place) == Some(&false) || kept.contains(&place);
        let left: Vec<bool> = (0..undecided.len()).map(is_left).collect();
        let of: Vec<bool> =
            (0..undecided.len()).filter(|&place| is_left(place)).map(|place| kept.contains(&place)).collect();
        frame = frame.part(self.table(), &left)?;
        frame.adopt(part, &of);
        Ok(frame)
    }

    /// Drops the rows that predicates along dimensions exclude within the reduced boxes.
    async fn along_dimensions(&self, mut frame: Frame, reading: &Reading<'_>) -> Result<Frame> {
        for filter in &self.filters.dimensions {
            let (selected, partly) = self.evaluate_apart(filter, &frame.boxes, reading).await?;
            if partly {
                frame.restrict_at(self.table(), filter.level(), &selected);
                frame = frame.compacted(self.table())?;
            }
        }
        Ok(frame)
    }

    /// The values of its level that a predicate on coordinates selects in boxes, and whether it
    /// excludes some.
    async fn evaluate_apart(
        &self,
        filter: &Filter,
        boxes: &Boxes,
        reading: &Reading<'_>,
    ) -> Result<(BooleanBuffer, bool)> {
        let table = self.table();
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(filter.columns().len());
        for &column in filter.columns() {
            let values = self.reader.quietly(column, boxes, reading).await?;
            let (from, to) = (table.layout.level(column), filter.level());
            columns.push(Expansion { boxes, layout: &table.layout, from, to }.array(&values)?);
        }
        let values = boxes.values(&table.layout, filter.level());
        let selected = filter.evaluate(columns, values)?;
        let partly = selected.count_set_bits() < selected.len();
        Ok((selected, partly))
    }

    /// Reduces boxes to the range of indices from the first to the last that a predicate along one
    /// dimension selects.
    async fn cut(&self, filter: &Filter, boxes: Boxes, reading: &Reading<'_>) -> Result<Boxes> {
        let (selected, partly) = self.evaluate_apart(filter, &boxes, reading).await?;
        if !partly {
            return Ok(boxes);
        }
        let layout = &self.table().layout;
        let dim = filter.level().only();
        let mut left = Boxes::default();
        let mut start = 0;
        for tile in boxes.iter() {
            let count = tile.values(layout, filter.level());
            let own = selected.slice(start, count);
            start += count;
            let Some(first) = own.set_indices().next() else { continue };
            let own_dims = layout.schema(tile.schema as usize);
            let along = dim.and_then(|dim| own_dims?.local(dim));
            // If the dataset lacks the dimension, it is selected as a whole.
            let spans = tile.spans.iter().enumerate().map(|(local, &span)| {
                let last = (0..count).rev().find(|&i| own.value(i)).unwrap_or(first);
                let cut = Span { start: span.start + first, size: last + 1 - first };
                if Some(local) == along { cut } else { span }
            });
            left.push_spans(tile.dataset, tile.schema, spans, tile.undecided);
        }
        Ok(left)
    }

    async fn prune(&self, pruning: &Pruning, boxes: Boxes, metrics: &ReadMetrics) -> Result<Boxes> {
        let keep = pruning.may_match(self.table(), &boxes, metrics).await?;
        Ok(boxes.filter(|place| keep.get(place) != Some(&false)))
    }

    /// Prunes boxes by the dynamic filters.
    async fn prune_dynamically(
        &self,
        dynamic: &[Filter],
        mut boxes: Boxes,
        metrics: &ReadMetrics,
    ) -> Result<Boxes> {
        for filter in dynamic {
            if boxes.is_empty() {
                break;
            }
            if let Some(pruning) = Pruning::new(self.table(), filter.expr()) {
                boxes = self.prune(&pruning, boxes, metrics).await?;
            }
        }
        Ok(boxes)
    }

    fn of_wanted_datasets(&self, tiles: Boxes, dynamic: &[Filter]) -> Result<Boxes> {
        let layout = &self.table().layout;
        let of_datasets = dynamic.iter().filter(|filter| filter.is_of_datasets(layout));
        let of_datasets: Vec<Filter> = of_datasets.cloned().collect();
        let (datasets, places) = runs_of_datasets(&tiles);
        let column = |column: usize| self.table().of_datasets(column, &datasets);
        let Some(mask) = select(&of_datasets, datasets.len(), column)? else { return Ok(tiles) };
        Ok(tiles.filter(|place| places.get(place).is_some_and(|&place| mask.value(place as usize))))
    }

    /// The frame with the rows that satisfy filters, and the positions of the boxes with such rows.
    async fn choose(
        &self,
        mut frame: Frame,
        filters: &[&Filter],
        needed: &[usize],
        reading: &Reading<'_>,
    ) -> Result<(Frame, Vec<usize>)> {
        let table = self.table();
        let mut kept: Vec<usize> = (0..frame.boxes.len()).collect();
        for filter in filters {
            frame.read(&self.reader, filter.columns(), reading).await?;
            let selected = filter.evaluate_in(table, &frame)?;
            if selected.count_set_bits() == selected.len() {
                continue;
            }
            frame.restrict_at(table, filter.level(), &selected);
            let live = frame.live();
            if live.contains(&false) {
                let is_live = |&(place, _): &(usize, usize)| live.get(place) == Some(&true);
                kept = kept.into_iter().enumerate().filter(is_live).map(|(_, kept)| kept).collect();
                frame = frame.part(table, &live)?;
            }
            // Numbers are mostly slices of blocks, and cost nothing to read. Texts are copied.
            let is_text = |&column: &usize| table.data_type(column).is_string();
            let is_lacking = |&column: &usize| !frame.has(column) && !table.layout.is_of_datasets(column);
            if needed.iter().any(|column| is_text(column) && is_lacking(column)) {
                frame = frame.reduced(table)?;
            }
        }
        Ok((frame, kept))
    }
}

/// For the datasets at these positions among those with rows, whether the predicates on datasets
/// select them; `None` if there are no such predicates.
pub fn select_datasets(
    table: &Table,
    filters: &[Filter],
    places: Range<usize>,
) -> Result<Option<BooleanBuffer>> {
    let Some(named) = named(table, filters) else {
        return select(filters, places.len(), |column| table.of_places(column, places.clone()));
    };
    // Other datasets need no check.
    let named: Vec<(usize, u32)> = named.into_iter().filter(|(place, _)| places.contains(place)).collect();
    let ordinals: Vec<u32> = named.iter().map(|&(_, ordinal)| ordinal).collect();
    let selected = select(filters, named.len(), |column| table.of_datasets(column, &ordinals))?;
    let mut all = BooleanBufferBuilder::new(places.len());
    all.append_n(places.len(), false);
    for (i, (place, _)) in named.iter().enumerate() {
        all.set_bit(place - places.start, selected.as_ref().is_none_or(|selected| selected.value(i)));
    }
    Ok(Some(all.finish()))
}

/// The datasets that predicates name, as positions among those with rows, and their ordinals;
/// `None` if other datasets may be selected too.
fn named(table: &Table, filters: &[Filter]) -> Option<Vec<(usize, u32)>> {
    let names = filters.iter().find_map(Filter::names)?;
    let place = |name: &String| {
        let ordinal = table.catalog.ordinal(name)?;
        Some((table.layout.place_of(ordinal)?, ordinal))
    };
    Some(names.iter().filter_map(place).collect())
}

fn select(
    filters: &[Filter],
    count: usize,
    column: impl Fn(usize) -> Result<ArrayRef>,
) -> Result<Option<BooleanBuffer>> {
    let masks = filters.iter().map(|filter| {
        let columns = filter.columns().iter().map(|&number| column(number));
        filter.evaluate(columns.collect::<Result<_>>()?, count)
    });
    let masks = masks.collect::<Result<Vec<_>>>()?;
    Ok(masks.into_iter().reduce(|a, b| &a & &b))
}
