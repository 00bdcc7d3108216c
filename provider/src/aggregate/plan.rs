//! Which aggregations a scan can do itself.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::functions_aggregate::average::Avg;
use datafusion::functions_aggregate::count::Count;
use datafusion::functions_aggregate::min_max::{Max, Min};
use datafusion::functions_aggregate::sum::Sum;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_expr::expressions::{CastExpr, Column, Literal};
use datafusion::physical_expr::utils::{collect_columns, reassign_expr_columns};
use datafusion::physical_expr_common::physical_expr::is_volatile;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};

use super::{Aggregate, Aggregation, Measure, Summary};
use crate::layout::{ColumnKind, Layout};
use crate::predicate::{Scope, batch, scope};

/// Expressions over some columns of a table.
#[derive(Clone, Debug)]
pub struct Expressions {
    /// The columns, as positions in the table, ascending.
    pub columns: Vec<usize>,
    schema: SchemaRef,
    exprs: Vec<Arc<dyn PhysicalExpr>>,
}

/// The keys of groups that depend on one thing.
#[derive(Clone, Debug)]
pub struct Keys {
    /// The dataset, or one coordinate too.
    pub scope: Scope,
    /// Whether one of them is the name of the dataset, so that no two datasets have the same keys.
    pub name_datasets: bool,
    /// The places of these keys among all keys.
    pub places: Vec<usize>,
    pub expressions: Expressions,
    /// The same over the whole table.
    pub over_table: Vec<Arc<dyn PhysicalExpr>>,
    /// The keys' types.
    pub schema: SchemaRef,
}

impl Expressions {
    /// Expressions over the columns of a table with `schema`.
    pub fn new(exprs: &[Arc<dyn PhysicalExpr>], schema: &Schema) -> Result<Self> {
        let columns: BTreeSet<usize> =
            exprs.iter().flat_map(collect_columns).map(|column| column.index()).collect();
        let columns: Vec<usize> = columns.into_iter().collect();
        let own = Arc::new(schema.project(&columns)?);
        let exprs = exprs.iter().map(|expr| reassign_expr_columns(Arc::clone(expr), &own));
        Ok(Self { columns, exprs: exprs.collect::<Result<_>>()?, schema: own })
    }

    /// Their types.
    pub fn types(&self) -> Result<Vec<DataType>> {
        self.exprs.iter().map(|expr| expr.data_type(&self.schema)).collect()
    }

    /// Their values in `rows` rows, of which `arrays` has the columns.
    pub fn evaluate(&self, arrays: Vec<ArrayRef>, rows: usize) -> Result<Vec<ArrayRef>> {
        let batch = batch(&self.schema, arrays, rows)?;
        self.exprs.iter().map(|expr| expr.evaluate(&batch)?.into_array(rows)).collect()
    }
}

impl Aggregation {
    /// The aggregation that a partial one over a table is; `None` where it is not for a scan. `inputs` has the expressions
    /// over the table that the columns of the partial one's input are.
    pub fn of(
        partial: &AggregateExec,
        inputs: &[Arc<dyn PhysicalExpr>],
        layout: &Layout,
    ) -> Result<Option<Self>> {
        let plain = *partial.mode() == AggregateMode::Partial
            && (partial.group_expr().is_single() || partial.group_expr().is_empty())
            && partial.limit_options().is_none()
            && partial.filter_expr().iter().all(Option::is_none);
        if !plain {
            return Ok(None);
        }
        let over_table = |expr| over(expr, inputs);
        let schema = partial.schema();
        let keys = partial.group_expr().input_exprs().into_iter().map(over_table);
        let keys: Vec<_> = keys.collect::<Result<_>>()?;
        let Some(keys) = by_scope(&keys, &schema, layout)? else { return Ok(None) };
        let mut aggregates = Vec::new();
        for function in partial.aggr_expr() {
            let arguments = function.expressions().into_iter().map(over_table);
            let arguments: Vec<_> = arguments.collect::<Result<_>>()?;
            let simple = !function.is_distinct()
                && function.order_bys().is_empty()
                && function.groups_accumulator_supported()
                && !arguments.iter().any(is_volatile);
            let summary = summary(function, &arguments, layout);
            // Without groups DataFusion's own operator is as good for what statistics do not know.
            if !simple || keys.is_empty() && summary.is_none() {
                return Ok(None);
            }
            // A number of rows needs no columns.
            let arguments = if summary == Some(Summary::Rows) { Vec::new() } else { arguments };
            let arguments = Expressions::new(&arguments, &layout.schema)?;
            aggregates.push(Aggregate { function: Arc::clone(function), arguments, summary });
        }
        if keys.is_empty() && aggregates.is_empty() {
            return Ok(None);
        }
        let columns = aggregates.iter().flat_map(|aggregate| aggregate.arguments.columns.iter().copied());
        let columns: BTreeSet<usize> = columns.collect();
        let columns = columns.into_iter().collect();
        Ok(Some(Self { keys, columns, aggregates, schema, finished: false }))
    }
}

/// An expression whose columns are `inputs`, over what these are over.
pub fn over(expr: Arc<dyn PhysicalExpr>, inputs: &[Arc<dyn PhysicalExpr>]) -> Result<Arc<dyn PhysicalExpr>> {
    let replaced = expr.transform_up(|node| {
        let column = node.downcast_ref::<Column>().and_then(|column| inputs.get(column.index()));
        Ok(match column {
            Some(input) => Transformed::yes(Arc::clone(input)),
            None => Transformed::no(node),
        })
    });
    replaced.data()
}

