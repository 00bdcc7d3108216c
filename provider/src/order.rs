//! Beginning with the tiles that may have the first rows of an order.

use std::cmp::Ordering;
use std::ops::Range;

use arrow::array::{Array, DynComparator, make_comparator};
use arrow::compute::SortOptions;
use atlas::{ReadMetrics, Region, VariableIndex};
use datafusion::common::Result;

use crate::columns::Table;
use crate::layout::{ColumnKind, Tile};
use crate::pruning::Bounds;
use crate::tiles::Tiles;

/// Rows that are read of a tile before the others.
const HEAD: usize = 4096;

/// An order of rows by a column, of which the first ones are wanted.
#[derive(Clone, Debug)]
pub struct BestFirst {
    /// The column, by position in the table.
    pub column: usize,
    pub descending: bool,
    pub nulls_first: bool,
}

impl BestFirst {
    /// Tiles, those first that may have the first rows.
    pub async fn sort(&self, table: &Table, tiles: Vec<Tile>) -> Result<Vec<Tile>> {
        let index = table.index_of(self.column, tiles.iter(), &ReadMetrics::default()).await?;
        let ranks = self.ranks(table, &tiles, index.as_deref());
        let mut places: Vec<usize> = (0..tiles.len()).collect();
        places.sort_by(|&a, &b| ranks.compare(a, b));
        let sorted = places.into_iter().filter_map(|place| tiles.get(place).cloned());
        Ok(sorted.flat_map(head_and_rest).collect())
    }

    /// The places of parts of a scan, given by their ranges of tiles, those first that may have the first rows; `None`
    /// where the index is not in memory.
    pub fn sort_parts(&self, table: &Table, parts: &[Range<u64>]) -> Option<Vec<usize>> {
        let variable = match table.layout.columns.get(self.column)? {
            ColumnKind::Dimension(dim) => table.layout.dims.get(*dim)?,
            ColumnKind::Variable(name) => name,
            _ => return None,
        };
        let index = table.snapshot.resident_index(variable)?;
        let (mut tiles, mut ends) = (Vec::new(), Vec::with_capacity(parts.len()));
        for part in parts {
            let datasets = table.layout.datasets_in(part.clone()).collect();
            tiles.extend(Tiles::new(table.clone(), datasets));
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

    fn ranks(&self, table: &Table, tiles: &[Tile], index: Option<&VariableIndex>) -> Ranks {
        let bounds = Bounds::new(table, self.column, tiles.iter(), index);
        let bound = if self.descending { bounds.max } else { bounds.min };
        let class = |(place, tile): (usize, &Tile)| {
            let nulls = bounds.null_count.is_valid(place).then(|| bounds.null_count.value(place));
            let known = bound.as_ref().is_some_and(|bound| bound.is_valid(place));
            match nulls {
                // It may have the very first rows.
                nulls if self.nulls_first && nulls != Some(0) => Class::First,
                // It has only NULL.
                Some(nulls) if nulls == tile.region.cells() as u64 => Class::Last,
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

/// How good the first rows of tiles can be.
struct Ranks {
    classes: Vec<Class>,
    bounds: Option<DynComparator>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    First,
    /// Its first row is no better than its bound.
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

/// A large tile in two, the first one small: its rows may rule out most of the others.
fn head_and_rest(tile: Tile) -> impl Iterator<Item = Tile> {
    let Region { start, shape } = &tile.region;
    let slowest = shape.iter().position(|&size| size > 1).filter(|_| tile.region.cells() > 2 * HEAD);
    let cut = slowest.and_then(|dim| {
        let size = *shape.get(dim)?;
        let head = (HEAD / (tile.region.cells() / size).max(1)).clamp(1, size - 1);
        let (mut first, mut rest) = (tile.region.clone(), Region::new(start.clone(), shape.clone()));
        *first.shape.get_mut(dim)? = head;
        *rest.start.get_mut(dim)? += head;
        *rest.shape.get_mut(dim)? -= head;
        Some([first, rest])
    });
    let regions = cut.map_or_else(|| vec![tile.region.clone()], Vec::from);
    regions.into_iter().map(move |region| Tile { dataset: tile.dataset, region })
}
