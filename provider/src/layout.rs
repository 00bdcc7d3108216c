//! Which rows and columns a table has, and where they come from. Pure: of the catalog alone.
//!
//! A table's rows are the cells of some dimensions, for each dataset over those of them that the dataset has. The rows
//! of a dataset are cut into **tiles**, boxes as large as a chunk of its largest array: the unit of
//! work. Tiles are numbered through all datasets; the numbers depend on nothing but the catalog, so that a
//! range of them means the same to whoever opens the same generation.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use atlas::{ArraySchema, Catalog, ChunkGrid, DType, Dataset, DatasetSchema, Region};

use crate::options::TableOptions;
use crate::widen::{AttributeType, common_type};

/// The name of the column with the datasets' names.
pub const DATASET: &str = "dataset";

/// What a column shows.
#[derive(Clone, Debug, PartialEq)]
pub enum ColumnKind {
    /// The dataset's name.
    Dataset,
    /// The coordinate along a dimension of the table, by its position.
    Dimension(usize),
    /// A variable.
    Variable(String),
    /// An attribute of the dataset.
    Attribute(String, AttributeType),
}

/// Where a column's values come from, in datasets of one schema.
#[derive(Clone, Debug)]
pub enum Origin {
    /// The name of the dataset.
    Name,
    /// The index along a dimension of the dataset's rows, by its position.
    Index(usize),
    /// An array, with the positions of its dimensions among those of the dataset's rows.
    Array(Arc<ArraySchema>, Vec<usize>),
    /// An attribute, by its position.
    Attribute(usize),
    /// Nowhere: the dataset lacks it.
    Missing,
}

/// How datasets of one schema give rows to a table.
#[derive(Debug)]
pub struct SchemaLayout {
    /// For each dimension of the rows its position in the table's dimensions, ascending, and in the dataset's sizes.
    pub dims: Vec<(usize, usize)>,
    /// For each column of the table where it comes from.
    pub origins: Vec<Origin>,
    /// The chunk sizes that tiles have along the dimensions of the rows; 0 is all of a dimension.
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
    /// By schema of the catalog; `None` where its datasets have no rows.
    schemas: Vec<Option<SchemaLayout>>,
    /// The datasets with rows: ordinal, and the number of tiles up to its end.
    datasets: Vec<(u32, u64)>,
    /// The tiles of the dataset with the most.
    largest: u64,
}

/// A tile: a box of rows of one dataset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tile {
    /// The dataset's ordinal.
    pub dataset: u32,
    /// The box, in the dimensions of the dataset's rows.
    pub region: Region,
}

impl Layout {
    /// The table over `dims`: of every variable whose dimensions are among them.
    pub fn wide(catalog: &Catalog, dims: &[String], options: &TableOptions) -> Self {
        let on_grid = |array: &ArraySchema| array.dims.iter().all(|dim| dims.contains(dim));
        Self::build(catalog, dims.to_vec(), &on_grid, options.attributes)
    }

