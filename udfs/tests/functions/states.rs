//! Aggregates do not depend on the division of rows into partitions or into the steps of a window.
//!
//! Rows come from a fixed sequence of random numbers of every kind: NULL, NaN, infinities, zeros of
//! both signs, the largest and the smallest numbers, and ordinary ones.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Float64Array, Float64Builder, RecordBatch, TimestampNanosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::Accumulator;
use datafusion::physical_expr::aggregate::{AggregateExprBuilder, AggregateFunctionExpr};
use datafusion::physical_expr::expressions::{col, lit};
use datafusion::prelude::SessionContext;

/// The tolerance between two answers, relative to the larger of them and the largest value.
const TOLERANCE: f64 = 1e-7;

/// Knuth's 64-bit linear congruential generator.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }

    /// From -1 to 1.
    fn number(&mut self) -> f64 {
        self.below(2_000_001) as f64 / 1e6 - 1.0
    }

    /// A number of any kind. Each kind beyond the ordinary one has a probability of one in `rare`.
    fn value(&mut self, rare: u64) -> Option<f64> {
        if self.below(rare) > 0 {
            return Some(20.0 + 7.0 * self.number());
        }
        let odd = [f64::INFINITY, f64::NEG_INFINITY, f64::MAX, -1e300, 1e-300, 5e-324, 0.0, -0.0, 1e9];
        match self.below(odd.len() as u64 + 2) {
            0 => None,
            1 => Some(f64::NAN),
            kind => Some(odd[kind as usize - 2]),
        }
    }
}

fn schema() -> SchemaRef {
    let time = DataType::Timestamp(TimeUnit::Nanosecond, None);
    Arc::new(Schema::new(vec![
        Field::new("x", DataType::Float64, true),
        Field::new("w", DataType::Float64, true),
        Field::new("lat", DataType::Float64, true),
        Field::new("time", time, true),
        Field::new("level", DataType::Float64, true),
    ]))
}

fn rows(random: &mut Random, number: usize, rare: u64) -> RecordBatch {
    let (mut x, mut w, mut lat) = (Float64Builder::new(), Float64Builder::new(), Float64Builder::new());
    let mut times = Vec::new();
    for _ in 0..number {
        x.append_option(random.value(rare));
        // Weights of one sign: with others, the mean may be any number.
        w.append_option(random.value(rare * 4).map(f64::abs));
        lat.append_value(random.number() * if random.below(rare * 8) == 0 { 95.0 } else { 90.0 });
        let seconds = 1_000_000_000 + random.below(600_000_000) as i64;
        times.push((random.below(rare) > 0).then_some(seconds * 1_000_000_000));
    }
    let columns: Vec<ArrayRef> = vec![
        Arc::new(x.finish()),
        Arc::new(w.finish()),
        Arc::new(lat.finish()),
        Arc::new(TimestampNanosecondArray::from(times)),
        Arc::new(Float64Array::from(vec![12.5; number])),
    ];
    RecordBatch::try_new(schema(), columns).unwrap()
}

/// Every aggregate, with the positions of its columns.
fn calls() -> Vec<(AggregateFunctionExpr, Vec<usize>)> {
    let function = |udaf: &datafusion::logical_expr::AggregateUDF| {
        let columns = match udaf.name() {
            "weighted_mean" | "arg_max" | "arg_min" | "bias" | "rmse" | "spearman" => vec![0, 1],
            "area_mean" => vec![0, 2],
            "linear_trend" | "linear_trend_error" | "theil_sen" | "mann_kendall" => vec![0, 3],
            "first_valid" | "last_valid" => vec![0, 3],
            "interp" => vec![4, 2, 0],
            "integrate" => vec![2, 0],
            // (Pressures of either sign: the profile is above and below 10 dbar.)
            "mixed_layer_depth" => vec![2, 0, 1],
            _ => vec![0],
        };
        let schema = schema();
        let mut arguments: Vec<_> =
            columns.iter().map(|&place| col(schema.field(place).name(), &schema).unwrap()).collect();
        if udaf.name() == "histogram" {
            arguments.extend([lit(-10.0), lit(30.0), lit(8i64)]);
        }
        let call = AggregateExprBuilder::new(Arc::new(udaf.clone()), arguments).schema(schema).alias("a");
        (call.build().unwrap(), columns)
    };
    // (The functions that skip NaN are as exact as DataFusion's, and have the same windows.)
    let functions = atlas_udfs::aggregate_functions();
    let ours = functions.iter().filter(|udaf| !udaf.name().starts_with("nan"));
    let calls: Vec<_> = ours.map(function).collect();
    assert_eq!(calls.len(), 25);
    calls
}

