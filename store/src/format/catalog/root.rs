//! The root of the catalog, `atlas.json`: everything but the datasets in manifests.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::{self, Write as _};
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::de::{DeserializeOwned, Error as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::encoding::checksum::crc32c;
use crate::encoding::codec::Codec;
use crate::error::{Error, Result};
use crate::format::VERSION;
use crate::format::manifest::ManifestEntry;
use crate::format::record::Recorded;
use crate::format::rows::{Rows, RowsBuilder};
use crate::model::dtype::DType;
use crate::model::schema::{ArraySchema, Attributes, DatasetSchema};
use crate::model::value::AttributeValue;

/// The content of a store's `atlas.json`: everything but the datasets in manifests.
#[derive(Clone, Debug)]
pub struct Root {
    pub(crate) generation: u64,
    pub(crate) committed: i64,
    pub(crate) operation: String,
    pub(crate) codec: Codec,
    pub(crate) attributes: Attributes,
    pub(crate) arrays: Vec<Arc<ArraySchema>>,
    pub(crate) schemas: Vec<Arc<DatasetSchema>>,
    pub(crate) variables: BTreeMap<String, Vec<SegmentEntry>>,
    /// The ordinal that the next new dataset gets.
    pub(crate) next: u32,
    /// The number of datasets that are there.
    pub(crate) count: u32,
    /// The number of cells of all their arrays.
    pub(crate) cells: u64,
    /// Oldest first. Rows of later manifests replace those of earlier ones.
    pub(crate) manifests: Vec<ManifestEntry>,
    /// The rows of the root, which come after those of all manifests.
    pub(crate) rows: Arc<Rows>,
}

/// A file with chunks of one variable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct SegmentEntry {
    /// Its name in the variable's directory.
    pub file: String,
    /// The variable's directory, if its name is not that of the variable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<String>,
    /// The type of its values. Datasets that declare the variable with another type have other
    /// segments.
    pub dtype: DType,
    /// A number that is added to the ordinals of datasets in its index.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub first: u32,
    /// Its length in bytes.
    pub size: u64,
    /// Where its index starts.
    pub index: u64,
    /// The number of chunks.
    pub chunks: u64,
    /// The number of cells of these chunks.
    pub cells: u64,
    /// The number of missing cells among them.
    pub missing: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl SegmentEntry {
    /// The path of the file in the store.
    pub fn path(&self, variable: &str) -> String {
        format!("{}/{}", self.directory.as_deref().unwrap_or(variable), self.file)
    }
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
    changes: Option<Recorded>,
    #[serde(default)]
    attributes: Attributes,
    arrays: Vec<ArraySchema>,
    schemas: Vec<DatasetSchema>,
    #[serde(deserialize_with = "each_once")]
    variables: BTreeMap<String, Vec<SegmentEntry>>,
    next: u32,
    count: u32,
    cells: u64,
    #[serde(default)]
    manifests: Vec<ManifestEntry>,
    datasets: Vec<InlineRow>,
}

/// A dataset in the root: its ordinal, name, schema, sizes and attribute values. For a deleted
/// dataset only the ordinal.
#[derive(Deserialize)]
#[serde(untagged)]
enum InlineRow {
    There(u32, String, u32, Vec<u64>, Vec<AttributeValue>),
    Deleted((u32,)),
}

impl Root {
    /// The root of a store without commits.
    pub(crate) fn empty(codec: Codec) -> Self {
        Self {
            generation: 0,
            committed: 0,
            operation: String::new(),
            codec,
            attributes: Attributes::new(),
            arrays: Vec::new(),
            schemas: Vec::new(),
            variables: BTreeMap::new(),
            next: 0,
            count: 0,
            cells: 0,
            manifests: Vec::new(),
            rows: Arc::new(Rows::empty()),
        }
    }

    /// The number of commits; 0 for a store without commits.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The time of the commit, in milliseconds since 1970-01-01T00:00:00Z, by the writer's clock.
    pub fn committed(&self) -> i64 {
        self.committed
    }

    /// The kind of the commit: `write`, `merge` or `compact`.
    pub fn operation(&self) -> &str {
        &self.operation
    }

    /// The codec of blocks written from now on.
    pub fn codec(&self) -> Codec {
        self.codec
    }

    /// The attributes of the store as a whole.
    pub fn store_attributes(&self) -> &Attributes {
        &self.attributes
    }

    /// The number of datasets.
    pub fn dataset_count(&self) -> usize {
        self.count as usize
    }

    /// The distinct arrays of the datasets.
    pub fn array_schemas(&self) -> &[Arc<ArraySchema>] {
        &self.arrays
    }

    /// The distinct schemas of the datasets.
    pub fn dataset_schemas(&self) -> &[Arc<DatasetSchema>] {
        &self.schemas
    }

    /// The variables with their segments, oldest first, in order of name.
    pub fn variables(&self) -> impl Iterator<Item = (&str, &[SegmentEntry])> {
        self.variables.iter().map(|(name, entries)| (name.as_str(), entries.as_slice()))
    }

    /// The segments of a variable, oldest first.
    pub fn segments(&self, variable: &str) -> &[SegmentEntry] {
        self.variables.get(variable).map_or(&[], Vec::as_slice)
    }

    /// Chunks, cells and missing cells of a variable, if the catalog alone determines them. `None`
    /// if chunks may have been replaced or deleted since they were counted.
    pub fn counts(&self, variable: &str) -> Option<[u64; 3]> {
        let entries = self.segments(variable);
        // A first commit can have written a chunk to one segment, and the same chunk with later
        // changes to another segment of the type.
        let types: HashSet<DType> = entries.iter().map(|entry| entry.dtype).collect();
        (self.generation <= 1 && types.len() == entries.len()).then(|| {
            entries.iter().fold([0; 3], |[chunks, cells, missing], entry| {
                [chunks + entry.chunks, cells + entry.cells, missing + entry.missing]
            })
        })
    }

    /// False if no dataset can have a name. Determined without reading a manifest.
    pub(crate) fn may_have(&self, name: &str) -> bool {
        let inline = (0..self.rows.len()).any(|row| self.rows.name(row) == Some(name));
        inline || self.manifests.iter().any(|entry| (&*entry.names.0..=&*entry.names.1).contains(&name))
    }

    /// The document: readable, with a line for each array, schema, variable, manifest and dataset.
    /// With `changes` it is the record of a commit.
    pub(crate) fn encode(&self, changes: Option<&Recorded>) -> Result<Vec<u8>, serde_json::Error> {
        let mut text = format!("{HEAD}{VERSION}{CHECKSUM}{ZERO}\",\n");
        let start = text.len() - ZERO.len() - 3;
        // Writing to a String does not fail.
        let operation = serde_json::to_string(&self.operation)?;
        let _ = write!(
            text,
            r#""generation":{},"committed":{},"operation":{operation},"codec":"{}""#,
            self.generation, self.committed, self.codec
        );
        if let Some(changes) = changes {
            let _ = write!(text, ",\n\"changes\":{}", serde_json::to_string(changes)?);
        }
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
        let _ = write!(text, "}},\n\"next\":{},\"count\":{},\"cells\":{}", self.next, self.count, self.cells);
        if !self.manifests.is_empty() {
            section(&mut text, "manifests", self.manifests.iter())?;
        }
        text.push_str(",\n\"datasets\":");
        self.encode_rows(&mut text)?;
        text.push_str("}\n");
        let checksum = format!("{:08x}", crc32c(&[text.as_bytes()]));
        text.replace_range(start..start + ZERO.len(), &checksum);
        Ok(text.into_bytes())
    }

    /// The number of bytes of the root's rows.
    pub(crate) fn inline_bytes(&self) -> usize {
        let mut text = String::new();
        // If they cannot be written, writing the root fails too.
        let _ = self.encode_rows(&mut text);
        text.len()
    }

    /// The list of the rows in the root.
    fn encode_rows(&self, text: &mut String) -> Result<(), serde_json::Error> {
        let rows = &self.rows;
        text.push('[');
        for row in 0..rows.len() {
            text.push_str(if row == 0 { "\n" } else { ",\n" });
            let ordinal = rows.ordinal(row);
            let Some(name) = rows.name(row) else {
                let _ = write!(text, "[{ordinal}]");
                continue;
            };
            let schema = rows.schema(row);
            let keys = self.schemas.get(schema as usize).map_or(&[][..], |schema| &schema.attributes);
            let values: Vec<_> = keys.iter().filter_map(|key| rows.attribute(row, key)).collect();
            let row = (ordinal, name, schema, rows.sizes(row), values);
            text.push_str(&serde_json::to_string(&row)?);
        }
        text.push(']');
        Ok(())
    }

    /// A document with its checksum made right, for fuzzers.
    #[cfg(feature = "internals")]
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

    /// The inverse of [`encode`](Self::encode). `file` is the name of the document, for errors.
    pub(crate) fn decode(file: &str, bytes: &[u8]) -> Result<(Self, Option<Recorded>)> {
        unseal(file, bytes)?;
        let document: Document = parse(file, bytes)?;
        let corrupt = |reason: String| Error::corrupt(file, reason);
        let rows = inline_rows(document.datasets, &document.schemas).map_err(corrupt)?;
        let root = Self {
            generation: document.generation,
            committed: document.committed,
            operation: document.operation,
            codec: document.codec,
            attributes: document.attributes,
            arrays: document.arrays.into_iter().map(Arc::new).collect(),
            schemas: document.schemas.into_iter().map(Arc::new).collect(),
            variables: document.variables,
            next: document.next,
            count: document.count,
            cells: document.cells,
            manifests: document.manifests,
            rows: Arc::new(rows),
        };
        root.check().map_err(corrupt)?;
        Ok((root, document.changes))
    }

    /// The root of the next generation, to be changed.
    pub(crate) fn following(&self, operation: &str) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            generation: self.generation + 1,
            committed: i64::try_from(now.as_millis()).unwrap_or(i64::MAX),
            operation: operation.to_owned(),
            ..self.clone()
        }
    }

    /// The numbers of the arrays and schemas.
    pub(crate) fn interned(&self) -> Interned {
        Interned {
            arrays: self.arrays.iter().cloned().zip(0..).collect(),
            schemas: self.schemas.iter().cloned().zip(0..).collect(),
        }
    }

    /// Removes schemas, arrays and variables that no dataset has. `used` has the numbers of the
    /// schemas that datasets have.
    pub(crate) fn prune(&mut self, used: &HashSet<u32>) -> Result<(), String> {
        let kept: HashSet<usize> = used.iter().map(|&schema| schema as usize).collect();
        if kept.len() < self.schemas.len() {
            let numbers = keep(&mut self.schemas, &kept);
            let renumber = |schema: u32| numbers.get(&(schema as usize)).copied().and_then(narrow);
            for schema in self.manifests.iter_mut().flat_map(|entry| &mut entry.schemas) {
                *schema = schema.and_then(renumber);
            }
            let rows = Arc::clone(&self.rows);
            let mut renumbered = RowsBuilder::default();
            for row in 0..rows.len() {
                let schema = renumber(rows.schema(row)).unwrap_or_default();
                renumbered.push_row(rows.ordinal(row), &rows, row, schema, rows.keys());
            }
            self.rows = Arc::new(renumbered.finish()?);
        }
        let used: HashSet<usize> = self.schemas.iter().flat_map(|schema| schema.arrays.clone()).collect();
        if used.len() < self.arrays.len() {
            let arrays = keep(&mut self.arrays, &used);
            for schema in &mut self.schemas {
                for array in &mut Arc::make_mut(schema).arrays {
                    *array = arrays.get(array).copied().unwrap_or(*array);
                }
            }
        }
        let names: HashSet<&str> = self.arrays.iter().map(|array| array.name.as_str()).collect();
        self.variables.retain(|name, _| names.contains(name.as_str()));
        Ok(())
    }
}

