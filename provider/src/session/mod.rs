//! Stores in a session: registering them, and what is told about them.

pub mod metadata;
pub mod progress;
pub mod register;
pub mod summary;
