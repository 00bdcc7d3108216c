//! Dimensions that a variable has more than once, as a covariance does. An array of a store has
//! each dimension only once.

use std::collections::{BTreeMap, HashSet};

use crate::names::numbered;
use crate::notice::{Notice, NoticeClass};
use crate::piece::Variable;

/// Renames repeated dimensions, in the same way in all variables. The second occurrence of `n`
/// becomes `n_2`, the third `n_3`, or takes the next number that makes an unused name. Each gets a
/// copy of the dimension's coordinate.
pub(crate) fn separate(variables: &mut Vec<Variable>) -> Vec<Notice> {
    let names = variables.iter().map(|variable| &variable.name);
    let dims = variables.iter().flat_map(|variable| variable.dims.iter().map(|(name, _)| name));
    let mut taken: HashSet<String> = names.chain(dims).cloned().collect();
    let mut again: BTreeMap<(String, usize), (String, usize)> = BTreeMap::new();
    let mut notices = Vec::new();
    for variable in variables.iter_mut() {
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        for (name, size) in &mut variable.dims {
            let time = seen.entry(name.clone()).or_default();
            *time += 1;
            if *time == 1 {
                continue;
            }
            let entry = again.entry((name.clone(), *time));
            let (free, _) = entry.or_insert_with(|| (numbered(name, *time, &mut taken), *size));
            notices.push(Notice {
                class: NoticeClass::RepeatedDimension,
                subject: variable.name.clone(),
                detail: format!("`{name}` again is `{free}`"),
                cells: 0,
            });
            name.clone_from(free);
        }
    }
    for ((dim, _), (name, size)) in again {
        let is_coordinate = |variable: &&Variable| {
            variable.name == dim && matches!(variable.dims.as_slice(), [(only, _)] if *only == dim)
        };
        let coordinate = variables.iter().find(is_coordinate);
        let copy = coordinate.map(|coordinate| Variable {
            id: coordinate.id,
            dims: vec![(name.clone(), size)],
            name,
            source: coordinate.source,
        });
        variables.extend(copy);
    }
    notices
}

#[cfg(test)]
mod tests {
    use netcdf_reader::NcType;

    use super::*;
    use crate::encoding::TextEncoding;
    use crate::reader::FileVariable;

    fn source(name: &str) -> FileVariable {
        FileVariable {
            group: Vec::new(),
            name: name.to_owned(),
            dims: Vec::new(),
            dtype: NcType::Int,
            attributes: Vec::new(),
            encoding: TextEncoding::default(),
        }
    }

    /// The names and dimensions that `separate` gives to variables, as text such as `cov(n, n_2)`.
    fn separated(variables: &[(&str, &[(&str, usize)])]) -> Vec<String> {
        let sources: Vec<_> = variables.iter().map(|(name, _)| source(name)).collect();
        let named = variables.iter().zip(&sources).enumerate();
        let variables = named.map(|(id, ((name, dims), source))| Variable {
            id,
            name: (*name).to_owned(),
            dims: dims.iter().map(|(name, size)| ((*name).to_owned(), *size)).collect(),
            source,
        });
        let mut variables: Vec<_> = variables.collect();
        separate(&mut variables);
        let dims = |variable: &Variable| {
            let dims: Vec<_> = variable.dims.iter().map(|(name, size)| format!("{name} {size}")).collect();
            format!("{}({}) of {}", variable.name, dims.join(", "), variable.source.name)
        };
        variables.iter().map(dims).collect()
    }

    #[test]
    fn every_dimension_of_an_array_has_a_name_and_a_coordinate() {
        let n = ("n", 3);
        let found = separated(&[("n", &[n]), ("cov", &[n, n]), ("third", &[n, n, n]), ("plain", &[n])]);
        assert_eq!(
            found,
            [
                "n(n 3) of n",
                "cov(n 3, n_2 3) of cov",
                "third(n 3, n_2 3, n_3 3) of third",
                "plain(n 3) of plain",
                "n_2(n_2 3) of n",
                "n_3(n_3 3) of n",
            ]
        );
    }

    #[test]
    fn names_that_are_taken_are_passed_over() {
        let n = ("n", 3);
        // A dimension and a variable already have these names.
        let found = separated(&[("cov", &[n, n]), ("v", &[("n_2", 5)]), ("n_3", &[n])]);
        assert_eq!(found, ["cov(n 3, n_4 3) of cov", "v(n_2 5) of v", "n_3(n 3) of n_3"]);
        // A variable with two dimensions is not a coordinate.
        assert_eq!(separated(&[("n", &[n, n])]), ["n(n 3, n_2 3) of n"]);
    }
}
