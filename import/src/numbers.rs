//! Variables of numbers: read in slabs, and decoded into the values they stand for.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, make_array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use atlas::{ArraySchema, DType, Value};
use netcdf_reader::NcType;

use crate::ImportOptions;
use crate::cf::{Numbers, Packing};
use crate::fill::Missing;
use crate::netcdf::{Piece, Variable, write_slabs};
use crate::reader::{File, Stored};
use crate::time::Times;

/// Bytes of a variable that are read at one time, at the most, where it can be read in parts.
const SLAB_BYTES: usize = 32 * 1024 * 1024;

pub(crate) fn read_numbers(
    file: &File,
    variable: &Variable,
    inherited: Option<&Variable>,
    mut schema: ArraySchema,
    options: &ImportOptions,
    take: &mut dyn FnMut(Piece) -> bool,
) -> Result<bool, String> {
    let raw = raw_type(variable.source.dtype())?;
    let unsigned = variable.text("_Unsigned").map(|text| text.trim().eq_ignore_ascii_case("true"));
    let stored = with_sign(raw, unsigned);
    let mut bad = Vec::new();
    let mut decoding = Decoding::new(variable, stored, &mut bad);
    match Times::of(variable, inherited, decoding.packing.as_ref(), options.calendar) {
        Ok(times) => decoding.times = times,
        Err(notice) => {
            if !take(Piece::Notice(notice)) {
                return Ok(false);
            }
        }
    }
    let policies = (options.default_fill, options.valid_range);
    let mut missing = Missing::of(variable, (raw, stored), decoding.packing.as_ref(), policies, bad);
    let shape = variable.shape();
    let width = stored.width().unwrap_or(8);
    let row = shape.iter().skip(1).try_fold(width, |bytes, &size| bytes.checked_mul(size));
    let row = row.ok_or_else(|| format!("its shape {shape:?} is too large"))?;
    let rows = shape.first().copied().unwrap_or(1);
    let slab = if row == 0 { rows } else { slab_rows(rows, row, schema.chunk.first()) };

    schema.dtype = decoding.dtype();
    schema.fill = decoding.fill(&missing);
    let mut read = |rows: Range<usize>| {
        let numbers = read_slab(file, variable.id, raw, rows)?;
        let numbers = if raw == stored { numbers } else { reinterpret(&numbers, stored)? };
        decoding.decode(&missing.mask(&numbers).map_err(|e| e.to_string())?)
    };
    if !write_slabs(&schema, &shape, slab, &mut read, take)? {
        return Ok(false);
    }
    let of_times = decoding.times.iter().flat_map(|times| times.notices(&variable.name));
    Ok(of_times.chain(missing.notices(&variable.name)).map(Piece::Notice).all(take))
}

/// How the numbers of a variable become the values they stand for.
pub(crate) struct Decoding {
    /// The type as stored, once `_Unsigned` is applied.
    stored: DType,
    packing: Option<Packing>,
    times: Option<Times>,
}

impl Decoding {
    /// What is wrong with the attributes is added to `bad`.
    fn new(variable: &Variable, stored: DType, bad: &mut Vec<String>) -> Self {
        let mut numbers = |name: &str| {
            let numbers = Numbers::read(name, variable.attribute(name)?, bad)?;
            if numbers.values.len() > 1 {
                bad.push(format!("`{name}` has several numbers: the first is used"));
            }
            Some(numbers)
        };
        let (scale, offset) = (numbers("scale_factor"), numbers("add_offset"));
        let packing = Packing::of(scale.as_ref(), offset.as_ref(), stored);
        Self { stored, packing, times: None }
    }

    fn dtype(&self) -> DType {
        match (&self.times, &self.packing) {
            (Some(_), _) => DType::Timestamp,
            (None, Some(packing)) => packing.dtype,
            (None, None) => self.stored,
        }
    }

