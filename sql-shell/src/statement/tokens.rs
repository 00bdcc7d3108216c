//! The tokens of a statement, with their positions in its text.

use std::ops::Range;

use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Location, Token, Tokenizer};

/// A token and its range of bytes in the text.
#[derive(Debug)]
pub(crate) struct Placed {
    pub token: Token,
    pub at: Range<usize>,
}

/// The tokens of a text, without white space and comments; `None` if it cannot be tokenized.
pub(crate) fn tokens(text: &str) -> Option<Vec<Placed>> {
    let located = Tokenizer::new(&GenericDialect {}, text).tokenize_with_location().ok()?;
    let mut place = Place { rest: text.char_indices(), at: Location::new(1, 1), end: text.len() };
    let mut tokens = Vec::with_capacity(located.len() / 2);
    for located in located {
        let start = place.go_to(located.span.start);
        let end = place.go_to(located.span.end);
        if !matches!(located.token, Token::Whitespace(_) | Token::EOF) {
            tokens.push(Placed { token: located.token, at: start..end });
        }
    }
    Some(tokens)
}

/// The byte at a line and a column of a text. Both count from 1, and columns count characters.
pub(crate) fn byte_at(text: &str, line: u64, column: u64) -> usize {
    Place { rest: text.char_indices(), at: Location::new(1, 1), end: text.len() }
        .go_to(Location::new(line, column))
}

/// A position that moves forward through a text.
struct Place<'a> {
    rest: std::str::CharIndices<'a>,
    at: Location,
    end: usize,
}

impl Place<'_> {
    /// Moves to a location that is not before the current one, and returns its byte.
    fn go_to(&mut self, wanted: Location) -> usize {
        while self.at < wanted {
            match self.rest.next() {
                None => return self.end,
                Some((_, '\n')) => self.at = Location::new(self.at.line + 1, 1),
                Some(_) => self.at.column += 1,
            }
        }
        self.rest.offset().min(self.end)
    }
}

/// The word of a token, and whether it is quoted.
pub(crate) fn word(token: &Token) -> Option<(&str, bool)> {
    match token {
        Token::Word(word) => Some((&word.value, word.quote_style.is_some())),
        _ => None,
    }
}

/// Whether a token is this SQL keyword.
pub(crate) fn is_keyword(token: &Token, keyword: &str) -> bool {
    word(token).is_some_and(|(word, quoted)| !quoted && word.eq_ignore_ascii_case(keyword))
}

/// Replaces ranges of a text; the edits are in order.
pub(crate) fn edited(text: &str, edits: &[(Range<usize>, String)]) -> String {
    let mut out = String::with_capacity(text.len() + 8 * edits.len());
    let mut done = 0;
    for (at, new) in edits {
        out.push_str(text.get(done..at.start).unwrap_or_default());
        out.push_str(new);
        done = at.end;
    }
    out.push_str(text.get(done..).unwrap_or_default());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_know_their_bytes() {
        let text = "SELECT größe,\n  \"a b\" -- ;\n FROM t WHERE x='süß' /* no */";
        let found = tokens(text).unwrap();
        let texts: Vec<&str> = found.iter().map(|placed| &text[placed.at.clone()]).collect();
        assert_eq!(texts, ["SELECT", "größe", ",", "\"a b\"", "FROM", "t", "WHERE", "x", "=", "'süß'"]);
        assert!(tokens("SELECT 'open").is_none());
        assert_eq!(byte_at(text, 2, 3), text.find('"').unwrap());
        assert_eq!(byte_at("ab", 9, 9), 2);
        assert_eq!(edited("a b c", &[(0..1, "xy".into()), (4..5, "z".into())]), "xy b z");
    }
}
