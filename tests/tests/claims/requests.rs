//! Queries read no more files, blocks and bytes than they need.

use std::sync::Arc;
use std::time::Duration;

use atlas::{Atlas, CacheBudget, StoreConfig, Timestamp};
use atlas_datafusion::{TableOptions, register_store, summarize};
use atlas_tests::objects::{Request, Watched};
use atlas_tests::{memory, rows, session};
use datafusion::common::Result;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};
use futures::StreamExt;
use ndarray::{Array1, Array2};
use object_store::path::Path;

const DATASETS: usize = 40;
const TIMES: usize = 1000;
const DEPTHS: usize = 20;

/// Datasets with temperature and salinity over (time, depth), divided along time into ten chunks of
/// 80 kB.
async fn store() -> (Arc<Watched>, Atlas) {
    let objects = memory();
    let atlas = Atlas::create(objects.clone(), Path::from("s"), StoreConfig::default()).await.unwrap();
    for number in 0..DATASETS {
        let dataset = atlas.create_dataset(&format!("d{number:02}")).await.unwrap();
        dataset.set_attribute("group", if number < 10 { "north" } else { "south" }).unwrap();
        let times = Array1::from_iter((0..TIMES).map(|i| Timestamp(i as i64 * 3_600_000_000_000)));
        dataset.define_array::<Timestamp>("time", &["time"], &[TIMES], None, None).unwrap();
        dataset.write_array("time", &[0], times.view().into_dyn()).await.unwrap();
        let depths = Array1::from_iter((0..DEPTHS).map(|i| i as f32));
        dataset.define_array::<f32>("depth", &["depth"], &[DEPTHS], None, None).unwrap();
        dataset.write_array("depth", &[0], depths.view().into_dyn()).await.unwrap();
        for (name, offset) in [("temperature", 0.0), ("salinity", 30.0)] {
            // Values that hardly compress, so that byte counts distinguish blocks. Later datasets
            // are larger.
            let values = Array2::from_shape_fn((TIMES, DEPTHS), |(i, j)| {
                let chance = (i * 7919 + j * 104_729 + number * 1_299_709) as u32;
                offset + number as f64 + f64::from(chance.wrapping_mul(2_654_435_761)) / f64::from(u32::MAX)
            });
            let (dims, shape) = (["time", "depth"], [TIMES, DEPTHS]);
            dataset.define_array::<f64>(name, &dims, &shape, Some(vec![100, DEPTHS]), None).unwrap();
            dataset.write_array(name, &[0, 0], values.view().into_dyn()).await.unwrap();
        }
    }
    atlas.close().await.unwrap();
    let watched = Watched::new(objects);
    let atlas = Atlas::open(watched.clone(), Path::from("s")).await.unwrap();
    // The block cache is off, so that blocks are read as if every query were the first.
    (watched, atlas.with_cache(CacheBudget { blocks: 0, ..CacheBudget::default() }))
}

/// The variables whose files were read.
fn variables(requests: &[Request]) -> Vec<String> {
    let mut variables: Vec<_> = requests
        .iter()
        .filter_map(|r| r.path.strip_prefix("s/")?.split('/').next())
        .map(str::to_owned)
        .collect();
    variables.sort();
    variables.dedup();
    variables
}

fn bytes(requests: &[Request]) -> u64 {
    requests.iter().filter_map(|request| request.range.as_ref()).map(|range| range.end - range.start).sum()
}

/// The requests for bytes before the index, that is, for blocks.
async fn block_requests(atlas: &Atlas, requests: &[Request]) -> Vec<Request> {
    let snapshot = atlas.snapshot();
    let root = snapshot.root();
    let is_block = |request: &&Request| {
        let segment = root.variables().find_map(|(variable, segments)| {
            segments.iter().find(|segment| request.path == format!("s/{variable}/{}", segment.file))
        });
        request.range.as_ref().is_some_and(|range| segment.is_some_and(|segment| range.start < segment.index))
    };
    requests.iter().filter(is_block).cloned().collect()
}

async fn ask(ctx: &SessionContext, watched: &Watched, sql: &str) -> (Vec<String>, Vec<Request>) {
    watched.take_requests();
    let answer = rows(ctx, sql).await.unwrap();
    (answer, watched.take_requests())
}

