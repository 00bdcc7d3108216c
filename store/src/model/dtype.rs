//! Element types, and the bridge between Rust values and Arrow arrays.

use std::fmt;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryViewArray, BooleanArray, PrimitiveArray, Scalar, StringViewArray,
};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{
    DataType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, TimeUnit,
    TimestampNanosecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use serde::{Deserialize, Serialize};

use crate::model::value::Value;

/// The type of an array's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DType {
    /// True or false.
    Bool,
    /// Signed, 8 bits.
    I8,
    /// Signed, 16 bits.
    I16,
    /// Signed, 32 bits.
    I32,
    /// Signed, 64 bits.
    I64,
    /// Unsigned, 8 bits.
    U8,
    /// Unsigned, 16 bits.
    U16,
    /// Unsigned, 32 bits.
    U32,
    /// Unsigned, 64 bits.
    U64,
    /// IEEE 754 binary32.
    F32,
    /// IEEE 754 binary64.
    F64,
    /// Nanoseconds since 1970-01-01T00:00:00Z, without leap seconds.
    Timestamp,
    /// UTF-8 text.
    String,
    /// Bytes.
    Binary,
}

impl DType {
    /// Every type, in the order of their codes in the file format.
    pub const ALL: [Self; 14] = [
        Self::Bool,
        Self::I8,
        Self::I16,
        Self::I32,
        Self::I64,
        Self::U8,
        Self::U16,
        Self::U32,
        Self::U64,
        Self::F32,
        Self::F64,
        Self::Timestamp,
        Self::String,
        Self::Binary,
    ];

    /// The Arrow type in which values of this type are read and written.
    pub fn arrow(self) -> DataType {
        match self {
            Self::Bool => DataType::Boolean,
            Self::I8 => DataType::Int8,
            Self::I16 => DataType::Int16,
            Self::I32 => DataType::Int32,
            Self::I64 => DataType::Int64,
            Self::U8 => DataType::UInt8,
            Self::U16 => DataType::UInt16,
            Self::U32 => DataType::UInt32,
            Self::U64 => DataType::UInt64,
            Self::F32 => DataType::Float32,
            Self::F64 => DataType::Float64,
            Self::Timestamp => DataType::Timestamp(TimeUnit::Nanosecond, None),
            Self::String => DataType::Utf8View,
            Self::Binary => DataType::BinaryView,
        }
    }

    /// The type whose values are read as `data_type`, if there is one.
    pub fn from_arrow(data_type: &DataType) -> Option<Self> {
        Self::ALL.into_iter().find(|dtype| dtype.arrow() == *data_type)
    }

    /// The size of a value in bytes, or `None` if values differ in length.
    pub fn width(self) -> Option<usize> {
        match self {
            Self::Bool | Self::I8 | Self::U8 => Some(1),
            Self::I16 | Self::U16 => Some(2),
            Self::I32 | Self::U32 | Self::F32 => Some(4),
            Self::I64 | Self::U64 | Self::F64 | Self::Timestamp => Some(8),
            Self::String | Self::Binary => None,
        }
    }

    /// The size of a value in memory; for text and bytes, the size of its view.
    pub(crate) fn memory_width(self) -> usize {
        self.width().unwrap_or(size_of::<u128>())
    }

    /// The type in which SQL computes sums of this type, or `None` if there is no sum.
    pub fn sum(self) -> Option<DataType> {
        match self {
            Self::I8 | Self::I16 | Self::I32 | Self::I64 => Some(DataType::Int64),
            Self::U8 | Self::U16 | Self::U32 | Self::U64 => Some(DataType::UInt64),
            Self::F32 | Self::F64 => Some(DataType::Float64),
            Self::Bool | Self::Timestamp | Self::String | Self::Binary => None,
        }
    }

    /// True for `F32` and `F64`.
    pub fn is_float(self) -> bool {
        matches!(self, Self::F32 | Self::F64)
    }

    pub(crate) fn code(self) -> u8 {
        self as u8
    }

    pub(crate) fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bool => "bool",
            Self::I8 => "i8",
            Self::I16 => "i16",
            Self::I32 => "i32",
            Self::I64 => "i64",
            Self::U8 => "u8",
            Self::U16 => "u16",
            Self::U32 => "u32",
            Self::U64 => "u64",
            Self::F32 => "f32",
            Self::F64 => "f64",
            Self::Timestamp => "timestamp",
            Self::String => "string",
            Self::Binary => "binary",
        })
    }
}

