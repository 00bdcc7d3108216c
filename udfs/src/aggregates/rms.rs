//! `rms`: the root mean square.

use datafusion::logical_expr::AggregateUDF;

use super::moments;
use super::scale::scaled;
use super::sums::{Sums, aggregate};
use crate::documentation::{About, Topic};

const ABOUT: About = About {
    name: "rms",
    topic: Topic::Statistics,
    gives: "The root of the mean of the squares.",
    arguments: &[("x", "the values")],
    source: "√(Σx² / n)",
    example: "SELECT rms(x) FROM (VALUES (3), (4)) AS t(x)",
};

/// The function.
pub(super) fn udaf() -> AggregateUDF {
    let sums = Sums {
        one: moments::one,
        merge: moments::merge,
        value: |&[n, e, mean, m2, ..]| {
            // The mean square is the variance plus the square of the mean.
            let square = if mean.is_finite() { mean * mean + m2 / n } else { f64::INFINITY };
            Some(scaled(square.sqrt(), e))
        },
    };
    aggregate(&ABOUT, false, sums)
}
