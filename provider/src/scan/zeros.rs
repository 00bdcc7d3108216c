//! The two zeros of floats. `=` treats them as equal; bits and sort orders do not.

use std::sync::Arc;

use arrow::datatypes::Schema;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{InListExpr, Literal};

/// True if an operator compares its sides.
pub fn is_comparison(op: Operator) -> bool {
    use Operator::{Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, NotEq};
    matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom)
}

/// True if a value is a float, and 0.0 or -0.0.
pub fn is_float_zero(value: &ScalarValue) -> bool {
    match value {
        ScalarValue::Float16(Some(number)) => number.to_f32() == 0.0,
        ScalarValue::Float32(Some(number)) => *number == 0.0,
        ScalarValue::Float64(Some(number)) => *number == 0.0,
        _ => false,
    }
}

/// True if an expression is a float literal, and 0.0 or -0.0.
pub fn is_zero_literal(expr: &Arc<dyn PhysicalExpr>) -> bool {
    expr.downcast_ref::<Literal>().is_some_and(|literal| is_float_zero(literal.value()))
}

/// A physical predicate in which lists of floats with one zero get both, because a list compares
/// bits.
pub fn with_both_zeros(predicate: Arc<dyn PhysicalExpr>, schema: &Schema) -> Result<Arc<dyn PhysicalExpr>> {
    let rewritten = predicate.transform_up(|node| {
        let Some(list) = node.downcast_ref::<InListExpr>() else { return Ok(Transformed::no(node)) };
        let of = list.expr().data_type(schema)?;
        if !of.is_floating() || !list.list().iter().any(is_zero_literal) {
            return Ok(Transformed::no(node));
        }
        let mut members = list.list().to_vec();
        for zero in [0.0, -0.0] {
            let zero: Arc<dyn PhysicalExpr> =
                Arc::new(Literal::new(ScalarValue::Float64(Some(zero)).cast_to(&of)?));
            if !members.contains(&zero) {
                members.push(zero);
            }
        }
        let list = InListExpr::try_new(Arc::clone(list.expr()), members, list.negated(), schema)?;
        Ok(Transformed::yes(Arc::new(list) as Arc<dyn PhysicalExpr>))
    });
    rewritten.data()
}
