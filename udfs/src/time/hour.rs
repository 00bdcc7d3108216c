//! `hour`: the hour of a time.

use datafusion::logical_expr::ScalarUDF;

use super::part::part;
use crate::documentation::{About, Topic};

const ABOUT: About = About {
    name: "hour",
    topic: Topic::Time,
    gives: "The hour of the day, from 0 to 23.",
    arguments: &[("time", "a timestamp or date, in its zone if it has one")],
    source: "`date_part('hour', time)` of DataFusion",
    example: "SELECT hour(TIMESTAMP '2000-02-29 12:34:56')",
};

/// The function.
pub(super) fn udf() -> ScalarUDF {
    part(&ABOUT)
}
