//! Chunk arithmetic without I/O: the chunks that a region crosses, and the positions of its cells
//! in them.

/// A box of cells: its first cell and its extent along each dimension.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Region {
    /// The index of the first cell along each dimension.
    pub start: Vec<usize>,
    /// The number of cells along each dimension.
    pub shape: Vec<usize>,
}

impl Region {
    /// The box that starts at `start` and has `shape`.
    pub fn new(start: impl Into<Vec<usize>>, shape: impl Into<Vec<usize>>) -> Self {
        Self { start: start.into(), shape: shape.into() }
    }

    /// The whole of an array of `shape`.
    pub fn all(shape: &[usize]) -> Self {
        Self::new(vec![0; shape.len()], shape)
    }

    /// The number of cells.
    pub fn cells(&self) -> usize {
        self.shape.iter().product()
    }

    /// The cells in both boxes, possibly none.
    pub fn intersect(&self, other: &Self) -> Self {
        let dims = self.start.iter().zip(&self.shape).zip(other.start.iter().zip(&other.shape));
        let (start, shape) = dims
            .map(|((&a, &n), (&b, &m))| {
                let start = a.max(b);
                (start, (a + n).min(b + m).saturating_sub(start))
            })
            .unzip();
        Self { start, shape }
    }
}

/// The indices of a region along one dimension.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Span {
    /// The first index.
    pub start: usize,
    /// The number of indices.
    pub size: usize,
}

impl Span {
    /// The index after the last.
    pub fn end(self) -> usize {
        self.start + self.size
    }
}

impl From<&[Span]> for Region {
    fn from(spans: &[Span]) -> Self {
        let (start, shape) = spans.iter().map(|span| (span.start, span.size)).unzip();
        Self { start, shape }
    }
}

/// Regions of arrays of several datasets, stored in few allocations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Regions {
    datasets: Vec<u32>,
    spans: Vec<Span>,
    /// For each region, the end of its spans.
    ends: Vec<usize>,
}

impl Regions {
    /// Adds a region of an array, by its spans; `dataset` is the dataset's ordinal.
    pub fn push(&mut self, dataset: u32, spans: impl IntoIterator<Item = Span>) {
        self.datasets.push(dataset);
        self.spans.extend(spans);
        self.ends.push(self.spans.len());
    }

    /// The number of regions.
    pub fn len(&self) -> usize {
        self.datasets.len()
    }

    /// True if there is no region.
    pub fn is_empty(&self) -> bool {
        self.datasets.is_empty()
    }

    /// The ordinals of the datasets, one for each region.
    pub fn datasets(&self) -> &[u32] {
        &self.datasets
    }

    /// The dataset and the spans of a region; no dataset has the ordinal `u32::MAX`.
    pub fn get(&self, place: usize) -> (u32, &[Span]) {
        let start = place.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        let end = self.ends.get(place).copied().unwrap_or(start);
        let spans = self.spans.get(start..end).unwrap_or_default();
        (self.datasets.get(place).copied().unwrap_or(u32::MAX), spans)
    }

    /// The datasets and spans of all regions.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (u32, &[Span])> + Clone {
        (0..self.len()).map(|place| self.get(place))
    }
}

/// How a region lies in a grid of chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// It is one chunk.
    Whole,
    /// It is a part of one chunk.
    Inside,
    /// It has cells in several chunks, or in none.
    Several,
}

/// The chunks of one array.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChunkGrid {
    shape: Vec<usize>,
    chunk: Vec<usize>,
}

/// Consecutive cells of a region, in row-major order, that are consecutive in one chunk too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// The chunk's number among those that the region crosses, in the order of
    /// [`ChunkGrid::crossing`].
    pub chunk: usize,
    /// The first cell, counted from the chunk's first.
    pub offset: usize,
    /// The number of cells.
    pub length: usize,
}

impl ChunkGrid {
    /// The chunks of an array of `shape`, each of size `chunk`; chunks at the far edges may be
    /// smaller. Both slices have the same length, and no chunk size is 0.
    pub fn new(shape: &[usize], chunk: &[usize]) -> Self {
        debug_assert!(shape.len() == chunk.len() && chunk.iter().all(|&size| size > 0));
        Self { shape: shape.to_vec(), chunk: chunk.to_vec() }
    }

    /// Sets the grid to that of an array of another shape. `chunk` has the chunk sizes of a schema,
    /// in which 0 means the whole dimension.
    pub(crate) fn set(&mut self, shape: impl Iterator<Item = usize>, chunk: &[usize]) {
        self.shape.clear();
        self.shape.extend(shape);
        self.chunk.clear();
        let sizes = chunk.iter().zip(&self.shape);
        self.chunk.extend(sizes.map(|(&chunk, &size)| if chunk == 0 { size.max(1) } else { chunk }));
    }

