//! The data model: types, values, schemas, grids of chunks, statistics. Without I/O.

pub(crate) mod dtype;
pub(crate) mod grid;
pub(crate) mod schema;
pub(crate) mod statistics;
pub(crate) mod value;
