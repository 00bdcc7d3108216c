//! `dewpoint`: the temperature at which air is saturated.

use datafusion::logical_expr::ScalarUDF;

use super::{kelvins, not_negative, saturation};
use crate::documentation::{About, Topic};
use crate::numeric::numeric;

const ABOUT: About = About {
    name: "dewpoint",
    topic: Topic::Atmosphere,
    gives: "The temperature in K to which air must cool to be saturated over liquid water.",
    arguments: &[("t", "temperature in K"), ("rh", "relative humidity as a fraction of one")],
    source: "Bolton (1980), equation 11, for the vapour pressure rh · \
             `saturation_vapor_pressure(t)`",
    example: "SELECT dewpoint(293.15, 0.5)",
};

/// The function.
pub(super) fn udf() -> ScalarUDF {
    numeric(&ABOUT, |[t, rh]| {
        let pressure = not_negative(rh)? * saturation(kelvins(t)?);
        let logarithm = (pressure / 611.2).ln();
        (pressure != 0.0).then(|| 273.15 + 243.5 * logarithm / (17.67 - logarithm))
    })
}
