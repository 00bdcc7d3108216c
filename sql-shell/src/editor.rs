//! What the line editor knows of SQL: where a statement ends, colours, and how a word may go on.

use std::borrow::Cow;

use datafusion::prelude::SessionContext;
use rustyline::completion::{Completer, FilenameCompleter, Pair};
use rustyline::highlight::{CmdKind, Highlighter};
use rustyline::hint::{Hinter, HistoryHinter};
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Context, Helper};

use crate::printable::is_control;
use crate::{commands, names, script};

/// The words of SQL that are worth completing and colouring.
const KEYWORDS: [&str; 84] = [
    "ALL",
    "AND",
    "AS",
    "ASC",
    "BETWEEN",
    "BY",
    "CASE",
    "CAST",
    "COPY",
    "CREATE",
    "CROSS",
    "CURRENT",
    "DATE",
    "DELETE",
    "DESC",
    "DESCRIBE",
    "DISTINCT",
    "DROP",
    "ELSE",
    "END",
    "EXCEPT",
    "EXISTS",
    "EXPLAIN",
    "ANALYZE",
    "EXTERNAL",
    "EXTRACT",
    "FALSE",
    "FILTER",
    "FIRST",
    "FOLLOWING",
    "FROM",
    "FULL",
    "GROUP",
    "HAVING",
    "ILIKE",
    "IN",
    "INNER",
    "INSERT",
    "INTERSECT",
    "INTERVAL",
    "INTO",
    "IS",
    "JOIN",
    "LAST",
    "LEFT",
    "LIKE",
    "LIMIT",
    "LOCATION",
    "NOT",
    "NULL",
    "NULLS",
    "OFFSET",
    "ON",
    "OPTIONS",
    "OR",
    "ORDER",
    "OUTER",
    "OVER",
    "PARTITION",
    "PRECEDING",
    "RANGE",
    "RIGHT",
    "ROW",
    "ROWS",
    "SELECT",
    "SET",
    "SHOW",
    "STORED",
    "SUMMARIZE",
    "TABLE",
    "TABLES",
    "THEN",
    "TIMESTAMP",
    "TO",
    "TRUE",
    "UNBOUNDED",
    "UNION",
    "USING",
    "VALUES",
    "VIEW",
    "WHEN",
    "WHERE",
    "WINDOW",
    "WITH",
];

/// Help for the line editor, from what a session has.
pub(crate) struct Sql {
    context: SessionContext,
    history: HistoryHinter,
    files: FilenameCompleter,
    colours: bool,
}

impl Sql {
    pub(crate) fn new(context: SessionContext) -> Self {
        let colours = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { context, history: HistoryHinter::new(), files: FilenameCompleter::new(), colours }
    }

    /// The columns of the tables that a text names.
    fn columns_in(&self, text: &str) -> Vec<String> {
        let mut columns = Vec::new();
        let words: Vec<String> = text
            .split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '.'))
            .map(str::to_lowercase)
            .collect();
        for (schema, name) in names::tables(&self.context) {
            if !words.contains(&names::shown(&schema, &name).to_lowercase()) {
                continue;
            }
            // Tables of stores are made of what is in memory.
            let table = futures::executor::block_on(
                self.context.table_provider(datafusion::common::TableReference::partial(schema, name)),
            );
            if let Ok(table) = table {
                columns.extend(table.schema().fields().iter().map(|field| field.name().clone()));
            }
        }
        columns
    }

    /// How a word of a statement may go on, nearest first: columns, tables, functions, keywords.
    fn words(&self, line: &str, word: &str) -> Vec<Pair> {
        let lower = word.trim_start_matches('"').to_lowercase();
        let begins = |name: &str| name.to_lowercase().starts_with(&lower);
        let pair = |name: &str| Pair { display: name.to_owned(), replacement: quoted(name) };
        let mut columns = self.columns_in(line);
        columns.sort();
        columns.dedup();
        let mut pairs: Vec<Pair> =
            columns.iter().filter(|name| begins(name)).map(|name| pair(name)).collect();
        let tables = names::tables(&self.context);
        for (schema, name) in tables.iter().filter(|(schema, name)| begins(&names::shown(schema, name))) {
            let replacement = if schema == "public" {
                quoted(name)
            } else {
                format!("{}.{}", quoted(schema), quoted(name))
            };
            pairs.push(Pair { display: names::shown(schema, name), replacement });
        }
        if word.is_empty() {
            return pairs;
        }
        let functions = commands::functions_of(&self.context);
        for function in functions.iter().filter(|function| begins(&function.name)) {
            let call = format!("{}(", function.name);
            pairs.push(Pair { display: call.clone(), replacement: call });
        }
        // In the case of what was typed.
        let is_lower = word.chars().all(|c| !c.is_uppercase());
        for keyword in KEYWORDS.iter().filter(|keyword| begins(keyword)) {
            let keyword = if is_lower { keyword.to_lowercase() } else { (*keyword).to_owned() };
            pairs.push(Pair { display: keyword.clone(), replacement: keyword });
        }
        pairs.dedup_by(|a, b| a.replacement == b.replacement);
        pairs
    }
}

