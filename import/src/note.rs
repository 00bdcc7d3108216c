//! Keeps what a NetCDF file declares but arrays and attributes of a store do not, so that the file
//! can be written again: the types of numbers and attributes, names that a store cannot have,
//! lengths of text, and unlimited dimensions.

use std::collections::BTreeMap;

use atlas::{ArraySchema, AttributeValue, DType, Value};
use netcdf_reader::{NcAttrValue, NcAttribute, NcEnumMember, NcIntegerValue, NcType};
use serde::{Deserialize, Serialize};

use crate::cf;
use crate::piece::Variable;
use crate::reader::{Contents, Dimension, FileFormat};

/// What a file declares about a variable. Files with the same structure have equal notes, so that
/// their datasets share the descriptions of their arrays. A note therefore only contains what a
/// reader would not assume.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct VariableNote {
    /// Its type.
    #[serde(rename = "type")]
    pub dtype: TypeNote,
    /// Its groups and its name, if these differ from the array's name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub path: Vec<String>,
    /// The paths of its dimensions, if they differ from the dimensions of the array.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dims: Option<Vec<String>>,
    /// The types of attributes, if they are not the usual ones.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
    /// The character that pads strings, if it is not the usual one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pad: Option<char>,
    /// The units and the calendar that a bounds variable inherits.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub inherited: BTreeMap<String, String>,
    /// True if dates of another calendar were converted.
    #[serde(skip_serializing_if = "is_false")]
    pub converted: bool,
    /// True for a copy of a coordinate, which the file has only once.
    #[serde(skip_serializing_if = "is_false")]
    pub copy: bool,
    /// The note of the file; only one array of the dataset has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<FileNote>,
}

/// What a file declares as a whole.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct FileNote {
    pub format: FileFormat,
    /// All its dimensions.
    pub dims: Vec<DimNote>,
    /// The types of attributes of the file and of groups, if they are not the usual ones.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
    /// The groups and the names of group attributes.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub groups: BTreeMap<String, Vec<String>>,
}

/// A dimension of a file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct DimNote {
    /// Its groups and its name, separated by `/`.
    pub path: String,
    /// Its name in arrays, if that differs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its size, if no array has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    #[serde(skip_serializing_if = "is_false")]
    pub unlimited: bool,
}

impl DimNote {
    /// Its name in arrays.
    pub(crate) fn array_name(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.path)
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

/// The type of a variable.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum TypeNote {
    /// Its name in CDL.
    Plain(String),
    /// An enumeration: the type of its numbers, and its members.
    Enumeration(String, Vec<(String, Value)>),
}

impl Default for TypeNote {
    fn default() -> Self {
        Self::Plain(String::new())
    }
}

impl VariableNote {
    /// The attribute in which an array keeps its note.
    pub(crate) const ATTRIBUTE: &str = "_atlas_netcdf";

    /// The note of a variable that becomes an array over `dims`.
    pub(crate) fn of(contents: &Contents, variable: &Variable, dims: &[String]) -> Self {
        let source = variable.source;
        let whole_path = || source.group.iter().cloned().chain([source.name.clone()]).collect();
        let paths: Vec<String> =
            source.dims.iter().filter_map(|&dim| contents.dims.get(dim)).map(path_of).collect();
        Self {
            dtype: TypeNote::of(&source.dtype),
            path: if source.group.is_empty() && source.name == variable.name {
                Vec::new()
            } else {
                whole_path()
            },
            dims: (paths != dims).then_some(paths),
            attributes: unusual_types(source.attributes().iter().map(|a| (a.name.clone(), &a.value))),
            ..Self::default()
        }
    }

    /// The note of an array; `None` if it was not imported from a NetCDF file.
    pub(crate) fn of_array(schema: &ArraySchema) -> Option<Self> {
        match schema.attribute(Self::ATTRIBUTE)? {
            AttributeValue::One(Value::String(text)) => serde_json::from_str(text).ok(),
            _ => None,
        }
    }

    pub(crate) fn to_attribute(&self) -> AttributeValue {
        // Names, texts and numbers can always be serialised as JSON.
        serde_json::to_string(self).unwrap_or_default().into()
    }
}

