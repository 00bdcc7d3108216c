//! `first_valid`: the first value of a series.

use datafusion::logical_expr::AggregateUDF;

use super::extreme::by_time;
use crate::documentation::{About, Topic};

const ABOUT: About = About {
    name: "first_valid",
    topic: Topic::Statistics,
    gives: "The first value that is not missing, by time; of several at that time the least.",
    arguments: &[("x", "values of any type"), ("time", "their timestamps, or whatever orders them")],
    source: "xarray (`bfill` reduced), with the time made explicit",
    example: "SELECT first_valid(x, t) FROM (VALUES (1, 1), (2, 2)) AS t(x, t)",
};

/// The function.
pub(super) fn udaf() -> AggregateUDF {
    by_time(&ABOUT, false)
}
