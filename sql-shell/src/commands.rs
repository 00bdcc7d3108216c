//! The commands that begin with a backslash.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{ArrayRef, RecordBatch, StringArray, UInt64Array};
use clap::ValueEnum;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::Documentation;
use datafusion::prelude::SessionContext;

use crate::error::{Failure, Result};
use crate::names;
use crate::output::Format;
use crate::plot;
use crate::printable::Printable;
use crate::session::{Session, name_of};

/// What commands there are: how they are written, and what they do.
const COMMANDS: [(&str, &str); 18] = [
    ("\\?", "this text"),
    ("\\q", "leave (so does Ctrl-D)"),
    ("\\dt", "list tables"),
    ("\\d TABLE", "list the columns of a table, with units and long names"),
    ("\\ds", "list stores"),
    ("\\df [PATTERN]", "list functions; * in a pattern is any text"),
    ("\\attach PATH [AS NAME]", "open another store"),
    ("\\detach NAME", "close a store"),
    ("\\i FILE", "run the statements and commands of a file"),
    ("\\o [FILE]", "write results to a file, or to the terminal again"),
    ("\\format [FORMAT]", "table, csv, tsv, json, ndjson, markdown, parquet or arrow"),
    ("\\x", "show each row as a block, a column a line; or no longer"),
    ("\\timing", "tell how long statements take; or no longer"),
    ("\\set [NAME [VALUE]]", "list or set options of the session"),
    ("\\explain", "show how the last query is executed"),
    (
        "\\plot [KIND] [FILE] [QUERY;]",
        "draw a query: points, lines, bars, map, section, hist, profile; to .png or .svg",
    ),
    ("SUMMARIZE TABLE", "bounds, mean and missing values of each column, from statistics"),
    ("SHOW TABLES, DESCRIBE TABLE", "as in other shells"),
];

/// What a command may be followed by on a line, for completion.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    let commands = COMMANDS.iter().filter_map(|(usage, _)| usage.split(' ').next());
    commands.filter(|name| name.starts_with('\\'))
}

/// Runs a command, given without its backslash; says whether to go on.
pub(crate) async fn run(session: &mut Session, command: &str) -> Result<ControlFlow<()>> {
    let command = command.trim_end_matches(';').trim();
    let (name, rest) = command.split_once(char::is_whitespace).unwrap_or((command, ""));
    let rest = rest.trim();
    match name {
        "q" | "quit" => return Ok(ControlFlow::Break(())),
        "?" | "help" => help()?,
        "dt" => tables(session).await?,
        "d" if rest.is_empty() => tables(session).await?,
        "d" => columns(session, rest).await?,
        "ds" => stores(session).await?,
        "df" => functions(session, rest).await?,
        "attach" => attach(session, rest).await?,
        "detach" => detach(session, rest)?,
        "i" => {
            let path = wanted(rest, "\\i needs a file")?;
            let script = std::fs::read_to_string(path).map_err(|e| Failure::new(format!("{path}: {e}")))?;
            return session.run_script(&script).await;
        }
        "o" => session.write_to((!rest.is_empty()).then(|| unquoted(rest).as_ref()))?,
        "format" if rest.is_empty() => tell(&format!("format is {}", name_of_format(session.format)))?,
        "format" => {
            session.format = Format::from_str(rest, true).map_err(|_| {
                let all: Vec<_> =
                    Format::value_variants().iter().map(|format| name_of_format(*format)).collect();
                Failure::new(format!("`{rest}` is no format: there are {}", all.join(", ")))
            })?;
        }
        "x" => {
            session.expanded = !session.expanded;
            tell(if session.expanded { "rows are shown as blocks" } else { "rows are shown in a table" })?;
        }
        "timing" => {
            session.timing = !session.timing;
            tell(if session.timing { "timing is on" } else { "timing is off" })?;
        }
        "set" => set(session, rest).await?,
        "explain" => {
            let query =
                session.last_query.clone().ok_or_else(|| Failure::new("there is no query to explain yet"))?;
            let plan = session.prepare(&format!("EXPLAIN {query}")).await?;
            session.run(plan).await?;
        }
        "plot" => plot::plot(session, rest).await?,
        _ => {
            let known: Vec<&str> = names().collect();
            let near = names::near(&format!("\\{name}"), known.into_iter());
            let hint = names::did_you_mean(&near);
            return Err(Failure::new(format!("`\\{name}` is no command{hint} (\\? lists them)")));
        }
    }
    Ok(ControlFlow::Continue(()))
}

fn help() -> Result<()> {
    let widest = COMMANDS.iter().map(|(usage, _)| usage.len()).max().unwrap_or(0);
    let mut text =
        String::from("Statements end with `;` and may take several lines. Commands stand alone on a line:\n");
    for (usage, what) in COMMANDS {
        text.push_str(&format!("  {usage:widest$}  {what}\n"));
    }
    text.push_str("Tab completes names, Ctrl-R searches what was typed before, Ctrl-C ends a statement and not the shell.");
    tell(&text)
}

