//! The result of `SUMMARIZE`: the type, bounds and mean of each column, and how much is missing.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, Float64Builder, RecordBatch, StringBuilder, UInt32Array,
    UInt64Builder,
};
use arrow::compute::{SortOptions, cast, sort_to_indices, take};
use arrow::datatypes::{DataType, Field, Float64Type, Schema};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use atlas::ReadMetrics;
use datafusion::catalog::TableProvider;
use datafusion::common::{Column, Result, ScalarValue};
use datafusion::functions_aggregate::expr_fn::{avg, count, max, min};
use datafusion::logical_expr::{Expr, lit};
use datafusion::prelude::{DataFrame, SessionContext};

use crate::plan::table::AtlasTable;
use crate::scan::statistics::values_of;
use crate::tables::layout::ColumnKind;
use crate::tables::words::type_in_words;

/// The columns of a table as rows: `column_name`, `column_type`, `min`, `max`, `mean`, `rows`,
/// `nulls`, `null_percentage`.
///
/// For a table of a store, only the catalog and the indexes are read. What they do not determine is
/// NULL: bounds of text variables, means of `f32` beside `f64`, and, if NaN is kept, bounds and means
/// of variables with NaN. Other tables are read.
///
/// # Errors
/// If an index or the other table cannot be read.
pub async fn summarize(ctx: &SessionContext, table: Arc<dyn TableProvider>) -> Result<RecordBatch> {
    match table.downcast_ref::<AtlasTable>() {
        Some(table) => of_store(table).await,
        None => summarize_rows(ctx.read_table(table)?).await,
    }
}

/// The same for the rows of a query, which are read.
///
/// # Errors
/// Those of the query.
pub async fn summarize_rows(rows: DataFrame) -> Result<RecordBatch> {
    let mut summary = Summary::default();
    let fields: Vec<_> = rows.schema().iter().map(|(q, field)| (q.cloned(), Arc::clone(field))).collect();
    let mut wanted: Vec<Expr> = vec![count(lit(1)).alias("rows")];
    let is_ordered = |data_type: &DataType| !data_type.is_nested() && *data_type != DataType::Null;
    for (i, (qualifier, field)) in fields.iter().enumerate() {
        let column = Expr::Column(Column::new(qualifier.clone(), field.name()));
        wanted.push(count(column.clone()).alias(format!("count {i}")));
        if is_ordered(field.data_type()) {
            wanted.push(min(column.clone()).alias(format!("min {i}")));
            wanted.push(max(column.clone()).alias(format!("max {i}")));
        }
        if field.data_type().is_numeric() {
            wanted.push(avg(column).alias(format!("mean {i}")));
        }
    }
    let found = rows.aggregate(vec![], wanted)?.collect().await?;
    let found = found.iter().find(|batch| batch.num_rows() > 0);
    let value = |name: &str| {
        let column = found.and_then(|batch| batch.column_by_name(name));
        column.map_or(Ok(ScalarValue::Null), |column| ScalarValue::try_from_array(column, 0))
    };
    let number = |name: &str| -> Result<u64> {
        Ok(match value(name)?.cast_to(&DataType::UInt64)? {
            ScalarValue::UInt64(Some(number)) => number,
            _ => 0,
        })
    };
    let rows = number("rows")?;
    for (i, (_, field)) in fields.iter().enumerate() {
        let bounds = [value(&format!("min {i}"))?, value(&format!("max {i}"))?];
        let mean = match value(&format!("mean {i}"))?.cast_to(&DataType::Float64)? {
            ScalarValue::Float64(mean) => mean,
            _ => None,
        };
        let nulls = rows - number(&format!("count {i}"))?.min(rows);
        summary.push(field, bounds, mean, rows, Some(nulls))?;
    }
    summary.finish()
}

