//! Decides which aggregations a scan can compute.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::functions_aggregate::average::Avg;
use datafusion::functions_aggregate::correlation::Correlation;
use datafusion::functions_aggregate::count::Count;
use datafusion::functions_aggregate::covariance::{CovariancePopulation, CovarianceSample};
use datafusion::functions_aggregate::min_max::{Max, Min};
use datafusion::functions_aggregate::regr::Regr;
use datafusion::functions_aggregate::stddev::{Stddev, StddevPop};
use datafusion::functions_aggregate::sum::Sum;
use datafusion::functions_aggregate::variance::{VariancePopulation, VarianceSample};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_expr::expressions::{CastExpr, Column, Literal};
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_expr_common::physical_expr::is_volatile;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};

use super::{Aggregate, Aggregation, Measure};
use crate::functions::Extreme;
use crate::scan::filters::Expressions;
use crate::tables::layout::{ColumnKind, Layout};
use crate::tables::level::Level;

/// Grouping keys that depend on the same dimensions.
#[derive(Clone, Debug)]
pub struct Keys {
    /// In words, what they have one value for.
    pub once: String,
    /// True if one of them is `dataset`, so that no two datasets have equal keys.
    pub name_datasets: bool,
    /// The positions of these keys among all keys.
    pub places: Vec<usize>,
    pub expressions: Expressions,
    /// The keys as expressions over the whole table.
    pub over_table: Vec<Arc<dyn PhysicalExpr>>,
    /// The schema of the keys.
    pub schema: SchemaRef,
}

