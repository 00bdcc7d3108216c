//! Tables of stores in logical plans.

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{Result, exec_err, not_impl_err};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion_proto::protobuf::proto_error;
use prost::Message;

use super::message::{ContentMessage, LogicalTableMessage, MetadataMessage, VERSION, check_version};
use super::open::{Generation, TableOf};
use super::table::{table_message, table_of};
use crate::plan::table::AtlasTable;
use crate::session::metadata::{Metadata, MetadataTable};
use crate::tables::options::TableOptions;

/// Encodes a table of a store.
pub fn encode_table(table: &dyn TableProvider) -> Result<Vec<u8>> {
    let content = if let Some(table) = table.downcast_ref::<AtlasTable>() {
        ContentMessage::Values(table_message(table.inner())?)
    } else if let Some(table) = table.downcast_ref::<MetadataTable>() {
        ContentMessage::Metadata(MetadataMessage {
            generation: Generation::of(&table.snapshot)?.into(),
            name: table.kind.name().to_owned(),
            variable: table.variable.clone(),
            nan_as_null: table.nan_as_null,
            schema: table.schema().as_ref().try_into()?,
        })
    } else if let Some(table) = table.downcast_ref::<DeferredTable>() {
        return Ok(table.encoded.clone());
    } else {
        return not_impl_err!("the table is not one of a store");
    };
    Ok(LogicalTableMessage { version: VERSION, content: Some(content) }.encode_to_vec())
}

/// Decodes a table of a store. Opens nothing.
pub fn decode_table(encoded: &[u8]) -> Result<DeferredTable> {
    let message = LogicalTableMessage::decode(encoded)
        .map_err(|e| proto_error(format!("a table of a store in a plan: {e}")))?;
    check_version(message.version)?;
    let (content, schema) = match message.content {
        Some(ContentMessage::Values(table)) => {
            let schema = Schema::try_from(&table.schema)?;
            (Content::Values(table_of(table)?), schema)
        }
        Some(ContentMessage::Metadata(table)) => {
            let Some(kind) = Metadata::ALL.into_iter().find(|kind| kind.name() == table.name) else {
                return Err(proto_error(format!("a store has no table `{}`", table.name)));
            };
            let MetadataMessage { generation, variable, nan_as_null, schema, .. } = table;
            let generation = generation.into();
            (Content::Metadata { generation, kind, variable, nan_as_null }, Schema::try_from(&schema)?)
        }
        None => return Err(proto_error("a table of a store in a plan has no content")),
    };
    Ok(DeferredTable { content, schema: Arc::new(schema), encoded: encoded.to_vec() })
}

/// A decoded table of a store. It knows its columns, and opens the store when it is scanned.
#[derive(Debug)]
pub struct DeferredTable {
    content: Content,
    schema: SchemaRef,
    /// The message.
    encoded: Vec<u8>,
}

/// What a table shows.
#[derive(Debug)]
enum Content {
    Values(TableOf),
    Metadata { generation: Generation, kind: Metadata, variable: Option<String>, nan_as_null: bool },
}

impl DeferredTable {
    async fn open(&self) -> Result<Arc<dyn TableProvider>> {
        Ok(match &self.content {
            Content::Values(table) => Arc::new(AtlasTable::of(table.open().await?)),
            Content::Metadata { generation, kind, variable, nan_as_null } => {
                let options = TableOptions { nan_as_null: *nan_as_null, ..TableOptions::default() };
                let mut table = MetadataTable::new(*kind, generation.snapshot().await?, &options)?;
                table.variable.clone_from(variable);
                Arc::new(table)
            }
        })
    }
}

#[async_trait]
impl TableProvider for DeferredTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        match self.content {
            Content::Values(_) => TableType::Base,
            Content::Metadata { .. } => TableType::View,
        }
    }

    // Which filters the scan applies exactly is known only when the store is open.
    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let table = self.open().await?;
        if table.schema() != self.schema {
            return exec_err!("the columns of a table of a store differ from those in the plan");
        }
        table.scan(state, projection, filters, limit).await
    }
}
