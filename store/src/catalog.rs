//! The catalog: everything about a store but its values. One JSON document, `atlas.json`.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write as _;
use std::sync::{Arc, OnceLock};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::checksum::crc32c;
use crate::format::VERSION;
use crate::schema::check_name;
use crate::{ArraySchema, AttributeValue, Attributes, Codec, DType, Error, Result};

/// The catalog of one generation of a store.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    /// Counts the commits: 0 is a store that nothing was committed to.
    pub generation: u64,
    /// When it was committed, in milliseconds since 1970-01-01T00:00:00Z by the clock of who did.
    pub committed: i64,
    /// What led to it: `write` or `compact`.
    pub operation: String,
    /// The codec of blocks written from now on.
    pub codec: Codec,
    /// The attributes of the store as a whole.
    pub attributes: Attributes,
    /// The arrays that datasets have, each different array once.
    pub arrays: Vec<Arc<ArraySchema>>,
    /// The shapes that datasets have, each different shape once.
    pub schemas: Vec<Arc<DatasetSchema>>,
    /// The segments of each variable, oldest first.
    pub variables: BTreeMap<String, Vec<SegmentEntry>>,
    /// The datasets. A dataset's place here is its ordinal, by which indexes know it; a deleted one leaves
    /// its place empty.
    pub datasets: Vec<Option<Dataset>>,
    /// The ordinals of the datasets, in the order of their names.
    by_name: OnceLock<Vec<u32>>,
}

/// What datasets of one shape have in common.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct DatasetSchema {
    /// The names of the dimensions.
    pub dims: Vec<String>,
    /// The arrays, as numbers into [`Catalog::arrays`].
    pub arrays: Vec<usize>,
    /// The names of the attributes.
    pub attributes: Vec<String>,
}

/// A dataset: what its schema does not say.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    /// Its name.
    pub name: String,
    /// The number of its schema in [`Catalog::schemas`].
    pub schema: usize,
    /// The sizes of the schema's dimensions.
    pub sizes: Vec<usize>,
    /// The values of the schema's attributes.
    pub attributes: Vec<AttributeValue>,
}

/// A file with chunks of one variable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentEntry {
    /// Its name in the variable's directory.
    pub file: String,
    /// The type of its values. Datasets that declare the variable with another type have other segments.
    pub dtype: DType,
    /// Its length in bytes.
    pub size: u64,
    /// Where its index starts.
    pub index: u64,
    /// The number of chunks.
    pub chunks: u64,
    /// The number of cells of these chunks.
    pub cells: u64,
    /// How many of those are missing.
    pub missing: u64,
}

/// Cells of one array, at the most: so many that counts of them can be added up without care.
pub(crate) const MAX_CELLS: u64 = 1 << 48;

const HEAD: &str = r#"{"format":"atlas","version":"#;
const CHECKSUM: &str = r#","crc32c":""#;
const ZERO: &str = "00000000";

/// The document after its head, which [`unseal`] checks.
#[derive(Deserialize)]
struct Document {
    generation: u64,
    committed: i64,
    operation: String,
    codec: Codec,
    #[serde(default)]
    attributes: Attributes,
    arrays: Vec<ArraySchema>,
    schemas: Vec<DatasetSchema>,
    variables: BTreeMap<String, Vec<SegmentEntry>>,
    datasets: Vec<Option<Dataset>>,
}

impl Catalog {
    /// The catalog of a store that nothing was committed to.
    pub(crate) fn empty(codec: Codec) -> Self {
        Self { codec, ..Self::default() }
    }

    /// The datasets that are there, with their ordinals, in order of ordinal.
    pub fn datasets(&self) -> impl Iterator<Item = (u32, &Dataset)> {
        (0u32..).zip(&self.datasets).filter_map(|(ordinal, dataset)| Some((ordinal, dataset.as_ref()?)))
    }

    /// The dataset with an ordinal.
    pub fn dataset(&self, ordinal: u32) -> Option<&Dataset> {
        self.datasets.get(ordinal as usize)?.as_ref()
    }

