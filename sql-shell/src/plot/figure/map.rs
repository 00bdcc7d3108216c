//! Maps.

use super::super::axis::{Axis, Scale};
use super::super::canvas::Point;
use super::quantity::Quantity;
use super::series::Series;
use super::{Area, Cell, Figure, Layer, grid, lines};
use crate::error::Result;

const TURN: f64 = 360.0;

/// The largest range of longitudes of a map across the date line. Wider maps start and end at the
/// date line.
const WIDEST: f64 = 270.0;

/// The margin around positions on a map: a fraction of their range, and degrees.
const SPARE: (f64, f64) = (0.1, 4.0);

/// Positions on a map; a track if the query orders them.
pub(super) fn positions(
    mut longitude: Quantity,
    latitude: Quantity,
    series: &Series,
    ordered: bool,
) -> Result<Figure> {
    together(&mut longitude.values);
    let figure = if ordered {
        lines::lines(longitude, latitude, series, true)?
    } else {
        lines::points(longitude, latitude, series)?
    };
    let layers = figure.layers.into_iter().flat_map(|layer| match layer {
        Layer::Line { points, series } => {
            let marks = Layer::Points { points: points.clone(), series };
            let parts = cut_at_date_line(&points).into_iter();
            parts.map(|points| Layer::Line { points, series }).chain([marks]).collect()
        }
        other => vec![other],
    });
    let layers = layers.collect();
    Ok(around(Figure { layers, ..figure }))
}

/// Values on a map: cells if they lie on a grid, else coloured points.
pub(super) fn values(mut longitude: Quantity, latitude: Quantity, value: &Quantity) -> Result<Figure> {
    together(&mut longitude.values);
    if !grid::is_grid(&longitude, &latitude) {
        return Ok(around(lines::coloured(longitude, latitude, value)?));
    }
    let is_binned = longitude.meaning.bin.is_some() || latitude.meaning.bin.is_some();
    let mut figure = grid::heat_map(longitude, latitude, value)?;
    if !is_binned {
        // Cells at the poles end there, and the first and last cells of a grid around the globe
        // meet.
        let at_poles = |latitude: f64| latitude.clamp(-90.0, 90.0);
        (figure.y.from, figure.y.to) = (at_poles(figure.y.from), at_poles(figure.y.to));
        if figure.x.to - figure.x.from > TURN - 1e-3 {
            all_around(&mut figure);
        }
    }
    Ok(on_map(figure))
}

/// Makes a map around the globe end at the date line, or at Greenwich if it starts there. Cells
/// across the seam are shown on both sides.
fn all_around(figure: &mut Figure) {
    let seam = if figure.x.from < -TURN / 4.0 { -TURN / 2.0 } else { 0.0 };
    let widths = figure.layers.iter().flat_map(|layer| match layer {
        Layer::Cells(cells) => cells.as_slice(),
        _ => &[],
    });
    let widest = widths.map(|cell| cell.area.x.1 - cell.area.x.0).fold(0.0, f64::max);
    if (figure.x.from - seam).abs() > widest {
        figure.x.to = figure.x.from + TURN;
        return;
    }
    (figure.x.from, figure.x.to) = (seam, seam + TURN);
    let (from, to) = (figure.x.from, figure.x.to);
    for layer in &mut figure.layers {
        let Layer::Cells(cells) = layer else { continue };
        let moved = cells.iter().filter_map(|cell| {
            let turn = if cell.area.x.0 < from { TURN } else { -TURN };
            let x = (cell.area.x.0 + turn, cell.area.x.1 + turn);
            let is_cut = cell.area.x.0 < from || cell.area.x.1 > to;
            is_cut.then_some(Cell { area: Area { x, ..cell.area }, ..*cell })
        });
        let moved: Vec<_> = moved.collect();
        cells.extend(moved);
    }
}

fn on_map(figure: Figure) -> Figure {
    let axis = |axis: Axis, scale| Axis { label: String::new(), scale, ..axis };
    let (x, y) = (axis(figure.x, Scale::Longitudes), axis(figure.y, Scale::Latitudes));
    Figure { x, y, is_map: true, ..figure }
}

/// Adds margins to a map. The map may grow to the size of the picture.
fn around(mut figure: Figure) -> Figure {
    for axis in [&mut figure.x, &mut figure.y] {
        let spare = ((axis.to - axis.from) * SPARE.0).max(SPARE.1);
        (axis.from, axis.to) = (axis.from - spare, axis.to + spare);
    }
    (figure.y.from, figure.y.to) = (figure.y.from.max(-90.0), figure.y.to.min(90.0));
    let (west, east) = reach(&figure.layers);
    if figure.x.to - figure.x.from > TURN && east - west <= TURN {
        // A map once around the globe starts at the date line or at Greenwich, if all positions fit
        // from there.
        let start = [-TURN / 2.0, 0.0].into_iter().find(|start| west >= *start && east <= start + TURN);
        figure.x.from = start.unwrap_or((west + east - TURN) / 2.0);
        figure.x.to = figure.x.from + TURN;
    }
    Figure { may_grow: true, ..on_map(figure) }
}

