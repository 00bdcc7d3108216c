//! What pictures are drawn on.

/// Red, green and blue.
pub(super) type Colour = [u8; 3];

/// A place, in a canvas's units from its top left.
pub(super) type Point = (f64, f64);

/// Two opposite corners.
pub(super) type Rectangle = (Point, Point);

/// Which part of a text is at its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// Something to draw on.
pub(super) trait Canvas {
    /// Width and height.
    fn size(&self) -> Point;

    /// Width and height of a character.
    fn character(&self) -> Point;

    /// Pixels to a unit.
    fn resolution(&self) -> f64;

    /// Whether colours are seen, rather than only their brightness.
    fn has_colours(&self) -> bool;

    /// Leaves out everything below a height, which is empty.
    fn crop(&mut self, height: f64);

    /// A line of text in the colour of texts, or in another.
    fn text(&mut self, at: Point, anchor: Anchor, colour: Option<Colour>, text: &str);

    /// Filled rectangles.
    fn areas(&mut self, areas: &[Rectangle], colour: Colour);

    /// A line through points.
    fn line(&mut self, points: &[Point], colour: Colour);

    /// Dots.
    fn points(&mut self, points: &[Point], colour: Colour);

    /// A part of a coastline.
    fn coastline(&mut self, points: &[Point]);

    /// The border of the part between the axes.
    fn frame(&mut self, area: Rectangle);

    /// A line that leads the eye from a label through the picture; not where there is no room for such.
    fn guide(&mut self, from: Point, to: Point);
}
