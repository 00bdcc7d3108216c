//! Functions of DataFusion that are wrong for some values, and functions to take their place.

use std::sync::Arc;

use arrow::datatypes::{
    ArrowNativeTypeOp, ArrowPrimitiveType, DataType, FieldRef, Float16Type, Float32Type, Float64Type,
};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Result, ScalarValue};
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::functions::datetime::date_part::DatePartFunc;
use datafusion::functions_aggregate::min_max::{Max, Min};
use datafusion::logical_expr::expr::{AggregateFunction, ScalarFunction};
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::logical_expr::preimage::PreimageResult;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, ColumnarValue, Documentation, Expr, GroupsAccumulator,
    LogicalPlan, ReturnFieldArgs, ReversedUDAF, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    SetMonotonicity, Signature, StatisticsArgs,
};
use datafusion::optimizer::AnalyzerRule;
use datafusion_functions_aggregate_common::aggregate::groups_accumulator::prim_op::PrimitiveGroupsAccumulator;

use crate::rules::add_first;

/// Replaces functions of DataFusion that are wrong for some values.
///
/// - `date_part('year', time) < 3000` holds for no row if the type of `time` cannot express the
///   year 3000: DataFusion compares the times with NULL.
/// - `max` by groups gives the least finite number for a group that has only -∞, and `min` the
///   greatest for one that has only ∞. With NaN, both depend on the order of the rows.
///
/// The rule applies to calls in SQL, to `extract`, and to expressions that a program builds.
#[derive(Debug, Default)]
pub struct SoundFunctions;

impl SoundFunctions {
    /// Adds the rule before those of a session, unless it is there already, and replaces the
    /// functions in the session's registry, from which other processes get them.
    pub fn add_to(builder: &mut SessionStateBuilder) {
        add_first(&mut builder.analyzer().get_or_insert_default().rules, Self);
        for function in builder.scalar_functions().iter_mut().flatten() {
            if let Some(sound) = sound_scalar(function) {
                *function = sound;
            }
        }
        for function in builder.aggregate_functions().iter_mut().flatten() {
            if let Some(sound) = sound_aggregate(function) {
                *function = sound;
            }
        }
    }
}

impl AnalyzerRule for SoundFunctions {
    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(|plan| {
            plan.map_expressions(|expr| expr.transform_up(|expr| Ok(replaced(expr))))
        })
        .data()
    }

    fn name(&self) -> &str {
        "SoundFunctions"
    }
}

fn replaced(expr: Expr) -> Transformed<Expr> {
    match expr {
        Expr::ScalarFunction(ScalarFunction { func, args }) => match sound_scalar(&func) {
            Some(func) => Transformed::yes(Expr::ScalarFunction(ScalarFunction { func, args })),
            None => Transformed::no(Expr::ScalarFunction(ScalarFunction { func, args })),
        },
        Expr::AggregateFunction(AggregateFunction { func, params }) => match sound_aggregate(&func) {
            Some(func) => Transformed::yes(Expr::AggregateFunction(AggregateFunction { func, params })),
            None => Transformed::no(Expr::AggregateFunction(AggregateFunction { func, params })),
        },
        expr => Transformed::no(expr),
    }
}

/// The function that replaces a function, if it is to be replaced.
fn sound_scalar(function: &Arc<ScalarUDF>) -> Option<Arc<ScalarUDF>> {
    let is_date_part = function.inner().is::<DatePartFunc>();
    is_date_part.then(|| Arc::new(ScalarUDF::new_from_impl(DatePart(Arc::clone(function)))))
}

/// The aggregate that replaces an aggregate, if it is to be replaced.
fn sound_aggregate(function: &Arc<AggregateUDF>) -> Option<Arc<AggregateUDF>> {
    let own = function.inner();
    let greatest = own.is::<Max>();
    (greatest || own.is::<Min>()).then(|| {
        let of = Arc::clone(function);
        Arc::new(AggregateUDF::new_from_impl(Extreme { of, greatest }))
    })
}

/// DataFusion's `date_part`, which gives the optimizer only ranges of times whose ends the type of
/// the times can express.
#[derive(Debug, PartialEq, Eq, Hash)]
struct DatePart(Arc<ScalarUDF>);

impl ScalarUDFImpl for DatePart {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn aliases(&self) -> &[String] {
        self.0.aliases()
    }

    fn signature(&self) -> &Signature {
        self.0.signature()
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        self.0.return_type(arguments)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        self.0.return_field_from_args(args)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        self.0.invoke_with_args(args)
    }

    fn preimage(&self, args: &[Expr], value: &Expr, info: &SimplifyContext) -> Result<PreimageResult> {
        Ok(match self.0.preimage(args, value, info)? {
            PreimageResult::Range { interval, .. }
                if interval.lower().is_null() || interval.upper().is_null() =>
            {
                PreimageResult::None
            }
            range => range,
        })
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.0.documentation()
    }
}

