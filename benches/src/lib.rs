//! The data of the benches: real data if they lie beside the project, and synthetic data.

pub mod workloads;

use std::path::PathBuf;

use arrow::array::{ArrayRef, AsArray};
use arrow::compute::concat;
use arrow::datatypes::{Float32Type, Float64Type};
use atlas::{ArrayRead, Atlas, DType, Element, ReadMetrics, Region, StoreConfig, Timestamp, Value};
use object_store::memory::InMemory;

/// Values to encode, with missing cells null; and the bytes of a plain array of them, with fill
/// values.
pub struct Sample {
    /// What they are.
    pub name: &'static str,
    /// Their type.
    pub dtype: DType,
    /// The cells of a block.
    pub cells: ArrayRef,
    /// The bytes of the same cells as NetCDF stores them.
    pub raw: Vec<u8>,
}

/// The number of cells of a sample of four bytes each: as many as in a block.
const CELLS: usize = 256 * 1024;

/// The directory with real data beside the project.
pub fn real_data() -> Option<PathBuf> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    path.is_dir().then_some(path)
}

/// A pseudo-random number for each number; all are different.
pub fn chance(i: usize) -> u64 {
    let mut x = (i as u64).wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// A pseudo-random number from 0 to 1.
pub fn fraction(i: usize) -> f64 {
    (chance(i) >> 11) as f64 / (1u64 << 53) as f64
}

/// A smooth field with noise: a temperature over depth and time.
pub fn field(i: usize) -> f64 {
    let (depth, time) = ((i / 168 % 50) as f64, (i % 168) as f64);
    18.0 - depth * 0.25 + (time / 24.0 * std::f64::consts::TAU).sin() + (fraction(i) - 0.5) * 0.4
}

/// The samples on which every encoding is measured.
pub async fn samples() -> Vec<Sample> {
    let mut samples = Vec::new();
    let decimals =
        |digits: i32| move |i| ((field(i) * 10f64.powi(digits)).round() / 10f64.powi(digits)) as f32;
    samples.push(of("f32 of 3 decimals", (0..CELLS).map(decimals(3))));
    samples.push(of("f32 of 1 decimal", (0..CELLS).map(decimals(1))));
    samples.push(of("smooth f64 field with noise", (0..CELLS / 2).map(field)));
    samples.push(of("f64 noise", (0..CELLS / 2).map(fraction)));
    samples.push(of("f64 of random bits", (0..CELLS / 2).map(|i| f64::from_bits(chance(i)))));
    samples.push(of("hourly timestamps", (0..CELLS / 2).map(|i| Timestamp(i as i64 * 3_600_000_000_000))));
    let days = |i: usize| {
        Timestamp((1_400_000 + chance(i / 24) as i64 % 24 * 24 + i as i64 % 24) * 3_600_000_000_000)
    };
    samples.push(of("days of hourly timestamps", (0..CELLS / 2).map(days)));
    samples.push(of("station names", (0..CELLS / 16).map(|i| format!("station {:04}", chance(i) % 700))));
    if let Some(data) = real_data() {
        let argo = imported(&data.join("argo")).await;
        for name in ["TEMP", "PSAL", "PRES"] {
            samples.push(of_variable(name, &argo).await);
        }
        let era = imported(&data.join("eraint_uvz.nc")).await;
        samples.push(of_variable("u", &era).await);
    }
    samples
}

fn of<T: Element>(name: &'static str, values: impl Iterator<Item = T>) -> Sample {
    let cells = T::to_arrow(values);
    Sample { name, dtype: T::DTYPE, raw: raw(&cells, T::DTYPE, None), cells }
}

async fn imported(path: &std::path::Path) -> Atlas {
    let atlas = Atlas::create(std::sync::Arc::new(InMemory::new()), "".into(), StoreConfig::default());
    let atlas = atlas.await.expect("a store in memory");
    let (paths, options) = ([path.to_path_buf()], atlas_import::ImportOptions::default());
    let report = atlas_import::import(&atlas, &paths, &options, &|_| ()).await;
    report.expect("the files are readable");
    atlas
}

/// As many cells of a variable as a block has, from consecutive datasets.
async fn of_variable(name: &'static str, atlas: &Atlas) -> Sample {
    let snapshot = atlas.snapshot();
    let catalog = snapshot.load().await.expect("its datasets can be read");
    let (mut reads, mut cells, mut found) = (Vec::new(), 0, None);
    for (ordinal, dataset) in catalog.datasets() {
        let Some(array) = catalog.array(dataset, name) else { continue };
        let (dtype, fill) = found.get_or_insert((array.dtype, array.fill.clone()));
        if array.dtype == *dtype && array.fill == *fill && cells < CELLS {
            let region = Region::all(&catalog.shape(dataset, array));
            cells += region.cells();
            reads.push(ArrayRead { dataset: ordinal, region });
        }
    }
    let arrays = snapshot.read(name, &reads, &ReadMetrics::default()).await.expect("they can be read");
    let arrays: Vec<_> = arrays.iter().map(AsRef::as_ref).collect();
    let all = concat(&arrays).expect("they are of one type");
    let cells = all.slice(0, all.len().min(CELLS));
    let (dtype, fill) = found.expect("some dataset has it");
    Sample { name, dtype, raw: raw(&cells, dtype, fill.as_ref()), cells }
}

fn raw(cells: &ArrayRef, dtype: DType, fill: Option<&Value>) -> Vec<u8> {
    let number = fill.and_then(f64::from_value).unwrap_or_default();
    match dtype {
        DType::F32 => {
            let cells = cells.as_primitive::<Float32Type>().iter();
            cells.flat_map(|cell| cell.unwrap_or(number as f32).to_le_bytes()).collect()
        }
        DType::F64 => {
            let cells = cells.as_primitive::<Float64Type>().iter();
            cells.flat_map(|cell| cell.unwrap_or(number).to_le_bytes()).collect()
        }
        DType::Timestamp => {
            Timestamp::from_arrow(cells, &Timestamp(0)).into_iter().flat_map(|t| t.0.to_le_bytes()).collect()
        }
        _ => {
            let cells = String::from_arrow(cells, &String::new());
            let lengths = cells.iter().flat_map(|cell| (cell.len() as u32).to_le_bytes());
            lengths.chain(cells.iter().flat_map(|cell| cell.bytes())).collect()
        }
    }
}
