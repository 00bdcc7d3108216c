//! Resolves names without regard to case, and suggests similar names.
//!
//! SQL folds names to lower case, but names in files may have any case. If the planner does not
//! find a name, the name is searched in the tokens of the statement. It is therefore found wherever
//! it occurs: in expressions, in `USING`, `EXCLUDE`, `REPLACE` or a list of columns.

use std::ops::Range;

use datafusion::common::{Column, DataFusionError, SchemaError};
use datafusion::prelude::SessionContext;
use datafusion::sql::sqlparser::tokenizer::Token;
use strsim::normalized_damerau_levenshtein;

use super::tokens::{Placed, edited, tokens, word};
use crate::printable::printable;

/// The minimum similarity of a suggested name.
const NEAR: f64 = 0.6;

/// The largest number of suggestions.
const MOST: usize = 3;

/// The largest number of occurrences of a name that are corrected one by one; more occurrences are
/// corrected together.
const MOST_PLACES: usize = 12;

/// Corrected texts of a statement with a missing name, the most likely first. A name is corrected
/// if it only differs in case, and only one name can be meant.
pub(crate) fn corrections(session: &SessionContext, text: &str, error: &DataFusionError) -> Vec<String> {
    let Some(tokens) = tokens(text) else { return Vec::new() };
    if let Some(missing) = table_not_found(error) {
        return correct_table(session, text, &tokens, missing).into_iter().collect();
    }
    match not_found(error) {
        Some((field, valid)) => correct_column(text, &tokens, field, valid),
        None => Vec::new(),
    }
}

/// Whether the error is a missing column.
pub(crate) fn is_missing_column(error: &DataFusionError) -> bool {
    not_found(error).is_some()
}

/// Whether two errors are about the same missing name.
pub(crate) fn is_same(error: &DataFusionError, other: &DataFusionError) -> bool {
    match (not_found(error), not_found(other)) {
        (Some((a, _)), Some((b, _))) => a.name.eq_ignore_ascii_case(&b.name),
        (None, None) => table_not_found(error).is_some_and(|name| table_not_found(other) == Some(name)),
        _ => false,
    }
}

/// The statement with the name of a table corrected everywhere, also where it qualifies columns.
fn correct_table(session: &SessionContext, text: &str, tokens: &[Placed], missing: &str) -> Option<String> {
    let tables = tables(session);
    let mut edits = Vec::new();
    for chain in chains(tokens) {
        for length in [1, 2] {
            let Some(parts) = chain.get(..length) else { continue };
            let written: Vec<String> = parts.iter().map(Name::folded).collect();
            if written.join(".") != missing {
                continue;
            }
            let (schema, table) = match parts {
                [table] => (None, table),
                [schema, table] => (Some(schema), table),
                _ => continue,
            };
            let mut alike = tables.iter().filter(|(known_schema, known)| {
                schema.map_or(known_schema == "public", |schema| schema.means(known_schema))
                    && table.means(known)
            });
            if let (Some((known_schema, known)), None) = (alike.next(), alike.next()) {
                edits.extend(schema.map(|schema| (schema.at.clone(), quoted(known_schema))));
                edits.push((table.at.clone(), quoted(known)));
            }
        }
    }
    (!edits.is_empty()).then(|| edited(text, &edits))
}

