//! One NetCDF file, read piece by piece.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, StringViewArray, TimestampNanosecondArray, make_array,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use atlas::{ArraySchema, AttributeValue, DType, Element, Value, default_chunk};
use netcdf_reader::{
    NcAttrValue, NcFile, NcGroup, NcReadable, NcSliceInfo, NcSliceInfoElem, NcType, NcValue, NcVariable,
};

use crate::Error;
use crate::cf::{self, Number, Packing, TimeUnits};

/// Bytes of a variable that are read at one time, at the most, where it can be read in parts.
const SLAB_BYTES: usize = 32 * 1024 * 1024;

/// What a file is made of, in the order in which it can go into a store.
pub(crate) enum Piece {
    /// An attribute of the dataset.
    Attribute(String, AttributeValue),
    /// An array and its shape.
    Array(ArraySchema, Vec<usize>),
    /// Cells of an array that came before.
    Cells { array: String, start: Vec<usize>, shape: Vec<usize>, cells: ArrayRef },
    /// Something that cannot be kept, and why.
    LeftOut(String),
}

/// Reads a file; `take` gets its pieces, and says whether it wants more.
pub(crate) fn read_file(
    path: &Path,
    chunk: &HashMap<String, usize>,
    take: &mut dyn FnMut(Piece) -> bool,
) -> Result<(), Error> {
    read(path, chunk, take).map_err(|reason| Error::File { path: path.to_owned(), reason })
}

fn read(
    path: &Path,
    chunk: &HashMap<String, usize>,
    take: &mut dyn FnMut(Piece) -> bool,
) -> Result<(), String> {
    let file = NcFile::open(path).map_err(|e| e.to_string())?;
    let root = file.root_group().map_err(|e| e.to_string())?;
    let mut variables = Vec::new();
    collect(root, &[], &mut Vec::new(), &mut variables);
    for (key, value) in group_attributes(root, "") {
        let piece = match value {
            Some(value) => Piece::Attribute(key, value),
            None => Piece::LeftOut(format!("attribute `{key}` has a user-defined type")),
        };
        if !take(piece) {
            return Ok(());
        }
    }
    let lengths = length_dims(&variables);
    let bounds = bounds(&variables);
    for variable in &variables {
        let inherited = bounds.get(variable.name.as_str()).copied();
        if !read_variable(&file, variable, inherited, &lengths, chunk, take)
            .map_err(|reason| format!("variable `{}`: {reason}", variable.name))?
        {
            return Ok(());
        }
    }
    Ok(())
}

/// A variable with the names that it and its dimensions have in the dataset.
struct Variable<'a> {
    /// Where the reader finds it.
    path: String,
    name: String,
    dims: Vec<(String, usize)>,
    source: &'a NcVariable,
}

impl Variable<'_> {
    fn attribute(&self, name: &str) -> Option<&NcAttrValue> {
        self.source.attribute(name).map(|attribute| &attribute.value)
    }

    fn text(&self, name: &str) -> Option<String> {
        self.attribute(name).and_then(NcAttrValue::as_string)
    }

    fn shape(&self) -> Vec<usize> {
        self.dims.iter().map(|&(_, size)| size).collect()
    }
}

/// Dimensions of a group, by name: the name in the dataset, and the size.
type Scope<'a> = HashMap<&'a str, (String, u64)>;

