//! `sound_speed`: the speed of sound in seawater.

use datafusion::logical_expr::ScalarUDF;

use super::{known, salinity};
use crate::documentation::{About, Topic};
use crate::numeric::numeric;

const ABOUT: About = About {
    name: "sound_speed",
    topic: Topic::Ocean,
    gives: "The speed of sound in seawater in m/s.",
    arguments: &[
        ("sa", "Absolute Salinity in g/kg"),
        ("ct", "Conservative Temperature in degrees Celsius"),
        ("p", "sea pressure in dbar"),
    ],
    source: "TEOS-10, the 75-term polynomial of Roquet et al. (2015), by the `gsw` crate",
    example: "SELECT sound_speed(34.7, 28.8, 10)",
};

/// The function.
pub(super) fn udf() -> ScalarUDF {
    numeric(&ABOUT, |[sa, ct, p]| {
        let sa = salinity(sa)?;
        known([sa, ct, p], || gsw::volume::sound_speed(sa, ct, p))
    })
}
