//! The surface on which plots are drawn.

/// Red, green and blue.
pub(super) type Colour = [u8; 3];

/// A point in units of the canvas, from its top left.
pub(super) type Point = (f64, f64);

/// Two opposite corners of a rectangle.
pub(super) type Rectangle = (Point, Point);

/// Which part of a text is anchored at its position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// A surface to draw on.
pub(super) trait Canvas {
    /// Width and height.
    fn size(&self) -> Point;

    /// Width and height of a character.
    fn character(&self) -> Point;

    /// The number of pixels per unit.
    fn resolution(&self) -> f64;

    /// Whether colours are visible, and not only their brightness.
    fn has_colours(&self) -> bool;

    /// Removes the empty part below a height.
    fn crop(&mut self, height: f64);

    /// Draws a line of text, in the default colour of text or another one.
    fn text(&mut self, at: Point, anchor: Anchor, colour: Option<Colour>, text: &str);

    /// Draws filled rectangles.
    fn areas(&mut self, areas: &[Rectangle], colour: Colour);

    /// Draws a line through points.
    fn line(&mut self, points: &[Point], colour: Colour);

    /// Draws dots.
    fn points(&mut self, points: &[Point], colour: Colour);

    /// Draws a part of a coastline.
    fn coastline(&mut self, points: &[Point]);

    /// Draws the border of the area between the axes.
    fn frame(&mut self, area: Rectangle);

    /// Draws a grid line from a label through the plot, if the canvas has room for such lines.
    fn guide(&mut self, from: Point, to: Point);
}
