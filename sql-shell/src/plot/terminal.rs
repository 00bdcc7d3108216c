//! Draws plots with characters: half blocks, which are two pixels each.

use std::fmt::{self, Write};

use unicode_width::UnicodeWidthChar;

use super::canvas::{Anchor, Canvas, Colour, Point, Rectangle};

/// A grey that is visible on black and on white.
const COASTLINE: Colour = [128, 128, 128];

/// The colours that a terminal supports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Colours {
    /// None: shades of characters represent brightness.
    None,
    /// A palette of 256 colours, with a cube of six steps of red, green and blue.
    Palette,
    All,
}

impl Colours {
    /// The support of the terminal, according to the environment.
    pub(super) fn of_terminal() -> Self {
        let variable = |name| std::env::var(name).unwrap_or_default();
        if !variable("NO_COLOR").is_empty() {
            return Self::None;
        }
        match (variable("COLORTERM").as_str(), variable("TERM").as_str()) {
            ("truecolor" | "24bit", _) => Self::All,
            (_, term) if term.contains("256color") => Self::Palette,
            _ => Self::None,
        }
    }

    fn code(self, colour: Colour) -> String {
        let [red, green, blue] = colour;
        match self {
            Self::None => String::new(),
            Self::All => format!("2;{red};{green};{blue}"),
            Self::Palette => {
                let step = |value: u8| (u32::from(value) * 5 + 127) / 255;
                format!("5;{}", 16 + 36 * step(red) + 6 * step(green) + step(blue))
            }
        }
    }
}

/// A plot of this many characters. Its units are pixels, which are one character wide and half a
/// character high.
pub(super) struct Terminal {
    columns: usize,
    pixels: Vec<Option<Colour>>,
    texts: Vec<Option<(char, Option<Colour>)>>,
    colours: Colours,
    /// Whether colours represent values, so that shades can replace them if there are no colours.
    shaded: bool,
}

impl Terminal {
    pub(super) fn new(columns: usize, rows: usize, colours: Colours, shaded: bool) -> Self {
        Self {
            columns,
            pixels: vec![None; columns * rows * 2],
            texts: vec![None; columns * rows],
            colours,
            shaded,
        }
    }

    fn put(&mut self, x: f64, y: f64, colour: Colour) {
        if x < 0.0 || y < 0.0 || x as usize >= self.columns {
            return;
        }
        if let Some(pixel) = self.pixels.get_mut(y as usize * self.columns + x as usize) {
            *pixel = Some(colour);
        }
    }

    fn put_char(&mut self, column: f64, row: f64, char: char, colour: Option<Colour>) {
        if column < 0.0 || row < 0.0 || column as usize >= self.columns {
            return;
        }
        if let Some(cell) = self.texts.get_mut(row as usize * self.columns + column as usize) {
            *cell = Some((char, colour));
        }
    }

    /// The character for two pixels, the upper and the lower one.
    fn blocks(&self, upper: Option<Colour>, lower: Option<Colour>) -> String {
        if self.colours == Colours::None {
            let char = match (upper, lower) {
                (None, None) => ' ',
                (Some(colour), _) | (None, Some(colour)) if self.shaded => shade(colour),
                (Some(_), None) => '▀',
                (None, Some(_)) => '▄',
                (Some(_), Some(_)) => '█',
            };
            return char.to_string();
        }
        let code = |colour| self.colours.code(colour);
        match (upper, lower) {
            (None, None) => " ".to_owned(),
            (Some(upper), Some(lower)) if upper != lower => {
                format!("\x1b[38;{};48;{}m▀\x1b[0m", code(upper), code(lower))
            }
            (Some(both), Some(_)) => format!("\x1b[38;{}m█\x1b[0m", code(both)),
            (Some(upper), None) => format!("\x1b[38;{}m▀\x1b[0m", code(upper)),
            (None, Some(lower)) => format!("\x1b[38;{}m▄\x1b[0m", code(lower)),
        }
    }
}

/// The shade for the brightness of a colour.
fn shade([red, green, blue]: Colour) -> char {
    // The luma of Rec. 601, the standard of analogue television.
    let brightness = 299 * u32::from(red) + 587 * u32::from(green) + 114 * u32::from(blue);
    match brightness / 1000 {
        0..70 => '░',
        70..120 => '▒',
        120..175 => '▓',
        _ => '█',
    }
}

impl Canvas for Terminal {
    fn size(&self) -> Point {
        (self.columns as f64, (self.pixels.len() / self.columns.max(1)) as f64)
    }

    fn character(&self) -> Point {
        (1.0, 2.0)
    }

    fn resolution(&self) -> f64 {
        1.0
    }

    fn has_colours(&self) -> bool {
        self.colours != Colours::None
    }

    fn crop(&mut self, height: f64) {
        let rows = ((height / 2.0).ceil() as usize).max(1);
        self.pixels.truncate(self.columns * rows * 2);
        self.texts.truncate(self.columns * rows);
    }

    fn text(&mut self, (x, y): Point, anchor: Anchor, colour: Option<Colour>, text: &str) {
        let width: usize = text.chars().filter_map(UnicodeWidthChar::width).sum();
        let start = match anchor {
            Anchor::Start => x,
            Anchor::Middle => x - (width / 2) as f64,
            Anchor::End => x - width as f64,
        };
        // Text does not extend beyond either end.
        let mut column = start.round().min(self.columns as f64 - width as f64).max(0.0);
        for char in text.chars() {
            self.put_char(column, (y / 2.0).floor(), char, colour);
            column += char.width().unwrap_or(0) as f64;
        }
    }

