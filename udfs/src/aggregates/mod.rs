//! Statistics. All functions skip missing values: NULL and NaN.

mod area_mean;
mod arg_max;
mod arg_min;
mod bias;
mod circular_mean;
mod completeness;
mod extreme;
mod first_valid;
pub(crate) mod gathered;
mod histogram;
mod iqr;
mod kurtosis;
mod last_valid;
mod line;
mod linear_trend;
mod linear_trend_error;
mod mad;
mod mann_kendall;
mod mode;
mod moments;
mod order;
mod rms;
mod rmse;
pub(crate) mod scale;
mod skewness;
mod spearman;
mod sums;
mod theil_sen;
mod weighted;
mod weighted_mean;
mod window;
mod without_nan;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Float16Type, Float32Type, Float64Type};
use datafusion::common::{Result, not_impl_err};
use datafusion::logical_expr::AggregateUDF;
use datafusion::logical_expr::function::AccumulatorArgs;

/// The functions of this module.
pub fn functions() -> Vec<AggregateUDF> {
    let mut functions = vec![
        weighted_mean::udaf(),
        area_mean::udaf(),
        circular_mean::udaf(),
        linear_trend::udaf(),
        linear_trend_error::udaf(),
        theil_sen::udaf(),
        mann_kendall::udaf(),
        spearman::udaf(),
        bias::udaf(),
        rmse::udaf(),
        mad::udaf(),
        iqr::udaf(),
        rms::udaf(),
        skewness::udaf(),
        kurtosis::udaf(),
        mode::udaf(),
        histogram::udaf(),
        first_valid::udaf(),
        last_valid::udaf(),
        arg_max::udaf(),
        arg_min::udaf(),
        completeness::udaf(),
    ];
    functions.extend(without_nan::udafs());
    functions
}

/// The values that are not missing; `None` if none is missing.
fn present(values: &ArrayRef) -> Option<NullBuffer> {
    let numbers = match values.data_type() {
        DataType::Float16 => BooleanArray::from_unary(values.as_primitive::<Float16Type>(), |x| !x.is_nan()),
        DataType::Float32 => BooleanArray::from_unary(values.as_primitive::<Float32Type>(), |x| !x.is_nan()),
        DataType::Float64 => BooleanArray::from_unary(values.as_primitive::<Float64Type>(), |x| !x.is_nan()),
        _ => return values.logical_nulls(),
    };
    NullBuffer::union(values.nulls(), Some(&NullBuffer::new(numbers.values().clone())))
}

/// Refuses DISTINCT if DataFusion leaves it to the accumulator, which would count every row.
fn not_distinct(name: &str, args: &AccumulatorArgs<'_>) -> Result<()> {
    if args.is_distinct {
        return not_impl_err!(
            "{name}(DISTINCT …) beside other aggregates, of several columns or in a window: \
             take the aggregate of a subquery with SELECT DISTINCT"
        );
    }
    Ok(())
}
