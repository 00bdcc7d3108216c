//! The catalog: everything about a store but its values. One JSON document, `atlas.json`.

mod check;
mod names;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::{self, Write as _};
use std::marker::PhantomData;
use std::sync::{Arc, OnceLock};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::de::{DeserializeOwned, Error as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use self::names::{Names, Sorted};
use crate::encoding::checksum::crc32c;
use crate::encoding::codec::Codec;
use crate::error::{Error, Result};
use crate::format::VERSION;
use crate::model::dtype::DType;
use crate::model::schema::{ArraySchema, Attributes};
use crate::model::value::AttributeValue;

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
    /// By schema the names in it.
    names: OnceLock<Vec<Names>>,
}

/// What datasets of one shape have in common.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
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
#[serde(deny_unknown_fields)]
pub struct SegmentEntry {
    /// Its name in the variable's directory.
    pub file: String,
    /// The variable's directory, where it is not named like the variable: a shortened one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<String>,
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

const HEAD: &str = r#"{"format":"atlas","version":"#;
const CHECKSUM: &str = r#","crc32c":""#;
const ZERO: &str = "00000000";

/// The document. [`unseal`] checks its head.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(rename = "format")]
    _format: IgnoredAny,
    #[serde(rename = "version")]
    _version: IgnoredAny,
    #[serde(rename = "crc32c")]
    _crc32c: IgnoredAny,
    generation: u64,
    committed: i64,
    operation: String,
    codec: Codec,
    #[serde(default)]
    attributes: Attributes,
    arrays: Vec<ArraySchema>,
    schemas: Vec<DatasetSchema>,
    #[serde(deserialize_with = "each_once")]
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
        let schema = self.schema(dataset);
        let names = self.names(dataset.schema);
        let place = names?.arrays.find(name, |place| Some(self.array_at(schema, place)?.name.as_str()))?;
        self.array_at(schema, place)
    }

    fn array_at(&self, schema: &DatasetSchema, place: usize) -> Option<&Arc<ArraySchema>> {
        self.arrays.get(*schema.arrays.get(place)?)
    }

    /// The size of a dimension of a dataset.
    pub fn size(&self, dataset: &Dataset, dim: &str) -> Option<usize> {
        let schema = self.schema(dataset);
        let place =
            self.names(dataset.schema)?.dims.find(dim, |place| schema.dims.get(place).map(String::as_str))?;
        dataset.sizes.get(place).copied()
    }

    /// The shape of an array of a dataset.
    pub fn shape(&self, dataset: &Dataset, array: &ArraySchema) -> Vec<usize> {
        array.dims.iter().filter_map(|dim| self.size(dataset, dim)).collect()
    }

    /// The names in a schema, by its number.
    fn names(&self, schema: usize) -> Option<&Names> {
        let names = self.names.get_or_init(|| {
            let names = |schema: &Arc<DatasetSchema>| Names {
                arrays: Sorted::of(schema.arrays.len(), |place| {
                    Some(self.array_at(schema, place)?.name.as_str())
                }),
                dims: Sorted::of(schema.dims.len(), |place| schema.dims.get(place).map(String::as_str)),
            };
            self.schemas.iter().map(names).collect()
        });
        names.get(schema)
    }

    /// Chunks, cells and missing cells of a variable, where the catalog alone tells: `None` where
    /// chunks may have been replaced or deleted since they were counted.
    pub fn counts(&self, variable: &str) -> Option<[u64; 3]> {
        let entries = self.variables.get(variable).map_or(&[][..], Vec::as_slice);
        // A first commit can have written a chunk to one segment, and with later changes to another
        // of the type.
        let types: HashSet<DType> = entries.iter().map(|entry| entry.dtype).collect();
        (self.generation <= 1 && types.len() == entries.len()).then(|| {
            entries.iter().fold([0; 3], |[chunks, cells, missing], entry| {
                [chunks + entry.chunks, cells + entry.cells, missing + entry.missing]
            })
        })
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
            names: OnceLock::new(),
        };
        catalog.check().map_err(|reason| Error::corrupt(file, reason))?;
        Ok(catalog)
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
            names: OnceLock::new(),
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
        format!("{}/{}", self.directory.as_deref().unwrap_or(variable), self.file)
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
    if bytes.is_empty() {
        return Err(Error::corrupt(file, "it is empty"));
    }
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

