//! The rows and columns of tables, derived from the catalog alone.

pub mod columns;
pub mod coordinates;
pub mod grids;
pub mod kind;
pub mod layout;
pub mod level;
pub mod names;
pub mod options;
pub mod places;
pub mod widen;
pub mod words;
pub mod workers;
