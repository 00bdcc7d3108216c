//! From changes to a commit.

pub(crate) mod commit;
pub(crate) mod compact;
pub(crate) mod pending;
pub(crate) mod segment;
