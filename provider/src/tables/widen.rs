//! Columns for names that datasets declare with different types: one column for each kind of value,
//! in a type that holds all values of the kind.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Float32Type, Float64Type};
use arrow::util::display::array_value_to_string;
use atlas::{AttributeValue, DType, Value};
use datafusion::common::{Result, ScalarValue};

/// A kind of values. Values of one kind can be compared with one another.
///
/// If datasets declare one name with several kinds, the least kind has the column with the plain
/// name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Instants.
    Time,
    /// Integers and floats.
    Number,
    /// Text.
    Text,
    /// True and false.
    Bool,
    /// Bytes.
    Binary,
}

impl Kind {
    /// The kind of values of a type.
    pub fn of(dtype: DType) -> Self {
        match dtype {
            DType::Timestamp => Self::Time,
            DType::String => Self::Text,
            DType::Bool => Self::Bool,
            DType::Binary => Self::Binary,
            _ => Self::Number,
        }
    }

    /// Its word in the names of columns.
    pub fn word(self) -> &'static str {
        match self {
            Self::Time => "time",
            Self::Number => "number",
            Self::Text => "text",
            Self::Bool => "bool",
            Self::Binary => "binary",
        }
    }
}

/// The types of the columns for values of all `dtypes`: for each kind, the type that holds its
/// values. The column of the first type has the plain name.
pub fn types_by_kind(dtypes: impl IntoIterator<Item = DType>) -> Vec<DType> {
    let mut types: BTreeMap<Kind, DType> = BTreeMap::new();
    for dtype in dtypes {
        types.entry(Kind::of(dtype)).and_modify(|all| *all = promote(*all, dtype)).or_insert(dtype);
    }
    types.into_values().collect()
}

/// Like [`types_by_kind`], with room for indexes along a dimension. An index is a number, but does
/// not take the plain name from a coordinate.
pub fn types_with_index(coordinates: impl IntoIterator<Item = DType>) -> Vec<DType> {
    let mut types = types_by_kind(coordinates);
    match types.iter_mut().find(|dtype| Kind::of(**dtype) == Kind::Number) {
        Some(number) => *number = promote(*number, DType::I64),
        None => types.push(DType::I64),
    }
    types
}

/// The values of an array, or bounds of them, as a column of a type shows them. An `f32` as an
/// `f64` is the number of its shortest decimal, which is what other datasets store as an `f64`.
///
/// # Errors
/// If the values cannot have that type.
pub fn shown(values: &ArrayRef, data_type: &DataType) -> Result<ArrayRef> {
    if is_decimal(values.data_type(), data_type) {
        let values = values.as_primitive::<Float32Type>();
        return Ok(Arc::new(values.unary::<_, Float64Type>(decimal)));
    }
    Ok(cast(values, data_type)?)
}

/// One value as a column of a type shows it; `None` if it cannot have that type.
pub fn shown_scalar(value: &ScalarValue, data_type: &DataType) -> Option<ScalarValue> {
    if value.data_type() == *data_type {
        return Some(value.clone());
    }
    let value = shown(&value.to_array().ok()?, data_type).ok()?;
    ScalarValue::try_from_array(&value, 0).ok()
}

/// True if values of the first type are shown in the second as the decimals that they stand for.
/// Sums of the one are then not sums of the other.
pub fn is_decimal(stored: &DataType, shown: &DataType) -> bool {
    *stored == DataType::Float32 && *shown == DataType::Float64
}

/// The `f64` nearest to the shortest decimal that parses as `value`. It keeps the order of values.
#[allow(clippy::cast_possible_truncation, reason = "it is about the nearest f32")]
fn decimal(value: f32) -> f64 {
    let exact = f64::from(value);
    // Most values have few decimals, which can be found without formatting. Up to ten decimals the
    // product is exact, and so the quotient is the `f64` nearest to the decimal.
    if exact.abs() < f64::from(1u32 << f32::MANTISSA_DIGITS) {
        let mut scale = 1.0;
        for _ in 0..=10 {
            let near = (exact * scale).round_ties_even() / scale;
            if near as f32 == value {
                return near;
            }
            scale *= 10.0;
        }
    }
    value.to_string().parse().unwrap_or(exact)
}

/// The type that holds attributes of both types. For numbers it is the type to which NumPy promotes
/// them (<https://numpy.org/doc/stable/reference/arrays.promotion.html>), for other mixtures it is
/// text.
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