impl FileNote {
    /// The note of a file. `name` gives the names of its dimensions in arrays. The dimensions in
    /// `dims` belong to arrays, which know their sizes. `attributes` have their names in the store,
    /// and their groups and names in the file.
    pub(crate) fn of<'a>(
        contents: &Contents,
        name: impl Fn(&Dimension) -> String,
        is_of_array: impl Fn(&str) -> bool,
        attributes: impl Iterator<Item = (String, Vec<String>, &'a NcAttrValue)>,
    ) -> Self {
        let dims = contents.dims.iter().map(|dim| {
            let (path, name) = (path_of(dim), name(dim));
            DimNote {
                size: (!is_of_array(&name)).then_some(dim.size),
                name: (name != path).then_some(name),
                path,
                unlimited: dim.unlimited,
            }
        });
        let mut note = Self { format: contents.format, dims: dims.collect(), ..Self::default() };
        for (key, path, value) in attributes {
            note.attributes.extend(unusual_type(value).map(|dtype| (key.clone(), dtype)));
            if path != [key.as_str()] {
                note.groups.insert(key, path);
            }
        }
        note
    }
}

/// The groups and the name of a dimension.
fn path_of(dim: &Dimension) -> String {
    let parts: Vec<&str> = dim.group.iter().map(String::as_str).chain([dim.name.as_str()]).collect();
    parts.join("/")
}

fn unusual_types<'a>(
    attributes: impl Iterator<Item = (String, &'a NcAttrValue)>,
) -> BTreeMap<String, String> {
    attributes.filter_map(|(key, value)| Some((key, unusual_type(value)?))).collect()
}

/// The type of an attribute, if it differs from what [`attribute`] makes of its value in a store.
fn unusual_type(value: &NcAttrValue) -> Option<String> {
    let usual = attribute(&cf::attribute_value(value)?, None);
    let dtype = type_name(&attribute_type(value)?);
    (std::mem::discriminant(&usual) != std::mem::discriminant(value)).then_some(dtype.to_owned())
}

fn attribute_type(value: &NcAttrValue) -> Option<NcType> {
    Some(match value {
        NcAttrValue::Bytes(_) => NcType::Byte,
        NcAttrValue::Chars(_) => NcType::Char,
        NcAttrValue::Shorts(_) => NcType::Short,
        NcAttrValue::Ints(_) => NcType::Int,
        NcAttrValue::Floats(_) => NcType::Float,
        NcAttrValue::Doubles(_) => NcType::Double,
        NcAttrValue::UBytes(_) => NcType::UByte,
        NcAttrValue::UShorts(_) => NcType::UShort,
        NcAttrValue::UInts(_) => NcType::UInt,
        NcAttrValue::Int64s(_) => NcType::Int64,
        NcAttrValue::UInt64s(_) => NcType::UInt64,
        NcAttrValue::Strings(_) => NcType::String,
        NcAttrValue::UserDefined { .. } => return None,
    })
}

/// The names of simple types in CDL.
const TYPES: [(&str, NcType); 12] = [
    ("byte", NcType::Byte),
    ("char", NcType::Char),
    ("short", NcType::Short),
    ("int", NcType::Int),
    ("int64", NcType::Int64),
    ("float", NcType::Float),
    ("double", NcType::Double),
    ("ubyte", NcType::UByte),
    ("ushort", NcType::UShort),
    ("uint", NcType::UInt),
    ("uint64", NcType::UInt64),
    ("string", NcType::String),
];

fn type_name(dtype: &NcType) -> &'static str {
    TYPES.iter().find(|(_, known)| known == dtype).map_or("", |(name, _)| name)
}

fn type_named(name: &str) -> Option<NcType> {
    TYPES.iter().find(|(known, _)| *known == name).map(|(_, dtype)| dtype.clone())
}

impl TypeNote {
    fn of(dtype: &NcType) -> Self {
        let NcType::Enum { base, members } = dtype else { return Self::Plain(type_name(dtype).to_owned()) };
        let members = members.iter().filter_map(|member| {
            let number = cf::Number::Int(member.value.as_i128()?);
            let wide = if matches!(**base, NcType::UInt64) { DType::U64 } else { DType::I64 };
            Some((member.name.clone(), number.element(wide)?))
        });
        Self::Enumeration(type_name(base).to_owned(), members.collect())
    }

