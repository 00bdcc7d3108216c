//! `potential_temperature`: the temperature of air moved to 1000 hPa.

use datafusion::logical_expr::ScalarUDF;

use super::{kelvins, not_negative};
use crate::documentation::{About, Topic};
use crate::numeric::numeric;

const ABOUT: About = About {
    name: "potential_temperature",
    topic: Topic::Atmosphere,
    gives: "The temperature in K that dry air would have at 1000 hPa.",
    arguments: &[("p", "pressure in Pa"), ("t", "temperature in K")],
    source: "Poisson's equation with the exponent 2/7, for a diatomic gas",
    example: "SELECT potential_temperature(50000, 250)",
};

/// The function.
pub(super) fn udf() -> ScalarUDF {
    numeric(&ABOUT, |[p, t]| {
        let (p, t) = (not_negative(p)?, kelvins(t)?);
        (p != 0.0).then(|| t * (100_000.0 / p).powf(2.0 / 7.0))
    })
}