fn arguments(rows: &RecordBatch, columns: &[usize]) -> Vec<ArrayRef> {
    columns.iter().map(|&place| Arc::clone(rows.column(place))).collect()
}

fn accumulated(call: &AggregateFunctionExpr, arguments: &[ArrayRef]) -> Box<dyn Accumulator> {
    let mut accumulator = call.create_accumulator().unwrap();
    accumulator.update_batch(arguments).unwrap();
    accumulator
}

fn merge(into: &mut Box<dyn Accumulator>, from: &mut Box<dyn Accumulator>) {
    let states: Vec<ArrayRef> = from.state().unwrap().iter().map(|state| state.to_array().unwrap()).collect();
    into.merge_batch(&states).unwrap();
}

fn assert_same(name: &str, rows: &RecordBatch, found: &ScalarValue, expected: &ScalarValue) {
    let (&ScalarValue::Float64(Some(a)), &ScalarValue::Float64(Some(b))) = (found, expected) else {
        assert_eq!(found, expected, "{name} of {rows:?}");
        return;
    };
    let values = rows.column(0).as_any().downcast_ref::<Float64Array>().unwrap();
    let largest = values.iter().flatten().filter(|x| x.is_finite()).fold(1.0, |a: f64, b| a.max(b.abs()));
    let scale = match name {
        "skewness" | "kurtosis" | "circular_mean" | "spearman" => 1.0,
        _ => largest,
    };
    let apart = if name == "circular_mean" {
        let apart = (a - b).abs();
        apart.min(360.0 - apart)
    } else {
        // Halves, because the difference of two numbers may overflow.
        2.0 * (a / 2.0 - b / 2.0).abs()
    };
    let near = apart <= TOLERANCE * scale.max(a.abs().max(b.abs()));
    assert!(a == b || near || a.is_nan() && b.is_nan(), "{name}: {a} and not {b} of {rows:?}");
}

#[test]
fn partitions_and_the_order_of_merging_make_no_difference() {
    let mut random = Random(1);
    for case in 0..400 {
        let number = random.below(60) as usize;
        let rows = rows(&mut random, number, [3, 30, 1000][case % 3]);
        for (call, columns) in calls() {
            let all = arguments(&rows, &columns);
            let expected = accumulated(&call, &all).evaluate().unwrap();
            // Some parts are empty.
            let mut cuts: Vec<usize> =
                (0..random.below(6)).map(|_| random.below(number as u64 + 1) as usize).collect();
            cuts.extend([0, number]);
            cuts.sort_unstable();
            let part = |cut: &[usize]| -> Vec<ArrayRef> {
                all.iter().map(|column| column.slice(cut[0], cut[1] - cut[0])).collect()
            };
            let mut parts: Vec<_> = cuts.windows(2).map(|cut| accumulated(&call, &part(cut))).collect();
            while parts.len() > 1 {
                let mut from = parts.swap_remove(random.below(parts.len() as u64) as usize);
                let into = random.below(parts.len() as u64) as usize;
                merge(&mut parts[into], &mut from);
            }
            assert_same(call.fun().name(), &rows, &parts[0].evaluate().unwrap(), &expected);
        }
    }
}

#[test]
fn windows_give_what_their_rows_give() {
    let mut random = Random(2);
    for case in 0..120 {
        let rows = rows(&mut random, 50, [3, 30, 1000][case % 3]);
        for (call, columns) in calls() {
            let all = arguments(&rows, &columns);
            let part = |from: usize, to: usize| -> Vec<ArrayRef> {
                all.iter().map(|column| column.slice(from, to - from)).collect()
            };
            let mut window = call.create_sliding_accumulator().unwrap();
            assert!(window.supports_retract_batch(), "{}", call.fun().name());
            let (mut from, mut to) = (0, 0);
            while to < rows.num_rows() {
                let more = (to + random.below(5) as usize).min(rows.num_rows());
                window.update_batch(&part(to, more)).unwrap();
                let less = (from + random.below(6) as usize).min(more);
                window.retract_batch(&part(from, less)).unwrap();
                (from, to) = (less, more);
                let expected = accumulated(&call, &part(from, to)).evaluate().unwrap();
                assert_same(call.fun().name(), &rows, &window.evaluate().unwrap(), &expected);
            }
        }
    }
}

