//! `month`: the month of a time.

use datafusion::logical_expr::ScalarUDF;

use super::part::part;
use crate::documentation::{About, Topic};

const ABOUT: About = About {
    name: "month",
    topic: Topic::Time,
    gives: "The month, from 1 to 12.",
    arguments: &[("time", "a timestamp or date, in its zone if it has one")],
    source: "`date_part('month', time)` of DataFusion",
    example: "SELECT month(TIMESTAMP '2000-02-29 12:34:56')",
};

/// The function.
pub(super) fn udf() -> ScalarUDF {
    part(&ABOUT)
}
