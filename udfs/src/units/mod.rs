//! Units of measurement, in the notation of the CF conventions.

mod convert_units;
mod unit;

use datafusion::logical_expr::ScalarUDF;

pub use unit::{Unit, UnitError};

/// The functions of this module.
pub fn functions() -> Vec<ScalarUDF> {
    vec![convert_units::udf()]
}
