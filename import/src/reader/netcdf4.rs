//! Reads HDF5 files as NetCDF in the same way as netCDF-C: groups, dimensions made of scales, and
//! variables.
//!
//! A dimension is a dataset that is a *dimension scale*. The attribute `DIMENSION_LIST` of another
//! dataset refers to the scales of its axes, or `_Netcdf4Coordinates` numbers them. An axis without
//! a scale gets a dimension `phony_dim_N`. See [The NetCDF-4
//! Format](https://docs.unidata.ucar.edu/netcdf-c/current/file_format_specifications.html#netcdf_4_spec).

use std::collections::{HashMap, HashSet};

use hdf5_reader::io::Cursor;
use hdf5_reader::messages::dataspace::{self, DataspaceMessage, DataspaceType};
use hdf5_reader::messages::{
    MSG_DATA_LAYOUT, MSG_DATASPACE, MSG_DATATYPE, MSG_GROUP_INFO, MSG_LINK, MSG_LINK_INFO, MSG_SYMBOL_TABLE,
};
use hdf5_reader::storage::DynStorage;
use netcdf_reader::NcAttrValue;

use super::attributes::{RawAttribute, RawValue, decode};
use super::datasets::{Datasets, Wanted};
use super::objects::{AttributeBytes, Object, Objects, Target, told};
use super::types::{FileType, attribute_value};
use super::{Claims, Contents, Dimension, FileVariable, GroupAttributes};

/// The depth to which groups and soft links are followed.
const MAX_DEPTH: usize = 100;
const MAX_LINKS: usize = 16;

/// Names of attributes that NetCDF-4 itself uses.
const HIDDEN: [&str; 11] = [
    "CLASS",
    "NAME",
    "DIMENSION_LIST",
    "REFERENCE_LIST",
    "_Netcdf4Dimid",
    "_Netcdf4Coordinates",
    "_nc3_strict",
    "_NCProperties",
    "_Codecs",
    "_IsNetcdf4",
    "_SuperblockVersion",
];
/// The prefix of the name of a scale that is a dimension without a variable.
const ONLY_DIMENSION: &[u8] = b"This is a netCDF dimension but not a netCDF variable";
/// The prefix of the name of a variable that has the name of a dimension but is not its coordinate.
const NOT_COORDINATE: &[u8] = b"_nc4_non_coord_";

/// A dataset whose dimensions are not known yet.
struct Found {
    group: Vec<String>,
    name: String,
    object: Object,
    space: DataspaceMessage,
    attributes: Vec<AttributeBytes>,
    /// The dimension that it defines.
    scale: Option<usize>,
}

/// The state of reading a file.
struct Walk<'a> {
    objects: &'a Objects,
    contents: Contents,
    visited: HashSet<u64>,
    found: Vec<Found>,
    /// Dimensions by the addresses of their scales, and by their numbers.
    by_address: HashMap<u64, usize>,
    by_number: HashMap<i64, usize>,
}

/// Reads everything in a file except its cells.
pub(super) fn contents(storage: DynStorage) -> Result<(Contents, Datasets), String> {
    let objects = Objects::open(storage)?;
    let mut walk = Walk {
        objects: &objects,
        contents: Contents::default(),
        visited: HashSet::new(),
        found: Vec::new(),
        by_address: HashMap::new(),
        by_number: HashMap::new(),
    };
    let root = objects.object(objects.root)?;
    walk.visited.insert(objects.root);
    walk.group(&root, objects.root, &[]);
    walk.variables()
}

