//! `second`: the second of a time.

use datafusion::logical_expr::ScalarUDF;

use super::part::part;
use crate::documentation::{About, Topic};

const ABOUT: About = About {
    name: "second",
    topic: Topic::Time,
    gives: "The second of the minute, from 0 to 59, without fractions.",
    arguments: &[("time", "a timestamp or date, in its zone if it has one")],
    source: "`date_part('second', time)` of DataFusion",
    example: "SELECT second(TIMESTAMP '2000-02-29 12:34:56')",
};

/// The function.
pub(super) fn udf() -> ScalarUDF {
    part(&ABOUT)
}
