//! What a store knows of the columns of its tables.

use std::collections::{BTreeSet, HashMap};

use arrow::datatypes::DataType;
use atlas::{ArraySchema, DType};
use datafusion::catalog::TableProvider;

use crate::plan::table::AtlasTable;
use crate::tables::coordinates::{Named, is_coordinate};
use crate::tables::layout::ColumnKind;
use crate::tables::widen::{Kind, attribute_text};

/// What a column is of its datasets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnRole {
    /// The name of the dataset.
    Dataset,
    /// The coordinate of a dimension of the table.
    Dimension,
    /// The index from 0 along a dimension that has no coordinate.
    Index,
    /// A variable that says where or when others are.
    Coordinate,
    /// Any other variable.
    Variable,
    /// An attribute of the dataset.
    Attribute,
}

/// What is known of a column.
#[derive(Clone, Debug, PartialEq)]
pub struct ColumnDescription {
    /// Its name.
    pub name: String,
    /// Its type.
    pub data_type: DataType,
    /// What it is of its datasets.
    pub role: ColumnRole,
    /// The dimensions of the table that its values depend on.
    pub dims: Vec<String>,
    /// What datasets declare as its units, each once; none of a time, which has none in SQL.
    pub units: Option<String>,
    /// What datasets declare as its long name, each once.
    pub long_name: Option<String>,
}

/// The columns of a table of a store, in their order; `None` for other tables.
pub fn describe(table: &dyn TableProvider) -> Option<Vec<ColumnDescription>> {
    let table = table.downcast_ref::<AtlasTable>()?.inner();
    let (catalog, layout) = (&table.catalog, &table.layout);
    let named = Named::of(catalog);
    let mut by_name: HashMap<&str, Vec<&ArraySchema>> = HashMap::new();
    for array in catalog.array_schemas() {
        by_name.entry(&array.name).or_default().push(array);
    }
    let columns = layout.columns.iter().zip(layout.schema.fields()).enumerate();
    let described = columns.map(|(position, (kind, field))| {
        let dims = layout.dims.iter().enumerate().filter(|(dim, _)| layout.level(position).has(*dim));
        let dims: Vec<String> = dims.map(|(_, name)| name.clone()).collect();
        let own = DType::from_arrow(field.data_type()).map(Kind::of);
        let of = |name: &str, only_coordinates: bool| -> Vec<&ArraySchema> {
            let arrays = by_name.get(name).into_iter().flatten().copied();
            arrays
                .filter(|array| !only_coordinates || is_coordinate(array))
                .filter(|array| own.is_none_or(|own| own == Kind::of(array.dtype)))
                .collect()
        };
        let (role, arrays) = match kind {
            ColumnKind::Dataset => (ColumnRole::Dataset, Vec::new()),
            ColumnKind::Attribute(..) => (ColumnRole::Attribute, Vec::new()),
            ColumnKind::Dimension(dim) => {
                let arrays = layout.dims.get(*dim).map_or_else(Vec::new, |name| of(name, true));
                (if arrays.is_empty() { ColumnRole::Index } else { ColumnRole::Dimension }, arrays)
            }
            ColumnKind::Variable(name) => {
                let arrays = of(name, false);
                let is_coordinate = arrays.iter().any(|array| named.is_coordinate(array));
                (if is_coordinate { ColumnRole::Coordinate } else { ColumnRole::Variable }, arrays)
            }
        };
        let declared = |key: &str| {
            let values: BTreeSet<String> =
                arrays.iter().filter_map(|array| array.attribute(key)).map(attribute_text).collect();
            (!values.is_empty()).then(|| values.into_iter().collect::<Vec<_>>().join(", "))
        };
        ColumnDescription {
            name: field.name().clone(),
            data_type: field.data_type().clone(),
            role,
            dims,
            units: declared("units").filter(|_| own != Some(Kind::Time)),
            long_name: declared("long_name"),
        }
    });
    Some(described.collect())
}
