//! The functions compared with other implementations, and with themselves.

mod reference;
mod states;
