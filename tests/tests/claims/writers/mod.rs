//! Writers at work on one store at one time: what they change of it, in whatever order they commit.
//!
//! `PROPTEST_CASES=5000 cargo test -p atlas-tests --test claims writers::` runs more cases.

mod commute;
mod faults;
mod model;
mod pending;
mod random;
mod repair;
