//! Files as tables: `SELECT * FROM 'casts.parquet'`.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::{DynamicFileCatalog, Session, TableProvider, UrlTableFactory};
use datafusion::common::{GetExt, Result, plan_err};
use datafusion::datasource::dynamic_file::DynamicListTableFactory;
use datafusion::datasource::file_format::csv::CsvFormatFactory;
use datafusion::datasource::file_format::json::{JsonFormat, JsonFormatFactory};
use datafusion::datasource::file_format::{FileFormat, FileFormatFactory};
use datafusion::datasource::listing::{ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl};
use datafusion::execution::session_state::SessionState;
use datafusion::prelude::SessionContext;

use crate::destination::CATALOG;

/// Lets queries of a session read files as tables, and registers the endings of the files that the
/// command writes.
pub(crate) fn register(context: SessionContext) -> Result<SessionContext> {
    let id = context.session_id();
    let catalogs = Arc::clone(context.state().catalog_list());
    let files = Arc::new(Files(DynamicListTableFactory::default()));
    let catalogs =
        Arc::new(DynamicFileCatalog::new(catalogs, Arc::clone(&files) as Arc<dyn UrlTableFactory>));
    let builder = context.into_state_builder().with_session_id(id).with_catalog_list(catalogs);
    let context = SessionContext::from(builder.build());
    files.0.session_store().with_state(context.state_weak_ref());
    for (ending, delimiter) in [("tsv", Some('\t')), ("tab", Some('\t')), ("ndjson", None), ("jsonl", None)] {
        let format = Arc::new(Ending { ending, delimiter });
        context.state_ref().write().register_file_format(format, false)?;
    }
    Ok(context)
}

/// Makes tables of paths and URLs.
#[derive(Debug)]
struct Files(DynamicListTableFactory);

#[async_trait]
impl UrlTableFactory for Files {
    async fn try_new(&self, url: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        let path = Path::new(url);
        // DataFusion would read the files of a store as JSON.
        if path.join(CATALOG).is_file() {
            return Ok(None);
        }
        if !is_array(path) {
            return self.0.try_new(url).await;
        }
        let Some(session) = self.0.session_store().get_session().upgrade() else {
            return plan_err!("the session has ended");
        };
        let state = session.read().as_any().downcast_ref::<SessionState>().cloned();
        let Some(state) = state else { return plan_err!("the session has no state") };
        let format = JsonFormat::default().with_newline_delimited(false);
        let options = ListingOptions::new(Arc::new(format)).with_file_extension("");
        let config = ListingTableConfig::new(ListingTableUrl::parse(url)?).with_listing_options(options);
        let table = ListingTable::try_new(config.infer_schema(&state).await?)?;
        Ok(Some(Arc::new(table)))
    }
}

/// Whether a file is JSON that begins with an array, as `--format json` writes it. DataFusion
/// otherwise expects an object in each line.
fn is_array(path: &Path) -> bool {
    let is_json = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("json"));
    if !is_json || !path.is_file() {
        return false;
    }
    let mut start = Vec::new();
    let read = File::open(path).and_then(|file| file.take(4096).read_to_end(&mut start));
    read.is_ok() && start.trim_ascii_start().starts_with(b"[")
}

/// A format of DataFusion under another ending.
#[derive(Debug)]
struct Ending {
    ending: &'static str,
    /// The delimiter of CSV; `None` for JSON.
    delimiter: Option<char>,
}

impl GetExt for Ending {
    fn get_ext(&self) -> String {
        self.ending.to_owned()
    }
}

impl FileFormatFactory for Ending {
    fn create(
        &self,
        session: &dyn Session,
        options: &HashMap<String, String>,
    ) -> Result<Arc<dyn FileFormat>> {
        let Some(delimiter) = self.delimiter else {
            return JsonFormatFactory::new().create(session, options);
        };
        let mut options = options.clone();
        options.entry("format.delimiter".to_owned()).or_insert_with(|| delimiter.to_string());
        CsvFormatFactory::new().create(session, &options)
    }

    fn default(&self) -> Arc<dyn FileFormat> {
        match self.delimiter {
            Some(_) => CsvFormatFactory::new().default(),
            None => JsonFormatFactory::new().default(),
        }
    }
}
