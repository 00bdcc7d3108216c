//! Cells and single values, between NumPy, Python and Arrow.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BinaryViewBuilder, BooleanArray, PrimitiveArray,
    StringViewBuilder,
};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::datatypes::{
    ArrowNativeType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    TimestampNanosecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use atlas::{AttributeValue, DType, Value};
use numpy::{Element, IxDyn, PyArray1, PyArrayDyn, PyArrayMethods, PyUntypedArray, PyUntypedArrayMethods};
use pyo3::IntoPyObjectExt;
use pyo3::exceptions::{PyOverflowError, PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::pybacked::{PyBackedBytes, PyBackedStr};
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};
use pyo3_arrow::PyArray as ArrowArray;

use crate::errors::Kind;

/// Runs `$body`, in which `$arrow` is the Arrow type of a number of type `$dtype`; runs `$others`
/// for the other types.
macro_rules! with_number {
    ($dtype:expr, $arrow:ident => $body:expr, $($other:pat => $others:expr),+ $(,)?) => {{
        macro_rules! arm {
            ($number:ty) => {{
                type $arrow = $number;
                $body
            }};
        }
        match $dtype {
            DType::I8 => arm!(Int8Type),
            DType::I16 => arm!(Int16Type),
            DType::I32 => arm!(Int32Type),
            DType::I64 => arm!(Int64Type),
            DType::U8 => arm!(UInt8Type),
            DType::U16 => arm!(UInt16Type),
            DType::U32 => arm!(UInt32Type),
            DType::U64 => arm!(UInt64Type),
            DType::F32 => arm!(Float32Type),
            DType::F64 => arm!(Float64Type),
            $($other => $others,)+
        }
    }};
}

/// The type with this name in NumPy or in Atlas.
pub(crate) fn parse_dtype(name: &str) -> PyResult<DType> {
    Ok(match name {
        "bool" => DType::Bool,
        "int8" | "i8" => DType::I8,
        "int16" | "i16" => DType::I16,
        "int32" | "i32" => DType::I32,
        "int64" | "i64" => DType::I64,
        "uint8" | "u8" => DType::U8,
        "uint16" | "u16" => DType::U16,
        "uint32" | "u32" => DType::U32,
        "uint64" | "u64" => DType::U64,
        "float32" | "f32" => DType::F32,
        "float64" | "f64" => DType::F64,
        "timestamp_nanoseconds" | "datetime64[ns]" => DType::Timestamp,
        "string" | "str" => DType::String,
        "binary" | "bytes" => DType::Binary,
        _ => {
            return Err(Kind::Invalid.error(format!(
                "unknown dtype {name:?}: it is bool, int8 to int64, uint8 to uint64, float32, float64, \
                 timestamp_nanoseconds, string or binary"
            )));
        }
    })
}

/// The name of a type.
pub(crate) fn dtype_name(dtype: DType) -> &'static str {
    match dtype {
        DType::Bool => "bool",
        DType::I8 => "int8",
        DType::I16 => "int16",
        DType::I32 => "int32",
        DType::I64 => "int64",
        DType::U8 => "uint8",
        DType::U16 => "uint16",
        DType::U32 => "uint32",
        DType::U64 => "uint64",
        DType::F32 => "float32",
        DType::F64 => "float64",
        DType::Timestamp => "timestamp_nanoseconds",
        DType::String => "string",
        DType::Binary => "binary",
    }
}

/// How missing cells are returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    /// As the fill value.
    Filled,
    /// A masked array.
    Masked,
    /// An Arrow array, flat in row-major order, with nulls.
    Arrow,
}

impl Missing {
    pub(crate) fn of(masked: bool, arrow: bool) -> PyResult<Self> {
        match (masked, arrow) {
            (false, false) => Ok(Self::Filled),
            (true, false) => Ok(Self::Masked),
            (false, true) => Ok(Self::Arrow),
            (true, true) => Err(PyValueError::new_err("an array is masked or Arrow's, not both")),
        }
    }
}

/// Cells to be written, in row-major order.
pub(crate) struct Cells {
    pub(crate) shape: Vec<usize>,
    pub(crate) values: ArrayRef,
}