    /// The table of one variable: its own cells only.
    pub fn variable(catalog: &Catalog, name: &str) -> Self {
        let mut dims: Vec<String> = Vec::new();
        for dim in catalog.arrays.iter().filter(|array| array.name == name).flat_map(|array| &array.dims) {
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
        let mut used = vec![false; catalog.schemas.len()];
        for (_, dataset) in catalog.datasets() {
            if let Some(used) = used.get_mut(dataset.schema) {
                *used = true;
            }
        }
        let schemas: Vec<Option<&DatasetSchema>> = catalog
            .schemas
            .iter()
            .zip(used)
            .map(|(schema, used)| {
                (used && catalog.arrays(schema).any(|array| shown(array))).then_some(schema.as_ref())
            })
            .collect();
        let columns = Columns::collect(catalog, &dims, &schemas, shown, attributes);
        let layouts: Vec<_> = schemas
            .iter()
            .map(|schema| SchemaLayout::new(catalog, (*schema)?, &dims, &columns.kinds, shown))
            .collect();
        let (mut datasets, mut tiles, mut largest) = (Vec::new(), 0u64, 0);
        for (ordinal, dataset) in catalog.datasets() {
            let Some(Some(layout)) = layouts.get(dataset.schema) else { continue };
            let own = layout.tiles(&layout.shape(dataset)).len() as u64;
            tiles += own;
            largest = largest.max(own);
            datasets.push((ordinal, tiles));
        }
        let schema = Arc::new(Schema::new(columns.fields));
        Self { dims, schema, columns: columns.kinds, schemas: layouts, datasets, largest }
    }

    /// The ordinals of the datasets with rows, each with the range of its tiles.
    pub fn datasets(&self) -> impl ExactSizeIterator<Item = (u32, Range<u64>)> {
        let start = |i: usize| i.checked_sub(1).and_then(|i| self.datasets.get(i)).map_or(0, |&(_, end)| end);
        self.datasets.iter().enumerate().map(move |(i, &(ordinal, end))| (ordinal, start(i)..end))
    }

    /// The datasets of a range of tiles, each with those of its tiles that are in the range, counted from its
    /// first.
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

    /// The place of a dataset among those with rows, if it is one.
    pub fn place_of(&self, ordinal: u32) -> Option<usize> {
        self.datasets.binary_search_by_key(&ordinal, |&(ordinal, _)| ordinal).ok()
    }

    /// The dataset at a place among those with rows: its ordinal, and its tiles.
    pub fn at(&self, place: usize) -> Option<(u32, Range<u64>)> {
        let start = match place.checked_sub(1) {
            Some(before) => self.datasets.get(before)?.1,
            None => 0,
        };
        self.datasets.get(place).map(|&(ordinal, end)| (ordinal, start..end))
    }

    /// The place among the datasets with rows of the first one of a range of tiles.
    pub fn first_in(&self, tiles: &Range<u64>) -> usize {
        self.datasets.partition_point(|&(_, end)| end <= tiles.start)
    }

    /// The tiles of those datasets that end in a range of tiles.
    pub fn whole_datasets(&self, tiles: &Range<u64>) -> Range<u64> {
        // A range that begins inside of a dataset leaves it to the range before.
        let end_of = |tile: u64| {
            let place = self.datasets.partition_point(|&(_, end)| end < tile);
            self.datasets.get(place).map_or(tile, |&(_, end)| end)
        };
        let start = if tiles.start == 0 { 0 } else { end_of(tiles.start) };
        start..end_of(tiles.end).max(start)
    }

    /// The number of tiles of the dataset that has the most.
    pub fn largest(&self) -> u64 {
        self.largest
    }

    /// The number of tiles of all datasets.
    pub fn all_tiles(&self) -> u64 {
        self.datasets.last().map_or(0, |&(_, end)| end)
    }

    /// How a dataset gives rows; `None` where it has none.
    pub fn of(&self, dataset: &Dataset) -> Option<&SchemaLayout> {
        self.schemas.get(dataset.schema)?.as_ref()
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
        columns: &[ColumnKind],
        shown: &dyn Fn(&ArraySchema) -> bool,
    ) -> Option<Self> {
        let arrays: Vec<_> = catalog.arrays(schema).filter(|array| shown(array)).collect();
        if arrays.is_empty() {
            return None;
        }
        let position = |dim: &String| {
            Some((dims.iter().position(|d| d == dim)?, schema.dims.iter().position(|d| d == dim)?))
        };
        let mut own: Vec<_> = arrays.iter().flat_map(|array| &array.dims).filter_map(position).collect();
        own.sort_unstable();
        own.dedup();
        let local = |dim: &String| own.iter().position(|&(d, _)| dims.get(d) == Some(dim));
        let origin = |array: &Arc<ArraySchema>| {
            Origin::Array(Arc::clone(array), array.dims.iter().filter_map(local).collect())
        };
        let origins = columns.iter().map(|column| match column {
            ColumnKind::Dataset => Origin::Name,
            ColumnKind::Dimension(dim) => {
                let name = dims.get(*dim);
                let coordinate =
                    catalog.arrays(schema).find(|array| is_coordinate(array) && Some(&array.name) == name);
                match (coordinate, own.iter().position(|(d, _)| d == dim)) {
                    (_, None) => Origin::Missing,
                    (Some(array), Some(_)) => origin(array),
                    (None, Some(local)) => Origin::Index(local),
                }
            }
            ColumnKind::Variable(name) => {
                arrays.iter().find(|array| array.name == *name).map_or(Origin::Missing, |array| origin(array))
            }
            ColumnKind::Attribute(name, _) => schema
                .attributes
                .iter()
                .position(|key| key == name)
                .map_or(Origin::Missing, Origin::Attribute),
        });
        // Tiles follow the chunks of the first array that has all the dimensions, so that its chunks are rows as they are.
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
        Some(Self { dims: own.clone(), origins: origins.collect(), tile })
    }

    /// The position among the dimensions of the rows of a dimension of the table.
    pub fn local(&self, dim: usize) -> Option<usize> {
        self.dims.iter().position(|&(d, _)| d == dim)
    }

    /// The sizes of a dataset's rows along their dimensions.
    pub fn shape(&self, dataset: &Dataset) -> Vec<usize> {
        self.dims.iter().filter_map(|&(_, position)| dataset.sizes.get(position).copied()).collect()
    }

    /// The tiles of a dataset whose rows have `shape`.
    pub fn tiles(&self, shape: &[usize]) -> ChunkGrid {
        let own = self.tile.iter().all(|&tile| tile != usize::MAX);
        let chosen = if own { vec![0; shape.len()] } else { atlas::default_chunk(shape) };
        let tile = self.tile.iter().zip(shape).zip(chosen).map(|((&tile, &size), chosen)| {
            let tile = if tile == usize::MAX { chosen } else { tile };
            if tile == 0 { size.max(1) } else { tile }
        });
        ChunkGrid::new(shape, &tile.collect::<Vec<_>>())
    }
}

/// True for a one-dimensional array with the name of its dimension.
pub fn is_coordinate(array: &ArraySchema) -> bool {
    matches!(array.dims.as_slice(), [dim] if *dim == array.name)
}

/// The columns of a table, as they are found.
struct Columns {
    kinds: Vec<ColumnKind>,
    fields: Vec<Field>,
}

impl Columns {
    fn collect(
        catalog: &Catalog,
        dims: &[String],
        schemas: &[Option<&DatasetSchema>],
        shown: &dyn Fn(&ArraySchema) -> bool,
        attributes: bool,
    ) -> Self {
        let mut columns = Self { kinds: Vec::new(), fields: Vec::new() };
        columns.push(ColumnKind::Dataset, DATASET.to_owned(), DType::String.arrow(), false);

        // The arrays that are shown, each once, in the order in which datasets declare them.
        let mut seen = vec![false; catalog.arrays.len()];
        let mut arrays: Vec<&ArraySchema> = Vec::new();
        for schema in schemas.iter().flatten() {
            for &number in &schema.arrays {
                if let (Some(seen), Some(array)) = (seen.get_mut(number), catalog.arrays.get(number))
                    && !std::mem::replace(seen, true)
                {
                    arrays.push(array);
                }
            }
        }
        for (position, dim) in dims.iter().enumerate() {
            let mut types: Vec<DType> =
                arrays.iter().filter(|a| is_coordinate(a) && a.name == *dim).map(|a| a.dtype).collect();
            let indexed = |schema: &&DatasetSchema| {
                schema.dims.contains(dim)
                    && !catalog.arrays(schema).any(|a| is_coordinate(a) && a.name == *dim)
            };
            if schemas.iter().flatten().any(indexed) {
                types.push(DType::I64);
            }
            columns.push(ColumnKind::Dimension(position), dim.clone(), common_type(types).arrow(), true);
        }
        let mut variables: Vec<(&str, Vec<DType>)> = Vec::new();
        let mut places: HashMap<&str, usize> = HashMap::new();
        for array in arrays.into_iter().filter(|array| shown(array)) {
            if is_coordinate(array) && dims.contains(&array.name) {
                continue;
            }
            let place = *places.entry(&array.name).or_insert_with(|| {
                variables.push((&array.name, Vec::new()));
                variables.len() - 1
            });
            if let Some((_, types)) = variables.get_mut(place) {
                types.push(array.dtype);
            }
        }
        for (name, types) in variables {
            let kind = ColumnKind::Variable(name.to_owned());
            let column = columns.free_name("variable", name);
            columns.push(kind, column, common_type(types).arrow(), true);
        }
        if attributes {
            for (key, kind) in attribute_types(catalog) {
                let column = columns.free_name("attr", &key);
                let arrow = kind.arrow();
                columns.push(ColumnKind::Attribute(key, kind), column, arrow, true);
            }
        }
        columns
    }

