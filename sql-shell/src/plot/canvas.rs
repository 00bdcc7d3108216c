//! What pictures are drawn on.

/// Red, green and blue.
pub(super) type Colour = [u8; 3];

/// A place, in a canvas's units from its top left.
pub(super) type Point = (f64, f64);

/// Which part of a text is at its place. Upright, it is always in the middle.
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

    /// A line of text in the colour of texts, or in another.
    fn text(&mut self, at: Point, anchor: Anchor, colour: Option<Colour>, text: &str);

    /// A filled rectangle.
    fn rectangle(&mut self, from: Point, to: Point, colour: Colour);

    /// A line through points.
    fn line(&mut self, points: &[Point], colour: Colour);

    /// A straight line of an axis.
    fn rule(&mut self, from: Point, to: Point);

    /// A line that leads the eye from a label through the picture; not where there is no room for such.
    fn guide(&mut self, from: Point, to: Point);
}
