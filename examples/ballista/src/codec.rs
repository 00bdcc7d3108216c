//! The codecs with which Ballista sends queries over stores. The client sends logical plans with
//! tables to the scheduler. The scheduler sends physical plans with scans to the executors.

use std::sync::Arc;

use async_trait::async_trait;
use atlas::Atlas;
use atlas_datafusion::codec::AtlasCodec;
use atlas_datafusion::{AtlasTable, TableOptions};
use ballista_core::serde::{BallistaLogicalExtensionCodec, BallistaPhysicalExtensionCodec};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{
    DataFusionError, Result, TableReference, exec_datafusion_err, exec_err, not_impl_err,
};
use datafusion::execution::TaskContext;
use datafusion::logical_expr::{Expr, Extension, LogicalPlan, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion_proto::logical_plan::LogicalExtensionCodec;
use datafusion_proto::physical_plan::{ComposedPhysicalExtensionCodec, PhysicalExtensionCodec};

/// The codec of physical plans: Ballista's own operators, and scans of stores.
pub fn physical() -> Arc<dyn PhysicalExtensionCodec> {
    let ballista = Arc::new(BallistaPhysicalExtensionCodec::default());
    Arc::new(ComposedPhysicalExtensionCodec::new(vec![ballista, Arc::new(AtlasCodec)]))
}

/// The codec of logical plans: wide tables of stores, and everything that Ballista itself encodes.
#[derive(Debug, Default)]
pub struct TableCodec {
    ballista: BallistaLogicalExtensionCodec,
}

impl LogicalExtensionCodec for TableCodec {
    fn try_decode(&self, buf: &[u8], inputs: &[LogicalPlan], ctx: &TaskContext) -> Result<Extension> {
        self.ballista.try_decode(buf, inputs, ctx)
    }

    fn try_encode(&self, node: &Extension, buf: &mut Vec<u8>) -> Result<()> {
        self.ballista.try_encode(node, buf)
    }

    fn try_encode_table_provider(
        &self,
        table: &TableReference,
        node: Arc<dyn TableProvider>,
        buf: &mut Vec<u8>,
    ) -> Result<()> {
        let Some(store) = node.downcast_ref::<AtlasTable>() else {
            return self.ballista.try_encode_table_provider(table, node, buf);
        };
        let snapshot = store.snapshot();
        let Some(address) = snapshot.storage().address() else {
            return not_impl_err!("the store of `{table}` has no address by which another process could open it");
        };
        buf.extend(format!("{}\n{address}", snapshot.root().generation()).bytes());
        Ok(())
    }

    fn try_decode_table_provider(
        &self,
        buf: &[u8],
        table: &TableReference,
        schema: SchemaRef,
        ctx: &TaskContext,
    ) -> Result<Arc<dyn TableProvider>> {
        let sent = std::str::from_utf8(buf).ok().and_then(|text| text.split_once('\n'));
        let Some((Ok(generation), address)) = sent.map(|(number, address)| (number.parse(), address)) else {
            return self.ballista.try_decode_table_provider(buf, table, schema, ctx);
        };
        let (name, address) = (table.table().to_owned(), address.to_owned());
        Ok(Arc::new(Sent { name, address, generation, schema }))
    }
}

/// A decoded wide table. The store is opened when the table is scanned.
#[derive(Debug)]
struct Sent {
    name: String,
    address: String,
    generation: u64,
    schema: SchemaRef,
}

#[async_trait]
impl TableProvider for Sent {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    // Only the store's own table knows which filters it applies exactly, so they stay above the scan.
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
        let failed = |e: atlas::Error| DataFusionError::External(Box::new(e));
        let mut atlas = Atlas::open_url(&self.address).await.map_err(failed)?;
        if atlas.snapshot().root().generation() != self.generation {
            atlas = atlas.open_at(self.generation).await.map_err(failed)?;
        }
        let snapshot = atlas.snapshot();
        snapshot.load().await.map_err(failed)?;
        let table = AtlasTable::wide(&self.name, snapshot, &TableOptions::default())?;
        if table.schema() != self.schema {
            return exec_err!("only the default wide table of a store can be sent");
        }
        if projection.is_some_and(|shown| shown.iter().any(|&column| column >= self.schema.fields().len())) {
            return Err(exec_datafusion_err!("the plan projects columns that `{}` does not have", self.name));
        }
        table.scan(state, projection, filters, limit).await
    }
}
