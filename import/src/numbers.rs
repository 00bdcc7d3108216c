//! Reads numeric variables in slabs, and decodes them.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Scalar, make_array};
use arrow::compute::kernels::zip::zip;
use arrow::compute::{cast, is_not_null};
use arrow::datatypes::{DataType, Float64Type};
use atlas::{ArraySchema, DType, Value};

use crate::cf::{Numbers, Packing, raw_type};
use crate::fill::{Missing, default_of};
use crate::kept::KeptCells;
use crate::notice::Notice;
use crate::piece::{Piece, Variable, slab_rows, write_slabs};
use crate::reader::{File, Stored};
use crate::time::{CalendarPolicy, Times};
use crate::{ImportOptions, MaskPolicy};

pub(crate) fn read_numbers(
    file: &File,
    variable: &Variable,
    inherited: Option<&Variable>,
    mut schema: ArraySchema,
    options: &ImportOptions,
    take: &mut dyn FnMut(Piece) -> bool,
) -> Result<bool, String> {
    let policies = Policies::of(options);
    let (mut codec, notice) = NumberCodec::new(variable, inherited, &policies)?;
    if notice.is_some_and(|notice| !take(Piece::Notice(notice))) {
        return Ok(false);
    }
    let shape = variable.shape();
    let width = codec.stored.width().unwrap_or(8);
    let row = shape.iter().skip(1).try_fold(width, |bytes, &size| bytes.checked_mul(size));
    let row = row.ok_or_else(|| format!("its shape {shape:?} is too large"))?;
    let rows = shape.first().copied().unwrap_or(1);
    let slab = if row == 0 { rows } else { slab_rows(rows, row, schema.chunk.first()) };

    schema.dtype = codec.dtype();
    schema.fill = codec.fill();
    let mut kept = KeptCells::default();
    let mut read = |rows: Range<usize>| {
        let raw = read_slab(file, variable.id, codec.raw, rows)?;
        let cells = codec.decode(&raw)?;
        if !codec.is_exact() {
            let again = codec.encode(&cells)?;
            kept.numbers(&raw, &again).map_err(|e| e.to_string())?;
        }
        kept.advance(raw.len());
        Ok(cells)
    };
    if !write_slabs(&schema, &shape, slab, &mut read, take)? {
        return Ok(false);
    }
    let notices = codec.notices(&variable.name).map(Piece::Notice);
    Ok(notices.chain(kept.piece(&variable.name)).all(take))
}

/// What to do with cells that may not be values.
#[derive(Clone, Copy)]
pub(crate) struct Policies {
    pub calendar: CalendarPolicy,
    pub default_fill: MaskPolicy,
    pub valid_range: MaskPolicy,
}

impl Policies {
    fn of(options: &ImportOptions) -> Self {
        let &ImportOptions { calendar, default_fill, valid_range, .. } = options;
        Self { calendar, default_fill, valid_range }
    }
}

/// Decodes the numbers of a variable to values, and encodes the values again.
pub(crate) struct NumberCodec {
    /// The type in the file.
    raw: DType,
    /// The type once `_Unsigned` is applied.
    stored: DType,
    packing: Option<Packing>,
    times: Option<Times>,
    missing: Missing,
}

impl NumberCodec {
    /// The codec of a variable; with a notice if it is a time variable that stays numeric.
    pub(crate) fn new(
        variable: &Variable,
        inherited: Option<&Variable>,
        policies: &Policies,
    ) -> Result<(Self, Option<Notice>), String> {
        let raw = raw_type(variable.source.dtype())?;
        let unsigned = variable.text("_Unsigned").map(|text| text.trim().eq_ignore_ascii_case("true"));
        let stored = with_sign(raw, unsigned);
        let mut bad = Vec::new();
        let packing = packing(variable, stored, &mut bad);
        let (times, notice) = match Times::of(variable, inherited, packing.as_ref(), policies.calendar) {
            Ok(times) => (times, None),
            Err(notice) => (None, Some(notice)),
        };
        let masks = (policies.default_fill, policies.valid_range);
        let missing = Missing::of(variable, (raw, stored), packing.as_ref(), masks, bad);
        Ok((Self { raw, stored, packing, times, missing }, notice))
    }

    /// The type in the file.
    pub(crate) fn raw(&self) -> DType {
        self.raw
    }

    /// The type of the values.
    pub(crate) fn dtype(&self) -> DType {
        match (&self.times, &self.packing) {
            (Some(_), _) => DType::Timestamp,
            (None, Some(packing)) => packing.dtype,
            (None, None) => self.stored,
        }
    }

    /// The fill value of the decoded array: the stored one if decoding leaves values unchanged. NaN
    /// if values are unpacked, and none of them can be NaN.
    fn fill(&self) -> Option<Value> {
        match (&self.times, &self.packing) {
            (None, None) => self.missing.fill().cloned(),
            (None, Some(packing)) => {
                let has_nan = self.stored.is_float() && !self.missing.has_nan() || !packing.is_finite();
                self.missing.fill().filter(|_| !has_nan).map(|_| Value::F64(f64::NAN))
            }
            _ => None,
        }
    }

    /// True if [`encode`](Self::encode) always restores the numbers of the file.
    fn is_exact(&self) -> bool {
        self.times.is_none() && self.packing.is_none() && self.missing.is_one_number()
    }