/// The cells of a NumPy array, for the array `name` of type `dtype`.
///
/// # Errors
/// `DTypeError` if `data` is not a NumPy array of that type, `InvalidError` for an instant that
/// nanoseconds since 1970 cannot express.
pub(crate) fn to_cells(data: &Bound<'_, PyAny>, dtype: DType, name: &str) -> PyResult<Cells> {
    let py = data.py();
    let numpy = py.import(intern!(py, "numpy"))?;
    let wrong = |found: &str| {
        let expected = dtype_name(dtype);
        Kind::WrongType
            .error(format!("expected a numpy ndarray with dtype {expected} for array {name:?}, not {found}"))
    };
    let is_scalar = data.is_instance(&numpy.getattr(intern!(py, "generic"))?)?;
    let data = if is_scalar { numpy.call_method1(intern!(py, "asarray"), (data,))? } else { data.clone() };
    let Ok(array) = data.cast::<PyUntypedArray>() else {
        return Err(wrong(&data.get_type().name()?.to_string()));
    };
    let shape = array.shape().to_vec();
    let ma = numpy.getattr(intern!(py, "ma"))?;
    let is_masked = data.is_instance(&ma.getattr(intern!(py, "MaskedArray"))?)?;
    let mask = if is_masked {
        let mask = ma.call_method1(intern!(py, "getmaskarray"), (&data,))?;
        Some(flat::<bool>(&mask)?)
    } else {
        None
    };
    let data = if is_masked { ma.call_method1(intern!(py, "getdata"), (&data,))? } else { data.clone() };
    let found = data.getattr(intern!(py, "dtype"))?;
    let kind: char = found.getattr(intern!(py, "kind"))?.extract()?;
    let values = match (dtype, kind) {
        (DType::String, 'O' | 'U' | 'S' | 'T') => texts(&data, name)?,
        (DType::Binary, 'O' | 'S') => binaries(&data, name)?,
        (DType::String | DType::Binary, _) => return Err(wrong(&found.str()?.to_string())),
        (_, 'O') => objects(&data, dtype, name)?,
        (DType::Timestamp, 'M') => instants(&data, name)?,
        (DType::Timestamp, 'i') => {
            let nanoseconds = flat::<i64>(&native(&data)?).map_err(|_| wrong(&text(&found)))?;
            from_nanoseconds(nanoseconds)
        }
        (DType::Bool, 'b') => Arc::new(BooleanArray::from(flat::<bool>(&data)?)),
        (dtype, _) => {
            let native = native(&data)?;
            let numbers: PyResult<ArrayRef> = with_number!(dtype,
                P => flat::<<P as ArrowPrimitiveType>::Native>(&native)
                    .map(|values| Arc::new(PrimitiveArray::<P>::new(values.into(), None)) as ArrayRef),
                _ => Err(wrong(&text(&found))),
            );
            numbers.map_err(|_| wrong(&text(&found)))?
        }
    };
    Ok(Cells { shape, values: masked(values, mask) })
}

fn text(value: &Bound<'_, PyAny>) -> String {
    value.str().map(|text| text.to_string()).unwrap_or_default()
}

/// An array in the byte order of this machine.
fn native<'py>(array: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = array.py();
    let dtype = array.getattr(intern!(py, "dtype"))?;
    if dtype.getattr(intern!(py, "isnative"))?.extract()? {
        return Ok(array.clone());
    }
    array.call_method1(intern!(py, "astype"), (dtype.call_method1(intern!(py, "newbyteorder"), ("=",))?,))
}

/// The elements of an array in row-major order.
fn flat<T: Element + Copy>(array: &Bound<'_, PyAny>) -> PyResult<Vec<T>> {
    let array = array.cast::<PyArrayDyn<T>>()?.readonly();
    // A slice may also be in column-major order.
    Ok(match array.as_slice() {
        Ok(slice) if array.is_c_contiguous() => slice.to_vec(),
        _ => array.as_array().iter().copied().collect(),
    })
}

/// The integer that is NaT in NumPy's datetime64.
const NAT: i64 = i64::MIN;

const DAY: i64 = 86_400_000_000_000;

