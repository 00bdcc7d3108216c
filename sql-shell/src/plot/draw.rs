//! From figures to canvases.

use super::axis::Axis;
use super::canvas::{Anchor, Canvas, Colour, Point};
use super::figure::{Bar, Cells, Figure, MOST_SERIES, Marks, Series};

/// Okabe and Ito's colours, which people with every kind of eyesight can tell apart.
const SERIES: [Colour; MOST_SERIES] = [
    [0, 114, 178],
    [230, 159, 0],
    [0, 158, 115],
    [213, 94, 0],
    [86, 180, 233],
    [204, 121, 167],
    [150, 140, 30],
    [120, 120, 120],
];

/// Some colours of matplotlib's viridis, evenly apart; between them colours are mixed.
const VIRIDIS: [Colour; 9] = [
    [68, 1, 84],
    [71, 44, 122],
    [59, 81, 139],
    [44, 113, 142],
    [33, 144, 141],
    [39, 173, 129],
    [92, 200, 99],
    [170, 220, 50],
    [253, 231, 37],
];

/// Colours of a heat map: so few that neighbours are often alike, and drawn as one.
const SHADES: f64 = 96.0;

/// Characters of the name of a line at the most.
const NAME: usize = 18;

/// The part of a canvas between the axes.
struct Frame<'a> {
    x: &'a Axis,
    y: &'a Axis,
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
}

impl Frame<'_> {
    fn at(&self, x: f64, y: f64) -> Point {
        let (x, y) = (self.x.place(x), self.y.place(y));
        (self.left + x * (self.right - self.left), self.bottom - y * (self.bottom - self.top))
    }

    /// A height as it is for texts and lines beside the axis: those at its end do not slip below the frame.
    fn beside(&self, y: f64) -> f64 {
        y.min(self.bottom - 0.1)
    }
}

/// Draws a figure over all of a canvas.
pub(super) fn draw(figure: &Figure, canvas: &mut dyn Canvas) {
    let ((width, height), (char_width, line)) = (canvas.size(), canvas.character());
    let chars = |number: usize| number as f64 * char_width;
    let y_ticks = figure.y.ticks(((height / line - 4.0) / 2.5).clamp(2.0, 9.0) as usize);
    let widest =
        |ticks: &[(f64, String)]| ticks.iter().map(|(_, text)| text.chars().count()).max().unwrap_or(0);
    let beside = match &figure.marks {
        Marks::Bars(_) => 1,
        Marks::Lines(series) => {
            series.iter().map(|series| name(series).chars().count() + 3).max().unwrap_or(1)
        }
        Marks::Cells(cells) => widest(&cells.scale.ticks(5)).max(cells.scale.label.chars().count()) + 6,
    };
    let beside = chars(beside).min(width / 3.0);
    let frame = Frame {
        x: &figure.x,
        y: &figure.y,
        left: chars(widest(&y_ticks) + 2),
        right: (width - beside).floor(),
        top: line,
        bottom: height - 2.0 * line,
    };
    let middle = line / 2.0;
    for (value, label) in &y_ticks {
        let at = frame.at(frame.x.from, *value);
        canvas.guide((frame.left, at.1), (frame.right, at.1));
        canvas.text((frame.left - char_width, frame.beside(at.1)), Anchor::End, None, label);
    }
    // As many labels below as have room beside each other.
    let room = (frame.right - frame.left) / char_width;
    let fits = |most: &usize| {
        let ticks = figure.x.ticks(*most);
        ticks.len() * (widest(&ticks) + 2) <= room as usize
    };
    for (value, label) in figure.x.ticks((1..=10).rev().find(fits).unwrap_or(1)) {
        let at = frame.at(value, frame.y.from);
        canvas.guide((at.0, frame.top), (at.0, frame.bottom));
        canvas.text((at.0, frame.bottom + middle), Anchor::Middle, None, &label);
    }
    canvas.text((0.0, middle), Anchor::Start, None, &figure.y.label);
    let below = ((frame.left + frame.right) / 2.0, height - middle);
    canvas.text(below, Anchor::Middle, None, &figure.x.label);
    match &figure.marks {
        Marks::Lines(series) => lines(canvas, &frame, series),
        Marks::Bars(bars) => draw_bars(canvas, &frame, bars),
        Marks::Cells(cells) => {
            draw_cells(canvas, &frame, cells);
            colour_bar(canvas, &frame, &cells.scale);
        }
    }
    canvas.rule((frame.left - 1.0, frame.top), (frame.left - 1.0, frame.bottom - 1.0));
}

fn name(series: &Series) -> String {
    let name = series.name.as_deref().unwrap_or_default();
    if name.chars().count() <= NAME {
        return name.to_owned();
    }
    name.chars().take(NAME - 1).chain(['…']).collect()
}

