//! Queries on several processes: three workers and a client.
//!
//! Stores are in the bucket that `ATLAS_TEST_S3` names, such as `s3://bucket/` with `AWS_ENDPOINT` and
//! credentials in the environment (`.ci/run` starts `moto` for it), and else on the local disk.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use atlas::{Atlas, StoreConfig};
use atlas_cluster::{Access, with_workers};
use atlas_datafusion::{TableOptions, Workers, grids, register_store, with_atlas};
use atlas_tests::generate::{check_cases, model};
use atlas_tests::queries::{queries, same};
use atlas_tests::random::Model;
use atlas_tests::{rows, session};
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::prelude::SessionContext;
use proptest::prelude::*;

fn atlas(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_atlas"));
    command.args(arguments).stdin(Stdio::null()).env_remove("ATLAS_WORKER_TOKEN");
    command
}

/// A worker process, which is killed when this is dropped.
struct Worker {
    child: Child,
    url: String,
}

impl Worker {
    fn start(arguments: &[&str], token: Option<&str>) -> Self {
        let mut command = atlas(&[&["worker", "--listen", "127.0.0.1:0"], arguments].concat());
        if let Some(token) = token {
            command.env("ATLAS_WORKER_TOKEN", token);
        }
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.trim().strip_prefix("listening on ").expect(&line).to_owned();
        Self { child, url }
    }