/// Nanoseconds since 1970, with NaT as missing.
fn from_nanoseconds(values: Vec<i64>) -> ArrayRef {
    let nulls = values.contains(&NAT).then(|| values.iter().map(|value| *value != NAT).collect());
    Arc::new(PrimitiveArray::<TimestampNanosecondType>::new(values.into(), nulls))
}

/// The cells of a datetime64 array of any unit.
fn instants(array: &Bound<'_, PyAny>, name: &str) -> PyResult<ArrayRef> {
    let py = array.py();
    let array = native(array)?;
    let dtype = array.getattr(intern!(py, "dtype"))?;
    let unit = py.import(intern!(py, "numpy"))?.call_method1(intern!(py, "datetime_data"), (&dtype,))?;
    let (unit, count): (String, i64) = unit.extract()?;
    let values = flat::<i64>(&array.call_method1(intern!(py, "view"), ("int64",))?)?;
    if (unit.as_str(), count) == ("ns", 1) {
        return Ok(from_nanoseconds(values));
    }
    let converted = values.into_iter().map(|value| {
        if value == NAT {
            return Ok(NAT);
        }
        nanoseconds(value, count, &unit).ok_or_else(|| {
            Kind::Invalid.error(format!(
                "array {name:?}: {value} of {} is no whole number of nanoseconds between 1677-09-21 and \
                 2262-04-11",
                text(&dtype)
            ))
        })
    });
    Ok(from_nanoseconds(converted.collect::<PyResult<_>>()?))
}

/// An instant in nanoseconds since 1970; `None` if these cannot express it.
fn nanoseconds(value: i64, count: i64, unit: &str) -> Option<i64> {
    let value = i128::from(value) * i128::from(count);
    let nanoseconds = match unit {
        "Y" => first_day(value.checked_mul(12)?)? * i128::from(DAY),
        "M" => first_day(value)? * i128::from(DAY),
        "W" => value * 7 * i128::from(DAY),
        "D" => value * i128::from(DAY),
        "h" => value * 3_600_000_000_000,
        "m" => value * 60_000_000_000,
        "s" => value * 1_000_000_000,
        "ms" => value * 1_000_000,
        "us" => value * 1_000,
        "ns" => value,
        "ps" => whole(value, 1_000)?,
        "fs" => whole(value, 1_000_000)?,
        "as" => whole(value, 1_000_000_000)?,
        _ => return None,
    };
    i64::try_from(nanoseconds).ok().filter(|nanoseconds| *nanoseconds != NAT)
}

fn whole(value: i128, divisor: i128) -> Option<i128> {
    (value % divisor == 0).then_some(value / divisor)
}

/// The days from 1970-01-01 to the first day of a month, counted from January 1970, in the
/// Gregorian calendar; `None` far outside the range of nanoseconds.
fn first_day(month: i128) -> Option<i128> {
    // Years begin in March, so that the leap day is the last day of the year: H. Hinnant,
    // "chrono-Compatible Low-Level Date Algorithms", days_from_civil.
    let (year, month) = (1970 + month.div_euclid(12), month.rem_euclid(12));
    if !(1600..2400).contains(&year) {
        return None;
    }
    let year = if month < 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 10) % 12) + 2) / 5;
    Some(era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468)
}

/// True for objects that mean missing: None, NaN and pandas' NA.
fn is_missing(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    if object.is_none() {
        return Ok(true);
    }
    if let Ok(number) = object.cast::<PyFloat>() {
        return Ok(number.value().is_nan());
    }
    Ok(object.get_type().name()? == "NAType")
}

/// The elements of an array in row-major order, as objects.
fn elements<'py>(array: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyList>> {
    let flat = array.call_method0(intern!(array.py(), "ravel"))?;
    Ok(flat.call_method0(intern!(array.py(), "tolist"))?.cast_into()?)
}

