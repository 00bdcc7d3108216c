//! The grids of a store: the sets of dimensions of its variables.

use std::collections::{BTreeMap, HashMap, HashSet};

use atlas::{ArraySchema, Catalog, DatasetSchema};

use crate::tables::coordinates::is_coordinate;
use crate::tables::places::places;

/// A set of dimensions that is the whole set of some variable, and not part of the set of another
/// variable of its dataset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grid {
    /// The dimensions, in the order of the largest array on the grid.
    pub dims: Vec<String>,
    /// The number of cells of all arrays over exactly these dimensions, in all datasets.
    pub cells: u64,
}

/// A set of dimensions: their numbers, ascending.
type Set = Vec<usize>;

/// What is known of a grid so far.
struct Found<'a> {
    dims: &'a [String],
    largest: u64,
    cells: u64,
}

/// The grids of a store. The first one, with the most cells, is the primary grid.
pub fn grids(catalog: &Catalog) -> Vec<Grid> {
    let mut numbers: HashMap<&str, usize> = HashMap::new();
    let mut sets: HashMap<Set, usize> = HashMap::new();
    // For each schema: the arrays on its grids, each with the position of its grid, and of its
    // dimensions in the schema.
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

/// Further sets of dimensions that variables have all of: those that are part of a grid, such as
/// the profiles of a grid of levels. Coordinates of dimensions do not count.
pub fn lesser_grids(catalog: &Catalog) -> Vec<Vec<String>> {
    let sorted = |dims: &[String]| {
        let mut dims = dims.to_vec();
        dims.sort();
        dims
    };
    let mut seen: HashSet<Vec<String>> = grids(catalog).iter().map(|grid| sorted(&grid.dims)).collect();
    let arrays =
        catalog.array_schemas().iter().filter(|array| !array.dims.is_empty() && !is_coordinate(array));
    arrays.filter(|array| seen.insert(sorted(&array.dims))).map(|array| array.dims.clone()).collect()
}

/// The sets of dimensions of a schema's arrays that are not part of another set, with the arrays
/// that have exactly these dimensions.
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
    // A set that contains another contains its rarest dimension. So few sets have to be compared,
    // however many there are.
    let mut with: HashMap<usize, Vec<&Set>> = HashMap::new();
    for set in sets.keys() {
        set.iter().for_each(|&dim| with.entry(dim).or_default().push(set));
    }
    let exceeded = |set: &Set| {
        let rarest = set.iter().filter_map(|dim| with.get(dim)).min_by_key(|sets| sets.len());
        match rarest {
            Some(sets) => sets.iter().any(|other| other.len() > set.len() && is_part(set, other)),
            // The empty set is part of every other set.
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

    /// A catalog with a dataset for each schema. A schema is given as the dimensions of its arrays.
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
        /// The grids agree with their definition, evaluated by comparing all pairs of sets.
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

    /// Comparing all pairs of sets would take minutes.
    #[test]
    fn many_dimensions_and_arrays_take_no_time() {
        let arrays: Vec<Vec<usize>> = (0..20_000).map(|dim| vec![dim]).collect();
        let catalog = catalog(&[arrays]);
        let since = std::time::Instant::now();
        assert_eq!(grids(&catalog).len(), 20_000);
        assert!(since.elapsed().as_secs() < 30, "{:?}", since.elapsed());
    }
}
