//! Reduces many values to what is visible, which is at most one value per pixel.

use std::collections::HashSet;

use super::canvas::{Point, Rectangle};

/// The means of values in pixels.
pub(super) struct Raster {
    width: usize,
    height: usize,
    /// The number of pixels per unit.
    resolution: f64,
    /// Sums and counts of values, row by row.
    pixels: Vec<(f64, u32)>,
}

impl Raster {
    pub(super) fn new((width, height): Point, resolution: f64) -> Self {
        let pixels = |units: f64| ((units * resolution).round() as usize).max(1);
        let (width, height) = (pixels(width), pixels(height));
        Self { width, height, resolution, pixels: vec![(0.0, 0); width * height] }
    }

    /// Adds a value to the pixels between two corners. Covers at least one pixel, unless it is
    /// outside.
    pub(super) fn add(&mut self, from: Point, to: Point, value: f64) {
        let (columns, rows) = (self.range(from.0, to.0, self.width), self.range(from.1, to.1, self.height));
        for row in rows {
            let line = self.pixels.get_mut(row * self.width + columns.start..row * self.width + columns.end);
            for (sum, count) in line.into_iter().flatten() {
                *sum += value;
                *count += 1;
            }
        }
    }

    fn range(&self, a: f64, b: f64, all: usize) -> std::ops::Range<usize> {
        let (from, to) = (a.min(b) * self.resolution, a.max(b) * self.resolution);
        let (start, end) = (from.round().max(0.0), to.round().min(all as f64));
        if end > start {
            return start as usize..end as usize;
        }
        let pixel = ((from + to) / 2.0).floor();
        if pixel >= 0.0 && pixel < all as f64 { pixel as usize..pixel as usize + 1 } else { 0..0 }
    }

    /// The pixels with values, merged to rectangles of one shade each, by shade.
    pub(super) fn areas(self, shade: impl Fn(f64) -> usize) -> Vec<(usize, Vec<Rectangle>)> {
        let shade_of = |(sum, count): (f64, u32)| (count > 0).then(|| shade(sum / f64::from(count)));
        let mut found: Vec<(usize, Vec<Rectangle>)> = Vec::new();
        // Runs of one shade that continue from row to row: columns, shade, first row.
        let mut open: Vec<(usize, usize, usize, usize)> = Vec::new();
        let mut close = |(from, to, shade, top): (usize, usize, usize, usize), bottom: usize| {
            let at = |pixel: usize| pixel as f64 / self.resolution;
            let area = ((at(from), at(top)), (at(to), at(bottom)));
            match found.binary_search_by_key(&shade, |(other, _)| *other) {
                Ok(place) => found[place].1.push(area),
                Err(place) => found.insert(place, (shade, vec![area])),
            }
        };
        for (row, pixels) in self.pixels.chunks(self.width).enumerate() {
            let shades: Vec<Option<usize>> = pixels.iter().map(|pixel| shade_of(*pixel)).collect();
            let mut column = 0;
            let mut runs = Vec::new();
            for run in shades.chunk_by(|a, b| a == b) {
                if let Some(Some(shade)) = run.first() {
                    runs.push((column, column + run.len(), *shade));
                }
                column += run.len();
            }
            let mut before = open.drain(..).peekable();
            let mut next = Vec::with_capacity(runs.len());
            for run in runs {
                let mut top = row;
                while let Some(above) = before.next_if(|above| above.0 <= run.0) {
                    if (above.0, above.1, above.2) == run {
                        top = above.3;
                    } else {
                        close(above, row);
                    }
                }
                next.push((run.0, run.1, run.2, top));
            }
            before.for_each(|run| close(run, row));
            open = next;
        }
        open.into_iter().for_each(|run| close(run, self.height));
        found
    }
}

/// Drops points that are in the same pixel as an earlier one.
pub(super) fn thinned_points(points: impl Iterator<Item = Point>, resolution: f64) -> Vec<Point> {
    let mut seen = HashSet::new();
    let pixel = |place: f64| (place * resolution).floor() as i64;
    points.filter(|(x, y)| seen.insert((pixel(*x), pixel(*y)))).collect()
}

