//! Stores as tables of a session.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use atlas::{Atlas, Snapshot};
use datafusion::catalog::{
    MemoryCatalogProviderList, SchemaProvider, Session, TableFunction, TableFunctionArgs, TableFunctionImpl,
    TableProvider, TableProviderFactory,
};
use datafusion::common::{DataFusionError, Result, ScalarValue, TableReference, plan_err};
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::{CreateExternalTable, Expr};
use datafusion::prelude::SessionContext;

use crate::error::from_store;
use crate::functions::SoundFunctions;
use crate::plan::aggregate_rule::AggregateInScan;
use crate::plan::bitwise::BitwiseOperands;
use crate::plan::dynamic::SoundDynamicFilters;
use crate::plan::literals::FloatLiterals;
use crate::plan::table::{AtlasTable, register_objects};
use crate::sample::SampleAt;
use crate::session::metadata::{Metadata, MetadataTable};
use crate::tables::grids::{grids, lesser_grids};
use crate::tables::names::{GRID, dims_of_name, grid_table_names};
use crate::tables::options::{AtlasOptions, TableOptions};

/// The file type of a store after `STORED AS`.
pub const FILE_TYPE: &str = "ATLAS";

/// The name of the table function that reads a store.
pub const READ_ATLAS: &str = "read_atlas";

/// The name of the table function that lists the datasets of a store.
pub const ATLAS_DATASETS: &str = "atlas_datasets";

/// The name of the table function that lists the chunks of a variable.
pub const ATLAS_CHUNKS: &str = "atlas_chunks";

/// Registers a store under a name, and adds to the session what [`with_atlas`] adds to a new one.
/// Registers the wide table as `name`, and a schema `name` with a table for each variable, for each
/// further grid, and about the store itself (`_datasets`, `_variables`, `_attributes`, `_chunks`).
///
/// The tables show the current generation of `atlas`. Registering again under the same name
/// replaces them.
///
/// # Errors
/// If the session's default catalog accepts no schemas, or the store's datasets cannot be read.
pub fn register_store(ctx: &SessionContext, name: &str, atlas: &Atlas) -> Result<()> {
    register_store_with(ctx, name, atlas, TableOptions::default())
}

/// Registers a store like [`register_store`], with `options`.
///
/// # Errors
/// Those of [`register_store`]; also if `options` has a dimension that no dataset has.
pub fn register_store_with(
    ctx: &SessionContext,
    name: &str,
    atlas: &Atlas,
    options: TableOptions,
) -> Result<()> {
    register_atlas(ctx);
    let snapshot = atlas.snapshot();
    let table = AtlasTable::wide(name, Arc::clone(&snapshot), &options)?;
    let state = ctx.state();
    register_objects(state.runtime_env(), snapshot.storage())?;
    let catalog = &state.config_options().catalog;
    let Some(default) = ctx.catalog(&catalog.default_catalog) else {
        return plan_err!("the session has no catalog `{}`", catalog.default_catalog);
    };
    if default.schema(name).is_some() && *name == catalog.default_schema {
        return plan_err!("`{name}` is the session's default schema: register the store under another name");
    }
    default.register_schema(name, Arc::new(StoreSchema::new(name, snapshot, options)?))?;
    ctx.deregister_table(TableReference::bare(name))?;
    ctx.register_table(TableReference::bare(name), Arc::new(table))?;
    Ok(())
}

