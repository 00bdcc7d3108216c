//! Reports variables whose units or types differ between datasets, and whose column therefore mixes
//! them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

use atlas::{ArraySchema, Catalog, DType};

use crate::notice::{NoticeClass, NoticeSummary, Notices};

/// The classes of notices about these differences.
pub(crate) const CLASSES: [NoticeClass; 2] = [NoticeClass::UnitsDiffer, NoticeClass::TypesDiffer];

/// What an array declares about its values.
pub(crate) struct Declaration {
    pub(crate) name: String,
    dtype: DType,
    units: Option<String>,
}

impl Declaration {
    /// The declaration of an array. It omits the units of times, since times are instants in any
    /// units, and empty units.
    pub(crate) fn of(schema: &ArraySchema) -> Self {
        let units = schema.attribute("units").map(|units| units.to_string().trim().to_owned());
        Self {
            name: schema.name.clone(),
            dtype: schema.dtype,
            units: units.filter(|units| schema.dtype != DType::Timestamp && !units.is_empty()),
        }
    }
}

/// What the datasets of a store declare about each variable.
#[derive(Default)]
pub(crate) struct Declarations(BTreeMap<String, Declared>);

#[derive(Default)]
struct Declared {
    types: BTreeMap<DType, Notices>,
    units: BTreeMap<String, Notices>,
}

impl Declarations {
    /// The declarations of all datasets of a store, except those with names in `without`.
    pub(crate) fn of_store(catalog: &Catalog, without: &HashSet<String>) -> Self {
        // Datasets with the same schema have the same declarations.
        let mut datasets: HashMap<usize, (usize, PathBuf)> = HashMap::new();
        let datasets_left =
            catalog.datasets().filter(|(_, dataset)| without.is_empty() || !without.contains(dataset.name()));
        for (_, dataset) in datasets_left {
            let example = || (0, PathBuf::from(dataset.name()));
            datasets.entry(dataset.schema()).or_insert_with(example).0 += 1;
        }
        let mut declarations = Self::default();
        for (number, schema) in catalog.dataset_schemas().iter().enumerate() {
            let Some((count, example)) = datasets.get(&number) else { continue };
            for array in catalog.arrays(schema) {
                declarations.add(Declaration::of(array), *count, example);
            }
        }
        declarations
    }

    /// Adds the declaration of an array that this many datasets have.
    pub(crate) fn add(&mut self, declaration: Declaration, datasets: usize, example: &Path) {
        let declared = self.0.entry(declaration.name).or_default();
        let none = || Notices { files: 0, cells: 0, example: example.to_owned() };
        declared.types.entry(declaration.dtype).or_insert_with(none).files += datasets;
        if let Some(units) = declaration.units {
            declared.units.entry(units).or_insert_with(none).files += datasets;
        }
    }

    /// Adds the declarations of other datasets.
    pub(crate) fn extend(&mut self, others: Self) {
        for (name, other) in others.0 {
            let declared = self.0.entry(name).or_default();
            add_counts(&mut declared.types, other.types);
            add_counts(&mut declared.units, other.units);
        }
    }

    /// Notices about all types and units of each variable that has several.
    pub(crate) fn notices(&self) -> NoticeSummary {
        let mut summary = NoticeSummary::default();
        let mut add = |class, name: &String, detail, notices: &Notices| {
            summary.insert(class, name.clone(), detail, notices.clone());
        };
        for (name, declared) in &self.0 {
            if declared.types.len() > 1 {
                let types = &declared.types;
                types.iter().for_each(|(dtype, n)| add(NoticeClass::TypesDiffer, name, dtype.to_string(), n));
            }
            if declared.units.len() > 1 {
                let units = &declared.units;
                units
                    .iter()
                    .for_each(|(units, n)| add(NoticeClass::UnitsDiffer, name, format!("`{units}`"), n));
            }
        }
        summary
    }
}

fn add_counts<K: Ord>(to: &mut BTreeMap<K, Notices>, others: BTreeMap<K, Notices>) {
    for (key, other) in others {
        match to.get_mut(&key) {
            Some(notices) => notices.files += other.files,
            None => drop(to.insert(key, other)),
        }
    }
}

/// The notices that are about one of `variables`.
pub(crate) fn about(notices: &NoticeSummary, variables: &HashSet<String>) -> NoticeSummary {
    let mut about = NoticeSummary::default();
    for (class, subject, detail, notices) in
        notices.iter().filter(|(_, subject, ..)| variables.contains(*subject))
    {
        about.insert(class, subject.to_owned(), detail.to_owned(), notices.clone());
    }
    about
}