    /// The ordinal of the dataset with a name.
    pub fn ordinal(&self, name: &str) -> Option<u32> {
        let name_of = |ordinal: u32| self.dataset(ordinal).map(|dataset| dataset.name.as_str());
        let by_name = self.by_name.get_or_init(|| {
            let mut ordinals: Vec<u32> = self.datasets().map(|(ordinal, _)| ordinal).collect();
            // Often they are in order already, which takes one look at each.
            ordinals.sort_by(|&a, &b| name_of(a).cmp(&name_of(b)));
            ordinals
        });
        let place = by_name.binary_search_by(|&ordinal| name_of(ordinal).cmp(&Some(name))).ok()?;
        by_name.get(place).copied()
    }

    /// The schema of a dataset.
    pub fn schema(&self, dataset: &Dataset) -> &DatasetSchema {
        // `check` holds every dataset to a schema that is there.
        static NONE: DatasetSchema =
            DatasetSchema { dims: Vec::new(), arrays: Vec::new(), attributes: Vec::new() };
        self.schemas.get(dataset.schema).map_or(&NONE, |schema| schema)
    }

    /// The arrays of a schema.
    pub fn arrays<'a>(&'a self, schema: &'a DatasetSchema) -> impl Iterator<Item = &'a Arc<ArraySchema>> {
        schema.arrays.iter().filter_map(|&number| self.arrays.get(number))
    }

    /// An array of a dataset, by name.
    pub fn array(&self, dataset: &Dataset, name: &str) -> Option<&Arc<ArraySchema>> {
        self.arrays(self.schema(dataset)).find(|array| array.name == name)
    }

    /// The size of a dimension of a dataset.
    pub fn size(&self, dataset: &Dataset, dim: &str) -> Option<usize> {
        let position = self.schema(dataset).dims.iter().position(|name| name == dim)?;
        dataset.sizes.get(position).copied()
    }

    /// The shape of an array of a dataset.
    pub fn shape(&self, dataset: &Dataset, array: &ArraySchema) -> Vec<usize> {
        array.dims.iter().filter_map(|dim| self.size(dataset, dim)).collect()
    }

