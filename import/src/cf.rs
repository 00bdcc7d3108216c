//! What the CF conventions say of a variable's values: missing ones, packed ones.
//!
//! Section numbers are those of the [CF conventions 1.11](https://cfconventions.org/Data/cf-conventions/cf-conventions-1.11/cf-conventions.html).

use atlas::{AttributeValue, DType, Value};
use netcdf_reader::NcAttrValue;

/// A number of an attribute, as exact as it is written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    /// An integer of any type.
    Int(i128),
    /// A float of either type.
    Float(f64),
}

impl Number {
    /// As a float, rounded.
    #[allow(clippy::cast_precision_loss)]
    pub fn as_f64(self) -> f64 {
        match self {
            Self::Int(value) => value as f64,
            Self::Float(value) => value,
        }
    }

    /// As an element of `dtype`, where there is one: an integer wraps around once between signed and
    /// unsigned, as `_Unsigned` has it, and a float becomes the nearest `f32`.
    #[allow(clippy::cast_possible_truncation)]
    pub fn element(self, dtype: DType) -> Option<Value> {
        if dtype.is_float() {
            let value = self.as_f64();
            return Some(Value::F64(if dtype == DType::F32 { f64::from(value as f32) } else { value }));
        }
        let integer = match self {
            Self::Int(value) => value,
            Self::Float(value) if value.fract() == 0.0 && value.abs() < 9e18 => value as i128,
            Self::Float(_) => return None,
        };
        let modulus = 1i128 << (8 * dtype.width()?);
        let candidates = [integer, integer + modulus, integer - modulus];
        let value = |integer: i128| match dtype.sum().as_ref().and_then(DType::from_arrow)? {
            DType::U64 => u64::try_from(integer).ok().map(Value::U64),
            _ => i64::try_from(integer).ok().map(Value::I64),
        };
        candidates.into_iter().filter_map(value).find(|value| dtype.holds(value))
    }
}

/// The numbers of an attribute; none for text.
pub fn numbers(value: &NcAttrValue) -> Vec<Number> {
    fn ints<T: Copy + Into<i128>>(values: &[T]) -> Vec<Number> {
        values.iter().map(|&value| Number::Int(value.into())).collect()
    }
    match value {
        NcAttrValue::Bytes(values) => ints(values),
        NcAttrValue::Shorts(values) => ints(values),
        NcAttrValue::Ints(values) => ints(values),
        NcAttrValue::Int64s(values) => ints(values),
        NcAttrValue::UBytes(values) => ints(values),
        NcAttrValue::UShorts(values) => ints(values),
        NcAttrValue::UInts(values) => ints(values),
        NcAttrValue::UInt64s(values) => ints(values),
        NcAttrValue::Floats(values) => values.iter().map(|&value| Number::Float(value.into())).collect(),
        NcAttrValue::Doubles(values) => values.iter().map(|&value| Number::Float(value)).collect(),
        NcAttrValue::Chars(_) | NcAttrValue::Strings(_) | NcAttrValue::UserDefined { .. } => Vec::new(),
    }
}

/// An attribute as the store keeps it, or `None` for one of a user-defined type.
pub fn attribute_value(value: &NcAttrValue) -> Option<AttributeValue> {
    let (dtype, mut values) = match value {
        NcAttrValue::Chars(text) => {
            (DType::String, vec![Value::String(text.trim_end_matches('\0').to_owned())])
        }
        NcAttrValue::Strings(values) => (DType::String, values.iter().cloned().map(Value::String).collect()),
        NcAttrValue::UserDefined { .. } => return None,
        value => {
            let dtype = match value {
                NcAttrValue::Floats(_) | NcAttrValue::Doubles(_) => DType::F64,
                NcAttrValue::UInt64s(_) => DType::U64,
                _ => DType::I64,
            };
            (dtype, numbers(value).into_iter().filter_map(|number| number.element(dtype)).collect())
        }
    };
    match (values.len(), values.pop()) {
        (1, Some(value)) => Some(AttributeValue::One(value)),
        (_, last) => {
            values.extend(last);
            Some(AttributeValue::list(dtype, values))
        }
    }
}

/// How packed values become what they stand for (section 8.1): times `scale`, plus `offset`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Packing {
    /// `scale_factor`.
    pub scale: f64,
    /// `add_offset`.
    pub offset: f64,
    /// The type of the attributes, which is that of the unpacked values: `F32` or `F64`.
    pub dtype: DType,
}

impl Packing {
    /// The packing that a variable's `scale_factor` and `add_offset` describe; `None` where it has neither.
    pub fn of(scale: Option<&NcAttrValue>, offset: Option<&NcAttrValue>) -> Option<Self> {
        let number = |value: Option<&NcAttrValue>| value.and_then(|value| numbers(value).first().copied());
        let (first, second) = (number(scale), number(offset));
        if first.is_none() && second.is_none() {
            return None;
        }
        let single = |value: Option<&NcAttrValue>| matches!(value, None | Some(NcAttrValue::Floats(_)));
        Some(Self {
            scale: first.map_or(1.0, Number::as_f64),
            offset: second.map_or(0.0, Number::as_f64),
            dtype: if single(scale) && single(offset) { DType::F32 } else { DType::F64 },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fill_values_are_elements_of_their_variable() {
        assert_eq!(Number::Int(-1).element(DType::U8), Some(Value::U64(255)));
        assert_eq!(Number::Int(255).element(DType::I8), Some(Value::I64(-1)));
        assert_eq!(Number::Float(99999.0).element(DType::I32), Some(Value::I64(99999)));
        assert_eq!(Number::Float(0.5).element(DType::I32), None);
        assert_eq!(Number::Float(0.1).element(DType::F32), Some(Value::F64(f64::from(0.1f32))));
        assert_eq!(Number::Int(1 << 40).element(DType::I16), None);
    }

    #[test]
    fn unpacked_values_have_the_type_of_the_attributes() {
        let (single, double) = (NcAttrValue::Floats(vec![0.5]), NcAttrValue::Doubles(vec![0.5]));
        let integer = NcAttrValue::Ints(vec![2]);
        let dtype = |scale, offset| Packing::of(scale, offset).map(|packing| packing.dtype);
        assert_eq!(dtype(Some(&single), None), Some(DType::F32));
        assert_eq!(dtype(Some(&single), Some(&double)), Some(DType::F64));
        assert_eq!(dtype(Some(&integer), None), Some(DType::F64));
        assert_eq!(dtype(None, None), None);
    }

    #[test]
    fn attributes_keep_their_kind() {
        let value = |value| attribute_value(&value).unwrap();
        assert_eq!(value(NcAttrValue::Chars("x\0".into())), "x".into());
        assert_eq!(value(NcAttrValue::Shorts(vec![3])), 3i64.into());
        assert_eq!(value(NcAttrValue::Floats(vec![0.5, 1.0])), vec![0.5f64, 1.0].into());
        assert_eq!(value(NcAttrValue::Ints(vec![])), Vec::<i64>::new().into());
        assert_eq!(value(NcAttrValue::UInt64s(vec![u64::MAX])).to_string(), u64::MAX.to_string());
    }
}