fn texts(array: &Bound<'_, PyAny>, name: &str) -> PyResult<ArrayRef> {
    let elements = elements(array)?;
    let mut values = StringViewBuilder::with_capacity(elements.len());
    for element in elements {
        if let Ok(text) = element.cast::<PyString>() {
            values.append_value(text.extract::<PyBackedStr>()?);
        } else if let Ok(bytes) = element.cast::<PyBytes>() {
            let text = std::str::from_utf8(bytes.as_bytes())
                .map_err(|e| Kind::Invalid.error(format!("array {name:?}: bytes that are no UTF-8: {e}")))?;
            values.append_value(text);
        } else if is_missing(&element)? {
            values.append_null();
        } else {
            let found = element.get_type().name()?;
            return Err(Kind::WrongType
                .error(format!("string array element must be str or bytes, got {found} in array {name:?}")));
        }
    }
    Ok(Arc::new(values.finish()))
}

fn binaries(array: &Bound<'_, PyAny>, name: &str) -> PyResult<ArrayRef> {
    let elements = elements(array)?;
    let mut values = BinaryViewBuilder::with_capacity(elements.len());
    for element in elements {
        if is_missing(&element)? {
            values.append_null();
        } else if let Ok(bytes) = element.extract::<PyBackedBytes>() {
            values.append_value(&bytes);
        } else {
            let found = element.get_type().name()?;
            return Err(Kind::WrongType
                .error(format!("binary array element must be bytes, got {found} in array {name:?}")));
        }
    }
    Ok(Arc::new(values.finish()))
}

/// Numbers and instants as objects, with None among them.
fn objects(array: &Bound<'_, PyAny>, dtype: DType, name: &str) -> PyResult<ArrayRef> {
    let of = format!("an element of array {name:?}");
    let value = |element: Bound<'_, PyAny>| {
        if element.is_none() { Ok(None) } else { to_value(&element, dtype, &of).map(Some) }
    };
    let values: Vec<_> = elements(array)?.iter().map(value).collect::<PyResult<_>>()?;
    Ok(dtype.array(values))
}

/// `values` with the cells missing where `mask` is true.
fn masked(values: ArrayRef, mask: Option<Vec<bool>>) -> ArrayRef {
    let Some(mask) = mask.filter(|mask| mask.contains(&true)) else { return values };
    let shown = NullBuffer::new(BooleanBuffer::from_iter(mask.into_iter().map(|masked| !masked)));
    let nulls = NullBuffer::union(values.nulls(), Some(&shown));
    match values.to_data().into_builder().nulls(nulls).build() {
        Ok(data) => arrow::array::make_array(data),
        Err(_) => values,
    }
}

/// A value of type `dtype`, for `what`, such as "fill_value".
///
/// # Errors
/// `DTypeError` if `object` is of another type, `OverflowError` if it is out of range.
pub(crate) fn to_value(object: &Bound<'_, PyAny>, dtype: DType, what: &str) -> PyResult<Value> {
    let py = object.py();
    let expected = dtype_name(dtype);
    let wrong = |wanted: &str| {
        let found = object.get_type().name().map(|name| name.to_string()).unwrap_or_default();
        Kind::WrongType.error(format!("{what} for {expected} array must be {wanted}, got {found}"))
    };
    // Convert NumPy's scalars to Python's, and its instants to arrays.
    let generic = py.import(intern!(py, "numpy"))?.getattr(intern!(py, "generic"))?;
    let is_numpy = object.is_instance(&generic)?;
    if is_numpy && dtype == DType::Timestamp {
        let cells = to_cells(object, dtype, what)?;
        return Ok(Value::Timestamp(cells.values.as_primitive::<TimestampNanosecondType>().value(0)));
    }
    let object = if is_numpy { object.call_method0(intern!(py, "item"))? } else { object.clone() };
    let is_bool = object.is_instance_of::<PyBool>();
    let value = match dtype {
        DType::Bool if is_bool => Value::Bool(object.extract()?),
        DType::Bool => return Err(wrong("a bool")),
        DType::F32 | DType::F64 => {
            if is_bool || !(object.is_instance_of::<PyFloat>() || object.is_instance_of::<PyInt>()) {
                return Err(wrong("a float or int"));
            }
            let value: f64 = object.extract()?;
            #[allow(clippy::cast_possible_truncation)]
            Value::F64(if dtype == DType::F32 { f64::from(value as f32) } else { value })
        }
        DType::String => match object.cast::<PyString>() {
            Ok(text) => Value::String(text.to_string()),
            Err(_) => return Err(wrong("a str")),
        },
        DType::Binary => match object.cast::<PyBytes>() {
            Ok(bytes) => Value::Binary(bytes.as_bytes().to_vec()),
            Err(_) => return Err(wrong("bytes")),
        },
        _ if is_bool || !object.is_instance_of::<PyInt>() => return Err(wrong("an int")),
        DType::U8 | DType::U16 | DType::U32 | DType::U64 => match object.extract::<u64>() {
            Ok(value) => Value::U64(value),
            Err(_) if object.lt(0)? => {
                return Err(PyOverflowError::new_err(format!(
                    "{what} {object} is negative; {expected} is unsigned"
                )));
            }
            Err(_) => return Err(out_of_range(what, &object, expected)),
        },
        _ => {
            let value: i64 = object.extract().map_err(|_| out_of_range(what, &object, expected))?;
            if dtype == DType::Timestamp { Value::Timestamp(value) } else { Value::I64(value) }
        }
    };
    if dtype.holds(&value) { Ok(value) } else { Err(out_of_range(what, &object, expected)) }
}

