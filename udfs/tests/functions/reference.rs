//! Compares every function with values of other libraries. `reference/make.py` makes the tables.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::compute::{cast, concat_batches};
use arrow::csv::ReaderBuilder;
use arrow::datatypes::{
    DataType, Field, Float64Type, IntervalMonthDayNanoType, IntervalUnit, Schema, TimeUnit,
};
use arrow::util::display::array_value_to_string;
use arrow::util::pretty::pretty_format_batches;
use datafusion::common::ScalarValue;
use datafusion::datasource::MemTable;
use datafusion::logical_expr::{Expr, col, lit};
use datafusion::prelude::{SessionConfig, SessionContext};

/// The relative tolerance of each function, for numbers above one. The default is 1e-12.
const TOLERANCES: [(&str, f64); 9] = [
    ("haversine", 1e-9),
    ("initial_bearing", 1e-9),
    ("cell_area", 1e-9),
    ("conservative_temperature", 1e-9),
    ("sound_speed", 1e-9),
    ("pressure_from_depth", 1e-9),
    ("heat_index", 1e-6),
    ("mann_kendall_tied_var_s", 1e-9),
    ("mixed_ts", 1e-8),
];

/// The tolerance of approximations, in their units.
const APPROXIMATIONS: [(&str, f64); 2] = [("solar_zenith", 0.01), ("freezing_temperature", 6e-4)];

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/reference")
}

fn session(partitions: usize) -> SessionContext {
    let ctx = SessionContext::new_with_config(
        SessionConfig::new().with_target_partitions(partitions).with_batch_size(16),
    );
    atlas_udfs::register_all(&ctx);
    ctx
}

/// A table of text, numbers and timestamps, by the names of its columns.
fn table(name: &str) -> RecordBatch {
    let path = directory().join(format!("{name}.csv"));
    let text = std::fs::read_to_string(&path).unwrap();
    let field = |name: &str| {
        let data_type = match name {
            "units" | "calendar" | "from" | "to" | "expected" | "of" | "histogram" => DataType::Utf8,
            "qc" | "mode" | "adjusted_qc" | "unit" | "interval" | "wkt" => DataType::Utf8,
            "time" | "start" | "end" => DataType::Timestamp(TimeUnit::Nanosecond, None),
            "row" | "g" | "characters" => DataType::Int64,
            _ => DataType::Float64,
        };
        Field::new(name, data_type, true)
    };
    let schema =
        Arc::new(Schema::new(text.lines().next().unwrap().split(',').map(field).collect::<Vec<_>>()));
    let reader = ReaderBuilder::new(Arc::clone(&schema)).with_header(true).build(text.as_bytes()).unwrap();
    concat_batches(&schema, &reader.collect::<Result<Vec<_>, _>>().unwrap()).unwrap()
}