/// The smallest and the largest longitude of points.
fn reach(layers: &[Layer]) -> (f64, f64) {
    let longitudes = layers.iter().flat_map(|layer| match layer {
        Layer::Line { points, .. } | Layer::Points { points, .. } => {
            points.iter().map(|(x, _)| *x).collect::<Vec<_>>()
        }
        Layer::Values(values) => values.iter().map(|((x, _), _)| *x).collect(),
        Layer::Bars { .. } | Layer::Cells(_) => Vec::new(),
    });
    longitudes.fold((f64::INFINITY, f64::NEG_INFINITY), |(west, east), x| (west.min(x), east.max(x)))
}

/// Shifts longitudes by full turns, so that positions on both sides of the date line are adjacent.
/// Positions all around the globe stay unchanged.
fn together(longitudes: &mut [f64]) {
    let mut sorted: Vec<f64> = longitudes
        .iter()
        .filter(|longitude| longitude.is_finite())
        .map(|longitude| longitude.rem_euclid(TURN))
        .collect();
    sorted.sort_by(f64::total_cmp);
    sorted.dedup();
    let (Some(&first), Some(&last)) = (sorted.first(), sorted.last()) else { return };
    let finite = || longitudes.iter().copied().filter(|longitude| longitude.is_finite());
    let reach = finite().fold(f64::NEG_INFINITY, f64::max) - finite().fold(f64::INFINITY, f64::min);
    // The widest gap between longitudes, and where it ends.
    let inner = sorted.windows(2).filter_map(|pair| match pair {
        [a, b] => Some((b - a, *b)),
        _ => None,
    });
    let (gap, start) =
        inner.fold((first + TURN - last, first), |best, gap| if gap.0 > best.0 { gap } else { best });
    if TURN - gap >= reach - 1.0 || TURN - gap >= WIDEST {
        return;
    }
    let start = if start >= TURN / 2.0 { start - TURN } else { start };
    for longitude in longitudes.iter_mut() {
        *longitude = start + (*longitude - start).rem_euclid(TURN);
    }
}

/// Splits a line where it crosses the date line, or the meridian of Greenwich if longitudes are
/// from 0 to 360, so that no part runs around the globe.
fn cut_at_date_line(points: &[Point]) -> Vec<Vec<Point>> {
    let seam = if points.iter().any(|(x, _)| *x < 0.0) { TURN / 2.0 } else { TURN };
    let mut parts = Vec::new();
    let mut part: Vec<Point> = Vec::new();
    for &(x, y) in points {
        if let Some(&(before, y_before)) = part.last()
            && (x - before).abs() > TURN / 2.0
        {
            let (end, next) = if before > x { (seam, x + TURN) } else { (seam - TURN, x - TURN) };
            let share = if next == before { 0.5 } else { (end - before) / (next - before) };
            let middle = y_before + (y - y_before) * share;
            part.push((end, middle));
            let start = if before > x { end - TURN } else { end + TURN };
            parts.push(std::mem::replace(&mut part, vec![(start, middle)]));
        }
        part.push((x, y));
    }
    parts.push(part);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn longitudes_around_the_date_line_are_together() {
        let moved = |longitudes: &[f64]| {
            let mut moved = longitudes.to_vec();
            together(&mut moved);
            moved
        };
        assert_eq!(moved(&[170.0, 175.0, -178.0, -170.0]), [170.0, 175.0, 182.0, 190.0]);
        assert_eq!(moved(&[350.0, 10.0]), [-10.0, 10.0]);
        for stay in [vec![-10.0, 20.0], vec![0.0, 90.0, 180.0, 270.0], vec![-180.0, -90.0, 0.0, 90.0, 179.0]]
        {
            assert_eq!(moved(&stay), stay);
        }
    }

    #[test]
    fn lines_end_at_the_date_line() {
        let parts = cut_at_date_line(&[(-10.0, 0.0), (170.0, 0.0), (-170.0, 10.0)]);
        let expected = [vec![(-10.0, 0.0), (170.0, 0.0), (180.0, 5.0)], vec![(-180.0, 5.0), (-170.0, 10.0)]];
        assert_eq!(parts, expected);
        let parts = cut_at_date_line(&[(10.0, 0.0), (350.0, 20.0)]);
        assert_eq!(parts, [vec![(10.0, 0.0), (0.0, 10.0)], vec![(360.0, 10.0), (350.0, 20.0)]]);
        assert_eq!(cut_at_date_line(&[(10.0, 0.0), (20.0, 0.0)]).len(), 1);
    }
}