/// Says something that is no result.
fn tell(text: &str) -> Result<()> {
    use std::io::Write;
    Ok(writeln!(Printable::new(std::io::stdout()), "{text}")?)
}

fn wanted<'a>(text: &'a str, otherwise: &str) -> Result<&'a str> {
    if text.is_empty() { Err(Failure::new(otherwise)) } else { Ok(unquoted(text)) }
}

fn unquoted(text: &str) -> &str {
    let inner = text.strip_prefix('\'').and_then(|text| text.strip_suffix('\''));
    inner.unwrap_or(text)
}

fn name_of_format(format: Format) -> String {
    format.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}

async fn show(session: &Session, columns: Vec<(&str, ArrayRef)>) -> Result<()> {
    let rows = session.context.read_batch(RecordBatch::try_from_iter(columns)?)?;
    session.runner().show(rows.execute_stream().await?, Instant::now()).await
}

fn texts<S: AsRef<str>>(values: impl IntoIterator<Item = S>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}

fn some_texts<S: AsRef<str>>(values: impl IntoIterator<Item = Option<S>>) -> ArrayRef {
    Arc::new(values.into_iter().collect::<StringArray>())
}

/// The wide table of a store first, then what is in its schema.
async fn tables(session: &Session) -> Result<()> {
    let known: Vec<(String, String)> = names::tables(&session.context)
        .into_iter()
        .filter(|(schema, _)| schema != "information_schema")
        .collect();
    let kind = |schema: &str, name: &str| {
        let is_store = |wanted: &str| session.stores.iter().any(|store| store.name == wanted);
        match (schema, name) {
            ("public", name) if is_store(name) => "store",
            (schema, name) if is_store(schema) && name.starts_with('_') => "about a store",
            (schema, name) if is_store(schema) && name.contains(',') => "grid",
            (schema, _) if is_store(schema) => "variable",
            _ => "table",
        }
    };
    let kinds = known.iter().map(|(schema, name)| kind(schema, name));
    let columns = vec![
        ("table", texts(known.iter().map(|(schema, name)| names::shown(schema, name)))),
        ("kind", texts(kinds)),
    ];
    show(session, columns).await
}

/// The columns of a table, with what a store knows of their variables.
async fn columns(session: &mut Session, table: &str) -> Result<()> {
    let table = table.to_owned();
    let query = session.prepare(&format!("SELECT * FROM {table} LIMIT 0")).await;
    session.last_query = None;
    let (fields, reference) = query?.fields_and_table()?;
    let variables = match reference.schema().unwrap_or(reference.table()) {
        schema if session.stores.iter().any(|store| store.name == schema) => {
            variables(&session.context, schema).await?
        }
        _ => Vec::new(),
    };
    let about = |name: &str, which: usize| {
        let variable = variables.iter().find(|(variable, _)| variable == name);
        variable.and_then(|(_, about)| about.get(which).cloned().flatten())
    };
    let names = || fields.iter().map(|(name, _)| name);
    let columns = vec![
        ("column", texts(names())),
        ("type", texts(fields.iter().map(|(_, data_type)| data_type))),
        ("units", some_texts(names().map(|name| about(name, 0)))),
        ("long_name", some_texts(names().map(|name| about(name, 1)))),
    ];
    show(session, columns).await
}

/// The variables of a store, with units and long names.
async fn variables(context: &SessionContext, store: &str) -> Result<Vec<(String, [Option<String>; 2])>> {
    let quoted = store.replace('"', "\"\"");
    let sql = format!("SELECT name, units, long_name FROM \"{quoted}\"._variables");
    let mut variables = Vec::new();
    for batch in context.sql(&sql).await?.collect().await? {
        for row in 0..batch.num_rows() {
            let text = |column: usize| -> Result<Option<String>> {
                let value = ScalarValue::try_from_array(batch.column(column), row)?;
                Ok((!value.is_null()).then(|| value.to_string()))
            };
            variables.push((text(0)?.unwrap_or_default(), [text(1)?, text(2)?]));
        }
    }
    Ok(variables)
}

async fn stores(session: &Session) -> Result<()> {
    let numbers = |numbers: &[usize]| -> ArrayRef {
        Arc::new(UInt64Array::from_iter_values(numbers.iter().map(|&number| number as u64)))
    };
    let (mut datasets, mut variables) = (Vec::new(), Vec::new());
    for store in &session.stores {
        datasets.push(store.atlas.snapshot().root().dataset_count());
        variables.push(store.atlas.list_arrays()?.len());
    }
    let columns = vec![
        ("store", texts(session.stores.iter().map(|store| &store.name))),
        ("location", texts(session.stores.iter().map(|store| &store.location))),
        ("datasets", numbers(&datasets)),
        ("variables", numbers(&variables)),
    ];
    show(session, columns).await
}

