//! One type for what datasets declare with different ones, and values of it.

use std::sync::Arc;

use arrow::array::{ArrayRef, new_null_array};
use arrow::datatypes::{DataType, Field};
use atlas::{AttributeValue, DType, Value};
use datafusion::common::{Result, ScalarValue};

/// The type that holds values of all of `dtypes`: for numbers the one that NumPy promotes them to
/// (<https://numpy.org/doc/stable/reference/arrays.promotion.html>), for other mixtures text.
pub fn common_type(dtypes: impl IntoIterator<Item = DType>) -> DType {
    dtypes.into_iter().reduce(promote).unwrap_or(DType::String)
}

fn promote(a: DType, b: DType) -> DType {
    if a == b {
        return a;
    }
    let (Some(a_number), Some(b_number)) = (Number::of(a), Number::of(b)) else { return DType::String };
    match (a_number, b_number) {
        (Number::Signed(a), Number::Signed(b)) => signed(a.max(b)),
        (Number::Unsigned(a), Number::Unsigned(b)) => {
            if a > b {
                unsigned(a)
            } else {
                unsigned(b)
            }
        }
        (Number::Signed(s), Number::Unsigned(u)) | (Number::Unsigned(u), Number::Signed(s)) => {
            if u >= 8 {
                DType::F64
            } else {
                signed(s.max(2 * u))
            }
        }
        (Number::Float(_), Number::Float(_)) => DType::F64,
        (Number::Float(float), Number::Signed(int) | Number::Unsigned(int))
        | (Number::Signed(int) | Number::Unsigned(int), Number::Float(float)) => {
            // An f32 holds every integer of 16 bits.
            if float == 4 && int <= 2 { DType::F32 } else { DType::F64 }
        }
    }
}

/// A kind of number, with its width in bytes.
#[derive(Clone, Copy)]
enum Number {
    Signed(usize),
    Unsigned(usize),
    Float(usize),
}

impl Number {
    fn of(dtype: DType) -> Option<Self> {
        let width = dtype.width()?;
        match dtype {
            DType::I8 | DType::I16 | DType::I32 | DType::I64 => Some(Self::Signed(width)),
            DType::U8 | DType::U16 | DType::U32 | DType::U64 => Some(Self::Unsigned(width)),
            DType::F32 | DType::F64 => Some(Self::Float(width)),
            DType::Bool | DType::Timestamp | DType::String | DType::Binary => None,
        }
    }
}

fn signed(width: usize) -> DType {
    match width {
        1 => DType::I8,
        2 => DType::I16,
        4 => DType::I32,
        _ => DType::I64,
    }
}

fn unsigned(width: usize) -> DType {
    match width {
        1 => DType::U8,
        2 => DType::U16,
        4 => DType::U32,
        _ => DType::U64,
    }
}

/// A single value as one of `dtype`: text of anything where that is `String`, else a number as a number.
#[allow(clippy::cast_precision_loss)]
pub fn widen(value: &Value, dtype: DType) -> Value {
    match (value, dtype) {
        (Value::String(_), _) => value.clone(),
        (value, DType::String) => Value::String(value.to_string()),
        (Value::I64(integer), DType::F32 | DType::F64) => Value::F64(*integer as f64),
        (Value::U64(integer), DType::F32 | DType::F64) => Value::F64(*integer as f64),
        (Value::U64(integer), _) => i64::try_from(*integer).map_or_else(|_| value.clone(), Value::I64),
        (value, _) => value.clone(),
    }
}

/// The type of an attribute's column: of single values, or of lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttributeType {
    dtype: DType,
    list: bool,
}

impl AttributeType {
    /// The type of one attribute.
    pub fn of(value: &AttributeValue) -> Self {
        Self { dtype: value.dtype(), list: matches!(value, AttributeValue::List(..)) }
    }

