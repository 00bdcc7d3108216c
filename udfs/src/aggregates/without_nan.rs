//! `nanmean` and similar functions: DataFusion's aggregates, without NaN.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray};
use arrow::compute::{not, nullif};
use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{Result, ScalarValue};
use datafusion::functions_aggregate::{average, median, min_max, stddev, sum, variance};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Documentation, Signature};

use crate::documentation::{About, Topic};

/// A function that skips NaN, and the function without that difference.
type WithoutNan = (About, fn() -> Arc<AggregateUDF>);

const ALL: [WithoutNan; 7] = [
    (
        about(
            "nanmean",
            "The mean of the values that are neither NULL nor NaN: `avg` without NaN. NULL if there are none.",
            "NumPy's `nanmean`, except for empty input",
            "SELECT nanmean(x) FROM (VALUES (1.0), ('NaN'::double), (4.0)) AS t(x)",
        ),
        average::avg_udaf,
    ),
    (
        about(
            "nanmedian",
            "The median of the values that are neither NULL nor NaN: `median` without NaN. NULL if there are \
             none.",
            "NumPy's `nanmedian`, except for empty input",
            "SELECT nanmedian(x) FROM (VALUES (1.0), ('NaN'::double), (4.0)) AS t(x)",
        ),
        median::median_udaf,
    ),
    (
        about(
            "nanmin",
            "The least of the values that are neither NULL nor NaN: `min` without NaN. NULL if there are none.",
            "NumPy's `nanmin`, except for empty input",
            "SELECT nanmin(x) FROM (VALUES (1.0), ('NaN'::double), (4.0)) AS t(x)",
        ),
        min_max::min_udaf,
    ),
    (
        about(
            "nanmax",
            "The greatest of the values that are neither NULL nor NaN: `max` without NaN. NULL if there are none.",
            "NumPy's `nanmax`, except for empty input",
            "SELECT nanmax(x) FROM (VALUES (1.0), ('NaN'::double), (4.0)) AS t(x)",
        ),
        min_max::max_udaf,
    ),
    (
        about(
            "nansum",
            "The sum of the values that are neither NULL nor NaN: `sum` without NaN. NULL if there are none.",
            "NumPy's `nansum`, except for empty input",
            "SELECT nansum(x) FROM (VALUES (1.0), ('NaN'::double), (4.0)) AS t(x)",
        ),
        sum::sum_udaf,
    ),
    (
        about(
            "nanstd",
            "The population standard deviation of the values that are neither NULL nor NaN: `stddev_pop` \
             without NaN. NULL if there are none.",
            "NumPy's `nanstd`, except for empty input",
            "SELECT nanstd(x) FROM (VALUES (1.0), ('NaN'::double), (4.0)) AS t(x)",
        ),
        stddev::stddev_pop_udaf,
    ),
    (
        about(
            "nanvar",
            "The population variance of the values that are neither NULL nor NaN: `var_pop` without NaN. NULL \
             if there are none.",
            "NumPy's `nanvar`, except for empty input",
            "SELECT nanvar(x) FROM (VALUES (1.0), ('NaN'::double), (4.0)) AS t(x)",
        ),
        variance::var_pop_udaf,
    ),
];

const fn about(
    name: &'static str,
    gives: &'static str,
    source: &'static str,
    example: &'static str,
) -> About {
    About { name, topic: Topic::Statistics, gives, arguments: &[("x", "the values")], source, example }
}

/// The functions.
pub(super) fn udafs() -> impl Iterator<Item = AggregateUDF> {
    ALL.iter().map(|(about, of)| {
        let documentation = about.documentation();
        AggregateUDF::new_from_impl(Nan { name: about.name, of: of(), documentation })
    })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Nan {
    name: &'static str,
    of: Arc<AggregateUDF>,
    documentation: Documentation,
}

impl AggregateUDFImpl for Nan {
    fn name(&self) -> &str {
        self.name
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
        super::not_distinct(self.name, &args)?;
        Ok(Box::new(Present(self.of.accumulator(args)?)))
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        super::not_distinct(self.name, &args)?;
        Ok(Box::new(Present(self.of.create_sliding_accumulator(args)?)))
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        self.of.state_fields(args)
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.documentation)
    }
}

/// Passes NULL for NaN to an accumulator.
#[derive(Debug)]
struct Present(Box<dyn Accumulator>);

impl Accumulator for Present {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.0.update_batch(&with_null(values)?)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.0.retract_batch(&with_null(values)?)
    }

    fn supports_retract_batch(&self) -> bool {
        self.0.supports_retract_batch()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.0.merge_batch(states)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.0.state()
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.0.evaluate()
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.0.size()
    }
}

fn with_null(values: &[ArrayRef]) -> Result<Vec<ArrayRef>> {
    let each = |values: &ArrayRef| -> Result<ArrayRef> {
        Ok(match super::present(values) {
            Some(present) => nullif(values, &not(&BooleanArray::new(present.into_inner(), None))?)?,
            None => Arc::clone(values),
        })
    };
    values.iter().map(each).collect()
}
