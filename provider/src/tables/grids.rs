//! The grids of a store: which sets of dimensions its variables lie on.

use std::collections::{BTreeMap, HashMap};

use atlas::{ArraySchema, Catalog, DatasetSchema};

use crate::tables::places::places;

/// A set of dimensions that is all that some variable has, and that no other variable of its
/// dataset exceeds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grid {
    /// The dimensions, in the order in which the largest array on the grid has them.
    pub dims: Vec<String>,
    /// The cells of all arrays that lie on just these dimensions, in all datasets.
    pub cells: u64,
}

/// A set of dimensions: their numbers, ascending.
type Set = Vec<usize>;

/// What is found of a grid.
struct Found<'a> {
    dims: &'a [String],
    largest: u64,
    cells: u64,
}

/// The grids of a store, the one with the most cells first: the primary grid.
pub fn grids(catalog: &Catalog) -> Vec<Grid> {
    let mut numbers: HashMap<&str, usize> = HashMap::new();
    let mut sets: HashMap<Set, usize> = HashMap::new();
    // By schema: the arrays that lie on its grids, each with the place of its grid, and those of
    // its dimensions among the schema's.
    let of_schemas: Vec<_> = catalog
        .dataset_schemas()
        .iter()
        .map(|schema| {
            let dims = places(schema.dims.iter());
            let mut arrays = Vec::new();
            for (set, on_set) in maximal(catalog, schema, &mut numbers) {
                let next = sets.len();
                let place = *sets.entry(set).or_insert(next);
                arrays.extend(on_set.into_iter().map(|array| {
                    let dims = array.dims.iter().filter_map(|dim| dims.get(dim.as_str()).copied());
                    (array, place, dims.collect::<Vec<usize>>())
                }));
            }
            arrays
        })
        .collect();

    let mut found: Vec<Option<Found>> = Vec::new();
    found.resize_with(sets.len(), || None);
    for (_, dataset) in catalog.datasets() {
        for (array, place, dims) in of_schemas.get(dataset.schema()).into_iter().flatten() {
            let cells = dims.iter().filter_map(|&dim| dataset.size_at(dim)).product::<usize>() as u64;
            let Some(found) = found.get_mut(*place) else { continue };
            let grid = found.get_or_insert(Found { dims: &array.dims, largest: cells, cells: 0 });
            grid.cells += cells;
            if cells > grid.largest {
                grid.largest = cells;
                grid.dims = &array.dims;
            }
        }
    }
    let found = found.into_iter().flatten();
    let mut grids: Vec<_> = found.map(|grid| Grid { dims: grid.dims.to_vec(), cells: grid.cells }).collect();
    grids.sort_by(|a, b| {
        b.cells.cmp(&a.cells).then(b.dims.len().cmp(&a.dims.len())).then(a.dims.cmp(&b.dims))
    });
    grids
}

/// The sets of dimensions of a schema's arrays that are not part of another, with the arrays that
/// have just them.
fn maximal<'a>(
    catalog: &'a Catalog,
    schema: &'a DatasetSchema,
    numbers: &mut HashMap<&'a str, usize>,
) -> BTreeMap<Set, Vec<&'a ArraySchema>> {
    let mut sets: BTreeMap<Set, Vec<&ArraySchema>> = BTreeMap::new();
    for array in catalog.arrays(schema) {
        let mut number = |dim: &'a String| {
            let next = numbers.len();
            *numbers.entry(dim.as_str()).or_insert(next)
        };
        let mut set: Set = array.dims.iter().map(&mut number).collect();
        set.sort_unstable();
        sets.entry(set).or_default().push(array);
    }
    // A set that has another has its rarest dimension too: few are to be compared, however many
    // there are.
    let mut with: HashMap<usize, Vec<&Set>> = HashMap::new();
    for set in sets.keys() {
        set.iter().for_each(|&dim| with.entry(dim).or_default().push(set));
    }
    let exceeded = |set: &Set| {
        let rarest = set.iter().filter_map(|dim| with.get(dim)).min_by_key(|sets| sets.len());
        match rarest {
            Some(sets) => sets.iter().any(|other| other.len() > set.len() && is_part(set, other)),
            // No dimension is part of any.
            None => sets.len() > 1,
        }
    };
    let exceeded: Vec<Set> = sets.keys().filter(|set| exceeded(set)).cloned().collect();
    for set in exceeded {
        sets.remove(&set);
    }
    sets
}

fn is_part(set: &Set, of: &Set) -> bool {
    set.iter().all(|dim| of.binary_search(dim).is_ok())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use atlas::{Attributes, DType};
    use proptest::prelude::*;

    use super::*;
    use crate::testing;

    /// A catalog with a dataset for each schema, given as the dimensions of its arrays.
    fn catalog(schemas: &[Vec<Vec<usize>>]) -> Arc<Catalog> {
        let array = |number: usize, (place, dims): (usize, &Vec<usize>)| {
            let names: Vec<_> = dims.iter().map(|dim| format!("d{dim}")).collect();
            let names: Vec<_> = names.iter().map(String::as_str).collect();
            (ArraySchema::new(format!("v{place}"), DType::F32, &names), vec![4 + number; dims.len()])
        };
        testing::catalog(schemas.iter().enumerate().map(|(number, arrays)| {
            (arrays.iter().enumerate().map(|of| array(number, of)).collect(), Attributes::new())
        }))
    }

    proptest! {
        /// The grids are what their definition says, found by comparing all sets with all.
        #[test]
        fn grids_are_the_sets_that_no_other_exceeds(
            schemas in prop::collection::vec(
                prop::collection::vec(prop::collection::btree_set(0usize..6, 0..4), 0..8), 0..4),
            reversed: bool,
        ) {
            let order = |set: BTreeSet<usize>| -> Vec<usize> {
                if reversed { set.into_iter().rev().collect() } else { set.into_iter().collect() }
            };
            let schemas: Vec<Vec<Vec<usize>>> =
                schemas.into_iter().map(|arrays| arrays.into_iter().map(order).collect()).collect();
            let mut expected: BTreeMap<BTreeSet<String>, u64> = BTreeMap::new();
            for (number, arrays) in schemas.iter().enumerate() {
                let sets: Vec<BTreeSet<usize>> = arrays.iter().map(|dims| dims.iter().copied().collect()).collect();
                for set in &sets {
                    if !sets.iter().any(|other| set.is_subset(other) && set != other) {
                        let cells = set.iter().map(|_| 4 + number as u64).product::<u64>();
                        *expected.entry(set.iter().map(|dim| format!("d{dim}")).collect()).or_default() += cells;
                    }
                }
            }
            let grids = grids(&catalog(&schemas));
            prop_assert!(grids.is_sorted_by(|a, b| a.cells >= b.cells));
            let found: BTreeMap<BTreeSet<String>, u64> =
                grids.iter().map(|grid| (grid.dims.iter().cloned().collect(), grid.cells)).collect();
            prop_assert_eq!(found.len(), grids.len());
            prop_assert_eq!(found, expected);
        }
    }

    /// Comparing all sets with all would take minutes.
    #[test]
    fn many_dimensions_and_arrays_take_no_time() {
        let arrays: Vec<Vec<usize>> = (0..20_000).map(|dim| vec![dim]).collect();
        let catalog = catalog(&[arrays]);
        let since = std::time::Instant::now();
        assert_eq!(grids(&catalog).len(), 20_000);
        assert!(since.elapsed().as_secs() < 30, "{:?}", since.elapsed());
    }
}