/// Adds Atlas to a session that is being built: `CREATE EXTERNAL TABLE … STORED AS ATLAS`; the
/// table functions `read_atlas`, `atlas_datasets`, `atlas_chunks` and [`sample_at`](crate::sample);
/// the rules that let scans [aggregate](AggregateInScan) and use [dynamic
/// filters](SoundDynamicFilters); the meaning of [literals](FloatLiterals) beside floats; [integers
/// for bitwise operators](BitwiseOperands); [replacements](SoundFunctions) of some functions; and
/// the [options](AtlasOptions).
pub fn with_atlas(mut builder: SessionStateBuilder) -> SessionStateBuilder {
    let optimizer = builder.physical_optimizers().get_or_insert_default();
    AggregateInScan::add_to(&mut optimizer.rules);
    SoundDynamicFilters::add_to(&mut optimizer.rules);
    let analyzer = builder.analyzer().get_or_insert_default();
    FloatLiterals::add_to(&mut analyzer.rules);
    BitwiseOperands::add_to(&mut analyzer.rules);
    SoundFunctions::add_to(&mut builder);
    let extensions = &mut builder.config().get_or_insert_default().options_mut().extensions;
    if extensions.get::<AtlasOptions>().is_none() {
        extensions.insert(AtlasOptions::default());
    }
    let catalogs = builder.catalog_list().get_or_insert_with(|| Arc::new(MemoryCatalogProviderList::new()));
    let sample_at = Arc::new(SampleAt::new(Arc::clone(catalogs)));
    builder.relation_planners().get_or_insert_default().push(sample_at);
    let mut builder = builder.with_table_factory(FILE_TYPE.to_owned(), Arc::new(StoreFactory));
    let functions: [(&str, Arc<dyn TableFunctionImpl>); 3] = [
        (READ_ATLAS, Arc::new(ReadAtlas)),
        (ATLAS_DATASETS, Arc::new(AtlasDatasets)),
        (ATLAS_CHUNKS, Arc::new(AtlasChunks)),
    ];
    for (name, function) in functions {
        let function = Arc::new(TableFunction::new(name.to_owned(), function));
        builder.table_functions().get_or_insert_default().insert(name.to_owned(), function);
    }
    builder
}

/// A session state with DataFusion's defaults and with what [`with_atlas`] adds.
pub fn session_state() -> SessionState {
    with_atlas(SessionStateBuilder::new().with_default_features()).build()
}

/// Adds to an existing session what [`with_atlas`] adds to a new one, unless it is there already.
pub fn register_atlas(ctx: &SessionContext) {
    let state = ctx.state_ref();
    let mut state = state.write();
    let knows_options = state.config_options().extensions.get::<AtlasOptions>().is_some();
    if !knows_options || !state.table_factories().contains_key(FILE_TYPE) {
        let id = state.session_id().to_owned();
        let builder = SessionStateBuilder::new_from_existing(state.clone()).with_session_id(id);
        *state = with_atlas(builder).build();
    }
}

/// The tables of a store.
#[derive(Debug)]
struct StoreSchema {
    name: String,
    snapshot: Arc<Snapshot>,
    options: TableOptions,
    /// The content of each table. Names of variables do not begin with `_`.
    shown: BTreeMap<String, Shown>,
    /// The tables that were requested so far. Each is computed once.
    tables: Mutex<HashMap<String, Arc<dyn TableProvider>>>,
}

/// The content of a table of a store.
#[derive(Clone, Debug)]
enum Shown {
    /// The variable with the table's name.
    Variable,
    /// A further grid, given by its dimensions.
    Grid(Vec<String>),
    /// The store itself.
    Metadata(Metadata),
}

impl StoreSchema {
    fn new(name: &str, snapshot: Arc<Snapshot>, options: TableOptions) -> Result<Self> {
        let catalog = snapshot.catalog().map_err(from_store)?;
        let arrays = catalog.array_schemas().iter();
        let mut shown: BTreeMap<String, Shown> =
            arrays.map(|array| (array.name.clone(), Shown::Variable)).collect();
        // All grids but the primary one, and fewer dimensions that variables have.
        let further: Vec<_> = grids(&catalog).into_iter().skip(1).collect();
        let names = grid_table_names(&further);
        shown.extend(names.into_iter().zip(further.into_iter().map(|grid| Shown::Grid(grid.dims))));
        for dims in lesser_grids(&catalog) {
            let name = format!("{GRID}{}", dims.join("_"));
            shown.entry(name).or_insert(Shown::Grid(dims));
        }
        shown.extend(Metadata::ALL.map(|kind| (kind.name().to_owned(), Shown::Metadata(kind))));
        Ok(Self { name: name.to_owned(), snapshot, options, shown, tables: Mutex::default() })
    }

