//! The current content of dynamic filters.

use std::sync::Arc;

use arrow::datatypes::{DataType, Schema};
use datafusion::common::Result;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{BinaryExpr, Column, InListExpr};
use datafusion::physical_expr::utils::{collect_columns, split_conjunction};
use datafusion::physical_expr_common::physical_expr::snapshot_physical_expr;

use super::zeros::{is_comparison, is_zero_literal};

/// The current predicates of a filter, over the columns of a table with `schema`. All hold for
/// every row that operators above still want. Predicates that cannot be interpreted are left out.
pub fn current(filter: &Arc<dyn PhysicalExpr>, schema: &Schema) -> Result<Vec<Arc<dyn PhysicalExpr>>> {
    let filter = snapshot_physical_expr(Arc::clone(filter))?;
    let understood = split_conjunction(&filter).into_iter().filter(|expr| is_understood(expr, schema));
    Ok(understood.map(with_ties_at_zero).collect())
}

/// True if a predicate's columns are those of the table, and both sides of its comparisons have one
/// type.
fn is_understood(predicate: &Arc<dyn PhysicalExpr>, schema: &Schema) -> bool {
    let is_of_table = |column: &Column| {
        schema.fields().get(column.index()).is_some_and(|field| field.name() == column.name())
    };
    if !collect_columns(predicate).iter().all(is_of_table) {
        return false;
    }
    let mut understood = true;
    let visited = predicate.apply(|node| {
        understood &= match (node.downcast_ref::<BinaryExpr>(), node.downcast_ref::<InListExpr>()) {
            (Some(binary), _) if is_comparison(*binary.op()) => {
                binary.left().data_type(schema)? == binary.right().data_type(schema)?
            }
            // Members are compared by their bits: -0.0 in a struct would not equal 0.0.
            (_, Some(list)) => !has_nested_floats(&list.expr().data_type(schema)?),
            _ => true,
        };
        Ok(if understood { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    });
    understood && visited.is_ok()
}

fn has_nested_floats(data_type: &DataType) -> bool {
    match data_type {
        DataType::Struct(fields) => {
            fields.iter().any(|field| field.data_type().is_floating() || has_nested_floats(field.data_type()))
        }
        _ => false,
    }
}

/// The predicate, changed to accept rows at zero if it compares with zero by less or greater.
///
/// Sorts put -0.0 before 0.0, and comparisons treat them as equal. Only the sort can decide which
/// of the two comes first. This applies to comparisons that the sort has written, and not to those
/// in its own expressions: `ORDER BY x > 0` has another value if `x` is 0.
fn with_ties_at_zero(predicate: &Arc<dyn PhysicalExpr>) -> Arc<dyn PhysicalExpr> {
    let Some(binary) = predicate.downcast_ref::<BinaryExpr>() else { return Arc::clone(predicate) };
    let (left, right) = (binary.left(), binary.right());
    let is_zero = is_zero_literal(left) || is_zero_literal(right);
    let (left, op, right) = match binary.op() {
        op @ (Operator::And | Operator::Or) => (with_ties_at_zero(left), *op, with_ties_at_zero(right)),
        Operator::Lt if is_zero => (Arc::clone(left), Operator::LtEq, Arc::clone(right)),
        Operator::Gt if is_zero => (Arc::clone(left), Operator::GtEq, Arc::clone(right)),
        _ => return Arc::clone(predicate),
    };
    Arc::new(BinaryExpr::new(left, op, right))
}