fn out_of_range(what: &str, object: &Bound<'_, PyAny>, expected: &str) -> PyErr {
    PyOverflowError::new_err(format!("{what} {object} is out of range for {expected}"))
}

/// A single value as a Python object. An instant is an integer of nanoseconds since 1970.
pub(crate) fn from_value<'py>(py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
    match value {
        Value::Bool(value) => value.into_bound_py_any(py),
        Value::I64(value) | Value::Timestamp(value) => value.into_bound_py_any(py),
        Value::U64(value) => value.into_bound_py_any(py),
        Value::F64(value) => value.into_bound_py_any(py),
        Value::String(value) => value.into_bound_py_any(py),
        Value::Binary(value) => Ok(PyBytes::new(py, value).into_any()),
    }
}

/// The value of an attribute: a value, or a list or one-dimensional array of values of one type.
///
/// # Errors
/// `InvalidError` for values that an attribute cannot have, `OverflowError` for integers of more
/// than 64 bits, and those of [`to_value`] for `dtype`.
pub(crate) fn to_attribute(
    key: &str,
    object: &Bound<'_, PyAny>,
    dtype: Option<&str>,
) -> PyResult<AttributeValue> {
    let py = object.py();
    let unsupported = |object: &Bound<'_, PyAny>| {
        let found = object.get_type().name().map(|name| name.to_string()).unwrap_or_default();
        Kind::Invalid.error(format!("attribute {key:?}: unsupported attribute type: '{found}'"))
    };
    let what = format!("attribute {key:?}");
    let dtype = match dtype.map(parse_dtype).transpose() {
        Ok(dtype) => dtype,
        Err(_) => {
            let dtype = dtype.unwrap_or_default();
            return Err(PyValueError::new_err(format!("unknown attribute dtype: {dtype:?}")));
        }
    };
    let one = |item: &Bound<'_, PyAny>| -> PyResult<Value> {
        let natural = match dtype {
            Some(dtype) => dtype,
            None => natural_dtype(item)?.ok_or_else(|| unsupported(item))?,
        };
        to_value(item, natural, &what)
    };
    let ndarray = py.import(intern!(py, "numpy"))?.getattr(intern!(py, "ndarray"))?;
    let (items, empty) = if object.is_instance(&ndarray)? {
        let dims: usize = object.getattr(intern!(py, "ndim"))?.extract()?;
        match dims {
            0 => return one(&object.get_item(PyTuple::empty(py))?).map(AttributeValue::One),
            1 => {}
            _ => return Err(Kind::Invalid.error(format!("{what}: an array of {dims} dimensions"))),
        }
        let kind: char = object.getattr(intern!(py, "dtype"))?.getattr(intern!(py, "kind"))?.extract()?;
        let empty = match kind {
            'b' => DType::Bool,
            'i' => DType::I64,
            'u' => DType::U64,
            'M' => DType::Timestamp,
            'U' | 'S' | 'O' | 'T' => DType::String,
            _ => DType::F64,
        };
        (object.try_iter()?.collect::<PyResult<Vec<_>>>()?, empty)
    } else if object.is_instance_of::<PyList>() || object.is_instance_of::<PyTuple>() {
        (object.try_iter()?.collect::<PyResult<Vec<_>>>()?, DType::String)
    } else {
        return one(object).map(AttributeValue::One);
    };
    let values: Vec<Value> = items.iter().map(one).collect::<PyResult<_>>()?;
    let values = alike(values)
        .ok_or_else(|| Kind::Invalid.error(format!("{what}: the elements of a list must be of one type")))?;
    Ok(AttributeValue::list(dtype.unwrap_or(empty), values))
}

