//! Single values (fill values, statistics, attributes), and their JSON in the catalog.

use std::fmt;
use std::hash::{Hash, Hasher};

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Number, Value as Json, json};

use crate::model::dtype::DType;

/// One value, independent of its Rust type. Integers and floats have the greatest width.
///
/// Floats are equal if their bits are equal, so that values can be interned.
#[derive(Clone, Debug)]
pub enum Value {
    /// True or false.
    Bool(bool),
    /// A signed integer of any width.
    I64(i64),
    /// An unsigned integer of any width.
    U64(u64),
    /// A float of either width.
    F64(f64),
    /// Nanoseconds since 1970-01-01T00:00:00Z.
    Timestamp(i64),
    /// UTF-8 text.
    String(String),
    /// Bytes.
    Binary(Vec<u8>),
}

/// The value of an attribute: one value, or a list of values of one type.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum AttributeValue {
    /// One value.
    One(Value),
    /// A list, with the type of its elements (which an empty list cannot show).
    List(DType, Vec<Value>),
}

impl Value {
    /// True for a float that is not a number.
    pub fn is_nan(&self) -> bool {
        matches!(self, Self::F64(value) if value.is_nan())
    }

    /// The type of an attribute with this value; integers and floats have their widest type.
    pub fn dtype(&self) -> DType {
        match self {
            Self::Bool(_) => DType::Bool,
            Self::I64(_) => DType::I64,
            Self::U64(_) => DType::U64,
            Self::F64(_) => DType::F64,
            Self::Timestamp(_) => DType::Timestamp,
            Self::String(_) => DType::String,
            Self::Binary(_) => DType::Binary,
        }
    }

    fn to_json(&self) -> Json {
        match self {
            Self::Bool(value) => json!(value),
            Self::I64(value) => json!(value),
            Self::U64(value) => json!({ "u64": value }),
            Self::F64(value) => match Number::from_f64(*value) {
                Some(number) => Json::Number(number),
                None => json!({ "f64": value.to_string() }),
            },
            Self::Timestamp(value) => json!({ "timestamp": value }),
            Self::String(value) => json!(value),
            Self::Binary(value) => {
                json!({ "binary": value.iter().map(|byte| format!("{byte:02x}")).collect::<String>() })
            }
        }
    }

    fn from_json(json: Json) -> Option<Self> {
        match json {
            Json::Bool(value) => Some(Self::Bool(value)),
            Json::Number(number) => match number.as_i64() {
                Some(value) => Some(Self::I64(value)),
                None => number.as_f64().filter(|_| number.is_f64()).map(Self::F64),
            },
            Json::String(value) => Some(Self::String(value)),
            Json::Object(object) => Self::from_tagged(&object),
            Json::Null | Json::Array(_) => None,
        }
    }

    fn from_tagged(object: &Map<String, Json>) -> Option<Self> {
        let (tag, value) = object.iter().next().filter(|_| object.len() == 1)?;
        match tag.as_str() {
            "u64" => value.as_u64().map(Self::U64),
            "f64" => match value.as_str()? {
                "NaN" => Some(Self::F64(f64::NAN)),
                "inf" => Some(Self::F64(f64::INFINITY)),
                "-inf" => Some(Self::F64(f64::NEG_INFINITY)),
                _ => None,
            },
            "timestamp" => value.as_i64().map(Self::Timestamp),
            "binary" => from_hex(value.as_str()?).map(Self::Binary),
            _ => None,
        }
    }
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |&byte: &u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let bytes = pairs.iter().map(|[high, low]| Some(digit(high)? << 4 | digit(low)?));
    if rest.is_empty() { bytes.collect() } else { None }
}

impl AttributeValue {
    /// The type of the value, or of the list's elements.
    pub fn dtype(&self) -> DType {
        match self {
            Self::One(value) => value.dtype(),
            Self::List(dtype, _) => *dtype,
        }
    }

    /// A list of `values`, which must be of one type. For an empty list, `dtype` is the type.
    pub fn list(dtype: DType, values: Vec<Value>) -> Self {
        Self::List(values.first().map_or(dtype, Value::dtype), values)
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::I64(a), Self::I64(b)) | (Self::Timestamp(a), Self::Timestamp(b)) => a == b,
            (Self::U64(a), Self::U64(b)) => a == b,
            (Self::F64(a), Self::F64(b)) => a.to_bits() == b.to_bits(),
            (Self::String(a), Self::String(b)) => a == b,
            (Self::Binary(a), Self::Binary(b)) => a == b,
            _ => false,
        }
    }
}

impl Eq for Value {}

