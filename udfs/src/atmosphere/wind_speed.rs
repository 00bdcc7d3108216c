//! `wind_speed`: the speed of a wind.

use datafusion::logical_expr::ScalarUDF;

use crate::documentation::{About, Topic};
use crate::numeric::numeric;

const ABOUT: About = About {
    name: "wind_speed",
    topic: Topic::Atmosphere,
    gives: "The speed of a wind, in the unit of its components.",
    arguments: &[("u", "eastward wind"), ("v", "northward wind, in the same unit")],
    source: "arithmetic",
    example: "SELECT wind_speed(3, 4)",
};

/// The function.
pub(super) fn udf() -> ScalarUDF {
    numeric(&ABOUT, |[u, v]| Some(u.hypot(v)))
}