/// Values of one type: integers beside floats become floats.
fn alike(values: Vec<Value>) -> Option<Vec<Value>> {
    let has_float = values.iter().any(|value| matches!(value, Value::F64(_)));
    #[allow(clippy::cast_precision_loss)]
    let values: Vec<Value> = values
        .into_iter()
        .map(|value| match value {
            Value::I64(number) if has_float => Value::F64(number as f64),
            value => value,
        })
        .collect();
    let first = values.first().map(Value::dtype);
    values.iter().all(|value| Some(value.dtype()) == first).then_some(values)
}

/// The type of an attribute that can hold an object.
fn natural_dtype(object: &Bound<'_, PyAny>) -> PyResult<Option<DType>> {
    let py = object.py();
    let numpy = py.import(intern!(py, "numpy"))?;
    if object.is_instance(&numpy.getattr(intern!(py, "datetime64"))?)? {
        return Ok(Some(DType::Timestamp));
    }
    let object = if object.is_instance(&numpy.getattr(intern!(py, "generic"))?)? {
        object.call_method0(intern!(py, "item"))?
    } else {
        object.clone()
    };
    Ok(if object.is_instance_of::<PyBool>() {
        Some(DType::Bool)
    } else if object.is_instance_of::<PyInt>() {
        // Only integers that need the 64th bit are unsigned.
        Some(if object.extract::<i64>().is_err() && object.extract::<u64>().is_ok() {
            DType::U64
        } else {
            DType::I64
        })
    } else if object.is_instance_of::<PyFloat>() {
        Some(DType::F64)
    } else if object.is_instance_of::<PyString>() {
        Some(DType::String)
    } else if object.is_instance_of::<PyBytes>() {
        Some(DType::Binary)
    } else {
        None
    })
}

/// The value of an attribute as a Python object. A list stays a list.
pub(crate) fn from_attribute<'py>(py: Python<'py>, value: &AttributeValue) -> PyResult<Bound<'py, PyAny>> {
    match value {
        AttributeValue::One(value) => from_value(py, value),
        AttributeValue::List(_, values) => {
            let values: Vec<_> = values.iter().map(|value| from_value(py, value)).collect::<PyResult<_>>()?;
            Ok(PyList::new(py, values)?.into_any())
        }
    }
}

/// Attributes as a dict, in their order, without notes of programs.
pub(crate) fn from_attributes<'py>(
    py: Python<'py>,
    attributes: &[(String, AttributeValue)],
) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    for (key, value) in attributes.iter().filter(|(key, _)| !atlas::is_note(key)) {
        dict.set_item(key, from_attribute(py, value)?)?;
    }
    Ok(dict)
}