    /// How a region lies in the grid. If it lies in one chunk, `coordinate` is set to that of the
    /// chunk.
    pub fn fit(&self, spans: impl IntoIterator<Item = Span>, coordinate: &mut Vec<u32>) -> Fit {
        coordinate.clear();
        let mut fit = Fit::Whole;
        for ((span, &size), &chunk) in spans.into_iter().zip(&self.shape).zip(&self.chunk) {
            let first = span.start / chunk;
            let Some(last) = span.end().checked_sub(1).filter(|_| span.size > 0) else { return Fit::Several };
            match u32::try_from(first) {
                Ok(at) if last / chunk == first => coordinate.push(at),
                _ => return Fit::Several,
            }
            let start = first * chunk;
            if span.start != start || span.size != chunk.min(size.saturating_sub(start)) {
                fit = Fit::Inside;
            }
        }
        if coordinate.len() == self.shape.len() { fit } else { Fit::Several }
    }

    /// The number of chunks along each dimension.
    pub fn counts(&self) -> Vec<usize> {
        self.shape.iter().zip(&self.chunk).map(|(size, chunk)| size.div_ceil(*chunk)).collect()
    }

    /// The number of chunks.
    pub fn len(&self) -> usize {
        self.counts().iter().product()
    }

    /// True if a dimension has size 0, so that there is nothing to store.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// True if a chunk has this `coordinate`.
    pub fn contains(&self, coordinate: &[u32]) -> bool {
        let counts = self.counts();
        coordinate.len() == counts.len()
            && coordinate.iter().zip(&counts).all(|(&c, &count)| (c as usize) < count)
    }

    /// The shape of the array.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The size of a chunk along each dimension; chunks at the far edges may be smaller.
    pub fn chunk(&self) -> &[usize] {
        &self.chunk
    }

    /// The number of a chunk, in row-major order.
    pub(crate) fn number(&self, coordinate: &[u32]) -> u64 {
        self.counts()
            .iter()
            .zip(coordinate)
            .fold(0, |number, (&count, &c)| number * count as u64 + u64::from(c))
    }

    /// The coordinate of the chunk with this number, in row-major order.
    pub fn coordinate(&self, mut number: u64) -> Vec<u32> {
        let mut coordinate = vec![0; self.shape.len()];
        for (c, count) in coordinate.iter_mut().zip(self.counts()).rev() {
            *c = u32::try_from(number % count.max(1) as u64).unwrap_or(u32::MAX);
            number /= count.max(1) as u64;
        }
        coordinate
    }

    /// The cells of a chunk.
    pub fn region(&self, coordinate: &[u32]) -> Region {
        let start: Vec<usize> =
            coordinate.iter().zip(&self.chunk).map(|(&c, &chunk)| c as usize * chunk).collect();
        let dims = start.iter().zip(self.shape.iter().zip(&self.chunk));
        let shape = dims.map(|(&start, (&size, &chunk))| size.saturating_sub(start).min(chunk)).collect();
        Region { start, shape }
    }

    /// The coordinate of the chunk that equals a region, if one does.
    pub fn chunk_of(&self, region: &Region) -> Option<Vec<u32>> {
        let dims = region.start.iter().zip(&region.shape).zip(self.shape.iter().zip(&self.chunk));
        let mut whole = dims.map(|((&start, &size), (&all, &chunk))| {
            start.is_multiple_of(chunk) && size == all.saturating_sub(start).min(chunk)
        });
        if whole.all(|whole| whole) { self.chunk_around(region) } else { None }
    }

    /// The coordinate of the chunk that contains a region, if one does.
    pub fn chunk_around(&self, region: &Region) -> Option<Vec<u32>> {
        let dims = region.start.iter().zip(&region.shape).zip(&self.chunk);
        let coordinate = dims.map(|((&start, &size), &chunk)| {
            let (first, last) = (start / chunk, (start + size).checked_sub(1)? / chunk);
            u32::try_from(first).ok().filter(|_| size > 0 && first == last)
        });
        coordinate.collect()
    }

    /// The coordinates of the chunks that `region` crosses, in row-major order.
    pub fn crossing(&self, region: &Region) -> Vec<Vec<u32>> {
        if region.cells() == 0 {
            return Vec::new();
        }
        let ranges: Vec<_> = self.crossed(region).collect();
        let mut coordinates = vec![Vec::with_capacity(ranges.len())];
        for range in ranges {
            coordinates = coordinates
                .into_iter()
                .flat_map(|prefix| {
                    range.clone().map(move |c| {
                        let mut coordinate = prefix.clone();
                        coordinate.push(u32::try_from(c).unwrap_or(u32::MAX));
                        coordinate
                    })
                })
                .collect();
        }
        coordinates
    }