/// The visible points of a line. Of many points in one column or row of pixels, these are the first
/// point, the extremes, and the last point.
pub(super) fn thinned(points: &[Point]) -> Vec<Point> {
    let mut kept = Vec::new();
    let mut rest = points;
    while let Some(first) = rest.first() {
        let in_column = rest.iter().take_while(|point| point.0.floor() == first.0.floor()).count();
        let in_row = rest.iter().take_while(|point| point.1.floor() == first.1.floor()).count();
        let (run, after) = rest.split_at(in_column.max(in_row));
        rest = after;
        if run.len() <= 4 {
            kept.extend_from_slice(run);
            continue;
        }
        let along = |point: &Point| if in_column >= in_row { point.1 } else { point.0 };
        let places = || run.iter().enumerate();
        let by = |a: &(usize, &Point), b: &(usize, &Point)| along(a.1).total_cmp(&along(b.1));
        let mut wanted = vec![0, run.len() - 1];
        wanted.extend(places().min_by(by).map(|(place, _)| place));
        wanted.extend(places().max_by(by).map(|(place, _)| place));
        wanted.sort_unstable();
        wanted.dedup();
        kept.extend(wanted.into_iter().filter_map(|place| run.get(place).copied()));
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_become_one_area_each() {
        let mut raster = Raster::new((10.0, 10.0), 2.0);
        raster.add((0.0, 0.0), (5.0, 5.0), 1.0);
        raster.add((5.0, 5.0), (10.0, 20.0), 1.0);
        raster.add((5.0, 0.0), (10.0, 5.0), 3.0);
        raster.add((30.0, 0.0), (40.0, 5.0), 3.0);
        let areas = raster.areas(|value| value as usize);
        let one = vec![((0.0, 0.0), (5.0, 5.0)), ((5.0, 5.0), (10.0, 10.0))];
        assert_eq!(areas, [(1, one), (3, vec![((5.0, 0.0), (10.0, 5.0))])]);
    }

    #[test]
    fn cells_smaller_than_a_pixel_are_seen_as_their_mean() {
        let mut raster = Raster::new((2.0, 1.0), 1.0);
        for i in 0..4 {
            let x = f64::from(i) * 0.25;
            raster.add((x, 0.0), (x + 0.25, 1.0), f64::from(i) * 2.0);
        }
        // The last value ends at the border of its pixel, and belongs to it.
        assert_eq!(raster.areas(|value| value as usize), [(3, vec![((0.0, 0.0), (1.0, 1.0))])]);
    }

    #[test]
    fn every_pixel_is_covered_once() {
        let mut raster = Raster::new((40.0, 30.0), 1.0);
        let mut expected = std::collections::HashMap::new();
        for (i, (x, y)) in (0..40).flat_map(|x| (0..30).map(move |y| (x, y))).enumerate() {
            let shade = (i * i + 7 * i) % 11;
            if shade > 2 {
                raster.add(
                    (f64::from(x), f64::from(y)),
                    (f64::from(x + 1), f64::from(y + 1)),
                    (shade / 4) as f64,
                );
                expected.insert((x, y), shade / 4);
            }
        }
        let mut found = std::collections::HashMap::new();
        for (shade, areas) in raster.areas(|value| value as usize) {
            for (from, to) in areas {
                for x in from.0 as i32..to.0 as i32 {
                    for y in from.1 as i32..to.1 as i32 {
                        assert_eq!(found.insert((x, y), shade), None);
                    }
                }
            }
        }
        assert_eq!(found, expected);
    }

    #[test]
    fn thinned_lines_keep_their_ends_and_extremes() {
        let points: Vec<Point> =
            (0..1000).map(|i| (f64::from(i) / 500.0, f64::from((i * 37) % 101))).collect();
        let kept = thinned(&points);
        assert!(kept.len() <= 8, "{kept:?}");
        assert_eq!((kept.first(), kept.last()), (points.first(), points.last()));
        for end in [0.0, 100.0] {
            assert!(kept.iter().any(|point| point.1 == end), "{kept:?}");
        }
        let few = [(0.0, 0.0), (1.5, 3.0), (2.5, 1.0)];
        assert_eq!(thinned(&few), few);
    }

    #[test]
    fn points_in_a_pixel_are_one() {
        let points = [(0.1, 0.1), (0.4, 0.4), (0.6, 0.1), (0.2, 0.2)];
        assert_eq!(thinned_points(points.into_iter(), 2.0), [(0.1, 0.1), (0.6, 0.1)]);
        assert_eq!(thinned_points(points.into_iter(), 1.0).len(), 1);
    }
}
