//! `arg_max`: the value in the row where another column is greatest.

use datafusion::logical_expr::AggregateUDF;

use super::extreme::by_time;
use crate::documentation::{About, Topic};

const ABOUT: About = About {
    name: "arg_max",
    topic: Topic::Statistics,
    gives: "The value of `x` in the row with the greatest `by`; the least `x` if several rows have \
            it. Rows in which one of the two is missing do not count.",
    arguments: &[
        ("x", "values of any type"),
        ("by", "the values to maximize, of any type that has an order"),
    ],
    source: "NumPy (`x[argmax(by)]`) and DuckDB (`arg_max`)",
    example: "SELECT arg_max(depth, t) FROM (VALUES (5, 20.5), (10, 21.0), (15, 19.0)) AS t(depth, t)",
};

/// The function.
pub(super) fn udaf() -> AggregateUDF {
    by_time(&ABOUT, true)
}
