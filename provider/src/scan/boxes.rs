//! Boxes of rows: the unit for which predicates and statistics decide.

use std::ops::Range;

use atlas::{Regions, Span};

use crate::tables::layout::Layout;
use crate::tables::level::Level;

/// Consecutive boxes of rows, each of one dataset. A single box needs no allocation.
#[derive(Clone, Debug, Default)]
pub struct Boxes {
    /// The region of each box, in the dimensions of its dataset's rows.
    regions: Regions,
    /// For each box, the number of its dataset's schema.
    schemas: Vec<u32>,
    /// For each box, the number of rows up to its end.
    ends: Vec<usize>,
    /// For each box, whether predicates may exclude some of its rows.
    undecided: Vec<bool>,
    /// For each box, the number of chunks in which it has cells.
    chunks: Vec<u32>,
}

/// A box of rows.
#[derive(Clone, Copy, Debug)]
pub struct Tile<'a> {
    /// The dataset's ordinal.
    pub dataset: u32,
    /// The number of the dataset's schema in the catalog.
    pub schema: u32,
    /// The spans along the dimensions of the dataset's rows.
    pub spans: &'a [Span],
    /// True if predicates may exclude some of its rows.
    pub undecided: bool,
    /// The number of chunks in which it has cells, once they were counted.
    pub chunks: u32,
}

impl Tile<'_> {
    /// The number of its rows.
    pub fn rows(&self) -> usize {
        self.spans.iter().map(|span| span.size).product()
    }

    /// The sizes along the dimensions of `level`, each with whether the lower level `part` has the
    /// dimension. Values of `part` are repeated along those that it lacks.
    pub fn sizes<'s>(
        &'s self,
        layout: &'s Layout,
        level: Level,
        part: Level,
    ) -> impl Iterator<Item = (bool, usize)> + 's {
        let dims = layout.schema(self.schema as usize).map_or(&[][..], |own| &own.dims);
        let along = dims.iter().zip(self.spans).filter(move |((dim, _), _)| level.has(*dim));
        along.map(move |((dim, _), span)| (part.has(*dim), span.size))
    }

    /// The number of values of a column of `level` in the box.
    pub fn values(&self, layout: &Layout, level: Level) -> usize {
        self.sizes(layout, level, level).map(|(_, size)| size).product()
    }
}

impl Boxes {
    /// Adds a box.
    pub fn push(&mut self, tile: &Tile<'_>) {
        self.push_spans(tile.dataset, tile.schema, tile.spans.iter().copied(), tile.undecided);
        if let Some(chunks) = self.chunks.last_mut() {
            *chunks = tile.chunks;
        }
    }

    /// Adds a box of a dataset.
    pub fn push_spans(
        &mut self,
        dataset: u32,
        schema: u32,
        spans: impl IntoIterator<Item = Span>,
        undecided: bool,
    ) {
        self.regions.push(dataset, spans);
        let (_, spans) = self.regions.get(self.schemas.len());
        let rows: usize = spans.iter().map(|span| span.size).product();
        self.ends.push(self.rows() + rows);
        self.schemas.push(schema);
        self.undecided.push(undecided);
        self.chunks.push(0);
    }

    /// The number of boxes.
    pub fn len(&self) -> usize {
        self.schemas.len()
    }

    /// True if there is no box.
    pub fn is_empty(&self) -> bool {
        self.schemas.is_empty()
    }

    /// The number of rows of all boxes.
    pub fn rows(&self) -> usize {
        self.ends.last().copied().unwrap_or(0)
    }

    /// The number of values of a column of `level` in all boxes.
    pub fn values(&self, layout: &Layout, level: Level) -> usize {
        if level == Level::ROWS {
            return self.rows();
        }
        self.iter().map(|tile| tile.values(layout, level)).sum()
    }

    /// The rows of a box, as a range among those of all boxes.
    pub fn range(&self, place: usize) -> Range<usize> {
        let start = place.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        start..self.ends.get(place).copied().unwrap_or(start)
    }

    /// A box.
    pub fn get(&self, place: usize) -> Tile<'_> {
        let (dataset, spans) = self.regions.get(place);
        let schema = self.schemas.get(place).copied().unwrap_or(u32::MAX);
        let undecided = self.undecided.get(place).copied().unwrap_or(true);
        let chunks = self.chunks.get(place).copied().unwrap_or(0);
        Tile { dataset, schema, spans, undecided, chunks }
    }

    /// The boxes, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Tile<'_>> + Clone {
        (0..self.len()).map(|place| self.get(place))
    }

    /// The ordinals of the boxes' datasets.
    pub fn datasets(&self) -> &[u32] {
        self.regions.datasets()
    }

    /// Sets, for each box, whether predicates may exclude some of its rows.
    pub fn set_undecided(&mut self, undecided: Vec<bool>) {
        debug_assert_eq!(undecided.len(), self.len());
        self.undecided = undecided;
    }

    /// Sets, for each box, the number of chunks in which it has cells.
    pub fn set_chunks(&mut self, chunks: Vec<u32>) {
        debug_assert_eq!(chunks.len(), self.len());
        self.chunks = chunks;
    }

    /// The number of chunks in which boxes have cells, counted for each box.
    pub fn chunks(&self) -> usize {
        self.chunks.iter().map(|&chunks| chunks as usize).sum()
    }

    /// The boxes at the positions for which `keep` holds.
    pub fn filter(self, keep: impl Fn(usize) -> bool) -> Self {
        if (0..self.len()).all(&keep) {
            return self;
        }
        let mut kept = Self::default();
        (0..self.len()).filter(|&place| keep(place)).for_each(|place| kept.push(&self.get(place)));
        kept
    }

    /// The boxes in a range of positions.
    pub fn slice(&self, places: Range<usize>) -> Self {
        let mut part = Self::default();
        places.for_each(|place| part.push(&self.get(place)));
        part
    }
}

/// The distinct datasets of consecutive boxes, and for each box the position of its dataset among
/// them.
pub fn runs_of_datasets(boxes: &Boxes) -> (Vec<u32>, Vec<u32>) {
    let (mut datasets, mut places) = (Vec::new(), Vec::with_capacity(boxes.len()));
    for &dataset in boxes.datasets() {
        if datasets.last() != Some(&dataset) {
            datasets.push(dataset);
        }
        places.push(u32::try_from(datasets.len() - 1).unwrap_or(u32::MAX));
    }
    (datasets, places)
}
