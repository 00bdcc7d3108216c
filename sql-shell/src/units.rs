//! The units of a result's columns, which are found by tracing the columns through the plan to the
//! tables of stores.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use atlas_datafusion::describe;
use datafusion::catalog::default_table_source::DefaultTableSource;
use datafusion::logical_expr::{Expr, JoinType, LogicalPlan, Operator};

use crate::output::UNITS;

/// Functions whose values have the units of their first argument.
const KEEP: [&str; 33] = [
    "min",
    "max",
    "avg",
    "mean",
    "sum",
    "median",
    "stddev",
    "stddev_samp",
    "stddev_pop",
    "std",
    "first_value",
    "last_value",
    "nth_value",
    "percentile_cont",
    "approx_percentile_cont",
    "quantile",
    "mode",
    "lag",
    "lead",
    "round",
    "abs",
    "floor",
    "ceil",
    "trunc",
    "coalesce",
    "nullif",
    "ifnull",
    "nvl",
    "greatest",
    "least",
    "average",
    "mad",
    "iqr",
];

/// The units of each column of a plan, if known.
pub(crate) fn of_plan(plan: &LogicalPlan) -> Vec<Option<String>> {
    let mut units = Units::default();
    let columns = plan.schema().fields().iter().enumerate();
    columns.map(|(i, field)| units.of(plan, i).filter(|_| field.data_type().is_numeric())).collect()
}

/// Adds units to the metadata of a schema's fields.
pub(crate) fn with_units(schema: &SchemaRef, units: &[Option<String>]) -> SchemaRef {
    if units.iter().all(Option::is_none) || units.len() != schema.fields().len() {
        return Arc::clone(schema);
    }
    let fields = schema.fields().iter().zip(units).map(|(field, units)| {
        let mut metadata = field.metadata().clone();
        metadata.extend(units.iter().map(|units| (UNITS.to_owned(), units.clone())));
        Field::clone(field).with_metadata(metadata)
    });
    Arc::new(Schema::new_with_metadata(fields.collect::<Vec<_>>(), schema.metadata().clone()))
}

/// The units of the columns of tables, cached.
#[derive(Default)]
struct Units {
    tables: HashMap<String, HashMap<String, Option<String>>>,
}

impl Units {
    /// The units of a column of a plan, by its position.
    fn of(&mut self, plan: &LogicalPlan, column: usize) -> Option<String> {
        match plan {
            LogicalPlan::Projection(of) => self.of_expr(of.expr.get(column)?, &of.input),
            LogicalPlan::SubqueryAlias(of) => self.of(&of.input, column),
            LogicalPlan::Filter(of) => self.of(&of.input, column),
            LogicalPlan::Sort(of) => self.of(&of.input, column),
            LogicalPlan::Limit(of) => self.of(&of.input, column),
            LogicalPlan::Repartition(of) => self.of(&of.input, column),
            LogicalPlan::Distinct(datafusion::logical_expr::Distinct::All(input)) => self.of(input, column),
            LogicalPlan::Distinct(datafusion::logical_expr::Distinct::On(of)) => {
                self.of_expr(of.select_expr.get(column)?, &of.input)
            }
            LogicalPlan::Aggregate(of) => {
                let expr = of.group_expr.iter().chain(&of.aggr_expr).nth(column)?;
                self.of_expr(expr, &of.input)
            }
            LogicalPlan::Window(of) => {
                let before = of.input.schema().fields().len();
                match column.checked_sub(before) {
                    None => self.of(&of.input, column),
                    Some(window) => self.of_expr(of.window_expr.get(window)?, &of.input),
                }
            }
            LogicalPlan::Join(of) => {
                let left = match of.join_type {
                    JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => 0,
                    _ => of.left.schema().fields().len(),
                };
                match column.checked_sub(left) {
                    None => self.of(&of.left, column),
                    Some(right) => self.of(&of.right, right),
                }
            }
            LogicalPlan::Union(of) => {
                let mut all = of.inputs.iter().map(|input| self.of(input, column));
                let first = all.next()??;
                all.all(|units| units.as_ref() == Some(&first)).then_some(first)
            }
            LogicalPlan::TableScan(of) => {
                let name = of.projected_schema.fields().get(column)?.name().clone();
                let source = of.source.downcast_ref::<DefaultTableSource>()?;
                if let Some(view) = source.table_provider.get_logical_plan() {
                    let column = view.schema().index_of_column_by_name(None, &name)?;
                    return self.of(&view, column);
                }
                let known = self.tables.entry(of.table_name.to_string()).or_insert_with(|| {
                    let columns = describe(source.table_provider.as_ref()).unwrap_or_default();
                    columns.into_iter().map(|column| (column.name, column.units)).collect()
                });
                known.get(&name).cloned().flatten()
            }
            _ => None,
        }
    }

    fn of_expr(&mut self, expr: &Expr, input: &LogicalPlan) -> Option<String> {
        match expr {
            Expr::Column(column) => self.of(input, input.schema().maybe_index_of_column(column)?),
            Expr::Alias(alias) => self.of_expr(&alias.expr, input),
            Expr::Negative(inner) => self.of_expr(inner, input),
            Expr::Cast(cast) => self.of_expr(&cast.expr, input),
            Expr::TryCast(cast) => self.of_expr(&cast.expr, input),
            Expr::BinaryExpr(binary) if matches!(binary.op, Operator::Plus | Operator::Minus) => {
                let (left, right) = (self.of_expr(&binary.left, input)?, self.of_expr(&binary.right, input)?);
                (left == right).then_some(left)
            }
            Expr::ScalarFunction(call) => self.of_call(call.func.name(), &call.args, input),
            Expr::AggregateFunction(call) => self.of_call(call.func.name(), &call.params.args, input),
            Expr::WindowFunction(call) => self.of_call(call.fun.name(), &call.params.args, input),
            _ => None,
        }
    }

    fn of_call(&mut self, name: &str, args: &[Expr], input: &LogicalPlan) -> Option<String> {
        if !KEEP.contains(&name) {
            return None;
        }
        self.of_expr(args.first()?, input)
    }
}
