//! SQL support of the line editor: colours and completion.

mod place;

use std::borrow::Cow;
use std::sync::Arc;

use atlas_datafusion::AtlasTable;
use datafusion::catalog::TableProvider;
use datafusion::common::TableReference;
use datafusion::prelude::SessionContext;
use rustyline::completion::{Completer, FilenameCompleter, Pair};
use rustyline::highlight::{CmdKind, Highlighter};
use rustyline::hint::{Hinter, HistoryHinter};
use rustyline::validate::Validator;
use rustyline::{Context, Helper};

use self::place::{Place, Quoted, Table, open_quote};
use crate::commands;
use crate::functions::{Function, functions_of};
use crate::printable::is_control;
use crate::statement::names;

/// The SQL keywords that are completed and coloured.
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

/// Completion and highlighting for the line editor, based on the session.
pub(crate) struct Sql {
    context: SessionContext,
    history: HistoryHinter,
    files: FilenameCompleter,
    colours: bool,
    /// The lines of the statement before the current one.
    before: String,
}

impl Sql {
    pub(crate) fn new(context: SessionContext) -> Self {
        let colours = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let (history, files) = (HistoryHinter::new(), FilenameCompleter::new());
        Self { context, history, files, colours, before: String::new() }
    }

    /// Sets the lines that the next line continues.
    pub(crate) fn begin_line_after(&mut self, before: &str) {
        before.clone_into(&mut self.before);
        if !before.is_empty() {
            self.before.push('\n');
        }
    }

    /// Completions of a word in a statement, in order of relevance: columns, functions and
    /// keywords, or tables if the place takes tables.
    fn words(&self, place: &Place, typed: &Place, word: &str) -> Vec<Pair> {
        let lower = word.replace('"', "").to_lowercase();
        let begins = |name: &str| name.to_lowercase().starts_with(&lower);
        let mut pairs: Vec<Pair> = Vec::new();
        let mut push = |display: String, replacement: String| pairs.push(Pair { display, replacement });
        if typed.wants_table {
            for (schema, name) in names::tables(&self.context) {
                let shown = names::shown(&schema, &name);
                // Tables in the schema of a store are only suggested once something is typed.
                let is_wanted =
                    begins(&shown) && (lower.contains('.') || !shown.contains('.') || !lower.is_empty());
                if is_wanted {
                    let own = quoted(&name);
                    let full = if schema == "public" { own } else { format!("{}.{own}", quoted(&schema)) };
                    push(shown, full);
                }
            }
            let functions = functions_of(&self.context);
            for function in
                functions.iter().filter(|function| function.kind == "table" && begins(&function.name))
            {
                let call = format!("{}(", function.name);
                push(call.clone(), call);
            }
            return pairs;
        }
        let tables = place.tables.as_slice();
        if let Some((qualifier, begun)) = word.rsplit_once('.') {
            let begun = begun.trim_matches('"').to_lowercase();
            let of = qualifier.replace('"', "");
            let named =
                tables.iter().filter(|table| table.alias.eq_ignore_ascii_case(&of) || table.name() == of);
            for column in named.flat_map(|table| self.columns_of(table)) {
                if column.to_lowercase().starts_with(&begun) {
                    let replacement = format!("{qualifier}.{}", quoted(&column));
                    push(column, replacement);
                }
            }
            return pairs;
        }
        if typed.wants_column {
            let only = self.only_table();
            let of = if tables.is_empty() { only.as_slice() } else { tables };
            let mut columns: Vec<String> = of.iter().flat_map(|table| self.columns_of(table)).collect();
            columns.sort();
            columns.dedup();
            for column in columns.into_iter().filter(|name| begins(name)) {
                let replacement = quoted(&column);
                push(column, replacement);
            }
            for table in tables.iter().filter(|table| begins(&table.alias)) {
                push(format!("{}.", table.alias), format!("{}.", quoted(&table.alias)));
            }
        }
        if word.is_empty() {
            return pairs;
        }
        if typed.wants_column {
            let functions = functions_of(&self.context);
            let functions = functions.iter().filter(|function| function.kind != "table");
            for name in functions.flat_map(Function::names).filter(|name| begins(name)) {
                push(format!("{name}("), format!("{name}("));
            }
        }
        // Keywords are suggested in the case of the typed word.
        let is_lower = word.chars().all(|c| !c.is_uppercase());
        for keyword in KEYWORDS.iter().filter(|keyword| begins(keyword)) {
            let keyword = if is_lower { keyword.to_lowercase() } else { (*keyword).to_owned() };
            push(keyword.clone(), keyword);
        }
        pairs.dedup_by(|a, b| a.replacement == b.replacement);
        pairs
    }