/// An instant: nanoseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp(pub i64);

impl From<i64> for Timestamp {
    fn from(nanoseconds: i64) -> Self {
        Self(nanoseconds)
    }
}

impl From<Timestamp> for i64 {
    fn from(timestamp: Timestamp) -> Self {
        timestamp.0
    }
}

/// A Rust type that is the element of an array.
pub trait Element: Clone + Default + Send + Sync + 'static + sealed::Sealed {
    /// The type of an array of these.
    const DTYPE: DType;

    /// This value as a [`Value`].
    fn into_value(self) -> Value;

    /// The value of this type in `value`, or `None` if that is of another type.
    fn from_value(value: &Value) -> Option<Self>;

    #[doc(hidden)]
    fn to_arrow(values: impl Iterator<Item = Self>) -> ArrayRef;

    /// Copies the elements of `array`, which is of this type, to a slice of the same length;
    /// `missing` for null elements.
    #[doc(hidden)]
    fn copy_arrow(array: &dyn Array, missing: &Self, to: &mut [Self]);

    /// The elements of `array`, which is of this type; `missing` for null elements.
    #[doc(hidden)]
    fn from_arrow(array: &dyn Array, missing: &Self) -> Vec<Self> {
        let mut values = vec![Self::default(); array.len()];
        Self::copy_arrow(array, missing, &mut values);
        values
    }
}

/// Copies elements to a slice; `missing` for those that are `None`.
fn copy_or<T: Clone, V: Into<T>>(values: impl Iterator<Item = Option<V>>, missing: &T, to: &mut [T]) {
    for (to, value) in to.iter_mut().zip(values) {
        *to = value.map_or_else(|| missing.clone(), Into::into);
    }
}

mod sealed {
    pub trait Sealed {}
}

macro_rules! number {
    ($rust:ty, $dtype:ident, $arrow:ty, $value:ident, $wide:ty) => {
        impl sealed::Sealed for $rust {}
        impl Element for $rust {
            const DTYPE: DType = DType::$dtype;

            fn into_value(self) -> Value {
                Value::$value(<$wide>::from(self))
            }

            #[allow(clippy::cast_possible_truncation, trivial_numeric_casts)]
            fn from_value(value: &Value) -> Option<Self> {
                let &Value::$value(wide) = value else { return None };
                let narrow = wide as Self;
                let same = <$wide>::from(narrow) == wide || Value::F64(wide as f64).is_nan();
                same.then_some(narrow)
            }

            fn to_arrow(values: impl Iterator<Item = Self>) -> ArrayRef {
                Arc::new(PrimitiveArray::<$arrow>::from_iter_values(values))
            }

            fn copy_arrow(array: &dyn Array, missing: &Self, to: &mut [Self]) {
                let array = array.as_primitive::<$arrow>();
                if array.null_count() == 0 && array.len() == to.len() {
                    to.copy_from_slice(array.values());
                } else {
                    copy_or(array.iter(), missing, to);
                }
            }
        }
    };
}

number!(i8, I8, Int8Type, I64, i64);
number!(i16, I16, Int16Type, I64, i64);
number!(i32, I32, Int32Type, I64, i64);
number!(i64, I64, Int64Type, I64, i64);
number!(u8, U8, UInt8Type, U64, u64);
number!(u16, U16, UInt16Type, U64, u64);
number!(u32, U32, UInt32Type, U64, u64);
number!(u64, U64, UInt64Type, U64, u64);
number!(f32, F32, Float32Type, F64, f64);
number!(f64, F64, Float64Type, F64, f64);

impl sealed::Sealed for bool {}
impl Element for bool {
    const DTYPE: DType = DType::Bool;

    fn into_value(self) -> Value {
        Value::Bool(self)
    }

    fn from_value(value: &Value) -> Option<Self> {
        if let Value::Bool(value) = value { Some(*value) } else { None }
    }

    fn to_arrow(values: impl Iterator<Item = Self>) -> ArrayRef {
        Arc::new(BooleanArray::from(values.collect::<Vec<_>>()))
    }

    fn copy_arrow(array: &dyn Array, missing: &Self, to: &mut [Self]) {
        copy_or(array.as_boolean().iter(), missing, to);
    }
}

