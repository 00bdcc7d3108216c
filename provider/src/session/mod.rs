//! Stores in a session: registering them, and describing them.

pub mod describe;
pub mod metadata;
pub mod progress;
pub mod register;
pub mod summary;