    fn provider(&self, table: &Table) -> Option<Arc<dyn TableProvider>> {
        let known = names::tables(&self.context);
        let (schema, name) = known
            .into_iter()
            .find(|(schema, name)| names::shown(schema, name).eq_ignore_ascii_case(&table.name()))?;
        // The tables of stores are built from memory, so this does not block.
        futures::executor::block_on(self.context.table_provider(TableReference::partial(schema, name))).ok()
    }

    fn columns_of(&self, table: &Table) -> Vec<String> {
        let fields = self.provider(table).map(|table| table.schema().fields().clone());
        fields.iter().flat_map(|fields| fields.iter()).map(|field| field.name().clone()).collect()
    }

    /// The table of the session, if there is exactly one beside the tables of its stores' parts.
    fn only_table(&self) -> Vec<Table> {
        let tables = names::tables(&self.context);
        let public: Vec<_> = tables.into_iter().filter(|(schema, _)| schema == "public").collect();
        match public.as_slice() {
            [(_, name)] => vec![Table { parts: vec![name.clone()], alias: name.clone() }],
            _ => Vec::new(),
        }
    }

    /// The names of datasets that begin with a text, from the stores of a statement's tables.
    fn datasets(&self, place: &Place, begun: &str) -> Vec<Pair> {
        let stores = place.tables.iter().filter_map(|table| table.parts.first().cloned());
        let mut stores: Vec<Table> =
            stores.map(|name| Table { parts: vec![name.clone()], alias: name }).collect();
        if stores.is_empty() {
            stores = self.only_table();
        }
        let mut pairs = Vec::new();
        for provider in stores.iter().filter_map(|store| self.provider(store)) {
            let Some(table) = provider.downcast_ref::<AtlasTable>() else { continue };
            let names = table.dataset_names().into_iter().filter(|name| name.starts_with(begun));
            pairs.extend(names.take(MOST_DATASETS).map(|name| {
                let replacement = format!("{}'", name.replace('\'', "''"));
                Pair { display: name, replacement }
            }));
        }
        pairs
    }

    /// Completions of a command's argument.
    fn arguments(&self, command: &str, begun: &str) -> Vec<Pair> {
        let fixed: Vec<String> = match command {
            "\\d" => {
                names::tables(&self.context).iter().map(|(schema, name)| names::shown(schema, name)).collect()
            }
            "\\df" => functions_of(&self.context)
                .iter()
                .flat_map(|f| f.names().map(str::to_owned).collect::<Vec<_>>())
                .collect(),
            "\\detach" => {
                let tables = names::tables(&self.context);
                let mut stores: Vec<String> = tables.into_iter().map(|(schema, _)| schema).collect();
                stores.dedup();
                stores.retain(|store| store != "public" && store != "information_schema");
                stores
            }
            "\\format" => ["table", "csv", "tsv", "json", "ndjson", "markdown", "parquet", "arrow"]
                .map(str::to_owned)
                .to_vec(),
            "\\limit" => ["all", "default"].map(str::to_owned).to_vec(),
            "\\x" | "\\timing" | "\\pager" => ["on", "off"].map(str::to_owned).to_vec(),
            _ => Vec::new(),
        };
        let lower = begun.to_lowercase();
        let alike = fixed.into_iter().filter(|name| name.to_lowercase().starts_with(&lower));
        alike.map(|name| Pair { display: name.clone(), replacement: name }).collect()
    }
}

