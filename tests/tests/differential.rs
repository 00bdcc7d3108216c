//! Every query over a store gives the rows that it gives over the same table held in memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use atlas::{ArraySchema, Atlas, AttributeValue, Codec, DType, Region, StoreConfig, Value};
use atlas_datafusion::{TableOptions, grids};
use atlas_tests::random::{Model, ModelArray, ModelDataset};
use atlas_tests::{memory, session, sorted_rows};
use datafusion::datasource::MemTable;
use datafusion::prelude::SessionContext;
use object_store::path::Path;
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};

/// The dimensions that arrays are made of, and how many cells they have at the most.
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

/// A small value of a type, so that predicates on it are true of some cells and false of others.
fn value(dtype: DType) -> BoxedStrategy<Option<Value>> {
    let value = match dtype {
        DType::Bool => any::<bool>().prop_map(Value::Bool).boxed(),
        DType::I8 | DType::I16 | DType::I32 | DType::I64 => (-5i64..10).prop_map(Value::I64).boxed(),
        DType::U8 | DType::U16 | DType::U32 | DType::U64 => (0u64..10).prop_map(Value::U64).boxed(),
        DType::F32 | DType::F64 => prop_oneof![
            8 => (-20i32..40).prop_map(|i| Value::F64(f64::from(i) / 4.0)),
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

/// Values that come in runs along the array, so that chunks differ in their bounds.
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

/// A variable of one of a few names: often numeric, of any rank, of a type that differs between datasets.
fn variable(number: usize, sizes: BTreeMap<String, usize>) -> BoxedStrategy<Option<ModelArray>> {
    let dtype = match number {
        0 => Just(DType::F32).boxed(),
        1 => prop::sample::select(NUMBERS.to_vec()).boxed(),
        2 => prop::sample::select(vec![DType::String, DType::Bool, DType::Timestamp, DType::Binary]).boxed(),
        // Of different types only now and then: then the column is text.
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
                // One variable that is usually on the same grid, in one order or the other.
                dims.retain(|dim| ["x", "y"].contains(dim));
            }
            array(format!("v{number}"), dtype, dims, &sizes).prop_map(Some).boxed()
        })
        .boxed()
}

fn coordinate(dim: &'static str, sizes: &BTreeMap<String, usize>) -> BoxedStrategy<Option<ModelArray>> {
    let dtype = if dim == "y" { DType::Timestamp } else { DType::F64 };
    prop_oneof![
        1 => Just(None),
        2 => array(dim.to_owned(), dtype, vec![dim], sizes).prop_map(Some),
    ]
    .boxed()
}

fn dataset() -> impl Strategy<Value = ModelDataset> {
    prop::collection::vec(prop_oneof![9 => 1usize..6, 1 => Just(0)], DIMS.len()).prop_flat_map(|sizes| {
        let dims: BTreeMap<String, usize> = DIMS.iter().map(ToString::to_string).zip(sizes).collect();
        let variables: Vec<_> = (0..5).map(|number| variable(number, dims.clone())).collect();
        let coordinates: Vec<_> = DIMS.iter().take(3).map(|dim| coordinate(dim, &dims)).collect();
        let attributes = (prop::option::of("[pq]"), prop::option::of(-3i64..3)).prop_map(|(kind, level)| {
            let kind = kind.map(|kind| ("kind".to_owned(), AttributeValue::from(kind)));
            let level = level.map(|level| ("level".to_owned(), AttributeValue::from(level)));
            kind.into_iter().chain(level).collect::<Vec<_>>()
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

fn model() -> impl Strategy<Value = Model> {
    prop::collection::vec(dataset(), 0..6).prop_map(|datasets| Model {
        datasets: datasets.into_iter().enumerate().map(|(i, dataset)| (format!("d{i}"), dataset)).collect(),
    })
}

/// A predicate of one of the kinds that are pushed down in different ways, for a column of a type.
fn predicate(column: &str, data_type: &arrow::datatypes::DataType, pick: u32) -> String {
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

async fn check(model: &Model, picks: &[u32], generations: usize, codec: Codec, nan_as_null: bool) {
    let objects = memory();
    let atlas =
        Atlas::create(objects.clone(), Path::from("s"), StoreConfig { codec, ..StoreConfig::default() })
            .await
            .unwrap();
    model.write(&atlas, generations).await.unwrap();
    let atlas =
        if model.datasets.is_empty() { atlas } else { Atlas::open(objects, Path::from("s")).await.unwrap() };

    read_back(model, &atlas, picks).await;
    let options = TableOptions { nan_as_null, ..TableOptions::default() };
    let ctx = session(&atlas, options).unwrap();
    let grids = grids(atlas.snapshot().catalog());
    let mut tables =
        vec![("atlas".to_owned(), grids.first().map_or_else(Vec::new, |g| g.dims.clone()), None)];
    for grid in grids.iter().skip(1) {
        tables.push((format!("atlas.\"{}\"", grid.table_name()), grid.dims.clone(), None));
    }
    for name in atlas.list_arrays() {
        let mut dims: Vec<String> = Vec::new();
        for array in atlas.snapshot().catalog().arrays.iter().filter(|array| array.name == name) {
            dims.extend(array.dims.iter().filter(|dim| !dims.contains(dim)).cloned().collect::<Vec<_>>());
        }
        tables.push((format!("atlas.\"{name}\""), dims, Some(name)));
    }
    for (table, dims, only) in tables {
        check_table(model, &ctx, &table, &dims, only.as_deref(), picks, nan_as_null).await;
    }
}

/// Regions of arrays, read by the store itself.
async fn read_back(model: &Model, atlas: &Atlas, picks: &[u32]) {
    for (name, dataset) in &model.datasets {
        let view = atlas.open_dataset(name).await.unwrap();
        for array in &dataset.arrays {
            let shape = dataset.shape(&array.schema);
            let start: Vec<_> =
                shape.iter().zip(picks).map(|(&size, &pick)| pick as usize % (size + 1)).collect();
            let size: Vec<_> = shape
                .iter()
                .zip(&start)
                .zip(picks.iter().skip(1))
                .map(|((&size, &start), &pick)| pick as usize % (size - start + 1))
                .collect();
            let found = view.read_arrow(&array.schema.name, &start, &size).await.unwrap();
            let whole = atlas::ChunkGrid::new(&shape, &shape.iter().map(|&n| n.max(1)).collect::<Vec<_>>());
            let places =
                whole.runs(&Region::new(start, size)).into_iter().flat_map(|r| r.offset..r.offset + r.length);
            let expected = array.schema.dtype.array(places.map(|place| array.values[place].clone()));
            assert_eq!(&found, &expected, "{name} {}", array.schema.name);
        }
    }
}

async fn check_table(
    model: &Model,
    ctx: &SessionContext,
    table: &str,
    dims: &[String],
    only: Option<&str>,
    picks: &[u32],
    nan_as_null: bool,
) {
    let schema = Arc::new(ctx.table(table).await.unwrap().schema().as_arrow().clone());
    let expected = model.table(dims, only, &schema, nan_as_null).unwrap();
    let plain = SessionContext::new();
    plain
        .register_table("model", Arc::new(MemTable::try_new(schema.clone(), vec![vec![expected]]).unwrap()))
        .unwrap();

    let columns: Vec<_> = schema.fields().iter().map(|field| field.name().clone()).collect();
    let pick = |i: usize| picks[i % picks.len()] as usize;
    let quoted = |i: usize| format!("\"{}\"", columns[pick(i) % columns.len()]);
    let mut queries = vec![
        "SELECT * FROM t".to_owned(),
        "SELECT count(*) FROM t".to_owned(),
        format!("SELECT {} FROM t", quoted(0)),
    ];
    for i in 0..4 {
        let terms: Vec<_> = (0..1 + pick(i) % 3)
            .map(|term| {
                let column = &columns[pick(i + term + 1) % columns.len()];
                predicate(
                    column,
                    schema.field_with_name(column).unwrap().data_type(),
                    picks[(i * 3 + term) % picks.len()],
                )
            })
            .collect();
        let filter = terms.join(if pick(i) % 4 == 0 { " OR " } else { " AND " });
        queries.push(format!("SELECT {}, {} AS b FROM t WHERE {filter}", quoted(i), quoted(i + 2)));
        queries.push(format!("SELECT count(*) FROM t WHERE {filter}"));
        queries.push(format!("SELECT count({}), min({0}), max({0}) FROM t WHERE {filter}", quoted(i + 5)));
    }
    for query in queries {
        let on = |name: &str| query.replace(" FROM t", &format!(" FROM {name}"));
        let found = sorted_rows(ctx, &on(table)).await;
        let expected = sorted_rows(&plain, &on("model")).await;
        match (found, expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{} on {dims:?}", on(table)),
            // A query that cannot be (min of a binary) cannot be for either.
            (Err(_), Err(_)) => {}
            (found, expected) => panic!("{}: {found:?}, expected {expected:?}", on(table)),
        }
    }
    let limited = sorted_rows(ctx, &format!("SELECT * FROM {table} LIMIT 5")).await.unwrap();
    let all = sorted_rows(ctx, &format!("SELECT * FROM {table}")).await.unwrap();
    assert_eq!(limited.len(), all.len().min(5));
    assert!(limited.iter().all(|row| all.contains(row)));
}

fn rand_byte() -> u8 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0) as u8
}

#[test]
fn queries_give_the_rows_of_the_plain_table() {
    // The same cases every time; with PROPTEST_CASES so many, and others every time.
    let chosen = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    let rng = match chosen {
        None => TestRng::deterministic_rng(RngAlgorithm::ChaCha),
        Some(_) => {
            TestRng::from_seed(RngAlgorithm::ChaCha, &std::array::from_fn::<u8, 32, _>(|_| rand_byte()))
        }
    };
    let config = ProptestConfig {
        cases: chosen.unwrap_or(32),
        max_shrink_iters: 4000,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let codec = prop::sample::select(vec![Codec::Zstd, Codec::Lz4, Codec::None]);
    let case = (model(), prop::collection::vec(any::<u32>(), 12), 1usize..4, codec, any::<bool>());
    TestRunner::new_with_rng(config, rng)
        .run(&case, |(model, picks, generations, codec, nan_as_null)| {
            let checked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                runtime.block_on(check(&model, &picks, generations, codec, nan_as_null));
            }));
            checked.map_err(|panic| {
                let message = panic.downcast_ref::<String>().cloned();
                TestCaseError::fail(message.unwrap_or_else(|| "a panic".to_owned()))
            })
        })
        .unwrap_or_else(|failure| panic!("{failure}"));
}
