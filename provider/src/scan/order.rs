//! Visiting first the tiles that may have the first rows of an order.

use std::cmp::Ordering;
use std::ops::Range;

use arrow::array::{Array, DynComparator, make_comparator};
use arrow::compute::SortOptions;
use atlas::{ReadMetrics, Span, VariableIndex};
use datafusion::common::Result;

use super::boxes::{Boxes, Tile};
use super::pruning::Bounds;
use super::tiles::Tiles;
use crate::tables::columns::Table;

/// The number of rows of a tile that are read before the others.
const HEAD: usize = 4096;

/// An order of rows by a column, of which the first rows are wanted.
#[derive(Clone, Debug)]
pub struct BestFirst {
    /// The column, by position in the table.
    pub column: usize,
    pub descending: bool,
    pub nulls_first: bool,
}

impl BestFirst {
    /// Sorts tiles: those that may have the first rows come first.
    pub async fn sort(&self, table: &Table, tiles: Boxes) -> Result<Boxes> {
        let index = table.index_of(self.column, &ReadMetrics::default()).await?;
        let ranks = self.ranks(table, &tiles, index.as_deref());
        let mut places: Vec<usize> = (0..tiles.len()).collect();
        places.sort_by(|&a, &b| ranks.compare(a, b));
        let mut sorted = Boxes::default();
        places.into_iter().for_each(|place| push_head_and_rest(&tiles.get(place), &mut sorted));
        Ok(sorted)
    }

    /// The positions of ranges of tiles, sorted so that those that may have the first rows come
    /// first; `None` if the index is not in memory.
    pub fn sort_parts(&self, table: &Table, parts: &[Range<u64>]) -> Option<Vec<usize>> {
        let index = table.snapshot.resident_index(table.layout.variable(self.column)?)?;
        let (mut tiles, mut ends) = (Boxes::default(), Vec::with_capacity(parts.len()));
        for part in parts {
            let datasets = table.layout.datasets_in(part.clone()).collect();
            Tiles::new(table.clone(), datasets).all().iter().for_each(|tile| tiles.push(&tile));
            ends.push(tiles.len());
        }
        let ranks = self.ranks(table, &tiles, Some(&index));
        let starts = std::iter::once(0).chain(ends.iter().copied());
        let best = starts.zip(&ends).map(|(start, &end)| (start..end).min_by(|&a, &b| ranks.compare(a, b)));
        let mut best: Vec<(usize, Option<usize>)> = best.enumerate().collect();
        best.sort_by(|(_, a), (_, b)| match (a, b) {
            (Some(a), Some(b)) => ranks.compare(*a, *b),
            (a, b) => b.is_some().cmp(&a.is_some()),
        });
        Some(best.into_iter().map(|(place, _)| place).collect())
    }

    fn ranks(&self, table: &Table, tiles: &Boxes, index: Option<&VariableIndex>) -> Ranks {
        let bounds = Bounds::new(table, self.column, tiles, index);
        let bound = if self.descending { bounds.max } else { bounds.min };
        let class = |(place, tile): (usize, Tile<'_>)| {
            let nulls = bounds.null_count.is_valid(place).then(|| bounds.null_count.value(place));
            let known = bound.as_ref().is_some_and(|bound| bound.is_valid(place));
            match nulls {
                // It may have the very first rows.
                nulls if self.nulls_first && nulls != Some(0) => Class::First,
                // It has only NULL.
                Some(nulls) if nulls == tile.rows() as u64 => Class::Last,
                _ if known => Class::Bound,
                _ => Class::First,
            }
        };
        let classes = tiles.iter().enumerate().map(class).collect();
        let options = SortOptions { descending: self.descending, nulls_first: false };
        let bounds = bound.and_then(|bound| make_comparator(&bound, &bound, options).ok());
        Ranks { classes, bounds }
    }
}

/// How early the first rows of tiles can be in the order.
struct Ranks {
    classes: Vec<Class>,
    bounds: Option<DynComparator>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    First,
    /// Its first row is no earlier than its bound.
    Bound,
    Last,
}

impl Ranks {
    fn compare(&self, a: usize, b: usize) -> Ordering {
        let order = self.classes.get(a).cmp(&self.classes.get(b));
        order.then_with(|| match (&self.bounds, self.classes.get(a)) {
            (Some(bounds), Some(Class::Bound)) => bounds(a, b),
            _ => Ordering::Equal,
        })
    }
}

/// Adds a large tile as two boxes, of which the first is small: its rows may exclude most of the
/// others.
fn push_head_and_rest(tile: &Tile<'_>, boxes: &mut Boxes) {
    let rows = tile.rows();
    let slowest = tile.spans.iter().enumerate().find(|(_, span)| span.size > 1);
    let Some((dim, slowest)) = slowest.filter(|_| rows > 2 * HEAD) else { return boxes.push(tile) };
    let head = (HEAD / (rows / slowest.size).max(1)).clamp(1, slowest.size - 1);
    let first = Span { start: slowest.start, size: head };
    let rest = Span { start: slowest.start + head, size: slowest.size - head };
    for along in [first, rest] {
        let spans = tile.spans.iter().enumerate().map(|(d, &span)| if d == dim { along } else { span });
        boxes.push_spans(tile.dataset, tile.schema, spans, tile.undecided);
    }
}
