//! `minute`: the minute of a time.

use datafusion::logical_expr::ScalarUDF;

use super::part::part;
use crate::documentation::{About, Topic};

const ABOUT: About = About {
    name: "minute",
    topic: Topic::Time,
    gives: "The minute of the hour, from 0 to 59.",
    arguments: &[("time", "a timestamp or date, in its zone if it has one")],
    source: "`date_part('minute', time)` of DataFusion",
    example: "SELECT minute(TIMESTAMP '2000-02-29 12:34:56')",
};

/// The function.
pub(super) fn udf() -> ScalarUDF {
    part(&ABOUT)
}
