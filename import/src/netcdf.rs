//! Reads a NetCDF file piece by piece.

use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use arrow::array::{Array, ArrayRef};
use arrow::compute::concat;
use atlas::{ArraySchema, DType, default_chunk};
use netcdf_reader::{NcAttribute, NcType};

use crate::cf;
use crate::names::{Names, free_name};
use crate::note::{FileNote, VariableNote};
use crate::notice::{Notice, NoticeClass};
use crate::numbers::read_numbers;
use crate::piece::{Piece, Variable, slab_rows, write_slabs};
use crate::reader::{Contents, Dimension, File, FileVariable};
use crate::repeated::separate;
use crate::text::TextReader;
use crate::time::CalendarPolicy;
use crate::{Error, ImportOptions};

/// Why values of compound, opaque, array and variable-length types are left out.
const USER_DEFINED: &str = "it has a user-defined type";

fn left_out(subject: String, reason: &str) -> Piece {
    Piece::Notice(Notice { class: NoticeClass::LeftOut, subject, detail: reason.to_owned(), cells: 0 })
}

/// Reads a file, which messages call `shown`. `take` receives its pieces, and returns whether it
/// wants more.
pub(crate) fn read_file(
    path: &Path,
    shown: &Path,
    options: &ImportOptions,
    take: &mut dyn FnMut(Piece) -> bool,
) -> Result<(), Error> {
    let failed = |reason| Error::File { path: shown.to_owned(), reason };
    let mut refused = None;
    let mut take = |piece: Piece| {
        if let Piece::Notice(Notice { class: NoticeClass::LeftOut, subject, detail, .. }) = &piece
            && options.strict
        {
            refused = Some(format!("{subject} cannot be read: {detail}"));
            return false;
        }
        take(piece)
    };
    read(path, options, &mut take).map_err(failed)?;
    refused.map_or(Ok(()), |reason| Err(failed(reason)))
}

fn read(path: &Path, options: &ImportOptions, take: &mut dyn FnMut(Piece) -> bool) -> Result<(), String> {
    let file = File::open(path)?;
    let contents = file.contents();
    let names = Names::choose(contents.names());
    for notice in contents.notices.iter().chain(&names.notices) {
        if !take(Piece::Notice(notice.clone())) {
            return Ok(());
        }
    }
    let attributes = group_attributes(contents);
    for (key, _, attribute) in &attributes {
        let key = key.clone();
        let piece = match cf::attribute_value(&attribute.value) {
            Some(value) => Piece::Attribute(key, value),
            None => left_out(format!("attribute {key}"), USER_DEFINED),
        };
        if !take(piece) {
            return Ok(());
        }
    }
    let mut variables = variables(contents, &names);
    for notice in separate(&mut variables) {
        if !take(Piece::Notice(notice)) {
            return Ok(());
        }
    }
    let lengths = length_dims(&variables);
    let bounds = bounds(&variables);
    let dims_of = |variable: &Variable| array_dims(variable, &lengths);
    let dims: HashSet<String> = variables.iter().flat_map(dims_of).map(|(name, _)| name).collect();
    let with_paths =
        attributes.iter().map(|(key, path, attribute)| (key.clone(), path.clone(), &attribute.value));
    let name = |dim: &Dimension| names.get(&dim.group, &dim.name);
    let mut notes = Notes {
        contents,
        file: Some(FileNote::of(contents, name, |dim| dims.contains(dim), with_paths)),
        seen: HashSet::new(),
        converts: options.calendar == CalendarPolicy::Convert,
    };
    let (mut unread, mut reason) = (contents.unreadable, String::new());
    for variable in &variables {
        let inherited = bounds.get(&variable.id).copied();
        // If the reader panics on a variable, only that variable is left out.
        let note = notes.of(variable, inherited, &dims_of(variable));
        let read = catch_unwind(AssertUnwindSafe(|| {
            read_variable(&file, variable, inherited, &lengths, &note, options, take)
        }));
        match read.unwrap_or_else(|_| Err("the reader failed on it: it is damaged".to_owned())) {
            Ok(true) => notes.file = None,
            Ok(false) => return Ok(()),
            Err(failure) => {
                let notice = left_out(variable.name.clone(), &failure);
                if !take(Piece::Drop(variable.name.clone())) || !take(notice) {
                    return Ok(());
                }
                unread += 1;
                reason = failure;
            }
        }
    }
    if unread > 0 && unread == variables.len() + contents.unreadable {
        let first = contents.notices.iter().find(|notice| notice.class == NoticeClass::LeftOut);
        let reason = first.map_or(reason, |notice| notice.detail.clone());
        return Err(format!("none of its variables can be read: {reason}"));
    }
    Ok(())
}

