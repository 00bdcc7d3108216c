//! `bias`: the mean difference from a reference.

use datafusion::logical_expr::AggregateUDF;

use super::sums::{Sums, aggregate};
use super::weighted;
use crate::documentation::{About, Topic};

const ABOUT: About = About {
    name: "bias",
    topic: Topic::Statistics,
    gives: "The mean of `x - y`: by how much `x` exceeds the reference `y`. Rows in which one of \
            the two is missing do not count.",
    arguments: &[("x", "the values to judge"), ("y", "the reference")],
    source: "Σ(x - y) / n (Wilks, Statistical Methods in the Atmospheric Sciences, 2011, section 8.3)",
    example: "SELECT bias(x, y) FROM (VALUES (1, 2), (4, 3), (5, 3)) AS t(x, y)",
};

/// The function.
pub(super) fn udaf() -> AggregateUDF {
    let one = |[x, y]: [f64; 2]| weighted::one([x - y, 1.0]);
    aggregate(&ABOUT, false, Sums { one, merge: weighted::merge, value: weighted::mean })
}
