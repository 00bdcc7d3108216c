//! Draws figures on canvases.

use super::axis::Axis;
use super::canvas::{Anchor, Canvas, Colour, Point};
use super::clip::clipped;
use super::coastlines::coastlines;
use super::colours::{Map, SERIES, SHADES};
use super::figure::{Area, Cell, Colours, Figure, Layer, Legend, MOST_SERIES};
use super::raster::{Raster, thinned, thinned_points};

/// The largest number of characters of a line's name.
const NAME: usize = 18;

/// The area of a canvas between the axes.
struct Frame {
    x: Axis,
    y: Axis,
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
}

impl Frame {
    fn at(&self, (x, y): Point) -> Point {
        let (x, y) = (self.x.position(x), self.y.position(y));
        (self.left + x * (self.right - self.left), self.bottom - y * (self.bottom - self.top))
    }

    /// The height of a label beside the axis. Labels at the ends of the axis keep clear of the
    /// lines of text above and below.
    fn beside(&self, y: f64, line: f64) -> f64 {
        y.max(self.top + line / 3.0).min(self.bottom - 0.1)
    }

    fn corners(&self) -> (Point, Point) {
        ((self.left, self.top), (self.right, self.bottom))
    }

    /// The corners of the area in which lines are drawn. It is slightly smaller, so that lines at
    /// the ends of the axes stay inside.
    fn seen(&self) -> (Point, Point) {
        ((self.left, self.top), (self.right - 0.1, self.bottom - 0.1))
    }

    fn size(&self) -> Point {
        (self.right - self.left, self.bottom - self.top)
    }

    /// Points on the canvas, without those outside the area.
    fn inside<'a>(&'a self, points: impl Iterator<Item = Point> + 'a) -> impl Iterator<Item = Point> + 'a {
        let (from, to) = self.corners();
        let within =
            move |(x, y): Point| (x >= from.0 && x <= to.0 && y >= from.1 && y <= to.1).then_some((x, y));
        // Points at the ends of the axes stay visible.
        points.filter_map(within).map(move |(x, y)| (x.min(to.0 - 0.1), y.min(to.1 - 0.1)))
    }
}

/// Draws a figure on the whole canvas.
pub(super) fn draw(figure: &Figure, canvas: &mut dyn Canvas) {
    let frame = laid_out(figure, canvas);
    axes(figure, &frame, canvas);
    for layer in &figure.layers {
        match layer {
            Layer::Bars { areas, series } => bars(canvas, &frame, areas, series_colour(figure, *series)),
            Layer::Line { points, series } => line(canvas, &frame, points, series_colour(figure, *series)),
            Layer::Points { points, series } => {
                let places = frame.inside(points.iter().map(|point| frame.at(*point)));
                let places = thinned_points(places, canvas.resolution());
                canvas.points(&places, series_colour(figure, *series));
            }
            Layer::Values(values) => coloured(canvas, &frame, values, figure.colours.as_ref()),
            Layer::Cells(cells) => draw_cells(canvas, &frame, cells, figure.colours.as_ref()),
        }
    }
    if figure.is_map {
        draw_coastlines(canvas, &frame);
    }
    canvas.frame(frame.corners());
    if let Some(colours) = &figure.colours {
        colour_bar(canvas, &frame, colours);
    }
    legend(figure, &frame, canvas);
}

fn widest<'a>(texts: impl Iterator<Item = &'a str>) -> usize {
    texts.map(|text| text.chars().count()).max().unwrap_or(0)
}

fn widest_tick(ticks: &[(f64, String)]) -> usize {
    widest(ticks.iter().map(|(_, label)| label.as_str()))
}

fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

fn has_labels(figure: &Figure) -> bool {
    !figure.y.label.is_empty() || figure.colours.is_some()
}

