//! `year`: the year of a time.

use datafusion::logical_expr::ScalarUDF;

use super::part::part;
use crate::documentation::{About, Topic};

const ABOUT: About = About {
    name: "year",
    topic: Topic::Time,
    gives: "The year.",
    arguments: &[("time", "a timestamp or date, in its zone if it has one")],
    source: "`date_part('year', time)` of DataFusion",
    example: "SELECT year(TIMESTAMP '2000-02-29 12:34:56')",
};

/// The function.
pub(super) fn udf() -> ScalarUDF {
    part(&ABOUT)
}