impl Hash for Value {
    fn hash<H: Hasher>(&self, state: &mut H) {
        std::mem::discriminant(self).hash(state);
        match self {
            Self::Bool(value) => value.hash(state),
            Self::I64(value) | Self::Timestamp(value) => value.hash(state),
            Self::U64(value) => value.hash(state),
            Self::F64(value) => value.to_bits().hash(state),
            Self::String(value) => value.hash(state),
            Self::Binary(value) => value.hash(state),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(value) => value.fmt(f),
            Self::I64(value) => value.fmt(f),
            Self::U64(value) => value.fmt(f),
            Self::F64(value) => value.fmt(f),
            Self::Timestamp(value) => {
                let time = arrow::temporal_conversions::timestamp_ns_to_datetime(*value);
                match time {
                    Some(time) => write!(f, "{}", time.format("%Y-%m-%dT%H:%M:%S%.f")),
                    None => write!(f, "{value} ns"),
                }
            }
            Self::String(value) => f.write_str(value),
            Self::Binary(value) => value.iter().try_for_each(|byte| write!(f, "{byte:02x}")),
        }
    }
}

impl fmt::Display for AttributeValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(value) => value.fmt(f),
            Self::List(_, values) => {
                f.write_str("[")?;
                for (i, value) in values.iter().enumerate() {
                    if i > 0 {
                        f.write_str(", ")?;
                    }
                    value.fmt(f)?;
                }
                f.write_str("]")
            }
        }
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_json().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = Json::deserialize(deserializer)?;
        Self::from_json(json).ok_or_else(|| D::Error::custom("not a value"))
    }
}

impl Serialize for AttributeValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::One(value) => value.serialize(serializer),
            Self::List(dtype, values) if values.is_empty() => json!({ "list": dtype }).serialize(serializer),
            Self::List(_, values) => values.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for AttributeValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = match Json::deserialize(deserializer)? {
            Json::Array(items) => {
                let values: Option<Vec<_>> = items.into_iter().map(Value::from_json).collect();
                values.filter(|values| !values.is_empty()).map(|values| Self::list(DType::String, values))
            }
            Json::Object(object) if object.len() == 1 && object.contains_key("list") => object
                .get("list")
                .and_then(|dtype| serde_json::from_value(dtype.clone()).ok())
                .map(|dtype| Self::List(dtype, Vec::new())),
            json => Value::from_json(json).map(Self::One),
        };
        value.ok_or_else(|| D::Error::custom("not the value of an attribute"))
    }
}

macro_rules! attribute_from {
    ($($rust:ty => $variant:ident($wide:ty)),* $(,)?) => {$(
        impl From<$rust> for AttributeValue {
            fn from(value: $rust) -> Self {
                Self::One(Value::$variant(<$wide>::from(value)))
            }
        }
        impl From<Vec<$rust>> for AttributeValue {
            fn from(values: Vec<$rust>) -> Self {
                let values: Vec<_> =
                    values.into_iter().map(|value| Value::$variant(<$wide>::from(value))).collect();
                let dtype = Value::$variant(<$wide>::default()).dtype();
                Self::List(dtype, values)
            }
        }
    )*};
}

attribute_from!(bool => Bool(bool), i32 => I64(i64), i64 => I64(i64), f32 => F64(f64), f64 => F64(f64),
    String => String(String), &str => String(String));

impl From<crate::model::dtype::Timestamp> for AttributeValue {
    fn from(value: crate::model::dtype::Timestamp) -> Self {
        Self::One(Value::Timestamp(value.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_survives_json() {
        let values: Vec<AttributeValue> = vec![
            true.into(),
            i64::MIN.into(),
            (-0.0f64).into(),
            0.1f64.into(),
            1e300f64.into(),
            5.0f64.into(),
            f64::NAN.into(),
            f64::NEG_INFINITY.into(),
            "ü \" \n".into(),
            crate::model::dtype::Timestamp(1).into(),
            AttributeValue::One(Value::U64(u64::MAX)),
            AttributeValue::One(Value::Binary(vec![0, 255])),
            vec![1i64, 2].into(),
            Vec::<f64>::new().into(),
            vec![f64::INFINITY].into(),
        ];
        for value in values {
            let text = serde_json::to_string(&value).unwrap();
            assert_eq!(serde_json::from_str::<AttributeValue>(&text).unwrap(), value, "{text}");
        }
    }

    #[test]
    fn what_is_no_value_is_refused() {
        for text in ["null", "[]", "[null]", "{}", r#"{"u64":-1}"#, r#"{"what":1}"#, r#"{"list":"f16"}"#] {
            assert!(serde_json::from_str::<AttributeValue>(text).is_err(), "{text}");
        }
    }
}
