//! `normalize_lon`: longitudes in one convention.

use datafusion::logical_expr::ScalarUDF;

use super::longitude;
use crate::documentation::{About, Topic};
use crate::numeric::numeric;

const ABOUT: About = About {
    name: "normalize_lon",
    topic: Topic::Geography,
    gives: "The same longitude, from -180 up to but not including 180 degrees.",
    arguments: &[("lon", "longitude in degrees east, in any convention")],
    source: "arithmetic",
    example: "SELECT normalize_lon(270)",
};

/// The function.
pub(super) fn udf() -> ScalarUDF {
    numeric(&ABOUT, |[lon]| Some(longitude(lon)))
}
