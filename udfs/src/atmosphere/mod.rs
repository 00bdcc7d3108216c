//! The atmosphere. Temperatures are in kelvins, pressures in pascals, relative humidities fractions
//! of one, winds in metres a second.

mod dewpoint;
mod heat_index;
mod potential_temperature;
mod relative_humidity;
mod saturation_vapor_pressure;
mod wind_direction;
mod wind_speed;

use datafusion::logical_expr::ScalarUDF;

/// The functions of this module.
pub fn functions() -> Vec<ScalarUDF> {
    vec![
        wind_speed::udf(),
        wind_direction::udf(),
        potential_temperature::udf(),
        saturation_vapor_pressure::udf(),
        dewpoint::udf(),
        relative_humidity::udf(),
        heat_index::udf(),
    ]
}

/// The number, unless it is negative. (NaN stays NaN.)
fn not_negative(number: f64) -> Option<f64> {
    if number < 0.0 { None } else { Some(number) }
}

/// The temperature in kelvins, unless it is out of range. (NaN stays NaN.)
fn kelvins(t: f64) -> Option<f64> {
    if t <= 0.0 { None } else { Some(t) }
}

/// Saturation vapour pressure over liquid water in Pa: Ambaum (2020), equation 13.
fn saturation(t: f64) -> f64 {
    /// Gas constant of water vapour, J/(kg K).
    const R: f64 = 8.314_462_618 / 18.015_268e-3;
    /// Specific heats of vapour, at constant pressure, and of liquid water, J/(kg K).
    const VAPOUR: f64 = 1.33 * R / 0.33;
    const LIQUID: f64 = 4219.4;
    /// Latent heat of vaporization at the triple point, J/kg, its temperature, and the vapour pressure there, Pa.
    const LATENT: f64 = 2.500_84e6;
    const TRIPLE: f64 = 273.16;
    const PRESSURE: f64 = 611.2;
    let latent = LATENT - (LIQUID - VAPOUR) * (t - TRIPLE);
    PRESSURE * (TRIPLE / t).powf((LIQUID - VAPOUR) / R) * ((LATENT / TRIPLE - latent / t) / R).exp()
}