async fn functions(session: &Session, pattern: &str) -> Result<()> {
    let mut found = functions_of(&session.context);
    found.retain(|function| matches(pattern, &function.name));
    if found.is_empty() {
        return Err(Failure::new(format!("no function is like `{pattern}`")));
    }
    let columns = vec![
        ("function", texts(found.iter().map(|function| &function.syntax))),
        ("kind", texts(found.iter().map(|function| function.kind))),
        ("description", some_texts(found.iter().map(|function| function.description.clone()))),
    ];
    show(session, columns).await
}

/// A function of a session.
pub(crate) struct Function {
    pub name: String,
    kind: &'static str,
    syntax: String,
    /// Its first sentence.
    description: Option<String>,
}

/// All functions of a session, by name.
pub(crate) fn functions_of(context: &SessionContext) -> Vec<Function> {
    let state = context.state();
    let function = |name: &str, kind, documentation: Option<&Documentation>| Function {
        name: name.to_owned(),
        kind,
        syntax: documentation.map_or_else(|| format!("{name}()"), |known| known.syntax_example.clone()),
        description: documentation.map(|known| first_sentence(&known.description)),
    };
    let mut functions = Vec::new();
    let scalar = state.scalar_functions().values();
    functions.extend(scalar.map(|f| function(f.name(), "scalar", f.documentation())));
    let aggregate = state.aggregate_functions().values();
    functions.extend(aggregate.map(|f| function(f.name(), "aggregate", f.documentation())));
    let window = state.window_functions().values();
    functions.extend(window.map(|f| function(f.name(), "window", f.documentation())));
    functions.extend(state.table_functions().keys().map(|name| function(name, "table", None)));
    let sample_at = atlas_datafusion::sample::documentation();
    functions.push(function(atlas_datafusion::SAMPLE_AT, "table", Some(&sample_at)));
    functions.sort_by(|a, b| (&a.name, a.kind).cmp(&(&b.name, b.kind)));
    // One that has several names is there under each of them.
    functions.dedup_by(|a, b| (&a.name, a.kind) == (&b.name, b.kind));
    functions
}

fn first_sentence(text: &str) -> String {
    let line: Vec<&str> = text.split_whitespace().collect();
    let line = line.join(" ");
    match line.split_once(". ") {
        Some((first, _)) => format!("{first}."),
        None => line.split(" Source: ").next().unwrap_or_default().to_owned(),
    }
}

/// Whether a name is like a pattern: anything, where that is empty; all of it, where there is a
/// `*`; else part of it.
fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.to_lowercase(), name.to_lowercase());
    let parts: Vec<&str> = pattern.split('*').collect();
    let [first, middle @ .., last] = parts.as_slice() else { return name.contains(&pattern) };
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    for part in middle {
        let Some(at) = rest.find(part) else { return false };
        rest = rest.get(at + part.len()..).unwrap_or_default();
    }
    rest.ends_with(last)
}

async fn attach(session: &mut Session, rest: &str) -> Result<()> {
    let rest = wanted(rest, "\\attach needs the directory or URL of a store")?;
    let words: Vec<&str> = rest.split_whitespace().collect();
    let (location, name) = match words.as_slice() {
        [location @ .., word, name] if word.eq_ignore_ascii_case("as") => {
            (location.join(" "), (*name).to_owned())
        }
        _ => (rest.to_owned(), name_of(unquoted(rest))),
    };
    session.attach(&name, unquoted(&location)).await?;
    tell(&format!("{} is `{name}`", unquoted(&location)))
}

fn detach(session: &mut Session, name: &str) -> Result<()> {
    if session.detach(name)? {
        return Ok(());
    }
    let near = names::near(name, session.stores.iter().map(|store| store.name.as_str()));
    Err(Failure::new(format!("there is no store `{name}`{}", names::did_you_mean(&near))))
}

async fn set(session: &mut Session, rest: &str) -> Result<()> {
    let (name, value) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let sql = if value.is_empty() {
        let like = name.replace('\'', "''");
        // Options of extensions, which are all of Atlas here, are listed without their prefix.
        format!(
            "SELECT * FROM (SELECT CASE WHEN name LIKE '%.%' THEN name ELSE 'atlas.' || name END AS name, value \
             FROM information_schema.df_settings) WHERE name LIKE '%{like}%' ORDER BY name"
        )
    } else {
        let value = unquoted(value.trim().trim_start_matches('=').trim()).replace('\'', "''");
        format!("SET {name} = '{value}'")
    };
    let statement = session.prepare(&sql).await?;
    session.run(statement).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_like_names() {
        for (pattern, name) in
            [("", "a"), ("ave", "Haversine"), ("h*e", "haversine"), ("*", "a"), ("*b*", "abc")]
        {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [("b", "a"), ("h*x", "haversine"), ("a*", "haversine")] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }
}
