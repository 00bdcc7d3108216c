//! Encodes scans of stores in plans for other processes.
//!
//! [`AtlasCodec`] is a [`PhysicalExtensionCodec`] for engines that send plans of DataFusion to other
//! machines as protobuf messages. An encoded scan contains the address of its store without
//! credentials, the generation, and ranges of tiles. The process that decodes it opens this
//! generation with its own credentials. Decoding never blocks: the store is opened when the scan
//! runs.
//!
//! A store in an object store that the program has created itself has no address, and cannot be
//! encoded.

mod deferred;
mod expressions;
mod message;
mod open;
mod scan;

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::ExecutionPlan;
use datafusion_proto::physical_plan::{PhysicalExtensionCodec, PhysicalProtoConverterExtension};
use prost::Message;

pub use self::deferred::DeferredSource;
use self::expressions::Expressions;
use self::message::ScanMessage;
pub use self::message::VERSION as CODEC_VERSION;
use self::scan::{decode, encode};

/// Encodes and decodes scans of stores. Functions are encoded by name; both processes must have
/// registered them.
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
