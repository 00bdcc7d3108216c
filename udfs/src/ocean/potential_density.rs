//! `potential_density`: the density of water moved to another pressure.

use datafusion::logical_expr::ScalarUDF;

use super::{known, salinity};
use crate::documentation::{About, Topic};
use crate::numeric::numeric;

const ABOUT: About = About {
    name: "potential_density",
    topic: Topic::Ocean,
    gives: "The density in kg/m³ that seawater would have at a reference pressure.",
    arguments: &[
        ("sa", "Absolute Salinity in g/kg"),
        ("ct", "Conservative Temperature in degrees Celsius"),
        ("p_ref", "the reference pressure in dbar: 0 for the surface"),
    ],
    source: "TEOS-10, the 75-term polynomial of Roquet et al. (2015), by the `gsw` crate",
    example: "SELECT potential_density(34.7, 28.8, 0)",
};

/// The function.
pub(super) fn udf() -> ScalarUDF {
    numeric(&ABOUT, |[sa, ct, p]| {
        let sa = salinity(sa)?;
        known([sa, ct, p], || gsw::volume::rho(sa, ct, p))
    })
}