impl Walk<'_> {
    /// Adds a group: its attributes, its datasets, and its subgroups.
    fn group(&mut self, group: &Object, address: u64, path: &[String]) {
        let attributes = self.attributes(group, &path.join("."));
        let raw = self.values(&attributes, &path.join("."));
        let (attributes, _) = decode(raw, &path.join("."), &mut self.contents);
        self.contents.attributes.push(GroupAttributes { group: path.to_vec(), attributes });

        let (links, failures) = self.objects.links(group);
        let here =
            if path.is_empty() { "the root group".to_owned() } else { format!("group {}", path.join(".")) };
        for (reason, count) in counted(failures) {
            let parts = if count == 1 { "a part".to_owned() } else { format!("{count} parts") };
            self.contents.left_out(format!("{parts} of {here}"), reason);
        }
        let mut groups = Vec::new();
        for link in links {
            let name = self.contents.name(&link.name);
            let subject: String = path.iter().map(|part| format!("{part}.")).chain([name.clone()]).collect();
            let target = match self.follow(&link.target, address, MAX_LINKS) {
                Ok(target) => target,
                Err(reason) => {
                    self.contents.left_out(subject, reason);
                    continue;
                }
            };
            let object = match self.objects.object(target) {
                Ok(object) => object,
                Err(reason) => {
                    self.contents.unreadable(subject, reason);
                    continue;
                }
            };
            if is_group(&object) {
                groups.push((target, name, subject, object));
            } else if (object.message(MSG_DATASPACE).is_some() || object.message(MSG_DATA_LAYOUT).is_some())
                && let Err(reason) = self.dataset(target, path, &link.name, object)
            {
                self.contents.unreadable(subject, reason);
            }
        }
        for (target, name, subject, object) in groups {
            if !self.visited.insert(target) {
                self.contents.left_out(subject, "it is a group that is elsewhere in the file too");
            } else if path.len() >= MAX_DEPTH {
                self.contents.left_out(subject, format!("it is a group in {MAX_DEPTH} others"));
            } else {
                let path: Vec<String> = path.iter().cloned().chain([name]).collect();
                self.group(&object, target, &path);
            }
        }
    }

    /// The address of the object to which a link in a group leads.
    fn follow(&self, target: &Target, group: u64, depth: usize) -> Result<u64, String> {
        let path = match target {
            Target::Object(address) => return Ok(*address),
            Target::Path(path) => path,
            Target::OtherFile => return Err("it is a link to another file".to_owned()),
        };
        let nowhere = || "it is a link that leads nowhere".to_owned();
        let depth = depth.checked_sub(1).ok_or("it is a link that leads through too many others")?;
        let mut address = if path.starts_with(b"/") { self.objects.root } else { group };
        for part in path.split(|&byte| byte == b'/').filter(|part| !part.is_empty() && *part != b".") {
            let (links, _) = self.objects.links(&self.objects.object(address)?);
            let link = links.into_iter().find(|link| link.name == part).ok_or_else(nowhere)?;
            address = self.follow(&link.target, address, depth)?;
        }
        Ok(address)
    }

    /// The attributes of an object. Adds notices about those that cannot be read.
    fn attributes(&mut self, object: &Object, subject: &str) -> Vec<AttributeBytes> {
        let (attributes, failures) = self.objects.attributes(object);
        for (reason, count) in counted(failures) {
            let lost = if count == 1 { "an attribute".to_owned() } else { format!("{count} attributes") };
            self.contents.left_out(of(&lost, subject), reason);
        }
        attributes
    }

    /// The values of the attributes that NetCDF-4 does not use itself.
    fn values(&mut self, attributes: &[AttributeBytes], subject: &str) -> Vec<RawAttribute> {
        let mut raw = Vec::with_capacity(attributes.len());
        for attribute in attributes {
            if HIDDEN.iter().any(|hidden| attribute.is(hidden)) {
                continue;
            }
            match self.value(attribute) {
                Ok(value) => raw.push(RawAttribute { name: attribute.name.clone(), value }),
                Err(reason) => {
                    let name = self.contents.name(&attribute.name);
                    self.contents.left_out(of(&format!("attribute {name}"), subject), reason);
                }
            }
        }
        raw
    }

    fn value(&self, attribute: &AttributeBytes) -> Result<RawValue, String> {
        let space = self.space(&attribute.dataspace)?;
        let count = match space.dataspace_type {
            DataspaceType::Scalar => None,
            DataspaceType::Null => Some(0),
            DataspaceType::Simple => {
                let product = |count: Option<u64>, &size: &u64| count?.checked_mul(size);
                Some(space.dims.iter().fold(Some(1), product).ok_or("its size is too large to be true")?)
            }
        };
        attribute_value(self.objects, attribute, count)
    }

    fn space(&self, bytes: &[u8]) -> Result<DataspaceMessage, String> {
        let (offset, length) = (self.objects.offset_size, self.objects.length_size);
        dataspace::parse(&mut Cursor::new(bytes), offset, length, bytes.len()).map_err(told)
    }

    /// Adds a dataset, and the dimension that it defines.
    fn dataset(&mut self, address: u64, group: &[String], name: &[u8], object: Object) -> Result<(), String> {
        let space = object.message(MSG_DATASPACE).ok_or("it is damaged: it has no shape")?;
        let space = self.space(space)?;
        if space.dataspace_type == DataspaceType::Null {
            return Err("it has no values: its dataspace is null".to_owned());
        }
        let shown = self.contents.name(name.strip_prefix(NOT_COORDINATE).unwrap_or(name));
        let subject: String = group.iter().map(|part| format!("{part}.")).chain([shown.clone()]).collect();
        let attributes = self.attributes(&object, &subject);
        let text = |name: &str| {
            let attribute = attributes.iter().find(|attribute| attribute.is(name))?;
            match self.value(attribute).ok()? {
                RawValue::Text(bytes) => Some(bytes),
                RawValue::Strings(mut strings) => strings.pop(),
                RawValue::Other(_) => None,
            }
        };
        let is_scale = text("CLASS").is_some_and(|class| class == b"DIMENSION_SCALE");
        let only_dimension = is_scale && text("NAME").is_some_and(|name| name.starts_with(ONLY_DIMENSION));
        let first = space.dims.first().copied();
        let mut scale = None;
        if let (true, Some(size)) = (is_scale, first) {
            let number = self.contents.dims.len();
            let unlimited = unlimited(&space, 0);
            let name = self.contents.name(name);
            self.contents.dims.push(Dimension { group: group.to_vec(), name, size, unlimited });
            self.by_address.insert(address, number);
            let id = attributes.iter().find(|attribute| attribute.is("_Netcdf4Dimid"));
            if let Some(id) =
                id.and_then(|id| self.value(id).ok()).and_then(|id| integers(&id).first().copied())
            {
                self.by_number.insert(id, number);
            }
            scale = Some(number);
        }
        if !only_dimension {
            let group = group.to_vec();
            self.found.push(Found { group, name: shown, object, space, attributes, scale });
        }
        Ok(())
    }

    /// The dimension of each axis, if known.
    fn dims(&self, found: &Found) -> Vec<Option<usize>> {
        let rank = found.space.dims.len();
        let attribute = |name: &str| found.attributes.iter().find(|attribute| attribute.is(name));
        if let (Some(scale), 1) = (found.scale, rank) {
            return vec![Some(scale)];
        }
        let mut dims = vec![None; rank];
        if let Some(list) = attribute("DIMENSION_LIST") {
            // The list has a sequence of addresses for each axis; the first scale is the dimension.
            let width = usize::from(self.objects.offset_size);
            for (dim, reference) in dims.iter_mut().zip(list.data.chunks_exact(8 + width)) {
                let scales = self.objects.sequence(reference, width).unwrap_or_default();
                let address = Cursor::new(&scales).read_offset(self.objects.offset_size).ok();
                *dim = address.and_then(|address| self.by_address.get(&address).copied());
            }
        } else if let Some(numbers) =
            attribute("_Netcdf4Coordinates").and_then(|numbers| self.value(numbers).ok())
        {
            for (dim, number) in dims.iter_mut().zip(integers(&numbers)) {
                *dim = self.by_number.get(&number).copied();
            }
        } else if let (Some(scale), Some(first)) = (found.scale, dims.first_mut()) {
            *first = Some(scale);
        }
        dims
    }

    /// Converts the datasets to variables.
    fn variables(mut self) -> Result<(Contents, Datasets), String> {
        let found = std::mem::take(&mut self.found);
        let mut dims: Vec<Vec<Option<usize>>> = found.iter().map(|found| self.dims(found)).collect();
        // An unlimited dimension has the length of its longest variable.
        for (found, dims) in found.iter().zip(&dims) {
            for (axis, (&dim, &size)) in dims.iter().zip(&found.space.dims).enumerate() {
                let dim = dim.and_then(|dim| self.contents.dims.get_mut(dim));
                if let Some(dim) = dim.filter(|dim| dim.unlimited && unlimited(&found.space, axis)) {
                    dim.size = dim.size.max(size);
                }
            }
        }
        // netCDF-C names the dimensions of axes without a scale in subgroups before the enclosing
        // groups.
        let mut order: Vec<usize> = (0..found.len()).collect();
        order
            .sort_by_key(|&number| std::cmp::Reverse(found.get(number).map_or(0, |found| found.group.len())));
        for number in order {
            if let (Some(found), Some(dims)) = (found.get(number), dims.get_mut(number)) {
                self.complete(found, dims);
            }
        }

        let mut claims = Claims::new(self.objects.storage().len());
        let (mut wanted, mut variables) = (Vec::new(), Vec::new());
        for (found, dims) in found.into_iter().zip(dims) {
            let subject: String =
                found.group.iter().map(|part| format!("{part}.")).chain([found.name.clone()]).collect();
            let dims: Vec<usize> = dims.into_iter().flatten().collect();
            let shape: Vec<u64> =
                dims.iter().map(|&dim| self.contents.dims.get(dim).map_or(0, |dim| dim.size)).collect();
            let dtype = found.object.message(MSG_DATATYPE).ok_or_else(|| "it has no type".to_owned());
            let dtype = dtype.and_then(FileType::parse);
            let dtype = dtype.and_then(|dtype| {
                let width = dtype.width(self.objects.offset_size);
                claims.take(&shape, width.into()).map(|()| (dtype, width))
            });
            let (dtype, width) = match dtype {
                Ok(dtype) => dtype,
                Err(reason) => {
                    self.contents.unreadable(subject, reason);
                    continue;
                }
            };
            let raw = self.values(&found.attributes, &subject);
            let (attributes, encoding) = decode(raw, &subject, &mut self.contents);
            variables.push((
                subject,
                FileVariable {
                    group: found.group,
                    name: found.name,
                    dims,
                    dtype: dtype.netcdf.clone(),
                    attributes,
                    encoding,
                },
            ));
            wanted.push(Wanted { object: found.object, dtype, width, shape });
        }
        let mut datasets = Vec::new();
        for ((subject, variable), dataset) in
            variables.into_iter().zip(Datasets::open(self.objects, &wanted)?)
        {
            match dataset {
                Ok(dataset) => {
                    datasets.push(dataset);
                    self.contents.variables.push(variable);
                }
                Err(reason) => self.contents.unreadable(subject, reason),
            }
        }
        Ok((self.contents, Datasets::new(datasets)))
    }

    /// Gives each axis without a dimension one of its length.
    fn complete(&mut self, found: &Found, dims: &mut [Option<usize>]) {
        for axis in 0..dims.len() {
            let size = found.space.dims.get(axis).copied().unwrap_or(0);
            let grows = unlimited(&found.space, axis);
            let known = dims.get(axis).copied().flatten();
            let fits = |dim: &Dimension| dim.size == size || (dim.size > size && dim.unlimited && grows);
            if let Some(dim) = known.and_then(|dim| self.contents.dims.get(dim)) {
                if fits(dim) {
                    continue;
                }
                let subject = found.name.clone();
                let detail = format!("its axis {axis} has another length than its dimension {}", dim.name);
                self.contents.notice(crate::notice::NoticeClass::Renamed, subject, detail);
            }
            let same = self.contents.dims.iter().enumerate().position(|(number, dim)| {
                let equal = dim.group == found.group && dim.size == size && dim.unlimited == grows;
                equal && !dims.contains(&Some(number))
            });
            let number = same.unwrap_or_else(|| {
                let number = self.contents.dims.len();
                self.contents.dims.push(Dimension {
                    group: found.group.clone(),
                    name: format!("phony_dim_{number}"),
                    size,
                    unlimited: grows,
                });
                number
            });
            if let Some(dim) = dims.get_mut(axis) {
                *dim = Some(number);
            }
        }
    }
}

