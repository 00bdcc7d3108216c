//! Encodes and decodes expressions.

use std::sync::Arc;

use arrow::datatypes::Schema;
use datafusion::common::Result;
use datafusion::execution::TaskContext;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion_proto::physical_plan::{
    PhysicalExtensionCodec, PhysicalPlanDecodeContext, PhysicalProtoConverterExtension,
};
use datafusion_proto::protobuf::{PhysicalExprNode, PhysicalPlanNode};

/// Encodes and decodes with the converter of the whole plan. A dynamic filter therefore stays one
/// object, shared by the operator that fills it and the scan that applies it.
pub struct Expressions<'a> {
    pub codec: &'a dyn PhysicalExtensionCodec,
    pub converter: &'a dyn PhysicalProtoConverterExtension,
}

impl Expressions<'_> {
    pub fn encode<'e>(
        &self,
        expressions: impl IntoIterator<Item = &'e Arc<dyn PhysicalExpr>>,
    ) -> Result<Vec<PhysicalExprNode>> {
        let encode = |expr| self.converter.physical_expr_to_proto(expr, self.codec);
        expressions.into_iter().map(encode).collect()
    }

    pub fn decode(
        &self,
        expressions: &[PhysicalExprNode],
        schema: &Schema,
        ctx: &TaskContext,
    ) -> Result<Vec<Arc<dyn PhysicalExpr>>> {
        let ctx = PhysicalPlanDecodeContext::new(ctx, self.codec);
        let decode = |expr| self.converter.proto_to_physical_expr(expr, schema, &ctx);
        expressions.iter().map(decode).collect()
    }

    pub fn encode_plan(&self, plan: &Arc<dyn ExecutionPlan>) -> Result<PhysicalPlanNode> {
        self.converter.execution_plan_to_proto(plan, self.codec)
    }

    pub fn decode_plan(&self, plan: &PhysicalPlanNode, ctx: &TaskContext) -> Result<Arc<dyn ExecutionPlan>> {
        let ctx = PhysicalPlanDecodeContext::new(ctx, self.codec);
        self.converter.proto_to_execution_plan(plan, &ctx)
    }
}