    /// The attributes of a dataset.
    pub fn attributes<'a>(
        &'a self,
        dataset: &'a Dataset,
    ) -> impl Iterator<Item = (&'a str, &'a AttributeValue)> {
        self.schema(dataset).attributes.iter().map(String::as_str).zip(&dataset.attributes)
    }

    /// The document, readable, a line for each array, schema, variable and dataset.
    pub(crate) fn encode(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut text = format!("{HEAD}{VERSION}{CHECKSUM}{ZERO}\",\n");
        let start = text.len() - ZERO.len() - 3;
        // Writing to a String does not fail.
        let operation = serde_json::to_string(&self.operation)?;
        let _ = write!(
            text,
            r#""generation":{},"committed":{},"operation":{operation},"codec":"{}""#,
            self.generation, self.committed, self.codec
        );
        if !self.attributes.is_empty() {
            section(&mut text, "attributes", self.attributes.iter())?;
        }
        section(&mut text, "arrays", self.arrays.iter().map(AsRef::as_ref))?;
        section(&mut text, "schemas", self.schemas.iter().map(AsRef::as_ref))?;
        text.push_str(",\n\"variables\":{");
        for (i, (name, segments)) in self.variables.iter().enumerate() {
            text.push_str(if i == 0 { "\n" } else { ",\n" });
            text.push_str(&serde_json::to_string(name)?);
            text.push(':');
            text.push_str(&serde_json::to_string(segments)?);
        }
        text.push('}');
        section(&mut text, "datasets", self.datasets.iter())?;
        text.push_str("}\n");
        let checksum = format!("{:08x}", crc32c(&[text.as_bytes()]));
        text.replace_range(start..start + ZERO.len(), &checksum);
        Ok(text.into_bytes())
    }

    /// A document with its checksum made right, for fuzzers.
    pub(crate) fn sealed(bytes: &[u8]) -> Vec<u8> {
        let start = HEAD.len() + VERSION.to_string().len() + CHECKSUM.len();
        let mut sealed = bytes.to_vec();
        let Some(place) = sealed.get_mut(start..start + ZERO.len()) else { return sealed };
        place.copy_from_slice(ZERO.as_bytes());
        let checksum = format!("{:08x}", crc32c(&[&sealed]));
        if let Some(place) = sealed.get_mut(start..start + ZERO.len()) {
            place.copy_from_slice(checksum.as_bytes());
        }
        sealed
    }

    /// The inverse of [`encode`](Self::encode); `file` is where the document was read, for errors.
    pub(crate) fn decode(file: &str, bytes: &[u8]) -> Result<Self> {
        unseal(file, bytes)?;
        let document: Document = parse(file, bytes)?;
        let catalog = Self {
            generation: document.generation,
            committed: document.committed,
            operation: document.operation,
            codec: document.codec,
            attributes: document.attributes,
            arrays: document.arrays.into_iter().map(Arc::new).collect(),
            schemas: document.schemas.into_iter().map(Arc::new).collect(),
            variables: document.variables,
            datasets: document.datasets,
            by_name: OnceLock::new(),
        };
        catalog.check().map_err(|reason| Error::corrupt(file, reason))?;
        Ok(catalog)
    }

    /// What the rest of the crate relies on.
    fn check(&self) -> Result<(), String> {
        for array in &self.arrays {
            check_name("an array", &array.name).map_err(|e| e.to_string())?;
            if array.chunk.len() != array.dims.len() {
                return Err(format!("array `{}` has not one chunk size for each dimension", array.name));
            }
            if array.fill.as_ref().is_some_and(|fill| !array.dtype.holds(fill)) {
                return Err(format!("array `{}` has a fill value of another type", array.name));
            }
        }
        for schema in &self.schemas {
            for &number in &schema.arrays {
                let array = self.arrays.get(number).ok_or_else(|| format!("there is no array {number}"))?;
                if let Some(dim) = array.dims.iter().find(|dim| !schema.dims.contains(dim)) {
                    return Err(format!(
                        "array `{}` has a dimension `{dim}` its dataset has not",
                        array.name
                    ));
                }
            }
        }
        for (name, segments) in &self.variables {
            check_name("a variable", name).map_err(|e| e.to_string())?;
            for segment in segments {
                check_name("a segment", &segment.file).map_err(|e| e.to_string())?;
            }
        }
        for (_, dataset) in self.datasets() {
            let schema = self.schemas.get(dataset.schema);
            let fits = schema.is_some_and(|schema| {
                schema.dims.len() == dataset.sizes.len()
                    && schema.attributes.len() == dataset.attributes.len()
            });
            if !fits {
                return Err(format!("dataset `{}` does not fit its schema", dataset.name));
            }
            for array in self.arrays(self.schema(dataset)) {
                let cells = self.shape(dataset, array).into_iter().try_fold(1usize, usize::checked_mul);
                if cells.is_none_or(|cells| cells as u64 > MAX_CELLS) {
                    let (dataset, array) = (&dataset.name, &array.name);
                    return Err(format!("array `{array}` of dataset `{dataset}` has too many cells"));
                }
            }
        }
        Ok(())
    }

    /// The next generation, to be changed.
    pub(crate) fn next(&self, operation: &str) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            generation: self.generation + 1,
            committed: i64::try_from(now.as_millis()).unwrap_or(i64::MAX),
            operation: operation.to_owned(),
            codec: self.codec,
            attributes: self.attributes.clone(),
            arrays: self.arrays.clone(),
            schemas: self.schemas.clone(),
            variables: self.variables.clone(),
            datasets: self.datasets.clone(),
            by_name: OnceLock::new(),
        }
    }

    /// True where `other` has the same datasets with the same arrays, if perhaps in other segments.
    pub(crate) fn same_datasets(&self, other: &Self) -> bool {
        self.arrays == other.arrays && self.schemas == other.schemas && self.datasets == other.datasets
    }

    /// The numbers of the arrays and schemas.
    pub(crate) fn interned(&self) -> Interned {
        Interned {
            arrays: self.arrays.iter().cloned().zip(0..).collect(),
            schemas: self.schemas.iter().cloned().zip(0..).collect(),
        }
    }

    /// Leaves out schemas, arrays and variables that no dataset has.
    pub(crate) fn prune(&mut self) {
        let used: HashSet<usize> = self.datasets().map(|(_, dataset)| dataset.schema).collect();
        let schemas = keep(&mut self.schemas, &used);
        for dataset in self.datasets.iter_mut().flatten() {
            dataset.schema = schemas.get(&dataset.schema).copied().unwrap_or(dataset.schema);
        }
        let used: HashSet<usize> = self.schemas.iter().flat_map(|schema| schema.arrays.clone()).collect();
        let arrays = keep(&mut self.arrays, &used);
        for schema in &mut self.schemas {
            for array in &mut Arc::make_mut(schema).arrays {
                *array = arrays.get(array).copied().unwrap_or(*array);
            }
        }
        let names: HashSet<&str> = self.arrays.iter().map(|array| array.name.as_str()).collect();
        self.variables.retain(|name, _| names.contains(name.as_str()));
    }
}