/// The keys by what they depend on; `None` where one depends on values or on several coordinates.
fn by_scope(keys: &[Arc<dyn PhysicalExpr>], schema: &Schema, layout: &Layout) -> Result<Option<Vec<Keys>>> {
    let mut parts: Vec<(Scope, Vec<usize>)> = Vec::new();
    for (place, key) in keys.iter().enumerate() {
        let columns = collect_columns(key);
        let scope = scope(columns.iter().filter_map(|column| layout.columns.get(column.index())));
        if scope == Scope::Rows || is_volatile(key) {
            return Ok(None);
        }
        match parts.iter_mut().find(|(known, _)| *known == scope) {
            Some((_, places)) => places.push(place),
            None => parts.push((scope, vec![place])),
        }
    }
    let keys = parts.into_iter().map(|(scope, places)| {
        let own: Vec<_> = places.iter().filter_map(|&place| keys.get(place).cloned()).collect();
        let fields: Vec<Field> = places.iter().map(|&place| schema.field(place).clone()).collect();
        let expressions = Expressions::new(&own, &layout.schema)?;
        let name_datasets = scope == Scope::Dataset && own.iter().any(|key| is_name(key, layout));
        let schema = Arc::new(Schema::new(fields));
        Ok(Keys { scope, name_datasets, places, expressions, over_table: own, schema })
    });
    keys.collect::<Result<_>>().map(Some)
}

/// True for the column with the datasets' names.
fn is_name(key: &Arc<dyn PhysicalExpr>, layout: &Layout) -> bool {
    let column = key.downcast_ref::<Column>().and_then(|column| layout.columns.get(column.index()));
    column == Some(&ColumnKind::Dataset)
}

fn summary(
    function: &AggregateFunctionExpr,
    arguments: &[Arc<dyn PhysicalExpr>],
    layout: &Layout,
) -> Option<Summary> {
    let [argument] = arguments else { return None };
    let own = function.fun().inner();
    let measure = if own.is::<Count>() {
        Measure::Count
    } else if own.is::<Sum>() {
        Measure::Sum
    } else if own.is::<Avg>() {
        Measure::Mean
    } else if own.is::<Min>() {
        Measure::Min
    } else if own.is::<Max>() {
        Measure::Max
    } else {
        return None;
    };
    if let Some(literal) = argument.downcast_ref::<Literal>() {
        return (measure == Measure::Count && !literal.value().is_null()).then_some(Summary::Rows);
    }
    let (inner, shown) = match argument.downcast_ref::<CastExpr>() {
        Some(cast) => (cast.expr(), Some(cast.cast_type())),
        None => (argument, None),
    };
    let column = inner.downcast_ref::<Column>()?.index();
    let own = layout.schema.fields().get(column)?.data_type();
    let holds = shown.is_none_or(|shown| shown == own || widens(own, shown));
    let adds = own.is_numeric() || matches!(measure, Measure::Count | Measure::Min | Measure::Max);
    (holds && adds).then_some(Summary::Of(measure, column))
}

/// True where every value of one type is the same value of the other, or the nearest float.
fn widens(from: &DataType, to: &DataType) -> bool {
    use DataType::{Float64, Int8, Int16, Int32, Int64, UInt8, UInt16, UInt32, UInt64};
    match to {
        Float64 => from.is_numeric(),
        Int64 => matches!(from, Int8 | Int16 | Int32 | UInt8 | UInt16 | UInt32),
        UInt64 => matches!(from, UInt8 | UInt16 | UInt32),
        _ => false,
    }
}

impl Aggregation {
    /// The keys in their order, over the table's columns.
    pub fn key_expressions(&self) -> Vec<Arc<dyn PhysicalExpr>> {
        let mut keys: Vec<_> =
            self.keys.iter().flat_map(|keys| keys.places.iter().zip(&keys.over_table)).collect();
        keys.sort_by_key(|(place, _)| **place);
        keys.into_iter().map(|(_, key)| Arc::clone(key)).collect()
    }
}

impl fmt::Display for Aggregation {
    /// What is computed and how, in words, for plans.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |statistical: bool| {
            let names = self.aggregates.iter().filter(|aggregate| aggregate.summary.is_some() == statistical);
            names.map(|aggregate| aggregate.function.name()).collect::<Vec<_>>().join(", ")
        };
        let (known, decoded) = (names(true), names(false));
        if !known.is_empty() {
            write!(
                f,
                ", from statistics=[{known}] (only chunks that a predicate or a group splits are decoded)"
            )?;
        }
        if !decoded.is_empty() {
            write!(f, ", from values=[{decoded}]")?;
        }
        for keys in &self.keys {
            let once = match keys.scope {
                Scope::Dataset => "dataset",
                _ => "coordinate",
            };
            let exprs: Vec<_> = keys.over_table.iter().map(ToString::to_string).collect();
            write!(f, ", grouped once per {once}=[{}]", exprs.join(", "))?;
        }
        if self.finished {
            write!(f, ", all of a dataset together")?;
        }
        Ok(())
    }
}
