//! `sigma0`: density at the surface.

use datafusion::logical_expr::ScalarUDF;

use super::{known, salinity};
use crate::documentation::{About, Topic};
use crate::numeric::numeric;

const ABOUT: About = About {
    name: "sigma0",
    topic: Topic::Ocean,
    gives: "The potential density anomaly in kg/m³: the density that seawater would have at the \
            surface, minus 1000.",
    arguments: &[("sa", "Absolute Salinity in g/kg"), ("ct", "Conservative Temperature in degrees Celsius")],
    source: "TEOS-10, the 75-term polynomial of Roquet et al. (2015), by the `gsw` crate",
    example: "SELECT sigma0(34.7, 28.8)",
};

/// The function.
pub(super) fn udf() -> ScalarUDF {
    numeric(&ABOUT, |[sa, ct]| {
        let sa = salinity(sa)?;
        known([sa, ct], || gsw::volume::sigma0(sa, ct))
    })
}