    /// Decodes numbers of the file to values, which are null if missing.
    pub(crate) fn decode(&mut self, raw: &ArrayRef) -> Result<ArrayRef, String> {
        let numbers = if self.raw == self.stored { Arc::clone(raw) } else { reinterpret(raw, self.stored)? };
        let masked = self.missing.mask(&numbers).map_err(|e| e.to_string())?;
        match (&mut self.times, &self.packing) {
            (Some(times), _) => times.decode(&masked),
            (None, Some(packing)) => {
                let floats = cast(&masked, &DataType::Float64).map_err(|e| e.to_string())?;
                let floats = floats.as_primitive::<Float64Type>();
                let unpacked: Float64Array = floats.unary(|value| packing.unpack(value));
                cast(&unpacked, &packing.dtype.arrow()).map_err(|e| e.to_string())
            }
            (None, None) => Ok(masked),
        }
    }

    /// Encodes values to numbers that [`decode`](Self::decode) decodes to them, if such numbers
    /// exist. Missing cells become the fill value.
    pub(crate) fn encode(&self, cells: &ArrayRef) -> Result<ArrayRef, String> {
        let numbers = match (&self.times, &self.packing) {
            (Some(times), _) => times.encode(cells, self.stored)?,
            (None, Some(packing)) => pack(packing, cells, self.stored)?,
            (None, None) => Arc::clone(cells),
        };
        let fill = self.missing.fill().cloned().or_else(|| default_of(self.stored));
        let filled = filled(&numbers, self.stored, fill)?;
        if self.raw == self.stored { Ok(filled) } else { reinterpret(&filled, self.raw) }
    }

    /// Notices about all cells that were decoded.
    fn notices(self, subject: &str) -> impl Iterator<Item = Notice> {
        let of_times = self.times.iter().flat_map(|times| times.notices(subject)).collect::<Vec<_>>();
        of_times.into_iter().chain(self.missing.notices(subject))
    }
}

/// The packing that a variable declares. Errors in its attributes are added to `bad`.
fn packing(variable: &Variable, stored: DType, bad: &mut Vec<String>) -> Option<Packing> {
    let mut numbers = |name: &str| {
        let numbers = Numbers::read(name, variable.attribute(name)?, bad)?;
        if numbers.values.len() > 1 {
            bad.push(format!("`{name}` has several numbers: the first is used"));
        }
        Some(numbers)
    };
    let (scale, offset) = (numbers("scale_factor"), numbers("add_offset"));
    Packing::of(scale.as_ref(), offset.as_ref(), stored)
}

/// Packs values. Null values stay null, and values that no number of the type represents become
/// null.
fn pack(packing: &Packing, cells: &ArrayRef, stored: DType) -> Result<ArrayRef, String> {
    let as_floats = |cells: &ArrayRef| cast(cells, &DataType::Float64).map_err(|e| e.to_string());
    // Unpacks a number, with the precision of the unpacked type.
    #[allow(clippy::cast_possible_truncation)]
    let unpacked = |packed: f64| match packing.dtype {
        DType::F32 => f64::from(packing.unpack(packed) as f32),
        _ => packing.unpack(packed),
    };
    let number = |value: f64| {
        let near = (value - packing.offset) / packing.scale;
        let candidates = match stored {
            DType::F64 => [near, near.next_down(), near.next_up()],
            #[allow(clippy::cast_possible_truncation)]
            DType::F32 => {
                let near = near as f32;
                [near, near.next_down(), near.next_up()].map(f64::from)
            }
            _ => [near.round(), near.round() - 1.0, near.round() + 1.0],
        };
        let is_it = |packed: &f64| unpacked(*packed).to_bits() == value.to_bits();
        candidates.into_iter().find(is_it).unwrap_or(candidates[0])
    };
    let packed: Float64Array = as_floats(cells)?.as_primitive::<Float64Type>().unary(number);
    cast(&packed, &stored.arrow()).map_err(|e| e.to_string())
}

/// Replaces nulls by `fill`, or by zero if it is `None`.
pub(crate) fn filled(numbers: &ArrayRef, dtype: DType, fill: Option<Value>) -> Result<ArrayRef, String> {
    if numbers.null_count() == 0 {
        return Ok(Arc::clone(numbers));
    }
    let zero = match dtype {
        dtype if dtype.is_float() => Value::F64(0.0),
        DType::U8 | DType::U16 | DType::U32 | DType::U64 => Value::U64(0),
        _ => Value::I64(0),
    };
    let fill = dtype.array([Some(fill.unwrap_or(zero))]);
    zip(&is_not_null(numbers).map_err(|e| e.to_string())?, numbers, &Scalar::new(fill))
        .map_err(|e| e.to_string())
}

/// The type after `_Unsigned` is applied to type `raw`.
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

/// Reinterprets the bits as numbers of the other signedness.
fn reinterpret(numbers: &ArrayRef, to: DType) -> Result<ArrayRef, String> {
    let data = numbers.to_data().into_builder().data_type(to.arrow()).build();
    data.map(make_array).map_err(|e| e.to_string())
}

/// The numbers of a variable with `rows` as their first index, as stored in the file.
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
