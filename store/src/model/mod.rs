//! What the data are: types, values, schemas, grids of chunks, statistics. Pure.

pub(crate) mod dtype;
pub(crate) mod grid;
pub(crate) mod schema;
pub(crate) mod statistics;
pub(crate) mod value;
