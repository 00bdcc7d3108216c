//! Manifests: files with datasets. The catalog names them, and loads them on demand.

use arrow::buffer::Buffer;
use arrow::compute::{max_string_view, min_string_view};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::encoding::checksum::crc32c;
use crate::encoding::codec::Codec;
use crate::encoding::parts::Parts;
use crate::format::block;
use crate::format::rows::{AttributeKind, Rows, schema_of};
use crate::format::table;
use crate::model::schema::check_name;

/// The greatest size of a manifest before compression.
const MAX_BYTES: u64 = 8 << 30;

/// The description of a manifest in the catalog.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ManifestEntry {
    /// Its name in the directory of manifests.
    pub(crate) file: String,
    /// A number that is added to the ordinals in it.
    pub(crate) first: u32,
    /// The number of its rows.
    pub(crate) rows: u32,
    /// Its last ordinal plus 1, before `first` is added.
    pub(crate) end: u32,
    /// Its length in bytes.
    pub(crate) size: u64,
    /// Its length before compression.
    pub(crate) raw: u64,
    pub(crate) codec: Codec,
    /// The checksum of the file.
    pub(crate) crc32c: u32,
    /// The least and the greatest of its names.
    pub(crate) names: (String, String),
    /// For each of its schemas, the number in the catalog; `null` if no dataset has the schema any
    /// more.
    pub(crate) schemas: Vec<Option<u32>>,
}

impl ManifestEntry {
    pub(crate) fn check(&self) -> Result<(), String> {
        check_name("a manifest", &self.file).map_err(|e| e.to_string())?;
        if self.first.checked_add(self.end).is_none_or(|end| end == u32::MAX) || self.rows > self.end {
            return Err(format!(
                "manifest `{}` has {} rows of ordinals up to {} from {}",
                self.file, self.rows, self.end, self.first
            ));
        }
        if self.names.0 > self.names.1 {
            return Err(format!("manifest `{}` has its names the wrong way round", self.file));
        }
        if self.raw > MAX_BYTES {
            return Err(format!("manifest `{}` takes {} bytes", self.file, self.raw));
        }
        Ok(())
    }
}

/// Encodes rows as a file, and describes the file for a catalog that uses these numbers of schemas.
/// Reads the file back, so that no writer commits what readers refuse.
pub(crate) fn encode(
    file: String,
    rows: &Rows,
    codec: Codec,
    first: u32,
    schemas: Vec<Option<u32>>,
) -> Result<(ManifestEntry, Bytes), String> {
    let raw = write(rows)?;
    let number = |count: usize| u32::try_from(count).map_err(|e| e.to_string());
    let (codec, bytes) = codec.compress_parts(&raw);
    let entry = ManifestEntry {
        file,
        first,
        rows: number(rows.len())?,
        end: rows.ordinals().last().map_or(0, |last| last + 1),
        size: bytes.len() as u64,
        raw: raw.len() as u64,
        codec,
        crc32c: crc32c(&[&bytes]),
        names: bounds(rows),
        schemas,
    };
    if entry.raw > MAX_BYTES {
        return Err(format!("{} datasets are too many for one commit: commit more often", entry.rows));
    }
    drop(raw);
    // A manifest that readers refuse would make the whole store unreadable.
    let bytes = Bytes::from(bytes);
    let unreadable =
        |reason| format!("the manifest of {} datasets would be unreadable: {reason}", entry.rows);
    decode(&entry, bytes.clone()).map_err(unreadable)?;
    Ok((entry, bytes))
}

/// Encodes rows as a manifest before compression, in parts.
pub(crate) fn write(rows: &Rows) -> Result<Parts, String> {
    let attributes = serde_json::to_vec(&rows.kinds()).map_err(|e| e.to_string())?;
    let mut head = (attributes.len() as u64).to_le_bytes().to_vec();
    head.extend(attributes);
    head.resize(head.len().next_multiple_of(8), b' ');
    let table = table::write(rows.table()).map_err(|e| e.to_string())?;
    Ok(std::iter::once(Buffer::from(head)).chain(table).collect())
}

/// The least and the greatest name.
fn bounds(rows: &Rows) -> (String, String) {
    let (least, greatest) = (min_string_view(rows.names()), max_string_view(rows.names()));
    (least.unwrap_or_default().to_owned(), greatest.unwrap_or_default().to_owned())
}

/// The inverse of [`encode`].
pub(crate) fn decode(entry: &ManifestEntry, bytes: Bytes) -> Result<Rows, String> {
    let (expected, found) = (entry.crc32c, crc32c(&[&bytes]));
    if expected != found {
        return Err(format!("its checksum is {found:08x} where {expected:08x} was expected"));
    }
    let rows = parse(&block::decompress(entry.codec, bytes, entry.raw)?)?;
    let end = rows.ordinals().last().map_or(0, |&last| u64::from(last) + 1);
    if bounds(&rows) != entry.names {
        return Err("its names are not those that the catalog says".to_owned());
    }
    if rows.len() as u64 != u64::from(entry.rows) || end != u64::from(entry.end) {
        return Err(format!(
            "it has {} rows of ordinals up to {end} where the catalog says {} and {}",
            rows.len(),
            entry.rows,
            entry.end
        ));
    }
    Ok(rows)
}

