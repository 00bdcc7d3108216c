//! Measures the parts of the engine separately: opening a store, pruning, decoding, scanning,
//! aggregating.
//!
//! It uses the first two workloads of `compare`, at a small size, in a temporary directory.

use std::hint::black_box;

use atlas::{ArrayRead, Atlas, CacheBudget, ReadMetrics, Region};
use atlas_benches::workloads::{Workload, workloads};
use atlas_datafusion::{register_store, session_state};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use datafusion::prelude::SessionContext;
use tokio::runtime::Runtime;

fn made(name: &str, directory: &std::path::Path, runtime: &Runtime) -> Workload {
    let workload = workloads().into_iter().find(|workload| workload.name == name).expect("there is one");
    runtime.block_on(workload.make(directory)).expect("there is room");
    workload
}

fn engine(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let directory = tempfile::tempdir().expect("a directory");
    for name in ["profile", "grid"] {
        let workload = made(name, directory.path(), &runtime);
        let store = workload.store(directory.path());
        let location = store.to_str().expect("text");
        let open = || runtime.block_on(Atlas::open_url(location)).expect("it opens");
        criterion.bench_with_input(BenchmarkId::new("open", name), &(), |bencher, ()| bencher.iter(open));

        let atlas = open().with_cache(CacheBudget { blocks: 0, ..CacheBudget::default() });
        let snapshot = atlas.snapshot();
        let catalog = runtime.block_on(snapshot.load()).expect("its datasets can be read");
        let (ordinal, dataset) = catalog.datasets().next().expect("a dataset");
        let array = catalog.array(dataset, workload.variable).expect("the variable");
        let region = Region::all(&catalog.shape(dataset, array));
        let cells = region.cells() as u64;
        let reads = [ArrayRead { dataset: ordinal, region }];
        let mut group = criterion.benchmark_group("decode");
        group.throughput(Throughput::Elements(cells));
        group.bench_with_input(BenchmarkId::from_parameter(name), &(), |bencher, ()| {
            bencher.iter(|| {
                let metrics = ReadMetrics::default();
                let read = snapshot.read(workload.variable, &reads, &metrics);
                black_box(runtime.block_on(read).expect("it can be read"))
            });
        });
        group.finish();

        let ctx = SessionContext::new_with_state(session_state());
        register_store(&ctx, "t", &atlas).expect("it registers");
        for (what, sql) in [
            ("prune", "SELECT count(*) FROM t WHERE temperature > 1000"),
            ("scan", "SELECT temperature FROM t WHERE temperature > 20"),
            ("aggregate from statistics", "SELECT dataset, avg(temperature) FROM t GROUP BY dataset"),
            ("aggregate on the grid", "SELECT date_part('hour', time), avg(temperature) FROM t GROUP BY 1"),
        ] {
            let ask = || {
                let asked = async { ctx.sql(sql).await?.collect().await };
                black_box(runtime.block_on(asked).expect("it has an answer"))
            };
            criterion.bench_with_input(BenchmarkId::new(what, name), &(), |bencher, ()| bencher.iter(ask));
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10);
    targets = engine
}
criterion_main!(benches);
