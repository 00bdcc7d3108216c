//! `iqr`: the interquartile range.

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::AggregateUDF;

use super::gathered::{gathered, numbers};
use super::order::quantile;
use crate::documentation::{About, Topic};

const ABOUT: About = About {
    name: "iqr",
    topic: Topic::Statistics,
    gives: "The interquartile range: the third quartile minus the first. Quartiles between two \
            values are interpolated linearly. NaN if both are the same infinity.",
    arguments: &[("x", "the values")],
    source: "SciPy's `iqr`; quartiles of type 7 (Hyndman and Fan 1996)",
    example: "SELECT iqr(x) FROM (VALUES (1), (2), (3), (100)) AS t(x)",
};

/// The function.
pub(super) fn udaf() -> AggregateUDF {
    gathered(&ABOUT, numbers(&[1]), DataType::Float64, |rows: &[[f64; 1]]| {
        let sorted = rows.as_flattened();
        let range = quantile(sorted, 0.75).zip(quantile(sorted, 0.25)).map(|(upper, lower)| upper - lower);
        Ok(ScalarValue::Float64(range))
    })
}