    fn three() -> [Self; 3] {
        std::array::from_fn(|_| Self::start(&[], None))
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn urls(workers: &[Worker]) -> String {
    workers.iter().map(|worker| worker.url.as_str()).collect::<Vec<_>>().join(",")
}

/// `atlas sql` with workers that run every query, however small.
fn client(store: &str, workers: &str, statements: &[&str]) -> Command {
    let mut arguments =
        vec!["sql", store, "--format", "csv", "--workers", workers, "-c", "SET atlas.workers.min_bytes = 0"];
    statements.iter().for_each(|statement| arguments.extend(["-c", statement]));
    atlas(&arguments)
}

/// What a command wrote to stdout and to stderr.
fn printed(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

/// The error with which a client ends.
fn error_of(mut client: impl std::borrow::BorrowMut<Command>) -> String {
    let output = client.borrow_mut().output().unwrap();
    assert!(!output.status.success(), "{output:?}");
    printed(&output).1
}

/// A location for a store. A local directory is deleted when this is dropped.
struct Place {
    _directory: Option<tempfile::TempDir>,
    location: String,
}

impl Place {
    fn new(name: &str) -> Self {
        if let Ok(bucket) = std::env::var("ATLAS_TEST_S3") {
            let location = format!("{}/cluster-{}-{name}", bucket.trim_end_matches('/'), std::process::id());
            return Self { _directory: None, location };
        }
        eprintln!("without ATLAS_TEST_S3 the store is on the local disk");
        let directory = tempfile::tempdir().unwrap();
        let location = directory.path().join("store").display().to_string();
        Self { _directory: Some(directory), location }
    }
}

/// A store with `datasets` datasets of `cells` numbers each.
async fn store(location: &str, datasets: usize, cells: usize) -> Atlas {
    let atlas = Atlas::create_url(location, StoreConfig::default()).await.unwrap();
    for number in 0..datasets {
        let dataset = atlas.create_dataset(&format!("d{number:04}")).await.unwrap();
        dataset.define_array::<f32>("v", &["x"], &[cells], Some(vec![cells / 4]), None).unwrap();
        let value = |x: usize| (x.wrapping_mul(2_654_435_761) >> 7 & 0xffff) as f32 + number as f32;
        let values = ndarray::Array1::from_shape_fn(cells, value);
        dataset.write_array("v", &[0], values.view().into_dyn()).await.unwrap();
    }
    atlas.flush().await.unwrap();
    atlas
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(future)
}

/// The answers in the output of a client. A line `answer-…` precedes each.
fn answers(output: &str) -> Vec<Vec<String>> {
    let mut answers: Vec<Vec<String>> = Vec::new();
    for line in output.lines() {
        match answers.last_mut() {
            _ if line.starts_with("answer-") => answers.push(Vec::new()),
            // The header of that line.
            _ if line == "mark" => {}
            Some(last) => last.push(line.replace(',', "|")),
            None => panic!("{line}"),
        }
    }
    answers
}

/// The answers to a script, without and with workers.
fn both(location: &str, script: &str, workers: &str) -> [Vec<Vec<String>>; 2] {
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().write_all(script.as_bytes()).unwrap();
    let path = file.path().display().to_string();
    let with: [&[&str]; 2] = [&[], &["--workers", workers, "-c", "SET atlas.workers.min_bytes = 0"]];
    with.map(|more| {
        let arguments = [&["sql", location, "--format", "csv"], more, &["-f", &path]].concat();
        let output = atlas(&arguments).output().unwrap();
        assert!(output.status.success(), "{:?}", printed(&output));
        answers(&printed(&output).0)
    })
}

fn script(queries: &[String]) -> String {
    let statement = |(i, query): (usize, &String)| format!("SELECT 'answer-{i}' AS mark;\n{query};\n");
    queries.iter().enumerate().map(statement).collect()
}

/// Compares the answers of one process with those of several.
fn compare(location: &str, queries: &[(bool, String)], workers: &str) {
    let texts: Vec<String> = queries.iter().map(|(_, query)| query.clone()).collect();
    let [alone, together] = both(location, &script(&texts), workers);
    assert_eq!((alone.len(), together.len()), (queries.len(), queries.len()));
    for ((ordered, query), (mut alone, mut together)) in queries.iter().zip(alone.into_iter().zip(together)) {
        if !ordered {
            alone.sort();
            together.sort();
        }
        assert!(same(&together, &alone), "{query}: {together:#?}, alone {alone:#?}");
    }
}

fn check(model: &Model, picks: &[u32], workers: &str, number: usize) {
    if model.datasets.is_empty() {
        // Nothing would be committed, so there would be no files to open.
        return;
    }
    let place = Place::new(&format!("model-{number}-{}", picks[0]));
    let queries = block_on(async {
        let atlas = Atlas::create_url(&place.location, StoreConfig::default()).await.unwrap();
        model.write(&atlas, 2).await.unwrap();
        let ctx = session(&atlas, TableOptions::default()).unwrap();
        let grid = grids(&atlas.snapshot().catalog().unwrap()).into_iter().next();
        let dims = grid.map_or_else(Vec::new, |grid| grid.dims);
        let schema = ctx.table("atlas").await.unwrap().schema().as_arrow().clone();
        let mut possible = Vec::new();
        for (ordered, query) in queries(&schema, &dims, picks, true) {
            let query = query.replace(" FROM t", " FROM atlas AS t");
            // A script ends at a query that fails.
            if rows(&ctx, &query).await.is_ok() {
                possible.push((ordered, query));
            }
        }
        possible
    });
    compare(&place.location, &queries, workers);
}

#[test]
fn every_class_of_queries_has_the_answers_of_one_process() {
    let workers = Worker::three();
    let (urls, number) = (urls(&workers), std::sync::atomic::AtomicUsize::new(0));
    check_cases((model(), prop::collection::vec(any::<u32>(), 12)), 4, |(model, picks)| {
        check(&model, &picks, &urls, number.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
    });
}

/// Operators that need all rows of their input get them, however few partitions a scan has.
#[test]
fn operators_that_need_all_rows_have_them() {
    let workers = Worker::three();
    for (datasets, cells) in [(1, 8), (3, 400), (40, 400)] {
        let place = Place::new(&format!("all-{datasets}"));
        block_on(store(&place.location, datasets, cells));
        let queries = [
            "SELECT count(*) AS n, max(b.m) AS m FROM atlas AS a CROSS JOIN (SELECT max(v + 1) AS m FROM atlas) AS b",
            "SELECT count(*) AS n, sum(a.v - b.v) AS d FROM atlas AS a JOIN atlas AS b ON a.x = b.x AND a.dataset = b.dataset",
            "SELECT count(*) AS n FROM atlas AS a FULL JOIN (SELECT x, dataset FROM atlas WHERE v > 3000) AS b ON a.x = b.x AND a.dataset = b.dataset",
            "SELECT dataset, x, row_number() OVER (ORDER BY v, x, dataset) AS r FROM atlas ORDER BY r LIMIT 9",
            "SELECT dataset, x, rank() OVER (PARTITION BY dataset ORDER BY v, x) AS r FROM atlas ORDER BY r, dataset LIMIT 9",
            "SELECT sum(s) AS s FROM (SELECT sum(v) OVER (PARTITION BY x) AS s FROM atlas)",
            // A predicate makes a key of the partitions constant.
            "SELECT sum(s) AS s FROM (SELECT sum(v) OVER (PARTITION BY x) AS s FROM atlas WHERE x = 3)",
            "SELECT max(s) AS s FROM (SELECT lag(v) OVER (PARTITION BY x ORDER BY dataset) AS s FROM atlas WHERE x = 0)",
            "SELECT sum(s) AS s FROM (SELECT sum(v) OVER (PARTITION BY dataset, x ORDER BY v) AS s FROM atlas WHERE x = 3)",
            "SELECT sum(s) AS s FROM (SELECT ntile(3) OVER (PARTITION BY v, x ORDER BY dataset) AS s FROM atlas WHERE v = 15651)",
            "SELECT sum(s) AS s FROM (SELECT rank() OVER (PARTITION BY a.x, b.dataset ORDER BY a.v) AS s FROM atlas AS a JOIN atlas AS b ON a.x = b.x WHERE a.x = 5)",
            "SELECT sum(s) AS s FROM (SELECT rank() OVER (PARTITION BY x ORDER BY v) AS s FROM (SELECT DISTINCT x, v FROM atlas WHERE x = 5 UNION ALL SELECT 5, v FROM atlas))",
            "SELECT sum(s) AS s FROM (SELECT sum(v) FILTER (WHERE v > 3000) OVER (PARTITION BY dataset) AS s FROM atlas)",
            "SELECT dataset, x, lag(CASE WHEN x % 3 = 0 THEN v END) IGNORE NULLS OVER (ORDER BY x, dataset) AS r FROM atlas ORDER BY x, dataset, r LIMIT 30",
            "SELECT sum(a - b) AS s FROM (SELECT nth_value(v, 2) OVER (PARTITION BY dataset ORDER BY x) AS a, nth_value(v, 2) OVER (PARTITION BY dataset ORDER BY x DESC) AS b FROM atlas)",
            "SELECT count(*) AS n FROM (SELECT v FROM atlas LIMIT 5000000000)",
            "SELECT count(*) AS n, sum(v) AS s FROM (SELECT v FROM atlas UNION ALL SELECT v * 2 FROM atlas WHERE x < 5)",
            "SELECT count(*) AS n FROM (SELECT v FROM atlas INTERSECT SELECT v + 1 FROM atlas)",
            "SELECT count(*) AS n FROM (SELECT v FROM atlas WHERE v > 2 LIMIT 7)",
            "SELECT count(*) AS n FROM atlas WHERE v > (SELECT avg(v + 0) FROM atlas)",
            "SELECT count(*) AS n FROM atlas AS a WHERE EXISTS (SELECT 1 FROM atlas AS b WHERE b.x = a.x AND b.v > 9000)",
            "SELECT count(*) AS n FROM atlas WHERE x NOT IN (SELECT x FROM atlas WHERE v > 60000)",
            "SELECT count(DISTINCT v) AS n, median(v) AS m, stddev(v) AS s, corr(x, v) AS c FROM atlas",
            "SELECT x % 3 AS k, count(DISTINCT v) AS n, max(v) FILTER (WHERE x > 2) AS m FROM atlas GROUP BY k",
            "SELECT k, sum(n) AS n FROM (SELECT x % 5 AS k, count(*) AS n FROM atlas GROUP BY x % 5) GROUP BY GROUPING SETS ((k), ())",
            "SELECT count(*) AS n FROM atlas JOIN atlas._datasets AS d ON d.dataset = atlas.dataset WHERE d.cells > 0",
            "SELECT count(*) AS n, sum(v) AS s FROM sample_at(atlas, (SELECT x + 0.25 AS x FROM atlas WHERE v > 9000 AND x < 5), 'nearest')",
            "SELECT count(*) AS n FROM sample_at(atlas, (SELECT x AS x FROM atlas GROUP BY x), 'nearest')",
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 4) SELECT sum(v) AS s FROM n JOIN atlas ON x = i",
            "SELECT date_part('hour', to_timestamp(x * 3600)) AS h, count(*) AS n FROM atlas GROUP BY h",
        ];
        let queries = queries.map(|query| (query.contains("ORDER BY"), query.to_owned()));
        compare(&place.location, &queries, &urls(&workers));
    }
}

/// The sum of the numbers of bytes that `EXPLAIN ANALYZE` prints after each `name=`.
fn counted_bytes(plan: &str, name: &str) -> f64 {
    let name = format!("{name}=");
    let counts = plan.split(&name).skip(1).map(|rest| {
        let end = rest.find([',', ']', '\n', '}']).unwrap_or(rest.len());
        let (number, unit) = rest[..end].trim().split_once(' ').unwrap_or((rest[..end].trim(), "B"));
        let factor = match unit {
            "B" => 1.0,
            "KB" | "KiB" | "K" => 1024.0,
            "MB" | "MiB" | "M" => 1024.0 * 1024.0,
            _ => panic!("{unit} in {plan}"),
        };
        number.parse::<f64>().unwrap_or_else(|_| panic!("{number} in {plan}")) * factor
    });
    counts.sum()
}

/// A grouped mean sends values or states of each group and partition, but no rows. `EXPLAIN ANALYZE`
/// shows the stages, their counters, and the workers.
#[test]
fn a_grouped_mean_sends_no_rows() {
    let workers = Worker::three();
    let place = Place::new("mean");
    let (datasets, cells) = (60, 20_000);
    block_on(store(&place.location, datasets, cells));
    let bytes_of_rows = (datasets * cells * size_of::<f32>()) as f64;
    // Grouped by dataset, the scan emits values; grouped by a coordinate, it emits states.
    let by_dataset = "EXPLAIN ANALYZE SELECT dataset, avg(v) FROM atlas WHERE v > 7 GROUP BY dataset";
    let by_digit = "EXPLAIN ANALYZE SELECT x % 10 AS digit, avg(v) FROM atlas GROUP BY digit";
    // A client with a single core divides its queries too.
    for (query, cores) in [(by_dataset, 4), (by_digit, 4), (by_dataset, 1), (by_digit, 1)] {
        let partitions = format!("SET datafusion.execution.target_partitions = {cores}");
        let output = client(&place.location, &urls(&workers), &[&partitions, query]).output().unwrap();
        let (plan, errors) = printed(&output);
        assert!(output.status.success(), "{errors}");
        assert!(plan.contains("Stage 1"), "{plan}");
        for worker in &workers {
            assert!(plan.contains(&worker.url), "{plan}");
        }
        let sent = counted_bytes(&plan, "bytes_transferred");
        assert!(sent > 0.0 && sent < bytes_of_rows / 50.0, "{sent} of {bytes_of_rows} bytes: {plan}");
    }
    // The summary counts the chunks that the workers have read.
    let all = "SET atlas.workers.min_bytes = 0";
    let mut table = atlas(&["sql", &place.location, "--workers", &urls(&workers), "-c", all, "-c", by_digit]);
    let summary = printed(&table.output().unwrap()).0;
    assert!(summary.contains("240 of 240 chunks read"), "{summary}");
    // For comparison, a query that sends rows.
    let explained = "EXPLAIN ANALYZE SELECT v FROM atlas WHERE v % 2 = 1";
    let output = client(&place.location, &urls(&workers), &[explained]).output().unwrap();
    let sent = counted_bytes(&printed(&output).0, "bytes_transferred");
    assert!(sent > bytes_of_rows / 20.0, "{sent} of {bytes_of_rows} bytes");
}

/// A worker whose operators use all threads still counts as alive.
#[test]
fn a_busy_worker_is_not_lost() {
    let workers = Worker::three();
    let place = Place::new("busy");
    block_on(store(&place.location, 60, 400));
    let heavy = "SELECT count(*) AS n, sum(a.v + b.v + c.v) > 0 AS s FROM atlas AS a JOIN atlas AS b ON a.x = b.x JOIN atlas AS c ON b.x = c.x";
    let output =
        client(&place.location, &urls(&workers), &["SET atlas.workers.timeout = 3", heavy]).output().unwrap();
    assert_eq!(printed(&output), ("n,s\n86400000,true\n".to_owned(), String::new()));
}

/// Workers that are set later run the same queries as those that are given at the start.
#[test]
fn workers_can_be_set_in_a_session() {
    let workers = Worker::three();
    let place = Place::new("set");
    block_on(store(&place.location, 6, 400));
    let set = format!("SET atlas.workers = '{}'", urls(&workers));
    for query in [
        "SELECT count(*) AS n FROM atlas WHERE v > (SELECT avg(v + 0) FROM atlas)",
        "SELECT sum(v) OVER (PARTITION BY dataset ORDER BY x) AS s FROM atlas",
        "SELECT lag(v) OVER (PARTITION BY x ORDER BY dataset) AS s FROM atlas WHERE x = 0",
        "SELECT v - (SELECT min(v) FROM atlas WHERE x > 7) AS d FROM atlas ORDER BY d LIMIT 3",
    ] {
        let explained = format!("EXPLAIN ANALYZE {query}");
        let statements = [&set, "SET atlas.workers.min_bytes = 0", &explained];
        let commands = statements.iter().flat_map(|statement| ["-c", statement]);
        let arguments: Vec<&str> = ["sql", &place.location].into_iter().chain(commands).collect();
        let (plan, errors) = printed(&atlas(&arguments).output().unwrap());
        assert!(plan.contains("Stage 1") && plan.contains(&workers[2].url), "{query}: {plan}{errors}");
    }
}

/// A scalar subquery with two rows is an error, with and without workers.
#[test]
fn a_subquery_of_two_rows_is_an_error() {
    let workers = Worker::three();
    let place = Place::new("rows");
    block_on(store(&place.location, 2, 8));
    for query in [
        "SELECT x, (SELECT v FROM atlas WHERE x = 1) AS s FROM atlas",
        "SELECT x FROM atlas WHERE v > (SELECT v FROM atlas WHERE x = 1)",
    ] {
        let error = error_of(client(&place.location, &urls(&workers), &[query]));
        assert!(error.contains("more than one row"), "{query}: {error}");
    }
}

/// If a worker is lost after rows were shown, the query ends with an error that names it.
#[test]
fn a_worker_that_is_lost_late_is_an_error() {
    let workers = Worker::three();
    let place = Place::new("late");
    block_on(store(&place.location, 12, 20_000));
    let endless = "SELECT a.v + b.v AS s FROM atlas AS a CROSS JOIN atlas AS b";
    let mut client = client(&place.location, &urls(&workers), &["SET atlas.workers.timeout = 4", endless]);
    let mut child = client.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    // The header comes at once, and rows when the client no longer holds them back.
    assert_eq!(lines.next().unwrap().unwrap(), "s");
    assert!(lines.next().unwrap().unwrap().parse::<f32>().is_ok());
    let [lost, _second, _third] = workers;
    let id = lost.child.id().to_string();
    assert!(Command::new("kill").args(["-KILL", &id]).status().unwrap().success());
    let started = Instant::now();
    lines.for_each(drop);
    let output = child.wait_with_output().unwrap();
    let errors = printed(&output).1;
    assert!(!output.status.success() && errors.contains(&lost.url), "{errors}");
    assert!(started.elapsed() < Duration::from_secs(60), "{:?}", started.elapsed());
}

/// If a worker is killed or stopped while 50 queries run, each query has its answer, or an error names
/// the worker.
#[test]
fn a_lost_worker_costs_no_answer() {
    for signal in ["-KILL", "-STOP"] {
        lose_a_worker(signal);
    }
}

fn lose_a_worker(signal: &str) {
    let workers = Worker::three();
    let place = Place::new(&format!("lost{signal}"));
    block_on(store(&place.location, 40, 4000));
    let query = "SELECT x % 7 AS k, count(*) AS n FROM atlas WHERE v >= 0 GROUP BY k ORDER BY k";
    let alone = atlas(&["sql", &place.location, "--format", "csv", "-c", query]).output().unwrap();
    let expected: Vec<String> = printed(&alone).0.lines().map(|line| line.replace(',', "|")).collect();
    assert_eq!(expected.len(), 8, "{alone:?}");
    let marked: Vec<String> =
        (0..50).flat_map(|i| [format!("SELECT 'answer-{i}' AS mark"), query.to_owned()]).collect();
    let timeout = std::iter::once("SET atlas.workers.timeout = 4");
    let marked: Vec<&str> = timeout.chain(marked.iter().map(String::as_str)).collect();
    let started = Instant::now();
    let mut child = client(&place.location, &urls(&workers), &marked)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let [lost, _second, _third] = workers;
    let mut text = String::new();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    while let Some(Ok(line)) = lines.next() {
        if line == "answer-20" {
            let id = lost.child.id().to_string();
            assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
        }
        text.push_str(&line);
        text.push('\n');
    }
    let output = child.wait_with_output().unwrap();
    let errors = printed(&output).1;
    let found = answers(&text);
    let whole = if output.status.success() { 50 } else { found.len().saturating_sub(1) };
    for answer in &found[..whole] {
        assert_eq!(answer, &expected);
    }
    assert!(whole >= 20, "{errors}");
    assert!(errors.contains(&lost.url), "{errors}");
    assert!(started.elapsed() < Duration::from_secs(120), "{:?}", started.elapsed());
}

#[test]
fn errors_say_what_is_wrong_with_a_worker() {
    let place = Place::new("errors");
    block_on(store(&place.location, 4, 400));
    let (store, query) = (place.location.as_str(), "SELECT x, v FROM atlas WHERE v > 1");

    // A single worker runs queries too. Nothing listens on port 1.
    let unreachable = "http://127.0.0.1:1";
    let error = error_of(client(store, unreachable, &[query]));
    assert!(error.contains("no worker is left: the worker http://127.0.0.1:1 does not answer"), "{error}");
    let worker = Worker::start(&[], None);
    let both = format!("{unreachable},{}", worker.url);
    let output = client(store, &both, &[query]).output().unwrap();
    assert!(output.status.success() && printed(&output).1.contains(unreachable), "{output:?}");

    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let started = Instant::now();
    let error = error_of(client(store, &url, &["SET atlas.workers.timeout = 1", query]));
    assert!(error.contains(&url), "{error}");
    assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());

    let guarded = Worker::start(&[], Some("right"));
    for token in [None, Some("wrong")] {
        let mut client = client(store, &guarded.url, &[query]);
        token.map(|token| client.env("ATLAS_WORKER_TOKEN", token));
        let error = error_of(client);
        assert!(error.contains("has a different token") && error.contains(&guarded.url), "{error}");
    }
    let mut right = client(store, &guarded.url, &[query]);
    assert!(right.env("ATLAS_WORKER_TOKEN", "right").status().unwrap().success());

    let elsewhere = Worker::start(&["--allow", "s3://elsewhere/only", "--allow", "/nowhere"], None);
    let error = error_of(client(store, &elsewhere.url, &[query]));
    assert!(error.contains("may not open") && error.contains("s3://elsewhere/only"), "{error}");
    let allowing = Worker::start(&["--allow", store], None);
    assert!(client(store, &allowing.url, &[query]).status().unwrap().success());

    let small = Worker::start(&["--memory-limit", "100k"], None);
    let many = "SELECT count(*) AS n FROM atlas AS a JOIN atlas AS b ON a.x = b.x AND a.dataset = b.dataset";
    let error = error_of(client(store, &small.url, &[many]));
    assert!(error.contains(&format!("the worker {} failed: it needs more memory", small.url)), "{error}");

    let error = error_of(atlas(&["worker", "--listen", "0.0.0.0:0"]));
    assert!(error.contains("worker without a token"), "{error}");
    let error = error_of(client(store, "localhost:8470", &[query]));
    assert!(error.contains("such as http://localhost:8470"), "{error}");
}

/// The certificate of an authority, and a certificate for 127.0.0.1 with its key.
fn certificates(directory: &Path) -> [String; 3] {
    let mut authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority_key = rcgen::KeyPair::generate().unwrap();
    let certificate = authority.self_signed(&authority_key).unwrap();
    let issuer = rcgen::Issuer::new(authority, authority_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let own = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let own = own.signed_by(&key, &issuer).unwrap();
    [("ca.pem", certificate.pem()), ("worker.pem", own.pem()), ("key.pem", key.serialize_pem())].map(
        |(name, text)| {
            std::fs::write(directory.join(name), text).unwrap();
            directory.join(name).display().to_string()
        },
    )
}

#[test]
fn clients_and_workers_use_tls() {
    let directory = tempfile::tempdir().unwrap();
    let [authority, certificate, key] = certificates(directory.path());
    let arguments = ["--tls-cert", &certificate, "--tls-key", &key, "--tls-ca", &authority];
    let workers: [Worker; 2] = std::array::from_fn(|_| Worker::start(&arguments, Some("secret")));
    assert!(workers.iter().all(|worker| worker.url.starts_with("https://")));
    let place = Place::new("tls");
    block_on(store(&place.location, 8, 400));
    let query = "SELECT x % 3 AS k, count(*) AS n FROM atlas WHERE v >= 0 GROUP BY k ORDER BY k";
    let mut trusting = client(&place.location, &urls(&workers), &[query]);
    let trusting = trusting.args(["--tls-ca", &authority]).env("ATLAS_WORKER_TOKEN", "secret");
    let output = trusting.output().unwrap();
    assert_eq!(printed(&output).0, "k,n\n0,1072\n1,1064\n2,1064\n", "{output:?}");
    // Without TLS, the reason is not obvious.
    let plain = urls(&workers).replace("https", "http");
    let mut other = client(&place.location, &plain, &[query]);
    let error = error_of(other.env("ATLAS_WORKER_TOKEN", "secret"));
    assert!(error.contains("is `http` or `https` right?"), "{error}");
    let error = error_of(atlas(&["sql", &place.location, "--tls-ca", &key, "-c", query]));
    assert!(error.contains("no certificate"), "{error}");
    let mismatch = ["worker", "--listen", "127.0.0.1:0", "--tls-cert", &authority, "--tls-key", &key];
    let output = atlas(&mismatch).output().unwrap();
    assert!(!output.status.success() && output.stdout.is_empty(), "{output:?}");
    // A client that does not trust the authority.
    let mut other = client(&place.location, &urls(&workers), &[query]);
    other.env("ATLAS_WORKER_TOKEN", "secret");
    let error = error_of(other);
    assert!(error.contains("does not answer: invalid peer certificate"), "{error}");
    assert!(!error.contains("right?"), "{error}");
}

/// The processor time of a process, in clock ticks.
#[cfg(target_os = "linux")]
fn ticks(process: &Child) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.id())).unwrap();
    // The name of the program, in parentheses, can contain spaces.
    let fields: Vec<_> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    fields[11..13].iter().map(|ticks| ticks.parse::<u64>().unwrap()).sum()
}

