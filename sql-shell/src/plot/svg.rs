//! Draws plots as SVG, and converts these to PNG.

use std::fmt::Write;
use std::sync::Arc;

use resvg::{tiny_skia, usvg};

use super::canvas::{Anchor, Canvas, Colour, Point, Rectangle};
use crate::error::{Failure, Result};

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 560.0;
const FONT_SIZE: f64 = 13.0;

/// The ratio of the width of a character to the font size in Hack, which is the font of PNGs.
const ADVANCE: f64 = 0.602;

/// The radius of a point.
const RADIUS: f64 = 1.8;

/// The number of pixels of a PNG per unit.
const SCALE: f32 = 2.0;

/// A plot as text.
pub(super) struct Svg {
    title: String,
    height: f64,
    elements: String,
}

impl Svg {
    pub(super) fn new(title: &str) -> Self {
        Self { title: escaped(title), height: HEIGHT, elements: String::new() }
    }

    pub(super) fn finish(self) -> String {
        let Self { title, height, elements } = self;
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
             height=\"{height}\" font-family=\"Hack, 'DejaVu Sans Mono', monospace\" font-size=\"{FONT_SIZE}\">\n\
             <title>{title}</title>\n\
             <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n{elements}</svg>\n"
        )
    }

    fn push(&mut self, element: std::fmt::Arguments<'_>) {
        // Writing to a String cannot fail.
        let _ = self.elements.write_fmt(element);
        self.elements.push('\n');
    }
}

/// Renders an SVG as the bytes of a PNG file.
pub(super) fn to_png(svg: &str) -> Result<Vec<u8>> {
    let failed = |e: &dyn std::fmt::Display| Failure::new(format!("the picture cannot be drawn: {e}"));
    let mut options = usvg::Options::default();
    options
        .fontdb_mut()
        .load_font_source(usvg::fontdb::Source::Binary(Arc::new(epaint_default_fonts::HACK_REGULAR)));
    let tree = usvg::Tree::from_str(svg, &options).map_err(|e| failed(&e))?;
    let size = tree.size().to_int_size().scale_by(SCALE).ok_or_else(|| failed(&"it has no size"))?;
    let mut pixels =
        tiny_skia::Pixmap::new(size.width(), size.height()).ok_or_else(|| failed(&"it is too large"))?;
    let transform = tiny_skia::Transform::from_scale(SCALE, SCALE);
    resvg::render(&tree, transform, &mut pixels.as_mut());
    pixels.encode_png().map_err(|e| failed(&e))
}

fn hex([red, green, blue]: Colour) -> String {
    format!("#{red:02x}{green:02x}{blue:02x}")
}

/// Escapes a text for XML, which does not allow control characters.
fn escaped(text: &str) -> String {
    let text: String = text.chars().filter(|c| !c.is_control()).collect();
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

impl Canvas for Svg {
    fn size(&self) -> Point {
        (WIDTH, HEIGHT)
    }

    fn character(&self) -> Point {
        (FONT_SIZE * ADVANCE, FONT_SIZE * 1.5)
    }

    fn resolution(&self) -> f64 {
        f64::from(SCALE)
    }

    fn has_colours(&self) -> bool {
        true
    }

    fn crop(&mut self, height: f64) {
        self.height = height.ceil().min(HEIGHT);
    }

    fn text(&mut self, (x, y): Point, anchor: Anchor, colour: Option<Colour>, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let (fill, text) = (hex(colour.unwrap_or([51, 51, 51])), escaped(text));
        // The baseline is a third of the font size below the middle.
        let y = y + FONT_SIZE / 3.0;
        self.push(format_args!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" fill=\"{fill}\">{text}</text>"
        ));
    }

    fn areas(&mut self, areas: &[Rectangle], colour: Colour) {
        // Snaps to whole pixels of a PNG, so that neighbours touch.
        let scale = f64::from(SCALE);
        let snapped = |place: f64| (place * scale).round() / scale;
        let mut path = String::new();
        for (from, to) in areas {
            let (left, right) = (snapped(from.0.min(to.0)), snapped(from.0.max(to.0)));
            let (top, bottom) = (snapped(from.1.min(to.1)), snapped(from.1.max(to.1)));
            let (width, height) = (right - left, bottom - top);
            // Writing to a String cannot fail.
            let _ = write!(path, "M{left} {top}h{width}v{height}h{}z", -width);
        }
        self.push(format_args!(
            "<path d=\"{path}\" fill=\"{}\" shape-rendering=\"crispEdges\"/>",
            hex(colour)
        ));
    }

    fn line(&mut self, points: &[Point], colour: Colour) {
        match points {
            [point] => self.points(&[*point], colour),
            points => polyline(self, points, &hex(colour), 1.5),
        }
    }

    fn points(&mut self, points: &[Point], colour: Colour) {
        let mut path = String::new();
        for (x, y) in points {
            // Lines of zero length, of which only the round caps are visible.
            let _ = write!(path, "M{x:.1} {y:.1}h0");
        }
        self.push(format_args!(
            "<path d=\"{path}\" stroke=\"{}\" stroke-width=\"{}\" stroke-linecap=\"round\"/>",
            hex(colour),
            2.0 * RADIUS
        ));
    }

    fn coastline(&mut self, points: &[Point]) {
        polyline(self, points, "#444444", 0.8);
    }

    fn frame(&mut self, (from, to): Rectangle) {
        self.push(format_args!(
            "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"none\" stroke=\"#333333\"/>",
            from.0,
            from.1,
            to.0 - from.0,
            to.1 - from.1
        ));
    }

    fn guide(&mut self, from: Point, to: Point) {
        straight(self, from, to, "#e4e4e4");
    }
}

fn polyline(svg: &mut Svg, points: &[Point], colour: &str, width: f64) {
    let points: Vec<_> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    svg.push(format_args!(
        "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"{width}\" \
         stroke-linejoin=\"round\"/>",
        points.join(" ")
    ));
}

fn straight(svg: &mut Svg, from: Point, to: Point, colour: &str) {
    svg.push(format_args!(
        "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"{colour}\"/>",
        from.0, from.1, to.0, to.1
    ));
}
