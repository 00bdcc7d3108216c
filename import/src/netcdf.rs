//! One NetCDF file, read piece by piece.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use arrow::array::ArrayRef;
use atlas::{ArraySchema, AttributeValue, DType, default_chunk};
use netcdf_reader::{NcAttrValue, NcFile, NcGroup, NcType, NcVariable};

use crate::cf;
use crate::fill::{MissingMembers, MissingText};
use crate::notice::{Notice, NoticeClass};
use crate::numbers::read_numbers;
use crate::repeated::separate;
use crate::text::{characters, enum_names, strings};
use crate::{Error, ImportOptions};

/// What a file is made of, in the order in which it can go into a store.
pub(crate) enum Piece {
    /// An attribute of the dataset.
    Attribute(String, AttributeValue),
    /// An array and its shape.
    Array(ArraySchema, Vec<usize>),
    /// Cells of an array that came before.
    Cells { array: String, start: Vec<usize>, shape: Vec<usize>, cells: ArrayRef },
    /// Something that is not taken literally.
    Notice(Notice),
}

/// Why values of compound, opaque, array and variable-length types are left out.
const USER_DEFINED: &str = "it has a user-defined type";

fn left_out(subject: String, reason: &str) -> Piece {
    Piece::Notice(Notice { class: NoticeClass::LeftOut, subject, detail: reason.to_owned(), cells: 0 })
}

/// Reads a file; `take` gets its pieces, and says whether it wants more.
pub(crate) fn read_file(
    path: &Path,
    options: &ImportOptions,
    take: &mut dyn FnMut(Piece) -> bool,
) -> Result<(), Error> {
    read(path, options, take).map_err(|reason| Error::File { path: path.to_owned(), reason })
}

fn read(path: &Path, options: &ImportOptions, take: &mut dyn FnMut(Piece) -> bool) -> Result<(), String> {
    let file = NcFile::open(path).map_err(|e| e.to_string())?;
    let root = file.root_group().map_err(|e| e.to_string())?;
    let mut variables = Vec::new();
    collect(root, &[], &mut Vec::new(), &mut variables);
    for (key, value) in group_attributes(root, "") {
        let piece = match value {
            Some(value) => Piece::Attribute(key, value),
            None => left_out(format!("attribute {key}"), USER_DEFINED),
        };
        if !take(piece) {
            return Ok(());
        }
    }
    for notice in separate(&mut variables) {
        if !take(Piece::Notice(notice)) {
            return Ok(());
        }
    }
    let lengths = length_dims(&variables);
    let bounds = bounds(&variables);
    for variable in &variables {
        let inherited = bounds.get(variable.name.as_str()).copied();
        if !read_variable(&file, variable, inherited, &lengths, options, take)
            .map_err(|reason| format!("variable `{}`: {reason}", variable.name))?
        {
            return Ok(());
        }
    }
    Ok(())
}

/// A variable with the names that it and its dimensions have in the dataset.
pub(crate) struct Variable<'a> {
    /// Where the reader finds it.
    pub path: String,
    pub name: String,
    pub dims: Vec<(String, usize)>,
    pub source: &'a NcVariable,
}

impl Variable<'_> {
    pub fn attribute(&self, name: &str) -> Option<&NcAttrValue> {
        self.source.attribute(name).map(|attribute| &attribute.value)
    }

    pub fn text(&self, name: &str) -> Option<String> {
        self.attribute(name).and_then(NcAttrValue::as_string)
    }

    pub fn shape(&self) -> Vec<usize> {
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
            let name = legal(known.map_or(dim.name.as_str(), |(name, _)| name.as_str()));
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
    options: &ImportOptions,
    take: &mut dyn FnMut(Piece) -> bool,
) -> Result<bool, String> {
    let mut schema = ArraySchema::new(variable.name.clone(), DType::String, &[]);
    for attribute in variable.source.attributes() {
        match cf::attribute_value(&attribute.value) {
            Some(value) => schema.attributes.push((attribute.name.clone(), value)),
            None => {
                let subject = format!("attribute {} of {}", attribute.name, variable.name);
                if !take(left_out(subject, USER_DEFINED)) {
                    return Ok(false);
                }
            }
        }
    }
    let mut dims = variable.dims.clone();
    let missing = MissingText::of(variable);
    let text = match variable.source.dtype() {
        NcType::Char => {
            let joined = dims.last().is_some_and(|(name, _)| lengths.contains(name));
            if joined {
                dims.pop();
            } else {
                schema.fill = missing.fill();
            }
            Some(characters(file, variable, joined, &missing)?)
        }
        NcType::String => {
            schema.fill = missing.fill();
            Some(strings(file, variable, &missing)?)
        }
        NcType::Enum { .. } => {
            let missing = MissingMembers::of(variable, options.default_fill);
            Some(enum_names(file, variable, &missing)?)
        }
        NcType::Compound { .. } | NcType::Opaque { .. } | NcType::Array { .. } | NcType::VLen { .. } => {
            return Ok(take(left_out(variable.name.clone(), USER_DEFINED)));
        }
        _ => None,
    };
    schema.dims = dims.iter().map(|(name, _)| name.clone()).collect();
    let shape: Vec<_> = dims.iter().map(|&(_, size)| size).collect();
    let chosen = dims.iter().zip(default_chunk(&shape)).map(|((name, size), default)| {
        options.chunk.get(name).map_or(default, |&chunk| if chunk >= *size { 0 } else { chunk })
    });
    schema.chunk = chosen.collect();

    let Some(text) = text else {
        return read_numbers(file, variable, inherited, schema, options, take);
    };
    let cells = cells(&schema, vec![0; shape.len()], shape.clone(), text);
    Ok(take(Piece::Array(schema, shape)) && take(cells))
}

pub(crate) fn cells(schema: &ArraySchema, start: Vec<usize>, shape: Vec<usize>, cells: ArrayRef) -> Piece {
    Piece::Cells { array: schema.name.clone(), start, shape, cells }
}
