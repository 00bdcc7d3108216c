//! Exported datasets equal the files from which they were imported.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::ArrayRef;
use atlas::{ArraySchema, Atlas, Attributes, StoreConfig, Timestamp};
use atlas_import::export::export;
use atlas_import::{ImportOptions, Source, import};
use object_store::memory::InMemory;

async fn store() -> Atlas {
    Atlas::create(Arc::new(InMemory::new()), "s".into(), StoreConfig::default()).await.unwrap()
}

type Contents = (Attributes, Vec<(ArraySchema, Vec<usize>, ArrayRef)>);

/// The contents of a dataset, including its notes about the file, but without its source.
async fn contents(atlas: &Atlas, name: &str) -> Contents {
    let view = atlas.open_dataset(name).await.unwrap();
    let meta = view.meta().unwrap();
    let mut attributes = meta.attributes;
    attributes.retain(|(key, _)| key != Source::ATTRIBUTE);
    let mut arrays = Vec::new();
    for (schema, shape) in meta.arrays {
        let cells = view.read_arrow(&schema.name, &[], &[]).await.unwrap();
        arrays.push((ArraySchema::clone(&schema), shape, cells));
    }
    (attributes, arrays)
}

/// The contents of a dataset that was imported from a file, and those after exporting and importing
/// it again.
async fn again(path: &Path) -> Option<(Contents, Contents)> {
    let atlas = store().await;
    let paths = [path.to_owned()];
    if import(&atlas, &paths, &ImportOptions::default(), &|_| {}).await.is_err() {
        return None;
    }
    let name = atlas.list_datasets().unwrap().remove(0);
    let bytes = export(&atlas, &name).await.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let directory = tempfile::tempdir().unwrap();
    let exported = directory.path().join(format!("{name}.nc"));
    std::fs::write(&exported, bytes).unwrap();
    let second = store().await;
    let imported = import(&second, &[exported], &ImportOptions::default(), &|_| {}).await;
    imported.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    Some((contents(&atlas, &name).await, contents(&second, &name).await))
}

/// A few real files of each directory.
fn files() -> Vec<PathBuf> {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let mut files = Vec::new();
    for entry in walkdir::WalkDir::new(data).sort_by_file_name().into_iter().flatten() {
        let same = files.iter().filter(|file: &&PathBuf| file.parent() == entry.path().parent()).count();
        if entry.path().extension().is_some_and(|ending| ending == "nc") && same < 5 {
            files.push(entry.into_path());
        }
    }
    files
}

