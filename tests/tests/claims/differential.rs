//! Every query over a store returns the rows that it returns over the same table in memory.

use std::sync::Arc;

use atlas::{Atlas, Codec, Region, StoreConfig};
use atlas_datafusion::{TableOptions, grid_table_names, grids};
use atlas_tests::generate::{check_cases, model, predicate};
use atlas_tests::random::Model;
use atlas_tests::{memory, session, sorted_rows};
use datafusion::datasource::MemTable;
use datafusion::prelude::SessionContext;
use object_store::path::Path;
use proptest::prelude::*;

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
    let grids = grids(&atlas.snapshot().catalog().unwrap());
    let mut tables =
        vec![("atlas".to_owned(), grids.first().map_or_else(Vec::new, |g| g.dims.clone()), None)];
    let further = grids.get(1..).unwrap_or_default();
    for (grid, name) in further.iter().zip(grid_table_names(further)) {
        tables.push((format!("atlas.\"{name}\""), grid.dims.clone(), None));
    }
    for name in atlas.list_arrays().unwrap() {
        let mut dims: Vec<String> = Vec::new();
        for array in atlas.snapshot().root().array_schemas().iter().filter(|array| array.name == name) {
            dims.extend(array.dims.iter().filter(|dim| !dims.contains(dim)).cloned().collect::<Vec<_>>());
        }
        tables.push((format!("atlas.\"{name}\""), dims, Some(name)));
    }
    for (table, dims, only) in tables {
        check_table(model, &ctx, &table, &dims, only.as_deref(), picks, nan_as_null).await;
    }
}

/// Reads regions of arrays through the store itself.
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
            // An invalid query (min of a binary) must fail on both.
            (Err(_), Err(_)) => {}
            (found, expected) => panic!("{}: {found:?}, expected {expected:?}", on(table)),
        }
    }
    let limited = sorted_rows(ctx, &format!("SELECT * FROM {table} LIMIT 5")).await.unwrap();
    let all = sorted_rows(ctx, &format!("SELECT * FROM {table}")).await.unwrap();
    assert_eq!(limited.len(), all.len().min(5));
    assert!(limited.iter().all(|row| all.contains(row)));
}

#[test]
fn queries_give_the_rows_of_the_plain_table() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let codec = prop::sample::select(vec![Codec::Zstd, Codec::Lz4, Codec::None]);
    let case = (model(), prop::collection::vec(any::<u32>(), 12), 1usize..4, codec, any::<bool>());
    check_cases(case, 32, |(model, picks, generations, codec, nan_as_null)| {
        runtime.block_on(check(&model, &picks, generations, codec, nan_as_null));
    });
}
