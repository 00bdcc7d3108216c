//! Concurrent writers of one store: their changes, in every order of commits.
//!
//! `PROPTEST_CASES=5000 cargo test -p atlas-tests --test claims writers::` runs more cases.

mod attributes;
mod commute;
mod faults;
mod model;
mod pending;
mod random;
mod repair;
