//! Times: what numbers in the units of the CF conventions stand for, and what depends on a time.

mod cf_time;
mod day_of_year;
mod decimal_year;
mod instants;
mod season;
mod solar_zenith;

use datafusion::logical_expr::ScalarUDF;

/// The functions of this module.
pub fn functions() -> Vec<ScalarUDF> {
    vec![cf_time::udf(), season::udf(), day_of_year::udf(), decimal_year::udf(), solar_zenith::udf()]
}
