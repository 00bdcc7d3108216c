//! Tables, scans and optimizer rules: the implementations of DataFusion's interfaces.

pub mod aggregate_rule;
pub mod aggregate_source;
pub mod bitwise;
pub mod dynamic;
pub mod literals;
pub mod request;
pub mod share;
pub mod source;
pub mod table;
