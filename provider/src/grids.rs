//! The grids of a store: which sets of dimensions its variables lie on.

use std::collections::{BTreeSet, HashMap, HashSet};

use atlas::Catalog;

/// A set of dimensions that is all that some variable has, and that no other variable of its dataset exceeds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grid {
    /// The dimensions, in the order in which the largest array on the grid has them.
    pub dims: Vec<String>,
    /// The cells of all arrays that lie on just these dimensions, in all datasets.
    pub cells: u64,
}

/// The grids of a store, the one with the most cells first: the primary grid.
pub fn grids(catalog: &Catalog) -> Vec<Grid> {
    // By schema: its grids, each as a set and as the arrays that have just it.
    let of_schemas: Vec<_> = catalog
        .schemas
        .iter()
        .map(|schema| {
            let arrays: Vec<_> = catalog.arrays(schema).collect();
            let sets: Vec<BTreeSet<&str>> =
                arrays.iter().map(|array| array.dims.iter().map(String::as_str).collect()).collect();
            let maximal =
                |set: &BTreeSet<&str>| !sets.iter().any(|other| set.is_subset(other) && set != other);
            let on_grids = arrays.into_iter().zip(&sets).filter(|(_, set)| maximal(set));
            on_grids.map(|(array, set)| (array, set.clone())).collect::<Vec<_>>()
        })
        .collect();

    struct Found<'a> {
        dims: &'a [String],
        largest: u64,
        cells: u64,
    }
    let mut found: HashMap<BTreeSet<&str>, Found> = HashMap::new();
    for (_, dataset) in catalog.datasets() {
        for (array, set) in of_schemas.get(dataset.schema).into_iter().flatten() {
            let cells = catalog.shape(dataset, array).iter().product::<usize>() as u64;
            match found.get_mut(set) {
                Some(grid) => {
                    grid.cells += cells;
                    if cells > grid.largest {
                        grid.largest = cells;
                        grid.dims = &array.dims;
                    }
                }
                None => {
                    found.insert(set.clone(), Found { dims: &array.dims, largest: cells, cells });
                }
            }
        }
    }
    let mut grids: Vec<_> =
        found.into_values().map(|grid| Grid { dims: grid.dims.to_vec(), cells: grid.cells }).collect();
    grids.sort_by(|a, b| {
        b.cells.cmp(&a.cells).then(b.dims.len().cmp(&a.dims.len())).then(a.dims.cmp(&b.dims))
    });
    grids
}

/// The names of the tables of some grids, in their order: `_grid_` and the dimensions, joined by `_`.
///
/// Where grids would have one name, the dimensions of each are joined by `,`. Should that be a name too
/// that another grid has, it gets a number, in the order of the dimensions' names.
pub fn grid_table_names(grids: &[Grid]) -> Vec<String> {
    let named = |grid: &Grid, between: &str| format!("_grid_{}", grid.dims.join(between));
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
    use super::*;

    #[test]
    fn grids_have_tables_of_different_names() {
        let names = |grids: &[&[&str]]| {
            let grid =
                |dims: &&[&str]| Grid { dims: dims.iter().map(ToString::to_string).collect(), cells: 1 };
            grid_table_names(&grids.iter().map(grid).collect::<Vec<_>>())
        };
        assert_eq!(names(&[&["time", "lat"], &[]]), ["_grid_time_lat", "_grid_"]);
        assert_eq!(names(&[&["a", "b_c"], &["x"], &["a_b", "c"]]), ["_grid_a,b_c", "_grid_x", "_grid_a_b,c"]);
        // Names with commas too, in either order.
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
}
