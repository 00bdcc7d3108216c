//! Schemas of arrays and datasets, without the sizes of dimensions, which differ between datasets.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::model::dtype::DType;
#[cfg(feature = "ndarray")]
use crate::model::dtype::Element;
use crate::model::value::{AttributeValue, Value};

/// Attributes in the order in which they were set.
pub type Attributes = Vec<(String, AttributeValue)>;

/// What the names of attributes begin with in which programs keep notes, such as where a dataset was
/// imported from.
const NOTE: &str = "_atlas_";

/// True for the name of an attribute that is a program's note rather than a part of the data.
/// Whoever shows the attributes of datasets and arrays leaves it out.
pub fn is_note(attribute: &str) -> bool {
    attribute.starts_with(NOTE)
}

/// The number of cells of a chunk by default: half a MiB of `f32`.
pub(crate) const DEFAULT_CHUNK_CELLS: usize = 128 * 1024;

/// The largest chunk, in bytes of raw values.
pub(crate) const MAX_CHUNK_BYTES: usize = 256 * 1024 * 1024;

/// The description of an array without its sizes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArraySchema {
    /// The array's name, unique in its dataset.
    pub name: String,
    /// The type of its elements.
    pub dtype: DType,
    /// Its dimensions, slowest first; none for a single value.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dims: Vec<String>,
    /// The size of a chunk along each dimension; 0 means the whole dimension.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chunk: Vec<usize>,
    /// The value that stands for a missing cell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fill: Option<Value>,
    /// Attributes such as `units` and `long_name`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attributes: Attributes,
}

impl ArraySchema {
    /// An array of `dtype` over `dims`, whose chunks span all dimensions.
    pub fn new(name: impl Into<String>, dtype: DType, dims: &[&str]) -> Self {
        Self {
            name: name.into(),
            dtype,
            dims: dims.iter().map(ToString::to_string).collect(),
            chunk: vec![0; dims.len()],
            fill: None,
            attributes: Vec::new(),
        }
    }

    /// The value of an attribute.
    pub fn attribute(&self, name: &str) -> Option<&AttributeValue> {
        self.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// Checks that this array of `dataset` holds values of a type.
    #[cfg(feature = "ndarray")]
    pub(crate) fn check_type<T: Element>(&self, dataset: &str) -> Result<()> {
        if self.dtype == T::DTYPE {
            return Ok(());
        }
        Err(Error::WrongType {
            dataset: dataset.to_owned(),
            array: self.name.clone(),
            expected: self.dtype,
            found: T::DTYPE.to_string(),
        })
    }

    /// The size of a chunk along each dimension of an array of `shape`.
    pub fn chunk_shape(&self, shape: &[usize]) -> Vec<usize> {
        self.chunk
            .iter()
            .zip(shape)
            .map(|(&chunk, &size)| if chunk == 0 { size.max(1) } else { chunk })
            .collect()
    }
}

/// The default chunk shape for an array of `shape`: the whole array if that is small, otherwise
/// divided along the slowest dimensions. 0 means the whole dimension.
pub fn default_chunk(shape: &[usize]) -> Vec<usize> {
    let mut chunk = vec![0; shape.len()];
    let mut cells = 1usize;
    for (size, chunk) in shape.iter().zip(&mut chunk).rev() {
        let room = (DEFAULT_CHUNK_CELLS / cells).max(1);
        if *size > room {
            *chunk = room;
        }
        cells = cells.saturating_mul((*size).clamp(1, room));
    }
    chunk
}

/// What datasets of one kind have in common.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatasetSchema {
    /// The names of the dimensions.
    pub dims: Vec<String>,
    /// The arrays, as indices into [`Root::array_schemas`](crate::Root::array_schemas).
    pub arrays: Vec<usize>,
    /// The names of the attributes.
    pub attributes: Vec<String>,
}

/// Checks a name against the rules of the store; see [`Error::Name`].
pub(crate) fn check_name(kind: &'static str, name: &str) -> Result<()> {
    let reason = if name.is_empty() {
        "it is empty"
    } else if name == "." || name == ".." {
        "`.` and `..` are directories"
    } else if name.contains('/') {
        "it has a `/` in it"
    } else if name.starts_with('_') {
        "names that start with `_` are the store's own"
    } else if name == crate::storage::names::CATALOG_FILE {
        "it is the name of the catalog"
    } else if name.contains('\0') {
        "it has a NUL in it"
    } else {
        return Ok(());
    };
    Err(Error::Name { kind, name: name.to_owned(), reason })
}

/// Checks the name of an attribute.
pub(crate) fn check_attribute(key: &str) -> Result<()> {
    if key.is_empty() {
        return Err(Error::Name { kind: "an attribute", name: String::new(), reason: "it is empty" });
    }
    Ok(())
}

/// Checks the names and values of attributes.
///
/// # Errors
/// What is wrong with one of them.
pub(crate) fn check_attributes(attributes: &Attributes) -> Result<(), String> {
    let mut keys = HashSet::with_capacity(attributes.len());
    for (key, value) in attributes {
        check_attribute(key).map_err(|e| e.to_string())?;
        value.check().map_err(|reason| format!("attribute `{key}`: {reason}"))?;
        if !keys.insert(key) {
            return Err(format!("it has attribute `{key}` twice"));
        }
    }
    Ok(())
}

