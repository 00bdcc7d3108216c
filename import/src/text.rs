//! Variables of text: character arrays, strings and enumerations.

use std::sync::Arc;

use arrow::array::{ArrayRef, StringViewArray};
use netcdf_reader::{NcFile, NcValue};

use crate::netcdf::Variable;

/// The text of a character array: strings along its last dimension where that is a length, else characters.
pub(crate) fn characters(file: &NcFile, variable: &Variable, joined: bool) -> Result<ArrayRef, String> {
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

pub(crate) fn strings(file: &NcFile, variable: &Variable) -> Result<ArrayRef, String> {
    let strings = file.read_variable_as_strings(&variable.path).map_err(|e| e.to_string())?;
    Ok(Arc::new(StringViewArray::from_iter_values(strings)))
}

fn trimmed(strings: Vec<String>) -> ArrayRef {
    let strings = strings.iter().map(|text| text.trim_end_matches(['\0', ' ']));
    Arc::new(StringViewArray::from_iter_values(strings))
}

/// The names of an enumeration's members; the number where one has no name.
pub(crate) fn enum_names(file: &NcFile, variable: &Variable) -> Result<ArrayRef, String> {
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
