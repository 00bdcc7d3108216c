//! The meaning of comparisons of floats with literals.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::utils::{conjunction, disjunction, merge_schema};
use datafusion::logical_expr::{Between, BinaryExpr, Case, Expr, ExprSchemable, LogicalPlan, lit};
use datafusion::optimizer::AnalyzerRule;
use datafusion::optimizer::simplify_expressions::ExprSimplifier;

use crate::rules::add_first;
use crate::scan::zeros::{is_comparison, is_float_zero};
use crate::tables::options::AtlasOptions;

/// Compares floats with literals as users expect it.
///
/// - A number beside an `f32` is an `f32`: `lat = 47.3` finds the rows that print as 47.3. SQL's
///   numbers are `f64`, and the only `f64` that equals the `f32` nearest to 47.3 is
///   47.29999923706055. NumPy, xarray and DuckDB also compare this way. The rule holds for `=`,
///   `<>`, `<`, `<=`, `>`, `>=`, `IS [NOT] DISTINCT FROM`, `BETWEEN`, `IN` and `CASE x WHEN`, and
///   for every expression of type `f32`. Numbers out of the range of `f32` stay `f64`.
///   `SET atlas.f32_literals = false` switches it off.
/// - In `IN`, -0.0 equals 0.0, as it does for `=`.
///
/// The rule applies to all tables of a session, and runs before types are coerced.
#[derive(Debug, Default)]
pub struct FloatLiterals;

impl FloatLiterals {
    /// Adds the rule before those of a session, unless it is there already.
    pub fn add_to(rules: &mut Vec<Arc<dyn AnalyzerRule + Send + Sync>>) {
        add_first(rules, Self);
    }
}

impl AnalyzerRule for FloatLiterals {
    fn analyze(&self, plan: LogicalPlan, config: &ConfigOptions) -> Result<LogicalPlan> {
        let single = AtlasOptions::of(config).f32_literals;
        plan.transform_up_with_subqueries(|plan| rewrite_plan(plan, single)).data()
    }

    fn name(&self) -> &str {
        "FloatLiterals"
    }
}

fn rewrite_plan(plan: LogicalPlan, single: bool) -> Result<Transformed<LogicalPlan>> {
    let mut schema = merge_schema(&plan.inputs());
    if let LogicalPlan::TableScan(scan) = &plan {
        let table = DFSchema::try_from_qualified_schema(scan.table_name.clone(), &scan.source.schema())?;
        schema.merge(&table);
    }
    let names = NamePreserver::new(&plan);
    let rewritten = plan.map_expressions(|expr| {
        let name = names.save(&expr);
        let rewritten = expr.transform_up(|expr| rewrite(expr, &schema, single))?;
        Ok(if rewritten.transformed { rewritten.update_data(|expr| name.restore(expr)) } else { rewritten })
    })?;
    if rewritten.transformed { rewritten.map_data(LogicalPlan::recompute_schema) } else { Ok(rewritten) }
}

fn rewrite(expr: Expr, schema: &DFSchema, single: bool) -> Result<Transformed<Expr>> {
    let is_single = |expr: &Expr| {
        single && !is_number(expr) && expr.get_type(schema).is_ok_and(|of| of == DataType::Float32)
    };
    Ok(match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if is_comparison(op) => {
            let narrow = |side: &Expr, other: &Expr| {
                if is_single(other) { single_of(side, schema) } else { None }
            };
            let (new_left, new_right) = (narrow(&left, &right), narrow(&right, &left));
            let changed = new_left.is_some() || new_right.is_some();
            let left = new_left.map_or(left, Box::new);
            let right = new_right.map_or(right, Box::new);
            changed_if(changed, Expr::BinaryExpr(BinaryExpr::new(left, op, right)))
        }
        Expr::Between(between) if is_single(&between.expr) => rewrite_between(between, schema),
        Expr::InList(list) => rewrite_list(list, schema, single)?,
        Expr::Case(Case { expr: Some(expr), when_then_expr, else_expr }) if is_single(&expr) => {
            let narrow: Option<Vec<_>> =
                when_then_expr.iter().map(|(when, _)| single_of(when, schema)).collect();
            let changed = narrow.is_some();
            let when_then_expr = match narrow {
                None => when_then_expr,
                Some(narrow) => {
                    let whens = narrow.into_iter().map(Box::new);
                    whens.zip(when_then_expr.into_iter().map(|(_, then)| then)).collect()
                }
            };
            changed_if(changed, Expr::Case(Case { expr: Some(expr), when_then_expr, else_expr }))
        }
        expr => Transformed::no(expr),
    })
}

fn changed_if(changed: bool, expr: Expr) -> Transformed<Expr> {
    if changed { Transformed::yes(expr) } else { Transformed::no(expr) }
}

/// `x BETWEEN a AND b`; one of the bounds may not be a number.
fn rewrite_between(between: Between, schema: &DFSchema) -> Transformed<Expr> {
    let (low, high) = (single_of(&between.low, schema), single_of(&between.high, schema));
    if low.is_none() && high.is_none() {
        return Transformed::no(Expr::Between(between));
    }
    let Between { expr, negated, low: old_low, high: old_high } = between;
    if let (Some(low), Some(high)) = (&low, &high) {
        let (low, high) = (Box::new(low.clone()), Box::new(high.clone()));
        return Transformed::yes(Expr::Between(Between { expr, negated, low, high }));
    }
    let (low, high) = (low.unwrap_or(*old_low), high.unwrap_or(*old_high));
    let within = expr.clone().gt_eq(low).and(expr.lt_eq(high));
    Transformed::yes(if negated { Expr::Not(Box::new(within)) } else { within })
}

