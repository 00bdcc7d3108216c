//! Describes the contents of a session: its stores, tables, columns and functions.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{ArrayRef, RecordBatch, StringArray, UInt64Array};
use atlas_datafusion::{ColumnRole, describe, type_in_words};
use datafusion::catalog::TableProvider;
use datafusion::common::TableReference;
use datafusion::prelude::SessionContext;

use crate::error::{Failure, Result};
use crate::functions::{functions_of, matches};
use crate::output::count;
use crate::session::{Session, Store};
use crate::statement::{names, prepare, table_of};

async fn show(session: &Session, columns: Vec<(&str, ArrayRef)>) -> Result<()> {
    let rows = session.context.read_batch(RecordBatch::try_from_iter(columns)?)?;
    session.runner().plain().show(rows.execute_stream().await?, Instant::now()).await
}

fn texts<S: AsRef<str>>(values: impl IntoIterator<Item = S>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}

fn some_texts<S: AsRef<str>>(values: impl IntoIterator<Item = Option<S>>) -> ArrayRef {
    Arc::new(values.into_iter().collect::<StringArray>())
}

/// Lists the tables whose names match a pattern.
pub(crate) async fn tables(session: &Session, pattern: &str) -> Result<()> {
    let mut known = tables_of(&session.context, &session.stores);
    known.retain(|(name, _)| matches(pattern, name));
    if known.is_empty() && !pattern.is_empty() {
        return Err(Failure::new(format!("no table is like `{pattern}`")));
    }
    let columns = vec![
        ("table", texts(known.iter().map(|(name, _)| name))),
        ("kind", texts(known.iter().map(|(_, kind)| kind))),
    ];
    show(session, columns).await
}

/// The names of all tables, each with its kind.
pub(crate) fn tables_of(context: &SessionContext, stores: &[Store]) -> Vec<(String, &'static str)> {
    let is_store = |wanted: &str| stores.iter().any(|store| store.name == wanted);
    let kind = |schema: &str, name: &str| match (schema, name) {
        ("public", name) if is_store(name) => "store",
        (schema, name) if is_store(schema) && name.starts_with("_grid_") => "grid",
        (schema, name) if is_store(schema) && name.starts_with('_') => "about a store",
        (schema, _) if is_store(schema) => "variable",
        _ => "table",
    };
    let known = names::tables(context).into_iter().filter(|(schema, _)| schema != "information_schema");
    known.map(|(schema, name)| (names::shown(&schema, &name), kind(&schema, &name))).collect()
}

/// Lists the columns of a table, with what a store knows about them.
pub(crate) async fn columns(session: &Session, table: &str) -> Result<()> {
    let provider = provider(session, table).await?;
    let Some(columns) = describe(provider.as_ref()) else {
        let schema = provider.schema();
        let fields = || schema.fields().iter();
        let columns = vec![
            ("column", texts(fields().map(|field| field.name()))),
            ("type", texts(fields().map(|field| type_in_words(field.data_type())))),
        ];
        return show(session, columns).await;
    };
    let role = |role: ColumnRole| match role {
        ColumnRole::Dataset => "dataset",
        ColumnRole::Dimension => "dimension",
        ColumnRole::Index => "index",
        ColumnRole::Coordinate => "coordinate",
        ColumnRole::Variable => "variable",
        ColumnRole::Attribute => "attribute",
    };
    let along = |dims: &[String]| (!dims.is_empty()).then(|| dims.join(", "));
    let columns = vec![
        ("column", texts(columns.iter().map(|column| &column.name))),
        ("type", texts(columns.iter().map(|column| type_in_words(&column.data_type)))),
        ("kind", texts(columns.iter().map(|column| role(column.role)))),
        ("along", some_texts(columns.iter().map(|column| along(&column.dims)))),
        ("units", some_texts(columns.iter().map(|column| column.units.as_ref()))),
        ("long_name", some_texts(columns.iter().map(|column| column.long_name.as_ref()))),
    ];
    show(session, columns).await
}

/// The table with a name, which is resolved as in a query.
async fn provider(session: &Session, table: &str) -> Result<Arc<dyn TableProvider>> {
    let (context, sql) = (session.context.clone(), format!("SELECT * FROM {table} LIMIT 0"));
    let find = async move {
        let query = prepare(&context, &sql).await?;
        let table = table_of(&query).ok_or_else(|| Failure::new("that is no table"))?;
        Ok(context.table_provider(table).await?)
    };
    session.on_workers(find).await
}