/// The length of a dimension, and the cells of its coordinate variable, if there is one.
///
/// # Errors
/// The file cannot be read, or has no such dimension.
pub(crate) fn coordinate(
    path: &Path,
    dim: &str,
    options: &ImportOptions,
) -> Result<(usize, Option<ArrayRef>), String> {
    let file = File::open(path)?;
    let contents = file.contents();
    let names = Names::choose(contents.names());
    let variables = variables(contents, &names);
    let sizes = variables.iter().flat_map(|variable| &variable.dims);
    let size = sizes.clone().find(|(name, _)| name == dim).map(|(_, size)| *size);
    let size = size.ok_or_else(|| format!("none of its variables has the dimension `{dim}`"))?;
    let is_coordinate = |variable: &&Variable| {
        variable.name == dim && matches!(variable.dims.as_slice(), [(only, _)] if only == dim)
    };
    let Some(variable) = variables.iter().find(is_coordinate) else { return Ok((size, None)) };
    let inherited = bounds(&variables).get(&variable.id).copied();
    let mut parts = Vec::new();
    let mut take = |piece: Piece| {
        if let Piece::Cells { cells, .. } = piece {
            parts.push(cells);
        }
        true
    };
    let read = catch_unwind(AssertUnwindSafe(|| {
        let note = VariableNote::default();
        read_variable(&file, variable, inherited, &HashSet::new(), &note, options, &mut take)
    }));
    read.unwrap_or_else(|_| Err("the reader failed on its coordinate: it is damaged".to_owned()))?;
    let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
    if parts.is_empty() {
        return Ok((size, None));
    }
    Ok((size, Some(concat(&parts).map_err(|e| e.to_string())?)))
}

fn variables<'a>(contents: &'a Contents, names: &Names) -> Vec<Variable<'a>> {
    let variable = |(id, source): (usize, &'a FileVariable)| {
        let mut dims: Vec<(String, usize)> = Vec::new();
        for dim in source.dims.iter().filter_map(|&dim| contents.dims.get(dim)) {
            let name = names.get(&dim.group, &dim.name);
            dims.push((name, usize::try_from(dim.size).unwrap_or(usize::MAX)));
        }
        Variable { id, name: names.get(&source.group, &source.name), dims, source }
    };
    contents.variables.iter().enumerate().map(variable).collect()
}

/// The contents of the arrays' notes.
struct Notes<'a> {
    contents: &'a Contents,
    /// The note of the file, until an array takes it.
    file: Option<FileNote>,
    /// The variables that already have a note.
    seen: HashSet<usize>,
    /// Whether dates of other calendars are converted.
    converts: bool,
}

impl Notes<'_> {
    fn of(
        &mut self,
        variable: &Variable,
        inherited: Option<&Variable>,
        dims: &[(String, usize)],
    ) -> VariableNote {
        let dims: Vec<String> = dims.iter().map(|(name, _)| name.clone()).collect();
        let inherited = ["units", "calendar"].into_iter().filter_map(|name| {
            let own = variable.text(name);
            own.is_none().then(|| inherited?.text(name)).flatten().map(|text| (name.to_owned(), text))
        });
        VariableNote {
            inherited: inherited.collect(),
            converted: self.converts,
            copy: !self.seen.insert(variable.id),
            file: self.file.clone(),
            ..VariableNote::of(self.contents, variable, &dims)
        }
    }
}

/// The attributes of the dataset, by their names in it, with their groups and names in the file.
/// Attributes of groups below the root get the names of their groups as a prefix.
fn group_attributes(contents: &Contents) -> Vec<(String, Vec<String>, &NcAttribute)> {
    let mut taken = HashSet::new();
    let mut attributes = Vec::new();
    for of_group in &contents.attributes {
        let prefix: String = of_group.group.iter().map(|name| format!("{name}.")).collect();
        for attribute in &of_group.attributes {
            let key = free_key(&format!("{prefix}{}", attribute.name), &mut taken);
            let path = of_group.group.iter().cloned().chain([attribute.name.clone()]).collect();
            attributes.push((key, path, attribute));
        }
    }
    attributes
}

/// The dimensions of the array that a variable becomes, which exclude the length of strings.
fn array_dims(variable: &Variable, lengths: &HashSet<String>) -> Vec<(String, usize)> {
    let mut dims = variable.dims.clone();
    if is_joined(variable, lengths) {
        dims.pop();
    }
    dims
}