/// The variables of a group and of those below it. What a group below the root has is named
/// `group.name`, its dimensions too; `scopes` has the dimensions of the groups above, outermost first.
fn collect<'a>(
    group: &'a NcGroup,
    path: &[&'a str],
    scopes: &mut Vec<Scope<'a>>,
    variables: &mut Vec<Variable<'a>>,
) {
    let prefix: String = path.iter().map(|name| format!("{name}.")).collect();
    // The reader lists a dimension of a group above again where the group uses it: it is another one only if
    // its size differs or the group has coordinates for it.
    let own = group.dimensions.iter().filter(|dim| {
        let above = scopes.iter().rev().find_map(|scope| scope.get(dim.name.as_str()));
        let coordinate =
            group.variables.iter().any(|variable| variable.is_coordinate_variable_for(&dim.name));
        coordinate || above.is_none_or(|(_, size)| *size != dim.size)
    });
    let own = own.map(|dim| (dim.name.as_str(), (format!("{prefix}{}", dim.name), dim.size))).collect();
    scopes.push(own);
    for source in &group.variables {
        let mut dims: Vec<(String, usize)> = Vec::new();
        for dim in source.dimensions() {
            let known = scopes.iter().rev().find_map(|scope| scope.get(dim.name.as_str()));
            let mut name = legal(known.map_or(dim.name.as_str(), |(name, _)| name.as_str()));
            while dims.iter().any(|(other, _)| *other == name) {
                // A covariance has a dimension twice; an array cannot.
                name.push_str("_2");
            }
            dims.push((name, usize::try_from(dim.size).unwrap_or(usize::MAX)));
        }
        let slashes: String = path.iter().map(|name| format!("{name}/")).collect();
        variables.push(Variable {
            path: format!("{slashes}{}", source.name()),
            name: legal(&format!("{prefix}{}", source.name())),
            dims,
            source,
        });
    }
    for child in &group.groups {
        let path: Vec<_> = path.iter().copied().chain([child.name.as_str()]).collect();
        collect(child, &path, scopes, variables);
    }
    scopes.pop();
}

/// A NetCDF name as a name in a store, which must not start with `_`.
fn legal(name: &str) -> String {
    let legal = name.trim_start_matches('_');
    if legal.is_empty() { "unnamed".to_owned() } else { legal.to_owned() }
}

fn group_attributes(group: &NcGroup, prefix: &str) -> Vec<(String, Option<AttributeValue>)> {
    let own = group
        .attributes
        .iter()
        .map(|attribute| (format!("{prefix}{}", attribute.name), cf::attribute_value(&attribute.value)));
    let mut attributes: Vec<_> = own.collect();
    for child in &group.groups {
        attributes.extend(group_attributes(child, &format!("{prefix}{}.", child.name)));
    }
    attributes
}

/// The dimensions that are lengths of text: last dimensions of character arrays that nothing else has.
fn length_dims(variables: &[Variable]) -> HashSet<String> {
    let last = |variable: &Variable| variable.dims.last().map(|(name, _)| name.clone());
    let is_text = |variable: &&Variable| *variable.source.dtype() == NcType::Char;
    let lengths: HashSet<_> = variables.iter().filter(is_text).filter_map(last).collect();
    let others: HashSet<_> = variables
        .iter()
        .flat_map(|variable| {
            let dims = variable.dims.len() - usize::from(is_text(&variable)).min(variable.dims.len());
            variable.dims.iter().take(dims).map(|(name, _)| name.clone())
        })
        .collect();
    lengths.difference(&others).cloned().collect()
}

/// Variables that are the bounds of others, which lend them their units (CF section 7.1).
fn bounds<'a>(variables: &'a [Variable<'a>]) -> HashMap<String, &'a Variable<'a>> {
    let bounds = variables.iter().filter_map(|variable| Some((variable.text("bounds")?, variable)));
    bounds.collect()
}