    /// The fill value of the decoded array: the stored one where values are kept as they are.
    fn fill(&self, missing: &Missing) -> Option<Value> {
        match (&self.times, &self.packing) {
            (None, None) => missing.fill().cloned(),
            (None, Some(_)) => missing.fill().map(|_| Value::F64(f64::NAN)),
            _ => None,
        }
    }

    /// The values of stored numbers, which are null where they are missing.
    fn decode(&mut self, masked: &ArrayRef) -> Result<ArrayRef, String> {
        match (&mut self.times, &self.packing) {
            (Some(times), _) => times.decode(masked),
            (None, Some(packing)) => {
                let floats = cast(masked, &DataType::Float64).map_err(|e| e.to_string())?;
                let floats = floats.as_primitive::<Float64Type>();
                let unpacked: Float64Array = floats.unary(|value| packing.unpack(value));
                cast(&unpacked, &packing.dtype.arrow()).map_err(|e| e.to_string())
            }
            (None, None) => Ok(Arc::clone(masked)),
        }
    }
}

/// Rows along the first dimension that are read at one time: whole chunks, of about [`SLAB_BYTES`].
pub(crate) fn slab_rows(rows: usize, row_bytes: usize, chunk: Option<&usize>) -> usize {
    let fitting = (SLAB_BYTES / row_bytes.max(1)).max(1);
    match chunk {
        Some(&chunk) if chunk > 0 => (fitting / chunk).max(1) * chunk,
        // One chunk along this dimension: it is assembled from slabs.
        _ => fitting,
    }
    .min(rows)
}

pub(crate) fn raw_type(dtype: &NcType) -> Result<DType, String> {
    Ok(match dtype {
        NcType::Byte => DType::I8,
        NcType::Short => DType::I16,
        NcType::Int => DType::I32,
        NcType::Int64 => DType::I64,
        NcType::UByte => DType::U8,
        NcType::UShort => DType::U16,
        NcType::UInt => DType::U32,
        NcType::UInt64 => DType::U64,
        NcType::Float => DType::F32,
        NcType::Double => DType::F64,
        other => return Err(format!("{other:?} is no type of numbers")),
    })
}

/// The type that `_Unsigned` makes of a stored one.
fn with_sign(raw: DType, unsigned: Option<bool>) -> DType {
    match (raw, unsigned) {
        (DType::I8, Some(true)) => DType::U8,
        (DType::I16, Some(true)) => DType::U16,
        (DType::I32, Some(true)) => DType::U32,
        (DType::I64, Some(true)) => DType::U64,
        (DType::U8, Some(false)) => DType::I8,
        (DType::U16, Some(false)) => DType::I16,
        (DType::U32, Some(false)) => DType::I32,
        (DType::U64, Some(false)) => DType::I64,
        (raw, _) => raw,
    }
}

/// The same bits as numbers of the other signedness.
fn reinterpret(numbers: &ArrayRef, to: DType) -> Result<ArrayRef, String> {
    let data = numbers.to_data().into_builder().data_type(to.arrow()).build();
    data.map(make_array).map_err(|e| e.to_string())
}

/// The numbers of a variable with `rows` as their first index, as they are in the file.
fn read_slab(file: &File, id: usize, raw: DType, rows: Range<usize>) -> Result<ArrayRef, String> {
    fn numbers<T: Stored>(file: &File, id: usize, rows: Range<usize>) -> Result<ArrayRef, String> {
        Ok(T::to_arrow(file.read::<T>(id, rows)?.into_iter()))
    }
    match raw {
        DType::I8 => numbers::<i8>(file, id, rows),
        DType::I16 => numbers::<i16>(file, id, rows),
        DType::I32 => numbers::<i32>(file, id, rows),
        DType::I64 => numbers::<i64>(file, id, rows),
        DType::U8 => numbers::<u8>(file, id, rows),
        DType::U16 => numbers::<u16>(file, id, rows),
        DType::U32 => numbers::<u32>(file, id, rows),
        DType::U64 => numbers::<u64>(file, id, rows),
        DType::F32 => numbers::<f32>(file, id, rows),
        _ => numbers::<f64>(file, id, rows),
    }
}
