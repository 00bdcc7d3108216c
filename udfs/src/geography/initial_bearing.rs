//! `initial_bearing`: the direction from one place to another.

use datafusion::logical_expr::ScalarUDF;

use super::latitude;
use crate::documentation::{About, Topic};
use crate::numeric::numeric;

const ABOUT: About = About {
    name: "initial_bearing",
    topic: Topic::Geography,
    gives: "The direction, at the first place, of the great circle to the second place, in degrees \
            clockwise from north, from 0 up to but not including 360.",
    arguments: &[
        ("lat1", "latitude of the first place in degrees north"),
        ("lon1", "its longitude in degrees east"),
        ("lat2", "latitude of the second place in degrees north"),
        ("lon2", "its longitude in degrees east"),
    ],
    source: "spherical trigonometry",
    example: "SELECT initial_bearing(51.5, -0.13, 40.71, -74.01)",
};

/// The function.
pub(super) fn udf() -> ScalarUDF {
    numeric(&ABOUT, |[lat1, lon1, lat2, lon2]| {
        let (lat1, lat2) = (latitude(lat1)?.to_radians(), latitude(lat2)?.to_radians());
        let east = (lon2 - lon1).to_radians();
        let y = east.sin() * lat2.cos();
        let x = lat1.cos() * lat2.sin() - lat1.sin() * lat2.cos() * east.cos();
        let bearing = y.atan2(x).to_degrees().rem_euclid(360.0);
        // A bearing slightly below zero rounds to 360.
        Some(if bearing >= 360.0 { 0.0 } else { bearing })
    })
}
