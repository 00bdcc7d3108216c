//! `area_mean`: a mean over the globe.

use datafusion::logical_expr::AggregateUDF;

use super::sums::{Sums, added, aggregate, subtracted};
use crate::documentation::{About, Topic};

const ABOUT: About = About {
    name: "area_mean",
    topic: Topic::Statistics,
    gives: "The mean of values on a grid of latitudes and longitudes, each weighted with the area of its cell, which goes with the cosine of the latitude.",
    arguments: &[("x", "the values"), ("lat", "their latitudes in degrees north")],
    source: "Σ cos(lat) x / Σ cos(lat)",
    example: "SELECT area_mean(x, lat) FROM (VALUES (1, 0), (4, 60)) AS t(x, lat)",
};

/// The function.
pub(super) fn udaf() -> AggregateUDF {
    let sums = Sums {
        one: |[x, lat]| {
            let weight = lat.to_radians().cos();
            [1.0, weight, weight * x]
        },
        merge: added,
        without: subtracted,
        value: |&[_, weights, sum]| (weights != 0.0).then_some(sum / weights),
    };
    aggregate(&ABOUT, false, sums)
}
