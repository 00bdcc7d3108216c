//! Repeated imports of directories that change.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use atlas::{Atlas, StoreConfig};
use atlas_import::{Error, Existing, ImportOptions, Report, Source, import};
use netcdf_writer::{NcFileBuilder, NcWriteOptions};
use object_store::memory::InMemory;

fn write(path: &Path, values: &[f32]) {
    let mut file = NcFileBuilder::new();
    let x = file.add_dimension("x", values.len() as u64).unwrap();
    let v = file.add_variable::<f32>("v", &[x]).unwrap();
    file.write_variable(v, values).unwrap();
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, file.to_vec(NcWriteOptions::classic()).unwrap().1).unwrap();
}

async fn store() -> Atlas {
    Atlas::create(Arc::new(InMemory::new()), "s".into(), StoreConfig::default()).await.unwrap()
}

fn update() -> ImportOptions {
    ImportOptions { existing: Existing::Update, skip_errors: true, ..ImportOptions::default() }
}

async fn run(atlas: &Atlas, path: &Path, options: &ImportOptions) -> Result<Report, Error> {
    import(atlas, &[path.to_owned()], options, &|_| {}).await
}

/// The ordinal and the first value of each dataset.
async fn contents(atlas: &Atlas) -> BTreeMap<String, (u32, f32)> {
    let catalog = atlas.snapshot().load().await.unwrap();
    let mut contents = BTreeMap::new();
    for (ordinal, dataset) in catalog.datasets() {
        let view = atlas.open_dataset(dataset.name()).await.unwrap();
        let cells = view.read_array::<f32>("v", [], []).await.unwrap().unwrap();
        contents.insert(dataset.name().to_owned(), (ordinal, cells[[0]]));
    }
    contents
}

fn generation(atlas: &Atlas) -> u64 {
    atlas.snapshot().root().generation()
}