    fn push(
        &mut self,
        kind: ColumnKind,
        name: String,
        data_type: arrow::datatypes::DataType,
        nullable: bool,
    ) {
        self.kinds.push(kind);
        self.fields.push(Field::new(name, data_type, nullable));
    }

    /// `name`, or, where another column has it, `name` with what it is in front.
    fn free_name(&self, what: &str, name: &str) -> String {
        let mut name = name.to_owned();
        while self.fields.iter().any(|field| *field.name() == name) {
            name = format!("{what}.{name}");
        }
        name
    }
}

/// The attributes of datasets, in the order in which they are met, with the type that holds all values.
pub fn attribute_types(catalog: &Catalog) -> Vec<(String, AttributeType)> {
    let mut types: Vec<(String, AttributeType)> = Vec::new();
    // By schema, the places in `types` of its attributes.
    let mut places: HashMap<usize, Vec<usize>> = HashMap::new();
    for (_, dataset) in catalog.datasets() {
        let schema = catalog.schema(dataset);
        let places = places.entry(dataset.schema).or_insert_with(|| {
            let keys = schema.attributes.iter().zip(&dataset.attributes);
            keys.map(|(key, value)| match types.iter().position(|(name, _)| name == key) {
                Some(place) => place,
                None => {
                    types.push((key.clone(), AttributeType::of(value)));
                    types.len() - 1
                }
            })
            .collect()
        });
        for (&place, value) in places.iter().zip(&dataset.attributes) {
            if let Some((_, kind)) = types.get_mut(place) {
                *kind = kind.merge(AttributeType::of(value));
            }
        }
    }
    types
}
