//! Invariants of every catalog, checked when it is read and before it is committed. The rest of the
//! crate relies on them.

use std::collections::{HashMap, HashSet};

use super::{Catalog, Root, SegmentEntry};
use crate::format::trailer;
use crate::model::schema::{DatasetSchema, check_attribute, check_attributes, check_name};
use crate::model::value::AttributeValue;

/// The greatest number of cells, bytes or chunks of a whole store: small enough that their counts
/// can be added up without overflow.
const MAX_TOTAL: u64 = 1 << 62;

/// The operations that make a generation.
const OPERATIONS: [&str; 3] = ["write", "merge", "compact"];

/// The highest generation. Its successor still fits a u64.
const MAX_GENERATION: u64 = 1 << 62;

impl Root {
    /// Checks the root of a generation that is committed, or is about to be.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn check(&self) -> Result<(), String> {
        if !(1..=MAX_GENERATION).contains(&self.generation) {
            return Err(format!(
                "it is of generation {}, which is not among 1 to {MAX_GENERATION}",
                self.generation
            ));
        }
        if !OPERATIONS.contains(&self.operation.as_str()) {
            return Err(format!("its operation is {:?}, none of {OPERATIONS:?}", self.operation));
        }
        check_attributes(&self.attributes)?;
        for array in &self.arrays {
            array.check().map_err(|reason| format!("array `{}`: {reason}", array.name))?;
        }
        for schema in &self.schemas {
            self.places(schema)?;
        }
        let mut segments = Total("bytes and chunks of segments", 0);
        for (name, entries) in &self.variables {
            check_name("a variable", name).map_err(|e| e.to_string())?;
            let mut paths = HashSet::with_capacity(entries.len());
            for entry in entries {
                entry.check().map_err(|reason| format!("variable `{name}`: {reason}"))?;
                let path = entry.path(name);
                segments.add(entry.size)?;
                segments.add(entry.chunks)?;
                segments.add(entry.cells)?;
                if !paths.insert(path) {
                    return Err(format!("variable `{name}` has the segment `{}` twice", entry.file));
                }
            }
        }
        Total("cells", 0).add(self.cells)?;
        let mut files = HashSet::with_capacity(self.manifests.len());
        let rows = self.rows.ordinals().last().map_or(0, |last| u64::from(*last) + 1);
        let mut end = rows;
        for entry in &self.manifests {
            entry.check()?;
            end = end.max(u64::from(entry.first) + u64::from(entry.end));
            if let Some(schema) = entry.schemas.iter().flatten().find(|&&s| s as usize >= self.schemas.len())
            {
                return Err(format!("manifest `{}` has a schema {schema}, which is not there", entry.file));
            }
            if !files.insert(entry.file.as_str()) {
                return Err(format!("it has the manifest `{}` twice", entry.file));
            }
        }
        // `u32::MAX` is no ordinal.
        if end > u64::from(self.next) || self.next == u32::MAX || self.count > self.next {
            return Err(format!(
                "it has {} datasets of {} ordinals, of which rows have {end}",
                self.count, self.next
            ));
        }
        Ok(())
    }

    /// The arrays of a schema, each with the positions of its dimensions in the schema.
    fn places(&self, schema: &DatasetSchema) -> Result<Vec<Placed>, String> {
        let mut dims = HashMap::with_capacity(schema.dims.len());
        for (place, dim) in schema.dims.iter().enumerate() {
            check_name("a dimension", dim).map_err(|e| e.to_string())?;
            if dims.insert(dim.as_str(), place).is_some() {
                return Err(format!("a schema has dimension `{dim}` twice"));
            }
        }
        let mut keys = HashSet::with_capacity(schema.attributes.len());
        for key in &schema.attributes {
            check_attribute(key).map_err(|e| e.to_string())?;
            if !keys.insert(key) {
                return Err(format!("a schema has attribute `{key}` twice"));
            }
        }
        let mut names = HashSet::with_capacity(schema.arrays.len());
        let placed = |&number: &usize| {
            let array = self.arrays.get(number).ok_or_else(|| format!("there is no array {number}"))?;
            if !names.insert(&array.name) {
                return Err(format!("a schema has array `{}` twice", array.name));
            }
            let place = |dim: &String| {
                let place = dims.get(dim.as_str()).copied();
                place.ok_or_else(|| {
                    format!("array `{}` has a dimension `{dim}` its dataset has not", array.name)
                })
            };
            Ok((number, array.dims.iter().map(place).collect::<Result<_, _>>()?))
        };
        schema.arrays.iter().map(placed).collect()
    }
}

