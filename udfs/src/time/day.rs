//! `day`: the day of a time.

use datafusion::logical_expr::ScalarUDF;

use super::part::part;
use crate::documentation::{About, Topic};

const ABOUT: About = About {
    name: "day",
    topic: Topic::Time,
    gives: "The day of the month, from 1 to 31.",
    arguments: &[("time", "a timestamp or date, in its zone if it has one")],
    source: "`date_part('day', time)` of DataFusion",
    example: "SELECT day(TIMESTAMP '2000-02-29 12:34:56')",
};

/// The function.
pub(super) fn udf() -> ScalarUDF {
    part(&ABOUT)
}
