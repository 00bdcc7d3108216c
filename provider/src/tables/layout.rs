//! The layout of a table: its rows and columns, and where they come from. Derived from the catalog
//! alone.
//!
//! A table has some dimensions. A dataset gives it a row for each cell over those of them that it
//! has. The rows of a dataset are divided into **tiles**, boxes as large as a chunk of its largest
//! array. Tiles are the unit of work, and are numbered through all datasets. The numbers depend
//! only on the catalog, so that a range of them means the same to every process that opens the same
//! generation.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use atlas::{ArraySchema, Catalog, DType, Dataset, DatasetSchema, is_note};

use crate::tables::coordinates::{Named, is_coordinate};
use crate::tables::level::Level;
use crate::tables::names::{Mark, Wanted, distinct};
use crate::tables::options::TableOptions;
use crate::tables::places::places;
use crate::tables::widen::{AttributeType, Kind, types_by_kind, types_with_index};

/// The name of the column with the datasets' names.
pub const DATASET: &str = "dataset";

/// The content of a column. Several columns show one dimension or variable if its values are of
/// several [kinds](Kind); each shows those of the kind of its type.
#[derive(Clone, Debug, PartialEq)]
pub enum ColumnKind {
    /// The dataset's name.
    Dataset,
    /// The coordinate along a dimension of the table, given by its position; the index if a dataset
    /// has no coordinate.
    Dimension(usize),
    /// A variable.
    Variable(String),
    /// An attribute of the dataset.
    Attribute(String, AttributeType),
}

/// The origin of a column's values, in datasets of one schema.
#[derive(Clone, Debug)]
pub enum Origin {
    /// The name of the dataset.
    Name,
    /// The index along a dimension of the dataset's rows, by its position.
    Index(usize),
    /// An array, with the positions of its dimensions among those of the dataset's rows.
    Array(Vec<usize>),
    /// The attribute that the column shows.
    Attribute,
    /// Nowhere: the dataset lacks it, or has values of another kind.
    Missing,
}

/// The rows that datasets of one schema give a table.
#[derive(Debug)]
pub struct SchemaLayout {
    /// For each dimension of the rows, its position in the table's dimensions, ascending, and in
    /// the dataset's sizes.
    pub dims: Vec<(usize, usize)>,
    /// For each column of the table, its origin.
    pub origins: Vec<Origin>,
    /// For each column that comes from an array: whether the array has exactly the dimensions of
    /// the column's level here, in the order of those of the rows, so that its cells are the
    /// column's values without any change.
    pub direct: Vec<bool>,
    /// The chunk sizes of tiles along the dimensions of the rows; 0 means the whole dimension.
    tile: Vec<usize>,
}

/// The rows and columns of a table.
#[derive(Debug)]
pub struct Layout {
    /// The dimensions.
    pub dims: Vec<String>,
    /// The columns' fields.
    pub schema: SchemaRef,
    /// What each column shows.
    pub columns: Vec<ColumnKind>,
    /// The level of each column over all datasets.
    levels: Vec<Level>,
    /// By schema of the catalog; `None` if its datasets have no rows.
    schemas: Vec<Option<SchemaLayout>>,
    /// The datasets with rows: ordinal, and the number of tiles up to its end.
    datasets: Vec<(u32, u64)>,
    /// The number of tiles of the largest dataset.
    largest: u64,
}

impl Layout {
    /// The table over `dims`, with every variable whose dimensions are among them.
    pub fn wide(catalog: &Catalog, dims: &[String], options: &TableOptions) -> Self {
        let on_grid = |array: &ArraySchema| array.dims.iter().all(|dim| dims.contains(dim));
        Self::build(catalog, dims.to_vec(), &on_grid, options.attributes)
    }

    /// The table of one variable: its own cells only.
    pub fn of_variable(catalog: &Catalog, name: &str) -> Self {
        let mut dims: Vec<String> = Vec::new();
        for dim in catalog.array_schemas().iter().filter(|array| array.name == name).flat_map(|a| &a.dims) {
            if !dims.contains(dim) {
                dims.push(dim.clone());
            }
        }
        Self::build(catalog, dims, &|array| array.name == name, false)
    }

