//! The variable of an array that was not imported from a NetCDF file.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, TimestampNanosecondType};
use atlas::{ArraySchema, AttributeValue, DType, Value};
use netcdf_reader::{NcAttrValue, NcAttribute, NcType};

use super::file::{Cells, Dims, Variable};
use crate::fill::default_of;
use crate::note;
use crate::numbers::filled;

/// Attributes that describe the stored numbers of a file, and not the decoded values.
const OF_NUMBERS: [&str; 8] = [
    "_FillValue",
    "missing_value",
    "scale_factor",
    "add_offset",
    "_Unsigned",
    "valid_min",
    "valid_max",
    "valid_range",
];

/// The attribute in which xarray keeps its own notes about an array.
const XARRAY: &str = "_xarray";

/// The variable of an array. If the array `was_decoded`, attributes about the stored numbers no
/// longer apply and are dropped.
pub(super) fn variable(
    dims: &mut Dims,
    (schema, shape, cells): (&ArraySchema, &[usize], &ArrayRef),
    was_decoded: bool,
) -> Result<Variable, String> {
    let mut attributes = note::attributes(&schema.attributes, &BTreeMap::new());
    attributes.retain(|attribute| {
        attribute.name != XARRAY && !(was_decoded && OF_NUMBERS.contains(&attribute.name.as_str()))
    });
    let paths: Vec<_> = schema.dims.iter().map(|name| dims.path(name)).zip(shape.iter().copied()).collect();
    let named: Vec<_> = schema.dims.iter().cloned().zip(shape.iter().copied()).collect();
    let places = dims.places(&paths).or_else(|| dims.places(&named));
    let dims = places.ok_or("two arrays have a dimension of one name and other sizes")?;
    let mut set = |name: &str, value: NcAttrValue| {
        attributes.retain(|attribute: &NcAttribute| attribute.name != name);
        attributes.push(NcAttribute { name: name.to_owned(), value });
    };
    let (dtype, cells) = match schema.dtype {
        DType::Binary => return Err("NetCDF has no binary values".to_owned()),
        DType::String => {
            let fill = match &schema.fill {
                Some(Value::String(fill)) => fill.as_str(),
                _ => "",
            };
            let texts = cells.as_string_view_opt().ok_or("its cells are no text")?;
            let texts = texts.iter().map(|text| text.unwrap_or(fill).to_owned()).collect();
            (NcType::String, Cells::Strings(texts))
        }
        DType::Timestamp => {
            let (unit, counts) = counts(cells)?;
            set("units", NcAttrValue::Chars(format!("{unit} since 1970-01-01")));
            set("calendar", NcAttrValue::Chars("proleptic_gregorian".to_owned()));
            if counts.null_count() > 0 {
                set("_FillValue", NcAttrValue::Int64s(vec![i64::MIN]));
            }
            (NcType::Int64, Cells::Numbers(filled(&counts, DType::I64, Some(Value::I64(i64::MIN)))?))
        }
        DType::Bool => {
            let bytes = cast(cells, &DataType::Int8).map_err(|e| e.to_string())?;
            // Booleans are written as in xarray, unless some are missing.
            match bytes.null_count() {
                0 => set("dtype", NcAttrValue::Chars("bool".to_owned())),
                _ => set("_FillValue", NcAttrValue::Bytes(vec![-1])),
            }
            (NcType::Byte, Cells::Numbers(filled(&bytes, DType::I8, Some(Value::I64(-1)))?))
        }
        number => {
            let dtype = nc_type(number).ok_or("NetCDF has no such type")?;
            let fill = match cells.null_count() {
                0 => None,
                _ => Some(fill(schema, cells).ok_or("it has missing cells, and no number is left for them")?),
            };
            if let Some(fill) = &fill {
                let value = AttributeValue::One(fill.clone());
                set("_FillValue", note::attribute(&value, Some(dtype.clone())));
            }
            (dtype, Cells::Numbers(filled(cells, number, fill)?))
        }
    };
    Ok(Variable { path: schema.name.clone(), dims, dtype, attributes, cells })
}

fn nc_type(dtype: DType) -> Option<NcType> {
    Some(match dtype {
        DType::I8 => NcType::Byte,
        DType::I16 => NcType::Short,
        DType::I32 => NcType::Int,
        DType::I64 => NcType::Int64,
        DType::U8 => NcType::UByte,
        DType::U16 => NcType::UShort,
        DType::U32 => NcType::UInt,
        DType::U64 => NcType::UInt64,
        DType::F32 => NcType::Float,
        DType::F64 => NcType::Double,
        _ => return None,
    })
}

/// Counts of the longest unit of which all timestamps are whole multiples.
fn counts(cells: &ArrayRef) -> Result<(&'static str, ArrayRef), String> {
    let timestamps =
        cells.as_primitive_opt::<TimestampNanosecondType>().ok_or("its cells are no timestamps")?;
    let units = [
        ("days", 86_400_000_000_000i64),
        ("hours", 3_600_000_000_000),
        ("minutes", 60_000_000_000),
        ("seconds", 1_000_000_000),
        ("milliseconds", 1_000_000),
        ("microseconds", 1_000),
    ];
    let whole = |length: i64| timestamps.iter().flatten().all(|timestamp| timestamp % length == 0);
    let (unit, length) = units.into_iter().find(|(_, length)| whole(*length)).unwrap_or(("nanoseconds", 1));
    let counts: Int64Array = timestamps.iter().map(|timestamp| Some(timestamp? / length)).collect();
    Ok((unit, Arc::new(counts)))
}

/// A number that no cell has: the fill value of the array, or the one of NetCDF, or NaN, or another
/// one.
fn fill(schema: &ArraySchema, cells: &ArrayRef) -> Option<Value> {
    if let Some(fill) = &schema.fill {
        return Some(fill.clone());
    }
    let dtype = schema.dtype;
    if dtype.is_float() {
        return Some(Value::F64(f64::NAN));
    }
    let values: HashSet<Value> =
        (0..cells.len()).filter_map(|row| dtype.value(cells.as_ref(), row)).collect();
    let unsigned = matches!(dtype, DType::U8 | DType::U16 | DType::U32 | DType::U64);
    // There is one candidate more than there are values, so one is unused, if the type has that
    // many.
    let others = (0..=values.len() as u64).map(|number| match unsigned {
        true => Value::U64(number),
        false => Value::I64((-1_i64).saturating_sub_unsigned(number)),
    });
    let free = |value: &Value| !values.contains(value) && dtype.holds(value);
    default_of(dtype).into_iter().chain(others).find(free)
}