    /// What a table shows; of a grid that is not listed, if its name says all its dimensions.
    fn shown(&self, name: &str) -> Result<Option<Shown>> {
        if let Some(shown) = self.shown.get(name) {
            return Ok(Some(shown.clone()));
        }
        let Some(dims) = name.strip_prefix(GRID) else { return Ok(None) };
        let catalog = self.snapshot.catalog().map_err(from_store)?;
        let known: BTreeSet<&str> =
            catalog.dataset_schemas().iter().flat_map(|schema| &schema.dims).map(String::as_str).collect();
        Ok(dims_of_name(dims, &known).map(Shown::Grid))
    }

    fn make_table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        let snapshot = Arc::clone(&self.snapshot);
        let full_name = format!("{}.{name}", self.name);
        Ok(Some(match &self.shown(name)? {
            None => return Ok(None),
            Some(Shown::Metadata(kind)) => Arc::new(MetadataTable::new(*kind, snapshot, &self.options)?),
            Some(Shown::Grid(dims)) => {
                let options = TableOptions { dimensions: Some(dims.clone()), ..self.options.clone() };
                Arc::new(AtlasTable::wide(&full_name, snapshot, &options)?)
            }
            Some(Shown::Variable) => {
                Arc::new(AtlasTable::variable(&full_name, snapshot, name, &self.options)?)
            }
        }))
    }
}

#[async_trait]
impl SchemaProvider for StoreSchema {
    fn table_names(&self) -> Vec<String> {
        self.shown.keys().cloned().collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(table) = tables.get(name) {
            return Ok(Some(Arc::clone(table)));
        }
        let table = self.make_table(name)?;
        if let Some(table) = &table {
            tables.insert(name.to_owned(), Arc::clone(table));
        }
        Ok(table)
    }

    fn table_exist(&self, name: &str) -> bool {
        self.shown(name).is_ok_and(|shown| shown.is_some())
    }
}

/// `CREATE EXTERNAL TABLE … STORED AS ATLAS LOCATION '…' OPTIONS (…)`.
#[derive(Debug)]
struct StoreFactory;

#[async_trait]
impl TableProviderFactory for StoreFactory {
    async fn create(&self, state: &dyn Session, cmd: &CreateExternalTable) -> Result<Arc<dyn TableProvider>> {
        let [location] = cmd.locations.as_slice() else {
            return plan_err!("an Atlas table has one location, the directory or URL of its store");
        };
        if !cmd.schema.fields().is_empty() {
            return plan_err!("an Atlas table has the columns of its store: leave out the list of columns");
        }
        let dropped = [
            (!cmd.table_partition_cols.is_empty(), "PARTITIONED BY"),
            (!cmd.order_exprs.is_empty(), "WITH ORDER"),
            (!cmd.constraints.is_empty(), "a constraint"),
            (cmd.unbounded, "UNBOUNDED"),
        ];
        if let Some((_, clause)) = dropped.iter().find(|(there, _)| *there) {
            return plan_err!("an Atlas table is as its store is: leave out {clause}");
        }
        let mut options = TableOptions::default();
        for (key, value) in &cmd.options {
            let flag = || match value.to_ascii_lowercase().as_str() {
                "true" => Ok(true),
                "false" => Ok(false),
                _ => plan_err!("option `{key}` is true or false, not `{value}`"),
            };
            // DataFusion prefixes options without a prefix with `format.`.
            match key.strip_prefix("format.").unwrap_or(key) {
                "dimensions" => options.dimensions = Some(dimensions(value)),
                "attributes" => options.attributes = flag()?,
                "nan_as_null" => options.nan_as_null = flag()?,
                _ => {
                    return plan_err!(
                        "`{key}` is no option of an Atlas table: it has dimensions, attributes and nan_as_null"
                    );
                }
            }
        }
        let snapshot = Atlas::open_url(location).await.map_err(from_store)?.snapshot();
        snapshot.load().await.map_err(from_store)?;
        register_objects(state.runtime_env(), snapshot.storage())?;
        Ok(Arc::new(AtlasTable::wide(cmd.name.table(), snapshot, &options)?))
    }
}