    /// The number of chunks that a region crosses. The region is given by the first index and the
    /// number of indices along each dimension.
    pub fn crossed_chunks(&self, spans: impl Iterator<Item = (usize, usize)>) -> usize {
        let crossed =
            spans.zip(&self.chunk).map(|((start, size), &chunk)| match (start + size).checked_sub(1) {
                Some(last) if size > 0 => last / chunk - start / chunk + 1,
                _ => 0,
            });
        crossed.product()
    }

    /// The cells of all chunks that a region crosses.
    pub(crate) fn covered(&self, region: &Region) -> Region {
        let dims = self.crossed(region).zip(&self.chunk).zip(&self.shape);
        let (start, shape) = dims
            .map(|((crossed, &chunk), &size)| {
                let start = crossed.start * chunk;
                (start, size.min(crossed.end.saturating_mul(chunk)).saturating_sub(start))
            })
            .unzip();
        Region { start, shape }
    }

    /// The cells of `region` in row-major order, as runs in the chunks that it crosses.
    pub fn runs(&self, region: &Region) -> Vec<Run> {
        let mut runs: Vec<Run> = Vec::new();
        if region.cells() == 0 {
            return runs;
        }
        let crossed: Vec<_> = self.crossed(region).collect();
        let rank = self.shape.len();
        // Row by row along the fastest dimension, and chunk by chunk within a row.
        let rows = region.cells() / region.shape.last().copied().unwrap_or(1);
        let mut index = region.start.clone();
        for _ in 0..rows {
            let mut chunk = 0;
            let mut offset = 0;
            for d in 0..rank.saturating_sub(1) {
                let c = index[d] / self.chunk[d];
                chunk = chunk * crossed[d].len() + (c - crossed[d].start);
                offset = offset * self.extent(d, c) + (index[d] - c * self.chunk[d]);
            }
            match rank.checked_sub(1) {
                None => push(&mut runs, Run { chunk: 0, offset: 0, length: 1 }),
                Some(last) => {
                    let end = region.start[last] + region.shape[last];
                    for c in crossed[last].clone() {
                        let first = (c * self.chunk[last]).max(region.start[last]);
                        let until = ((c + 1) * self.chunk[last]).min(end);
                        push(
                            &mut runs,
                            Run {
                                chunk: chunk * crossed[last].len() + (c - crossed[last].start),
                                offset: offset * self.extent(last, c) + (first - c * self.chunk[last]),
                                length: until - first,
                            },
                        );
                    }
                }
            }
            for d in (0..rank.saturating_sub(1)).rev() {
                index[d] += 1;
                if index[d] < region.start[d] + region.shape[d] {
                    break;
                }
                index[d] = region.start[d];
            }
        }
        runs
    }

    /// Calls `add` with the runs of a region that lies [inside](Fit::Inside) one chunk, line by
    /// line: the first cell of each, counted from the chunk's first, and the number of cells.
    pub(crate) fn runs_inside(&self, spans: &[Span], mut add: impl FnMut(usize, usize)) {
        let Some((line, outer)) = spans.split_last() else { return add(0, 1) };
        // Along a dimension, the first cell of the region in the chunk, and the chunk's size.
        let place = |d: usize, span: &Span| {
            let chunk = span.start / self.chunk[d];
            (span.start - chunk * self.chunk[d], self.extent(d, chunk))
        };
        let (start, size) = place(outer.len(), line);
        for number in 0..outer.iter().map(|span| span.size).product() {
            let (mut rest, mut offset, mut stride) = (number, start, size);
            for (d, span) in outer.iter().enumerate().rev() {
                let (first, size) = place(d, span);
                offset += (first + rest % span.size) * stride;
                stride *= size;
                rest /= span.size;
            }
            add(offset, line.size);
        }
    }

    /// The number of cells of a chunk.
    pub(crate) fn cells_of(&self, coordinate: &[u32]) -> usize {
        coordinate.iter().enumerate().map(|(d, &chunk)| self.extent(d, chunk as usize)).product()
    }

    /// The range of chunks crossed along each dimension, for a region that is not empty.
    fn crossed(&self, region: &Region) -> impl Iterator<Item = std::ops::Range<usize>> {
        region
            .start
            .iter()
            .zip(&region.shape)
            .zip(&self.chunk)
            .map(|((&start, &size), &chunk)| start / chunk..(start + size).div_ceil(chunk))
    }