/// A single value as one of `dtype`: any value as text if that is `String`, otherwise a number as a
/// number.
#[allow(clippy::cast_precision_loss)]
pub fn widen(value: &Value, dtype: DType) -> Value {
    match (value, dtype) {
        (Value::String(_), _) => value.clone(),
        (value, DType::String) => Value::String(text(value)),
        (Value::I64(integer), DType::F32 | DType::F64) => Value::F64(*integer as f64),
        (Value::U64(integer), DType::F32 | DType::F64) => Value::F64(*integer as f64),
        (Value::U64(integer), _) => i64::try_from(*integer).map_or_else(|_| value.clone(), Value::I64),
        (value, _) => value.clone(),
    }
}

/// A value as text, in the form of `CAST(… AS VARCHAR)`; bytes in hexadecimal.
pub fn text(value: &Value) -> String {
    match value {
        Value::F64(float) => {
            let text = array_value_to_string(&Float64Array::from(vec![*float]), 0);
            text.unwrap_or_else(|_| value.to_string())
        }
        value => value.to_string(),
    }
}

/// The value of an attribute as text; a list is in brackets.
pub fn attribute_text(value: &AttributeValue) -> String {
    match value {
        AttributeValue::One(value) => text(value),
        AttributeValue::List(_, values) => {
            format!("[{}]", values.iter().map(text).collect::<Vec<_>>().join(", "))
        }
    }
}

/// The type of an attribute's column: of single values, or of lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttributeType {
    /// The type of the values, or of the values in lists.
    pub dtype: DType,
    /// True for lists.
    pub list: bool,
}

