//! `mad`: the median absolute deviation.

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::AggregateUDF;

use super::gathered::{gathered, numbers};
use super::order::median;
use crate::documentation::{About, Topic};

const ABOUT: About = About {
    name: "mad",
    topic: Topic::Statistics,
    gives: "The median absolute deviation: the median of the distances of the values from their \
            median. Multiplied by 1.4826, it estimates the standard deviation of a normal \
            distribution. NaN if the median is infinite.",
    arguments: &[("x", "the values")],
    source: "SciPy's `median_abs_deviation`, unscaled (Hampel 1974)",
    example: "SELECT mad(x) FROM (VALUES (1), (2), (3), (100)) AS t(x)",
};

/// The function.
pub(super) fn udaf() -> AggregateUDF {
    gathered(&ABOUT, numbers(&[1]), DataType::Float64, |rows: &[[f64; 1]]| {
        Ok(ScalarValue::Float64(mad(rows.as_flattened())))
    })
}

fn mad(sorted: &[f64]) -> Option<f64> {
    let middle = median(sorted)?;
    if middle.is_infinite() {
        return Some(f64::NAN);
    }
    let mut distances: Vec<f64> = sorted.iter().map(|x| (x - middle).abs()).collect();
    distances.sort_unstable_by(f64::total_cmp);
    median(&distances)
}