/// A map in which no key is twice.
fn each_once<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, T>, D::Error> {
    struct EachOnce<T>(PhantomData<T>);
    impl<'de, T: Deserialize<'de>> Visitor<'de> for EachOnce<T> {
        type Value = BTreeMap<String, T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
            let mut map = BTreeMap::new();
            while let Some((key, value)) = entries.next_entry::<String, T>()? {
                if map.contains_key(&key) {
                    return Err(A::Error::custom(format!("`{key}` is there twice")));
                }
                map.insert(key, value);
            }
            Ok(map)
        }
    }
    deserializer.deserialize_map(EachOnce(PhantomData))
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
        temperature.fill = Some(crate::model::value::Value::F64(f64::NAN));
        temperature.attributes = vec![("units".to_owned(), "degC".into())];
        let schema =
            DatasetSchema { dims: vec!["time".into()], arrays: vec![0], attributes: vec!["title".into()] };
        let segment = SegmentEntry {
            file: "data.1-0.af".into(),
            directory: None,
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
            operation: "write".into(),
            attributes: vec![("history".to_owned(), vec!["a".to_owned(), "b".to_owned()].into())],
            arrays: vec![Arc::new(temperature)],
            schemas: vec![Arc::new(schema)],
            variables: [("temperature".to_owned(), vec![segment])].into(),
            datasets: vec![dataset("a"), None, dataset("b c")],
            ..Catalog::default()
        }
    }

    #[test]
    fn a_catalog_comes_back() {
        let catalog = example();
        let bytes = catalog.encode().unwrap();
        let back = Catalog::decode("atlas.json", &bytes).unwrap();
        assert_eq!(back.encode().unwrap(), bytes);
        assert_eq!(back.ordinal("b c"), Some(2));
        let dataset = back.dataset(2).unwrap();
        assert_eq!(back.shape(dataset, back.array(dataset, "temperature").unwrap()), [24]);
        assert!(serde_json::from_slice::<serde_json::Value>(&bytes).is_ok());
        let empty = Catalog::default().next("write").encode().unwrap();
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
        fn dataset(c: &mut Catalog) -> &mut Dataset {
            c.datasets[0].as_mut().unwrap()
        }
        fn array(c: &mut Catalog) -> &mut ArraySchema {
            Arc::make_mut(&mut c.arrays[0])
        }
        fn schema(c: &mut Catalog) -> &mut DatasetSchema {
            Arc::make_mut(&mut c.schemas[0])
        }
        fn segment(c: &mut Catalog) -> &mut SegmentEntry {
            &mut c.variables.get_mut("temperature").unwrap()[0]
        }
        let changes: &[(&str, Change)] = &[
            ("generation 0", |c| c.generation = 0),
            ("generation 18446744073709551615", |c| c.generation = u64::MAX),
            ("operation", |c| c.operation = "\u{1b}[2J".into()),
            ("does not fit its schema", |c| dataset(c).schema = 1),
            ("does not fit its schema", |c| dataset(c).sizes.clear()),
            ("does not fit its schema", |c| dataset(c).attributes.clear()),
            ("dataset `b c` twice", |c| dataset(c).name = "b c".into()),
            ("`b/c` cannot name a dataset", |c| dataset(c).name = "b/c".into()),
            ("a list of i64 has a bool in it", |c| {
                let values = vec![crate::model::value::Value::I64(1), crate::model::value::Value::Bool(true)];
                dataset(c).attributes = vec![AttributeValue::List(DType::I64, values)];
            }),
            ("too many cells", |c| dataset(c).sizes = vec![1 << 49]),
            ("too many cells", |c| dataset(c).sizes = vec![usize::MAX]),
            ("is larger than", |c| dataset(c).sizes = vec![1 << 40]),
            ("more than 268435456 chunks", |c| {
                dataset(c).sizes = vec![1 << 40];
                array(c).chunk = vec![1];
            }),
            ("there is no array 1", |c| schema(c).arrays.push(1)),
            ("array `temperature` twice", |c| schema(c).arrays.push(0)),
            ("dimension `time` twice", |c| schema(c).dims.push("time".into())),
            ("attribute `history` twice", |c| c.attributes.push(c.attributes[0].clone())),
            ("attribute `title` twice", |c| schema(c).attributes.push("title".into())),
            ("cannot name an attribute", |c| schema(c).attributes = vec![String::new()]),
            ("a dimension `time` its dataset has not", |c| schema(c).dims = vec!["x".into()]),
            ("not one chunk size", |c| array(c).chunk.clear()),
            ("dimension `time` twice", |c| {
                array(c).dims.push("time".into());
                array(c).chunk.push(0);
            }),
            ("cannot name a dimension", |c| array(c).dims = vec!["..".into()]),
            ("cannot name an array", |c| array(c).name = "_x".into()),
            ("attribute `units` twice", |c| {
                let again = array(c).attributes[0].clone();
                array(c).attributes.push(again);
            }),
            ("fill value x is not a f32", |c| {
                array(c).fill = Some(crate::model::value::Value::String("x".into()))
            }),
            ("cannot name a segment", |c| segment(c).file = "../x".into()),
            ("cannot name a segment", |c| segment(c).file = "..".into()),
            ("cannot name a directory", |c| segment(c).directory = Some("..".into())),
            ("cannot name a variable", |c| drop(c.variables.insert("/etc".into(), Vec::new()))),
            ("no index at 1000", |c| segment(c).index = 1000),
            ("no index at 18446744073709551615", |c| segment(c).index = u64::MAX),
            ("of which 25 are missing", |c| segment(c).missing = 25),
            ("has 25 chunks of 24 cells", |c| segment(c).chunks = 25),
            ("twice", |c| {
                let again = segment(c).clone();
                c.variables.get_mut("temperature").unwrap().push(again);
            }),
            ("more than 4611686018427387904 bytes", |c| {
                segment(c).cells = 1 << 62;
            }),
        ];
        for (expected, change) in changes {
            let mut catalog = example();
            change(&mut catalog);
            // What cannot be read must not be committed.
            let reason = catalog.check().unwrap_err();
            assert!(reason.contains(expected), "{expected}: {reason}");
            let error = Catalog::decode("atlas.json", &catalog.encode().unwrap()).unwrap_err();
            assert!(
                matches!(error, Error::Corrupt { .. }) && error.to_string().contains(expected),
                "{error}"
            );
        }
    }

    /// What JSON can say and a catalog cannot.
    #[test]
    fn a_document_with_more_or_less_in_it_is_refused() {
        let text = String::from_utf8(example().encode().unwrap()).unwrap();
        let decode = |text: &str| Catalog::decode("atlas.json", &Catalog::sealed(text.as_bytes()));
        assert!(decode(&text).is_ok());
        let segments =
            &text[text.find("\n\"temperature\":").unwrap()..text.find("},\n\"datasets\"").unwrap()];
        for (from, to) in [
            (r#""generation":3"#, r#""generation":3,"more":1"#.to_owned()),
            (r#""generation":3"#, r#""generation":3,"generation":4"#.to_owned()),
            (r#""generation":3"#, r#""generation":-3"#.to_owned()),
            (r#""generation":3,"#, String::new()),
            (r#""dtype":"f32""#, r#""dtype":"f16""#.to_owned()),
            (r#""dtype":"f32""#, r#""dtype":"f32","scale":2"#.to_owned()),
            (r#""arrays":[0]"#, r#""arrays":[0],"groups":[]"#.to_owned()),
            (r#""missing":3"#, r#""missing":3,"offset":7"#.to_owned()),
            (r#"["b c",0,[24],["A"#, r#"["b c",0,[24],[],["A"#.to_owned()),
            (r#"{"f64":"NaN"}"#, r#"{"f64":"NaN","u64":1}"#.to_owned()),
            (r#"{"f64":"NaN"}"#, r#"{"f64":"12"}"#.to_owned()),
            (r#"{"f64":"NaN"}"#, r#"{"binary":"+1"}"#.to_owned()),
            (segments, format!("{segments},{segments}")),
        ] {
            assert!(text.contains(from), "{from}");
            let error = decode(&text.replacen(from, &to, 1)).unwrap_err();
            assert!(matches!(error, Error::Corrupt { .. }), "{from}: {error}");
        }
        let deep = text.replacen(r#"{"f64":"NaN"}"#, &("[".repeat(100_000) + &"]".repeat(100_000)), 1);
        assert!(decode(&deep).is_err());
    }

    /// Of schemas with many names and with few.
    #[test]
    fn names_are_found() {
        for count in [0, 1, 7, 8, 9, 50] {
            let name = |i: usize| format!("v{}", i * 7919 % 1000);
            let mut catalog = Catalog { datasets: Vec::new(), ..example() };
            catalog.arrays = (0..count)
                .map(|i| Arc::new(ArraySchema::new(name(i), DType::F32, &[name(count - 1 - i).as_str()])))
                .collect();
            let schema = DatasetSchema {
                dims: (0..count).map(name).collect(),
                arrays: (0..count).rev().collect(),
                attributes: Vec::new(),
            };
            catalog.schemas = vec![Arc::new(schema)];
            let dataset =
                Dataset { name: "d".into(), schema: 0, sizes: (0..count).collect(), attributes: Vec::new() };
            for i in 0..count {
                let array = catalog.array(&dataset, &name(i)).unwrap();
                assert_eq!((&array.name, catalog.size(&dataset, &name(i))), (&name(i), Some(i)));
                assert_eq!(catalog.shape(&dataset, array), [count - 1 - i]);
            }
            assert!(catalog.array(&dataset, "w").is_none() && catalog.size(&dataset, "w").is_none());
        }
    }
}