    fn build(
        catalog: &Catalog,
        dims: Vec<String>,
        shown: &dyn Fn(&ArraySchema) -> bool,
        attributes: bool,
    ) -> Self {
        let mut used = vec![false; catalog.dataset_schemas().len()];
        for (_, dataset) in catalog.datasets() {
            if let Some(used) = used.get_mut(dataset.schema()) {
                *used = true;
            }
        }
        let schemas: Vec<Option<&DatasetSchema>> = catalog
            .dataset_schemas()
            .iter()
            .zip(used)
            .map(|(schema, used)| {
                (used && catalog.arrays(schema).any(|array| shown(array))).then_some(schema.as_ref())
            })
            .collect();
        let columns = Columns::collect(catalog, &dims, &schemas, shown, attributes);
        let mut layouts: Vec<_> = schemas
            .iter()
            .map(|schema| SchemaLayout::new(catalog, (*schema)?, &dims, &columns, shown))
            .collect();
        let mut levels = vec![Level::DATASET; columns.kinds.len()];
        for layout in layouts.iter().flatten() {
            let own = layout.origins.iter().map(|origin| layout.level_by(origin));
            levels.iter_mut().zip(own).for_each(|(level, own)| *level = *level | own);
        }
        for layout in layouts.iter_mut().flatten() {
            let direct = layout.origins.iter().zip(&levels).map(|(origin, &level)| match origin {
                Origin::Array(dims) => dims.is_sorted() && dims.len() == layout.at(level).count(),
                _ => false,
            });
            layout.direct = direct.collect();
        }
        let (mut datasets, mut tiles, mut largest) = (Vec::new(), 0u64, 0);
        let (mut shape, mut tile) = (Vec::new(), Vec::new());
        for (ordinal, dataset) in catalog.datasets() {
            let Some(Some(layout)) = layouts.get(dataset.schema()) else { continue };
            layout.tile_sizes(dataset, &mut shape, &mut tile);
            let counts = shape.iter().zip(&tile).map(|(size, tile)| size.div_ceil(*tile));
            let own = counts.product::<usize>() as u64;
            tiles += own;
            largest = largest.max(own);
            datasets.push((ordinal, tiles));
        }
        let schema = Arc::new(Schema::new(columns.fields));
        Self { dims, schema, columns: columns.kinds, levels, schemas: layouts, datasets, largest }
    }

    /// The ordinals of the datasets with rows, each with the range of its tiles.
    pub fn datasets(&self) -> impl ExactSizeIterator<Item = (u32, Range<u64>)> {
        let start = |i: usize| i.checked_sub(1).and_then(|i| self.datasets.get(i)).map_or(0, |&(_, end)| end);
        self.datasets.iter().enumerate().map(move |(i, &(ordinal, end))| (ordinal, start(i)..end))
    }

    /// The datasets of a range of tiles, each with its tiles in the range, relative to its first.
    pub fn datasets_in(&self, tiles: Range<u64>) -> impl Iterator<Item = (u32, Range<u64>)> {
        let first = self.first_in(&tiles);
        let before = first.checked_sub(1).and_then(|i| self.datasets.get(i)).map_or(0, |&(_, end)| end);
        let ends = self.datasets.iter().skip(first);
        let starts = std::iter::once(before).chain(ends.clone().map(|&(_, end)| end));
        ends.zip(starts).take_while(move |(_, start)| *start < tiles.end).map(
            move |(&(ordinal, end), start)| {
                (ordinal, tiles.start.max(start) - start..tiles.end.min(end) - start)
            },
        )
    }

    /// The position of a dataset among those with rows, if it is one.
    pub fn place_of(&self, ordinal: u32) -> Option<usize> {
        self.datasets.binary_search_by_key(&ordinal, |&(ordinal, _)| ordinal).ok()
    }