fn read_variable(
    file: &NcFile,
    variable: &Variable,
    inherited: Option<&Variable>,
    lengths: &HashSet<String>,
    chunk: &HashMap<String, usize>,
    take: &mut dyn FnMut(Piece) -> bool,
) -> Result<bool, String> {
    let mut schema = ArraySchema::new(variable.name.clone(), DType::String, &[]);
    for attribute in variable.source.attributes() {
        match cf::attribute_value(&attribute.value) {
            Some(value) => schema.attributes.push((attribute.name.clone(), value)),
            None => {
                let what = format!("attribute `{}` of `{}`", attribute.name, variable.name);
                if !take(Piece::LeftOut(format!("{what} has a user-defined type"))) {
                    return Ok(false);
                }
            }
        }
    }
    let mut dims = variable.dims.clone();
    let text = match variable.source.dtype() {
        NcType::Char => {
            if dims.last().is_some_and(|(name, _)| lengths.contains(name)) {
                dims.pop();
            }
            Some(characters(file, variable, dims.len() < variable.dims.len())?)
        }
        NcType::String => Some(strings(file, variable)?),
        NcType::Enum { .. } => Some(enum_names(file, variable)?),
        NcType::Compound { .. } | NcType::Opaque { .. } | NcType::Array { .. } | NcType::VLen { .. } => {
            let reason = format!("variable `{}` has a user-defined type", variable.name);
            return Ok(take(Piece::LeftOut(reason)));
        }
        _ => None,
    };
    schema.dims = dims.iter().map(|(name, _)| name.clone()).collect();
    let shape: Vec<_> = dims.iter().map(|&(_, size)| size).collect();
    let chosen = dims.iter().zip(default_chunk(&shape)).map(|((name, size), default)| {
        chunk.get(name).map_or(default, |&chunk| if chunk >= *size { 0 } else { chunk })
    });
    schema.chunk = chosen.collect();

    let Some(text) = text else {
        return read_numbers(file, variable, inherited, schema, take);
    };
    if variable.attribute("_FillValue").is_some() {
        schema.fill = Some(Value::String(String::new()));
    }
    let cells = cells(&schema, vec![0; shape.len()], shape.clone(), text);
    Ok(take(Piece::Array(schema, shape)) && take(cells))
}

fn cells(schema: &ArraySchema, start: Vec<usize>, shape: Vec<usize>, cells: ArrayRef) -> Piece {
    Piece::Cells { array: schema.name.clone(), start, shape, cells }
}

/// The text of a character array: strings along its last dimension where that is a length, else characters.
fn characters(file: &NcFile, variable: &Variable, joined: bool) -> Result<ArrayRef, String> {
    let strings = file.read_variable_as_strings(&variable.path).map_err(|e| e.to_string())?;
    let strings: Vec<String> = if joined || variable.dims.is_empty() {
        strings
    } else {
        let length = variable.dims.last().map_or(0, |&(_, size)| size);
        strings
            .iter()
            .flat_map(|text| {
                let padding = std::iter::repeat('\0');
                text.chars().chain(padding).take(length).map(String::from).collect::<Vec<_>>()
            })
            .collect()
    };
    Ok(trimmed(strings))
}

fn strings(file: &NcFile, variable: &Variable) -> Result<ArrayRef, String> {
    let strings = file.read_variable_as_strings(&variable.path).map_err(|e| e.to_string())?;
    Ok(Arc::new(StringViewArray::from_iter_values(strings)))
}

fn trimmed(strings: Vec<String>) -> ArrayRef {
    let strings = strings.iter().map(|text| text.trim_end_matches(['\0', ' ']));
    Arc::new(StringViewArray::from_iter_values(strings))
}

/// The names of an enumeration's members; the number where one has no name.
fn enum_names(file: &NcFile, variable: &Variable) -> Result<ArrayRef, String> {
    let values = file.read_variable_user_defined(&variable.path).map_err(|e| e.to_string())?;
    let names =
        values.into_iter().map(|value| match value {
            NcValue::Enum(value) => Some(value.member.unwrap_or_else(|| {
                value.value.as_i128().map_or_else(String::new, |number| number.to_string())
            })),
            _ => None,
        });
    Ok(Arc::new(names.collect::<StringViewArray>()))
}

/// How the numbers of a variable become the values they stand for.
struct Decoding {
    /// The type as stored, once `_Unsigned` is applied.
    stored: DType,
    /// Stored numbers that stand for missing cells.
    missing: Vec<Value>,
    packing: Option<Packing>,
    time: Option<TimeUnits>,
}