/// True for characters that form strings along their last dimension.
fn is_joined(variable: &Variable, lengths: &HashSet<String>) -> bool {
    *variable.source.dtype() == NcType::Char
        && variable.dims.last().is_some_and(|(name, _)| lengths.contains(name))
}

/// A key that no other attribute has.
fn free_key(key: &str, taken: &mut HashSet<String>) -> String {
    free_name(if key.is_empty() { "unnamed" } else { key }.to_owned(), taken)
}

/// The dimensions that are lengths of strings: last dimensions of character arrays that no other
/// variable has.
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

/// The parent variables of bounds variables, by the number of the bounds variable, which inherits
/// their units (CF sections 7.1 and 7.4). The attribute of the parent names bounds in its own
/// group, or in an enclosing one.
fn bounds<'a>(variables: &'a [Variable<'a>]) -> HashMap<usize, &'a Variable<'a>> {
    let place =
        |variable: &'a Variable<'a>| (variable.source.group.as_slice(), variable.source.name.as_str());
    let ids: HashMap<_, _> = variables.iter().map(|variable| (place(variable), variable.id)).collect();
    let mut bounds = HashMap::new();
    for variable in variables {
        for name in ["bounds", "climatology"].iter().filter_map(|name| variable.text(name)) {
            let group = variable.source.group.as_slice();
            let groups = (0..=group.len()).rev().filter_map(|depth| group.get(..depth));
            let mut named = groups.filter_map(|group| ids.get(&(group, name.trim())));
            if let Some(id) = named.next() {
                bounds.insert(*id, variable);
            }
        }
    }
    bounds
}

fn read_variable(
    file: &File,
    variable: &Variable,
    inherited: Option<&Variable>,
    lengths: &HashSet<String>,
    note: &VariableNote,
    options: &ImportOptions,
    take: &mut dyn FnMut(Piece) -> bool,
) -> Result<bool, String> {
    let mut schema = ArraySchema::new(variable.name.clone(), DType::String, &[]);
    let mut taken = HashSet::new();
    for attribute in variable.source.attributes() {
        match cf::attribute_value(&attribute.value) {
            Some(value) => schema.attributes.push((free_key(&attribute.name, &mut taken), value)),
            None => {
                let subject = format!("attribute {} of {}", attribute.name, variable.name);
                if !take(left_out(subject, USER_DEFINED)) {
                    return Ok(false);
                }
            }
        }
    }
    schema.attributes.push((VariableNote::ATTRIBUTE.to_owned(), note.to_attribute()));
    let dims = array_dims(variable, lengths);
    let dtype = variable.source.dtype();
    schema.dims = dims.iter().map(|(name, _)| name.clone()).collect();
    let shape: Vec<_> = dims.iter().map(|&(_, size)| size).collect();
    let chosen = dims.iter().zip(default_chunk(&shape)).map(|((name, size), default)| {
        options.chunk.get(name).map_or(default, |&chunk| if chunk >= *size { 0 } else { chunk })
    });
    schema.chunk = chosen.collect();
    match dtype {
        NcType::Char | NcType::String | NcType::Enum { .. } => {
            let joined = is_joined(variable, lengths);
            let text = TextReader::new(file, variable, joined, options.default_fill);
            read_text(text, schema, shape, note, take)
        }
        NcType::Compound { .. } | NcType::Opaque { .. } | NcType::Array { .. } | NcType::VLen { .. } => {
            Ok(take(left_out(variable.name.clone(), USER_DEFINED)))
        }
        _ => read_numbers(file, variable, inherited, schema, options, take),
    }
}

/// Reads a text variable in slabs.
fn read_text(
    mut text: TextReader,
    mut schema: ArraySchema,
    shape: Vec<usize>,
    note: &VariableNote,
    take: &mut dyn FnMut(Piece) -> bool,
) -> Result<bool, String> {
    schema.fill = text.fill();
    // The variable is one string, or has rows.
    let rows = shape.first().copied().unwrap_or(1);
    let slab = slab_rows(rows, text.row_bytes(), schema.chunk.first());
    let mut read = |rows| if shape.is_empty() { text.all() } else { text.rows(rows) };
    if !write_slabs(&schema, &shape, slab, &mut read, take)? {
        return Ok(false);
    }
    let (kept, pad) = text.kept();
    let padded = pad.map(|pad| {
        let note = VariableNote { pad: Some(pad), ..note.clone() };
        Piece::ArrayAttribute(schema.name.clone(), VariableNote::ATTRIBUTE.to_owned(), note.to_attribute())
    });
    let notice = text.notice().map(Piece::Notice);
    Ok(padded.into_iter().chain(kept.piece(&schema.name)).chain(notice).all(take))
}
