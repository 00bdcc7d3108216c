//! `kurtosis`: the weight of the tails of a distribution.

use datafusion::logical_expr::AggregateUDF;

use super::moments;
use super::sums::{Sums, aggregate};
use crate::documentation::{About, Topic};

const ABOUT: About = About {
    name: "kurtosis",
    topic: Topic::Statistics,
    gives: "The population excess kurtosis of the values: zero for a normal distribution. NULL if \
            all are equal, NaN if one is infinite.",
    arguments: &[("x", "the values")],
    source: "m₄ / m₂² - 3, SciPy's `kurtosis`; moments after Pébay (2008)",
    example: "SELECT kurtosis(x) FROM (VALUES (1), (2), (10)) AS t(x)",
};

/// The function.
pub(super) fn udaf() -> AggregateUDF {
    let sums = Sums {
        one: moments::one,
        merge: moments::merge,
        value: |&[n, _, mean, m2, _, m4]| match mean.is_finite() {
            true => (m2 > 0.0).then(|| n * m4 / (m2 * m2) - 3.0),
            false => Some(f64::NAN),
        },
    };
    aggregate(&ABOUT, false, sums)
}
