//! The functions against what others computed, and against themselves.

mod reference;
mod states;