/// The largest number of dataset names that are suggested.
const MOST_DATASETS: usize = 200;

/// Commands that take a file.
const OF_FILES: [&str; 6] = ["\\i", "\\o", "\\once", "\\attach", "\\edit", "\\plot"];

/// Quotes a name if SQL requires it.
fn quoted(name: &str) -> String {
    let plain = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && !KEYWORDS.contains(&name.to_uppercase().as_str());
    if plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

impl Completer for Sql {
    type Candidate = Pair;

    fn complete(&self, line: &str, pos: usize, ctx: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        let typed = line.get(..pos).unwrap_or(line);
        let of_files = |files: rustyline::Result<(usize, Vec<Pair>)>| {
            let (start, mut files) = files?;
            files.retain(|pair| !pair.replacement.contains(is_control));
            Ok((start, files))
        };
        if self.before.is_empty() && typed.starts_with('\\') {
            let Some((command, rest)) = typed.split_once(char::is_whitespace) else {
                let names = commands::names().filter(|name| name.starts_with(typed));
                let pair = |name: &str| Pair { display: name.to_owned(), replacement: format!("{name} ") };
                return Ok((0, names.map(pair).collect()));
            };
            if OF_FILES.contains(&command) {
                return of_files(self.files.complete(line, pos, ctx));
            }
            let begun = rest.trim_start();
            return Ok((pos - begun.len(), self.arguments(command, begun)));
        }
        let before = format!("{}{typed}", self.before);
        let all = format!("{}{line}", self.before);
        if let Some(quote) = open_quote(&before) {
            let place = Place::at(&all, None);
            let (front, begun) =
                (before.get(..quote).unwrap_or_default(), before.get(quote + 1..).unwrap_or_default());
            return match place::of_text(front) {
                Some(Quoted::Path) => of_files(self.files.complete(line, pos, ctx)),
                Some(Quoted::Dataset) => Ok((pos.saturating_sub(begun.len()), self.datasets(&place, begun))),
                None => Ok((pos, Vec::new())),
            };
        }
        let is_of_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '"');
        let start =
            typed.char_indices().rev().take_while(|(_, c)| is_of_word(*c)).last().map_or(pos, |(at, _)| at);
        let word = typed.get(start..).unwrap_or_default();
        let front = before.len() - word.len();
        let mut pairs = self.words(&Place::at(&all, None), &Place::at(&before, Some(front)), word);
        // The line editor prints suggestions unescaped.
        pairs.retain(|pair| !pair.replacement.contains(is_control));
        Ok((start, pairs))
    }
}

impl Hinter for Sql {
    type Hint = String;

    fn hint(&self, line: &str, pos: usize, ctx: &Context<'_>) -> Option<String> {
        if line.is_empty() || !self.before.is_empty() { None } else { self.history.hint(line, pos, ctx) }
    }
}

/// Accepts every line, since the shell asks for further lines with another prompt.
impl Validator for Sql {}

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