/// The statements in which the name of a column is corrected.
///
/// The same name may be an alias elsewhere in the statement. Each statement therefore has a number
/// of first occurrences corrected, or of last ones.
fn correct_column(text: &str, tokens: &[Placed], field: &Column, valid: &[Column]) -> Vec<String> {
    let of_table = |other: &&Column| match (&field.relation, &other.relation) {
        (Some(wanted), Some(other)) => wanted.table().eq_ignore_ascii_case(other.table()),
        (Some(_), None) => false,
        (None, _) => true,
    };
    let mut alike =
        valid.iter().filter(of_table).filter(|valid| valid.name.eq_ignore_ascii_case(&field.name));
    let Some(right) = alike.next() else { return Vec::new() };
    if alike.any(|other| other.name != right.name) {
        return Vec::new();
    }
    let mut places: Vec<Vec<(Range<usize>, String)>> = Vec::new();
    for chain in chains(tokens) {
        let Some((name, before)) = chain.split_last() else { continue };
        let mut edits = Vec::new();
        // The qualifying name of the table may also be in the wrong case.
        if let (Some(table), Some(relation)) = (before.last(), &right.relation)
            && table.folded() != relation.table()
            && table.means(relation.table())
        {
            edits.push((table.at.clone(), quoted(relation.table())));
        }
        // A name before a parenthesis is a function.
        if !name.quoted && !name.is_called && name.folded() != right.name && name.means(&right.name) {
            edits.push((name.at.clone(), quoted(&right.name)));
        }
        if name.means(&right.name) && !edits.is_empty() {
            places.push(edits);
        }
    }
    let corrected = |places: &[Vec<(Range<usize>, String)>]| edited(text, &places.concat());
    if places.len() > MOST_PLACES {
        return vec![corrected(&places)];
    }
    let first = (1..=places.len()).filter_map(|count| places.get(..count));
    let last = (1..places.len()).filter_map(|start| places.get(start..));
    first.chain(last).map(corrected).collect()
}

/// A name in a statement.
struct Name {
    value: String,
    quoted: bool,
    is_called: bool,
    at: Range<usize>,
}

impl Name {
    /// The name as the planner resolves it.
    fn folded(&self) -> String {
        if self.quoted { self.value.clone() } else { self.value.to_lowercase() }
    }

    fn means(&self, name: &str) -> bool {
        if self.quoted { self.value == name } else { self.value.eq_ignore_ascii_case(name) }
    }
}

/// The names of a statement with their qualifiers: `a.b.c` is one chain of three names.
fn chains(tokens: &[Placed]) -> Vec<Vec<Name>> {
    let mut chains: Vec<Vec<Name>> = Vec::new();
    for (i, placed) in tokens.iter().enumerate() {
        let Some((value, quoted)) = word(&placed.token) else { continue };
        let is = |at: Option<usize>, wanted: &Token| {
            at.and_then(|at| tokens.get(at)).is_some_and(|placed| placed.token == *wanted)
        };
        let follows_period = is(i.checked_sub(1), &Token::Period);
        let is_called = is(Some(i + 1), &Token::LParen);
        let name = Name { value: value.to_owned(), quoted, is_called, at: placed.at.clone() };
        match chains.last_mut().filter(|_| follows_period) {
            Some(chain) => chain.push(name),
            None => chains.push(vec![name]),
        }
    }
    chains
}

