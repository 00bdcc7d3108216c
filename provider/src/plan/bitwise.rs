//! The operands of bitwise operators.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, Result, plan_err};
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, LogicalPlan, Operator};
use datafusion::optimizer::AnalyzerRule;

use crate::rules::add_first;
use crate::tables::words::type_in_words;

/// Rejects floats and decimals beside `^`, `|`, `&`, `<<` and `>>`.
///
/// DataFusion truncates them to integers: `2.7 ^ 2` is 0, which nobody means. The rule applies to
/// all tables of a session, and runs before types are coerced.
#[derive(Debug, Default)]
pub struct BitwiseOperands;

impl BitwiseOperands {
    /// Adds the rule before those of a session, unless it is there already.
    pub fn add_to(rules: &mut Vec<Arc<dyn AnalyzerRule + Send + Sync>>) {
        add_first(rules, Self);
    }
}

impl AnalyzerRule for BitwiseOperands {
    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        plan.apply_with_subqueries(|plan| {
            let mut has_any = false;
            plan.apply_expressions(|expr| {
                has_any = expr.exists(|part| Ok(is_bitwise(part)))?;
                Ok(if has_any { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
            })?;
            if !has_any {
                return Ok(TreeNodeRecursion::Continue);
            }
            let schema = match plan {
                LogicalPlan::TableScan(scan) => {
                    DFSchema::try_from_qualified_schema(scan.table_name.clone(), &scan.source.schema())?
                }
                plan => merge_schema(&plan.inputs()),
            };
            plan.apply_expressions(|expr| {
                expr.apply(|expr| check(expr, &schema).map(|()| TreeNodeRecursion::Continue))
            })
        })?;
        Ok(plan)
    }

    fn name(&self) -> &str {
        "BitwiseOperands"
    }
}

fn is_bitwise(expr: &Expr) -> bool {
    use Operator::{BitwiseAnd, BitwiseOr, BitwiseShiftLeft, BitwiseShiftRight, BitwiseXor};
    let Expr::BinaryExpr(BinaryExpr { op, .. }) = expr else { return false };
    matches!(op, BitwiseAnd | BitwiseOr | BitwiseXor | BitwiseShiftLeft | BitwiseShiftRight)
}

fn check(expr: &Expr, schema: &DFSchema) -> Result<()> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = expr else { return Ok(()) };
    if !is_bitwise(expr) {
        return Ok(());
    }
    let fractional = [left, right].into_iter().find_map(|side| {
        let of = side.get_type(schema).ok()?;
        (of.is_floating() || is_decimal(&of)).then(|| type_in_words(&of))
    });
    match fractional {
        None => Ok(()),
        Some(of) if *op == Operator::BitwiseXor => plan_err!(
            "`^` is the bitwise exclusive or of integers, and one side is a {of}: write power(x, y) for x to the power of y"
        ),
        Some(of) => {
            plan_err!(
                "`{op}` is for the bits of integers, and one side is a {of}: CAST(x AS BIGINT) truncates it"
            )
        }
    }
}

/// True for decimals that may have fractions.
fn is_decimal(of: &DataType) -> bool {
    match of {
        DataType::Decimal32(_, scale)
        | DataType::Decimal64(_, scale)
        | DataType::Decimal128(_, scale)
        | DataType::Decimal256(_, scale) => *scale > 0,
        _ => false,
    }
}
