//! Seawater by TEOS-10 (IOC, SCOR and IAPSO 2010). As in the `gsw` toolboxes, pressures are sea
//! pressures in dbar (0 at the surface), salinities are Absolute Salinities in g/kg, and
//! temperatures are in degrees Celsius (ITS-90).

mod absolute_salinity;
mod conservative_temperature;
mod depth_from_pressure;
mod entropy;
mod freezing_temperature;
mod potential_density;
mod pressure_from_depth;
mod sigma0;
mod sigma1;
mod sigma2;
mod sound_speed;
mod spiciness;

use datafusion::logical_expr::ScalarUDF;

/// The functions of this module.
pub fn functions() -> Vec<ScalarUDF> {
    vec![
        absolute_salinity::udf(),
        conservative_temperature::udf(),
        potential_density::udf(),
        sigma0::udf(),
        sigma1::udf(),
        sigma2::udf(),
        spiciness::udf(),
        sound_speed::udf(),
        depth_from_pressure::udf(),
        pressure_from_depth::udf(),
        freezing_temperature::udf(),
    ]
}

/// A salinity, if it is valid. (NaN stays NaN.)
pub(crate) fn salinity(sa: f64) -> Option<f64> {
    if sa < 0.0 { None } else { Some(sa) }
}

/// The Conservative Temperature of an Absolute Salinity, an in-situ temperature and a pressure.
pub(crate) fn conservative_temperature(sa: f64, t: f64, p: f64) -> Option<f64> {
    known([sa, t, p], || gsw::conversions::ct_from_pt(sa, entropy::potential_temperature(sa, t, p)))
}

/// The result of a `gsw` function that does not accept NaN; NaN if an argument is NaN.
pub(crate) fn known<const N: usize, E>(
    numbers: [f64; N],
    of: impl FnOnce() -> Result<f64, E>,
) -> Option<f64> {
    if numbers.iter().any(|number| number.is_nan()) { Some(f64::NAN) } else { of().ok() }
}
