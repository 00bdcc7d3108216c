//! `heat_index`: the apparent temperature of warm and moist air.

use datafusion::logical_expr::ScalarUDF;

use super::{kelvins, not_negative};
use crate::documentation::{About, Topic};
use crate::numeric::numeric;

const ABOUT: About = About {
    name: "heat_index",
    topic: Topic::Atmosphere,
    gives: "The apparent temperature in K of warm and moist air in the shade. It is not defined \
            below 80 °F (299.82 K), and NULL there.",
    arguments: &[("t", "temperature in K"), ("rh", "relative humidity as a fraction of one")],
    source: "Rothfusz (1990) after Steadman (1979), with the adjustments of the US National Weather Service",
    example: "SELECT heat_index(305.15, 0.7)",
};

/// The function.
pub(super) fn udf() -> ScalarUDF {
    numeric(&ABOUT, |[t, rh]| {
        let (t, rh) = (kelvins(t)?, not_negative(rh)? * 100.0);
        let fahrenheit = (t - 273.15) * 1.8 + 32.0;
        // (Slightly below, for values that are 80 °F except for their last digits.)
        let kelvins = (index(fahrenheit, rh) - 32.0) / 1.8 + 273.15;
        if fahrenheit < 80.0 - 1e-9 { None } else { Some(kelvins) }
    })
}

/// In °F and per cent, as published.
fn index(t: f64, rh: f64) -> f64 {
    let simple = 1.1 * t - 10.3 + 0.047 * rh;
    let full = || {
        let by_t = -42.379 + 2.049_015_23 * t - 6.837_83e-3 * t * t;
        let by_rh = 10.143_331_27 - 0.224_755_41 * t + 1.228_74e-3 * t * t;
        let by_rh_squared = -5.481_717e-2 + 8.5282e-4 * t - 1.99e-6 * t * t;
        by_t + rh * (by_rh + rh * by_rh_squared)
    };
    let index = if simple < 79.0 { simple } else { full() };
    if rh <= 13.0 && t <= 112.0 {
        index - (13.0 - rh) / 4.0 * ((17.0 - (t - 95.0).abs()) / 17.0).sqrt()
    } else if rh > 85.0 && t <= 87.0 {
        index + 0.02 * (rh - 85.0) * (87.0 - t)
    } else {
        index
    }
}