fn narrow(number: usize) -> Option<u32> {
    u32::try_from(number).ok()
}

/// Numbers of arrays and schemas, by which equal ones become one.
pub(crate) struct Interned {
    arrays: HashMap<Arc<ArraySchema>, usize>,
    schemas: HashMap<Arc<DatasetSchema>, usize>,
}

impl Interned {
    /// The number of an array in `root`. Adds the array if it is new.
    pub(crate) fn array(&mut self, root: &mut Root, array: &Arc<ArraySchema>) -> usize {
        *self.arrays.entry(Arc::clone(array)).or_insert_with(|| {
            root.arrays.push(Arc::clone(array));
            root.arrays.len() - 1
        })
    }

    /// The number of a schema in `root`. Adds the schema if it is new.
    pub(crate) fn schema(&mut self, root: &mut Root, schema: DatasetSchema) -> u32 {
        let number = *self.schemas.entry(Arc::new(schema)).or_insert_with_key(|schema| {
            root.schemas.push(Arc::clone(schema));
            root.schemas.len() - 1
        });
        // `check` refuses a root with so many schemas.
        narrow(number).unwrap_or(u32::MAX)
    }
}

/// Keeps the items with these numbers, and returns their new numbers by their old ones.
fn keep<T>(items: &mut Vec<T>, used: &HashSet<usize>) -> HashMap<usize, usize> {
    let mut old = 0..;
    items.retain(|_| old.next().is_some_and(|number| used.contains(&number)));
    let mut kept: Vec<usize> = used.iter().copied().collect();
    kept.sort_unstable();
    kept.into_iter().zip(0..).collect()
}

fn inline_rows(inline: Vec<InlineRow>, schemas: &[DatasetSchema]) -> Result<Rows, String> {
    let mut rows = RowsBuilder::default();
    for row in inline {
        match row {
            InlineRow::There(ordinal, name, schema, sizes, attributes) => {
                let keys = schemas.get(schema as usize).map_or(&[][..], |schema| &schema.attributes);
                if keys.len() != attributes.len() {
                    return Err(format!("dataset `{name}` does not fit its schema"));
                }
                let attributes = keys.iter().zip(attributes);
                rows.push(ordinal, &name, schema, sizes.into_iter(), attributes);
            }
            InlineRow::Deleted((ordinal,)) => rows.push_deleted(ordinal),
        }
    }
    rows.finish()
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

/// Checks the document's head and its checksum, computed over the document with zeros in place of
/// the checksum.
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

/// A map in which no key occurs twice.
pub(crate) fn each_once<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
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
