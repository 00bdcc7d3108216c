//! Converts rows to arrays over dimensions.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, UInt64Array};
use arrow::compute::{cast, partition, sort_to_indices, take};
use arrow::datatypes::{DataType, TimeUnit};
use atlas::{ArraySchema, DType};
use atlas_import::export::NetcdfArray;

/// The dimension of the rows, if none is given.
const ROW: &str = "row";

/// The largest number of cells of an array.
const MOST_CELLS: usize = 1 << 28;

/// Converts the columns of rows to arrays over dimensions. The columns with the names of the
/// dimensions become coordinates, with their values sorted. Cells without a row are missing.
/// Without dimensions, all columns become arrays over the rows.
///
/// # Errors
/// The rows do not fit the dimensions. The message is for the author of the statement.
pub(super) fn arrays(rows: &RecordBatch, dimensions: &[String]) -> Result<Vec<NetcdfArray>, String> {
    let columns = columns(rows)?;
    if dimensions.is_empty() {
        let shape = [rows.num_rows()];
        return Ok(columns.into_iter().map(|column| array(column, &[ROW.to_owned()], &shape)).collect());
    }
    let mut axes = Vec::with_capacity(dimensions.len());
    for (place, name) in dimensions.iter().enumerate() {
        let column = columns.iter().find(|(column, _)| column == name);
        let Some((_, values)) = column else {
            let known: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
            return Err(format!(
                "there is no column `{name}` to be a dimension: there are {}",
                known.join(", ")
            ));
        };
        if dimensions.iter().take(place).any(|other| other == name) {
            return Err(format!("`{name}` is among the dimensions twice"));
        }
        axes.push(Axis::of(name, values)?);
    }
    let shape: Vec<usize> = axes.iter().map(|axis| axis.values.len()).collect();
    let order = order(rows.num_rows(), &axes, &shape, dimensions)?;
    let mut arrays = Vec::with_capacity(columns.len());
    for (name, values) in columns {
        arrays.push(match axes.iter().find(|axis| axis.name == name) {
            Some(axis) => array((name.clone(), Arc::clone(&axis.values)), &[name], &[axis.values.len()]),
            None => {
                let cells = take(&values, &order, None).map_err(|e| e.to_string())?;
                array((name, cells), dimensions, &shape)
            }
        });
    }
    Ok(arrays)
}

fn array((name, cells): (String, ArrayRef), dims: &[String], shape: &[usize]) -> NetcdfArray {
    let dtype = DType::from_arrow(cells.data_type()).unwrap_or(DType::String);
    let dims: Vec<&str> = dims.iter().map(String::as_str).collect();
    (Arc::new(ArraySchema::new(name, dtype, &dims)), shape.to_vec(), cells)
}

/// The columns, converted to types that arrays support.
fn columns(rows: &RecordBatch) -> Result<Vec<(String, ArrayRef)>, String> {
    let schema = rows.schema();
    let columns = schema.fields().iter().zip(rows.columns()).map(|(field, column)| {
        let name = field.name().clone();
        let other = match column.data_type() {
            known if DType::from_arrow(known).is_some_and(|dtype| dtype != DType::Binary) => {
                return Ok((name, Arc::clone(column)));
            }
            DataType::Timestamp(..) | DataType::Date32 | DataType::Date64 => {
                DataType::Timestamp(TimeUnit::Nanosecond, None)
            }
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Dictionary(..) => DataType::Utf8View,
            DataType::Float16 => DataType::Float32,
            DataType::Null | DataType::Decimal128(..) | DataType::Decimal256(..) => DataType::Float64,
            other => return Err(format!("column `{name}` has the type {other}, which NetCDF has not")),
        };
        cast(column, &other).map(|column| (name, column)).map_err(|e| e.to_string())
    });
    columns.collect()
}

/// A dimension: its values, and the index of each row among them.
struct Axis {
    name: String,
    values: ArrayRef,
    places: Vec<usize>,
}

