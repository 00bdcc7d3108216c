//! Which variables are coordinates, as the CF conventions (version 1.12, chapters 4 and 5) let it be
//! known.

use std::collections::HashSet;

use atlas::{ArraySchema, AttributeValue, Catalog, Value};

/// Standard names that only coordinates have.
const STANDARD_NAMES: [&str; 10] = [
    "latitude",
    "longitude",
    "time",
    "depth",
    "altitude",
    "grid_latitude",
    "grid_longitude",
    "projection_x_coordinate",
    "projection_y_coordinate",
    "forecast_reference_time",
];

/// Units that only latitudes and longitudes have.
const UNITS: [&str; 12] = [
    "degrees_north",
    "degree_north",
    "degree_n",
    "degrees_n",
    "degreen",
    "degreesn",
    "degrees_east",
    "degree_east",
    "degree_e",
    "degrees_e",
    "degreee",
    "degreese",
];

/// True for a one-dimensional array with the name of its dimension.
pub fn is_coordinate(array: &ArraySchema) -> bool {
    matches!(array.dims.as_slice(), [dim] if *dim == array.name)
}

/// The variables that others name as their coordinates.
#[derive(Debug, Default)]
pub struct Named(HashSet<String>);

impl Named {
    /// Those that the attribute `coordinates` of some variable or dataset lists.
    pub fn of(catalog: &Catalog) -> Self {
        let mut named = HashSet::new();
        let mut add = |value: &AttributeValue| {
            if let AttributeValue::One(Value::String(names)) = value {
                named.extend(names.split_whitespace().map(str::to_owned));
            }
        };
        for array in catalog.array_schemas() {
            array.attribute("coordinates").into_iter().for_each(&mut add);
        }
        // Xarray writes those that belong to no variable to the dataset.
        if catalog
            .dataset_schemas()
            .iter()
            .any(|schema| schema.attributes.iter().any(|key| key == "coordinates"))
        {
            for (_, dataset) in catalog.datasets() {
                dataset.attribute("coordinates").iter().for_each(&mut add);
            }
        }
        Self(named)
    }

    /// Whether a variable is a coordinate: of a dimension, named as one, or by its own attributes.
    pub fn is_coordinate(&self, array: &ArraySchema) -> bool {
        let text = |key: &str| match array.attribute(key) {
            Some(AttributeValue::One(Value::String(text))) => Some(text.to_lowercase()),
            _ => None,
        };
        is_coordinate(array)
            || self.0.contains(&array.name)
            || text("axis").is_some()
            || text("positive").is_some()
            || text("_coordinateaxistype").is_some()
            || text("standard_name").is_some_and(|name| STANDARD_NAMES.contains(&name.as_str()))
            || text("units").is_some_and(|units| UNITS.contains(&units.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use atlas::{Attributes, DType};

    use super::*;
    use crate::testing;

    #[test]
    fn coordinates_are_known_by_their_attributes() {
        let array = |name: &str, attributes: &[(&str, &str)]| {
            let mut array = ArraySchema::new(name.to_owned(), DType::F64, &["x"]);
            array.attributes =
                attributes.iter().map(|(key, value)| ((*key).to_owned(), (*value).into())).collect();
            array
        };
        let temperature = array("temp", &[("coordinates", "lat lon"), ("units", "K")]);
        let arrays = vec![
            temperature,
            array("lat", &[]),
            array("x", &[]),
            array("PRES", &[("axis", "Z")]),
            array("z", &[("positive", "down")]),
            array("obs", &[("standard_name", "Time")]),
            array("where", &[("units", "degrees_East")]),
            array("height", &[("standard_name", "sea_surface_height")]),
        ];
        let catalog = testing::catalog(std::iter::once((
            arrays.into_iter().map(|a| (a, vec![1])).collect(),
            Attributes::new(),
        )));
        let named = Named::of(&catalog);
        let found: Vec<&str> = catalog
            .array_schemas()
            .iter()
            .filter(|array| named.is_coordinate(array))
            .map(|array| array.name.as_str())
            .collect();
        assert_eq!(found, ["lat", "x", "PRES", "z", "obs", "where"]);
    }
}
