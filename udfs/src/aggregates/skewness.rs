//! `skewness`: the asymmetry of a distribution.

use datafusion::logical_expr::AggregateUDF;

use super::moments;
use super::sums::{Sums, aggregate};
use crate::documentation::{About, Topic};

const ABOUT: About = About {
    name: "skewness",
    topic: Topic::Statistics,
    gives: "The population skewness of the values: zero if they are symmetric. NULL if all are \
            equal, NaN if one is infinite.",
    arguments: &[("x", "the values")],
    source: "m₃ / m₂^1.5, SciPy's `skew`; moments after Pébay (2008)",
    example: "SELECT skewness(x) FROM (VALUES (1), (2), (10)) AS t(x)",
};

/// The function.
pub(super) fn udaf() -> AggregateUDF {
    let sums = Sums {
        one: moments::one,
        merge: moments::merge,
        value: |&[n, _, mean, m2, m3, _]| match mean.is_finite() {
            true => (m2 > 0.0).then(|| n.sqrt() * m3 / m2.powf(1.5)),
            false => Some(f64::NAN),
        },
    };
    aggregate(&ABOUT, false, sums)
}