impl Axis {
    fn of(name: &str, column: &ArrayRef) -> Result<Self, String> {
        let failed = |e: arrow::error::ArrowError| e.to_string();
        if column.null_count() > 0 {
            return Err(format!("dimension `{name}` is NULL in {} rows", column.null_count()));
        }
        let indices = sort_to_indices(column, None, None).map_err(failed)?;
        let sorted = take(column, &indices, None).map_err(failed)?;
        let ranges = if sorted.is_empty() {
            Vec::new()
        } else {
            partition(&[Arc::clone(&sorted)]).map_err(failed)?.ranges()
        };
        let mut places = vec![0; column.len()];
        for (place, range) in ranges.iter().enumerate() {
            for &row in indices.values().get(range.clone()).unwrap_or_default() {
                if let Some(of_row) = places.get_mut(row as usize) {
                    *of_row = place;
                }
            }
        }
        let firsts = UInt64Array::from_iter_values(ranges.iter().map(|range| range.start as u64));
        let values = take(&sorted, &firsts, None).map_err(failed)?;
        Ok(Self { name: name.to_owned(), values, places })
    }
}

/// The row of each cell; null if there is none.
fn order(rows: usize, axes: &[Axis], shape: &[usize], dimensions: &[String]) -> Result<UInt64Array, String> {
    let cells = shape.iter().try_fold(1usize, |cells, &size| cells.checked_mul(size));
    let cells = cells.filter(|&cells| cells <= MOST_CELLS).ok_or_else(|| {
        format!(
            "the dimensions have {shape:?} values: that makes more than {MOST_CELLS} cells of {rows} rows"
        )
    })?;
    let mut order = vec![None; cells];
    for row in 0..rows {
        let place = axes
            .iter()
            .zip(shape)
            .fold(0, |place, (axis, size)| place * size + axis.places.get(row).copied().unwrap_or(0));
        match order.get_mut(place) {
            Some(cell @ None) => *cell = Some(row as u64),
            _ => {
                return Err(format!(
                    "two rows have the same {}: add a dimension that tells them apart, or aggregate",
                    dimensions.join(", ")
                ));
            }
        }
    }
    Ok(UInt64Array::from(order))
}

#[cfg(test)]
mod tests {
    use arrow::array::{AsArray, Float64Array, Int64Array, StringArray};
    use arrow::datatypes::Float64Type;

    use super::*;

    fn rows(x: &[Option<i64>], y: &[&str], v: &[f64]) -> RecordBatch {
        let columns: [(&str, ArrayRef); 3] = [
            ("x", Arc::new(Int64Array::from(x.to_vec()))),
            ("y", Arc::new(StringArray::from(y.to_vec()))),
            ("v", Arc::new(Float64Array::from(v.to_vec()))),
        ];
        RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true))).unwrap()
    }

    fn names(dimensions: &[&str]) -> Vec<String> {
        dimensions.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn rows_in_any_order_become_a_grid() {
        let rows = rows(&[Some(3), Some(1), Some(3)], &["b", "b", "a"], &[1.0, 2.0, 3.0]);
        let arrays = arrays(&rows, &names(&["x", "y"])).unwrap();
        let (schema, shape, cells) = &arrays[2];
        assert_eq!((schema.dims.as_slice(), shape.as_slice()), (&names(&["x", "y"])[..], &[2, 2][..]));
        let cells: Vec<_> = cells.as_primitive::<Float64Type>().iter().collect();
        assert_eq!(cells, [None, Some(2.0), Some(3.0), Some(1.0)]);
        assert_eq!(arrays[0].1, [2]);
    }

    #[test]
    fn rows_without_dimensions_are_the_dimension() {
        let rows = rows(&[None, Some(1)], &["b", "b"], &[1.0, 2.0]);
        let arrays = arrays(&rows, &[]).unwrap();
        assert!(arrays.iter().all(|(schema, shape, _)| schema.dims == ["row"] && shape == &[2]));
    }

    #[test]
    fn rows_that_do_not_fit_are_told() {
        let twice = rows(&[Some(1), Some(1)], &["b", "b"], &[1.0, 2.0]);
        let null = rows(&[None], &["b"], &[1.0]);
        for (rows, dimensions, expected) in [
            (&twice, &["x", "y"][..], "two rows have the same x, y"),
            (&twice, &["z"], "there is no column `z`"),
            (&twice, &["x", "x"], "twice"),
            (&null, &["x"], "NULL in 1 rows"),
        ] {
            let error = arrays(rows, &names(dimensions)).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