    /// The type that holds both: lists and single values have only text in common.
    pub fn merge(self, other: Self) -> Self {
        if self.list == other.list {
            Self { dtype: common_type([self.dtype, other.dtype]), list: self.list }
        } else {
            Self { dtype: DType::String, list: false }
        }
    }

    /// The column's Arrow type.
    pub fn arrow(self) -> DataType {
        if self.list {
            DataType::List(Arc::new(Field::new_list_field(self.dtype.arrow(), true)))
        } else {
            self.dtype.arrow()
        }
    }

    /// Values of attributes as an array, null where a dataset has none.
    pub fn array<'a>(self, values: impl IntoIterator<Item = Option<&'a AttributeValue>>) -> Result<ArrayRef> {
        if !self.list {
            return Ok(self.dtype.array(values.into_iter().map(|value| {
                Some(match value? {
                    AttributeValue::One(value) => widen(value, self.dtype),
                    list => Value::String(list.to_string()),
                })
            })));
        }
        let lists = values.into_iter().map(|value| match value {
            Some(AttributeValue::List(_, values)) => {
                let items = self.dtype.array(values.iter().map(|value| Some(widen(value, self.dtype))));
                ScalarValue::List(Arc::new(
                    datafusion::common::utils::SingleRowListArrayBuilder::new(items).build_list_array(),
                ))
            }
            _ => ScalarValue::try_from(&self.arrow()).unwrap_or(ScalarValue::Null),
        });
        let lists: Vec<_> = lists.collect();
        if lists.is_empty() {
            Ok(new_null_array(&self.arrow(), 0))
        } else {
            ScalarValue::iter_to_array(lists)
        }
    }

    /// One attribute as a scalar.
    pub fn scalar(self, value: Option<&AttributeValue>) -> Result<ScalarValue> {
        ScalarValue::try_from_array(&self.array([value])?, 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_promoted_as_numpy_does_and_mixtures_are_text() {
        for (types, expected) in [
            (vec![DType::F32], DType::F32),
            (vec![DType::F32, DType::F64], DType::F64),
            (vec![DType::I16, DType::F32], DType::F32),
            (vec![DType::I32, DType::F32], DType::F64),
            (vec![DType::I8, DType::U8], DType::I16),
            (vec![DType::U32, DType::I8], DType::I64),
            (vec![DType::U64, DType::I8], DType::F64),
            (vec![DType::U8, DType::U16, DType::I64], DType::I64),
            (vec![DType::Timestamp, DType::I64], DType::String),
            (vec![DType::Bool, DType::I64], DType::String),
            (vec![], DType::String),
        ] {
            assert_eq!(common_type(types.clone()), expected, "{types:?}");
            assert_eq!(common_type(types.into_iter().rev()), expected);
        }
    }

    #[test]
    fn attributes_of_one_name_share_a_column() {
        let (integer, float, text) = (1i64.into(), 0.5f64.into(), AttributeValue::from("x"));
        let list: AttributeValue = vec![1i64, 2].into();
        let column = |values: &[Option<&AttributeValue>]| {
            let types = values.iter().flatten().map(|value| AttributeType::of(value));
            let merged = types.reduce(AttributeType::merge).unwrap();
            let array = merged.array(values.iter().copied()).unwrap();
            assert_eq!(array.data_type(), &merged.arrow());
            let format = arrow::util::display::FormatOptions::default();
            let text = arrow::util::display::ArrayFormatter::try_new(&array, &format).unwrap();
            (0..array.len()).map(|row| text.value(row).to_string()).collect::<Vec<_>>()
        };
        assert_eq!(column(&[Some(&integer), None, Some(&float)]), ["1.0", "", "0.5"]);
        assert_eq!(column(&[Some(&integer), Some(&text)]), ["1", "x"]);
        assert_eq!(column(&[Some(&list), None]), ["[1, 2]", ""]);
        assert_eq!(column(&[Some(&list), Some(&integer)]), ["[1, 2]", "1"]);
    }
}