async fn of_store(table: &AtlasTable) -> Result<RecordBatch> {
    let mut summary = Summary::default();
    let (inner, rows) = (table.inner(), table.all_rows());
    // A dataset with a dimension of size 0 has no rows.
    let with_rows = inner.layout.datasets().filter(|(_, tiles)| !tiles.is_empty());
    let datasets: Vec<u32> = with_rows.map(|(ordinal, _)| ordinal).collect();
    for (position, (kind, field)) in inner.layout.columns.iter().zip(inner.layout.schema.fields()).enumerate()
    {
        if matches!(kind, ColumnKind::Dataset | ColumnKind::Attribute(..)) {
            let values = inner.of_datasets(position, &datasets)?;
            let missing = datasets.iter().enumerate().filter(|(i, _)| values.is_null(*i));
            let nulls = missing.filter_map(|(_, &ordinal)| table.rows_of(ordinal)).sum();
            let mean = mean_of_rows(&values, datasets.iter().map(|&ordinal| table.rows_of(ordinal)))?;
            summary.push(field, [end(&values, false)?, end(&values, true)?], mean, rows, Some(nulls))?;
            continue;
        }
        // The index stays in memory while it is needed here.
        let _index = match inner.layout.variable(position) {
            Some(variable) => Some(inner.index(variable, &ReadMetrics::default()).await?),
            None => None,
        };
        let unknown = [ScalarValue::Null, ScalarValue::Null];
        let Some(values) = values_of(inner, position, true) else {
            summary.push(field, unknown, None, rows, None)?;
            continue;
        };
        #[allow(clippy::cast_precision_loss)]
        let mean = values.total.filter(|_| field.data_type().is_numeric() && values.count > 0);
        #[allow(clippy::cast_precision_loss)]
        let mean = mean.map(|total| total / values.count as f64);
        let nulls = rows.saturating_sub(values.count);
        summary.push(field, values.bounds.unwrap_or(unknown), mean, rows, Some(nulls))?;
    }
    summary.finish()
}

/// The mean over rows of the numbers of datasets, each of which has a number of rows. `None` for
/// other values.
#[allow(clippy::cast_precision_loss)]
fn mean_of_rows(values: &ArrayRef, rows: impl Iterator<Item = Option<u64>>) -> Result<Option<f64>> {
    if !values.data_type().is_numeric() {
        return Ok(None);
    }
    let values = cast(values, &DataType::Float64)?;
    let (mut sum, mut all) = (0.0, 0.0);
    for (value, rows) in values.as_primitive::<Float64Type>().iter().zip(rows) {
        if let (Some(value), Some(rows)) = (value, rows) {
            sum += value * rows as f64;
            all += rows as f64;
        }
    }
    Ok((all > 0.0).then(|| sum / all))
}

/// The least or the greatest of some values; NULL for lists, which have no order.
fn end(values: &ArrayRef, greatest: bool) -> Result<ScalarValue> {
    if values.data_type().is_nested() {
        return Ok(ScalarValue::Null);
    }
    let options = SortOptions { descending: greatest, nulls_first: false };
    let first: UInt32Array = sort_to_indices(values, Some(options), Some(1))?;
    let first = take(values, &first, None)?;
    if first.is_empty() { Ok(ScalarValue::Null) } else { ScalarValue::try_from_array(&first, 0) }
}

#[derive(Default)]
struct Summary {
    names: StringBuilder,
    types: StringBuilder,
    bounds: [StringBuilder; 2],
    means: Float64Builder,
    rows: UInt64Builder,
    nulls: UInt64Builder,
}

impl Summary {
    fn push(
        &mut self,
        field: &Field,
        bounds: [ScalarValue; 2],
        mean: Option<f64>,
        rows: u64,
        nulls: Option<u64>,
    ) -> Result<()> {
        self.names.append_value(field.name());
        self.types.append_value(type_in_words(field.data_type()));
        for (column, bound) in self.bounds.iter_mut().zip(bounds) {
            if bound.is_null() {
                column.append_null();
                continue;
            }
            let array = bound.to_array()?;
            let options = FormatOptions::default().with_timestamp_format(Some("%Y-%m-%d %H:%M:%S%.f"));
            column.append_value(ArrayFormatter::try_new(&array, &options)?.value(0).to_string());
        }
        self.means.append_option(mean.filter(|mean| !mean.is_nan()));
        self.rows.append_value(rows);
        self.nulls.append_option(nulls);
        Ok(())
    }

    #[allow(clippy::cast_precision_loss)]
    fn finish(mut self) -> Result<RecordBatch> {
        let (rows, nulls) = (self.rows.finish(), self.nulls.finish());
        let share = rows.iter().zip(&nulls).map(|(rows, nulls)| {
            let (rows, nulls) = (rows.filter(|&rows| rows > 0)?, nulls?);
            Some((nulls as f64 / rows as f64 * 1e4).round() / 100.0)
        });
        let share: Float64Array = share.collect();
        let [mut least, mut greatest] = self.bounds;
        let columns: [(&str, ArrayRef); 8] = [
            ("column_name", Arc::new(self.names.finish())),
            ("column_type", Arc::new(self.types.finish())),
            ("min", Arc::new(least.finish())),
            ("max", Arc::new(greatest.finish())),
            ("mean", Arc::new(self.means.finish())),
            ("rows", Arc::new(rows)),
            ("nulls", Arc::new(nulls)),
            ("null_percentage", Arc::new(share)),
        ];
        let fields = columns.iter().map(|(name, column)| Field::new(*name, column.data_type().clone(), true));
        let schema = Schema::new(fields.collect::<Vec<_>>());
        let columns = columns.into_iter().map(|(_, column)| column).collect();
        Ok(RecordBatch::try_new(Arc::new(schema), columns)?)
    }
}

