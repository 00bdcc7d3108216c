//! Unique names for the columns of a table and for the tables of a store.
//!
//! The names depend on the columns and grids, not on the order of the datasets from which they
//! come.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::tables::grids::Grid;

/// The preferred name of a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The name in the datasets.
    pub name: String,
    /// The mark that distinguishes the column if it cannot have the plain name.
    pub mark: Mark,
    /// True if another column has the plain name in any case.
    pub marked: bool,
}

/// A word that distinguishes a column from others of the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mark {
    /// Before the name: what the column is, as in `attr.title`.
    Before(&'static str),
    /// After the name: which of the values the column has, as in `time.number`.
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
/// A column gets its plain name unless an earlier one has it. Otherwise the mark is added,
/// repeatedly until the name is free. Plain names are assigned first, so that a column whose own
/// name looks like a marked one (`attr.title`) keeps it.
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

/// What the names of the tables of grids begin with.
pub const GRID: &str = "_grid_";

/// The dimensions that a table's name lists behind `_grid_`, joined by `,` or by `_`: none, where
/// they are not all known or where several lists can be meant.
pub fn dims_of_name(name: &str, known: &BTreeSet<&str>) -> Option<Vec<String>> {
    let distinct = |dims: &[&str]| dims.iter().collect::<HashSet<_>>().len() == dims.len();
    let listed: Vec<&str> = name.split(',').map(str::trim).collect();
    if listed.len() > 1 {
        let is_known = listed.iter().all(|dim| known.contains(dim)) && distinct(&listed);
        return is_known.then(|| listed.into_iter().map(str::to_owned).collect());
    }
    let mut found: Vec<Vec<&str>> = Vec::new();
    let mut begun: Vec<(&str, Vec<&str>)> = vec![(name, Vec::new())];
    // A name that can be read in many ways is none.
    while let Some((rest, dims)) = begun.pop().filter(|_| found.len() < 2 && begun.len() < 1000) {
        for dim in known.iter().filter(|dim| !dims.contains(*dim)) {
            let Some(after) = rest.strip_prefix(dim) else { continue };
            let dims = [dims.as_slice(), &[*dim]].concat();
            match after.strip_prefix('_') {
                _ if after.is_empty() => found.push(dims),
                Some(after) => begun.push((after, dims)),
                None => {}
            }
        }
    }
    match found.as_slice() {
        [dims] => Some(dims.iter().map(|dim| (*dim).to_owned()).collect()),
        _ => None,
    }
}

/// The names of the tables of some grids, in their order: `_grid_` and the dimensions, joined by
/// `_`.
///
/// If grids would get one name, the dimensions of each are joined by `,`. If another grid has that
/// name too, a number is appended, in the order of the dimensions' names.
pub fn grid_table_names(grids: &[Grid]) -> Vec<String> {
    let named = |grid: &Grid, between: &str| format!("{GRID}{}", grid.dims.join(between));
    let mut names: Vec<String> = grids.iter().map(|grid| named(grid, "_")).collect();
    let mut uses: HashMap<String, usize> = HashMap::new();
    names.iter().for_each(|name| *uses.entry(name.clone()).or_default() += 1);
    let mut taken: HashSet<String> = HashSet::new();
    let mut late: Vec<(&Grid, &mut String)> = Vec::new();
    for (grid, name) in grids.iter().zip(&mut names) {
        if uses.get(name) == Some(&1) {
            taken.insert(name.clone());
        } else {
            late.push((grid, name));
        }
    }
    late.sort_by_key(|(grid, _)| &grid.dims);
    for (grid, slot) in late {
        let name = named(grid, ",");
        let numbered = (2..).map(|number: u64| format!("{name}.{number}"));
        *slot = std::iter::once(name.clone())
            .chain(numbered)
            .find(|name| taken.insert(name.clone()))
            .unwrap_or(name);
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
    fn a_grid_is_known_by_its_dimensions() {
        let known: BTreeSet<&str> = ["N_PROF", "N_LEVELS", "a", "b_c", "a_b", "c"].into();
        let dims = |name| dims_of_name(name, &known).map(|dims| dims.join(" "));
        assert_eq!(dims("N_PROF").as_deref(), Some("N_PROF"));
        assert_eq!(dims("N_LEVELS_N_PROF").as_deref(), Some("N_LEVELS N_PROF"));
        assert_eq!(dims("a,b_c").as_deref(), Some("a b_c"));
        for unknown in ["a_b_c", "N_PROF_N_PROF", "n_prof", "N_PROF_", "x", "a,a", "a,x"] {
            assert_eq!(dims(unknown), None, "{unknown}");
        }
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

    #[test]
    fn grids_have_tables_of_different_names() {
        let names = |grids: &[&[&str]]| {
            let grid =
                |dims: &&[&str]| Grid { dims: dims.iter().map(ToString::to_string).collect(), cells: 1 };
            grid_table_names(&grids.iter().map(grid).collect::<Vec<_>>())
        };
        assert_eq!(names(&[&["time", "lat"], &[]]), ["_grid_time_lat", "_grid_"]);
        assert_eq!(names(&[&["a", "b_c"], &["x"], &["a_b", "c"]]), ["_grid_a,b_c", "_grid_x", "_grid_a_b,c"]);
        // Names that contain commas, in either order.
        let (one, other): (&[&str], &[&str]) = (&["a,b", "c"], &["a", "b,c"]);
        assert_eq!(names(&[one, other]), ["_grid_a,b_c", "_grid_a_b,c"]);
        let grids: [&[&str]; 3] = [&["a_b,c"], &["a,b", "c_d"], &["a,b_c", "d"]];
        assert_eq!(names(&grids), ["_grid_a_b,c", "_grid_a,b,c_d", "_grid_a,b_c,d"]);
        let same: [&[&str]; 3] = [&["a,b", "c_,d"], &["a", "b_c_,d"], &["a,b_c_", "d"]];
        assert_eq!(names(&same).into_iter().collect::<HashSet<_>>().len(), 3);
        let reversed: Vec<_> = same.into_iter().rev().collect();
        let mut again = names(&reversed);
        again.reverse();
        assert_eq!(again, names(&same));
    }

    proptest! {
        /// Names are distinct, and do not depend on the order of the columns of a class.
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