impl Aggregation {
    /// The aggregation for a partial aggregation over a table; `None` if a scan cannot compute it.
    /// `inputs` are the expressions over the table that produce the columns of the partial
    /// aggregation's input.
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
        let Some(keys) = by_level(&keys, &schema, layout)? else { return Ok(None) };
        let mut aggregates = Vec::new();
        for function in partial.aggr_expr() {
            let arguments = function.expressions().into_iter().map(over_table);
            let arguments: Vec<_> = arguments.collect::<Result<_>>()?;
            let simple = !function.is_distinct()
                && function.order_bys().is_empty()
                && !arguments.iter().any(is_volatile);
            let (measure, of_columns) = measure(function, &arguments, layout);
            // Without groups, DataFusion's own operator is as good for aggregates without a kernel.
            let supported = function.groups_accumulator_supported() || keys.is_empty();
            if !simple || !supported || keys.is_empty() && measure.is_none() {
                return Ok(None);
            }
            // A correlation by group has other states than one of all rows.
            let has_states = keys.is_empty() || measure != Some(Measure::Correlation);
            // Counting rows needs no columns.
            let arguments = if measure == Some(Measure::Rows) { Vec::new() } else { arguments };
            let narrow = if measure.is_some_and(Measure::widens) {
                arguments.iter().map(|argument| without_widening(argument, &layout.schema)).collect()
            } else {
                arguments.clone()
            };
            let narrow = Expressions::new(&narrow, layout)?;
            let arguments = Expressions::new(&arguments, layout)?;
            let measure = measure.filter(|_| has_states);
            let function = Arc::clone(function);
            aggregates.push(Aggregate { function, arguments, narrow, measure, of_columns });
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

/// Rewrites an expression over the columns `inputs` as one over the table of these.
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

/// The keys by their level; `None` if a key depends on all dimensions, so that each row has its
/// own.
fn by_level(keys: &[Arc<dyn PhysicalExpr>], schema: &Schema, layout: &Layout) -> Result<Option<Vec<Keys>>> {
    let mut parts: Vec<(Level, Vec<usize>)> = Vec::new();
    let rows = Level::of(0..layout.dims.len());
    for (place, key) in keys.iter().enumerate() {
        let columns = collect_columns(key);
        let level = layout.level_of(columns.iter().map(Column::index));
        let is_coordinate = columns
            .iter()
            .all(|column| !matches!(layout.columns.get(column.index()), Some(ColumnKind::Variable(_))));
        if rows.is_part_of(level) && !is_coordinate || is_volatile(key) {
            return Ok(None);
        }
        match parts.iter_mut().find(|(known, _)| *known == level) {
            Some((_, places)) => places.push(place),
            None => parts.push((level, vec![place])),
        }
    }
    let keys = parts.into_iter().map(|(level, places)| {
        let own: Vec<_> = places.iter().filter_map(|&place| keys.get(place).cloned()).collect();
        let fields: Vec<Field> = places.iter().map(|&place| schema.field(place).clone()).collect();
        let expressions = Expressions::new(&own, layout)?;
        let name_datasets = level == Level::DATASET && own.iter().any(|key| is_name(key, layout));
        let schema = Arc::new(Schema::new(fields));
        Ok(Keys { once: layout.words(level), name_datasets, places, expressions, over_table: own, schema })
    });
    keys.collect::<Result<_>>().map(Some)
}

/// True for the column `dataset`.
fn is_name(key: &Arc<dyn PhysicalExpr>, layout: &Layout) -> bool {
    let column = key.downcast_ref::<Column>().and_then(|column| layout.columns.get(column.index()));
    column == Some(&ColumnKind::Dataset)
}

/// The aggregate as kernels know it, and the columns of its arguments.
fn measure(
    function: &AggregateFunctionExpr,
    arguments: &[Arc<dyn PhysicalExpr>],
    layout: &Layout,
) -> (Option<Measure>, Option<Vec<usize>>) {
    let own = function.fun().inner();
    let measure = if own.is::<Count>() {
        let literal = match arguments {
            [argument] => argument.downcast_ref::<Literal>(),
            _ => None,
        };
        match literal {
            Some(literal) if literal.value().is_null() => None,
            Some(_) => Some(Measure::Rows),
            None => Some(Measure::Count).filter(|_| arguments.len() == 1),
        }
    } else if own.is::<Sum>() {
        Some(Measure::Sum)
    } else if own.is::<Avg>() {
        Some(Measure::Mean)
    } else if let Some(extreme) = own.downcast_ref::<Extreme>() {
        Some(if extreme.greatest { Measure::Max } else { Measure::Min })
    } else if own.is::<Min>() {
        Some(Measure::Min)
    } else if own.is::<Max>() {
        Some(Measure::Max)
    } else if own.is::<VarianceSample>()
        || own.is::<VariancePopulation>()
        || own.is::<Stddev>()
        || own.is::<StddevPop>()
    {
        Some(Measure::Variance)
    } else if own.is::<CovarianceSample>() || own.is::<CovariancePopulation>() {
        Some(Measure::Covariance)
    } else if own.is::<Correlation>() {
        Some(Measure::Correlation)
    } else if own.is::<Regr>() {
        Some(Measure::Regression)
    } else {
        None
    };
    let adds = !matches!(measure, Some(Measure::Rows | Measure::Count | Measure::Min | Measure::Max));
    let column = |argument: &Arc<dyn PhysicalExpr>| {
        let (inner, shown) = match argument.downcast_ref::<CastExpr>() {
            Some(cast) => (cast.expr(), Some(cast.cast_type())),
            None => (argument, None),
        };
        let column = inner.downcast_ref::<Column>()?.index();
        let own = layout.schema.fields().get(column)?.data_type();
        let holds = shown.is_none_or(|shown| shown == own || widens(own, shown));
        (holds && (own.is_numeric() || !adds)).then_some(column)
    };
    let of_columns: Option<Vec<usize>> = arguments.iter().map(column).collect();
    (measure, of_columns.filter(|_| measure.is_some() && measure != Some(Measure::Rows)))
}

/// An argument without a widening cast, if kernels do the cast themselves.
fn without_widening(argument: &Arc<dyn PhysicalExpr>, schema: &Schema) -> Arc<dyn PhysicalExpr> {
    let inner = argument.downcast_ref::<CastExpr>().and_then(|cast| {
        let own = cast.expr().data_type(schema).ok()?;
        (*cast.cast_type() == DataType::Float64 && widens(&own, &DataType::Float64)).then(|| cast.expr())
    });
    Arc::clone(inner.unwrap_or(argument))
}

/// True if every value of one type is the same value of the other, or the nearest float.
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
    /// Describes the aggregation in plans.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.aggregates.iter().all(Aggregate::is_of_statistics);
        let names = |statistical: bool| {
            let names = self.aggregates.iter().filter(|_| all == statistical);
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
            let exprs: Vec<_> = keys.over_table.iter().map(ToString::to_string).collect();
            write!(f, ", grouped once per {}=[{}]", keys.once, exprs.join(", "))?;
        }
        if self.finished {
            write!(f, ", all of a dataset together")?;
        }
        Ok(())
    }
}
