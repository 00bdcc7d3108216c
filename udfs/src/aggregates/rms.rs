//! `rms`: the root of a mean square.

use datafusion::logical_expr::AggregateUDF;

use super::sums::{Sums, added, aggregate, subtracted};
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
        one: |[x]| [1.0, x * x],
        merge: added,
        without: subtracted,
        // (Less than zero only by rounding.)
        value: |&[n, squares]| Some((squares / n).max(0.0).sqrt()),
    };
    aggregate(&ABOUT, false, sums)
}
