//! Makes text safe for terminals, by escaping control characters.
//!
//! Names, attributes and values come from other people's files. A terminal would obey escape
//! sequences in them, and reorder text after the bidirectional controls of Unicode.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, Write};

/// The text in one line, with its control characters escaped as `\n`, `\t`, `\x1b` and so on.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(is_control) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    text.chars().for_each(|c| push(&mut out, c));
    Cow::Owned(out)
}

/// Whether a terminal would obey a character instead of showing it: C0, DEL and C1 controls, line
/// separators, and the marks, embeddings, overrides and isolates that change the direction of text
/// (Unicode Standard Annex 9).
pub(crate) fn is_control(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn push(out: &mut String, c: char) {
    // Writing to a string cannot fail.
    let _ = match c {
        '\n' => out.write_str("\\n"),
        '\t' => out.write_str("\\t"),
        '\r' => out.write_str("\\r"),
        c if c.is_ascii_control() => write!(out, "\\x{:02x}", u32::from(c)),
        c if is_control(c) => write!(out, "\\u{:04x}", u32::from(c)),
        c => out.write_char(c),
    };
}

/// Writes text for people: line breaks and tabs unchanged, other control characters escaped.
pub(crate) struct Printable<W> {
    out: W,
    /// The first bytes of a character whose other bytes have not been written yet.
    begun: Vec<u8>,
}

impl<W: Write> Printable<W> {
    pub(crate) fn new(out: W) -> Self {
        Self { out, begun: Vec::new() }
    }

    fn write_text(&mut self, text: &str) -> io::Result<()> {
        let mut rest = text;
        let is_escaped = |c: char| is_control(c) && c != '\n' && c != '\t';
        while let Some((at, c)) = rest.char_indices().find(|(_, c)| is_escaped(*c)) {
            let (plain, after) = rest.split_at(at);
            let mut escape = String::new();
            push(&mut escape, c);
            self.out.write_all(plain.as_bytes())?;
            self.out.write_all(escape.as_bytes())?;
            rest = after.get(c.len_utf8()..).unwrap_or_default();
        }
        self.out.write_all(rest.as_bytes())
    }
}

impl<W: Write> Write for Printable<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let begun = std::mem::take(&mut self.begun);
        let all = if begun.is_empty() { Cow::Borrowed(bytes) } else { Cow::Owned([&begun, bytes].concat()) };
        let mut rest: &[u8] = &all;
        loop {
            let (valid, after, is_cut) = match std::str::from_utf8(rest) {
                Ok(text) => (text, &[][..], false),
                Err(error) => {
                    let (valid, after) = rest.split_at(error.valid_up_to());
                    (std::str::from_utf8(valid).unwrap_or_default(), after, error.error_len().is_none())
                }
            };
            self.write_text(valid)?;
            if is_cut {
                self.begun = after.to_vec();
                break;
            }
            // Invalid UTF-8 is replaced.
            let Some((_, after)) = after.split_first() else { break };
            self.write_text("\u{fffd}")?;
            rest = after;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_that_a_terminal_obeys() {
        assert_eq!(printable("größe 気温 \\n"), "größe 気温 \\n");
        assert_eq!(printable("a\nb\tc\r\x1b[31m\x07\x7f\0"), "a\\nb\\tc\\r\\x1b[31m\\x07\\x7f\\x00");
        assert_eq!(
            printable("\u{9b}31m\u{85}\u{202e}\u{2066}\u{2028}"),
            "\\u009b31m\\u0085\\u202e\\u2066\\u2028"
        );
        for c in (0..=0x2100).filter_map(char::from_u32).filter(|c| is_control(*c)) {
            assert!(!printable(&c.to_string()).contains(is_control), "{c:?}");
        }
    }

    #[test]
    fn what_is_written_in_pieces_is_the_same() {
        let text = "a\tü\u{9b}\n気\u{202e}\x1b]0;x\x07 ok\n";
        let whole = "a\tü\\u009b\n気\\u202e\\x1b]0;x\\x07 ok\n";
        for piece in 1..=text.len() {
            let mut out = Printable::new(Vec::new());
            text.as_bytes().chunks(piece).for_each(|bytes| out.write_all(bytes).unwrap());
            assert_eq!(String::from_utf8(out.out).unwrap(), whole, "{piece}");
        }
        let mut out = Printable::new(Vec::new());
        out.write_all(b"\xff\x9b1m").unwrap();
        assert_eq!(String::from_utf8(out.out).unwrap(), "\u{fffd}\u{fffd}1m");
    }
}
