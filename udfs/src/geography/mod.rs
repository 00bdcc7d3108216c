//! Places on the earth. The earth is treated as a sphere with its mean radius, 6,371,008.8 m.
//! Latitudes are in degrees north, longitudes in degrees east.

mod cell_area;
mod geohash;
mod haversine;
mod in_bbox;
mod in_polygon;
mod initial_bearing;
mod normalize_lon;

use datafusion::logical_expr::ScalarUDF;

/// The mean radius of the earth in metres: (2a + b) / 3 of GRS 80 (Moritz 2000).
const RADIUS: f64 = 6_371_008.8;

/// The functions of this module.
pub fn functions() -> Vec<ScalarUDF> {
    vec![
        haversine::udf(),
        initial_bearing::udf(),
        in_bbox::udf(),
        normalize_lon::udf(),
        cell_area::udf(),
        in_polygon::udf(),
        geohash::udf(),
    ]
}

/// A latitude, if it is valid. (NaN stays NaN.)
fn latitude(lat: f64) -> Option<f64> {
    if lat.abs() > 90.0 { None } else { Some(lat) }
}

/// A longitude from -180 to below 180. (NaN stays NaN.)
fn longitude(lon: f64) -> f64 {
    if (-180.0..180.0).contains(&lon) {
        return lon;
    }
    let normal = (lon + 180.0).rem_euclid(360.0) - 180.0;
    // A longitude slightly below -180 rounds to 180.
    if normal >= 180.0 { -180.0 } else { normal }
}
