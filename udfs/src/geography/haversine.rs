//! `haversine`: the distance between two places.

use datafusion::logical_expr::ScalarUDF;

use super::{RADIUS, latitude};
use crate::documentation::{About, Topic};
use crate::numeric::numeric;

const ABOUT: About = About {
    name: "haversine",
    topic: Topic::Geography,
    gives: "The great-circle distance of two places in metres, on a sphere: within 0.6% of the distance on the ellipsoid.",
    arguments: &[
        ("lat1", "latitude of the one place in degrees north"),
        ("lon1", "its longitude in degrees east"),
        ("lat2", "latitude of the other place in degrees north"),
        ("lon2", "its longitude in degrees east"),
    ],
    source: "the haversine formula (Sinnott 1984), with the mean radius of GRS 80, 6,371,008.8 m",
    example: "SELECT haversine(51.5, -0.13, 48.86, 2.35)",
};

/// The function.
pub(super) fn udf() -> ScalarUDF {
    numeric(&ABOUT, |[lat1, lon1, lat2, lon2]| {
        let (lat1, lat2) = (latitude(lat1)?.to_radians(), latitude(lat2)?.to_radians());
        let half_lat = ((lat2 - lat1) / 2.0).sin();
        let half_lon = ((lon2 - lon1).to_radians() / 2.0).sin();
        let h = half_lat * half_lat + lat1.cos() * lat2.cos() * half_lon * half_lon;
        Some(2.0 * RADIUS * h.sqrt().clamp(0.0, 1.0).asin())
    })
}
