//! Where a store lies: its address, its files and their names, and what makes them durable.

pub(crate) mod blocking;
#[cfg(any(feature = "aws", feature = "azure", feature = "gcp", feature = "http"))]
mod client;
mod create;
pub(crate) mod durability;
mod exclusive;
pub(crate) mod files;
pub(crate) mod location;
pub(crate) mod names;
mod patience;
mod remote;
pub(crate) mod requests;
#[cfg(any(feature = "aws", feature = "azure", feature = "gcp", feature = "http"))]
mod settings;