fn lines(canvas: &mut dyn Canvas, frame: &Frame<'_>, series: &[Series]) {
    let (char_width, line) = canvas.character();
    for (i, (series, colour)) in series.iter().zip(SERIES).enumerate() {
        let inside = |(x, y): Point| (x.min(frame.right - 0.1), frame.beside(y));
        let points: Vec<Point> = series.points.iter().map(|&(x, y)| inside(frame.at(x, y))).collect();
        canvas.line(&thinned(&points), colour);
        if series.name.is_some() {
            let at = (frame.right + 2.0 * char_width, frame.top + (i as f64 + 0.5) * line);
            canvas.text(at, Anchor::Start, Some(colour), &name(series));
        }
    }
}

/// The points of a line that can be seen: of many that are in one column or row of pixels, the first, those
/// farthest apart, and the last.
fn thinned(points: &[Point]) -> Vec<Point> {
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

fn draw_bars(canvas: &mut dyn Canvas, frame: &Frame<'_>, bars: &[Bar]) {
    let zero = frame.at(frame.x.from, 0.0).1;
    for bar in bars.iter().filter(|bar| bar.height != 0.0) {
        let (left, right) = (frame.at(bar.left, 0.0).0, frame.at(bar.right, bar.height));
        // A gap between neighbours, where there is room for one.
        let gap = if right.0 - left >= 6.0 { 1.0 } else { 0.0 };
        canvas.rectangle((left, zero), (right.0 - gap, right.1), SERIES[0]);
    }
}

fn viridis(share: f64) -> Colour {
    let place = (share.clamp(0.0, 1.0) * SHADES).round() / SHADES * (VIRIDIS.len() - 1) as f64;
    let lower = (place.floor() as usize).min(VIRIDIS.len() - 2);
    let mix = place - lower as f64;
    let (from, to) = (VIRIDIS[lower], VIRIDIS[lower + 1]);
    std::array::from_fn(|i| (f64::from(from[i]) * (1.0 - mix) + f64::from(to[i]) * mix).round() as u8)
}

fn draw_cells(canvas: &mut dyn Canvas, frame: &Frame<'_>, cells: &Cells) {
    let (columns, rows) = (cells.columns.len() - 1, cells.rows.len() - 1);
    // Cells smaller than a pixel are put together.
    let (wide, high) = ((frame.right - frame.left) as usize, (frame.bottom - frame.top) as usize);
    let (across, down) = (columns.min(wide.max(1)), rows.min(high.max(1)));
    let mut sums = vec![(0.0, 0u32); across * down];
    for (i, value) in cells.values.iter().enumerate().filter(|(_, value)| value.is_finite()) {
        let (column, row) = (i % columns * across / columns, i / columns * down / rows);
        let (sum, count) = &mut sums[row * across + column];
        *sum += value;
        *count += 1;
    }
    let edge = |edges: &[f64], place: usize, of: usize| {
        let all = edges.len() - 1;
        // The first that comes to lie in the place.
        edges[(place * all).div_ceil(of)]
    };
    for (row, own) in sums.chunks(across).enumerate() {
        let (low, high) = (edge(&cells.rows, row, down), edge(&cells.rows, row + 1, down));
        let colour = |&(sum, count): &(f64, u32)| {
            (count > 0).then(|| viridis(cells.scale.place(sum / f64::from(count))))
        };
        let mut column = 0;
        for run in own.chunk_by(|a, b| colour(a) == colour(b)) {
            let (left, right) = (column, column + run.len());
            column = right;
            if let Some(colour) = run.first().and_then(colour) {
                let from = frame.at(edge(&cells.columns, left, across), low);
                let to = frame.at(edge(&cells.columns, right, across), high);
                canvas.rectangle(from, to, colour);
            }
        }
    }
}

fn colour_bar(canvas: &mut dyn Canvas, frame: &Frame<'_>, scale: &Axis) {
    let (char_width, line) = canvas.character();
    let (left, right) = (frame.right + 2.0 * char_width, frame.right + 4.0 * char_width);
    let height = frame.bottom - frame.top;
    let steps = (height as usize).clamp(1, SHADES as usize);
    for step in 0..steps {
        let at = |step: usize| frame.bottom - height * step as f64 / steps as f64;
        canvas.rectangle(
            (left, at(step)),
            (right, at(step + 1)),
            viridis((step as f64 + 0.5) / steps as f64),
        );
    }
    for (value, label) in scale.ticks(5) {
        let y = frame.beside(frame.bottom - scale.place(value) * height);
        canvas.text((right + char_width, y), Anchor::Start, None, &label);
    }
    canvas.text((left, line / 2.0), Anchor::Start, None, &scale.label);
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn colours_go_from_dark_to_bright() {
        assert_eq!((viridis(-1.0), viridis(2.0)), (VIRIDIS[0], VIRIDIS[8]));
        assert_eq!(viridis(0.5), VIRIDIS[4]);
    }
}
