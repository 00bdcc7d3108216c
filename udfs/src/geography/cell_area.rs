//! `cell_area`: the area of a grid cell.

use datafusion::logical_expr::ScalarUDF;

use super::{RADIUS, latitude};
use crate::documentation::{About, Topic};
use crate::numeric::numeric;

const ABOUT: About = About {
    name: "cell_area",
    topic: Topic::Geography,
    gives: "The area in square metres of a cell between two parallels and two meridians. Parts of \
            the cell beyond a pole do not count.",
    arguments: &[
        ("lat", "latitude of its middle in degrees north"),
        ("dlat", "its height in degrees"),
        ("dlon", "its width in degrees"),
    ],
    source: "the area of a spherical zone, with the mean radius of GRS 80, 6,371,008.8 m",
    example: "SELECT cell_area(45, 0.25, 0.25)",
};

/// The function.
pub(super) fn udf() -> ScalarUDF {
    numeric(&ABOUT, |[lat, dlat, dlon]| {
        let (lat, half) = (latitude(lat)?, dlat.abs() / 2.0);
        // (`clamp` keeps NaN, `min` does not.)
        let south = (lat - half).clamp(-90.0, 90.0).to_radians();
        let north = (lat + half).clamp(-90.0, 90.0).to_radians();
        // Equal to sin(north) - sin(south), without losing digits if the two are close.
        let height = 2.0 * ((north + south) / 2.0).cos() * ((north - south) / 2.0).sin();
        Some(RADIUS * RADIUS * height * dlon.abs().to_radians())
    })
}