    /// The type; `None` if it is unknown.
    pub(crate) fn dtype(&self) -> Option<NcType> {
        match self {
            Self::Plain(name) => type_named(name),
            Self::Enumeration(base, members) => {
                let base = type_named(base)?;
                let members = members.iter().map(|(name, value)| {
                    let value = match value {
                        Value::I64(value) => i128::from(*value),
                        Value::U64(value) => i128::from(*value),
                        _ => return None,
                    };
                    Some(NcEnumMember { name: name.clone(), value: integer(&base, value)? })
                });
                let members = members.collect::<Option<Vec<_>>>()?;
                Some(NcType::Enum { base: Box::new(base), members })
            }
        }
    }
}

/// An integer of a type.
pub(crate) fn integer(base: &NcType, value: i128) -> Option<NcIntegerValue> {
    Some(match base {
        NcType::Byte => NcIntegerValue::I8(value.try_into().ok()?),
        NcType::UByte => NcIntegerValue::U8(value.try_into().ok()?),
        NcType::Short => NcIntegerValue::I16(value.try_into().ok()?),
        NcType::UShort => NcIntegerValue::U16(value.try_into().ok()?),
        NcType::Int => NcIntegerValue::I32(value.try_into().ok()?),
        NcType::UInt => NcIntegerValue::U32(value.try_into().ok()?),
        NcType::Int64 => NcIntegerValue::I64(value.try_into().ok()?),
        NcType::UInt64 => NcIntegerValue::U64(value.try_into().ok()?),
        _ => return None,
    })
}

/// The attributes of a variable as its file had them: those of the array without notes.
pub(crate) fn attributes<'a>(
    attributes: impl IntoIterator<Item = &'a (String, AttributeValue)>,
    types: &BTreeMap<String, String>,
) -> Vec<NcAttribute> {
    let kept = attributes.into_iter().filter(|(key, _)| !atlas::is_note(key));
    kept.map(|(key, value)| {
        let dtype = types.get(key).and_then(|name| type_named(name));
        NcAttribute { name: key.clone(), value: attribute(value, dtype) }
    })
    .collect()
}