/// `x IN (…)`: members that are not numbers are compared by `=`, and a zero is listed with both
/// signs.
fn rewrite_list(list: InList, schema: &DFSchema, single: bool) -> Result<Transformed<Expr>> {
    let of = list.expr.get_type(schema).unwrap_or(DataType::Null);
    let floats = of.is_floating()
        || list.list.iter().any(|member| member.get_type(schema).is_ok_and(|of| of.is_floating()));
    if !floats {
        return Ok(Transformed::no(Expr::InList(list)));
    }
    let InList { expr, list, negated } = list;
    let single = single && of == DataType::Float32;
    let (mut numbers, mut others, mut changed) = (Vec::new(), Vec::new(), false);
    let mut zero = None;
    for member in list {
        if !is_constant(&member) {
            others.push(member);
            continue;
        }
        let value = constant(&member, schema);
        let narrow = value.as_ref().filter(|_| single).and_then(nearest_single);
        changed |= narrow.is_some();
        let member = narrow.clone().map_or(member, lit);
        if let Some(value) = narrow.or(value).filter(is_zero) {
            zero = Some(if value.data_type().is_floating() { value.data_type() } else { of.clone() });
        }
        numbers.push(member);
    }
    if let Some(zero) = zero.filter(DataType::is_floating) {
        for value in [0.0, -0.0] {
            let value = lit(ScalarValue::Float64(Some(value)).cast_to(&zero)?);
            if !numbers.contains(&value) {
                changed = true;
                numbers.push(value);
            }
        }
    }
    if others.is_empty() {
        return Ok(changed_if(changed, Expr::InList(InList { expr, list: numbers, negated })));
    }
    let equal = others.into_iter().map(|other| {
        if negated { expr.as_ref().clone().not_eq(other) } else { expr.as_ref().clone().eq(other) }
    });
    let mut parts: Vec<Expr> = equal.collect();
    if !numbers.is_empty() {
        parts.push(Expr::InList(InList { expr: expr.clone(), list: numbers, negated }));
    }
    let all = if negated { conjunction(parts) } else { disjunction(parts) };
    Ok(Transformed::yes(all.unwrap_or_else(|| lit(negated))))
}

fn is_number(expr: &Expr) -> bool {
    matches!(expr, Expr::Literal(..))
}

/// True if an expression is the same for all rows and known during planning.
fn is_constant(expr: &Expr) -> bool {
    let unknown = expr.exists(|part| {
        Ok(matches!(
            part,
            Expr::Column(_)
                | Expr::OuterReferenceColumn(..)
                | Expr::ScalarVariable(..)
                | Expr::ScalarSubquery(_)
                | Expr::Exists(_)
                | Expr::InSubquery(_)
                | Expr::SetComparison(_)
                | Expr::AggregateFunction(_)
                | Expr::WindowFunction(_)
                | Expr::Placeholder(_)
                | Expr::Unnest(_)
        ))
    });
    !unknown.unwrap_or(true) && !expr.is_volatile()
}

/// The value of a constant expression.
fn constant(expr: &Expr, schema: &DFSchema) -> Option<ScalarValue> {
    if let Expr::Literal(value, _) = expr {
        return Some(value.clone());
    }
    if !is_constant(expr) {
        return None;
    }
    let simplifier = ExprSimplifier::new(SimplifyContext::builder().with_current_time().build());
    let coerced = simplifier.coerce(expr.clone(), schema).ok()?;
    match simplifier.simplify(coerced).ok()? {
        Expr::Literal(value, _) => Some(value),
        _ => None,
    }
}

/// A constant expression as the [nearest `f32`](nearest_single).
fn single_of(expr: &Expr, schema: &DFSchema) -> Option<Expr> {
    nearest_single(&constant(expr, schema)?).map(lit)
}

/// The `f32` nearest to a number of type `f64` or decimal; `None` if the number is too large, or
/// too small to differ from zero.
fn nearest_single(value: &ScalarValue) -> Option<ScalarValue> {
    if !(value.data_type() == DataType::Float64 || value.data_type().is_decimal()) {
        return None;
    }
    if value.is_null() {
        return Some(ScalarValue::Float32(None));
    }
    let ScalarValue::Float64(Some(double)) = value.cast_to(&DataType::Float64).ok()? else { return None };
    #[expect(clippy::cast_possible_truncation, reason = "the nearest is what is wanted")]
    let single = double as f32;
    let faithful = single.is_finite() == double.is_finite() && (single == 0.0) == (double == 0.0);
    faithful.then_some(ScalarValue::Float32(Some(single)))
}

/// Whether a number is 0, 0.0 or -0.0.
fn is_zero(value: &ScalarValue) -> bool {
    let of = value.data_type();
    is_float_zero(value) || of.is_numeric() && ScalarValue::new_zero(&of).is_ok_and(|zero| zero == *value)
}
