//! `saturation_vapor_pressure`: the vapour pressure of saturated air.

use datafusion::logical_expr::ScalarUDF;

use super::{kelvins, saturation};
use crate::documentation::{About, Topic};
use crate::numeric::numeric;

const ABOUT: About = About {
    name: "saturation_vapor_pressure",
    topic: Topic::Atmosphere,
    gives: "The vapour pressure in Pa at which air is saturated over liquid water.",
    arguments: &[("t", "temperature in K")],
    source: "Ambaum (2020), equation 13",
    example: "SELECT saturation_vapor_pressure(293.15)",
};

/// The function.
pub(super) fn udf() -> ScalarUDF {
    numeric(&ABOUT, |[t]| kelvins(t).map(saturation))
}