#[tokio::test]
async fn a_question_reads_what_it_needs() {
    let (watched, atlas) = store().await;
    // The catalog, and the check for a newer one.
    let opening = ["s/_commits/00000000000000000002.json", "s/atlas.json"];
    assert_eq!(watched.take_paths(), opening, "opening");
    let ctx = session(&atlas, TableOptions::default()).unwrap();
    assert_eq!(watched.take_requests(), [], "registering");

    let rows_of_all = (DATASETS * TIMES * DEPTHS).to_string();
    let (answer, requests) = ask(&ctx, &watched, "SELECT count(*) FROM atlas").await;
    assert_eq!((answer, requests), (vec![rows_of_all.clone()], vec![]), "counting rows");
    let (_, requests) = ask(&ctx, &watched, "SELECT DISTINCT dataset, \"group\" FROM atlas").await;
    assert_eq!(requests, [], "names and attributes");
    let (answer, requests) =
        ask(&ctx, &watched, "SELECT count(*) FROM atlas WHERE \"group\" = 'north'").await;
    assert_eq!(
        (answer, requests),
        (vec![(10 * TIMES * DEPTHS).to_string()], vec![]),
        "counting some datasets"
    );

    let (_, requests) =
        ask(&ctx, &watched, "SELECT dataset, avg(temperature) FROM atlas GROUP BY dataset").await;
    assert_eq!(variables(&requests), ["temperature"]);
    assert_eq!(block_requests(&atlas, &requests).await, [], "means follow from the index");
    let (_, requests) = ask(&ctx, &watched, "SELECT avg(temperature * 2) FROM atlas").await;
    let all = bytes(&requests);
    let (_, requests) = ask(&ctx, &watched, "SELECT depth, avg(salinity) FROM atlas GROUP BY depth").await;
    assert_eq!(variables(&requests), ["depth", "salinity"]);

    watched.take_requests();
    let table = ctx.table_provider("atlas").await.unwrap();
    let summary = summarize(&ctx, table).await.unwrap();
    assert_eq!(summary.num_rows(), 6);
    let requests = watched.take_requests();
    assert_eq!(
        block_requests(&atlas, &requests).await,
        [],
        "a summary follows from the catalog and the indexes"
    );

    // Partitions that read the same block share it.
    let ctx = session(&atlas.with_cache(CacheBudget::default()), TableOptions::default()).unwrap();
    let (_, requests) =
        ask(&ctx, &watched, "SELECT avg(temperature * 2) FROM atlas WHERE dataset = 'd07'").await;
    assert_eq!(variables(&requests), ["temperature"]);
    // Its ten chunks lie in one or two of the seven blocks.
    assert!(bytes(&requests) < all * 3 / 7, "{} of {all} bytes for one dataset", bytes(&requests));
}

#[tokio::test]
async fn predicates_keep_blocks_from_being_read() {
    let (watched, atlas) = store().await;
    let ctx = session(&atlas, TableOptions::default()).unwrap();
    let (_, requests) = ask(&ctx, &watched, "SELECT avg(temperature * 2) FROM atlas").await;
    let all = bytes(&requests);

    let none = "SELECT dataset, salinity FROM atlas WHERE temperature > 1000";
    let (answer, requests) = ask(&ctx, &watched, none).await;
    assert_eq!(answer.len(), 0);
    assert_eq!(block_requests(&atlas, &requests).await, [], "no chunk can satisfy it");

    // Only the last dataset is that warm, and only its salinity is read.
    let some = "SELECT salinity FROM atlas WHERE temperature >= 39.0";
    let (answer, requests) = ask(&ctx, &watched, some).await;
    assert_eq!(answer.len(), TIMES * DEPTHS);
    assert!(bytes(&block_requests(&atlas, &requests).await) < all / 5);

    let late =
        "SELECT count(temperature) FROM atlas WHERE time >= TIMESTAMP '1970-02-10' AND dataset = 'd20'";
    let (answer, requests) = ask(&ctx, &watched, late).await;
    assert_eq!(answer, [(40 * DEPTHS).to_string()]);
    assert_eq!(variables(&requests), ["temperature", "time"]);
}

