//! Positions of names in a list.

use std::collections::HashMap;

/// The position of each name.
pub fn places<'a>(names: impl Iterator<Item = &'a String>) -> HashMap<&'a str, usize> {
    names.enumerate().map(|(place, name)| (name.as_str(), place)).collect()
}