impl Catalog {
    /// Checks the datasets against their schemas.
    pub(super) fn check_rows(&self) -> Result<(), String> {
        let schemas: Vec<_> =
            self.schemas.iter().map(|schema| self.places(schema)).collect::<Result<_, _>>()?;
        let (mut cells, mut count) = (Total("cells", 0), 0);
        for (_, dataset) in self.datasets() {
            let name = dataset.name();
            check_name("a dataset", name).map_err(|e| e.to_string())?;
            count += 1;
            let fits = self.schemas.get(dataset.schema()).zip(schemas.get(dataset.schema()));
            let fits = fits.filter(|(schema, _)| schema.dims.len() == dataset.sizes().len());
            let Some((schema, arrays)) = fits else {
                return Err(format!("dataset `{name}` does not fit its schema"));
            };
            for key in &schema.attributes {
                if !dataset.has(key) {
                    return Err(format!("dataset `{name}` has no value of its attribute `{key}`"));
                }
            }
            for (array, dims) in
                arrays.iter().filter_map(|(array, dims)| Some((self.arrays.get(*array)?, dims)))
            {
                let sizes = dims.iter().filter_map(|&dim| dataset.size_at(dim));
                let of = |reason| format!("array `{}` of dataset `{name}`: {reason}", array.name);
                cells.add(array.check_sizes(sizes).map_err(of)?)?;
            }
        }
        if cells.1 != self.cells {
            return Err(format!("its arrays have {} cells where it says {}", cells.1, self.cells));
        }
        if count != self.count {
            return Err(format!("it has {count} datasets where it says {}", self.count));
        }
        Ok(())
    }
}

/// The number of an array, and the positions of its dimensions in a schema.
type Placed = (usize, Vec<usize>);

/// A sum with an upper limit, and the name of what is added up.
struct Total(&'static str, u64);

impl Total {
    fn add(&mut self, more: u64) -> Result<(), String> {
        let Self(what, total) = self;
        *total = total
            .checked_add(more)
            .filter(|total| *total <= MAX_TOTAL)
            .ok_or_else(|| format!("it has more than {MAX_TOTAL} {what}"))?;
        Ok(())
    }
}

impl SegmentEntry {
    fn check(&self) -> Result<(), String> {
        check_name("a segment", &self.file).map_err(|e| e.to_string())?;
        if let Some(directory) = &self.directory {
            check_name("a directory", directory).map_err(|e| e.to_string())?;
        }
        let Self { file, size, index, chunks, cells, missing, .. } = self;
        let end = index.checked_add(trailer::LENGTH as u64);
        if end.is_none_or(|end| end >= *size) {
            return Err(format!("segment `{file}` of {size} bytes has no index at {index}"));
        }
        if missing > cells || chunks > cells {
            return Err(format!(
                "segment `{file}` has {chunks} chunks of {cells} cells, of which {missing} are missing"
            ));
        }
        Ok(())
    }
}

impl AttributeValue {
    /// Checks that a list has values of one type.
    pub(crate) fn check(&self) -> Result<(), String> {
        let Self::List(dtype, values) = self else { return Ok(()) };
        let dtype = values.first().map_or(*dtype, |first| first.dtype());
        match values.iter().find(|value| value.dtype() != dtype) {
            Some(other) => Err(format!("a list of {dtype} has a {} in it", other.dtype())),
            None => Ok(()),
        }
    }
}
