//! Files joined along a dimension.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::Path;
use std::sync::Arc;

use atlas::{Atlas, StoreConfig, Timestamp};
use atlas_import::{Concat, DatasetFrom, Error, Existing, ImportOptions, Report, Source, import};
use netcdf_writer::{NcAttrValue, NcFileBuilder, NcWriteFormat, NcWriteOptions};
use object_store::memory::InMemory;
use proptest::prelude::*;

const HOUR: i64 = 3_600_000_000_000;

/// Writes a file of the hours from `first` to `first + count`, with `t(y, time)`, `p(time)` packed
/// by `scale`, and `y(y)`. The value of a cell encodes its hour and its `y`.
fn write(path: &Path, first: i32, count: i32, scale: f64) {
    let mut file = NcFileBuilder::new();
    let y = file.add_dimension("y", 3).unwrap();
    let (time, options) = match count {
        0 => (file.add_unlimited_dimension("time").unwrap(), NcWriteOptions { format: NcWriteFormat::Nc4 }),
        _ => (file.add_dimension("time", count as u64).unwrap(), NcWriteOptions::classic()),
    };
    let hours: Vec<i32> = (first..first + count).collect();
    let ys = file.add_variable::<f32>("y", &[y]).unwrap();
    file.write_variable(ys, &[10.0f32, 20.0, 30.0]).unwrap();
    let times = file.add_variable::<i32>("time", &[time]).unwrap();
    // Each file counts from a different hour.
    let units = format!("hours since 2000-01-01 {:02}:00", first.rem_euclid(24));
    file.add_variable_attribute(times, "units", NcAttrValue::Chars(units)).unwrap();
    let own: Vec<i32> = hours.iter().map(|hour| hour - first.rem_euclid(24)).collect();
    file.write_variable(times, &own).unwrap();
    let t = file.add_variable::<f32>("t", &[y, time]).unwrap();
    let cells: Vec<f32> = (0..3).flat_map(|y| hours.iter().map(move |hour| (hour * 10 + y) as f32)).collect();
    file.write_variable(t, &cells).unwrap();
    let p = file.add_variable::<i16>("p", &[time]).unwrap();
    file.add_variable_attribute(p, "scale_factor", NcAttrValue::Doubles(vec![scale])).unwrap();
    let packed: Vec<i16> = hours.iter().map(|&hour| (f64::from(hour) / scale).round() as i16).collect();
    file.write_variable(p, &packed).unwrap();
    std::fs::write(path, file.to_vec(options).unwrap().1).unwrap();
}

async fn store() -> Atlas {
    Atlas::create(Arc::new(InMemory::new()), "s".into(), StoreConfig::default()).await.unwrap()
}

fn options(existing: Existing) -> ImportOptions {
    let dataset: DatasetFrom = "{name}_*.nc".parse().unwrap();
    let concat = Some(Concat { dim: "time".into(), dataset });
    ImportOptions { existing, concat, skip_errors: true, ..ImportOptions::default() }
}

async fn run(atlas: &Atlas, path: &Path, existing: Existing) -> Result<Report, Error> {
    import(atlas, &[path.to_owned()], &options(existing), &|_| {}).await
}