/// The inverse of [`write`].
pub(crate) fn parse(raw: &Buffer) -> Result<Rows, String> {
    let short = || "it is too short".to_owned();
    // Arrow requires that numbers are aligned to their width.
    let aligned = raw.as_ptr().align_offset(8) == 0;
    let raw = &if aligned { raw.clone() } else { Buffer::from(raw.as_slice()) };
    let (length, rest) = raw.split_first_chunk::<8>().ok_or_else(short)?;
    let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|_| short())?;
    let attributes = rest.get(..length).ok_or_else(short)?;
    let start = length.checked_next_multiple_of(8).filter(|start| *start <= rest.len()).ok_or_else(short)?;
    let attributes: Vec<AttributeKind> = serde_json::from_slice(attributes).map_err(|e| e.to_string())?;
    let table = table::read(&raw.slice(8 + start), &schema_of(&attributes))?;
    Rows::of(table, &attributes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::format::rows::RowsBuilder;
    use crate::model::dtype::DType;
    use crate::model::value::{AttributeValue, Value};

    /// The types that values of attributes have.
    const TYPES: [DType; 7] =
        [DType::Bool, DType::I64, DType::U64, DType::F64, DType::Timestamp, DType::String, DType::Binary];

    /// Rows by ordinal: their attributes, or `None` for a row that deletes.
    type Model = Vec<Option<Vec<(String, AttributeValue)>>>;

    /// A value of a type. Text is sometimes too long to lie in its view.
    fn value(dtype: DType, seed: u64) -> Value {
        let text = "x".repeat((seed % 30) as usize) + &seed.to_string();
        match dtype {
            DType::Bool => Value::Bool(seed.is_multiple_of(2)),
            DType::I64 => Value::I64(seed.cast_signed()),
            DType::U64 => Value::U64(seed),
            DType::F64 => Value::F64(f64::from_bits(seed)),
            DType::Timestamp => Value::Timestamp(seed.cast_signed()),
            DType::String => Value::String(text),
            _ => Value::Binary(text.into_bytes()),
        }
    }

    fn list(dtype: DType, seed: u64, length: usize) -> AttributeValue {
        AttributeValue::List(dtype, (0..length as u64).map(|i| value(dtype, seed.wrapping_add(i))).collect())
    }

    fn attribute() -> impl Strategy<Value = AttributeValue> {
        let length = prop_oneof![8 => 0..4usize, 2 => 0..100usize, 1 => 4000..9000usize];
        (0..TYPES.len(), any::<u64>(), proptest::option::of(length)).prop_map(|(dtype, seed, length)| {
            match length {
                Some(length) => list(TYPES[dtype], seed, length),
                None => AttributeValue::One(value(TYPES[dtype], seed)),
            }
        })
    }

    fn rows() -> impl Strategy<Value = Model> {
        let attributes = proptest::collection::btree_map("[a-c]", attribute(), 0..4);
        let attributes = attributes.prop_map(|attributes| attributes.into_iter().collect());
        proptest::collection::vec(proptest::option::weighted(0.9, attributes), 0..30)
    }

    /// Encodes rows, decodes them, and compares the result with the model.
    fn check(model: &Model, codec: Codec) {
        let mut builder = RowsBuilder::default();
        for (ordinal, attributes) in (0u32..).zip(model) {
            let name = format!("dataset {ordinal}");
            let sizes = (0..u64::from(ordinal % 5)).map(|size| size << 40);
            match attributes {
                Some(attributes) => builder.push(ordinal, &name, ordinal, sizes, attributes.iter().cloned()),
                None => builder.push_deleted(ordinal),
            }
        }
        let rows = builder.finish().unwrap();
        let (entry, bytes) = encode("m.am".to_owned(), &rows, codec, 0, Vec::new()).unwrap();
        let read = decode(&entry, bytes).unwrap();
        assert_eq!(read.len(), model.len());
        for (row, attributes) in model.iter().enumerate() {
            let Some(attributes) = attributes else {
                assert!(read.is_deleted(row));
                continue;
            };
            assert_eq!(read.name(row), Some(format!("dataset {row}").as_str()));
            assert_eq!(read.sizes(row), (0..row as u64 % 5).map(|size| size << 40).collect::<Vec<_>>());
            for key in ["a", "b", "c"] {
                let expected = attributes.iter().find(|(name, _)| name == key).map(|(_, value)| value);
                assert_eq!(read.attribute(row, key).as_ref(), expected, "`{key}` of row {row}");
            }
        }
    }

    proptest! {
        #[test]
        fn attributes_of_all_types_come_back(model in rows(), compressed: bool) {
            check(&model, if compressed { Codec::Zstd } else { Codec::None });
        }
    }

    #[test]
    fn long_lists_of_every_type_come_back() {
        for dtype in TYPES {
            for length in [0, 1, 7, 8, 9, 4096, 100_000] {
                let one = vec![("a".to_owned(), list(dtype, 5, length))];
                check(&vec![Some(one.clone())], Codec::Zstd);
                check(&vec![None, Some(Vec::new()), Some(one.clone()), None, Some(one)], Codec::Zstd);
            }
        }
    }
}