impl AttributeBytes {
    /// True if the attribute has this name.
    fn is(&self, name: &str) -> bool {
        self.name.split(|&byte| byte == 0).next() == Some(name.as_bytes())
    }
}

fn is_group(object: &Object) -> bool {
    [MSG_SYMBOL_TABLE, MSG_LINK_INFO, MSG_GROUP_INFO, MSG_LINK]
        .iter()
        .any(|&kind| object.message(kind).is_some())
}

fn unlimited(space: &DataspaceMessage, axis: usize) -> bool {
    space.max_dims.as_ref().is_some_and(|dims| dims.get(axis) == Some(&u64::MAX))
}

fn integers(value: &RawValue) -> Vec<i64> {
    match value {
        RawValue::Other(NcAttrValue::Ints(numbers)) => numbers.iter().map(|&number| number.into()).collect(),
        RawValue::Other(NcAttrValue::Int64s(numbers)) => numbers.clone(),
        _ => Vec::new(),
    }
}

/// Reasons, each once, in order, with how often they occur.
fn counted(reasons: Vec<String>) -> Vec<(String, usize)> {
    let mut counted: Vec<(String, usize)> = Vec::new();
    for reason in reasons {
        match counted.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, count)) => *count += 1,
            None => counted.push((reason, 1)),
        }
    }
    counted
}

fn of(what: &str, subject: &str) -> String {
    if subject.is_empty() { what.to_owned() } else { format!("{what} of {subject}") }
}
