//! A generation of a store, to read from.

#[cfg(feature = "ndarray")]
pub(crate) mod across;
pub(crate) mod cache;
pub(crate) mod joined;
pub(crate) mod segment;
pub(crate) mod snapshot;