#[tokio::test(flavor = "multi_thread")]
async fn exactly_what_has_changed_is_imported_in_one_commit() {
    let directory = tempfile::tempdir().unwrap();
    let path = |number: u32| directory.path().join(format!("{}/f{number:03}.nc", number % 7));
    for number in 0..240 {
        write(&path(number), &[number as f32, 0.0]);
    }
    let atlas = store().await;
    assert_eq!(run(&atlas, directory.path(), &update()).await.unwrap().imported, 240);
    let before = contents(&atlas).await;

    for number in 0..12 {
        write(&path(number * 20), &[-1.0, 0.0, 1.0]);
    }
    for number in 240..243 {
        write(&path(number), &[number as f32]);
    }
    std::fs::write(path(7), b"CDF\x01 cut").unwrap();
    let report = run(&atlas, directory.path(), &update()).await.unwrap();
    assert_eq!((report.imported, report.replaced, report.unchanged), (15, 12, 227));
    assert_eq!(report.skipped.len(), 1);
    assert_eq!(generation(&atlas), 2);
    let after = contents(&atlas).await;
    assert_eq!(after.len(), 243);
    for (name, (ordinal, first)) in &after {
        let number: u32 = name[1..].parse().unwrap();
        let expected = if number < 240 && number.is_multiple_of(20) { -1.0 } else { number as f32 };
        assert_eq!(*first, expected, "{name}");
        // Datasets of unchanged files stay the same, including that of the broken file.
        assert_eq!(before.get(name).is_some_and(|(old, _)| old == ordinal), expected >= 0.0 && number < 240);
    }
    // Nothing remains to be done.
    let report = run(&atlas, directory.path(), &update()).await.unwrap();
    assert_eq!((report.imported, report.unchanged, generation(&atlas)), (0, 242, 2));
    // Without --skip-errors, a broken file changes nothing.
    write(&path(3), &[9.0]);
    let strict = ImportOptions { skip_errors: false, ..update() };
    assert!(run(&atlas, directory.path(), &strict).await.is_err());
    assert_eq!((contents(&atlas).await, generation(&atlas)), (after, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_at_one_time_do_not_disturb_each_other() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    for number in 0..40u32 {
        write(&here.join(format!("a/a{number}.nc")), &[number as f32]);
        write(&here.join(format!("b/b{number}.nc")), &[number as f32]);
    }
    let atlas = store().await;
    run(&atlas, &here.join("a"), &update()).await.unwrap();
    for number in 0..20u32 {
        write(&here.join(format!("a/a{number}.nc")), &[100.0, 0.0]);
    }
    let other = Atlas::open_in(atlas.storage().clone()).await.unwrap();
    let (one, two) = (here.join("a"), here.join("b"));
    let options = update();
    let (updated, added) = tokio::join!(run(&atlas, &one, &options), run(&other, &two, &options));
    assert_eq!((updated.unwrap().replaced, added.unwrap().imported), (20, 40));
    atlas.refresh().await.unwrap();
    let contents = contents(&atlas).await;
    assert_eq!(contents.len(), 80);
    assert_eq!(contents.values().filter(|(_, first)| *first == 100.0).count(), 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn sources_follow_datasets_and_tell_files_apart() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    write(&here.join("a/x.nc"), &[1.0]);
    let atlas = store().await;
    run(&atlas, &here.join("a"), &update()).await.unwrap();
    let source = async |name: &str| {
        let catalog = atlas.snapshot().load().await.unwrap();
        let dataset = catalog.ordinal(name).and_then(|ordinal| catalog.dataset(ordinal));
        Source::of_dataset(&dataset.unwrap()).remove(0)
    };
    let canonical = here.join("a/x.nc").canonicalize().unwrap();
    assert_eq!(source("x").await.location, canonical.to_string_lossy());

    // A renamed dataset still belongs to its file.
    atlas.rename_dataset("x", "y").await.unwrap();
    atlas.flush().await.unwrap();
    assert_eq!(run(&atlas, &here.join("a"), &update()).await.unwrap().unchanged, 1);
    write(&here.join("a/x.nc"), &[2.0, 3.0]);
    assert_eq!(run(&atlas, &here.join("a"), &update()).await.unwrap().replaced, 1);
    assert_eq!(contents(&atlas).await["y"].1, 2.0);

    // Another file with the name of the dataset does not count as its file.
    write(&here.join("b/y.nc"), &[4.0]);
    let error = run(&atlas, &here.join("b"), &update()).await.unwrap_err();
    assert!(matches!(&error, Error::NameTwice { name, .. } if name == "y"), "{error}");
    // A file in a directory that was moved does.
    std::fs::remove_file(here.join("b/y.nc")).unwrap();
    std::fs::rename(here.join("a/x.nc"), here.join("b/y.nc")).unwrap();
    assert_eq!(run(&atlas, &here.join("b"), &update()).await.unwrap().unchanged, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_tell_what_size_and_time_do_not() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.nc");
    write(&path, &[1.0]);
    let time = std::fs::metadata(&path).unwrap().modified().unwrap();
    let atlas = store().await;
    run(&atlas, &path, &update()).await.unwrap();
    write(&path, &[2.0]);
    std::fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
    assert_eq!(run(&atlas, &path, &update()).await.unwrap().unchanged, 1);
    let checksum = ImportOptions { checksum: true, ..update() };
    assert_eq!(run(&atlas, &path, &checksum).await.unwrap().replaced, 1);
    assert_eq!(run(&atlas, &path, &checksum).await.unwrap().unchanged, 1);
    // A copy of the file, with another time.
    std::fs::File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_modified(time + std::time::Duration::from_secs(9))
        .unwrap();
    assert_eq!(run(&atlas, &path, &checksum).await.unwrap().unchanged, 1);
    assert_eq!(run(&atlas, &path, &update()).await.unwrap().replaced, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_there_may_be_passed_over_or_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    write(&here.join("x.nc"), &[1.0]);
    let atlas = store().await;
    run(&atlas, here, &ImportOptions::default()).await.unwrap();
    write(&here.join("y.nc"), &[2.0]);
    let with = |existing| ImportOptions { existing, ..ImportOptions::default() };
    let planned =
        run(&atlas, here, &ImportOptions { dry_run: true, ..with(Existing::Replace) }).await.unwrap();
    let planned: Vec<_> =
        planned.planned.into_iter().map(|planned| (planned.dataset, planned.replaces)).collect();
    assert_eq!(planned, [("x".to_owned(), true), ("y".to_owned(), false)]);
    assert!(matches!(run(&atlas, here, &ImportOptions::default()).await, Err(Error::NameExists { .. })));
    assert_eq!((generation(&atlas), atlas.list_datasets().unwrap().len()), (1, 1));
    let report = run(&atlas, here, &with(Existing::Skip)).await.unwrap();
    assert_eq!((report.imported, report.existing), (1, 1));
    let report = run(&atlas, here, &with(Existing::Replace)).await.unwrap();
    assert_eq!((report.imported, report.replaced), (2, 2));
    assert_eq!(atlas.list_datasets().unwrap(), ["x", "y"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_of_a_run_are_committed_when_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    for number in 0..10u32 {
        write(&here.join(format!("f{number}.nc")), &[number as f32]);
    }
    std::fs::write(here.join("f7.nc"), b"cut").unwrap();
    let atlas = store().await;
    let options =
        ImportOptions { commit_every: std::num::NonZeroUsize::new(3), skip_errors: false, ..update() };
    assert!(run(&atlas, here, &options).await.is_err());
    assert_eq!((atlas.list_datasets().unwrap().len(), generation(&atlas)), (6, 2));
    write(&here.join("f7.nc"), &[7.0]);
    let report = run(&atlas, here, &options).await.unwrap();
    assert_eq!((report.imported, report.unchanged, generation(&atlas)), (4, 6, 4));
}

#[tokio::test(flavor = "multi_thread")]
async fn files_in_archives_and_compressed_ones_are_files() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    write(&here.join("in/x.nc"), &[1.0]);
    let bytes = std::fs::read(here.join("in/x.nc")).unwrap();
    let compressed = |path: &str| {
        let file = std::fs::File::create(here.join(path)).unwrap();
        let mut encoder = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
        std::io::Write::write_all(&mut encoder, &bytes).unwrap();
        encoder.finish().unwrap();
    };
    compressed("z.nc.gz");
    let mut archive = tar::Builder::new(std::fs::File::create(here.join("all.tar")).unwrap());
    archive.append_path_with_name(here.join("in/x.nc"), "d/t.nc").unwrap();
    archive.append_path_with_name(here.join("z.nc.gz"), "d/u.nc.gz").unwrap();
    archive.append_path_with_name(here.join("z.nc.gz"), "d/readme.gz").unwrap();
    archive.into_inner().unwrap();
    let atlas = store().await;
    let paths: [PathBuf; 2] = [here.join("z.nc.gz"), here.join("all.tar")];
    let report = import(&atlas, &paths, &update(), &|_| {}).await.unwrap();
    assert_eq!(report.imported, 3);
    let contents = contents(&atlas).await;
    assert_eq!(contents.keys().collect::<Vec<_>>(), ["t", "u", "z"]);
    assert!(contents.values().all(|(_, first)| *first == 1.0));
    let report = import(&atlas, &paths, &update(), &|_| {}).await.unwrap();
    assert_eq!((report.imported, report.unchanged), (0, 3));
    let checked = ImportOptions { checksum: true, ..update() };
    assert_eq!(import(&atlas, &paths, &checked, &|_| {}).await.unwrap().unchanged, 3);
}

/// Names of files are bytes on most systems. Those that are not UTF-8 differ in their datasets too,
/// and their sources are remembered.
#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn files_whose_names_are_not_utf_8_are_kept_apart_and_recognised() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &[u8]| directory.path().join(OsStr::from_bytes(name));
    if std::fs::write(path(b"\xff"), b"").is_err() {
        return; // The file system has no such names.
    }
    let names: [&[u8]; 3] = [b"lat\xe81.nc", b"lat\xe91.nc", b"lat1.nc"];
    for (name, value) in names.iter().zip([1.0, 2.0, 3.0]) {
        write(&path(name), &[value]);
    }
    let atlas = store().await;
    let report = run(&atlas, directory.path(), &update()).await.unwrap();
    assert_eq!((report.imported, report.skipped.len()), (3, 0));
    let values = |contents: BTreeMap<String, (u32, f32)>| -> Vec<(String, f32)> {
        contents.into_iter().map(|(name, (_, value))| (name, value)).collect()
    };
    let expected = [("lat%E81", 1.0), ("lat%E91", 2.0), ("lat1", 3.0)].map(|(name, v)| (name.to_owned(), v));
    assert_eq!(values(contents(&atlas).await), expected);
    let before = generation(&atlas);
    let report = run(&atlas, directory.path(), &update()).await.unwrap();
    assert_eq!((report.imported, report.unchanged, generation(&atlas)), (0, 3, before));
    write(&path(names[1]), &[7.0, 8.0]);
    let report = run(&atlas, directory.path(), &update()).await.unwrap();
    assert_eq!((report.imported, report.replaced, report.unchanged), (1, 1, 2));
    // A file whose name is the text of another is refused, not taken for the other one.
    write(&path(b"lat%E91.nc"), &[9.0]);
    let error = run(&atlas, directory.path(), &update()).await.unwrap_err();
    assert!(matches!(error, Error::NameTwice { .. }), "{error}");
    assert_eq!(contents(&atlas).await["lat%E91"].1, 7.0);
}