impl sealed::Sealed for Timestamp {}
impl Element for Timestamp {
    const DTYPE: DType = DType::Timestamp;

    fn into_value(self) -> Value {
        Value::Timestamp(self.0)
    }

    fn from_value(value: &Value) -> Option<Self> {
        if let Value::Timestamp(value) = value { Some(Self(*value)) } else { None }
    }

    fn to_arrow(values: impl Iterator<Item = Self>) -> ArrayRef {
        Arc::new(PrimitiveArray::<TimestampNanosecondType>::from_iter_values(values.map(|t| t.0)))
    }

    fn copy_arrow(array: &dyn Array, missing: &Self, to: &mut [Self]) {
        let values = array.as_primitive::<TimestampNanosecondType>().iter();
        copy_or(values.map(|value| value.map(Self)), missing, to);
    }
}

impl sealed::Sealed for String {}
impl Element for String {
    const DTYPE: DType = DType::String;

    fn into_value(self) -> Value {
        Value::String(self)
    }

    fn from_value(value: &Value) -> Option<Self> {
        if let Value::String(value) = value { Some(value.clone()) } else { None }
    }

    fn to_arrow(values: impl Iterator<Item = Self>) -> ArrayRef {
        Arc::new(StringViewArray::from_iter_values(values))
    }

    fn copy_arrow(array: &dyn Array, missing: &Self, to: &mut [Self]) {
        copy_or(array.as_string_view().iter(), missing, to);
    }
}

impl sealed::Sealed for Vec<u8> {}
impl Element for Vec<u8> {
    const DTYPE: DType = DType::Binary;

    fn into_value(self) -> Value {
        Value::Binary(self)
    }

    fn from_value(value: &Value) -> Option<Self> {
        if let Value::Binary(value) = value { Some(value.clone()) } else { None }
    }

    fn to_arrow(values: impl Iterator<Item = Self>) -> ArrayRef {
        Arc::new(BinaryViewArray::from_iter_values(values))
    }

    fn copy_arrow(array: &dyn Array, missing: &Self, to: &mut [Self]) {
        copy_or(array.as_binary_view().iter(), missing, to);
    }
}

/// Runs code for the Rust type of a [`DType`]: `with_element!(dtype, T => size_of::<T>())`.
#[macro_export]
macro_rules! with_element {
    ($dtype:expr, $type:ident => $body:expr) => {{
        macro_rules! arm {
            ($element:ty) => {{
                type $type = $element;
                $body
            }};
        }
        match $dtype {
            $crate::DType::Bool => arm!(bool),
            $crate::DType::I8 => arm!(i8),
            $crate::DType::I16 => arm!(i16),
            $crate::DType::I32 => arm!(i32),
            $crate::DType::I64 => arm!(i64),
            $crate::DType::U8 => arm!(u8),
            $crate::DType::U16 => arm!(u16),
            $crate::DType::U32 => arm!(u32),
            $crate::DType::U64 => arm!(u64),
            $crate::DType::F32 => arm!(f32),
            $crate::DType::F64 => arm!(f64),
            $crate::DType::Timestamp => arm!($crate::Timestamp),
            $crate::DType::String => arm!(String),
            $crate::DType::Binary => arm!(Vec<u8>),
        }
    }};
}

impl DType {
    /// Values as an Arrow array of this type: null for None and for values of another type.
    pub fn array(self, values: impl IntoIterator<Item = Option<Value>>) -> ArrayRef {
        with_element!(self, T => {
            let values: Vec<Option<T>> =
                values.into_iter().map(|value| value.as_ref().and_then(T::from_value)).collect();
            let validity: NullBuffer = values.iter().map(Option::is_some).collect();
            with_validity(&T::to_arrow(values.into_iter().map(Option::unwrap_or_default)), validity)
        })
    }

    /// The value in a row of an array of this type, or `None` where it is null.
    pub fn value(self, array: &dyn Array, row: usize) -> Option<Value> {
        if array.is_null(row) {
            return None;
        }
        with_element!(self, T => {
            T::from_arrow(&array.slice(row, 1), &T::default()).pop().map(T::into_value)
        })
    }

    /// True if `value` can be an element of an array of this type.
    pub fn holds(self, value: &Value) -> bool {
        with_element!(self, T => T::from_value(value).is_some())
    }