    /// The dataset at a position among those with rows: its ordinal, and its tiles.
    pub fn at(&self, place: usize) -> Option<(u32, Range<u64>)> {
        let start = match place.checked_sub(1) {
            Some(before) => self.datasets.get(before)?.1,
            None => 0,
        };
        self.datasets.get(place).map(|&(ordinal, end)| (ordinal, start..end))
    }

    /// The position, among the datasets with rows, of the first one of a range of tiles.
    pub fn first_in(&self, tiles: &Range<u64>) -> usize {
        self.datasets.partition_point(|&(_, end)| end <= tiles.start)
    }

    /// The tiles of those datasets that end in a range of tiles.
    pub fn whole_datasets(&self, tiles: &Range<u64>) -> Range<u64> {
        // A range that begins inside a dataset leaves that dataset to the range before it.
        let end_of = |tile: u64| {
            let place = self.datasets.partition_point(|&(_, end)| end < tile);
            self.datasets.get(place).map_or(tile, |&(_, end)| end)
        };
        let start = if tiles.start == 0 { 0 } else { end_of(tiles.start) };
        start..end_of(tiles.end).max(start)
    }

    /// The number of tiles of the largest dataset.
    pub fn largest(&self) -> u64 {
        self.largest
    }

    /// The number of tiles of all datasets.
    pub fn all_tiles(&self) -> u64 {
        self.datasets.last().map_or(0, |&(_, end)| end)
    }

    /// The layout of a dataset's rows; `None` if it has none.
    pub fn of(&self, dataset: Dataset<'_>) -> Option<&SchemaLayout> {
        self.schemas.get(dataset.schema())?.as_ref()
    }

    /// The layout for a schema of the catalog; `None` if its datasets have no rows.
    pub fn schema(&self, number: usize) -> Option<&SchemaLayout> {
        self.schemas.get(number)?.as_ref()
    }

    /// True for a column that is known for each dataset without reading anything: a name or an
    /// attribute.
    pub fn is_of_datasets(&self, column: usize) -> bool {
        matches!(self.columns.get(column), Some(ColumnKind::Dataset | ColumnKind::Attribute(..)))
    }

    /// The level of a column.
    pub fn level(&self, column: usize) -> Level {
        self.levels.get(column).copied().unwrap_or(Level::ROWS)
    }

    /// The common level of columns.
    pub fn level_of(&self, columns: impl IntoIterator<Item = usize>) -> Level {
        columns.into_iter().fold(Level::DATASET, |level, column| level | self.level(column))
    }

    /// In words, what has one value each at a level.
    pub fn words(&self, level: Level) -> String {
        let all = Level::of(0..self.dims.len());
        if level == Level::DATASET {
            return "dataset".to_owned();
        }
        if all.is_part_of(level) && self.dims.len() > 1 {
            return "row".to_owned();
        }
        let dims = self.dims.iter().enumerate().filter(|(dim, _)| level.has(*dim));
        dims.map(|(_, name)| name.as_str()).collect::<Vec<_>>().join(" and ")
    }

    /// The name of the variable of a column, if it comes from one in some dataset.
    pub fn variable(&self, column: usize) -> Option<&str> {
        let name = match self.columns.get(column)? {
            ColumnKind::Variable(name) => name,
            ColumnKind::Dimension(dim) => self.dims.get(*dim)?,
            ColumnKind::Dataset | ColumnKind::Attribute(..) => return None,
        };
        let is_array = |layout: &SchemaLayout| matches!(layout.origins.get(column), Some(Origin::Array(..)));
        self.schemas.iter().flatten().any(is_array).then_some(name)
    }

    /// True if a column shows indices along a dimension in some datasets.
    pub fn has_indices(&self, column: usize) -> bool {
        let is_index = |layout: &SchemaLayout| matches!(layout.origins.get(column), Some(Origin::Index(_)));
        self.schemas.iter().flatten().any(is_index)
    }

    /// The position of a column.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.schema.index_of(name).ok()
    }
}

