//! Timestamps of the times that the [CF conventions](https://cfconventions.org/) describe: numbers
//! with units such as `days since 1950-01-01`, in a calendar.
//!
//! ```
//! use atlas_cftime::{Calendar, Stored, TimeUnits};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let units = TimeUnits::parse("days since 1970-01-01", Calendar::Standard)?;
//! // One hour is no f64 of days; the nearest one stands for it.
//! assert_eq!(units.timestamp(Stored::Double(1.0 / 24.0))?, 3_600_000_000_000);
//! # Ok(())
//! # }
//! ```

mod calendar;
mod reference;
mod stored;
mod units;

pub use calendar::Calendar;
pub use stored::Stored;
pub use units::{NoTimestamp, TimeUnits, UnitsError};