/// DataFusion's `max` or `min`, which orders the floats of groups as it orders those of all rows:
/// from -∞ to ∞, with NaN above.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Extreme {
    of: Arc<AggregateUDF>,
    /// True for `max`.
    pub greatest: bool,
}

impl AggregateUDFImpl for Extreme {
    fn name(&self) -> &str {
        self.of.name()
    }

    fn signature(&self) -> &Signature {
        self.of.signature()
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        self.of.return_type(arguments)
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        self.of.coerce_types(arguments)
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        self.of.accumulator(args)
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        self.of.create_sliding_accumulator(args)
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs<'_>) -> bool {
        self.of.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn GroupsAccumulator>> {
        let data_type = args.return_field.data_type();
        match data_type {
            DataType::Float16 => Ok(of_groups::<Float16Type>(data_type, self.greatest)),
            DataType::Float32 => Ok(of_groups::<Float32Type>(data_type, self.greatest)),
            DataType::Float64 => Ok(of_groups::<Float64Type>(data_type, self.greatest)),
            _ => self.of.create_groups_accumulator(args),
        }
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        self.of.order_sensitivity()
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        self.of.inner().reverse_expr()
    }

    fn is_descending(&self) -> Option<bool> {
        self.of.is_descending()
    }

    fn value_from_stats(&self, statistics: &StatisticsArgs<'_>) -> Option<ScalarValue> {
        self.of.value_from_stats(statistics)
    }

    fn set_monotonicity(&self, data_type: &DataType) -> SetMonotonicity {
        self.of.inner().set_monotonicity(data_type)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.of.documentation()
    }
}

fn of_groups<T: ArrowPrimitiveType + Send>(
    data_type: &DataType,
    greatest: bool,
) -> Box<dyn GroupsAccumulator> {
    let keep_greatest = |kept: &mut T::Native, value: T::Native| {
        if value.is_gt(*kept) {
            *kept = value;
        }
    };
    let keep_least = |kept: &mut T::Native, value: T::Native| {
        if value.is_lt(*kept) {
            *kept = value;
        }
    };
    if greatest {
        let groups = PrimitiveGroupsAccumulator::<T, _>::new(data_type, keep_greatest);
        Box::new(groups.with_starting_value(T::Native::MIN_TOTAL_ORDER))
    } else {
        let groups = PrimitiveGroupsAccumulator::<T, _>::new(data_type, keep_least);
        Box::new(groups.with_starting_value(T::Native::MAX_TOTAL_ORDER))
    }
}

#[cfg(test)]
mod tests {
    use atlas::{Atlas, StoreConfig};
    use datafusion::functions::datetime::expr_fn::date_part;
    use datafusion::functions_aggregate::expr_fn::{max, min};
    use datafusion::prelude::{SessionContext, col, lit};
    use ndarray::array;

    use crate::{register_store, session_state};

    /// Programs that do not take functions from the registry get sound ones too.
    #[tokio::test]
    async fn expressions_of_programs_are_sound() {
        let ctx = SessionContext::new_with_state(session_state());
        let times = "SELECT TIMESTAMP '2000-01-01' AS t, 1 AS g, '-inf'::double AS x, 'inf'::double AS y";
        let rows = ctx.sql(times).await.unwrap();
        let before = date_part(lit("year"), col("t")).lt(lit(3000));
        assert_eq!(rows.clone().filter(before).unwrap().count().await.unwrap(), 1);
        let groups = rows.aggregate(vec![col("g")], vec![max(col("x")), min(col("y"))]).unwrap();
        let shown = groups.to_string().await.unwrap();
        assert!(shown.contains("| 1 | -inf   | inf    |"), "{shown}");
    }

    /// DataFusion merges the bounds of groups that scans compute.
    #[tokio::test]
    async fn infinities_of_stores_are_bounds_of_groups() {
        let atlas = Atlas::create_url("memory:///infinite", StoreConfig::default()).await.unwrap();
        for (name, group, first) in [("a", 1i64, f32::NEG_INFINITY), ("b", 2, f32::INFINITY), ("c", 1, 0.0)] {
            let dataset = atlas.create_dataset(name).await.unwrap();
            dataset.set_attribute("g", group).unwrap();
            dataset.define_array::<f32>("v", &["x"], &[2], None, None).unwrap();
            dataset.write_array("v", &[0], array![first, 1.0].into_dyn().view()).await.unwrap();
        }
        atlas.flush().await.unwrap();
        let ctx = SessionContext::new();
        register_store(&ctx, "atlas", &atlas).unwrap();
        for (sql, expected) in [
            (
                "SELECT dataset, max(v) FROM atlas WHERE v = '-inf'::float GROUP BY dataset",
                "| a       | -inf         |",
            ),
            ("SELECT g, min(v) FROM atlas WHERE v > 1 GROUP BY g", "| 2 | inf          |"),
            ("SELECT x, max(v) FROM atlas WHERE v < 0 GROUP BY x", "| 0 | -inf         |"),
        ] {
            let shown = ctx.sql(sql).await.unwrap().to_string().await.unwrap();
            assert!(shown.contains(expected), "{sql}: {shown}");
        }
    }
}
