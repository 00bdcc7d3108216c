//! Encodes scans and tables of stores in plans for other processes.
//!
//! [`AtlasCodec`] is for engines that send plans of DataFusion to other machines as protobuf
//! messages. As a [`PhysicalExtensionCodec`] it encodes scans, as a [`LogicalExtensionCodec`]
//! tables. An encoded scan or table contains the address of its store without credentials, and the
//! generation; a scan also contains ranges of tiles. The process that decodes it opens this
//! generation with its own credentials. Decoding never blocks: the store is opened when the scan
//! runs or is planned.
//!
//! The codec encodes what is Atlas' own. DataFusion encodes all other operators, and loses parts of
//! some: the `FILTER` and `IGNORE NULLS` of window functions, and the upper bits of most limits above
//! 2^32 - 1.
//!
//! A store in an object store that the program has created itself has no address, and cannot be
//! encoded.

mod deferred;
mod expressions;
mod logical;
mod message;
mod open;
mod scan;
mod table;

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::common::{Result, TableReference, not_impl_err};
use datafusion::execution::TaskContext;
use datafusion::logical_expr::{Extension, LogicalPlan};
use datafusion::physical_plan::ExecutionPlan;
use datafusion_proto::logical_plan::LogicalExtensionCodec;
use datafusion_proto::physical_plan::{PhysicalExtensionCodec, PhysicalProtoConverterExtension};
use prost::Message;

pub use self::deferred::DeferredSource;
use self::expressions::Expressions;
pub use self::logical::DeferredTable;
use self::logical::{decode_table, encode_table};
use self::message::ScanMessage;
pub use self::message::VERSION as CODEC_VERSION;
use self::scan::{decode, encode};

/// Encodes and decodes scans and tables of stores, and nothing else. Functions are encoded by name;
/// both processes must have registered them.
#[derive(Clone, Copy, Debug, Default)]
pub struct AtlasCodec;

impl PhysicalExtensionCodec for AtlasCodec {
    fn try_encode(
        &self,
        node: Arc<dyn ExecutionPlan>,
        buf: &mut Vec<u8>,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<()> {
        buf.extend(encode(node.as_ref(), self, converter)?.encode_to_vec());
        Ok(())
    }

    fn try_decode(
        &self,
        buf: &[u8],
        _inputs: &[Arc<dyn ExecutionPlan>],
        ctx: &TaskContext,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let scan = ScanMessage::decode(buf)
            .map_err(|e| datafusion_proto::protobuf::proto_error(format!("a scan of a store: {e}")))?;
        decode(scan, ctx, &Expressions { codec: self, converter })
    }
}

impl LogicalExtensionCodec for AtlasCodec {
    fn try_decode(&self, _buf: &[u8], _inputs: &[LogicalPlan], _ctx: &TaskContext) -> Result<Extension> {
        not_impl_err!("stores have no operators of their own in logical plans")
    }

    fn try_encode(&self, node: &Extension, _buf: &mut Vec<u8>) -> Result<()> {
        not_impl_err!("{} is not an operator of Atlas", node.node.name())
    }

    fn try_encode_table_provider(
        &self,
        _name: &TableReference,
        table: Arc<dyn TableProvider>,
        buf: &mut Vec<u8>,
    ) -> Result<()> {
        buf.extend(encode_table(table.as_ref())?);
        Ok(())
    }

    fn try_decode_table_provider(
        &self,
        buf: &[u8],
        _name: &TableReference,
        _schema: SchemaRef,
        _ctx: &TaskContext,
    ) -> Result<Arc<dyn TableProvider>> {
        Ok(Arc::new(decode_table(buf)?))
    }
}
