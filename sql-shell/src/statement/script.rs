//! Splits typed text into statements and commands.

use std::borrow::Cow;

use super::habits;
use crate::plot::request::has_query;

/// A statement or a command.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Item<'a> {
    /// SQL, without the `;` at its end.
    Statement(&'a str),
    /// A line that begins with a backslash, without the backslash. For `\plot`, it includes the
    /// rest of the query. Or a translated command of another shell.
    Command(Cow<'a, str>),
}

/// The items of a text, and whether the last one is complete. A statement is complete with its `;`.
pub(crate) fn items(text: &str) -> (Vec<Item<'_>>, bool) {
    let (mut items, mut rest) = (Vec::new(), text);
    loop {
        rest = skip_blank(rest);
        if let Some(command) = rest.strip_prefix('\\') {
            let (own, after) = command.split_at(command_length(command));
            items.push(Item::Command(Cow::Borrowed(own.trim())));
            rest = [";", "\\g"].iter().find_map(|end| after.strip_prefix(end)).unwrap_or(after);
            continue;
        }
        let (line, after) = rest.split_once('\n').unwrap_or((rest, ""));
        if let Some(command) = habits::line(line) {
            items.push(Item::Command(Cow::Owned(command)));
            rest = after;
            continue;
        }
        if rest.is_empty() {
            return (items, true);
        }
        let (length, end) = statement(rest);
        let (own, after) = rest.split_at(length);
        let command = habits::statement(own);
        // Empty text before a `;` is not a statement.
        match command {
            Some(command) => items.push(Item::Command(Cow::Borrowed(command))),
            None if end > 0 && own.trim().is_empty() => {}
            None => items.push(Item::Statement(own)),
        }
        if end == 0 {
            return (items, command.is_some());
        }
        rest = after.get(end..).unwrap_or_default();
    }
}

/// The length of the command at the start of a text: its line, or for `\plot` up to the `;` of the
/// query, unless another command begins before that.
fn command_length(text: &str) -> usize {
    let line = text.find('\n').unwrap_or(text.len());
    let arguments = text.get(..line).and_then(|line| line.strip_prefix("plot "));
    if !arguments.is_some_and(has_query) {
        return line;
    }
    let (length, _) = statement(text);
    let own = text.get(..length).unwrap_or(text);
    own.find("\n\\").unwrap_or(length)
}

/// Skips spaces and comments at the start of a text.
fn skip_blank(text: &str) -> &str {
    let mut rest = text.trim_start();
    loop {
        let after = if rest.starts_with("--") {
            rest.split_once('\n').map_or("", |(_, after)| after)
        } else if rest.starts_with("/*") {
            match rest.split_once("*/") {
                Some((_, after)) => after,
                // An unclosed comment is part of an incomplete statement.
                None => return rest,
            }
        } else {
            return rest;
        };
        rest = after.trim_start();
    }
}

/// The length of the statement at the start of a text, and of the `;` or `\g` that ends it. Those
/// inside texts, names and comments do not count.
fn statement(text: &str) -> (usize, usize) {
    let mut rest = text.char_indices().peekable();
    while let Some((at, c)) = rest.next() {
        match c {
            ';' => return (at, 1),
            '\\' if rest.peek().is_some_and(|(_, c)| *c == 'g') => return (at, 2),
            // A doubled quote ends one text and begins the next.
            '\'' | '"' if !rest.by_ref().any(|(_, other)| other == c) => return (text.len(), 0),
            '-' if rest.peek().is_some_and(|(_, c)| *c == '-') => {
                while rest.next_if(|(_, c)| *c != '\n').is_some() {}
            }
            '/' if rest.peek().is_some_and(|(_, c)| *c == '*') => {
                rest.next();
                let mut last = ' ';
                if !rest.by_ref().any(|(_, c)| std::mem::replace(&mut last, c) == '*' && c == '/') {
                    return (text.len(), 0);
                }
            }
            _ => {}
        }
    }
    (text.len(), 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_end_at_semicolons_outside_of_text_and_comments() {
        for complete in [
            "SELECT 1;",
            "SELECT ';';",
            "SELECT 1; -- done; really",
            "SELECT 'it''s';\n",
            "SELECT 1 /* ; */ ; ",
            "\\d",
            "",
            "SELECT 1 \\g",
            ".tables",
            "quit",
            "?",
        ] {
            assert!(items(complete).1, "{complete}");
        }
        for open in [
            "SELECT 1",
            "SELECT ';",
            "SELECT 1 -- ;",
            "SELECT \"a;",
            "SELECT 1 /* ;",
            "SELECT 1; SELECT",
            "/* a",
        ] {
            assert!(!items(open).1, "{open}");
        }
    }

    #[test]
    fn commands_stand_between_statements() {
        let text = "\\x\nSELECT 1; SELECT\n '\\a';;\n\\d  argo \n-- \\q\nSELECT 2";
        assert_eq!(
            items(text).0,
            [
                Item::Command("x".into()),
                Item::Statement("SELECT 1"),
                Item::Statement("SELECT\n '\\a'"),
                Item::Command("d  argo".into()),
                Item::Statement("SELECT 2"),
            ]
        );
        let text = "SELECT '\\g' \\g SELECT 2\\g\n.schema Argo\nshow databases; ? avg\nSELECT .5";
        assert_eq!(
            items(text).0,
            [
                Item::Statement("SELECT '\\g' "),
                Item::Statement("SELECT 2"),
                Item::Command("d Argo".into()),
                Item::Command("ds".into()),
                Item::Command("df avg".into()),
                Item::Statement("SELECT .5"),
            ]
        );
    }

    #[test]
    fn a_query_to_draw_ends_at_its_semicolon() {
        let text = "\\plot map 'a;b.png' SELECT lon,\n lat FROM t;\nSELECT 1;\n\\plot SELECT ';'\n\\plot a.svg\nSELECT 2";
        assert_eq!(
            items(text).0,
            [
                Item::Command("plot map 'a;b.png' SELECT lon,\n lat FROM t".into()),
                Item::Statement("SELECT 1"),
                Item::Command("plot SELECT ';'".into()),
                Item::Command("plot a.svg".into()),
                Item::Statement("SELECT 2"),
            ]
        );
        assert!(items("\\plot SELECT 1").1);
    }
}