/// The same with intervals instead of their texts.
fn with_intervals(rows: RecordBatch) -> RecordBatch {
    let Ok(place) = rows.schema().index_of("interval") else { return rows };
    let interval = DataType::Interval(IntervalUnit::MonthDayNano);
    let mut columns = rows.columns().to_vec();
    columns[place] = cast(&columns[place], &interval).unwrap();
    let mut fields: Vec<Field> = rows.schema().fields().iter().map(|field| field.as_ref().clone()).collect();
    fields[place] = Field::new("interval", interval, true);
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

/// Describes the error of a function's value, if there is one.
fn differs(function: &str, found: &ArrayRef, row: usize, expected: Option<&str>) -> Option<String> {
    let wrong = || Some(format!("{} and not {expected:?}", array_value_to_string(found, row).unwrap()));
    let (Some(expected), true) = (expected, found.is_valid(row)) else {
        return if expected.is_none() && found.is_null(row) { None } else { wrong() };
    };
    match found.data_type() {
        DataType::Float64 => {
            let found = found.as_primitive::<Float64Type>().value(row);
            let expected: f64 = expected.parse().unwrap();
            let tolerance = TOLERANCES.iter().find(|(name, _)| *name == function).map_or(1e-12, |(_, t)| *t);
            // The last digits of numbers near zero are lost.
            let apart = (found - expected).abs();
            // A bearing of 360 degrees equals one of 0.
            let apart = if function == "initial_bearing" { apart.min(360.0 - apart) } else { apart };
            let approximately = APPROXIMATIONS.iter().find(|(name, _)| *name == function);
            let allowed = approximately.map_or(tolerance * expected.abs().max(1.0), |(_, allowed)| *allowed);
            let near = apart <= allowed;
            if near || found == expected || found.is_nan() && expected.is_nan() { None } else { wrong() }
        }
        DataType::Timestamp(..) => {
            let expected: ArrayRef = Arc::new(StringArray::from(vec![expected]));
            let expected = cast(&expected, found.data_type()).unwrap();
            if expected.slice(0, 1).as_ref() == found.slice(row, 1).as_ref() { None } else { wrong() }
        }
        DataType::Interval(_) => {
            let found = found.as_primitive::<IntervalMonthDayNanoType>().value(row);
            let found = format!("{} {} {}", found.months, found.days, found.nanoseconds);
            if found == expected { None } else { Some(format!("{found} and not {expected}")) }
        }
        DataType::List(_) => {
            let found = found.as_list::<i32>().value(row);
            let found: Vec<_> = (0..found.len()).map(|i| array_value_to_string(&found, i).unwrap()).collect();
            if found.join(" ") == expected { None } else { wrong() }
        }
        _ => {
            if array_value_to_string(found, row).unwrap() == expected {
                None
            } else {
                wrong()
            }
        }
    }
}

async fn values(ctx: &SessionContext, rows: &RecordBatch, expr: Expr) -> ArrayRef {
    // Columns of a table rather than literals, whose expressions the optimizer would evaluate in
    // advance.
    let data = ctx.read_batch(rows.clone()).unwrap().select(vec![expr.alias("value")]).unwrap();
    let schema = Arc::new(data.schema().as_arrow().clone());
    Arc::clone(concat_batches(&schema, &data.collect().await.unwrap()).unwrap().column(0))
}

#[tokio::test]
async fn scalar_functions_agree_with_other_libraries() {
    // One partition keeps rows in order.
    let ctx = session(1);
    let mut failures = Vec::new();
    for function in atlas_udfs::scalar_functions() {
        let name = function.name().to_owned();
        let rows = with_intervals(table(&name));
        let arity = rows.num_columns() - 1;
        let names: Vec<String> = rows.schema().fields().iter().map(|field| field.name().clone()).collect();
        let expected = rows.column(arity).as_string::<i32>();
        let expected = |row: usize| expected.is_valid(row).then(|| expected.value(row));
        assert!(rows.num_rows() >= 5, "{name}");

        let columns: Vec<Expr> = names.iter().take(arity).map(|name| col(format!("\"{name}\""))).collect();
        let found = values(&ctx, &rows, function.call(columns.clone())).await;
        for row in 0..rows.num_rows() {
            let arguments = rows.slice(row, 1).project(&(0..arity).collect::<Vec<_>>()).unwrap();
            if let Some(wrong) = differs(&name, &found, row, expected(row)) {
                let arguments = pretty_format_batches(&[arguments]).unwrap();
                failures.push(format!("{name} of\n{arguments}\nis {wrong}"));
            }
        }
        let literals = |row: usize| -> Vec<Expr> {
            let literal = |k| lit(ScalarValue::try_from_array(rows.column(k), row).unwrap());
            (0..arity).map(literal).collect()
        };
        // For some rows: scalars, and one array with scalars.
        for row in (0..rows.num_rows()).step_by(rows.num_rows().div_ceil(12)) {
            let one = rows.slice(row, 1);
            let found = values(&ctx, &one, function.call(literals(row))).await;
            let wrong = differs(&name, &found, 0, expected(row));
            failures.extend(wrong.map(|wrong| format!("{name} of scalars, row {row}, is {wrong}")));
            let mut mixed = literals(row);
            mixed[0] = columns[0].clone();
            let found = values(&ctx, &rows, function.call(mixed)).await;
            let wrong = differs(&name, &found, row, expected(row));
            failures.extend(wrong.map(|wrong| format!("{name} of both, row {row}, is {wrong}")));
            assert_eq!(found.len(), rows.num_rows());
        }
        // (The value that is not chosen may be NULL.)
        for k in 0..if name == "argo_best" { 0 } else { arity } {
            let mut arguments = literals(0);
            arguments[k] = lit(ScalarValue::try_from(rows.column(k).data_type()).unwrap());
            let found = values(&ctx, &rows.slice(0, 1), function.call(arguments)).await;
            assert!(found.is_null(0), "{name} with argument {k} NULL");
            let mut arguments = columns.clone();
            arguments[k] = lit(ScalarValue::try_from(rows.column(k).data_type()).unwrap());
            let found = values(&ctx, &rows, function.call(arguments)).await;
            assert_eq!(found.null_count(), rows.num_rows(), "{name} with argument {k} NULL");
        }
        let nothing = values(&ctx, &rows.slice(0, 0), function.call(columns)).await;
        assert_eq!(nothing.len(), 0);
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// The calls of the aggregates in the tables, over the columns of the series.
const CALLS: [(&str, &str); 36] = [
    ("weighted_mean", "weighted_mean(x, w)"),
    ("area_mean", "area_mean(x, lat)"),
    ("circular_mean", "circular_mean(deg)"),
    ("linear_trend", "linear_trend(x, time)"),
    ("rms", "rms(x)"),
    ("skewness", "skewness(x)"),
    ("kurtosis", "kurtosis(x)"),
    ("mode", "mode(floor(x))"),
    ("histogram", "histogram(x, -2, 10, 6)"),
    ("first_valid", "first_valid(x, time)"),
    ("last_valid", "last_valid(x, time)"),
    ("completeness", "completeness(x)"),
    ("arg_max", "arg_max(x, w)"),
    ("arg_min", "arg_min(x, w)"),
    ("bias", "bias(x, w)"),
    ("rmse", "rmse(x, w)"),
    ("spearman", "spearman(x, w)"),
    ("mad", "mad(x)"),
    ("iqr", "iqr(x)"),
    ("nanmean", "nanmean(x)"),
    ("nanmedian", "nanmedian(x)"),
    ("nanmin", "nanmin(x)"),
    ("nanmax", "nanmax(x)"),
    ("nansum", "nansum(x)"),
    ("nanstd", "nanstd(x)"),
    ("nanvar", "nanvar(x)"),
    ("linear_trend_error", "linear_trend_error(x, time)"),
    ("theil_sen", "theil_sen(x, time)"),
    ("mann_kendall_tau", "mann_kendall(x, time)['tau']"),
    ("mann_kendall_s", "mann_kendall(x, time)['s']"),
    ("mann_kendall_var_s", "mann_kendall(x, time)['var_s']"),
    ("mann_kendall_z", "mann_kendall(x, time)['z']"),
    ("mann_kendall_p", "mann_kendall(x, time)['p']"),
    ("mann_kendall_tied_values_var_s", "mann_kendall(floor(x), time)['var_s']"),
    ("mann_kendall_tied_s", "mann_kendall(floor(x), to_timestamp(date_part('month', time)))['s']"),
    ("mann_kendall_tied_var_s", "mann_kendall(floor(x), to_timestamp(date_part('month', time)))['var_s']"),
];

/// The same over the levels of profiles.
const PROFILES: [(&str, &str); 7] = [
    ("interp_10", "interp(10, p, t)"),
    ("interp_100", "interp(100, p, t)"),
    ("integrate", "integrate(p, t)"),
    ("integrate_10_100", "integrate(p, t, 10, 100)"),
    ("integrate_100_10", "integrate(p, t, 100, 10)"),
    ("mixed_t", "mixed_layer_depth(p, t)"),
    ("mixed_ts", "mixed_layer_depth(p, t, s)"),
];

async fn with_series() -> SessionContext {
    let ctx = session(4);
    let levels = MemTable::try_new(table("levels").schema(), vec![vec![table("levels")]]).unwrap();
    ctx.register_table("levels", Arc::new(levels)).unwrap();
    let rows = table("series");
    // Parts of different length, one of them empty.
    let parts = [0..17, 17..18, 18..18, 18..90, 90..rows.num_rows()]
        .map(|part| vec![rows.slice(part.start, part.len())]);
    let table = MemTable::try_new(rows.schema(), parts.to_vec()).unwrap();
    ctx.register_table("series", Arc::new(table)).unwrap();
    ctx
}

async fn query(ctx: &SessionContext, sql: &str) -> RecordBatch {
    let data = ctx.sql(sql).await.unwrap();
    let schema = Arc::new(data.schema().as_arrow().clone());
    concat_batches(&schema, &data.collect().await.unwrap()).unwrap()
}

fn expected(rows: &RecordBatch, of: &str, function: &str) -> Option<String> {
    let names = rows.column_by_name("of").unwrap().as_string::<i32>();
    let row = (0..rows.num_rows()).find(|&row| names.value(row) == of).unwrap();
    let column = rows.column_by_name(function).unwrap();
    column.is_valid(row).then(|| match column.data_type() {
        DataType::Utf8 => column.as_string::<i32>().value(row).to_owned(),
        _ => format!("{:?}", column.as_primitive::<Float64Type>().value(row)),
    })
}

#[tokio::test]
async fn aggregates_agree_with_other_libraries_in_groups_and_windows() {
    let ctx = with_series().await;
    let known: BTreeSet<String> =
        atlas_udfs::aggregate_functions().iter().map(|f| f.name().to_owned()).collect();
    let called =
        CALLS.iter().chain(&PROFILES).filter_map(|(_, call)| Some(call.split_once('(')?.0.to_owned()));
    assert_eq!(known, called.collect());
    let tables = table("aggregates");
    for (name, call) in CALLS {
        let groups = query(&ctx, &format!("SELECT {call} FROM series GROUP BY g ORDER BY g")).await;
        for group in 0..groups.num_rows() {
            let expected = expected(&tables, &format!("group {group}"), name);
            let wrong = differs(name, groups.column(0), group, expected.as_deref());
            assert_eq!(wrong, None, "{call} of group {group}");
        }
        // DataFusion's median has no sliding windows.
        if name == "nanmedian" {
            continue;
        }
        let window = "OVER (ORDER BY row ROWS BETWEEN 4 PRECEDING AND CURRENT ROW)";
        let (function, end) = call.split_at(call.find('[').unwrap_or(call.len()));
        let windows =
            query(&ctx, &format!("SELECT row, ({function} {window}){end} FROM series ORDER BY row")).await;
        for row in 0..windows.num_rows() {
            let expected = expected(&tables, &format!("window {row}"), name);
            // Subtraction leaves errors in the last digits.
            let near = windows.column(1).as_primitive_opt::<Float64Type>().zip(expected.as_ref());
            if let Some((found, expected)) = near
                && let Ok(expected) = expected.parse::<f64>()
                && found.is_valid(row)
            {
                assert!(
                    (found.value(row) - expected).abs() <= 1e-7 * expected.abs().max(1.0),
                    "{call} in window {row}: {} and not {expected}",
                    found.value(row),
                );
                continue;
            }
            assert_eq!(
                differs("", windows.column(1), row, expected.as_deref()),
                None,
                "{call} in window {row}"
            );
        }
    }
}

#[tokio::test]
async fn profiles_agree_with_other_libraries() {
    let ctx = with_series().await;
    let expected_of = table("profiles");
    let names = expected_of.column_by_name("of").unwrap().as_string::<i32>();
    for (name, call) in PROFILES {
        for profile in names.iter().flatten() {
            let expected = expected(&expected_of, profile, name);
            let levels =
                query(&ctx, &format!("SELECT p FROM levels WHERE of = '{profile}'")).await.num_rows();
            // All rows at once, and at the end of a window that slides over other profiles.
            for sql in [
                format!("SELECT {call} FROM levels WHERE of = '{profile}'"),
                format!("SELECT {call} FROM levels GROUP BY of HAVING of = '{profile}'"),
                format!(
                    "SELECT {call} OVER (ORDER BY n ROWS BETWEEN {} PRECEDING AND CURRENT ROW) \
                     FROM (SELECT *, row_number() OVER (ORDER BY of = '{profile}') AS n FROM levels) \
                     ORDER BY n DESC LIMIT 1",
                    levels - 1
                ),
            ] {
                let found = query(&ctx, &sql).await;
                assert_eq!(differs(name, found.column(0), 0, expected.as_deref()), None, "{sql}");
            }
        }
    }
}

#[tokio::test]
async fn extremes_have_the_answers_of_more_digits() {
    let ctx = session(3);
    let rows = table("extremes");
    // One row for each partition, in no order.
    let parts = (0..rows.num_rows()).map(|row| vec![rows.slice((row * 7) % rows.num_rows(), 1)]).collect();
    let parts = MemTable::try_new(rows.schema(), parts).unwrap();
    ctx.register_table("extremes", Arc::new(parts)).unwrap();
    let time = "to_timestamp(hours * 3600)";
    for (name, call) in [
        ("bias", "bias(x, w)".to_owned()),
        ("rmse", "rmse(x, w)".to_owned()),
        ("spearman", "spearman(x, w)".to_owned()),
        ("mad", "mad(x)".to_owned()),
        ("iqr", "iqr(x)".to_owned()),
        ("theil_sen", format!("theil_sen(x, {time})")),
        ("linear_trend_error", format!("linear_trend_error(x, {time})")),
        ("mann_kendall", format!("mann_kendall(x, {time})['s']")),
        ("arg_max", "arg_max(w, x)".to_owned()),
        ("arg_min", "arg_min(w, x)".to_owned()),
        ("integrate", "integrate(hours * 3600, x)".to_owned()),
        ("interp", "interp(7200, hours * 3600, x)".to_owned()),
        ("nanmean", "nanmean(x)".to_owned()),
        ("nanmax", "nanmax(x)".to_owned()),
    ] {
        let sql = format!(
            "SELECT of, {call} AS found, sum({name}) AS expected FROM extremes GROUP BY of ORDER BY of"
        );
        let answers = query(&ctx, &sql).await;
        assert_eq!(answers.num_rows(), 6);
        for row in 0..answers.num_rows() {
            let number = |column: usize| answers.column(column).as_primitive::<Float64Type>().value(row);
            let (found, expected) = (number(1), number(2));
            // The smallest numbers have only their last digits.
            let near = (found / 2.0 - expected / 2.0).abs() <= 1e-9 * expected.abs() + 1e-315;
            let same = found == expected || near || found.is_nan() && expected.is_nan();
            assert!(same, "{call} of {:?}: {found} and not {expected}", answers.slice(row, 1).column(0));
        }
    }
}

#[tokio::test]
async fn layers_are_as_stable_as_gsw_says() {
    let ctx = with_series().await;
    for (name, call) in [("nsquared", "nsquared(s, t, p)"), ("nsquared_30", "nsquared(s, t, p, 30)")] {
        for order in ["", " ORDER BY t", " ORDER BY p DESC"] {
            let sql = format!(
                "SELECT {name} AS expected, {call} OVER (PARTITION BY of{order}) AS found FROM levels"
            );
            let rows = query(&ctx, &sql).await;
            let expected = rows.column(0).as_primitive::<Float64Type>();
            assert_eq!(rows.num_rows(), table("levels").num_rows());
            for row in 0..rows.num_rows() {
                let found = rows.column(1).as_primitive::<Float64Type>();
                assert_eq!(found.is_valid(row), expected.is_valid(row), "{sql} row {row}");
                let apart = (found.value(row) - expected.value(row)).abs();
                assert!(apart <= 1e-9 * expected.value(row).abs() + 1e-16, "{sql} row {row}: {apart}");
            }
        }
    }
}

#[tokio::test]
async fn aggregates_of_nothing_are_null() {
    let ctx = with_series().await;
    for (name, call) in CALLS {
        for nothing in ["false", "x IS NULL OR isnan(x)"] {
            let found = query(&ctx, &format!("SELECT {call} FROM series WHERE {nothing}")).await;
            let found = found.column(0);
            match name {
                "histogram" => assert_eq!(differs("", found, 0, Some("0 0 0 0 0 0")), None),
                "completeness" if nothing != "false" => assert_eq!(differs("", found, 0, Some("0.0")), None),
                "circular_mean" if nothing != "false" => assert!(found.is_valid(0)),
                _ => assert!(found.is_null(0), "{call} where {nothing}"),
            }
        }
    }
}

#[tokio::test]
async fn what_cannot_be_is_said() {
    let ctx = with_series().await;
    for (sql, message) in [
        ("SELECT convert_units(1, 'm', 's')", "'m' and 's' do not measure the same"),
        ("SELECT convert_units(1, 'furlong', 's')", "'furlong' is no unit that is known"),
        ("SELECT cf_time(1, 'months since 2000-01-01', 'standard')", "does not understand the units"),
        ("SELECT cf_time(1, 'days since 2000-01-01', 'lunar')", "does not know the calendar 'lunar'"),
        ("SELECT histogram(x, 0, 10, row) FROM series", "must be constants"),
        ("SELECT histogram(x, 10, 0, 5) FROM series", "needs lo < hi"),
        ("SELECT interp(row, lat, x) FROM series", "the level of interp must be the same in all rows"),
        ("SELECT integrate(lat, x, 0, row) FROM series", "the upper bound of integrate must be the same"),
        ("SELECT argo_best(1, 2, '1', 'X')", "knows the data modes 'R', 'A' and 'D', not 'X'"),
        ("SELECT argo_best(1, 2, 'good', 'R')", "knows the flags 0 to 9, not 'good'"),
        ("SELECT argo_best(1, 2, '1')", "not 3 arguments"),
        ("SELECT in_polygon(1, 2, 'POLYGON ((0 0, 1 0')", "in_polygon does not understand 'POLYGON ((0 0"),
        ("SELECT in_polygon(1, 2, 'POINT (1 2)')", "takes a POLYGON or a MULTIPOLYGON, not 'POINT (1 2)'"),
        ("SELECT in_polygon(1, 2, 'POLYGON EMPTY')", "has no points"),
        ("SELECT in_polygon(1, 2, 'POLYGON ((40 170, 50 170, 50 175, 40 170))')", "longitudes come first"),
        ("SELECT geohash(1, 2, 13)", "1 to 12 characters, not 13"),
        ("SELECT date_diff('moon', DATE '2000-01-01', DATE '2000-01-02')", "does not know the unit 'moon'"),
    ] {
        let error = match ctx.sql(sql).await {
            Ok(data) => data.collect().await.unwrap_err(),
            Err(error) => error,
        };
        assert!(error.to_string().contains(message), "{sql}: {error}");
    }
}

#[tokio::test]
async fn times_are_as_precise_as_the_type_of_their_number() {
    let ctx = session(4);
    for (call, expected) in [
        ("cf_time(17000.041666666668, 'days since 1950-01-01', 'standard')", "1996-07-18T01:00:00"),
        ("cf_time(17000.041::REAL, 'days since 1950-01-01', 'standard')", "1996-07-18T01:00:00"),
        ("cf_time(837648000.123456, 'seconds since 1970-01-01', '')", "1996-07-18T00:00:00.123456"),
        ("cf_time(946684800000000001, 'ns since 1970-01-01', '')", "2000-01-01T00:00:00.000000001"),
        ("cf_time(1::BIGINT UNSIGNED, 'hours since 1970/01/01 (UTC)', '')", "1970-01-01T01:00:00"),
        ("cf_time(2, 'months since 2000-01-10', '360_day')", "2000-03-10T00:00:00"),
        (
            "cf_time(arrow_cast(1, 'Dictionary(Int32, Int64)'), 'days since 20000101', '')",
            "2000-01-02T00:00:00",
        ),
        ("cf_time(29, 'days since 2000-02-01', '360_day')", ""),
    ] {
        let found = query(&ctx, &format!("SELECT {call}")).await;
        assert_eq!(array_value_to_string(found.column(0), 0).unwrap(), expected, "{call}");
    }
    for call in ["cf_time(1, 'days since 2000-01-01')", "cf_time(true, 'days since 2000-01-01', '')"] {
        let planned = ctx.sql(&format!("SELECT {call}")).await;
        assert!(planned.unwrap_err().to_string().contains("cf_time takes a number"), "{call}");
    }
}

#[tokio::test]
async fn numbers_of_every_type_will_do() {
    let ctx = session(4);
    let sql = "SELECT max(wind_speed(v::SMALLINT, 4::REAL)), max(bin(v::BIGINT + 4, 5)), rms(v), max(season(DATE '2000-01-01')) \
               FROM (VALUES (3::TINYINT), (2::TINYINT)) AS t(v)";
    let found = query(&ctx, sql).await;
    let number = |k: usize| found.column(k).as_primitive::<Float64Type>().value(0);
    assert_eq!((number(0), number(1), number(2)), (5.0, 5.0, 6.5_f64.sqrt()));
    assert_eq!(array_value_to_string(found.column(3), 0).unwrap(), "DJF");
    let sql = "SELECT arrow_typeof(argo_best(1.5::REAL, 2.5::REAL, 1, 'R')), argo_best(1.5::REAL, 2.5::REAL, 1, ' D ')";
    let found = query(&ctx, sql).await;
    assert_eq!(array_value_to_string(found.column(0), 0).unwrap(), "Float32");
    assert_eq!(array_value_to_string(found.column(1), 0).unwrap(), "1.5");
}

#[tokio::test]
async fn intervals_are_multiplied_and_divided_by_operators() {
    let ctx = session(4);
    for (sql, expected) in [
        ("TIMESTAMP '2000-01-31 00:00:00' + INTERVAL '1 day' * 3", "2000-02-03T00:00:00"),
        ("TIMESTAMP '2000-01-31 00:00:00' + 3 * INTERVAL '1 month'", "2000-04-30T00:00:00"),
        ("TIMESTAMP '2000-01-31 00:00:00' - INTERVAL '1 hour' / 3", "2000-01-30T23:40:00"),
        ("TIMESTAMP '2000-01-01 00:00:00' + v * INTERVAL '6 hours'", "2000-01-01T15:00:00"),
        (
            "TIMESTAMP '2000-01-01 00:00:00' + (TIMESTAMP '2000-01-02 00:00:00' - TIMESTAMP '2000-01-01 00:00:00') / 2",
            "2000-01-01T12:00:00",
        ),
        ("INTERVAL '1 day' * NULL::INT IS NULL", "true"),
        ("6 * v / 3", "5.0"),
    ] {
        let found = query(&ctx, &format!("SELECT {sql} FROM (VALUES (2.5)) AS t(v)")).await;
        assert_eq!(array_value_to_string(found.column(0), 0).unwrap(), expected, "{sql}");
    }
    let far = ctx.sql("SELECT INTERVAL '100000 months' * 100000").await;
    let error = match far {
        Ok(data) => data.collect().await.unwrap_err(),
        Err(error) => error,
    };
    assert!(error.to_string().contains("an interval is out of range"), "{error}");
}

#[tokio::test]
async fn synonyms_are_their_functions() {
    let plain = SessionContext::new().state();
    let ctx = with_series().await;
    let state = ctx.state();
    for (synonym, name) in atlas_udfs::synonyms::SYNONYMS {
        let known = plain.scalar_functions().contains_key(synonym)
            || plain.aggregate_functions().contains_key(synonym);
        assert!(!known, "DataFusion has a function `{synonym}`");
        let known = state.scalar_functions().contains_key(synonym)
            || state.aggregate_functions().contains_key(synonym);
        assert!(known, "{synonym}");
        let arguments = match name {
            "avg" | "stddev" | "stddev_pop" | "var" | "mad" | "iqr" | "skewness" => "x",
            "percentile_cont" => "x, 0.25",
            "theil_sen" => "x, time",
            "day_of_year" => "time",
            "to_char" => "time, '%Y-%m'",
            "date_diff" => "'day', time, TIMESTAMP '2000-01-01 00:00:00'",
            _ => "x, w",
        };
        let mut clauses = vec!["ORDER BY 1"];
        if state.aggregate_functions().contains_key(synonym) {
            clauses.extend(["GROUP BY g ORDER BY 1"]);
            // (Percentiles have no sliding windows.)
            if name != "percentile_cont" {
                clauses.extend(["OVER"]);
            }
        }
        for clause in clauses {
            let of = |function: &str| match clause {
                "OVER" => format!(
                    "SELECT {function}({arguments}) OVER (ORDER BY row ROWS 5 PRECEDING) \
                     FROM series WHERE NOT isnan(x) ORDER BY row"
                ),
                clause => format!("SELECT {function}({arguments}) FROM series WHERE NOT isnan(x) {clause}"),
            };
            let (found, expected) = (query(&ctx, &of(synonym)).await, query(&ctx, &of(name)).await);
            assert_eq!(found.column(0), expected.column(0), "{}", of(synonym));
            assert!(found.column(0).null_count() < found.num_rows(), "{}", of(synonym));
        }
    }
    let std =
        query(&ctx, "SELECT std(v), quantile(v, 0.5) FROM (VALUES (1.0), (2.0), (4.0), (5.0)) AS t(v)").await;
    let number = |k: usize| std.column(k).as_primitive::<Float64Type>().value(0);
    assert_eq!((number(0), number(1)), (2.5_f64.sqrt(), 3.0));
}

#[test]
fn every_function_is_documented() {
    let documented = atlas_udfs::documentation();
    let of_rows = atlas_udfs::scalar_functions().len() + atlas_udfs::window_functions().len();
    assert_eq!(documented.len(), of_rows + atlas_udfs::aggregate_functions().len());
    for (name, documentation) in documented {
        assert!(documentation.description.contains("Source: "), "{name}");
        assert!(documentation.sql_example.is_some(), "{name}");
    }
}
