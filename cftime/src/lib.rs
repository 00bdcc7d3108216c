//! Timestamps for the times of the [CF conventions](https://cfconventions.org/): numbers with units
//! such as `days since 1950-01-01`, in a calendar.
//!
//! ```
//! use atlas_cftime::{Calendar, Stored, TimeUnits};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let units = TimeUnits::parse("days since 1970-01-01", Calendar::Standard)?;
//! // One hour in days is not an f64; the nearest f64 represents it.
//! assert_eq!(units.timestamp(Stored::Double(1.0 / 24.0))?, 3_600_000_000_000);
//! # Ok(())
//! # }
//! ```
//!
//! The crate converts numbers to timestamps. It does not convert timestamps back to numbers, and it
//! does not represent dates that timestamps cannot express, such as 30 February of `360_day`.

mod calendar;
mod reference;
mod stored;
mod units;

pub use calendar::Calendar;
pub use stored::Stored;
pub use units::{NoTimestamp, TimeUnits, UnitsError};
