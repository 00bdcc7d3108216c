//! Synonyms: other names of functions, as other tools have them.

use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{Result, ScalarValue};
use datafusion::execution::FunctionRegistry;
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::function::{AccumulatorArgs, AggregateFunctionSimplification, StateFieldsArgs};
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, ColumnarValue, DocSection, Documentation, Expr,
    GroupsAccumulator, ReturnFieldArgs, ReversedUDAF, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    SetMonotonicity, Signature,
};
use datafusion::prelude::SessionContext;

/// Synonyms with their functions, which are ours or DataFusion's.
pub const SYNONYMS: [(&str, &str); 25] = [
    ("argmax", "arg_max"),
    ("argmin", "arg_min"),
    ("average", "avg"),
    ("corrcoef", "corr"),
    ("datediff", "date_diff"),
    ("dayofyear", "day_of_year"),
    ("doy", "day_of_year"),
    ("interquartile_range", "iqr"),
    ("max_by", "arg_max"),
    ("median_absolute_deviation", "mad"),
    ("min_by", "arg_min"),
    ("mld", "mixed_layer_depth"),
    ("pearson", "corr"),
    ("quantile", "percentile_cont"),
    ("rmsd", "rmse"),
    ("skew", "skewness"),
    ("spearmanr", "spearman"),
    ("spice", "spiciness"),
    ("spiciness0", "spiciness"),
    // As in NumPy, xarray and MySQL: of a population.
    ("std", "stddev_pop"),
    // As in spreadsheets and SQL Server: of a sample.
    ("stdev", "stddev"),
    ("strftime", "to_char"),
    ("theilslopes", "theil_sen"),
    ("variance", "var"),
    ("weighted_average", "weighted_mean"),
];

/// Registers the synonyms of all functions of a session.
pub fn register(ctx: &SessionContext) {
    let state = ctx.state();
    for (synonym, name) in SYNONYMS {
        if let Ok(of) = state.udf(name) {
            let documentation = documentation(synonym, name, of.documentation());
            ctx.register_udf(ScalarUDF::new_from_impl(Scalar { synonym, of, documentation }));
        } else if let Ok(of) = state.udaf(name) {
            let documentation = documentation(synonym, name, of.documentation());
            ctx.register_udaf(AggregateUDF::new_from_impl(Aggregate { synonym, of, documentation }));
        }
    }
}

/// The documentation of a synonym. Its arguments are those of the function.
fn documentation(synonym: &str, name: &str, of: Option<&Documentation>) -> Documentation {
    let section = of.map_or(DocSection::default(), |of| of.doc_section.clone());
    let arguments =
        of.and_then(|of| of.syntax_example.split_once('(')).map_or("…)", |(_, arguments)| arguments);
    Documentation::builder(section, format!("The same as `{name}`."), format!("{synonym}({arguments}"))
        .build()
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Scalar {
    synonym: &'static str,
    of: Arc<ScalarUDF>,
    documentation: Documentation,
}

impl ScalarUDFImpl for Scalar {
    fn name(&self) -> &str {
        self.synonym
    }

    fn signature(&self) -> &Signature {
        self.of.signature()
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        self.of.return_type(arguments)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        self.of.return_field_from_args(args)
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        self.of.coerce_types(arguments)
    }

    /// The optimizer replaces the synonym with the function, whose properties it knows.
    fn simplify(&self, args: Vec<Expr>, _: &SimplifyContext) -> Result<ExprSimplifyResult> {
        Ok(ExprSimplifyResult::Simplified(self.of.call(args)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        self.of.invoke_with_args(args)
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.documentation)
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Aggregate {
    synonym: &'static str,
    of: Arc<AggregateUDF>,
    documentation: Documentation,
}

impl AggregateUDFImpl for Aggregate {
    fn name(&self) -> &str {
        self.synonym
    }

    fn signature(&self) -> &Signature {
        self.of.signature()
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        self.of.return_type(arguments)
    }

    fn return_field(&self, arguments: &[FieldRef]) -> Result<FieldRef> {
        self.of.return_field(arguments)
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        self.of.coerce_types(arguments)
    }

    /// The optimizer replaces the synonym with the function, whose properties it knows. (It does
    /// not do so in windows.)
    fn simplify(&self) -> Option<AggregateFunctionSimplification> {
        let func = Arc::clone(&self.of);
        Some(Box::new(move |call: AggregateFunction, _| {
            let func = Arc::clone(&func);
            Ok(Expr::AggregateFunction(AggregateFunction { func, params: call.params }))
        }))
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
        self.of.create_groups_accumulator(args)
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        self.of.state_fields(args)
    }

    fn default_value(&self, data_type: &DataType) -> Result<ScalarValue> {
        self.of.default_value(data_type)
    }

    fn is_nullable(&self) -> bool {
        self.of.is_nullable()
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        self.of.order_sensitivity()
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        self.of.reverse_udf()
    }

    fn set_monotonicity(&self, data_type: &DataType) -> SetMonotonicity {
        self.of.inner().set_monotonicity(data_type)
    }

    fn supports_within_group_clause(&self) -> bool {
        self.of.supports_within_group_clause()
    }

    fn supports_null_handling_clause(&self) -> bool {
        self.of.supports_null_handling_clause()
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.documentation)
    }
}
