//! The grids of a store: which sets of dimensions its variables lie on.

use std::collections::{BTreeSet, HashMap};

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
