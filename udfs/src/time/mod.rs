//! Times: timestamps of numbers in the units of the CF conventions, and functions of a time.

mod cf_time;
mod date_diff;
mod day;
mod day_of_year;
mod decimal_year;
mod hour;
mod instants;
mod minute;
mod month;
mod months_between;
mod multiply_interval;
mod part;
mod season;
mod second;
mod solar_zenith;
mod year;

use datafusion::logical_expr::ScalarUDF;

pub use multiply_interval::IntervalPlanner;

/// The functions of this module.
pub fn functions() -> Vec<ScalarUDF> {
    vec![
        cf_time::udf(),
        season::udf(),
        day_of_year::udf(),
        decimal_year::udf(),
        solar_zenith::udf(),
        year::udf(),
        month::udf(),
        day::udf(),
        hour::udf(),
        minute::udf(),
        second::udf(),
        date_diff::udf(),
        months_between::udf(),
        multiply_interval::udf(),
    ]
}
