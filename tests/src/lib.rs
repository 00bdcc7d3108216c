//! Shared by the tests: object stores that count and fail, random stores, and real data.

pub mod crash;
pub mod generate;
pub mod model;
pub mod objects;
pub mod queries;
pub mod random;
pub mod stores;

use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use atlas::Atlas;
use atlas_datafusion::{TableOptions, register_store_with, session_state};
use datafusion::common::Result;
use datafusion::prelude::{SessionConfig, SessionContext};
use futures::StreamExt;
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt};

/// The directory with real data beside the project. Prints a message and returns `None` if it is
/// absent.
pub fn real_data() -> Option<PathBuf> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    if path.is_dir() {
        return path.canonicalize().ok();
    }
    eprintln!("skipped: there is no {}", path.display());
    None
}

/// A session with a store registered as `atlas`, with small batches and several partitions.
pub fn session(atlas: &Atlas, options: TableOptions) -> Result<SessionContext> {
    let config =
        SessionConfig::new().with_target_partitions(3).with_batch_size(16).with_information_schema(true);
    let state = datafusion::execution::session_state::SessionStateBuilder::new_from_existing(session_state());
    let ctx = SessionContext::new_with_state(state.with_config(config).build());
    register_store_with(&ctx, "atlas", atlas, options)?;
    Ok(ctx)
}

/// The rows of a query as text, in the order in which they came.
pub async fn rows(ctx: &SessionContext, sql: &str) -> Result<Vec<String>> {
    text(&ctx.sql(sql).await?.collect().await?)
}

/// The rows of a query as text, sorted.
pub async fn sorted_rows(ctx: &SessionContext, sql: &str) -> Result<Vec<String>> {
    let mut rows = rows(ctx, sql).await?;
    rows.sort();
    Ok(rows)
}

/// The rows of batches as text.
pub fn text(batches: &[RecordBatch]) -> Result<Vec<String>> {
    let options = FormatOptions::default().with_null("NULL");
    let mut rows = Vec::new();
    for batch in batches {
        let columns: Vec<_> = batch
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column, &options))
            .collect::<Result<_, _>>()?;
        for row in 0..batch.num_rows() {
            rows.push(
                columns.iter().map(|column| column.value(row).to_string()).collect::<Vec<_>>().join("|"),
            );
        }
    }
    Ok(rows)
}

/// An object store in memory.
pub fn memory() -> Arc<InMemory> {
    Arc::default()
}

/// A copy of an object store in memory.
pub async fn copy(objects: &InMemory) -> Arc<InMemory> {
    let copy = memory();
    let mut listed = objects.list(None);
    while let Some(Ok(meta)) = listed.next().await {
        let bytes = objects.get(&meta.location).await.expect("it is there");
        let bytes = bytes.bytes().await.expect("it is there");
        copy.put(&meta.location, bytes.into()).await.expect("there is memory");
    }
    copy
}