/// Ctrl-C ends the query on the workers, also if its operators pass on no rows.
#[cfg(target_os = "linux")]
#[test]
fn an_interrupted_query_ends_on_the_workers() {
    let workers = Worker::three();
    let place = Place::new("interrupted");
    block_on(store(&place.location, 12, 20_000));
    let busy = || workers.iter().map(|worker| ticks(&worker.child)).sum::<u64>();
    for endless in [
        "SELECT a.v + b.v AS s FROM atlas AS a CROSS JOIN atlas AS b",
        "SELECT count(*) AS n, sum(a.v + b.v) AS s FROM atlas AS a CROSS JOIN atlas AS b",
        "SELECT sum(a.v + b.v) AS s FROM atlas AS a JOIN atlas AS b ON a.x % 2 = b.x % 2",
        "SELECT count(*) AS n FROM atlas AS a JOIN atlas AS b ON a.v < b.v - 1",
    ] {
        let endless = client(&place.location, &urls(&workers), &[endless]);
        // Jobs that a script runs in the background ignore interrupts: not this one.
        let mut child = Command::new("env")
            .args(["--default-signal=INT", env!("CARGO_BIN_EXE_atlas")])
            .args(endless.get_args())
            .envs(endless.get_envs().filter_map(|(name, value)| Some((name, value?))))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let (before, started) = (busy(), Instant::now());
        while busy() < before + 100 {
            assert!(started.elapsed() < Duration::from_secs(120), "the workers do not work");
            assert!(child.try_wait().unwrap().is_none(), "the query has ended");
            std::thread::sleep(Duration::from_millis(50));
        }
        let interrupt = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
        assert!(interrupt.success());
        child.wait().unwrap();
        let started = Instant::now();
        loop {
            let before = busy();
            std::thread::sleep(Duration::from_millis(500));
            if busy() <= before + 2 {
                break;
            }
            assert!(started.elapsed() < Duration::from_secs(30), "the workers still work: {endless:?}");
        }
    }
    let query = "SELECT count(*) AS n FROM atlas WHERE v >= 0";
    let output = client(&place.location, &urls(&workers), &[query]).output().unwrap();
    assert_eq!(printed(&output).0, "n\n240000\n", "{output:?}");
}