#[cfg(test)]
mod tests {
    use atlas::{Atlas, StoreConfig};
    use ndarray::array;

    use super::*;
    use crate::register_store;

    /// A dataset without rows has a name and attributes, but no row that would show them.
    #[tokio::test]
    async fn datasets_without_rows_do_not_count() {
        let atlas = Atlas::create_url("memory:///summary", StoreConfig::default()).await.unwrap();
        for (name, size, level) in [("a", 0, -1i64), ("b", 2, 5), ("z", 0, 9)] {
            let dataset = atlas.create_dataset(name).await.unwrap();
            dataset.define_array::<f64>("v", &["x"], &[size], None, None).unwrap();
            dataset.set_attribute("level", level).unwrap();
            if size > 0 {
                dataset.write_array("v", &[0], array![1.0, 2.0].into_dyn().view()).await.unwrap();
                dataset.set_attribute("score", f64::NAN).unwrap();
            }
        }
        atlas.flush().await.unwrap();
        let ctx = SessionContext::new();
        register_store(&ctx, "atlas", &atlas).unwrap();
        let of_table = summarize(&ctx, ctx.table_provider("atlas").await.unwrap()).await.unwrap();
        let of_rows = summarize_rows(ctx.table("atlas").await.unwrap()).await.unwrap();
        let expected =
            ["dataset b b - 0", "x 0 1 0.5 0", "v 1.0 2.0 1.5 0", "level 5 5 5.0 0", "score - - - 2"];
        assert_eq!(shown(&of_table), expected);
        assert_eq!(shown(&of_rows), expected);
    }

    /// Statistics determine what the rows do: bounds that are infinite or the ends of a type, means
    /// of values that are repeated, and indices in some or all datasets. Lists have no bounds.
    #[tokio::test]
    async fn statistics_say_what_the_rows_say() {
        let atlas = Atlas::create_url("memory:///sums", StoreConfig::default()).await.unwrap();
        for (name, size) in [("a", 3usize), ("b", 2)] {
            let dataset = atlas.create_dataset(name).await.unwrap();
            dataset.define_array::<f64>("v", &["x", "y"], &[size, 2], None, Some(-9.0)).unwrap();
            let v = ndarray::Array2::from_shape_fn((size, 2), |(i, j)| match (i, j) {
                (0, 0) if name == "a" => f64::INFINITY,
                (1, 1) => -9.0,
                (i, j) => i as f64 + j as f64 / 2.0,
            });
            dataset.write_array("v", &[0, 0], v.into_dyn().view()).await.unwrap();
            dataset.define_array::<i8>("small", &["x"], &[size], None, None).unwrap();
            let small: ndarray::Array1<i8> = [-128, 127, 4][..size].to_vec().into();
            dataset.write_array("small", &[0], small.into_dyn().view()).await.unwrap();
            if name == "b" {
                dataset.define_array::<f64>("y", &["y"], &[2], None, None).unwrap();
                dataset.write_array("y", &[0], array![-2.0f64, 9.0].into_dyn().view()).await.unwrap();
                dataset.set_attribute("words", vec!["p".to_owned(), "q".to_owned()]).unwrap();
            }
            dataset.set_attribute("level", size as f64 / 2.0).unwrap();
        }
        atlas.flush().await.unwrap();
        let ctx = SessionContext::new();
        register_store(&ctx, "atlas", &atlas).unwrap();
        let of_table = summarize(&ctx, ctx.table_provider("atlas").await.unwrap()).await.unwrap();
        let of_rows = summarize_rows(ctx.table("atlas").await.unwrap()).await.unwrap();
        assert_eq!(shown(&of_table), shown(&of_rows));
        let expected = [
            "dataset a b - 0",
            "x 0 2 0.8 0",
            "y -2.0 9.0 1.7 0",
            "v 0.0 inf inf 2",
            "small -128 127 0.4 0",
            "level 1.0 1.5 1.3 0",
            "words - - - 6",
        ];
        assert_eq!(shown(&of_table), expected);
    }

    /// Each column's name, bounds, mean and number of NULLs.
    fn shown(summary: &RecordBatch) -> Vec<String> {
        let cell = |name: &str, row: usize| {
            let column = summary.column_by_name(name).unwrap();
            let options = FormatOptions::default().with_null("-");
            ArrayFormatter::try_new(column, &options).unwrap().value(row).to_string()
        };
        let names = ["column_name", "min", "max", "mean", "nulls"];
        let row = |row| names.map(|name| cell(name, row)).join(" ");
        (0..summary.num_rows()).map(row).collect()
    }
}
