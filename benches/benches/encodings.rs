//! Compares blocks with zstd of level 3 on the same values: their size, and the rate at which they
//! are read. Both decode into newly allocated memory. Reading a block includes its missing cells
//! and checking its checksum.
//!
//! `cargo bench -p atlas-benches --bench encodings` prints the sizes first.

use std::hint::black_box;

use atlas::internals::{decode_block, encode_block};
use atlas::{Codec, Statistics};
use bytes::Bytes;
use criterion::{Criterion, Throughput};

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let samples = runtime.block_on(atlas_benches::samples());
    let mut criterion = Criterion::default().sample_size(30).configure_from_args();
    println!("| values | type | raw bytes | zstd-3 | block | how | smaller than zstd |");
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    for sample in &samples {
        let block = encode_block(&sample.cells, sample.dtype, Codec::Zstd).expect("it is small");
        let zstd = zstd::bulk::compress(&sample.raw, 3).expect("there is memory");
        let (raw, ours, theirs) = (sample.raw.len(), block.len(), zstd.len());
        let how = atlas::internals::describe_block(&block);
        println!(
            "| {} | {} | {raw} | {theirs} | {ours} | {how} | {:.2}x |",
            sample.name,
            sample.dtype,
            theirs as f64 / ours as f64
        );
        let mut group = criterion.benchmark_group(sample.name);
        group.throughput(Throughput::Bytes(raw as u64));
        let (block, cells) = (Bytes::from(block), sample.cells.len());
        group.bench_function("read block", |bencher| {
            bencher.iter(|| decode_block(black_box(&block), sample.dtype, cells));
        });
        group.bench_function("read zstd", |bencher| {
            bencher.iter(|| zstd::bulk::decompress(black_box(&zstd), raw));
        });
        group.bench_function("copy", |bencher| bencher.iter(|| black_box(&sample.raw).clone()));
        group.bench_function("write block", |bencher| {
            bencher.iter(|| encode_block(black_box(&sample.cells), sample.dtype, Codec::Zstd));
        });
        group.bench_function("statistics", |bencher| {
            bencher.iter(|| Statistics::of(black_box(&sample.cells), sample.dtype));
        });
        group.finish();
    }
    criterion.final_summary();
}
