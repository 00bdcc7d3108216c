//! `conservative_temperature`: from in-situ temperature.

use datafusion::logical_expr::ScalarUDF;

use super::salinity;
use crate::documentation::{About, Topic};
use crate::numeric::numeric;

const ABOUT: About = About {
    name: "conservative_temperature",
    topic: Topic::Ocean,
    gives: "Conservative Temperature in degrees Celsius, from in-situ temperature.",
    arguments: &[
        ("sa", "Absolute Salinity in g/kg"),
        ("t", "in-situ temperature in degrees Celsius (ITS-90)"),
        ("p", "sea pressure in dbar"),
    ],
    source: "TEOS-10, appendices A.10 and A.11; the last step by the `gsw` crate",
    example: "SELECT conservative_temperature(34.7, 28.8, 10)",
};

/// The function.
pub(super) fn udf() -> ScalarUDF {
    numeric(&ABOUT, |[sa, t, p]| super::conservative_temperature(salinity(sa)?, t, p))
}