    /// The extent along dimension `d` of the chunks with coordinate `c` there.
    fn extent(&self, d: usize, c: usize) -> usize {
        (self.shape[d] - c * self.chunk[d]).min(self.chunk[d])
    }
}

fn push(runs: &mut Vec<Run>, run: Run) {
    match runs.last_mut() {
        Some(last) if last.chunk == run.chunk && last.offset + last.length == run.offset => {
            last.length += run.length;
        }
        _ => runs.push(run),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn indices(region: &Region) -> Vec<Vec<usize>> {
        let mut all = vec![vec![]];
        for (&start, &size) in region.start.iter().zip(&region.shape) {
            all = all
                .into_iter()
                .flat_map(|p: Vec<usize>| (start..start + size).map(move |i| [p.clone(), vec![i]].concat()))
                .collect();
        }
        all
    }

    fn case() -> impl Strategy<Value = (Vec<usize>, Vec<usize>, Region)> {
        prop::collection::vec((0usize..7, 1usize..5, 0usize..7, 0usize..7), 0..4).prop_map(|dims| {
            let shape: Vec<_> = dims.iter().map(|d| d.0).collect();
            let chunk: Vec<_> = dims.iter().map(|d| d.1).collect();
            let start: Vec<_> = dims.iter().map(|d| d.2.min(d.0)).collect();
            let size: Vec<_> = dims.iter().zip(&start).map(|(d, s)| d.3.min(d.0 - s)).collect();
            (shape, chunk, Region::new(start, size))
        })
    }

    proptest! {
        /// Every cell of a region is at the position in its chunk that its index implies.
        #[test]
        fn runs_name_the_cells_of_a_region_in_order((shape, chunk, region) in case()) {
            let grid = ChunkGrid::new(&shape, &chunk);
            let crossing = grid.crossing(&region);
            let named: Vec<_> = grid
                .runs(&region)
                .into_iter()
                .flat_map(|run| {
                    let cells = indices(&grid.region(&crossing[run.chunk]));
                    cells[run.offset..run.offset + run.length].to_vec()
                })
                .collect();
            prop_assert_eq!(named, indices(&region));
            let spans = region.start.iter().copied().zip(region.shape.iter().copied());
            prop_assert_eq!(grid.crossed_chunks(spans), crossing.len());
            if region.cells() > 0 {
                let mut covered: Vec<_> = crossing.iter().flat_map(|c| indices(&grid.region(c))).collect();
                covered.sort();
                prop_assert_eq!(indices(&grid.covered(&region)), covered);
            }
            let whole = crossing.len() == 1 && grid.region(&crossing[0]) == region;
            prop_assert_eq!(grid.chunk_of(&region).is_some(), whole);
            let around = crossing.first().filter(|_| crossing.len() == 1);
            prop_assert_eq!(grid.chunk_around(&region), around.cloned());
            let spans = region.start.iter().zip(&region.shape).map(|(&start, &size)| Span { start, size });
            let mut coordinate = vec![9];
            let fit = grid.fit(spans, &mut coordinate);
            prop_assert_eq!(fit == Fit::Whole, whole);
            prop_assert_eq!(fit != Fit::Several, around.is_some());
            prop_assert!(around.is_none_or(|around| *around == coordinate));
        }

        /// The chunks of an array contain each of its cells once.
        #[test]
        fn chunks_partition_an_array((shape, chunk, _) in case()) {
            let grid = ChunkGrid::new(&shape, &chunk);
            let all = grid.crossing(&Region::all(&shape));
            prop_assert_eq!(all.len(), grid.len());
            for coordinate in &all {
                prop_assert_eq!(grid.chunk_of(&grid.region(coordinate)), Some(coordinate.clone()));
            }
            prop_assert!(all.iter().all(|c| grid.contains(c)));
            for (number, coordinate) in (0u64..).zip(&all) {
                prop_assert_eq!(grid.number(coordinate), number);
                prop_assert_eq!(&grid.coordinate(number), coordinate);
            }
            let mut cells: Vec<_> = all.iter().flat_map(|c| indices(&grid.region(c))).collect();
            cells.sort();
            prop_assert_eq!(cells, indices(&Region::all(&shape)));
        }
    }

    #[test]
    fn whole_chunks_are_one_run() {
        let grid = ChunkGrid::new(&[4, 6], &[2, 6]);
        assert_eq!(grid.runs(&grid.region(&[1, 0])), [Run { chunk: 0, offset: 0, length: 12 }]);
        let scalar = ChunkGrid::new(&[], &[]);
        assert_eq!(scalar.runs(&Region::all(&[])), [Run { chunk: 0, offset: 0, length: 1 }]);
    }
}
