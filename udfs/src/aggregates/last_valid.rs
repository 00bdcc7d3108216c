//! `last_valid`: the last value of a series.

use datafusion::logical_expr::AggregateUDF;

use super::extreme::by_time;
use crate::documentation::{About, Topic};

const ABOUT: About = About {
    name: "last_valid",
    topic: Topic::Statistics,
    gives: "The last value that is not missing, by time; of several at that time the least.",
    arguments: &[("x", "values of any type"), ("time", "their timestamps, or whatever orders them")],
    source: "xarray (`ffill` reduced), with the time made explicit",
    example: "SELECT last_valid(x, t) FROM (VALUES (1, 1), (2, 2)) AS t(x, t)",
};

/// The function.
pub(super) fn udaf() -> AggregateUDF {
    by_time(&ABOUT, true)
}