#[test]
fn what_does_not_depend_on_units_is_the_same_for_all_magnitudes() {
    let values = [1.0, 2.0, 4.0, 4.5, -3.0];
    let of = |name: &str, scale: f64| -> f64 {
        let (call, _) = calls().into_iter().find(|(call, _)| call.fun().name() == name).unwrap();
        let values: ArrayRef = Arc::new(Float64Array::from_iter_values(values.map(|x| x * scale)));
        let ScalarValue::Float64(Some(value)) = accumulated(&call, &[values]).evaluate().unwrap() else {
            panic!("{name} at {scale}");
        };
        value
    };
    for scale in [2f64.powi(1000), 2f64.powi(300), 2f64.powi(-90), 2f64.powi(-300), 2f64.powi(-1000)] {
        for name in ["skewness", "kurtosis"] {
            assert!((of(name, scale) - of(name, 1.0)).abs() < 1e-12, "{name} at {scale}");
        }
        assert!((of("rms", scale) / scale - of("rms", 1.0)).abs() < 1e-12, "rms at {scale}");
    }
}

async fn answer(sql: &str) -> Result<String, String> {
    let ctx = SessionContext::new();
    atlas_udfs::register_all(&ctx);
    let batches = match ctx.sql(sql).await {
        Ok(data) => data.collect().await,
        Err(error) => Err(error),
    };
    let batches = batches.map_err(|error| error.to_string())?;
    let column = batches[0].column(0);
    Ok(arrow::util::display::array_value_to_string(column, 0).unwrap())
}

#[tokio::test]
async fn odd_values_have_the_answers_that_are_documented() {
    for (call, expected) in [
        ("skewness(x)", "NaN"),
        ("kurtosis(x)", "NaN"),
        ("circular_mean(x)", "NaN"),
        ("rms(x)", "inf"),
        ("weighted_mean(x, 2)", "inf"),
        ("area_mean(x, 10)", "inf"),
        ("area_mean(2, 90.5 * x)", ""),
        ("weighted_mean(x, x - 1) FILTER (WHERE x < 2)", ""),
        ("linear_trend(x, to_timestamp(y))", "NaN"),
        ("linear_trend_error(x, to_timestamp(y))", ""),
        ("linear_trend_error(coalesce(x, 0), to_timestamp(y))", "NaN"),
        ("theil_sen(x, to_timestamp(y))", "inf"),
        ("theil_sen(abs(x) / 0, to_timestamp(y))", "NaN"),
        ("mann_kendall(x, to_timestamp(y))['s']", "1.0"),
        ("spearman(x, y)", "1.0"),
        ("spearman(x, 2)", ""),
        ("bias(x, 1)", "inf"),
        ("bias(x, x)", "NaN"),
        ("rmse(x, 1)", "inf"),
        ("rmse(x, x)", "NaN"),
        ("mad(x)", "NaN"),
        ("mad(coalesce(x, 0))", "1.0"),
        ("iqr(x)", "NaN"),
        ("iqr(coalesce(x, 0))", "inf"),
        ("arg_max(y, x)", "2"),
        ("arg_min(y, x)", "1"),
        ("interp(1.5, y, x)", "inf"),
        ("interp(2, y, x)", "inf"),
        ("interp(3, y, x)", ""),
        ("interp('NaN'::double, y, x)", ""),
        ("integrate(y, x)", "inf"),
        ("integrate(y, x, 1, 1)", "0.0"),
        ("mixed_layer_depth(y, x)", "NaN"),
        ("nanmean(x)", "inf"),
        ("nanmedian(x) FILTER (WHERE NOT x < 2)", "inf"),
        ("nanmin(x)", "1.0"),
        ("nanmax(-x)", "-1.0"),
        ("nanmax(x) FILTER (WHERE isnan(x))", ""),
        ("nanmax(y)", "4"),
    ] {
        let sql = format!(
            "SELECT {call} FROM (VALUES (1.0, 1), ('Infinity'::double, 2), ('NaN'::double, 3), (NULL, 4)) t(x, y)"
        );
        assert_eq!(answer(&sql).await.unwrap(), expected, "{call}");
    }
    let zeros = "SELECT mode(x) FROM (VALUES (-0.0), (1.0), (0.0), (1.0), (-0.0)) t(x)";
    assert_eq!(answer(zeros).await.unwrap(), "0.0");
}

#[tokio::test]
async fn distinct_is_done_or_refused() {
    let of = |select: &str| format!("SELECT {select} FROM (VALUES (3.0), (3.0), (4.0)) t(x)");
    assert_eq!(answer(&of("weighted_mean(x, 1)")).await.unwrap().get(..5), Some("3.333"));
    for call in ["rms", "mode", "completeness", "skewness"] {
        let alone = answer(&of(&format!("{call}(DISTINCT x)"))).await.unwrap();
        let from =
            format!("SELECT {call}(x) FROM (SELECT DISTINCT x FROM (VALUES (3.0), (3.0), (4.0)) t(x))");
        assert_eq!(alone, answer(&from).await.unwrap(), "{call}");
        let beside = answer(&of(&format!("{call}(DISTINCT x), count(*)"))).await.unwrap_err();
        assert!(beside.contains("SELECT DISTINCT"), "{beside}");
    }
}