/// Numbers of arrays and schemas, by which equal ones become one.
pub(crate) struct Interned {
    arrays: HashMap<Arc<ArraySchema>, usize>,
    schemas: HashMap<Arc<DatasetSchema>, usize>,
}

impl Interned {
    /// The number of an array in `catalog`, which it is added to where it is new.
    pub(crate) fn array(&mut self, catalog: &mut Catalog, array: &Arc<ArraySchema>) -> usize {
        *self.arrays.entry(Arc::clone(array)).or_insert_with(|| {
            catalog.arrays.push(Arc::clone(array));
            catalog.arrays.len() - 1
        })
    }

    /// The number of a schema in `catalog`, which it is added to where it is new.
    pub(crate) fn schema(&mut self, catalog: &mut Catalog, schema: DatasetSchema) -> usize {
        *self.schemas.entry(Arc::new(schema)).or_insert_with_key(|schema| {
            catalog.schemas.push(Arc::clone(schema));
            catalog.schemas.len() - 1
        })
    }
}

/// Keeps the items with these numbers, and gives their new numbers by their old ones.
fn keep<T>(items: &mut Vec<T>, used: &HashSet<usize>) -> HashMap<usize, usize> {
    let mut old = 0..;
    items.retain(|_| old.next().is_some_and(|number| used.contains(&number)));
    let mut kept: Vec<usize> = used.iter().copied().collect();
    kept.sort_unstable();
    kept.into_iter().zip(0..).collect()
}

impl SegmentEntry {
    /// The path of the file in the store.
    pub fn path(&self, variable: &str) -> String {
        format!("{variable}/{}", self.file)
    }
}

/// A list with a line for each item.
fn section<'a, T: Serialize + 'a>(
    text: &mut String,
    name: &str,
    items: impl Iterator<Item = &'a T>,
) -> Result<(), serde_json::Error> {
    let _ = write!(text, ",\n\"{name}\":[");
    for (i, item) in items.enumerate() {
        text.push_str(if i == 0 { "\n" } else { ",\n" });
        text.push_str(&serde_json::to_string(item)?);
    }
    text.push(']');
    Ok(())
}

/// Checks the document's head and its checksum, which is that of the document with zeros in its place.
fn unseal(file: &str, bytes: &[u8]) -> Result<()> {
    let foreign = || Error::corrupt(file, "it does not start as an Atlas catalog does");
    let rest = bytes.strip_prefix(HEAD.as_bytes()).ok_or_else(foreign)?;
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (version, rest) = rest.split_at_checked(digits).ok_or_else(foreign)?;
    let version =
        std::str::from_utf8(version).ok().and_then(|digits| digits.parse().ok()).ok_or_else(foreign)?;
    if version != VERSION {
        return Err(Error::Version { file: file.to_owned(), found: version, supported: VERSION });
    }
    let rest = rest.strip_prefix(CHECKSUM.as_bytes()).ok_or_else(foreign)?;
    let (expected, after) = rest.split_at_checked(ZERO.len()).ok_or_else(foreign)?;
    let head = bytes.len() - rest.len();
    let checksum = crc32c(&[bytes.get(..head).unwrap_or_default(), ZERO.as_bytes(), after]);
    if format!("{checksum:08x}").as_bytes() == expected {
        return Ok(());
    }
    let expected = String::from_utf8_lossy(expected);
    Err(Error::corrupt(file, format!("its checksum is {checksum:08x} where {expected} was expected")))
}

fn parse<T: DeserializeOwned>(file: &str, bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|e| Error::corrupt(file, e.to_string()))
}