/// Quotes a name for SQL.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Explains a missing column, and suggests columns that may be meant.
pub(crate) fn explain(error: &DataFusionError) -> Option<String> {
    let (field, valid) = not_found(error)?;
    if let Some(relation) = &field.relation {
        let mut tables: Vec<&str> =
            valid.iter().filter_map(|column| column.relation.as_ref()).map(|table| table.table()).collect();
        tables.sort_unstable();
        tables.dedup();
        if !tables.contains(&relation.table()) {
            let unknown =
                format!("there is no table or alias {} in this query", shown_name(relation.table()));
            return Some(one_of(&unknown, relation.table(), &tables));
        }
    }
    if valid.is_empty() {
        return Some(format!("there is no column {}: the query has no FROM", shown_name(&field.name)));
    }
    let own = |column: &&Column| field.relation.is_none() || column.relation == field.relation;
    let mut names: Vec<&str> = valid.iter().filter(own).map(|column| column.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    Some(one_of(&format!("there is no column {}", shown_name(&field.name)), &field.name, &names))
}

/// Appends similar names to a sentence, or all names if there are few.
fn one_of(sentence: &str, name: &str, names: &[&str]) -> String {
    let near = near(name, names.iter().copied());
    if near.is_empty() && names.len() <= 12 && !names.is_empty() {
        let names: Vec<_> = names.iter().map(|name| shown_name(name)).collect();
        format!("{sentence}: there are {}", names.join(", "))
    } else {
        format!("{sentence}{}", did_you_mean(&near))
    }
}

/// Explains a missing table, and suggests tables that may be meant.
pub(crate) fn explain_table(session: &SessionContext, error: &DataFusionError) -> Option<String> {
    let name = table_not_found(error)?;
    let known: Vec<String> = tables(session).iter().map(|(schema, name)| shown(schema, name)).collect();
    let near = near(name, known.iter().map(String::as_str));
    let more = if near.is_empty() { ": \\dt lists tables" } else { "" };
    Some(format!("there is no table {}{}{more}", shown_name(name), did_you_mean(&near)))
}

/// The name of a missing table, without the session's catalog and its default schema.
fn table_not_found(error: &DataFusionError) -> Option<&str> {
    let DataFusionError::Plan(message) = error.find_root() else { return None };
    let name = message.strip_prefix("table '")?.strip_suffix("' not found")?;
    let name = name.strip_prefix("datafusion.").unwrap_or(name);
    Some(name.strip_prefix("public.").unwrap_or(name))
}

/// The most similar names, the best first.
pub(crate) fn near<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let lower = name.to_lowercase();
    let likeness = |other: &str| {
        let other = other.to_lowercase();
        let begins = other.starts_with(&lower) || lower.starts_with(&other) && other.len() > 2;
        normalized_damerau_levenshtein(&lower, &other) + if begins { 0.3 } else { 0.0 }
    };
    let mut near: Vec<(f64, &str)> = names.map(|other| (likeness(other), other)).collect();
    near.retain(|(likeness, _)| *likeness >= NEAR);
    near.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    near.into_iter().map(|(_, name)| name).take(MOST).collect()
}

/// `: did you mean …?`, or nothing.
pub(crate) fn did_you_mean(near: &[&str]) -> String {
    match near {
        [] => String::new(),
        [only] => format!(": did you mean {}?", shown_name(only)),
        [first @ .., last] => {
            let first: Vec<_> = first.iter().map(|name| shown_name(name)).collect();
            format!(": did you mean {} or {}?", first.join(", "), shown_name(last))
        }
    }
}

fn shown_name(name: &str) -> String {
    format!("`{}`", printable(name))
}

/// The schemas and names of all tables.
pub(crate) fn tables(session: &SessionContext) -> Vec<(String, String)> {
    let state = session.state();
    let Some(catalog) = session.catalog(&state.config_options().catalog.default_catalog) else {
        return Vec::new();
    };
    let mut tables = Vec::new();
    for schema in catalog.schema_names() {
        let names = catalog.schema(&schema).map(|schema| schema.table_names()).unwrap_or_default();
        tables.extend(names.into_iter().map(|name| (schema.clone(), name)));
    }
    tables.sort();
    tables
}

/// The name of a table as written in a query.
pub(crate) fn shown(schema: &str, name: &str) -> String {
    if schema == "public" { name.to_owned() } else { format!("{schema}.{name}") }
}

fn not_found(error: &DataFusionError) -> Option<(&Column, &[Column])> {
    match error {
        DataFusionError::SchemaError(error, _) => match error.as_ref() {
            SchemaError::FieldNotFound { field, valid_fields } => Some((field, valid_fields)),
            _ => None,
        },
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => not_found(inner),
        DataFusionError::Collection(errors) => errors.iter().find_map(not_found),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_come_best_first() {
        let names = ["TEMP", "TEMP_QC", "PSAL", "PRES", "temperature"];
        assert_eq!(near("tmp", names.into_iter()), ["TEMP"]);
        assert_eq!(near("temp", names.into_iter()), ["TEMP", "TEMP_QC", "temperature"]);
        assert_eq!(near("salinity", names.into_iter()), [""; 0]);
        assert_eq!(did_you_mean(&["a", "b", "c"]), ": did you mean `a`, `b` or `c`?");
    }
}