impl SchemaLayout {
    fn new(
        catalog: &Catalog,
        schema: &DatasetSchema,
        dims: &[String],
        columns: &Columns,
        shown: &dyn Fn(&ArraySchema) -> bool,
    ) -> Option<Self> {
        let arrays: Vec<_> = catalog.arrays(schema).filter(|array| shown(array)).collect();
        if arrays.is_empty() {
            return None;
        }
        let positions = places(dims.iter());
        let sizes = places(schema.dims.iter());
        let position = |dim: &String| Some((*positions.get(dim.as_str())?, *sizes.get(dim.as_str())?));
        let mut own: Vec<_> = arrays.iter().flat_map(|array| &array.dims).filter_map(position).collect();
        own.sort_unstable();
        own.dedup();
        let local = |dim: &String| {
            let position = positions.get(dim.as_str())?;
            own.binary_search_by_key(position, |&(dim, _)| dim).ok()
        };
        let origin = |array: &Arc<ArraySchema>, kind: Kind| {
            if Kind::of(array.dtype) != kind {
                return Origin::Missing;
            }
            Origin::Array(array.dims.iter().filter_map(local).collect())
        };
        let coordinates: HashMap<&str, &Arc<ArraySchema>> = catalog
            .arrays(schema)
            .filter(|array| is_coordinate(array))
            .map(|array| (array.name.as_str(), array))
            .collect();
        let variables: HashMap<&str, &Arc<ArraySchema>> =
            arrays.iter().map(|array| (array.name.as_str(), *array)).collect();
        let attributes: HashSet<&str> = schema.attributes.iter().map(String::as_str).collect();
        let origins = columns.kinds.iter().zip(columns.value_kinds()).map(|(column, kind)| match column {
            ColumnKind::Dataset => Origin::Name,
            ColumnKind::Dimension(dim) => {
                let coordinate = dims.get(*dim).and_then(|name| coordinates.get(name.as_str()));
                match (coordinate, own.binary_search_by_key(dim, |&(dim, _)| dim)) {
                    (Some(array), Ok(_)) => origin(array, kind),
                    (None, Ok(local)) if kind == Kind::Number => Origin::Index(local),
                    _ => Origin::Missing,
                }
            }
            ColumnKind::Variable(name) => {
                variables.get(name.as_str()).map_or(Origin::Missing, |array| origin(array, kind))
            }
            ColumnKind::Attribute(name, _) if attributes.contains(name.as_str()) => Origin::Attribute,
            ColumnKind::Attribute(..) => Origin::Missing,
        });
        let origins = origins.collect();
        // Tiles follow the chunks of the first array that has all the dimensions, so that its
        // chunks are consecutive rows.
        let full = arrays.iter().find(|array| array.dims.len() == own.len());
        let tile = own
            .iter()
            .map(|&(dim, _)| {
                let chunk = full.and_then(|array| {
                    let position = array.dims.iter().position(|name| dims.get(dim) == Some(name))?;
                    array.chunk.get(position).copied()
                });
                chunk.unwrap_or(usize::MAX)
            })
            .collect();
        Some(Self { dims: own, origins, direct: Vec::new(), tile })
    }

    /// The level of a column in these datasets, given its origin.
    fn level_by(&self, origin: &Origin) -> Level {
        let dims: &[usize] = match origin {
            Origin::Array(dims) => dims,
            Origin::Index(dim) => std::slice::from_ref(dim),
            Origin::Name | Origin::Attribute | Origin::Missing => &[],
        };
        Level::of(dims.iter().filter_map(|&local| self.dims.get(local).map(|&(dim, _)| dim)))
    }

    /// The positions of the dimensions of the rows that are in a level.
    pub fn at(&self, level: Level) -> impl Iterator<Item = usize> {
        let dims = self.dims.iter().enumerate();
        dims.filter(move |(_, (dim, _))| level.has(*dim)).map(|(local, _)| local)
    }

    /// The position of a dimension of the table among the dimensions of the rows.
    pub fn local(&self, dim: usize) -> Option<usize> {
        self.dims.iter().position(|&(d, _)| d == dim)
    }

