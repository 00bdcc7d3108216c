//! `circular_mean`: a mean of directions.

use datafusion::logical_expr::AggregateUDF;

use super::sums::{Sums, added, aggregate, subtracted};
use crate::documentation::{About, Topic};

const ABOUT: About = About {
    name: "circular_mean",
    topic: Topic::Statistics,
    gives: "The mean direction in degrees, 0 or more and below 360: that of the sum of unit vectors. NULL where these cancel each other out.",
    arguments: &[("deg", "directions in degrees")],
    source: "Fisher, Statistical Analysis of Circular Data (1993)",
    example: "SELECT circular_mean(deg) FROM (VALUES (350), (20)) AS t(deg)",
};

/// The function.
pub(super) fn udaf() -> AggregateUDF {
    let sums = Sums {
        one: |[degrees]| {
            let (sin, cos) = degrees.to_radians().sin_cos();
            [1.0, cos, sin]
        },
        merge: added,
        without: subtracted,
        value: |&[n, cos, sin]| {
            // Sums of unit vectors are exact to some 1e-15 of their number.
            let mean = sin.atan2(cos).to_degrees().rem_euclid(360.0);
            (cos.hypot(sin) > 1e-12 * n).then_some(if mean >= 360.0 { 0.0 } else { mean })
        },
    };
    aggregate(&ABOUT, false, sums)
}