/// Converts an attribute of a store for a file, as `dtype` if that can represent it. Otherwise
/// integers become `int` if they fit, else `int64`; floats become `double`.
#[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
pub(crate) fn attribute(value: &AttributeValue, dtype: Option<NcType>) -> NcAttrValue {
    fn all<T>(values: &[Value], of: impl Fn(i128) -> Option<T>) -> Option<Vec<T>> {
        let integer = |value: &Value| match value {
            Value::Bool(value) => Some(i128::from(*value)),
            Value::I64(value) | Value::Timestamp(value) => Some(i128::from(*value)),
            Value::U64(value) => Some(i128::from(*value)),
            _ => None,
        };
        values.iter().map(|value| of(integer(value)?)).collect()
    }
    let (values, is_list) = match value {
        AttributeValue::One(value) => (std::slice::from_ref(value), false),
        AttributeValue::List(_, values) => (values.as_slice(), true),
    };
    let floats = || -> Option<Vec<f64>> {
        let float = |value: &Value| match value {
            Value::F64(value) => Some(*value),
            Value::I64(value) => Some(*value as f64),
            Value::U64(value) => Some(*value as f64),
            _ => None,
        };
        values.iter().map(float).collect()
    };
    let texts = || values.iter().map(ToString::to_string).collect::<Vec<_>>();
    let typed = match &dtype {
        Some(NcType::Byte) => all(values, |i| i.try_into().ok()).map(NcAttrValue::Bytes),
        Some(NcType::UByte) => all(values, |i| i.try_into().ok()).map(NcAttrValue::UBytes),
        Some(NcType::Short) => all(values, |i| i.try_into().ok()).map(NcAttrValue::Shorts),
        Some(NcType::UShort) => all(values, |i| i.try_into().ok()).map(NcAttrValue::UShorts),
        Some(NcType::Int) => all(values, |i| i.try_into().ok()).map(NcAttrValue::Ints),
        Some(NcType::UInt) => all(values, |i| i.try_into().ok()).map(NcAttrValue::UInts),
        Some(NcType::Int64) => all(values, |i| i.try_into().ok()).map(NcAttrValue::Int64s),
        Some(NcType::UInt64) => all(values, |i| i.try_into().ok()).map(NcAttrValue::UInt64s),
        Some(NcType::Float) => {
            floats().map(|values| NcAttrValue::Floats(values.iter().map(|&value| value as f32).collect()))
        }
        Some(NcType::Double) => floats().map(NcAttrValue::Doubles),
        Some(NcType::String) => Some(NcAttrValue::Strings(texts())),
        _ => None,
    };
    typed.unwrap_or_else(|| match value.dtype() {
        DType::I64 | DType::U64 => {
            let ints = all(values, |i| i.try_into().ok()).map(NcAttrValue::Ints);
            let longs = || all(values, |i| i.try_into().ok()).map(NcAttrValue::Int64s);
            let unsigned = || all(values, |i| i.try_into().ok()).map(NcAttrValue::UInt64s);
            ints.filter(|_| value.dtype() == DType::I64)
                .or_else(|| longs().filter(|_| value.dtype() == DType::I64))
                .or_else(unsigned)
                .unwrap_or_else(|| NcAttrValue::Strings(texts()))
        }
        DType::F64 => floats().map_or_else(|| NcAttrValue::Strings(texts()), NcAttrValue::Doubles),
        // NetCDF has no booleans.
        DType::Bool => all(values, |i| i.try_into().ok())
            .map_or_else(|| NcAttrValue::Strings(texts()), NcAttrValue::Bytes),
        _ if is_list => NcAttrValue::Strings(texts()),
        _ => NcAttrValue::Chars(texts().pop().unwrap_or_default()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_come_back_with_their_types() {
        for value in [
            NcAttrValue::Chars("x".into()),
            NcAttrValue::Chars(String::new()),
            NcAttrValue::Strings(vec!["a".into()]),
            NcAttrValue::Strings(vec!["a".into(), "b".into()]),
            NcAttrValue::Bytes(vec![-1]),
            NcAttrValue::UBytes(vec![200, 1]),
            NcAttrValue::Shorts(vec![-3]),
            NcAttrValue::UShorts(vec![3]),
            NcAttrValue::Ints(vec![i32::MIN, 5]),
            NcAttrValue::UInts(vec![u32::MAX]),
            NcAttrValue::Int64s(vec![i64::MIN]),
            NcAttrValue::UInt64s(vec![u64::MAX]),
            NcAttrValue::Floats(vec![0.1, f32::MAX, f32::INFINITY, 1e-40]),
            NcAttrValue::Doubles(vec![0.1]),
            NcAttrValue::Ints(vec![]),
        ] {
            let stored = cf::attribute_value(&value).unwrap();
            let types = unusual_types([("k".to_owned(), &value)].into_iter());
            assert_eq!(attributes([&("k".to_owned(), stored)], &types)[0].value, value);
            let usual = matches!(
                value,
                NcAttrValue::Chars(_)
                    | NcAttrValue::Ints(_)
                    | NcAttrValue::Doubles(_)
                    | NcAttrValue::UInt64s(_)
            ) || value == NcAttrValue::Strings(vec!["a".into(), "b".into()])
                || value == NcAttrValue::Int64s(vec![i64::MIN]);
            assert_eq!(types.is_empty(), usual, "{value:?}");
        }
    }

    #[test]
    fn notes_survive_json_and_say_little() {
        let plain = VariableNote { dtype: TypeNote::Plain("short".into()), ..VariableNote::default() };
        assert_eq!(plain.to_attribute(), r#"{"type":"short"}"#.into());
        let members = vec![("up".to_owned(), Value::I64(-1)), ("down".to_owned(), Value::I64(1))];
        let note = VariableNote {
            dtype: TypeNote::Enumeration("byte".into(), members),
            path: vec!["g".into(), "v".into()],
            dims: Some(vec!["g/x".into()]),
            pad: Some(' '),
            converted: true,
            file: Some(FileNote { format: FileFormat::Cdf5, ..FileNote::default() }),
            ..VariableNote::default()
        };
        let mut schema = ArraySchema::new("g.v", DType::String, &["g.x"]);
        schema.attributes.push((VariableNote::ATTRIBUTE.to_owned(), note.to_attribute()));
        assert_eq!(VariableNote::of_array(&schema), Some(note.clone()));
        let Some(NcType::Enum { base, members }) = note.dtype.dtype() else { panic!("it is none") };
        assert_eq!((*base, members[0].value), (NcType::Byte, NcIntegerValue::I8(-1)));
    }
}
