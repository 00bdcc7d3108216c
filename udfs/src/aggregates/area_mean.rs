//! `area_mean`: a mean over the globe.

use datafusion::logical_expr::AggregateUDF;

use super::sums::{Sums, aggregate};
use super::weighted::{self, Weighted};
use crate::documentation::{About, Topic};

const ABOUT: About = About {
    name: "area_mean",
    topic: Topic::Statistics,
    gives: "The mean of values on a grid of latitudes and longitudes, weighted with the areas of \
            their cells, which are proportional to the cosine of the latitude. NULL if a value has \
            a latitude beyond ±90.",
    arguments: &[("x", "the values"), ("lat", "their latitudes in degrees north")],
    source: "Σ cos(lat) x / Σ cos(lat)",
    example: "SELECT area_mean(x, lat) FROM (VALUES (1, 0), (4, 60)) AS t(x, lat)",
};

/// The function.
pub(super) fn udaf() -> AggregateUDF {
    let sums = Sums { one, merge: weighted::merge, value };
    aggregate(&ABOUT, false, sums)
}

fn one([x, lat]: [f64; 2]) -> Weighted {
    // A weight that is NaN makes the sum of weights NaN.
    let weight = if lat.abs() <= 90.0 { lat.to_radians().cos() } else { f64::NAN };
    weighted::one([x, weight])
}

fn value(state: &Weighted) -> Option<f64> {
    let [_, _, weights, ..] = state;
    if weights.is_nan() { None } else { weighted::mean(state) }
}