/// The hours of a dataset. Asserts that each cell has the value of its hour.
async fn hours(atlas: &Atlas, name: &str) -> Vec<i32> {
    let dataset = atlas.open_dataset(name).await.unwrap();
    let times = dataset.read_array::<Timestamp>("time", [], []).await.unwrap().unwrap();
    let t = dataset.read_array::<f32>("t", [], []).await.unwrap().unwrap();
    let p = dataset.read_array::<f64>("p", [], []).await.unwrap().unwrap();
    let hours: Vec<i32> =
        times.iter().map(|time| i32::try_from(time.0 / HOUR - 10_957 * 24).unwrap()).collect();
    for (place, hour) in hours.iter().enumerate() {
        for y in 0..3 {
            assert_eq!(t[[y, place]], (hour * 10 + y as i32) as f32);
        }
        assert!((p[[place]] - f64::from(*hour)).abs() < 1.0);
    }
    hours
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_in_the_order_of_their_coordinate() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    // The order of the names is not the order of the hours. One file occurs twice, and one is
    // missing.
    write(&here.join("a_1.nc"), 24, 24, 1.0);
    write(&here.join("a_2.nc"), 0, 24, 0.5);
    write(&here.join("a_3.nc"), 24, 24, 1.0);
    write(&here.join("a_4.nc"), 72, 24, 1.0);
    write(&here.join("b_1.nc"), 0, 2, 1.0);
    let atlas = store().await;
    let report = run(&atlas, here, Existing::Error).await.unwrap();
    assert_eq!((report.imported, atlas.snapshot().root().generation()), (2, 1));
    let expected: Vec<i32> = (0..48).chain(72..96).collect();
    assert_eq!(hours(&atlas, "a").await, expected);
    assert_eq!(hours(&atlas, "b").await, [0, 1]);
    let remarks = &report.joined[0].remarks;
    assert!(remarks[0].contains("a_3.nc has 24 of its 24 values"), "{remarks:?}");
    assert!(remarks[1].contains("where 24 would be"), "{remarks:?}");
    assert_eq!(report.joined[1].remarks, [""; 0]);
    assert!(matches!(run(&atlas, here, Existing::Error).await, Err(Error::NameExists { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dataset_grows_and_takes_in_what_comes_late_or_changes() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    write(&here.join("a_1.nc"), 0, 24, 1.0);
    write(&here.join("a_3.nc"), 48, 24, 1.0);
    let atlas = store().await;
    run(&atlas, here, Existing::Update).await.unwrap();
    write(&here.join("a_4.nc"), 72, 24, 1.0);
    let report = run(&atlas, here, Existing::Update).await.unwrap();
    assert_eq!((report.unchanged, report.joined[0].files, report.joined[0].extended), (2, 1, true));
    assert_eq!(hours(&atlas, "a").await, (0..24).chain(48..96).collect::<Vec<_>>());
    write(&here.join("a_2.nc"), 24, 24, 1.0);
    run(&atlas, here, Existing::Update).await.unwrap();
    assert_eq!(hours(&atlas, "a").await, (0..96).collect::<Vec<_>>());
    // A file has changed, and is longer now.
    write(&here.join("a_4.nc"), 72, 30, 1.0);
    let report = run(&atlas, here, Existing::Update).await.unwrap();
    assert_eq!((report.unchanged, report.joined[0].remarks.len()), (3, 0));
    assert_eq!(hours(&atlas, "a").await, (0..102).collect::<Vec<_>>());
    let catalog = atlas.snapshot().load().await.unwrap();
    let (_, dataset) = catalog.datasets().next().unwrap();
    assert_eq!(Source::of_dataset(&dataset).len(), 4);
    assert_eq!(run(&atlas, here, Existing::Update).await.unwrap().unchanged, 4);
    // The dataset equals one that is made of all files at once.
    let whole = store().await;
    run(&whole, here, Existing::Error).await.unwrap();
    assert_eq!(hours(&whole, "a").await, hours(&atlas, "a").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_file_leaves_nothing_behind() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    write(&here.join("a_1.nc"), 0, 24, 1.0);
    write(&here.join("a_2.nc"), 24, 24, 1.0);
    // The coordinate can be read, but then the file ends.
    let whole = std::fs::read(here.join("a_2.nc")).unwrap();
    std::fs::write(here.join("a_2.nc"), &whole[..whole.len() - 60]).unwrap();
    write(&here.join("a_3.nc"), 48, 24, 1.0);
    let atlas = store().await;
    let report = run(&atlas, here, Existing::Update).await.unwrap();
    assert_eq!((report.joined[0].files, report.skipped.len()), (2, 1));
    assert_eq!(hours(&atlas, "a").await, (0..24).chain(48..72).collect::<Vec<_>>());
    std::fs::write(here.join("a_2.nc"), &whole).unwrap();
    run(&atlas, here, Existing::Update).await.unwrap();
    assert_eq!(hours(&atlas, "a").await, (0..72).collect::<Vec<_>>());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn any_runs_make_the_same_dataset(
        files in prop::collection::vec((0i32..40, 1i32..12), 1..6),
        split in 0usize..6,
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let directory = tempfile::tempdir().unwrap();
            let here = directory.path();
            let atlas = store().await;
            let mut all: Vec<i32> = Vec::new();
            let split = split.min(files.len());
            for part in [&files[..split], &files[split..]] {
                for (first, count) in part {
                    write(&here.join(format!("a_{}.nc", all.len())), *first, *count, 1.0);
                    all.extend(*first..first + count);
                }
                if !part.is_empty() {
                    run(&atlas, here, Existing::Update).await.unwrap();
                }
            }
            all.sort_unstable();
            all.dedup();
            assert_eq!(hours(&atlas, "a").await, all);
        });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_without_records_are_joined_with_others() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    write(&here.join("a_1.nc"), 0, 0, 1.0);
    write(&here.join("a_2.nc"), 24, 24, 1.0);
    write(&here.join("a_3.nc"), 0, 0, 1.0);
    write(&here.join("a_4.nc"), 0, 10, 1.0);
    let atlas = store().await;
    let report = run(&atlas, here, Existing::Update).await.unwrap();
    assert_eq!((report.skipped.len(), report.joined[0].files), (0, 4), "{:?}", report.skipped);
    assert_eq!(hours(&atlas, "a").await, (0..10).chain(24..48).collect::<Vec<_>>());
    // The gap is told, although empty files have no coordinates.
    assert!(report.joined[0].remarks.iter().any(|remark| remark.starts_with("gap")), "{report:?}");

    // A dataset without records gets some, and others without.
    let (second, atlas) = (tempfile::tempdir().unwrap(), store().await);
    let here = second.path();
    write(&here.join("a_1.nc"), 0, 0, 1.0);
    run(&atlas, here, Existing::Update).await.unwrap();
    assert_eq!(hours(&atlas, "a").await, [0i32; 0]);
    write(&here.join("a_2.nc"), 5, 3, 1.0);
    write(&here.join("a_3.nc"), 0, 0, 1.0);
    let report = run(&atlas, here, Existing::Update).await.unwrap();
    assert_eq!((report.skipped.len(), report.unchanged), (0, 1), "{:?}", report.skipped);
    assert_eq!(hours(&atlas, "a").await, [5, 6, 7]);
    write(&here.join("a_4.nc"), 0, 0, 1.0);
    assert!(run(&atlas, here, Existing::Update).await.unwrap().skipped.is_empty());
    assert_eq!(hours(&atlas, "a").await, [5, 6, 7]);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_with_and_without_a_coordinate_are_not_joined() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    write(&here.join("a_1.nc"), 0, 4, 1.0);
    let mut file = NcFileBuilder::new();
    let time = file.add_dimension("time", 2).unwrap();
    let p = file.add_variable::<f64>("p", &[time]).unwrap();
    file.write_variable(p, &[1.0f64, 2.0]).unwrap();
    let bare = here.join("a_2.nc");
    std::fs::write(&bare, file.to_vec(NcWriteOptions::classic()).unwrap().1).unwrap();
    let atlas = store().await;
    let report = run(&atlas, here, Existing::Update).await.unwrap();
    let [(path, error)] = report.skipped.as_slice() else { panic!("{:?}", report.skipped) };
    assert_eq!(path, &bare);
    assert!(error.to_string().contains("it has no coordinate along the dimension"), "{error}");
}