/// Lays out the axes.
fn laid_out(figure: &Figure, canvas: &mut dyn Canvas) -> Frame {
    let ((width, height), (char_width, line)) = (canvas.size(), canvas.character());
    let chars = |number: usize| number as f64 * char_width;
    let beside_legend = match &figure.legend {
        Legend::None => 1,
        Legend::Names(names) => widest(names.iter().map(|name| name.as_str())).min(NAME) + 3,
        Legend::Count(..) => NAME,
    };
    let title = if figure.title.is_empty() { 0.0 } else { line };
    let labels = if has_labels(figure) { line } else { 0.0 };
    let below = if figure.x.label.is_empty() { 1.0 } else { 2.0 };
    let top = (title + labels).max(line);
    let bottom = height - below * line;
    let upright = upright_ticks(bottom - top, line);
    let beside_colours =
        figure.colours.as_ref().map_or(1, |colours| widest_tick(&colours.scale.ticks(upright)) + 6);
    let beside = chars(beside_legend.max(beside_colours)).min(width / 3.0);
    let y_ticks = figure.y.ticks(upright);
    let left = chars(widest_tick(&y_ticks) + 2);
    let right = (width - beside).floor();
    let mut frame = Frame { x: figure.x.clone(), y: figure.y.clone(), left, right, top, bottom };
    if figure.is_map {
        fit_degrees(&mut frame, figure.may_grow);
        canvas.crop(frame.bottom + below * line);
    }
    frame
}

fn upright_ticks(height: f64, line: f64) -> usize {
    (height / line / 2.5).clamp(2.0, 9.0) as usize
}

/// Makes degrees along both axes equally long: by extending an axis if `may_grow`, else by
/// shrinking the frame.
fn fit_degrees(frame: &mut Frame, may_grow: bool) {
    let (width, height) = frame.size();
    let reach = |axis: &Axis| axis.to - axis.from;
    let scale = (width / reach(&frame.x)).min(height / reach(&frame.y));
    if may_grow {
        let (wide, high) = ((width / scale).min(360.0), (height / scale).min(180.0));
        // Longitudes within the date line stay within it.
        let is_within = frame.x.from >= -180.0 && frame.x.to <= 180.0;
        grow(&mut frame.x, wide, is_within.then_some(180.0));
        grow(&mut frame.y, high, Some(90.0));
    }
    frame.right = frame.left + (reach(&frame.x) * scale).floor().min(width);
    frame.bottom = frame.top + (reach(&frame.y) * scale).floor().min(height);
}

/// Extends an axis to this many degrees, within a limit on both sides of zero if there is one.
fn grow(axis: &mut Axis, degrees: f64, limit: Option<f64>) {
    let middle = (axis.from + axis.to) / 2.0;
    (axis.from, axis.to) = (middle - degrees / 2.0, middle + degrees / 2.0);
    if let Some(limit) = limit {
        let shift = (-limit - axis.from).max(0.0) + (limit - axis.to).min(0.0);
        (axis.from, axis.to) = (axis.from + shift, axis.to + shift);
    }
}

/// Draws ticks and labels.
fn axes(figure: &Figure, frame: &Frame, canvas: &mut dyn Canvas) {
    let (width, (char_width, line)) = (canvas.size().0, canvas.character());
    let middle = line / 2.0;
    for (value, label) in frame.y.ticks(upright_ticks(frame.bottom - frame.top, line)) {
        let at = frame.at((frame.x.from, value)).1;
        canvas.guide((frame.left, at), (frame.right, at));
        canvas.text((frame.left - char_width, frame.beside(at, line)), Anchor::End, None, &label);
    }
    // Uses as many labels below as fit beside each other.
    let room = ((frame.right - frame.left) / char_width) as usize;
    let fits = |most: &usize| {
        let ticks = frame.x.ticks(*most);
        ticks.len() * (widest_tick(&ticks) + 2) <= room + 4
    };
    for (value, label) in frame.x.ticks((1..=13).rev().find(fits).unwrap_or(1)) {
        let at = frame.at((value, frame.y.from)).0;
        canvas.guide((at, frame.top), (at, frame.bottom));
        canvas.text((at, frame.bottom + middle), Anchor::Middle, None, &label);
    }
    let fitting = |text: &str, room: f64| shortened(text, (room / char_width) as usize);
    if !figure.title.is_empty() {
        canvas.text((width / 2.0, middle), Anchor::Middle, None, &fitting(&figure.title, width));
    }
    let label_line = frame.top - middle;
    let mut left = width;
    if let Some(colours) = &figure.colours {
        let label = fitting(&colours.scale.label, width * 2.0 / 3.0);
        left = width - (label.chars().count() + 2) as f64 * char_width;
        canvas.text((width, label_line), Anchor::End, None, &label);
    }
    canvas.text((0.0, label_line), Anchor::Start, None, &fitting(&figure.y.label, left));
    let below = ((frame.left + frame.right) / 2.0, frame.bottom + line + middle);
    canvas.text(below, Anchor::Middle, None, &fitting(&figure.x.label, width));
}