#[tokio::test(flavor = "multi_thread")]
async fn real_files_come_back() {
    let files = files();
    if files.is_empty() {
        return eprintln!("skipped: there is no ../shared/data");
    }
    for file in files {
        let (first, second) = again(&file).await.unwrap();
        assert_eq!(first.0, second.0, "{}", file.display());
        for (one, two) in first.1.iter().zip(&second.1) {
            assert_eq!((&one.0, &one.1), (&two.0, &two.1), "{}", file.display());
            assert_eq!(*one.2, *two.2, "{}: {}", file.display(), one.0.name);
        }
        assert_eq!(first.1.len(), second.1.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_changed_since_is_as_it_is_now() {
    let Some(file) = files().into_iter().next() else {
        return eprintln!("skipped: there is no ../shared/data");
    };
    let atlas = store().await;
    import(&atlas, &[file], &ImportOptions::default(), &|_| {}).await.unwrap();
    let name = atlas.list_datasets().unwrap().remove(0);
    let view = atlas.open_dataset(&name).await.unwrap();
    view.set_attribute("title", "changed").unwrap();
    let value = ndarray_of(41.5);
    view.write_array("TEMP", [0, 0], value.view()).await.unwrap();
    atlas.flush().await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let exported = directory.path().join("x.nc");
    std::fs::write(&exported, export(&atlas, &name).await.unwrap()).unwrap();
    let second = store().await;
    import(&second, &[exported], &ImportOptions::default(), &|_| {}).await.unwrap();
    let view = second.open_dataset("x").await.unwrap();
    assert_eq!(view.get_attribute("title").unwrap(), Some("changed".into()));
    let cells = view.read_array::<f32>("TEMP", [0, 0], [1, 1]).await.unwrap().unwrap();
    assert_eq!(cells[[0, 0]], 41.5);
}

fn ndarray_of(value: f32) -> ndarray::ArrayD<f32> {
    ndarray::ArrayD::from_elem(vec![1, 1], value)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dataset_that_was_never_a_file_becomes_one() {
    let atlas = store().await;
    let dataset = atlas.create_dataset("d").await.unwrap();
    dataset.set_attribute("count", 3i64).unwrap();
    dataset.define_array::<Timestamp>("time", ["time"], [3], None, None).unwrap();
    dataset.define_array::<i16>("n", ["time"], [3], None, None).unwrap();
    dataset.define_array::<bool>("flag", ["time"], [3], None, None).unwrap();
    dataset.define_array::<String>("name", ["time"], [3], None, None).unwrap();
    let times: ArrayRef =
        Arc::new(arrow::array::TimestampNanosecondArray::from(vec![Some(0), None, Some(86_400_000_000_000)]));
    dataset.write_arrow("time", &[0], &[3], times).await.unwrap();
    // The values include the default fill value of the type.
    let numbers: ArrayRef = Arc::new(arrow::array::Int16Array::from(vec![Some(-32_767), None, Some(-1)]));
    dataset.write_arrow("n", &[0], &[3], numbers).await.unwrap();
    let flags: ArrayRef = Arc::new(arrow::array::BooleanArray::from(vec![true, false, true]));
    dataset.write_arrow("flag", &[0], &[3], flags).await.unwrap();
    let names: ArrayRef = Arc::new(arrow::array::StringViewArray::from(vec!["a", "", "é"]));
    dataset.write_arrow("name", &[0], &[3], names).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("d.nc");
    std::fs::write(&path, export(&atlas, "d").await.unwrap()).unwrap();
    let second = store().await;
    import(&second, &[path], &ImportOptions::default(), &|_| {}).await.unwrap();
    let view = second.open_dataset("d").await.unwrap();
    for array in ["time", "n", "name"] {
        let (one, two) = (
            dataset.read_arrow(array, &[], &[]).await.unwrap(),
            view.read_arrow(array, &[], &[]).await.unwrap(),
        );
        assert_eq!(*one, *two, "{array}");
    }
    assert_eq!(view.get_attribute("count").unwrap(), Some(3i64.into()));
    // NetCDF cannot represent binary values.
    dataset.define_array::<Vec<u8>>("bytes", ["time"], [3], None, None).unwrap();
    let error = export(&atlas, "d").await.unwrap_err().to_string();
    assert!(error.contains("array `bytes`: NetCDF has no binary values"), "{error}");
}

/// A header of HDF5 has room for 64 KiB of an attribute.
#[tokio::test]
async fn an_attribute_that_no_file_has_room_for_is_named() {
    let atlas = store().await;
    let dataset = atlas.create_dataset("d").await.unwrap();
    let value = ndarray_of(1.0);
    dataset.define_array::<f32>("v", &["x", "y"], &[1, 1], None, None).unwrap();
    dataset.write_array("v", &[0, 0], value.view()).await.unwrap();
    dataset.set_attribute("numbers", (0..20_000i64).map(|i| i as f64).collect::<Vec<_>>()).unwrap();
    // Another format has room for numbers.
    export(&atlas, "d").await.unwrap();
    let words = |count: usize| (0..count).map(|number| format!("word {number}")).collect::<Vec<_>>();
    dataset.set_attribute("numbers", vec![1.0f64, 2.0]).unwrap();
    dataset.set_attribute("words", words(3000)).unwrap();
    export(&atlas, "d").await.unwrap();
    dataset.set_attribute("words", words(5000)).unwrap();
    let error = export(&atlas, "d").await.unwrap_err().to_string();
    let expected = "attribute `words` takes 80000 bytes of a NetCDF-4 header, which has room for 60000";
    assert!(error.contains(expected), "{error}");
    dataset.set_attribute("words", words(3)).unwrap();
    dataset.set_array_attribute("v", "words", words(5000)).unwrap();
    let error = export(&atlas, "d").await.unwrap_err().to_string();
    assert!(error.contains("attribute `words` of `v` takes 80000 bytes"), "{error}");
}
