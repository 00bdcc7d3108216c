//! Random stores and predicates for property tests.

use std::collections::BTreeMap;

use atlas::{ArraySchema, AttributeValue, DType, Value};
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};

use crate::random::{Model, ModelArray, ModelDataset};

/// The dimensions of arrays, and their greatest number of cells.
const DIMS: [&str; 4] = ["x", "y", "z", "w"];
const NUMBERS: [DType; 10] = [
    DType::I8,
    DType::I16,
    DType::I32,
    DType::I64,
    DType::U8,
    DType::U16,
    DType::U32,
    DType::U64,
    DType::F32,
    DType::F64,
];

/// A small value of a type, so that predicates on it are true for some cells and false for others.
fn value(dtype: DType) -> BoxedStrategy<Option<Value>> {
    let value = match dtype {
        DType::Bool => any::<bool>().prop_map(Value::Bool).boxed(),
        // Sums of these overflow.
        DType::I64 => prop_oneof![9 => -5i64..10, 1 => Just(i64::MAX / 2)].prop_map(Value::I64).boxed(),
        DType::I8 | DType::I16 | DType::I32 => (-5i64..10).prop_map(Value::I64).boxed(),
        DType::U8 | DType::U16 | DType::U32 | DType::U64 => (0u64..10).prop_map(Value::U64).boxed(),
        DType::F32 | DType::F64 => prop_oneof![
            // Tenths, which an f32 does not represent exactly.
            8 => (-20i32..40).prop_map(move |i| decimal(f64::from(i) / 10.0, dtype)),
            1 => prop_oneof![Just(f64::NAN), Just(-f64::NAN), Just(-0.0), Just(f64::INFINITY), Just(f64::NEG_INFINITY)]
                .prop_map(Value::F64),
        ]
        .boxed(),
        DType::Timestamp => (0i64..20).prop_map(|day| Value::Timestamp(day * 86_400_000_000_000)).boxed(),
        DType::String => "[ab]{0,2}".prop_map(Value::String).boxed(),
        DType::Binary => "[ab]{0,2}".prop_map(|text| Value::Binary(text.into_bytes())).boxed(),
    };
    prop_oneof![6 => value.prop_map(Some), 1 => Just(None)].boxed()
}

/// A number as an array of floats stores it.
#[allow(clippy::cast_possible_truncation)]
fn decimal(value: f64, dtype: DType) -> Value {
    Value::F64(if dtype == DType::F32 { f64::from(value as f32) } else { value })
}

/// Values in runs along the array, so that chunks differ in their bounds.
fn values(dtype: DType, count: usize) -> BoxedStrategy<Vec<Option<Value>>> {
    let scattered = prop::collection::vec(value(dtype), count);
    let runs = prop::collection::vec(value(dtype), count / 4 + 1)
        .prop_map(move |values| (0..count).map(|i| values[i / 4].clone()).collect::<Vec<_>>());
    prop_oneof![scattered, runs].boxed()
}

fn array(
    name: String,
    dtype: DType,
    dims: Vec<&'static str>,
    sizes: &BTreeMap<String, usize>,
) -> BoxedStrategy<ModelArray> {
    let count: usize = dims.iter().map(|dim| sizes[*dim]).product();
    (values(dtype, count), prop::collection::vec(0usize..4, dims.len()))
        .prop_map(move |(values, chunk)| {
            let mut schema = ArraySchema::new(name.clone(), dtype, &dims);
            schema.chunk = chunk;
            ModelArray { schema, values }
        })
        .boxed()
}

/// A variable with one of a few names: often numeric, of any rank, of a type that may differ
/// between datasets.
fn variable(number: usize, sizes: BTreeMap<String, usize>) -> BoxedStrategy<Option<ModelArray>> {
    let dtype = match number {
        0 => Just(DType::F32).boxed(),
        1 => prop::sample::select(NUMBERS.to_vec()).boxed(),
        2 => prop::sample::select(vec![DType::String, DType::Bool, DType::Timestamp, DType::Binary]).boxed(),
        // Seldom of different kinds, which make two columns.
        3 => prop_oneof![9 => Just(DType::F64), 1 => Just(DType::String)].boxed(),
        _ => Just(DType::I32).boxed(),
    };
    let dims = prop::sample::subsequence(DIMS.to_vec(), 0..=DIMS.len()).prop_shuffle();
    (dtype, dims, 0..5)
        .prop_flat_map(move |(dtype, mut dims, absent)| {
            if absent == 0 {
                return Just(None).boxed();
            }
            if number == 0 {
                // One variable that is usually on the same grid, in either order.
                dims.retain(|dim| ["x", "y"].contains(dim));
            }
            array(format!("v{number}"), dtype, dims, &sizes).prop_map(Some).boxed()
        })
        .boxed()
}

/// The coordinate of a dimension, if there is one. Coordinates of `y` are times, or sometimes
/// numbers. Those of `x` are numbers of different types, or text. `z` is sometimes a variable over
/// other dimensions.
fn coordinate(dim: &'static str, sizes: &BTreeMap<String, usize>) -> BoxedStrategy<Option<ModelArray>> {
    let dtype = match dim {
        "y" => prop_oneof![6 => Just(DType::Timestamp), 1 => Just(DType::F64)].boxed(),
        "x" => prop_oneof![4 => Just(DType::F64), 4 => Just(DType::F32), 1 => Just(DType::String)].boxed(),
        _ => Just(DType::F64).boxed(),
    };
    let others = prop::sample::subsequence(vec!["x", "z", "w"], 0..=3);
    let dims = match dim {
        "z" => prop_oneof![9 => Just(vec![dim]), 1 => others].boxed(),
        _ => Just(vec![dim]).boxed(),
    };
    let sizes = sizes.clone();
    let coordinate =
        (dtype, dims).prop_flat_map(move |(dtype, dims)| array(dim.to_owned(), dtype, dims, &sizes));
    prop_oneof![1 => Just(None), 2 => coordinate.prop_map(Some)].boxed()
}