/// The colour of a series. If there are many series, the colours range from dark to bright.
fn series_colour(figure: &Figure, series: usize) -> Colour {
    match &figure.legend {
        Legend::Count(all, _) if *all > MOST_SERIES => {
            Map::Sequential.colour(Map::shade(series as f64 / (*all - 1) as f64))
        }
        _ => SERIES[series % SERIES.len()],
    }
}

fn legend(figure: &Figure, frame: &Frame, canvas: &mut dyn Canvas) {
    let (char_width, line) = canvas.character();
    let at = |row: usize| (frame.right + 2.0 * char_width, frame.top + (row as f64 + 0.5) * line);
    match &figure.legend {
        Legend::None => {}
        Legend::Names(names) => {
            for (row, name) in names.iter().enumerate() {
                canvas.text(at(row), Anchor::Start, Some(series_colour(figure, row)), &shortened(name, NAME));
            }
        }
        Legend::Count(all, label) => {
            canvas.text(at(0), Anchor::Start, None, &shortened(&format!("{all} × {label}"), NAME - 3));
        }
    }
}

fn line(canvas: &mut dyn Canvas, frame: &Frame, points: &[Point], colour: Colour) {
    let places: Vec<Point> = points.iter().map(|point| frame.at(*point)).collect();
    for part in clipped(&thinned(&places), frame.seen()) {
        canvas.line(&part, colour);
    }
}

fn bars(canvas: &mut dyn Canvas, frame: &Frame, areas: &[Area], colour: Colour) {
    let pixel = 1.0 / canvas.resolution();
    // Even the smallest bar is visible, on its side of zero.
    let at_least = |from: f64, to: f64| {
        if (to - from).abs() < pixel { from + if to < from { -pixel } else { pixel } } else { to }
    };
    let placed = |area: &Area| {
        let (from, to) = (frame.at((area.x.0, area.y.0)), frame.at((area.x.1, area.y.1)));
        (from, (at_least(from.0, to.0), at_least(from.1, to.1)))
    };
    // Neighbours have a gap between them, if there is room.
    let spaced = |(from, to): (Point, Point), area: &Area| {
        let gap = |a: f64, b: f64| if (b - a).abs() >= 6.0 { (b - a).signum() / 2.0 } else { 0.0 };
        if area.y.0 == 0.0 {
            let gap = gap(from.0, to.0);
            ((from.0 + gap, from.1), (to.0 - gap, to.1))
        } else {
            let gap = gap(from.1, to.1);
            ((from.0, from.1 + gap), (to.0, to.1 - gap))
        }
    };
    let seen = areas.iter().filter(|area| area.x.0 != area.x.1 && area.y.0 != area.y.1);
    let areas: Vec<_> = seen.map(|area| spaced(placed(area), area)).collect();
    canvas.areas(&areas, colour);
}