/// With one block for each chunk, requests show which chunks are read.
#[tokio::test]
async fn a_coordinate_range_reads_the_chunks_that_it_crosses() {
    let objects = memory();
    let atlas = Atlas::create(objects.clone(), Path::from("s"), StoreConfig::default()).await.unwrap();
    let dataset = atlas.create_dataset("grid").await.unwrap();
    let (rows_, columns) = (4096, 512);
    let lat = Array1::from_iter((0..rows_).map(|i| i as f64));
    dataset.define_array::<f64>("lat", &["lat"], &[rows_], None, None).unwrap();
    dataset.write_array("lat", &[0], lat.view().into_dyn()).await.unwrap();
    let noise = |(i, j): (usize, usize)| f64::from(((i * columns + j) as u32).wrapping_mul(2_654_435_761));
    let values = Array2::from_shape_fn((rows_, columns), noise);
    let chunk = [256, columns];
    dataset.define_array::<f64>("t", &["lat", "lon"], &[rows_, columns], Some(chunk.to_vec()), None).unwrap();
    dataset.write_array("t", &[0, 0], values.view().into_dyn()).await.unwrap();
    atlas.close().await.unwrap();

    let watched = Watched::new(objects);
    let atlas = Atlas::open(watched.clone(), Path::from("s")).await.unwrap();
    let ctx = session(&atlas, TableOptions::default()).unwrap();
    // Rows 500 to 1000 lie in chunks 1 to 3 of 16.
    let sql = "SELECT count(t) FROM atlas WHERE lat BETWEEN 500 AND 1000 AND lon < 5";
    let (answer, requests) = ask(&ctx, &watched, sql).await;
    assert_eq!(answer, [(501 * 5).to_string()]);
    let blocks = block_requests(&atlas, &requests).await;
    // At most once for each of the three partitions.
    assert!(blocks.iter().filter(|request| request.path.contains("/lat/")).count() <= 3, "{blocks:?}");
    let of_t: Vec<_> = blocks.into_iter().filter(|request| request.path.contains("/t/")).collect();
    let segment = atlas.snapshot().root().segments("t")[0].clone();
    let block = segment.index / 16;
    let (read, start) = (bytes(&of_t), of_t.iter().filter_map(|r| r.range.clone()).map(|r| r.start).min());
    assert!(read > 2 * block && read < 4 * block, "{read} bytes of blocks of {block}");
    assert!(start.is_some_and(|start| start > block / 2), "the first chunk is not read");
}

#[tokio::test]
async fn a_limit_stops_reading() {
    let (watched, atlas) = store().await;
    let ctx = session(&atlas, TableOptions::default()).unwrap();
    let (_, requests) = ask(&ctx, &watched, "SELECT temperature FROM atlas").await;
    let all = bytes(&block_requests(&atlas, &requests).await);
    let (answer, requests) = ask(&ctx, &watched, "SELECT temperature FROM atlas LIMIT 3").await;
    assert_eq!(answer.len(), 3);
    let some = bytes(&block_requests(&atlas, &requests).await);
    // One block for each of the three partitions.
    assert!(some < all / 2, "{some} of {all} bytes");
}

#[tokio::test]
async fn explain_analyze_counts_chunks() {
    let (_, atlas) = store().await;
    let ctx = session(&atlas, TableOptions::default()).unwrap();
    for sql in [
        "SELECT avg(temperature) FROM atlas",
        "SELECT salinity FROM atlas WHERE temperature >= 39.0",
        "SELECT salinity FROM atlas WHERE depth > 3 AND time < TIMESTAMP '1970-01-09'",
        "SELECT dataset FROM atlas WHERE temperature > 1000",
    ] {
        let plan = rows(&ctx, &format!("EXPLAIN ANALYZE {sql}")).await.unwrap().join("\n");
        let metric = |name: &str| -> f64 {
            let (_, after) =
                plan.split_once(&format!("{name}=")).unwrap_or_else(|| panic!("{name} in {plan}"));
            let text = after.split([',', ']']).next().unwrap();
            let (number, unit) = text.split_once(' ').unwrap_or((text, ""));
            number.parse::<f64>().unwrap() * if unit == "K" { 1000.0 } else { 1.0 }
        };
        let total = metric("chunks_total");
        let parts = metric("chunks_pruned") + metric("chunks_from_stats") + metric("chunks_decoded");
        assert!(total > 0.0 && (total - parts).abs() <= total * 0.01, "{total} is not {parts}: {plan}");
        assert!(metric("requests") >= 0.0 && metric("bytes_read") >= 0.0);
    }
}