/// The client itself runs queries that statistics answer or that read little, without delay.
#[test]
fn the_client_runs_small_queries() {
    let place = Place::new("small");
    block_on(async {
        let atlas = store(&place.location, 200, 400).await;
        let context = |urls: &str| {
            let builder = with_atlas(SessionStateBuilder::new().with_default_features());
            let builder = with_workers(builder, Workers::parse(urls).unwrap(), Access::default());
            let ctx = SessionContext::new_with_state(builder.build());
            register_store(&ctx, "atlas", &atlas).unwrap();
            ctx
        };
        // Nothing listens there: a query that contacted a worker would fail.
        let nobody = "http://127.0.0.1:1,http://127.0.0.1:2,http://127.0.0.1:3";
        let (alone, together) = (context(""), context(nobody));
        for query in [
            "SELECT dataset, avg(v) FROM atlas GROUP BY dataset",
            "SELECT count(*), avg(v), max(v) FROM atlas",
            "SELECT x, v FROM atlas WHERE v > 3 LIMIT 5",
            "SELECT * FROM atlas._datasets",
        ] {
            let mut times = [Vec::new(), Vec::new()];
            for _ in 0..15 {
                for (ctx, times) in [&alone, &together].into_iter().zip(&mut times) {
                    let started = Instant::now();
                    rows(ctx, query).await.unwrap();
                    times.push(started.elapsed());
                }
            }
            let [alone, together] = times.map(|times| times.into_iter().min().unwrap());
            assert!(together <= alone + Duration::from_millis(10), "{query}: {together:?}, alone {alone:?}");
        }
        let forced = together.sql("SET atlas.workers.min_bytes = 0").await.unwrap();
        forced.collect().await.unwrap();
        let error = rows(&together, "SELECT x, v FROM atlas WHERE v > 3").await.unwrap_err().to_string();
        assert!(error.contains("no worker is left"), "{error}");
    });
}