fn coloured(canvas: &mut dyn Canvas, frame: &Frame, values: &[(Point, f64)], colours: Option<&Colours>) {
    let Some(colours) = colours else { return };
    let mut shades: Vec<(usize, Vec<Point>)> = Vec::new();
    for (point, value) in values {
        let shade = Map::shade(colours.scale.position(*value));
        let place = frame.inside(std::iter::once(frame.at(*point)));
        match shades.last_mut() {
            Some((last, points)) if *last == shade => points.extend(place),
            _ => shades.push((shade, place.collect())),
        }
    }
    // If there are many runs, those of the same colour are drawn together, and each pixel only once
    // per colour.
    if shades.len() > MOST_RUNS {
        let mut all: Vec<Vec<Point>> = vec![Vec::new(); SHADES + 1];
        for (shade, points) in shades {
            if let Some(of_shade) = all.get_mut(shade) {
                of_shade.extend(points);
            }
        }
        shades = all.into_iter().enumerate().collect();
    }
    for (shade, points) in shades.into_iter().filter(|(_, points)| !points.is_empty()) {
        let points = thinned_points(points.into_iter(), canvas.resolution());
        canvas.points(&points, shown(colours.map, canvas).colour(shade));
    }
}

/// The largest number of runs of points of one colour that are drawn in the order of their rows.
const MOST_RUNS: usize = 5000;

/// The colours of values on a canvas. Without colours, only brightness distinguishes values.
fn shown(map: Map, canvas: &dyn Canvas) -> Map {
    if canvas.has_colours() { map } else { Map::Sequential }
}

fn draw_cells(canvas: &mut dyn Canvas, frame: &Frame, cells: &[Cell], colours: Option<&Colours>) {
    let Some(colours) = colours else { return };
    let mut raster = Raster::new(frame.size(), canvas.resolution());
    for cell in cells {
        let Area { x, y } = cell.area;
        let moved = |(x, y): Point| (x - frame.left, y - frame.top);
        raster.add(moved(frame.at((x.0, y.0))), moved(frame.at((x.1, y.1))), cell.value);
    }
    let shade = |value: f64| Map::shade(colours.scale.position(value));
    for (shade, areas) in raster.areas(shade) {
        let placed = |(x, y): Point| (x + frame.left, y + frame.top);
        let areas: Vec<_> = areas.into_iter().map(|(from, to)| (placed(from), placed(to))).collect();
        canvas.areas(&areas, shown(colours.map, canvas).colour(shade));
    }
}

fn draw_coastlines(canvas: &mut dyn Canvas, frame: &Frame) {
    let seen = frame.seen();
    // Coastlines repeat as often as the axis goes around the globe.
    let turns = |longitude: f64| ((longitude + 180.0) / 360.0).floor() as i64;
    for turn in turns(frame.x.from)..=turns(frame.x.to) {
        for line in coastlines() {
            let moved = line.iter().map(|(x, y)| frame.at((x + turn as f64 * 360.0, *y)));
            let places: Vec<Point> = moved.collect();
            for part in clipped(&thinned(&places), seen) {
                canvas.coastline(&part);
            }
        }
    }
}

fn colour_bar(canvas: &mut dyn Canvas, frame: &Frame, Colours { scale, map }: &Colours) {
    let (char_width, line) = canvas.character();
    let map = shown(*map, canvas);
    let (left, right) = (frame.right + 2.0 * char_width, frame.right + 4.0 * char_width);
    let height = frame.bottom - frame.top;
    let steps = (height as usize).clamp(1, SHADES);
    for step in 0..steps {
        let at = |step: usize| frame.bottom - height * step as f64 / steps as f64;
        let shade = Map::shade((step as f64 + 0.5) / steps as f64);
        canvas.areas(&[((left, at(step)), (right, at(step + 1)))], map.colour(shade));
    }
    for (value, label) in scale.ticks(upright_ticks(height, line)) {
        let y = frame.beside(frame.bottom - scale.position(value) * height, line);
        canvas.text((right + char_width, y), Anchor::Start, None, &label);
    }
}