impl Serialize for Dataset {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (&self.name, self.schema, &self.sizes, &self.attributes).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Dataset {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (name, schema, sizes, attributes) = Deserialize::deserialize(deserializer)?;
        Ok(Self { name, schema, sizes, attributes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Catalog {
        let mut temperature = ArraySchema::new("temperature", DType::F32, &["time"]);
        temperature.fill = Some(crate::Value::F64(f64::NAN));
        temperature.attributes = vec![("units".to_owned(), "degC".into())];
        let schema =
            DatasetSchema { dims: vec!["time".into()], arrays: vec![0], attributes: vec!["title".into()] };
        let segment = SegmentEntry {
            file: "data.1-0.af".into(),
            dtype: DType::F32,
            size: 1000,
            index: 900,
            chunks: 1,
            cells: 24,
            missing: 3,
        };
        let dataset = |name: &str| {
            Some(Dataset {
                name: name.into(),
                schema: 0,
                sizes: vec![24],
                attributes: vec!["A \"b\"".into()],
            })
        };
        Catalog {
            generation: 3,
            attributes: vec![("history".to_owned(), vec!["a".to_owned(), "b".to_owned()].into())],
            arrays: vec![Arc::new(temperature)],
            schemas: vec![Arc::new(schema)],
            variables: [("temperature".to_owned(), vec![segment])].into(),
            datasets: vec![dataset("a"), None, dataset("b/c")],
            ..Catalog::default()
        }
    }

    #[test]
    fn a_catalog_comes_back() {
        let catalog = example();
        let bytes = catalog.encode().unwrap();
        let back = Catalog::decode("atlas.json", &bytes).unwrap();
        assert_eq!(back.encode().unwrap(), bytes);
        assert_eq!(back.ordinal("b/c"), Some(2));
        let dataset = back.dataset(2).unwrap();
        assert_eq!(back.shape(dataset, back.array(dataset, "temperature").unwrap()), [24]);
        assert!(serde_json::from_slice::<serde_json::Value>(&bytes).is_ok());
        let empty = Catalog::default().encode().unwrap();
        assert!(Catalog::decode("atlas.json", &empty).unwrap().datasets.is_empty());
    }

    #[test]
    fn what_no_dataset_has_is_left_out() {
        let mut catalog = example();
        catalog.arrays.insert(0, Arc::new(ArraySchema::new("gone", DType::I8, &[])));
        catalog.schemas.insert(0, Arc::new(DatasetSchema { arrays: vec![0], ..DatasetSchema::default() }));
        Arc::make_mut(&mut catalog.schemas[1]).arrays = vec![1];
        catalog.datasets.iter_mut().flatten().for_each(|dataset| dataset.schema = 1);
        catalog.variables.insert("gone".into(), Vec::new());
        catalog.prune();
        assert_eq!(catalog.encode().unwrap(), example().encode().unwrap());
        catalog.prune();
        assert!(catalog.same_datasets(&example()));
    }

    #[test]
    fn every_flipped_bit_and_every_truncation_is_noticed() {
        let bytes = example().encode().unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let error = Catalog::decode("atlas.json", &damaged).unwrap_err();
            assert!(error.to_string().contains("atlas.json"), "{error}");
        }
        for end in 0..bytes.len() {
            assert!(Catalog::decode("atlas.json", &bytes[..end]).is_err());
        }
    }

    #[test]
    fn a_catalog_that_contradicts_itself_is_refused() {
        type Change = fn(&mut Catalog);
        let changes: [Change; 5] = [
            |c| c.datasets[0].as_mut().unwrap().schema = 1,
            |c| c.datasets[0].as_mut().unwrap().sizes.clear(),
            |c| Arc::make_mut(&mut c.schemas[0]).arrays.push(1),
            |c| Arc::make_mut(&mut c.schemas[0]).dims = vec!["x".into()],
            |c| c.variables.get_mut("temperature").unwrap()[0].file = "../x".into(),
        ];
        for change in changes {
            let mut catalog = example();
            change(&mut catalog);
            let error = Catalog::decode("atlas.json", &catalog.encode().unwrap()).unwrap_err();
            assert!(matches!(error, Error::Corrupt { .. }));
        }
    }
}