    /// The sizes of a dataset's rows along their dimensions.
    pub fn shape(&self, dataset: Dataset<'_>) -> Vec<usize> {
        self.dims.iter().filter_map(|&(_, position)| dataset.size_at(position)).collect()
    }

    /// Replaces `shape` and `tile` with the sizes of a dataset's rows along their dimensions, and
    /// with those of its tiles.
    pub fn tile_sizes(&self, dataset: Dataset<'_>, shape: &mut Vec<usize>, tile: &mut Vec<usize>) {
        shape.clear();
        shape.extend(self.dims.iter().filter_map(|&(_, position)| dataset.size_at(position)));
        tile.clear();
        let chosen = self.tile.contains(&usize::MAX).then(|| atlas::default_chunk(shape));
        tile.extend(self.tile.iter().zip(shape.iter()).enumerate().map(|(dim, (&tile, &size))| {
            let chosen = chosen.as_ref().and_then(|chosen| chosen.get(dim));
            let tile = chosen.copied().filter(|_| tile == usize::MAX).unwrap_or(tile);
            if tile == 0 { size.max(1) } else { tile }
        }));
    }
}

/// Where a variable stands among the columns of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// It says where or when the others are.
    Coordinate,
    /// It has all dimensions of the table.
    Full,
    /// It is repeated along some of them.
    Other,
}

impl Rank {
    fn of(named: &Named, array: &ArraySchema, dims: usize) -> Self {
        if named.is_coordinate(array) {
            Self::Coordinate
        } else if array.dims.len() == dims {
            Self::Full
        } else {
            Self::Other
        }
    }
}

/// The columns of a table, as they are found: the dataset's name, dimensions, coordinates,
/// variables with all dimensions, other variables, attributes.
#[derive(Default)]
struct Columns {
    kinds: Vec<ColumnKind>,
    fields: Vec<Field>,
    /// The preferred names of the columns after `dataset`.
    wanted: Vec<Wanted>,
}

impl Columns {
    fn collect(
        catalog: &Catalog,
        dims: &[String],
        schemas: &[Option<&DatasetSchema>],
        shown: &dyn Fn(&ArraySchema) -> bool,
        attributes: bool,
    ) -> Self {
        let arrays = arrays_of(catalog, schemas);
        let positions = places(dims.iter());
        // Dimensions that share their name with a variable that is not their coordinate.
        let shared: HashSet<&str> = arrays
            .iter()
            .filter(|array| !is_coordinate(array) && positions.contains_key(array.name.as_str()))
            .map(|array| array.name.as_str())
            .collect();
        let mut coordinates: HashMap<&str, Vec<DType>> = HashMap::new();
        for array in arrays.iter().filter(|array| is_coordinate(array)) {
            coordinates.entry(&array.name).or_default().push(array.dtype);
        }

        let mut columns = Self::default();
        for (position, dim) in dims.iter().enumerate() {
            let declared = coordinates.get(dim.as_str()).map_or(&[][..], Vec::as_slice).iter().copied();
            let indexed = |schema: &&DatasetSchema| {
                schema.dims.contains(dim)
                    && !catalog.arrays(schema).any(|a| is_coordinate(a) && a.name == *dim)
            };
            let types = if schemas.iter().flatten().any(indexed) {
                types_with_index(declared)
            } else {
                types_by_kind(declared)
            };
            // A dimension that no dataset has.
            let types = if types.is_empty() { vec![DType::String] } else { types };
            let marked = shared.contains(dim.as_str());
            columns.push(dim, Mark::Before("dim"), marked, types, || ColumnKind::Dimension(position));
        }
        let named = Named::of(catalog);
        let mut variables: Vec<(&str, Rank, Vec<DType>)> = Vec::new();
        let mut places: HashMap<&str, usize> = HashMap::new();
        for array in arrays.into_iter().filter(|array| shown(array)) {
            let name = array.name.as_str();
            if is_coordinate(array) && positions.contains_key(name) && !shared.contains(name) {
                continue;
            }
            let place = *places.entry(name).or_insert_with(|| {
                variables.push((name, Rank::Other, Vec::new()));
                variables.len() - 1
            });
            if let Some((_, rank, types)) = variables.get_mut(place) {
                *rank = (*rank).min(Rank::of(&named, array, dims.len()));
                types.push(array.dtype);
            }
        }
        variables.sort_by_key(|(_, rank, _)| *rank);
        for (name, _, types) in variables {
            let kind = || ColumnKind::Variable(name.to_owned());
            columns.push(name, Mark::Before("variable"), false, types_by_kind(types), kind);
        }
        for (key, kind) in if attributes { attribute_types(catalog) } else { Vec::new() } {
            columns.wanted.push(Wanted { name: key.clone(), mark: Mark::Before("attr"), marked: false });
            columns.fields.push(Field::new(&key, kind.arrow(), true));
            columns.kinds.push(ColumnKind::Attribute(key, kind));
        }
        columns.named()
    }

