//! The contents of a file to write, and its bytes.

use std::collections::HashMap;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{
    DataType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use netcdf_reader::{NcAttrValue, NcAttribute, NcIntegerValue, NcType};
use netcdf_writer::{DimensionId, NcFileBuilder, NcWriteFormat, NcWriteOptions, NcWriteType, VariableId};

use crate::reader::FileFormat;

/// A dimension. Its path consists of its groups and its name, separated by `/`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Dim {
    pub path: String,
    pub size: usize,
    pub unlimited: bool,
}

/// The dimensions of a file.
#[derive(Default)]
pub(super) struct Dims {
    dims: Vec<Dim>,
    /// The paths of dimensions, by their names in arrays.
    paths: HashMap<String, String>,
}

impl Dims {
    pub(super) fn new(dims: Vec<Dim>, paths: HashMap<String, String>) -> Self {
        Self { dims, paths }
    }

    /// The size of a dimension.
    pub(super) fn size(&self, path: &str) -> Option<usize> {
        self.dims.iter().find(|dim| dim.path == path).map(|dim| dim.size)
    }

    /// The path of a dimension, by its name in arrays.
    pub(super) fn path(&self, name: &str) -> String {
        self.paths.get(name).map_or(name, String::as_str).to_owned()
    }

    /// The positions of dimensions. Missing dimensions are added. `None` if one already exists with
    /// another size.
    pub(super) fn places(&mut self, dims: &[(String, usize)]) -> Option<Vec<usize>> {
        if dims.iter().any(|(path, size)| self.size(path).is_some_and(|known| known != *size)) {
            return None;
        }
        let place = |(path, size): &(String, usize)| {
            self.dims.iter().position(|dim| dim.path == *path).unwrap_or_else(|| {
                self.dims.push(Dim { path: path.clone(), size: *size, unlimited: false });
                self.dims.len() - 1
            })
        };
        Some(dims.iter().map(place).collect())
    }
}

/// The values of a variable.
#[derive(Debug)]
pub(super) enum Cells {
    /// Numbers without nulls.
    Numbers(ArrayRef),
    Characters(Vec<u8>),
    Strings(Vec<String>),
    Members(Vec<NcIntegerValue>),
}

/// A variable.
#[derive(Debug)]
pub(super) struct Variable {
    /// Its groups and its name, separated by `/`.
    pub path: String,
    /// The positions of its dimensions.
    pub dims: Vec<usize>,
    pub dtype: NcType,
    pub attributes: Vec<NcAttribute>,
    pub cells: Cells,
}

/// The contents of a file.
#[derive(Default)]
pub(super) struct Content {
    pub format: FileFormat,
    pub dims: Dims,
    /// Attributes by their groups and names.
    pub attributes: Vec<(Vec<String>, NcAttrValue)>,
    pub variables: Vec<Variable>,
}

impl Content {
    /// Encodes the file in its format. If that format cannot represent the contents, it becomes
    /// NetCDF-4; if that fails, CDF-5.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn write(self) -> Result<Vec<u8>, String> {
        let format = self.format;
        let too_large = self.too_large();
        let file = self.builder().map_err(|e| e.to_string())?;
        let write = |format| file.to_vec(NcWriteOptions { format }).map(|(_, bytes)| bytes);
        let format = match format {
            FileFormat::Classic => NcWriteFormat::Classic,
            FileFormat::Offset64 => NcWriteFormat::Offset64,
            FileFormat::Cdf5 => NcWriteFormat::Cdf5,
            FileFormat::Netcdf4 => NcWriteFormat::Nc4,
        };
        let written = write(format).or_else(|error| match format {
            NcWriteFormat::Nc4 => write(NcWriteFormat::Cdf5).map_err(|_| error),
            _ => write(NcWriteFormat::Nc4).map_err(|_| error),
        });
        written.map_err(|e| too_large.unwrap_or_else(|| e.to_string()))
    }

    /// Describes an attribute that a header of HDF5 has no room for.
    fn too_large(&self) -> Option<String> {
        let globals = self.attributes.iter().map(|(path, value)| (path.last(), value, None));
        let of_variables = self.variables.iter().flat_map(|variable| {
            let attributes = variable.attributes.iter();
            attributes.map(|attribute| (Some(&attribute.name), &attribute.value, Some(&variable.path)))
        });
        globals.chain(of_variables).find_map(|(name, value, variable)| {
            let bytes = header_bytes(value);
            let of = variable.map_or_else(String::new, |path| format!(" of `{path}`"));
            (bytes > MOST).then(|| {
                format!(
                    "attribute `{}`{of} takes {bytes} bytes of a NetCDF-4 header, which has room for {MOST}",
                    name.map_or("", String::as_str)
                )
            })
        })
    }

    fn builder(mut self) -> netcdf_writer::Result<NcFileBuilder> {
        if self.format == FileFormat::Netcdf4 {
            let of_variables = self.variables.iter_mut().flat_map(|variable| &mut variable.attributes);
            let values = of_variables.map(|attribute| &mut attribute.value);
            values.chain(self.attributes.iter_mut().map(|(_, value)| value)).for_each(shorten);
        }
        let mut file = NcFileBuilder::new();
        let mut dims = Vec::with_capacity(self.dims.dims.len());
        for dim in &self.dims.dims {
            dims.push(match dim.unlimited {
                true => file.add_unlimited_dimension_path(&dim.path)?,
                false => file.add_dimension_path(&dim.path, dim.size as u64)?,
            });
        }
        for (path, value) in self.attributes {
            match path.as_slice() {
                [] => {}
                [name] => file.add_attribute(name, value)?,
                [groups @ .., name] => file.add_group_attribute(groups.join("/"), name, value)?,
            }
        }
        for variable in self.variables {
            let of_variable: Vec<_> =
                variable.dims.iter().filter_map(|&dim| dims.get(dim).copied()).collect();
            let id = add(&mut file, &variable, &of_variable)?;
            for attribute in variable.attributes {
                file.add_variable_attribute(id, attribute.name, attribute.value)?;
            }
            match variable.cells {
                Cells::Numbers(numbers) => write_numbers(&mut file, id, &numbers)?,
                Cells::Characters(bytes) => file.write_char_variable(id, &bytes)?,
                Cells::Strings(texts) => file.write_string_variable(id, &texts)?,
                Cells::Members(numbers) => file.write_enum_variable(id, &numbers)?,
            }
        }
        Ok(file)
    }
}

