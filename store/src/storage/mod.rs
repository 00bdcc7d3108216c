//! Where a store lies: its address, its files and their names, and what makes them durable.

pub(crate) mod durability;
pub(crate) mod files;
pub(crate) mod names;
mod remote;