pub(crate) async fn stores(session: &Session) -> Result<()> {
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

/// The page of the function with this name; if there is none, lists the functions that match the
/// pattern.
pub(crate) async fn functions(session: &Session, pattern: &str) -> Result<Option<String>> {
    let all = functions_of(&session.context);
    let pattern = pattern.trim_end_matches("()");
    let named: Vec<_> = all
        .iter()
        .filter(|function| function.names().any(|name| name.eq_ignore_ascii_case(pattern)))
        .collect();
    if !named.is_empty() {
        // A name may be both the name of one function and an alias of another.
        let own: Vec<_> =
            named.iter().filter(|function| function.name.eq_ignore_ascii_case(pattern)).collect();
        let pages = if own.is_empty() { named.iter().collect() } else { own };
        return Ok(Some(pages.iter().map(|function| function.page()).collect::<Vec<_>>().join("\n")));
    }
    let found: Vec<_> = all.iter().filter(|function| matches(pattern, &function.name)).collect();
    if found.is_empty() {
        let near = names::near(pattern, all.iter().map(|function| function.name.as_str()));
        return Err(Failure::new(format!("no function is like `{pattern}`{}", names::did_you_mean(&near))));
    }
    let columns = vec![
        ("function", texts(found.iter().map(|function| &function.syntax))),
        ("kind", texts(found.iter().map(|function| function.kind))),
        ("description", some_texts(found.iter().map(|function| function.summary()))),
    ];
    show(session, columns).await.map(|()| None)
}

/// The banner of a shell: the open stores, and the tables of each in at most one line.
pub(crate) async fn banner(session: &Session, width: usize) -> Result<String> {
    let mut text = format!("Atlas {}. Type \\? for help.\n", env!("CARGO_PKG_VERSION"));
    if session.stores.is_empty() {
        text.push_str("No store is open: \\attach PATH opens one.\n");
    }
    for store in &session.stores {
        let datasets = count(store.atlas.snapshot().root().dataset_count(), "dataset");
        text.push_str(&format!("{}: {datasets} in {}\n", store.name, store.location));
        let tables = tables_of_store(session, &store.name).await?;
        text.push_str(&listed(&format!("  tables: {}", store.name), &tables, width));
    }
    Ok(text)
}

/// The tables of a store other than the wide one: first grids, then variables in the order of the
/// wide table.
async fn tables_of_store(session: &Session, store: &str) -> Result<Vec<String>> {
    let all = names::tables(&session.context).into_iter().filter(|(schema, _)| schema == store);
    let (grids, rest): (Vec<_>, Vec<_>) =
        all.map(|(_, name)| name).partition(|name| name.starts_with("_grid_"));
    let wide = session.context.table_provider(TableReference::bare(store)).await?;
    let columns = describe(wide.as_ref()).unwrap_or_default();
    let mut places: HashMap<&str, usize> = HashMap::new();
    for (place, column) in columns.iter().enumerate() {
        places.entry(&column.name).or_insert(place);
    }
    let mut variables: Vec<String> = rest.into_iter().filter(|name| !name.starts_with('_')).collect();
    variables.sort_by_key(|name| places.get(name.as_str()).copied().unwrap_or(usize::MAX));
    let names = grids.into_iter().filter(|name| name != "_grid_").chain(variables);
    Ok(names.map(|name| names::shown(store, &name)).collect())
}

/// A line that lists as many names as fit, and counts the rest.
fn listed(begin: &str, names: &[String], width: usize) -> String {
    let mut line = begin.to_owned();
    for (i, name) in names.iter().enumerate() {
        let more = format!(" and {} more (\\dt)", names.len() - i);
        if line.chars().count() + 2 + name.chars().count() + more.len() > width && i + 1 < names.len() {
            return format!("{line}{more}\n");
        }
        line.push_str(", ");
        line.push_str(name);
    }
    line + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_banner_has_room_in_a_line() {
        let names: Vec<String> = (0..40).map(|i| format!("argo.VARIABLE_{i}")).collect();
        for width in [60, 80, 200] {
            let line = listed("  tables: argo", &names, width);
            assert!(line.trim_end().chars().count() <= width && line.contains(" more (\\dt)"), "{line}");
        }
        assert_eq!(listed("  tables: a", &names[..1], 60), "  tables: a, argo.VARIABLE_0\n");
    }

    #[tokio::test]
    async fn an_empty_store_is_told_of() {
        let atlas = atlas::Atlas::create_url("memory:///empty", atlas::StoreConfig::default()).await.unwrap();
        let mut session = Session::new(None, &Default::default()).unwrap();
        assert!(
            banner(&session, 80).await.unwrap().ends_with("No store is open: \\attach PATH opens one.\n")
        );
        session.add("empty", "memory:///empty", atlas).unwrap();
        let told = banner(&session, 80).await.unwrap();
        assert!(told.ends_with("empty: 0 datasets in memory:///empty\n  tables: empty\n"), "{told}");
        tables(&session, "").await.unwrap();
        columns(&session, "empty").await.unwrap();
        stores(&session).await.unwrap();
    }
}
