//! Variables of text: character arrays, strings and enumerations.

use std::sync::Arc;

use arrow::array::{ArrayRef, StringViewArray};
use netcdf_reader::{NcFile, NcValue};

use crate::fill::{MissingMembers, MissingText};
use crate::netcdf::Variable;

/// The text of a character array: strings along its last dimension where that is a length, else characters. It is null
/// where it is missing.
pub(crate) fn characters(
    file: &NcFile,
    variable: &Variable,
    joined: bool,
    missing: &MissingText,
) -> Result<ArrayRef, String> {
    let strings = file.read_variable_as_strings(&variable.path).map_err(|e| e.to_string())?;
    let length = variable.dims.last().map_or(1, |&(_, size)| size);
    let cells: StringViewArray = if joined {
        strings.iter().map(|text| missing.joined(text, length)).collect()
    } else {
        let padding = || std::iter::repeat('\0');
        let characters = strings.iter().flat_map(|text| text.chars().chain(padding()).take(length));
        characters.map(|character| missing.character(character)).collect()
    };
    Ok(Arc::new(cells))
}

pub(crate) fn strings(file: &NcFile, variable: &Variable, missing: &MissingText) -> Result<ArrayRef, String> {
    let strings = file.read_variable_as_strings(&variable.path).map_err(|e| e.to_string())?;
    Ok(Arc::new(strings.into_iter().map(|text| missing.string(text)).collect::<StringViewArray>()))
}

/// The names of an enumeration's members; the number where one has no name. Null where it is missing.
pub(crate) fn enum_names(
    file: &NcFile,
    variable: &Variable,
    missing: &MissingMembers,
) -> Result<ArrayRef, String> {
    let values = file.read_variable_user_defined(&variable.path).map_err(|e| e.to_string())?;
    let names = values.into_iter().map(|value| {
        let NcValue::Enum(value) = value else { return None };
        let number = value.value.as_i128();
        if missing.contains(number, value.member.as_ref()) {
            return None;
        }
        value.member.or_else(|| number.map(|number| number.to_string()))
    });
    Ok(Arc::new(names.collect::<StringViewArray>()))
}
