//! Tables, scans and optimizer rules as DataFusion plans them.

pub mod aggregate_rule;
pub mod aggregate_source;
pub mod dynamic;
pub mod literals;
pub mod source;
pub mod table;
