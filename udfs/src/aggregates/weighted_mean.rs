//! `weighted_mean`: a mean with weights.

use datafusion::logical_expr::AggregateUDF;

use super::sums::{Sums, aggregate};
use super::weighted;
use crate::documentation::{About, Topic};

const ABOUT: About = About {
    name: "weighted_mean",
    topic: Topic::Statistics,
    gives: "The mean of values, each with a weight; NULL if the weights add up to zero.",
    arguments: &[("x", "the values"), ("w", "their weights")],
    source: "Σwx / Σw",
    example: "SELECT weighted_mean(x, w) FROM (VALUES (1, 1), (4, 2)) AS t(x, w)",
};

/// The function.
pub(super) fn udaf() -> AggregateUDF {
    let sums = Sums { one: weighted::one, merge: weighted::merge, value: weighted::mean };
    aggregate(&ABOUT, false, sums)
}
