//! `depth_from_pressure`: the depth at a pressure.

use datafusion::logical_expr::ScalarUDF;

use crate::documentation::{About, Topic};
use crate::numeric::numeric;

const ABOUT: About = About {
    name: "depth_from_pressure",
    topic: Topic::Ocean,
    gives: "The depth in metres below the surface, positive downwards.",
    arguments: &[("p", "sea pressure in dbar"), ("lat", "latitude in degrees north")],
    source: "TEOS-10 (Saunders 1981; Roquet et al. 2015), by the `gsw` crate",
    example: "SELECT depth_from_pressure(1000, 45)",
};

/// The function.
pub(super) fn udf() -> ScalarUDF {
    numeric(&ABOUT, |[p, lat]| {
        if lat.abs() > 90.0 {
            return None;
        }
        Some(-gsw::conversions::z_from_p(p, lat, 0.0, 0.0))
    })
}