fn dataset() -> impl Strategy<Value = ModelDataset> {
    prop::collection::vec(prop_oneof![9 => 1usize..6, 1 => Just(0)], DIMS.len()).prop_flat_map(|sizes| {
        let dims: BTreeMap<String, usize> = DIMS.iter().map(ToString::to_string).zip(sizes).collect();
        let variables: Vec<_> = (0..5).map(|number| variable(number, dims.clone())).collect();
        let coordinates: Vec<_> = DIMS.iter().take(3).map(|dim| coordinate(dim, &dims)).collect();
        let score = prop::option::of(prop_oneof![Just(f64::NAN), (-3i32..3).prop_map(f64::from)]);
        let attributes =
            (prop::option::of("[pq]"), prop::option::of(-3i64..3), score).prop_map(|(kind, level, score)| {
                let kind = kind.map(|kind| ("kind".to_owned(), AttributeValue::from(kind)));
                let level = level.map(|level| ("level".to_owned(), AttributeValue::from(level)));
                let score = score.map(|score| ("score".to_owned(), AttributeValue::from(score)));
                kind.into_iter().chain(level).chain(score).collect::<Vec<_>>()
            });
        (Just(dims), variables, coordinates, attributes).prop_map(
            |(dims, variables, coordinates, attributes)| {
                let arrays: Vec<_> = variables.into_iter().chain(coordinates).flatten().collect();
                let used = |dim: &String| arrays.iter().any(|array| array.schema.dims.contains(dim));
                let dims = dims.into_iter().filter(|(dim, _)| used(dim)).collect();
                ModelDataset { dims, arrays, attributes }
            },
        )
    })
}

/// A store of a few datasets.
pub fn model() -> impl Strategy<Value = Model> {
    prop::collection::vec(dataset(), 0..6).prop_map(|datasets| Model {
        datasets: datasets.into_iter().enumerate().map(|(i, dataset)| (format!("d{i}"), dataset)).collect(),
    })
}

/// A predicate of one of the kinds that are pushed down in different ways, for a column of a type.
pub fn predicate(column: &str, data_type: &arrow::datatypes::DataType, pick: u32) -> String {
    use arrow::datatypes::DataType;
    let name = format!("\"{column}\"");
    let (a, b) = (f64::from(pick % 17) / 2.0 - 2.0, f64::from(pick % 5));
    match data_type {
        _ if pick.is_multiple_of(11) => format!("{name} IS NULL"),
        _ if pick % 11 == 1 => format!("{name} IS NOT NULL"),
        DataType::Utf8View if column == "dataset" => match pick % 3 {
            0 => format!("{name} = 'd{}'", pick % 5),
            1 => format!("{name} IN ('d1', 'd3', 'nowhere')"),
            _ => format!("{name} LIKE '%2'"),
        },
        DataType::Utf8View => match pick % 3 {
            0 => format!("{name} > 'a'"),
            1 => format!("{name} = 'ab'"),
            _ => format!("length({name}) < 2"),
        },
        DataType::Boolean => name,
        DataType::Timestamp(..) => match pick % 2 {
            0 => format!("{name} >= TIMESTAMP '1970-01-{:02}'", 1 + pick % 20),
            _ => format!("date_part('day', {name}) < {}", pick % 20),
        },
        DataType::BinaryView => format!("{name} = X'61'"),
        // Numbers that are some f64, and no f32.
        DataType::Float64 if pick.is_multiple_of(7) => match pick % 3 {
            0 => format!("{name} = {}", f64::from(pick % 60) / 10.0 - 2.0),
            1 => format!("{name} IN (0.3, 0.7, 1.1, {a})"),
            _ => format!("{name} BETWEEN 0.1 AND {}", f64::from(pick % 40) / 10.0),
        },
        _ => match pick % 6 {
            0 => format!("{name} > {a}"),
            1 => format!("{name} <= {a}"),
            2 => format!("{name} BETWEEN {a} AND {}", a + b),
            3 => format!("{name} <> {b}"),
            4 => format!("NOT ({name} < {a} OR {name} > {})", a + b),
            _ => format!("{name} * 2 + 1 < {a}"),
        },
    }
}

/// Runs `check` on as many random cases as `PROPTEST_CASES` says. Without the variable, runs it on
/// `cases` cases, the same each time.
pub fn check_cases<S: Strategy>(strategy: S, cases: u32, check: impl Fn(S::Value)) {
    let chosen = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    let rng = match chosen {
        None => TestRng::deterministic_rng(RngAlgorithm::ChaCha),
        Some(_) => {
            TestRng::from_seed(RngAlgorithm::ChaCha, &std::array::from_fn::<u8, 32, _>(|_| rand_byte()))
        }
    };
    let config = ProptestConfig {
        cases: chosen.unwrap_or(cases),
        max_shrink_iters: 60,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    TestRunner::new_with_rng(config, rng)
        .run(&strategy, |case| {
            let checked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| check(case)));
            checked.map_err(|panic| {
                let message = panic.downcast_ref::<String>().cloned();
                TestCaseError::fail(message.unwrap_or_else(|| "a panic".to_owned()))
            })
        })
        .unwrap_or_else(|failure| panic!("{failure}"));
}

fn rand_byte() -> u8 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0) as u8
}