    /// Adds the columns of one dimension or variable: the first with the plain name, the others
    /// with their kind appended.
    fn push(
        &mut self,
        name: &str,
        mark: Mark,
        marked: bool,
        types: Vec<DType>,
        kind: impl Fn() -> ColumnKind,
    ) {
        for (number, dtype) in types.into_iter().enumerate() {
            let (mark, marked) = match number {
                0 => (mark, marked),
                _ => (Mark::After(Kind::of(dtype).word()), true),
            };
            self.wanted.push(Wanted { name: name.to_owned(), mark, marked });
            self.fields.push(Field::new(name, dtype.arrow(), true));
            self.kinds.push(kind());
        }
    }

    /// The same columns after `dataset`, each with a unique name.
    fn named(self) -> Self {
        let names = distinct(&[DATASET], &self.wanted);
        let dataset = Field::new(DATASET, DType::String.arrow(), false);
        let others = self.fields.into_iter().zip(names).map(|(field, name)| field.with_name(name));
        Self {
            kinds: std::iter::once(ColumnKind::Dataset).chain(self.kinds).collect(),
            fields: std::iter::once(dataset).chain(others).collect(),
            wanted: self.wanted,
        }
    }

    /// The kind of the values of each column.
    fn value_kinds(&self) -> impl Iterator<Item = Kind> {
        let kind = |data_type: &DataType| DType::from_arrow(data_type).map_or(Kind::Text, Kind::of);
        self.fields.iter().map(move |field| kind(field.data_type()))
    }
}

/// The distinct arrays of schemas, in the order in which datasets declare them.
fn arrays_of<'a>(catalog: &'a Catalog, schemas: &[Option<&DatasetSchema>]) -> Vec<&'a ArraySchema> {
    let declared = catalog.array_schemas();
    let mut seen = vec![false; declared.len()];
    let mut arrays: Vec<&ArraySchema> = Vec::new();
    for schema in schemas.iter().flatten() {
        for &number in &schema.arrays {
            if let (Some(seen), Some(array)) = (seen.get_mut(number), declared.get(number))
                && !std::mem::replace(seen, true)
            {
                arrays.push(array);
            }
        }
    }
    arrays
}