impl Decoding {
    fn new(variable: &Variable, inherited: Option<&Variable>, stored: DType) -> Self {
        let numbers = ["_FillValue", "missing_value"]
            .into_iter()
            .filter_map(|name| variable.attribute(name))
            .flat_map(cf::numbers)
            .filter_map(|number| number.element(stored));
        let of_time = if variable.attribute("units").is_some() { Some(variable) } else { inherited };
        let time = of_time.and_then(|variable| {
            TimeUnits::parse(&variable.text("units")?, variable.text("calendar").as_deref())
        });
        let packing = Packing::of(variable.attribute("scale_factor"), variable.attribute("add_offset"));
        let mut missing: Vec<Value> = Vec::new();
        for value in numbers {
            if !missing.contains(&value) {
                missing.push(value);
            }
        }
        Self { stored, missing, packing, time }
    }

    fn dtype(&self) -> DType {
        match (&self.time, &self.packing) {
            (Some(_), _) => DType::Timestamp,
            (None, Some(packing)) => packing.dtype,
            (None, None) => self.stored,
        }
    }

    /// The fill value of the decoded array: the stored one where values are kept as they are.
    fn fill(&self) -> Option<Value> {
        match (&self.time, &self.packing) {
            (None, None) => self.missing.first().cloned(),
            (None, Some(_)) if !self.missing.is_empty() => Some(Value::F64(f64::NAN)),
            _ => None,
        }
    }

    /// The values, or `None` where one of them is a time that cannot be expressed.
    fn decode(&self, stored: &ArrayRef) -> Result<Option<ArrayRef>, String> {
        let masked =
            self.missing.iter().fold(Arc::clone(stored), |cells, fill| self.stored.mask(&cells, fill));
        let floats = || -> Result<Float64Array, String> {
            let floats = cast(&masked, &DataType::Float64).map_err(|e| e.to_string())?;
            let floats = floats.as_primitive::<Float64Type>();
            Ok(match &self.packing {
                Some(packing) => floats.unary(|value| value * packing.scale + packing.offset),
                None => floats.clone(),
            })
        };
        let Some(time) = &self.time else {
            return match &self.packing {
                Some(packing) => {
                    cast(&floats()?, &packing.dtype.arrow()).map(Some).map_err(|e| e.to_string())
                }
                None => Ok(Some(masked)),
            };
        };
        let numbers: Vec<Option<Number>> = if self.packing.is_some() || self.stored.is_float() {
            floats()?.iter().map(|value| value.filter(|value| !value.is_nan()).map(Number::Float)).collect()
        } else {
            (0..masked.len())
                .map(|row| match self.stored.value(&masked, row)? {
                    Value::I64(value) => Some(Number::Int(value.into())),
                    Value::U64(value) => Some(Number::Int(value.into())),
                    _ => None,
                })
                .collect()
        };
        let instants: Option<Vec<Option<i64>>> = numbers
            .into_iter()
            .map(|number| number.map(|number| time.instant(number)).map_or(Some(None), |i| i.map(Some)))
            .collect();
        Ok(instants.map(|instants| Arc::new(TimestampNanosecondArray::from(instants)) as ArrayRef))
    }
}