/// The names in a comma-separated list. A name that contains a comma, or begins or ends with
/// blanks, is in double quotes, as in SQL.
fn dimensions(text: &str) -> Vec<String> {
    let mut quoted = false;
    let items = text.split(move |character| {
        quoted ^= character == '"';
        character == ',' && !quoted
    });
    let names = items.map(str::trim).filter(|item| !item.is_empty()).map(|item| {
        let inner = item.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        inner.map_or_else(|| item.to_owned(), |inner| inner.replace("\"\"", "\""))
    });
    names.collect()
}

/// `read_atlas('location'[, 'dimension, …'])`: the wide table of a store.
#[derive(Debug)]
struct ReadAtlas;

impl TableFunctionImpl for ReadAtlas {
    fn call_with_args(&self, args: TableFunctionArgs) -> Result<Arc<dyn TableProvider>> {
        let (location, options) = match texts(&args).as_deref() {
            Some([location]) => (location.clone(), TableOptions::default()),
            Some([location, dims]) => (
                location.clone(),
                TableOptions { dimensions: Some(dimensions(dims)), ..TableOptions::default() },
            ),
            _ => {
                return plan_err!(
                    "{READ_ATLAS} takes the location of a store and, if wanted, dimensions: {READ_ATLAS}('path'[, 'time, depth'])"
                );
            }
        };
        let snapshot = open_blocking(location)?;
        register_objects(args.session().runtime_env(), snapshot.storage())?;
        Ok(Arc::new(AtlasTable::wide(READ_ATLAS, snapshot, &options)?))
    }
}

/// `atlas_datasets('location')`: the datasets of a store, with their cells, sizes and attributes.
#[derive(Debug)]
struct AtlasDatasets;

impl TableFunctionImpl for AtlasDatasets {
    fn call_with_args(&self, args: TableFunctionArgs) -> Result<Arc<dyn TableProvider>> {
        let Some(Ok([location])) = texts(&args).map(<[String; 1]>::try_from) else {
            return plan_err!("{ATLAS_DATASETS} takes the location of a store: {ATLAS_DATASETS}('path')");
        };
        let snapshot = open_blocking(location)?;
        Ok(Arc::new(MetadataTable::new(Metadata::Datasets, snapshot, &TableOptions::default())?))
    }
}

/// `atlas_chunks('location', 'variable')`: the chunks of a variable, with their positions and
/// statistics.
#[derive(Debug)]
struct AtlasChunks;

impl TableFunctionImpl for AtlasChunks {
    fn call_with_args(&self, args: TableFunctionArgs) -> Result<Arc<dyn TableProvider>> {
        let texts = texts(&args).unwrap_or_default();
        let [location, variable] = texts.as_slice() else {
            return plan_err!(
                "{ATLAS_CHUNKS} takes the location of a store and a variable: {ATLAS_CHUNKS}('path', 'temperature')"
            );
        };
        let snapshot = open_blocking(location.clone())?;
        if !snapshot.root().array_schemas().iter().any(|array| array.name == *variable) {
            return plan_err!("the store {location} has no variable `{variable}`");
        }
        Ok(Arc::new(MetadataTable::of_variable(variable, snapshot)?))
    }
}

/// The arguments of a table function, if all are texts.
fn texts(args: &TableFunctionArgs) -> Option<Vec<String>> {
    let text = |expr: &Expr| match expr {
        Expr::Literal(ScalarValue::Utf8(Some(text)) | ScalarValue::Utf8View(Some(text)), _) => {
            Some(text.clone())
        }
        _ => None,
    };
    args.exprs().iter().map(text).collect()
}

/// Opens a store from a function that is not async: on a thread with a runtime of its own, because
/// the caller's runtime may have no other thread.
fn open_blocking(location: String) -> Result<Arc<Snapshot>> {
    let opened = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(Atlas::open_url(&location)).map(|atlas| atlas.snapshot()).map_err(from_store)
    });
    opened.join().unwrap_or_else(|_| Err(DataFusionError::Internal("opening a store failed".to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dimensions_are_listed_with_commas_and_quoted_where_they_have_some() {
        assert_eq!(dimensions("time, depth"), ["time", "depth"]);
        assert_eq!(dimensions(" time ,"), ["time"]);
        assert_eq!(dimensions(r#""a,b" , " c ","d""e""#), ["a,b", " c ", "d\"e"]);
        assert!(dimensions("").is_empty());
    }
}