    fn areas(&mut self, areas: &[Rectangle], colour: Colour) {
        for (from, to) in areas {
            let (left, right) = (from.0.min(to.0).round() as i64, from.0.max(to.0).round() as i64);
            let (top, bottom) = (from.1.min(to.1).round() as i64, from.1.max(to.1).round() as i64);
            // Areas are at least one pixel large.
            for y in top..bottom.max(top + 1) {
                for x in left..right.max(left + 1) {
                    self.put(x as f64, y as f64, colour);
                }
            }
        }
    }

    fn line(&mut self, points: &[Point], colour: Colour) {
        if let [(x, y)] = points {
            self.put(x.floor(), y.floor(), colour);
        }
        for (from, to) in points.iter().zip(points.iter().skip(1)) {
            let (dx, dy) = (to.0 - from.0, to.1 - from.1);
            let steps = dx.abs().max(dy.abs()).ceil().max(1.0) as usize;
            for step in 0..=steps {
                let share = step as f64 / steps as f64;
                self.put((from.0 + dx * share).floor(), (from.1 + dy * share).floor(), colour);
            }
        }
    }

    fn points(&mut self, points: &[Point], colour: Colour) {
        points.iter().for_each(|(x, y)| self.put(x.floor(), y.floor(), colour));
    }

    fn coastline(&mut self, points: &[Point]) {
        if self.colours != Colours::None {
            return self.line(points, COASTLINE);
        }
        // Without colours, only shapes distinguish land from data, and data takes precedence.
        let mut line = Self::new(self.columns, self.texts.len() / self.columns.max(1), self.colours, false);
        line.line(points, COASTLINE);
        for (at, pixel) in line.pixels.iter().enumerate().filter(|(_, pixel)| pixel.is_some()) {
            let (column, row) = (at % self.columns, at / self.columns / 2);
            let is_empty = |half: usize| {
                self.pixels.get((row * 2 + half) * self.columns + column).is_some_and(Option::is_none)
            };
            if pixel.is_some() && is_empty(0) && is_empty(1) {
                self.put_char(column as f64, row as f64, '·', None);
            }
        }
    }

    fn frame(&mut self, (from, to): Rectangle) {
        let rows = (from.1 / 2.0).floor() as usize..(to.1 / 2.0).ceil() as usize;
        rows.for_each(|row| self.put_char(from.0.floor() - 1.0, row as f64, '│', None));
    }

    fn guide(&mut self, _from: Point, _to: Point) {}
}

impl fmt::Display for Terminal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = self.texts.chunks(self.columns.max(1)).zip(self.pixels.chunks(self.columns.max(1) * 2));
        for (texts, pixels) in rows {
            let (upper, lower) = pixels.split_at(self.columns);
            let mut line = String::new();
            let mut after_wide = false;
            for ((text, upper), lower) in texts.iter().zip(upper).zip(lower) {
                match text {
                    Some((char, Some(colour))) if self.colours != Colours::None => {
                        write!(line, "\x1b[38;{}m{char}\x1b[0m", self.colours.code(*colour))?;
                    }
                    Some((char, _)) => line.push(*char),
                    // The second half of a wide character.
                    None if after_wide => {}
                    None => line.push_str(&self.blocks(*upper, *lower)),
                }
                after_wide = text.is_some_and(|(char, _)| char.width() == Some(2));
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_character_is_two_pixels() {
        let mut terminal = Terminal::new(4, 1, Colours::None, false);
        terminal.line(&[(0.0, 0.0)], [1, 1, 1]);
        terminal.areas(&[((1.0, 1.0), (2.0, 2.0))], [1, 1, 1]);
        terminal.line(&[(2.5, 0.0), (2.5, 1.0)], [1, 1, 1]);
        assert_eq!(terminal.to_string(), "▀▄█\n");
        let mut terminal = Terminal::new(1, 1, Colours::All, false);
        terminal.line(&[(0.0, 0.0)], [1, 2, 3]);
        terminal.line(&[(0.0, 1.0)], [4, 5, 6]);
        assert_eq!(terminal.to_string(), "\x1b[38;2;1;2;3;48;2;4;5;6m▀\x1b[0m\n");
        assert_eq!(Colours::Palette.code([255, 0, 255]), "5;201");
    }

    #[test]
    fn nothing_is_drawn_outside() {
        let mut terminal = Terminal::new(3, 2, Colours::None, true);
        terminal.line(&[(-5.0, -5.0), (9.0, 9.0)], [255, 255, 255]);
        terminal.text((2.0, 0.0), Anchor::Start, None, "long");
        terminal.frame(((3.0, 0.0), (3.0, 4.0)));
        assert_eq!(terminal.to_string(), "lo│\n  │\n");
        terminal.crop(2.0);
        assert_eq!(terminal.to_string(), "lo│\n");
    }

    #[test]
    fn data_go_before_coastlines_without_colours() {
        let mut terminal = Terminal::new(4, 1, Colours::None, true);
        terminal.areas(&[((1.0, 0.0), (2.0, 1.0))], [255, 255, 255]);
        terminal.coastline(&[(0.0, 0.0), (3.0, 0.0)]);
        assert_eq!(terminal.to_string(), "·█··\n");
    }
}
