//! Restores the variable from which an array was imported.

use arrow::array::{Array, ArrayRef, AsArray, StringViewArray};
use arrow::compute::concat;
use arrow::compute::kernels::cmp::distinct;
use atlas::{ArraySchema, DType, Value};
use netcdf_reader::{NcAttrValue, NcAttribute, NcType};

use super::file::{Cells, Dims, Variable as Written};
use crate::MaskPolicy;
use crate::encoding::TextEncoding;
use crate::note::{self, VariableNote};
use crate::numbers::{NumberCodec, Policies};
use crate::piece::Variable;
use crate::reader::FileVariable;
use crate::text::{CharCodec, members};
use crate::time::CalendarPolicy;

/// The variable from which an array was imported; `None` if the array has since changed in a way
/// that the variable cannot represent.
pub(super) fn variable(
    dims: &mut Dims,
    (schema, shape, cells): (&ArraySchema, &[usize], &ArrayRef),
    note: &VariableNote,
    kept: &[(u64, Value)],
) -> Result<Option<Written>, String> {
    let Some(dtype) = note.dtype.dtype() else { return Ok(None) };
    let source = FileVariable {
        group: Vec::new(),
        name: schema.name.clone(),
        dims: Vec::new(),
        dtype: dtype.clone(),
        attributes: note::attributes(&schema.attributes, &note.attributes),
        encoding: encoding(schema),
    };
    let lender = FileVariable {
        attributes: note
            .inherited
            .iter()
            .map(|(name, text)| NcAttribute { name: name.clone(), value: NcAttrValue::Chars(text.clone()) })
            .collect(),
        ..source.clone()
    };
    let Some(paths) = paths(dims, schema, shape, note, &dtype) else { return Ok(None) };
    let variable = Variable { id: 0, name: schema.name.clone(), dims: paths.clone(), source: &source };
    let lender = Variable { id: 0, name: schema.name.clone(), dims: paths.clone(), source: &lender };
    let is_text = schema.dtype == DType::String;
    let texts = || cells.as_string_view_opt().ok_or_else(|| "its cells are no text".to_owned());
    let cells = match &dtype {
        NcType::Char | NcType::String | NcType::Enum { .. } if !is_text => return Ok(None),
        NcType::Char => {
            let joined = paths.len() > shape.len();
            Cells::Characters(characters(&CharCodec::new(&variable, joined), texts()?, note, kept))
        }
        NcType::String => {
            let fill = match &schema.fill {
                Some(Value::String(fill)) => fill.as_str(),
                _ => "",
            };
            Cells::Strings(texts()?.iter().map(|text| text.unwrap_or(fill).to_owned()).collect())
        }
        NcType::Enum { base, .. } => {
            let numbers = members(&variable, texts()?)?.into_iter();
            let numbers = numbers.map(|number| note::integer(base, number));
            let numbers = numbers.collect::<Option<Vec<_>>>();
            Cells::Members(numbers.ok_or("it has a number that its enumeration has no room for")?)
        }
        _ => match numbers(&variable, &lender, schema, cells, note, kept)? {
            Some(numbers) => Cells::Numbers(numbers),
            None => return Ok(None),
        },
    };
    let Some(dims) = dims.places(&paths) else { return Ok(None) };
    let path = if note.path.is_empty() { schema.name.clone() } else { note.path.join("/") };
    Ok(Some(Written { path, dims, dtype, attributes: source.attributes, cells }))
}

fn encoding(schema: &ArraySchema) -> TextEncoding {
    let label = schema.attribute("_Encoding").map(ToString::to_string);
    label.and_then(|label| TextEncoding::declared(&label)).unwrap_or_default()
}

/// The paths and sizes of a variable's dimensions; `None` if they do not match those of the array.
fn paths(
    dims: &Dims,
    schema: &ArraySchema,
    shape: &[usize],
    note: &VariableNote,
    dtype: &NcType,
) -> Option<Vec<(String, usize)>> {
    let Some(paths) = &note.dims else {
        return Some(schema.dims.iter().map(|name| dims.path(name)).zip(shape.iter().copied()).collect());
    };
    let sizes = match paths.len().checked_sub(shape.len())? {
        0 => shape.to_vec(),
        // The length of strings.
        1 if *dtype == NcType::Char => {
            let length = dims.size(paths.last()?)?;
            shape.iter().copied().chain([length]).collect()
        }
        _ => return None,
    };
    Some(paths.iter().cloned().zip(sizes).collect())
}

/// The characters of strings. Strings that have become longer than their dimension are cut.
fn characters(
    codec: &CharCodec,
    texts: &StringViewArray,
    note: &VariableNote,
    kept: &[(u64, Value)],
) -> Vec<u8> {
    let pad = note.pad.and_then(|pad| u8::try_from(pad).ok()).unwrap_or_else(|| codec.usual_pad());
    let mut kept = kept.iter().peekable();
    let mut characters = Vec::new();
    for (place, text) in texts.iter().enumerate() {
        let bytes = kept.next_if(|(kept, _)| *kept == place as u64).and_then(|(_, value)| match value {
            // A kept cell only applies if its value has not changed since the import.
            Value::Binary(bytes) if codec.decode(bytes).as_deref() == text => Some(bytes.clone()),
            _ => None,
        });
        characters.extend(bytes.unwrap_or_else(|| codec.encode(text, pad)));
    }
    characters
}

/// The numbers of a variable; `None` if the array does not have the type of decoded numbers.
fn numbers(
    variable: &Variable,
    lender: &Variable,
    schema: &ArraySchema,
    cells: &ArrayRef,
    note: &VariableNote,
    kept: &[(u64, Value)],
) -> Result<Option<ArrayRef>, String> {
    let policies = Policies {
        calendar: if note.converted { CalendarPolicy::Convert } else { CalendarPolicy::Keep },
        default_fill: MaskPolicy::Mask,
        valid_range: MaskPolicy::Keep,
    };
    let inherited = (!note.inherited.is_empty()).then_some(lender);
    let (mut codec, _) = NumberCodec::new(variable, inherited, &policies)?;
    if codec.dtype() != schema.dtype {
        return Ok(None);
    }
    let raw = codec.raw();
    let mut numbers = codec.encode(cells)?;
    if !kept.is_empty() {
        let mut pieces = Vec::new();
        let mut next = 0;
        for (place, value) in kept {
            let place = usize::try_from(*place).ok().filter(|place| (next..cells.len()).contains(place));
            let Some(place) = place else { continue };
            let number = raw.array([Some(value.clone())]);
            // A kept cell only applies if its value has not changed since the import, or is now
            // missing because it was outside the valid range.
            let (decoded, now) = (codec.decode(&number)?, cells.slice(place, 1));
            if *decoded == *now || now.null_count() == 1 {
                pieces.extend([numbers.slice(next, place - next), number]);
                next = place + 1;
            }
        }
        pieces.push(numbers.slice(next, numbers.len() - next));
        let pieces: Vec<&dyn Array> = pieces.iter().map(AsRef::as_ref).collect();
        numbers = concat(&pieces).map_err(|e| e.to_string())?;
    }
    // Joined files may be packed differently from the first one.
    let again = codec.decode(&numbers)?;
    let lost = distinct(&again, cells).map_err(|e| e.to_string())?;
    let is_kept = |place: usize| kept.iter().any(|(kept, _)| *kept == place as u64);
    let is_lost = lost.values().set_indices().any(|place| cells.is_valid(place) || !is_kept(place));
    Ok((!is_lost).then_some(numbers))
}
