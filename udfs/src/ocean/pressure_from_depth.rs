//! `pressure_from_depth`: the pressure at a depth.

use datafusion::logical_expr::ScalarUDF;

use super::known;
use crate::documentation::{About, Topic};
use crate::numeric::numeric;

const ABOUT: About = About {
    name: "pressure_from_depth",
    topic: Topic::Ocean,
    gives: "The sea pressure in dbar at a depth.",
    arguments: &[
        ("depth", "depth in metres below the surface, positive downwards"),
        ("lat", "latitude in degrees north"),
    ],
    source: "TEOS-10 (Saunders 1981; Roquet et al. 2015), by the `gsw` crate",
    example: "SELECT pressure_from_depth(1000, 45)",
};

/// The function.
pub(super) fn udf() -> ScalarUDF {
    numeric(&ABOUT, |[depth, lat]| {
        if lat.abs() > 90.0 {
            return None;
        }
        known([depth, lat], || gsw::conversions::p_from_z(-depth, lat, None, None))
    })
}