    /// `array`, which is of this type, with null also in the cells that equal `fill`. A fill value
    /// that is NaN equals every NaN, and the two zeros are equal.
    pub fn mask(self, array: &ArrayRef, fill: &Value) -> ArrayRef {
        let equal = match (self, fill) {
            (Self::F32, &Value::F64(fill)) => {
                let equal = |value| same_number(f64::from(value), fill);
                BooleanArray::from_unary(array.as_primitive::<Float32Type>(), equal)
            }
            (Self::F64, &Value::F64(fill)) => {
                let equal = |value| same_number(value, fill);
                BooleanArray::from_unary(array.as_primitive::<Float64Type>(), equal)
            }
            _ => {
                let equal = with_element!(self, T => T::from_value(fill).and_then(|fill| {
                    let fill = Scalar::new(T::to_arrow(std::iter::once(fill)));
                    arrow::compute::kernels::cmp::eq(array, &fill).ok()
                }));
                let Some(equal) = equal else { return Arc::clone(array) };
                equal
            }
        };
        if equal.true_count() == 0 {
            return Arc::clone(array);
        }
        arrow::compute::nullif(array, &equal).unwrap_or_else(|_| Arc::clone(array))
    }
}

#[allow(clippy::float_cmp)]
fn same_number(value: f64, fill: f64) -> bool {
    value == fill || value.is_nan() && fill.is_nan()
}

/// `array`, which has no nulls, with nulls where `validity` has them.
fn with_validity(array: &ArrayRef, validity: NullBuffer) -> ArrayRef {
    let data = array.to_data().into_builder().nulls(Some(validity)).build();
    data.map_or_else(|_| Arc::clone(array), arrow::array::make_array)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_arrow_types_lead_back_to_the_type() {
        for dtype in DType::ALL {
            assert_eq!(DType::from_code(dtype.code()), Some(dtype));
            assert_eq!(DType::from_arrow(&dtype.arrow()), Some(dtype));
        }
        assert_eq!(DType::from_code(14), None);
    }

    #[test]
    fn values_come_back_only_as_their_own_type() {
        assert_eq!(i16::from_value(&7i16.into_value()), Some(7));
        assert_eq!(i16::from_value(&70_000i32.into_value()), None);
        assert_eq!(f32::from_value(&0.1f32.into_value()), Some(0.1));
        assert!(f32::from_value(&f32::NAN.into_value()).is_some_and(f32::is_nan));
        assert_eq!(i16::from_value(&7.0f64.into_value()), None);
    }

    #[test]
    fn arrays_of_values_hold_them_and_null_elsewhere() {
        for (dtype, value) in [
            (DType::Bool, Value::Bool(true)),
            (DType::I8, Value::I64(-3)),
            (DType::U32, Value::U64(3)),
            (DType::F32, Value::F64(0.5)),
            (DType::Timestamp, Value::Timestamp(9)),
            (DType::String, Value::String("x".into())),
            (DType::Binary, Value::Binary(vec![1])),
        ] {
            let array = dtype.array([Some(value.clone()), None]);
            assert_eq!(array.data_type(), &dtype.arrow());
            assert_eq!((dtype.value(&array, 0), dtype.value(&array, 1)), (Some(value.clone()), None));
            assert!(dtype.holds(&value));
        }
        assert!(!DType::I8.holds(&Value::I64(128)));
    }

    #[test]
    fn cells_equal_to_the_fill_value_become_null() {
        let array = f32::to_arrow([1.0, 9.0, f32::NAN, -f32::NAN].into_iter());
        assert_eq!(DType::F32.mask(&array, &Value::F64(9.0)).null_count(), 1);
        assert_eq!(DType::F32.mask(&array, &Value::F64(f64::NAN)).null_count(), 2);
        let zeros = f64::to_arrow([0.0, -0.0, 1.0].into_iter());
        assert_eq!(DType::F64.mask(&zeros, &Value::F64(0.0)).null_count(), 2);
        assert_eq!(DType::F64.mask(&zeros, &Value::F64(-0.0)).null_count(), 2);
        let array = String::to_arrow(["".to_owned(), "a".to_owned()].into_iter());
        assert_eq!(DType::String.mask(&array, &Value::String(String::new())).null_count(), 1);
    }
}