/// A name as SQL has to have it.
fn quoted(name: &str) -> String {
    let plain = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && !KEYWORDS.contains(&name.to_uppercase().as_str());
    if plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

/// The words that leave the shell or ask for help, without a `;`.
pub(crate) fn is_word_for_shell(line: &str) -> bool {
    ["quit", "exit", "help"].contains(&line.trim().trim_end_matches(';').to_ascii_lowercase().as_str())
}

impl Completer for Sql {
    type Candidate = Pair;

    fn complete(&self, line: &str, pos: usize, ctx: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        let typed = line.get(..pos).unwrap_or(line);
        let words: Vec<&str> = typed.split_whitespace().collect();
        let last_but =
            if typed.ends_with(char::is_whitespace) { words.last() } else { words.iter().rev().nth(1) };
        if last_but.is_some_and(|word| {
            ["\\i", "\\o", "\\attach"].contains(word) || word.eq_ignore_ascii_case("LOCATION")
        }) {
            let (start, mut files) = self.files.complete(line, pos, ctx)?;
            files.retain(|pair| !pair.replacement.contains(is_control));
            return Ok((start, files));
        }
        let is_of_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '"' | '\\');
        let start =
            typed.char_indices().rev().take_while(|(_, c)| is_of_word(*c)).last().map_or(pos, |(at, _)| at);
        let word = typed.get(start..).unwrap_or_default();
        if word.starts_with('\\') {
            let names = commands::names().filter(|name| name.starts_with(word));
            let pair = |name: &str| Pair { display: name.to_owned(), replacement: format!("{name} ") };
            return Ok((start, names.map(pair).collect()));
        }
        let mut pairs = self.words(line, word);
        // The line under the cursor shows characters as they are.
        pairs.retain(|pair| !pair.replacement.contains(is_control));
        Ok((start, pairs))
    }
}

impl Hinter for Sql {
    type Hint = String;

    fn hint(&self, line: &str, pos: usize, ctx: &Context<'_>) -> Option<String> {
        if line.is_empty() { None } else { self.history.hint(line, pos, ctx) }
    }
}

impl Validator for Sql {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        let input = context.input();
        if is_word_for_shell(input) || script::items(input).1 {
            return Ok(ValidationResult::Valid(None));
        }
        Ok(ValidationResult::Incomplete)
    }
}

impl Highlighter for Sql {
    fn highlight<'l>(&self, line: &'l str, _pos: usize) -> Cow<'l, str> {
        if self.colours { Cow::Owned(coloured(line)) } else { Cow::Borrowed(line) }
    }

    fn highlight_hint<'h>(&self, hint: &'h str) -> Cow<'h, str> {
        if self.colours { Cow::Owned(format!("\x1b[90m{hint}\x1b[0m")) } else { Cow::Borrowed(hint) }
    }

    fn highlight_char(&self, _line: &str, _pos: usize, kind: CmdKind) -> bool {
        self.colours && kind != CmdKind::MoveCursor
    }
}

impl Helper for Sql {}

/// SQL with keywords, text, numbers and comments in colours.
fn coloured(line: &str) -> String {
    let mut out = String::with_capacity(line.len() * 2);
    let mut rest = line;
    while let Some(first) = rest.chars().next() {
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let (length, colour) = match first {
            '\'' => (rest.get(1..).and_then(|text| text.find('\'')).map_or(rest.len(), |end| end + 2), "32"),
            '"' => (rest.get(1..).and_then(|text| text.find('"')).map_or(rest.len(), |end| end + 2), ""),
            '-' if rest.starts_with("--") => (rest.find('\n').unwrap_or(rest.len()), "90"),
            c if c.is_ascii_digit() => {
                (rest.find(|c: char| !is_word(c) && c != '.').unwrap_or(rest.len()), "36")
            }
            c if is_word(c) => {
                let length = rest.find(|c: char| !is_word(c)).unwrap_or(rest.len());
                let word = rest.get(..length).unwrap_or_default().to_uppercase();
                (length, if KEYWORDS.contains(&word.as_str()) { "1;34" } else { "" })
            }
            c => (c.len_utf8(), ""),
        };
        let (own, after) = rest.split_at(length);
        if colour.is_empty() {
            out.push_str(own);
        } else {
            out.push_str(&format!("\x1b[{colour}m{own}\x1b[0m"));
        }
        rest = after;
    }
    out
}

#[cfg(test)]
mod tests {
    use rustyline::history::DefaultHistory;

    use super::*;

    async fn completions(line: &str) -> Vec<String> {
        let context = SessionContext::new();
        context
            .sql("CREATE TABLE casts AS SELECT 1 AS temp, 2 AS \"TEMP_QC\", 3 AS pres, 4 AS \"te\x1b[2J\"")
            .await
            .unwrap();
        let sql = Sql::new(context);
        let history = DefaultHistory::new();
        let (_, pairs) = sql.complete(line, line.len(), &Context::new(&history)).unwrap();
        pairs.into_iter().map(|pair| pair.replacement).collect()
    }

    #[tokio::test]
    async fn words_go_on_as_what_they_can_be() {
        assert_eq!(completions("sel").await, ["select"]);
        assert_eq!(completions("SELECT * FROM ca").await.first().map(String::as_str), Some("casts"));
        assert_eq!(completions("SELECT avg(pres) FROM casts WHERE te").await, ["\"TEMP_QC\"", "temp"]);
        assert_eq!(completions("\\at").await, ["\\attach "]);
        assert!(completions("SELECT date_tr").await.contains(&"date_trunc(".to_owned()));
    }

    #[test]
    fn colours_change_nothing_but_colours() {
        let line = "SELECT \"from\", 'it''s', 1.5e3 FROM größe -- done";
        let mut plain = coloured(line);
        for colour in ["1;34", "32", "36", "90", "0"] {
            plain = plain.replace(&format!("\x1b[{colour}m"), "");
        }
        assert_eq!(plain, line);
    }
}