impl AttributeType {
    /// The type that holds both. Lists and single values have only text in common.
    pub fn merge(self, other: Self) -> Self {
        if self.list == other.list {
            Self { dtype: promote(self.dtype, other.dtype), list: self.list }
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

    /// Values of attributes as an array, NULL if a dataset has none and, with `nan_as_null`, for
    /// NaN.
    pub fn array<V: Borrow<AttributeValue>>(
        self,
        values: impl IntoIterator<Item = Option<V>>,
        nan_as_null: bool,
    ) -> Result<ArrayRef> {
        let shown = |value: &Value| (!(nan_as_null && value.is_nan())).then(|| widen(value, self.dtype));
        if !self.list {
            return Ok(self.dtype.array(values.into_iter().map(|value| match value?.borrow() {
                AttributeValue::One(value) => shown(value),
                list => Some(Value::String(attribute_text(list))),
            })));
        }
        let lists = values.into_iter().map(|value| match value.as_ref().map(Borrow::borrow) {
            Some(AttributeValue::List(_, values)) => {
                let items = self.dtype.array(values.iter().map(shown));
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
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn type_of(value: &AttributeValue) -> AttributeType {
        AttributeType { dtype: value.dtype(), list: matches!(value, AttributeValue::List(..)) }
    }

    #[test]
    fn numbers_are_promoted_as_numpy_does_and_other_kinds_are_apart() {
        for (types, expected) in [
            (vec![DType::F32], vec![DType::F32]),
            (vec![DType::F32, DType::F64], vec![DType::F64]),
            (vec![DType::I16, DType::F32], vec![DType::F32]),
            (vec![DType::I32, DType::F32], vec![DType::F64]),
            (vec![DType::I8, DType::U8], vec![DType::I16]),
            (vec![DType::U32, DType::I8], vec![DType::I64]),
            (vec![DType::U64, DType::I8], vec![DType::F64]),
            (vec![DType::U8, DType::U16, DType::I64], vec![DType::I64]),
            (vec![DType::I64, DType::Timestamp, DType::F32], vec![DType::Timestamp, DType::F64]),
            (vec![DType::Bool, DType::I64], vec![DType::I64, DType::Bool]),
            (
                vec![DType::Binary, DType::String, DType::U8, DType::Bool],
                vec![DType::U8, DType::String, DType::Bool, DType::Binary],
            ),
            (vec![], vec![]),
        ] {
            assert_eq!(types_by_kind(types.clone()), expected, "{types:?}");
            assert_eq!(types_by_kind(types.into_iter().rev()), expected);
        }
    }

    #[test]
    fn an_index_is_a_number_that_takes_no_name() {
        for (coordinates, expected) in [
            (vec![], vec![DType::I64]),
            (vec![DType::F32], vec![DType::F64]),
            (vec![DType::Timestamp], vec![DType::Timestamp, DType::I64]),
            (vec![DType::String], vec![DType::String, DType::I64]),
            (vec![DType::String, DType::I8], vec![DType::I64, DType::String]),
        ] {
            assert_eq!(types_with_index(coordinates.clone()), expected, "{coordinates:?}");
        }
    }

    /// The decimal that is shown, computed by formatting.
    fn by_text(value: f32) -> f64 {
        let array = arrow::array::Float32Array::from(vec![value]);
        array_value_to_string(&array, 0).unwrap().parse().unwrap()
    }

    #[test]
    fn singles_are_shown_as_the_decimals_they_stand_for() {
        assert_eq!(decimal(47.3).to_string(), "47.3");
        assert_eq!(decimal(-0.0).to_bits(), (-0.0f64).to_bits());
        assert!(decimal(f32::NAN).is_nan() && decimal(f32::INFINITY) == f64::INFINITY);
        let edges = [
            f32::MIN_POSITIVE,
            f32::MAX,
            1e-45,
            16_777_215.0,
            16_777_216.0,
            123_456_789.0,
            8_388_609.0 / 4.0,
        ];
        for value in edges {
            assert_eq!(decimal(value), by_text(value), "{value}");
        }
        let values: ArrayRef = Arc::new(arrow::array::Float32Array::from(vec![Some(0.1), None]));
        let wide: ArrayRef = Arc::new(Float64Array::from(vec![Some(0.1), None]));
        assert_eq!(&shown(&values, &DataType::Float64).unwrap(), &wide);
        assert_eq!(&shown(&values, &DataType::Float32).unwrap(), &values);
    }

    proptest! {
        #[test]
        fn decimals_are_those_of_text_and_in_order(bits in any::<u32>(), digits in -99_999i32..99_999) {
            let values = [f32::from_bits(bits), digits as f32 / 1000.0, digits as f32 * 1.1];
            for value in values.into_iter().filter(|value| !value.is_nan()) {
                prop_assert_eq!(decimal(value).to_bits(), by_text(value).to_bits());
                prop_assert!(decimal(value.next_up()) > decimal(value) || value == f32::INFINITY || value == 0.0);
                prop_assert_eq!(decimal(value) as f32, value);
            }
        }

        #[test]
        fn values_become_text_as_a_cast_has_it(bits in any::<u64>(), short in -999i32..999) {
            for value in [f64::from_bits(bits), f64::from(short), f64::from(short) / 8.0, f64::from(short) * 1e12] {
                let array: ArrayRef = Arc::new(Float64Array::from(vec![value]));
                let cast = cast(&array, &DataType::Utf8).unwrap();
                prop_assert_eq!(text(&Value::F64(value)), cast.as_string::<i32>().value(0));
            }
        }
    }

    #[test]
    fn attributes_of_one_name_share_a_column() {
        let (integer, float, text) = (1i64.into(), 0.5f64.into(), AttributeValue::from("x"));
        let list: AttributeValue = vec![1i64, 2].into();
        let column = |values: &[Option<&AttributeValue>]| {
            let types = values.iter().flatten().map(|value| type_of(value));
            let merged = types.reduce(AttributeType::merge).unwrap();
            let array = merged.array(values.iter().copied(), true).unwrap();
            assert_eq!(array.data_type(), &merged.arrow());
            let format = arrow::util::display::FormatOptions::default();
            let text = arrow::util::display::ArrayFormatter::try_new(&array, &format).unwrap();
            (0..array.len()).map(|row| text.value(row).to_string()).collect::<Vec<_>>()
        };
        assert_eq!(column(&[Some(&integer), None, Some(&float)]), ["1.0", "", "0.5"]);
        assert_eq!(column(&[Some(&integer), Some(&text)]), ["1", "x"]);
        assert_eq!(column(&[Some(&list), None]), ["[1, 2]", ""]);
        assert_eq!(column(&[Some(&list), Some(&integer)]), ["[1, 2]", "1"]);
        let (whole, nan) = (AttributeValue::from(5.0f64), AttributeValue::from(f64::NAN));
        let time = AttributeValue::from(atlas::Timestamp(1_500_000_000));
        assert_eq!(
            column(&[Some(&whole), Some(&text), Some(&time)]),
            ["5.0", "x", "1970-01-01T00:00:01.500"]
        );
        assert_eq!(column(&[Some(&nan), Some(&whole)]), ["", "5.0"]);
        assert_eq!(column(&[Some(&nan), Some(&text)]), ["", "x"]);
        let floats: AttributeValue = vec![5.0f64, f64::NAN].into();
        assert_eq!(column(&[Some(&floats)]), ["[5.0, ]"]);
        let kept = type_of(&nan).array([Some(nan)], false).unwrap();
        assert_eq!(kept.null_count(), 0);
    }
}