/// Cells that were read, as an array of `shape`. A NumPy array has the fill value in missing cells
/// or, without one, NaT, zero or empty. Otherwise a masked array, or an Arrow array.
pub(crate) fn from_cells<'py>(
    py: Python<'py>,
    cells: ArrayRef,
    dtype: DType,
    fill: Option<&Value>,
    shape: &[usize],
    missing: Missing,
) -> PyResult<Bound<'py, PyAny>> {
    if missing == Missing::Arrow {
        return ArrowArray::from_array_ref(cells).into_bound_py_any(py);
    }
    let mask = (missing == Missing::Masked).then(|| match cells.nulls() {
        Some(nulls) => nulls.iter().map(|shown| !shown).collect(),
        None => vec![false; cells.len()],
    });
    let array = match dtype {
        DType::Bool => {
            let missing = matches!(fill, Some(Value::Bool(true)));
            let values: Vec<bool> = cells.as_boolean().iter().map(|cell| cell.unwrap_or(missing)).collect();
            shaped(py, values, shape)?
        }
        DType::Timestamp => {
            let missing = if let Some(Value::Timestamp(fill)) = fill { *fill } else { NAT };
            shaped(py, filled::<TimestampNanosecondType>(cells, missing), shape)?
                .call_method1(intern!(py, "view"), ("datetime64[ns]",))?
        }
        DType::String => {
            let missing = if let Some(Value::String(fill)) = fill { fill.as_str() } else { "" };
            let cells = cells.as_string_view();
            let texts: Vec<_> = cells.iter().map(|cell| PyString::new(py, cell.unwrap_or(missing))).collect();
            objects_of(py, texts, shape)?
        }
        DType::Binary => {
            let missing = if let Some(Value::Binary(fill)) = fill { fill.as_slice() } else { b"" };
            let cells = cells.as_binary_view();
            let bytes: Vec<_> = cells.iter().map(|cell| PyBytes::new(py, cell.unwrap_or(missing))).collect();
            objects_of(py, bytes, shape)?
        }
        dtype => with_number!(dtype,
            P => shaped(py, filled::<P>(cells, number(fill)), shape)?,
            _ => return Err(PyTypeError::new_err("a type that is no number")),
        ),
    };
    let Some(mask) = mask else { return Ok(array) };
    let arguments = PyDict::new(py);
    arguments.set_item("mask", shaped(py, mask, shape)?)?;
    if let Some(fill) = fill {
        let fill = from_value(py, fill)?;
        let fill = if dtype == DType::Timestamp {
            py.import("numpy")?.call_method1("datetime64", (fill, "ns"))?
        } else {
            fill
        };
        arguments.set_item("fill_value", fill)?;
    }
    py.import("numpy.ma")?.call_method("MaskedArray", (array,), Some(&arguments))
}

/// A fill value as a number of one type; zero if there is none.
fn number<N: ArrowNativeType + FromNumber>(fill: Option<&Value>) -> N {
    match fill {
        Some(&Value::I64(value)) => N::from_i64(value),
        Some(&Value::U64(value)) => N::from_u64(value),
        Some(&Value::F64(value)) => N::from_f64(value),
        _ => N::default(),
    }
}

/// A number that a fill value can be. Fill values are within the range of their array's type.
trait FromNumber {
    fn from_i64(value: i64) -> Self;
    fn from_u64(value: u64) -> Self;
    fn from_f64(value: f64) -> Self;
}

macro_rules! from_number {
    ($($number:ty),*) => {$(
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_possible_wrap)]
        #[allow(clippy::cast_precision_loss, trivial_numeric_casts)]
        impl FromNumber for $number {
            fn from_i64(value: i64) -> Self {
                value as Self
            }
            fn from_u64(value: u64) -> Self {
                value as Self
            }
            fn from_f64(value: f64) -> Self {
                value as Self
            }
        }
    )*};
}

from_number!(i8, i16, i32, i64, u8, u16, u32, u64, f32, f64);

/// The values of cells, with `missing` for missing ones. Without a copy if the buffer is not
/// shared.
fn filled<P: ArrowPrimitiveType>(cells: ArrayRef, missing: P::Native) -> Vec<P::Native> {
    if cells.null_count() > 0 {
        let cells = cells.as_primitive::<P>();
        return cells.iter().map(|cell| cell.unwrap_or(missing)).collect();
    }
    let values = cells.as_primitive::<P>().values().clone();
    drop(cells);
    match values.into_inner().into_vec::<P::Native>() {
        Ok(values) => values,
        Err(shared) => shared.typed_data::<P::Native>().to_vec(),
    }
}

fn shaped<'py, T: Element>(py: Python<'py>, values: Vec<T>, shape: &[usize]) -> PyResult<Bound<'py, PyAny>> {
    Ok(PyArray1::from_vec(py, values).reshape(IxDyn(shape))?.into_any())
}

fn objects_of<'py, T>(
    py: Python<'py>,
    values: Vec<Bound<'py, T>>,
    shape: &[usize],
) -> PyResult<Bound<'py, PyAny>> {
    let values: Vec<Py<PyAny>> = values.into_iter().map(|value| value.into_any().unbind()).collect();
    shaped(py, values, shape)
}