/// The attributes of datasets, in the order of their first occurrence, with the type that holds all
/// their values.
pub fn attribute_types(catalog: &Catalog) -> Vec<(String, AttributeType)> {
    let mut types: Vec<(String, AttributeType)> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    for (_, dataset) in catalog.datasets() {
        for key in catalog.schema(dataset).attributes.iter().filter(|key| !is_note(key)) {
            let Some((dtype, list)) = dataset.attribute_type(key) else { continue };
            let own = AttributeType { dtype, list };
            let place = *places.entry(key).or_insert_with(|| {
                types.push((key.to_owned(), own));
                types.len() - 1
            });
            if let Some((_, kind)) = types.get_mut(place) {
                *kind = kind.merge(own);
            }
        }
    }
    types
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use atlas::AttributeValue;

    use super::*;
    use crate::testing;

    /// The name, type and dimensions of an array.
    type Declared = (String, DType, Vec<&'static str>);

    /// A catalog of datasets, each with these arrays and attributes.
    fn catalog(datasets: &[(Vec<Declared>, Vec<String>)]) -> Arc<Catalog> {
        let array = |(name, dtype, dims): &Declared| {
            (ArraySchema::new(name.clone(), *dtype, dims), vec![1; dims.len()])
        };
        testing::catalog(datasets.iter().map(|(arrays, attributes)| {
            let attributes = attributes.iter().map(|key| (key.clone(), AttributeValue::from(1i64)));
            (arrays.iter().map(array).collect(), attributes.collect())
        }))
    }

    /// The names of the columns of a table, each with its type, sorted.
    fn columns(layout: &Layout) -> Vec<String> {
        let fields = layout.schema.fields().iter();
        let mut columns: Vec<_> = fields.map(|f| format!("{} {}", f.name(), f.data_type())).collect();
        columns.sort();
        columns
    }

    #[test]
    fn names_and_types_do_not_depend_on_the_order_of_datasets() {
        let text = |name: &str| name.to_owned();
        let mut datasets = vec![
            (
                vec![
                    (text("lat"), DType::F32, vec!["lat", "lon"]),
                    (text("v"), DType::F64, vec!["time", "lat"]),
                ],
                vec![text("v"), text("lon"), text("attr.v")],
            ),
            (
                vec![
                    (text("lat"), DType::F64, vec!["lat"]),
                    (text("time"), DType::Timestamp, vec!["time"]),
                    (text("v"), DType::String, vec!["time", "lat"]),
                ],
                vec![text("attr.v"), text("dataset"), text("attr.attr.v")],
            ),
            (
                vec![
                    (text("time"), DType::F64, vec!["time"]),
                    (text("time.number"), DType::I8, vec!["time"]),
                    (text("dataset"), DType::I32, vec!["lat"]),
                ],
                vec![text("v")],
            ),
        ];
        let dims = ["time", "lat", "lon"].map(str::to_owned);
        let of = |datasets: &[_]| columns(&Layout::wide(&catalog(datasets), &dims, &TableOptions::default()));
        let expected = [
            "attr.attr.attr.v Int64",
            "attr.attr.v Int64",
            "attr.dataset Int64",
            "attr.lon Int64",
            "attr.v Int64",
            "dataset Utf8View",
            "dim.lat Float64",
            "lat Float64",
            "lon Int64",
            "time Timestamp(ns)",
            "time.number Int8",
            "time.number.number Float64",
            "v Float64",
            "v.text Utf8View",
            "variable.dataset Int32",
        ];
        for _ in 0..datasets.len() {
            datasets.rotate_left(1);
            assert_eq!(of(&datasets), expected);
            let reversed: Vec<_> = datasets.iter().rev().cloned().collect();
            assert_eq!(of(&reversed), expected);
        }
    }

    /// 64 times as many variables and attributes take about 64 times as long, not 4096 times. The limit
    /// between is far from both, because other processes can run meanwhile.
    #[test]
    fn a_layout_takes_time_linear_in_variables_and_attributes() {
        let time = |count: usize| {
            let arrays = (0..count).map(|i| (format!("v{i}"), DType::F32, vec!["x"])).collect();
            let catalog = catalog(&[(arrays, (0..count).map(|i| format!("v{i}")).collect())]);
            let dims = ["x".to_owned()];
            let times = (0..3).map(|_| {
                let start = Instant::now();
                let layout = Layout::wide(&catalog, &dims, &TableOptions::default());
                assert_eq!(layout.columns.len(), 2 * count + 2);
                start.elapsed()
            });
            times.min().unwrap_or(Duration::MAX)
        };
        let (few, many) = (time(500), time(32_000));
        assert!(many < few * 600, "{few:?} for 500 variables, {many:?} for 32000");
    }
}