/// The counters of a scan add up exactly. This holds if the scan is stopped, if it prunes chunks
/// while it runs, and if coordinates are selected.
#[tokio::test]
async fn counters_of_chunks_add_up() {
    let atlas = Atlas::create(memory(), Path::from("s"), StoreConfig::default()).await.unwrap();
    for number in 0..16i32 {
        let dataset = atlas.create_dataset(&format!("d{number:02}")).await.unwrap();
        for (name, size, chunk) in [("time", 8, 3), ("depth", 5, 5)] {
            let values = Array1::from_iter((0..size).map(|i| f64::from(number * 10 + i)));
            let size = values.len();
            dataset.define_array::<f64>(name, &[name], &[size], Some(vec![chunk]), None).unwrap();
            dataset.write_array(name, &[0], values.view().into_dyn()).await.unwrap();
        }
        for name in ["t", "s"] {
            let value = |(i, j): (usize, usize)| f64::from((number * 7 + (i * 3 + j) as i32 * 5) % 60);
            let values = Array2::from_shape_fn((8, 5), value);
            dataset.define_array::<f64>(name, &["time", "depth"], &[8, 5], Some(vec![2, 5]), None).unwrap();
            dataset.write_array(name, &[0, 0], values.view().into_dyn()).await.unwrap();
        }
    }
    atlas.flush().await.unwrap();
    let ctx = session(&atlas, TableOptions::default()).unwrap();
    for sql in [
        "SELECT t FROM atlas LIMIT 3",
        "SELECT t FROM atlas WHERE t * s > 2500 LIMIT 3",
        "SELECT s FROM atlas WHERE t > 55 AND depth > 20 LIMIT 2",
        "SELECT t, time FROM atlas WHERE time > 100 LIMIT 60",
        "SELECT * FROM atlas ORDER BY t DESC LIMIT 3",
        "SELECT dataset, t FROM atlas ORDER BY t, s LIMIT 3",
        "SELECT time FROM atlas ORDER BY time DESC LIMIT 2",
        "SELECT t FROM atlas WHERE s > 30 ORDER BY t LIMIT 1",
        "SELECT depth, avg(s) FROM atlas GROUP BY depth",
        "SELECT time, max(s) FROM atlas WHERE t > 20 GROUP BY time",
        "SELECT dataset, time, count(t) FROM atlas GROUP BY dataset, time",
        "SELECT time, depth, count(*) FROM atlas GROUP BY time, depth",
        "SELECT time, dataset, count(*) FROM atlas WHERE dataset > 'd05' GROUP BY time, dataset ORDER BY 1 LIMIT 2",
        "SELECT round(time), dataset, avg(t) FROM atlas WHERE t + s > 50 AND dataset > 'd05'
         GROUP BY round(time), dataset ORDER BY 1 LIMIT 2",
        "SELECT DISTINCT depth FROM atlas",
        "SELECT time, avg(t + s) FROM atlas WHERE depth < 50 GROUP BY time",
        "SELECT round(time), sum(t) FROM atlas GROUP BY round(time)",
        "SELECT min(time), max(depth), avg(t) FROM atlas WHERE s > 3",
        "SELECT count(*) FROM atlas a JOIN (VALUES ('d03'), ('d11')) b(name) ON a.dataset = b.name WHERE t > 5",
    ] {
        let plan = rows(&ctx, &format!("EXPLAIN ANALYZE {sql}")).await.unwrap().join("\n");
        let counted = |name: &str| -> usize {
            let after = plan.split_once(&format!("{name}=")).unwrap_or_else(|| panic!("{name} in {plan}")).1;
            after.split([',', ']']).next().unwrap().parse().unwrap()
        };
        let parts = ["chunks_pruned", "chunks_from_stats", "chunks_decoded"].map(counted);
        assert_eq!(parts.iter().sum::<usize>(), counted("chunks_total"), "{sql}: {parts:?}: {plan}");
    }
}

