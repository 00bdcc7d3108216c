//! Exports a dataset as a NetCDF file: as the file from which it was imported, as far as readers of
//! NetCDF can tell, or as a new file.

mod file;
mod plain;
mod restored;

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::ArrayRef;
use atlas::{ArraySchema, Atlas, AttributeValue, DType};

use self::file::{Content, Dim, Dims};
use crate::Error;
use crate::kept::{self, Kept};
use crate::note::{self, FileNote, VariableNote};

/// The largest number of bytes of values that a file may have. All values are in memory, some of
/// them twice.
const MOST_BYTES: u64 = 4 << 30;

/// An array to write to a file: its schema, its shape, and its cells in row-major order.
pub type NetcdfArray = (Arc<ArraySchema>, Vec<usize>, ArrayRef);

/// Writes the NetCDF file from which a dataset was imported: its variables, dimensions and
/// attributes with their names, types and values. The file lacks what the import left out, and the
/// compression of the original. A dataset that was not imported becomes a NetCDF-4 file.
///
/// # Errors
/// [`Error::Export`] if a file cannot hold the dataset, and errors of the store.
pub async fn export(atlas: &Atlas, dataset: &str) -> Result<Vec<u8>, Error> {
    let view = atlas.open_dataset(dataset).await?;
    let failed = |reason| Error::Export { dataset: dataset.to_owned(), reason };
    let meta = view.meta()?;
    let sizes = meta.arrays.iter().map(|(schema, shape)| bytes(schema.dtype, shape));
    if sizes.fold(0, u64::saturating_add) > MOST_BYTES {
        return Err(failed(format!("its values take more than {} GiB", MOST_BYTES >> 30)));
    }
    let mut arrays = Vec::with_capacity(meta.arrays.len());
    for (schema, shape) in meta.arrays {
        let cells = view.read_arrow(&schema.name, &[], &[]).await?;
        arrays.push((schema, shape, cells));
    }
    let attributes = meta.attributes;
    let encoded = tokio::task::spawn_blocking(move || encode(arrays, &attributes));
    encoded.await.map_err(|e| failed(e.to_string()))?.map_err(failed)
}

fn bytes(dtype: DType, shape: &[usize]) -> u64 {
    let width = dtype.width().unwrap_or(16) as u64;
    shape.iter().fold(width, |bytes, &size| bytes.saturating_mul(size as u64))
}

/// Writes a NetCDF-4 file with these arrays and global attributes. Dimensions with the same name
/// must have the same length.
///
/// # Errors
/// A file cannot hold the arrays or attributes.
pub fn encode(arrays: Vec<NetcdfArray>, attributes: &[(String, AttributeValue)]) -> Result<Vec<u8>, String> {
    let notes: Vec<_> = arrays.iter().map(|(schema, ..)| VariableNote::of_array(schema)).collect();
    let file = notes.iter().flatten().find_map(|note| note.file.clone()).unwrap_or_default();
    let kept = attributes.iter().find(|(key, _)| key == kept::ATTRIBUTE);
    let kept = kept.map(|(_, value)| kept::from_attribute(value)).unwrap_or_default();
    let mut content = Content { format: file.format, dims: dims(&file, &arrays), ..Content::default() };
    content.attributes = global_attributes(&file, attributes);
    for ((schema, shape, cells), note) in arrays.into_iter().zip(notes) {
        if note.as_ref().is_some_and(|note| note.copy) {
            continue;
        }
        let named = |reason| format!("array `{}`: {reason}", schema.name);
        let variable = match note {
            Some(note) => {
                let cells_kept = kept_of(&kept, &schema.name);
                let array = (&*schema, shape.as_slice(), &cells);
                match restored::variable(&mut content.dims, array, &note, cells_kept).map_err(named)? {
                    Some(variable) => variable,
                    None => plain::variable(&mut content.dims, array, true).map_err(named)?,
                }
            }
            None => plain::variable(&mut content.dims, (&schema, &shape, &cells), false).map_err(named)?,
        };
        content.variables.push(variable);
    }
    content.write()
}

fn kept_of<'a>(kept: &'a Kept, array: &str) -> &'a [(u64, atlas::Value)] {
    kept.get(array).map(Vec::as_slice).unwrap_or_default()
}

/// The dimensions of a file, in order. Dimensions that no array has any more are included only if
/// their sizes are known.
fn dims(file: &FileNote, arrays: &[NetcdfArray]) -> Dims {
    let mut sizes: HashMap<&str, usize> = HashMap::new();
    for (schema, shape, _) in arrays {
        sizes.extend(schema.dims.iter().map(String::as_str).zip(shape.iter().copied()));
    }
    let dims = file.dims.iter().filter_map(|dim| {
        let size = sizes.get(dim.array_name()).copied().or_else(|| usize::try_from(dim.size?).ok())?;
        Some(Dim { path: dim.path.clone(), size, unlimited: dim.unlimited })
    });
    let names = file.dims.iter().map(|dim| (dim.array_name().to_owned(), dim.path.clone()));
    Dims::new(dims.collect(), names.collect())
}

/// Attributes with their names and the paths of their groups.
fn global_attributes(
    file: &FileNote,
    attributes: &[(String, AttributeValue)],
) -> Vec<(Vec<String>, netcdf_reader::NcAttrValue)> {
    let attributes = note::attributes(attributes, &file.attributes).into_iter();
    let path = |name: String| file.groups.get(&name).cloned().unwrap_or_else(|| vec![name]);
    attributes.map(|attribute| (path(attribute.name), attribute.value)).collect()
}