/// Colours keywords, text, numbers and comments of SQL.
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

    async fn with_tables(tables: &[&str]) -> Sql {
        let context = SessionContext::new();
        for table in tables {
            let columns = "1 AS temp, 2 AS \"TEMP_QC\", 3 AS pres, 4 AS \"te\x1b[2J\"";
            context.sql(&format!("CREATE TABLE {table} AS SELECT {columns}")).await.unwrap();
        }
        Sql::new(context)
    }

    fn complete(sql: &Sql, line: &str) -> Vec<String> {
        let history = DefaultHistory::new();
        let (_, pairs) = sql.complete(line, line.len(), &Context::new(&history)).unwrap();
        pairs.into_iter().map(|pair| pair.replacement).collect()
    }

    #[tokio::test]
    async fn words_go_on_as_what_they_can_be() {
        let sql = with_tables(&["casts"]).await;
        assert_eq!(complete(&sql, "sel"), ["select"]);
        assert_eq!(complete(&sql, "SELECT * FROM ca").first().map(String::as_str), Some("casts"));
        assert_eq!(complete(&sql, "SELECT avg(pres) FROM casts WHERE te"), ["\"TEMP_QC\"", "temp"]);
        assert_eq!(complete(&sql, "\\at"), ["\\attach "]);
        assert!(complete(&sql, "SELECT date_tr").contains(&"date_trunc(".to_owned()));
        // Aliases of functions.
        assert!(complete(&sql, "SELECT datetru").contains(&"datetrunc(".to_owned()));
        // Columns are suggested before FROM, since there is only one table, and after its alias.
        // Tables are not suggested there.
        assert_eq!(complete(&sql, "SELECT pres"), ["pres"]);
        assert_eq!(complete(&sql, "SELECT c.TE FROM casts AS c WHERE c.te"), ["c.temp", "c.\"TEMP_QC\""]);
        assert!(!complete(&sql, "SELECT ca").contains(&"casts".to_owned()));
        assert!(!complete(&sql, "SELECT * FROM casts WHERE ca").contains(&"casts".to_owned()));
        assert!(!complete(&sql, "SELECT * FROM casts wh").is_empty());
        assert_eq!(complete(&sql, "SELECT * FROM casts a, c"), ["casts"]);
        assert_eq!(complete(&sql, "SELECT pres FROM casts JOIN cas"), ["casts"]);
        assert_eq!(complete(&sql, "\\d cas"), ["casts"]);
        assert_eq!(complete(&sql, "\\format ma"), ["markdown"]);
        assert_eq!(complete(&sql, "SELECT 'te"), [""; 0]);
        let several = with_tables(&["casts", "floats"]).await;
        assert!(!complete(&several, "SELECT pres").contains(&"pres".to_owned()));
        assert_eq!(complete(&several, "SELECT f.pr FROM casts c JOIN floats f ON c.pr"), ["c.pres"]);
    }

    #[tokio::test]
    async fn a_line_goes_on_from_those_before() {
        let mut sql = with_tables(&["casts", "floats"]).await;
        sql.begin_line_after("SELECT avg(pres)\nFROM casts");
        assert_eq!(complete(&sql, "WHERE pres"), ["pres"]);
        sql.begin_line_after("");
        assert!(!complete(&sql, "WHERE pres").contains(&"pres".to_owned()));
    }

    #[tokio::test]
    async fn texts_go_on_as_datasets_or_files() {
        let atlas =
            atlas::Atlas::create_url("memory:///complete", atlas::StoreConfig::default()).await.unwrap();
        for name in ["a'1", "a2", "b"] {
            let dataset = atlas.create_dataset(name).await.unwrap();
            dataset.define_array::<f32>("v", &["x"], &[1], None, None).unwrap();
        }
        atlas.flush().await.unwrap();
        let context = SessionContext::new();
        atlas_datafusion::register_store(&context, "store", &atlas).unwrap();
        let sql = Sql::new(context);
        for front in
            ["SELECT v FROM store WHERE dataset = '", "SELECT v FROM store.v s WHERE s.dataset IN ('b', '"]
        {
            assert_eq!(complete(&sql, &format!("{front}a")), ["a''1'", "a2'"], "{front}");
        }
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("casts.parquet"), "").unwrap();
        let path = directory.path().to_string_lossy().into_owned();
        for front in [
            "SELECT * FROM '",
            "COPY store TO '",
            "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '",
            "\\plot ",
            "\\once ",
        ] {
            let found = complete(&sql, &format!("{front}{path}/cas"));
            assert!(found.len() == 1 && found[0].contains("casts.parquet"), "{front}: {found:?}");
        }
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