/// A thousand profiles of 8,400 cells, in 37 blocks, on a storage as distant as a cloud. The test's
/// clock advances only while everything waits.
#[tokio::test(start_paused = true)]
async fn a_grouped_mean_of_a_thousand_distant_datasets_takes_few_round_trips() {
    let objects = memory();
    let atlas = Atlas::create(objects.clone(), Path::from("s"), StoreConfig::default()).await.unwrap();
    for number in 0..1000 {
        let dataset = atlas.create_dataset(&format!("d{number:04}")).await.unwrap();
        let value = |(i, j): (usize, usize)| ((number + i * 31 + j * 17) % 20_000) as f32 / 1000.0;
        let values = Array2::from_shape_fn((50, 168), value);
        let dims = ["depth", "time"];
        dataset.define_array::<f32>("temperature", &dims, &[50, 168], None, None).unwrap();
        dataset.write_array("temperature", &[0, 0], values.view().into_dyn()).await.unwrap();
    }
    atlas.close().await.unwrap();

    let latency = Duration::from_millis(20);
    let distant = Watched::distant(objects, latency);
    let atlas = Atlas::open(distant.clone(), Path::from("s")).await.unwrap();
    let ctx = session(&atlas, TableOptions::default()).unwrap();
    let mean = "SELECT dataset, avg(temperature) FROM atlas GROUP BY dataset";
    for (question, most_trips, most_requests) in [("cold", 10, 60), ("warm", 10, 60)] {
        distant.take_requests();
        let started = tokio::time::Instant::now();
        assert_eq!(rows(&ctx, mean).await.unwrap().len(), 1000);
        let trips = started.elapsed().as_millis() / latency.as_millis();
        let requests = distant.take_requests().len();
        println!("{question}: {requests} requests in {trips} round trips");
        assert!(trips <= most_trips, "{trips} round trips");
        assert!(requests <= most_requests, "{requests} requests");
    }
}

/// The rows of a query over a chunk of 3 million cells, 24 MB, and the query's peak memory under a
/// limit of `limit` bytes.
async fn read_large(atlas: &Atlas, sql: &str, limit: usize) -> Result<(usize, usize)> {
    let runtime = RuntimeEnvBuilder::new().with_memory_limit(limit, 1.0).build_arc()?;
    let config = SessionConfig::new().with_target_partitions(1);
    let ctx = SessionContext::new_with_config_rt(config, runtime);
    register_store(&ctx, "atlas", atlas)?;
    let mut stream = ctx.sql(sql).await?.execute_stream().await?;
    let (mut rows, mut most) = (0, 0);
    while let Some(batch) = stream.next().await {
        rows += batch?.num_rows();
        most = most.max(ctx.runtime_env().memory_pool.reserved());
    }
    Ok((rows, most))
}

#[tokio::test]
async fn a_large_chunk_is_accounted_for_and_its_rows_are_made_in_parts() {
    let atlas = Atlas::create(memory(), Path::from("s"), StoreConfig::default()).await.unwrap();
    let dataset = atlas.create_dataset("d").await.unwrap();
    let (shape, chunk) = ([1500, 2000], Some(vec![1500, 2000]));
    dataset.define_array::<f64>("v", &["y", "x"], &shape, chunk, None).unwrap();
    let values = Array2::from_shape_fn((1500, 2000), |(y, x)| (y * 2000 + x) as f64);
    dataset.write_array("v", &[0, 0], values.view().into_dyn()).await.unwrap();
    atlas.flush().await.unwrap();
    let atlas = atlas.with_cache(CacheBudget { blocks: 0, ..CacheBudget::default() });
    let (cells, chunk) = (3_000_000, 24_000_000);
    // A chunk is decoded as a whole. Its rows with all columns, 120 MB, are never in memory at the
    // same time.
    for (sql, expected) in [
        ("SELECT * FROM atlas", cells),
        ("SELECT * FROM atlas LIMIT 10", 10),
        ("SELECT * FROM atlas WHERE v >= 2999000", 1000),
        ("SELECT y, x, v FROM atlas WHERE x < 1000 LIMIT 2000000", 1_500_000),
    ] {
        let (rows, most) = read_large(&atlas, sql, 80_000_000).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
        assert_eq!(rows, expected, "{sql}");
        // Once a LIMIT is satisfied, the rest is dropped.
        assert!(most >= chunk || rows < cells, "{sql}: {most}");
    }
    for sql in ["SELECT * FROM atlas", "SELECT * FROM atlas LIMIT 10", "SELECT avg(v * 2) FROM atlas"] {
        let error = read_large(&atlas, sql, 16_000_000).await.unwrap_err().to_string();
        assert!(
            error.contains("Resources exhausted") && error.contains(" cells, which take "),
            "{sql}: {error}"
        );
    }
}