/// Checks that `schema` and `shape` fit each other.
pub(crate) fn check_shape(schema: &ArraySchema, shape: &[usize]) -> Result<(), String> {
    let (dims, chunk) = (&schema.dims, &schema.chunk);
    if shape.len() != dims.len() || chunk.len() != dims.len() {
        return Err(format!(
            "dimensions {dims:?}, shape {shape:?} and chunk shape {chunk:?} differ in length"
        ));
    }
    schema.check()?;
    schema.check_sizes(shape.iter().copied()).map(drop)
}

impl ArraySchema {
    /// Checks everything that does not depend on the sizes of dimensions.
    ///
    /// # Errors
    /// What is wrong with it; the message does not contain its name.
    pub(crate) fn check(&self) -> Result<(), String> {
        check_name("an array", &self.name).map_err(|e| e.to_string())?;
        if self.chunk.len() != self.dims.len() {
            return Err("it has not one chunk size for each dimension".to_owned());
        }
        for (place, dim) in self.dims.iter().enumerate() {
            check_name("a dimension", dim).map_err(|e| e.to_string())?;
            if self.dims.iter().take(place).any(|other| other == dim) {
                return Err(format!("it has dimension `{dim}` twice"));
            }
        }
        if let Some(fill) = self.fill.as_ref().filter(|fill| !self.dtype.holds(fill)) {
            return Err(format!("its fill value {fill} is not a {}", self.dtype));
        }
        check_attributes(&self.attributes)
    }

    /// Checks the sizes of the array's dimensions, and returns its number of cells.
    ///
    /// # Errors
    /// The limit that they exceed.
    pub(crate) fn check_sizes(&self, sizes: impl Iterator<Item = usize> + Clone) -> Result<u64, String> {
        let shape = || sizes.clone().collect::<Vec<_>>();
        // A dimension of size 0 counts as one of size 1, because it may be extended.
        let (mut cells, mut chunks, mut bytes) = (Some(1u64), Some(1usize), Some(self.dtype.memory_width()));
        let mut empty = false;
        for (size, &chunk) in sizes.clone().zip(&self.chunk) {
            empty |= size == 0;
            let extent = size.max(1);
            let chunk = if chunk == 0 { extent } else { chunk };
            cells = cells.and_then(|cells| cells.checked_mul(extent as u64));
            chunks = chunks.and_then(|chunks| chunks.checked_mul(extent.div_ceil(chunk)));
            bytes = bytes.and_then(|bytes| bytes.checked_mul(chunk.min(extent)));
        }
        let cells = cells.filter(|&cells| cells <= MAX_CELLS);
        let cells = cells.ok_or_else(|| format!("its shape {:?} has too many cells", shape()))?;
        if bytes.is_none_or(|bytes| bytes > MAX_CHUNK_BYTES) {
            return Err(format!(
                "a chunk of shape {:?} is larger than {MAX_CHUNK_BYTES} bytes: choose smaller chunks",
                self.chunk_shape(&shape())
            ));
        }
        if chunks.is_none_or(|chunks| chunks > MAX_CHUNKS) {
            return Err(format!("it has more than {MAX_CHUNKS} chunks: choose larger chunks"));
        }
        Ok(if empty { 0 } else { cells })
    }
}

/// The greatest number of cells of an array: small enough that counts of them can be added up
/// without overflow.
const MAX_CELLS: u64 = 1 << 48;

/// The greatest number of chunks of an array: as many as the index of one segment can have rows.
const MAX_CHUNKS: usize = 1 << 28;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_chunks_are_whole_while_small_and_cut_the_slowest_dimensions() {
        assert_eq!(default_chunk(&[]), [0usize; 0]);
        assert_eq!(default_chunk(&[50, 168]), [0, 0]);
        assert_eq!(default_chunk(&[1000, 300, 400]), [1, 0, 0]);
        assert_eq!(default_chunk(&[1000, 3, 400]), [109, 0, 0]);
        assert_eq!(default_chunk(&[10_000_000]), [DEFAULT_CHUNK_CELLS]);
        assert_eq!(default_chunk(&[0, 5]), [0, 0]);
    }

    #[test]
    fn chunk_shapes_follow_the_array() {
        let mut schema = ArraySchema::new("t", DType::F32, &["x", "y"]);
        assert_eq!(schema.chunk_shape(&[3, 0]), [3, 1]);
        schema.chunk = vec![2, 0];
        assert_eq!(schema.chunk_shape(&[3, 4]), [2, 4]);
    }

    #[test]
    fn names_keep_the_rules() {
        for name in ["TEMP", "group.var", "a b", "é", "1"] {
            check_name("an array", name).unwrap();
        }
        for name in ["", ".", "..", "a/b", "_x", "a\0"] {
            assert!(check_name("an array", name).is_err(), "{name}");
        }
    }
}