fn read_numbers(
    file: &NcFile,
    variable: &Variable,
    inherited: Option<&Variable>,
    mut schema: ArraySchema,
    take: &mut dyn FnMut(Piece) -> bool,
) -> Result<bool, String> {
    let raw = raw_type(variable.source.dtype())?;
    let unsigned = variable.text("_Unsigned").map(|text| text.trim().eq_ignore_ascii_case("true"));
    let stored = with_sign(raw, unsigned);
    let mut decoding = Decoding::new(variable, inherited, stored);
    let shape = variable.shape();
    let width = stored.width().unwrap_or(8);
    let row = shape.iter().skip(1).try_fold(width, |bytes, &size| bytes.checked_mul(size));
    let row = row.ok_or_else(|| format!("its shape {shape:?} is too large"))?;
    let rows = shape.first().copied().unwrap_or(1);
    // Times are read at once: whether they can be expressed decides on the type of all of them.
    let slab =
        if decoding.time.is_some() || row == 0 { rows } else { slab_rows(rows, row, schema.chunk.first()) };

    let mut first = 0;
    let mut defined = false;
    while first < rows || !defined {
        let count = slab.min(rows - first);
        let numbers = read_slab(file, variable, raw, first, count)?;
        let numbers = if raw == stored { numbers } else { reinterpret(&numbers, stored)? };
        let values = match decoding.decode(&numbers)? {
            Some(values) => values,
            None => {
                decoding.time = None;
                decoding.decode(&numbers)?.ok_or("its values cannot be decoded")?
            }
        };
        if !defined {
            schema.dtype = decoding.dtype();
            schema.fill = decoding.fill();
            defined = true;
            if !take(Piece::Array(schema.clone(), shape.clone())) {
                return Ok(false);
            }
        }
        let (mut start, mut size) = (vec![0; shape.len()], shape.clone());
        if let (Some(start), Some(size)) = (start.first_mut(), size.first_mut()) {
            (*start, *size) = (first, count);
        }
        if !take(cells(&schema, start, size, values)) {
            return Ok(false);
        }
        first += count.max(1);
    }
    Ok(true)
}

/// Rows along the first dimension that are read at one time: whole chunks, of about [`SLAB_BYTES`].
fn slab_rows(rows: usize, row_bytes: usize, chunk: Option<&usize>) -> usize {
    let fitting = (SLAB_BYTES / row_bytes).max(1);
    match chunk {
        Some(&chunk) if chunk > 0 => (fitting / chunk).max(1) * chunk,
        // One chunk along this dimension: it is assembled from slabs.
        _ => fitting,
    }
    .min(rows)
}

fn raw_type(dtype: &NcType) -> Result<DType, String> {
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

fn read_slab(
    file: &NcFile,
    variable: &Variable,
    raw: DType,
    first: usize,
    count: usize,
) -> Result<ArrayRef, String> {
    let slice = (count != variable.dims.first().map_or(1, |&(_, size)| size)).then(|| {
        let mut slice = NcSliceInfo::all(variable.dims.len());
        if let Some(selection) = slice.selections.first_mut() {
            let (start, end) = (first as u64, (first + count) as u64);
            *selection = NcSliceInfoElem::Slice { start, end, step: 1 };
        }
        slice
    });
    let slice = slice.as_ref();
    match raw {
        DType::I8 => numbers::<i8>(file, variable, slice),
        DType::I16 => numbers::<i16>(file, variable, slice),
        DType::I32 => numbers::<i32>(file, variable, slice),
        DType::I64 => numbers::<i64>(file, variable, slice),
        DType::U8 => numbers::<u8>(file, variable, slice),
        DType::U16 => numbers::<u16>(file, variable, slice),
        DType::U32 => numbers::<u32>(file, variable, slice),
        DType::U64 => numbers::<u64>(file, variable, slice),
        DType::F32 => numbers::<f32>(file, variable, slice),
        _ => numbers::<f64>(file, variable, slice),
    }
}

fn numbers<T: NcReadable + Element>(
    file: &NcFile,
    variable: &Variable,
    slice: Option<&NcSliceInfo>,
) -> Result<ArrayRef, String> {
    let values = match slice {
        None => file.read_variable::<T>(&variable.path),
        Some(slice) => file.read_variable_slice::<T>(&variable.path, slice),
    };
    let values = values.map_err(|e| e.to_string())?;
    Ok(T::to_arrow(values.iter().cloned()))
}
