//! `circular_mean`: the mean of directions.

use datafusion::logical_expr::AggregateUDF;

use super::sums::{Sums, aggregate};
use crate::documentation::{About, Topic};

const ABOUT: About = About {
    name: "circular_mean",
    topic: Topic::Statistics,
    gives: "The mean direction in degrees, from 0 up to but not including 360: the direction of \
            the sum of unit vectors. NULL if these cancel each other out, NaN if a direction is \
            infinite.",
    arguments: &[("deg", "directions in degrees")],
    source: "Fisher, Statistical Analysis of Circular Data (1993)",
    example: "SELECT circular_mean(deg) FROM (VALUES (350), (20)) AS t(deg)",
};

/// The function.
pub(super) fn udaf() -> AggregateUDF {
    let sums = Sums {
        one: |[degrees]| {
            // The remainder is exact: a direction of many turns keeps its digits.
            let (sin, cos) = (degrees % 360.0).to_radians().sin_cos();
            [1.0, cos, sin]
        },
        merge: |&[na, cos_a, sin_a], &[nb, cos_b, sin_b]| [na + nb, cos_a + cos_b, sin_a + sin_b],
        value: |&[n, cos, sin]| {
            // Sums of unit vectors are exact to about 1e-15 of their number.
            let cancel = cos.hypot(sin) <= 1e-12 * n;
            let mean = sin.atan2(cos).to_degrees().rem_euclid(360.0);
            (!cancel).then_some(if mean >= 360.0 { 0.0 } else { mean })
        },
    };
    aggregate(&ABOUT, false, sums)
}
