//! From changes to a commit.

pub(crate) mod changes;
pub(crate) mod commit;
pub(crate) mod compact;
mod copy;
mod directories;
pub(crate) mod merge;
pub(crate) mod pending;
pub(crate) mod rebase;
pub(crate) mod segment;
