//! `wind_direction`: the direction from which a wind comes.

use datafusion::logical_expr::ScalarUDF;

use crate::documentation::{About, Topic};
use crate::numeric::numeric;

const ABOUT: About = About {
    name: "wind_direction",
    topic: Topic::Atmosphere,
    gives: "The direction from which a wind comes, in degrees clockwise from north: above 0 up to \
            360, and 0 for no wind.",
    arguments: &[("u", "eastward wind"), ("v", "northward wind, in the same unit")],
    source: "the meteorological convention, as in MetPy",
    example: "SELECT wind_direction(-5, 0)",
};

/// The function.
pub(super) fn udf() -> ScalarUDF {
    numeric(&ABOUT, |[u, v]| {
        if u == 0.0 && v == 0.0 {
            return Some(0.0);
        }
        let direction = (-u).atan2(-v).to_degrees();
        Some(if direction <= 0.0 { direction + 360.0 } else { direction })
    })
}