/// The bytes of an attribute that fit the header of an object in HDF5. Messages of headers have at
/// most 64 KiB, and the writer stores attributes nowhere else.
const MOST: usize = 60_000;

/// The bytes of an attribute in the header of its object. The characters of strings lie elsewhere.
fn header_bytes(value: &NcAttrValue) -> usize {
    match value {
        NcAttrValue::Chars(text) if text.len() > MOST => 16,
        NcAttrValue::Chars(text) => text.len(),
        NcAttrValue::Strings(texts) => 16 * texts.len(),
        NcAttrValue::Bytes(values) => values.len(),
        NcAttrValue::UBytes(values) => values.len(),
        NcAttrValue::Shorts(values) => 2 * values.len(),
        NcAttrValue::UShorts(values) => 2 * values.len(),
        NcAttrValue::Ints(values) => 4 * values.len(),
        NcAttrValue::UInts(values) => 4 * values.len(),
        NcAttrValue::Floats(values) => 4 * values.len(),
        NcAttrValue::Int64s(values) => 8 * values.len(),
        NcAttrValue::UInt64s(values) => 8 * values.len(),
        NcAttrValue::Doubles(values) => 8 * values.len(),
        NcAttrValue::UserDefined { .. } => 0,
    }
}

/// Converts long text to a string, whose characters HDF5 stores outside the header of the object.
fn shorten(value: &mut NcAttrValue) {
    if let NcAttrValue::Chars(text) = value
        && text.len() > MOST
    {
        *value = NcAttrValue::Strings(vec![std::mem::take(text)]);
    }
}

fn add(
    file: &mut NcFileBuilder,
    variable: &Variable,
    dims: &[DimensionId],
) -> netcdf_writer::Result<VariableId> {
    let path = variable.path.as_str();
    match &variable.dtype {
        NcType::Byte => file.add_variable_path::<i8>(path, dims),
        NcType::UByte => file.add_variable_path::<u8>(path, dims),
        NcType::Short => file.add_variable_path::<i16>(path, dims),
        NcType::UShort => file.add_variable_path::<u16>(path, dims),
        NcType::Int => file.add_variable_path::<i32>(path, dims),
        NcType::UInt => file.add_variable_path::<u32>(path, dims),
        NcType::Int64 => file.add_variable_path::<i64>(path, dims),
        NcType::UInt64 => file.add_variable_path::<u64>(path, dims),
        NcType::Float => file.add_variable_path::<f32>(path, dims),
        NcType::Double => file.add_variable_path::<f64>(path, dims),
        NcType::Char => file.add_char_variable_path(path, dims),
        NcType::String => file.add_string_variable_path(path, dims),
        other => file.add_user_defined_variable_path(path, dims, other.clone()),
    }
}

fn write_numbers(file: &mut NcFileBuilder, id: VariableId, numbers: &ArrayRef) -> netcdf_writer::Result<()> {
    fn write<T: NcWriteType>(
        file: &mut NcFileBuilder,
        id: VariableId,
        values: &[T],
    ) -> netcdf_writer::Result<()> {
        file.write_variable(id, values)
    }
    match numbers.data_type() {
        DataType::Int8 => write(file, id, numbers.as_primitive::<Int8Type>().values()),
        DataType::Int16 => write(file, id, numbers.as_primitive::<Int16Type>().values()),
        DataType::Int32 => write(file, id, numbers.as_primitive::<Int32Type>().values()),
        DataType::Int64 => write(file, id, numbers.as_primitive::<Int64Type>().values()),
        DataType::UInt8 => write(file, id, numbers.as_primitive::<UInt8Type>().values()),
        DataType::UInt16 => write(file, id, numbers.as_primitive::<UInt16Type>().values()),
        DataType::UInt32 => write(file, id, numbers.as_primitive::<UInt32Type>().values()),
        DataType::UInt64 => write(file, id, numbers.as_primitive::<UInt64Type>().values()),
        DataType::Float32 => write(file, id, numbers.as_primitive::<Float32Type>().values()),
        DataType::Float64 => write(file, id, numbers.as_primitive::<Float64Type>().values()),
        other => Err(netcdf_writer::Error::InvalidDefinition(format!("NetCDF has no {other}"))),
    }
}
