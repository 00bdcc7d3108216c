//! `linear_trend`: the rate at which values rise.

use datafusion::logical_expr::AggregateUDF;

use super::line::{self, Line, YEAR};
use super::scale::scaled;
use super::sums::{Sums, aggregate};
use crate::documentation::{About, Topic};

const ABOUT: About = About {
    name: "linear_trend",
    topic: Topic::Statistics,
    gives: "The slope of the least-squares line through the values, in their unit per year of \
            365.2425 days. NULL if all values have the same time, NaN if a value is infinite.",
    arguments: &[("y", "the values"), ("time", "their timestamps")],
    source: "ordinary least squares; sums after Pébay (2008)",
    example: "SELECT linear_trend(y, time) FROM (VALUES (1.0, TIMESTAMP '2000-01-01'), (2.0, TIMESTAMP '2001-01-01')) AS t(y, time)",
};

/// The function.
pub(super) fn udaf() -> AggregateUDF {
    aggregate(&ABOUT, true, Sums { one: line::one, merge: line::merge, value })
}

fn value(&[_, e, _, y, squares, products, _]: &Line) -> Option<f64> {
    let slope = if y.is_finite() { products / squares * YEAR } else { f64::NAN };
    (squares > 0.0).then(|| scaled(slope, e))
}
