//! Names for the columns of a table, so that each has one of its own.
//!
//! The names depend on which columns there are, not on the order of the datasets that they come from.

use std::collections::HashSet;

/// What a column would be called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The name in the datasets.
    pub name: String,
    /// What tells the column apart where it cannot have the name alone.
    pub mark: Mark,
    /// Whether another column has the name alone in any case.
    pub marked: bool,
}

/// A word that tells a column apart from others of the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mark {
    /// In front: what the column is, as in `attr.title`.
    Before(&'static str),
    /// Behind: which values of the name it has, as in `time.number`.
    After(&'static str),
}

impl Mark {
    fn on(self, name: &str) -> String {
        match self {
            Self::Before(word) => format!("{word}.{name}"),
            Self::After(word) => format!("{name}.{word}"),
        }
    }
}

/// The names of columns, in their order. No two are equal, and none is in `taken`.
///
/// A column has its name alone unless an earlier one has it; else the mark is put on it, as often as
/// it takes to find a free name. Names without a mark are given first, so that a column that is
/// called like another with its mark (`attr.title`) keeps its name.
pub fn distinct(taken: &[&str], wanted: &[Wanted]) -> Vec<String> {
    let mut taken: HashSet<String> = taken.iter().map(ToString::to_string).collect();
    let mut names: Vec<String> = Vec::with_capacity(wanted.len());
    let mut late: Vec<(&Wanted, usize)> = Vec::new();
    for (place, column) in wanted.iter().enumerate() {
        if column.marked || !taken.insert(column.name.clone()) {
            late.push((column, place));
        }
        names.push(column.name.clone());
    }
    late.sort_by_key(|(column, _)| (&column.name, column.mark));
    for (column, place) in late {
        let mut name = column.mark.on(&column.name);
        while !taken.insert(name.clone()) {
            name = column.mark.on(&name);
        }
        if let Some(slot) = names.get_mut(place) {
            *slot = name;
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ATTRIBUTE: Mark = Mark::Before("attr");

    fn plain(name: &str, mark: Mark) -> Wanted {
        Wanted { name: name.to_owned(), mark, marked: false }
    }

    #[test]
    fn a_name_that_is_taken_gets_a_mark() {
        let number = Wanted { marked: true, ..plain("time", Mark::After("number")) };
        let wanted = [
            plain("dataset", Mark::Before("dim")),
            plain("time", Mark::Before("dim")),
            number,
            plain("dataset", Mark::Before("variable")),
            plain("time.number", Mark::Before("variable")),
            plain("time", ATTRIBUTE),
            plain("attr.time", ATTRIBUTE),
            plain("Time", ATTRIBUTE),
        ];
        let names = distinct(&["dataset"], &wanted);
        assert_eq!(
            names,
            [
                "dim.dataset",
                "time",
                "time.number.number",
                "variable.dataset",
                "time.number",
                "attr.attr.time",
                "attr.time",
                "Time"
            ]
        );
    }

    proptest! {
        /// Names are distinct, and the same whatever the order of the columns of a class.
        #[test]
        fn names_are_distinct_and_stable(
            variables in prop::collection::btree_set("(attr\\.){0,2}(variable\\.)?[ab]", 0..6),
            attributes in prop::collection::btree_set("(attr\\.){0,3}[abn]", 0..6),
        ) {
            let class = |names: Vec<&String>, mark| {
                names.into_iter().map(|name| plain(name, mark)).collect::<Vec<_>>()
            };
            let wanted = [
                class(variables.iter().collect(), Mark::Before("variable")),
                class(attributes.iter().collect(), ATTRIBUTE),
            ];
            let reversed = [
                class(variables.iter().rev().collect(), Mark::Before("variable")),
                class(attributes.iter().rev().collect(), ATTRIBUTE),
            ];
            let (wanted, reversed) = (wanted.concat(), reversed.concat());
            let names = distinct(&["n"], &wanted);
            let mut all: HashSet<&str> = names.iter().map(String::as_str).collect();
            prop_assert!(all.insert("n"));
            prop_assert_eq!(all.len(), wanted.len() + 1);
            let again = distinct(&["n"], &reversed);
            for (column, name) in wanted.iter().zip(&names) {
                let place = reversed.iter().position(|other| other == column).unwrap();
                prop_assert_eq!(&again[place], name);
            }
        }
    }
}
