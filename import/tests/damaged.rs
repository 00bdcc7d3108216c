//! What remains in a store of files that cannot be read, or only in part.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::{Path, PathBuf};

use atlas::{Atlas, StoreConfig};
use atlas_import::{Error, ImportOptions, NoticeClass, Report, import};
use netcdf_writer::{NcAttrValue, NcFileBuilder, NcWriteFormat, NcWriteOptions};

/// More numbers than are read at once.
const MANY: usize = 5_000_000;

fn write(path: &Path, file: &NcFileBuilder, edit: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = Vec::new();
    file.write(&mut bytes, NcWriteOptions { format: NcWriteFormat::Classic }).unwrap();
    edit(&mut bytes);
    std::fs::write(path, bytes).unwrap();
}

async fn imported(
    directory: &Path,
    options: &ImportOptions,
) -> (tempfile::TempDir, Atlas, Result<Report, Error>) {
    let store = tempfile::tempdir().unwrap();
    let atlas = Atlas::create_path(store.path(), StoreConfig::default()).await.unwrap();
    let report = import(&atlas, &[PathBuf::from(directory)], options, &|_| {}).await;
    (store, atlas, report)
}

#[tokio::test]
async fn a_variable_that_fails_late_is_taken_back() {
    let directory = tempfile::tempdir().unwrap();
    let mut file = NcFileBuilder::new();
    let x = file.add_dimension("x", MANY as u64).unwrap();
    let y = file.add_dimension("y", 2).unwrap();
    let v = file.add_variable::<i16>("small", &[y]).unwrap();
    file.write_variable(v, &[1i16, 2]).unwrap();
    let v = file.add_variable::<f64>("large", &[x]).unwrap();
    file.write_variable(v, &vec![0.5f64; MANY]).unwrap();
    write(&directory.path().join("a.nc"), &file, |bytes| bytes.truncate(bytes.len() - 8));

    let (_store, atlas, report) = imported(directory.path(), &ImportOptions::default()).await;
    let report = report.unwrap();
    let dataset = atlas.open_dataset("a").await.unwrap();
    let arrays = dataset.arrays().unwrap();
    assert_eq!(arrays.iter().map(|array| array.name.as_str()).collect::<Vec<_>>(), ["small"]);
    let notices: Vec<_> = report.notices.iter().collect();
    assert_eq!(notices.len(), 1);
    assert_eq!((notices[0].0, notices[0].1), (NoticeClass::LeftOut, "large"));
    assert_eq!(notices[0].2, "the file ends before its values");

    let strict = ImportOptions { strict: true, ..ImportOptions::default() };
    let (_store, _, report) = imported(directory.path(), &strict).await;
    assert!(
        report.unwrap_err().to_string().contains("large cannot be read: the file ends before its values")
    );
    let strict = ImportOptions { skip_errors: true, ..strict };
    let (_store, atlas, report) = imported(directory.path(), &strict).await;
    assert_eq!(report.unwrap().skipped.len(), 1);
    assert!(atlas.list_datasets().unwrap().is_empty());
}

#[tokio::test]
async fn text_that_is_not_utf_8_is_decoded_and_told() {
    let directory = tempfile::tempdir().unwrap();
    let mut file = NcFileBuilder::new();
    let x = file.add_dimension("x", 2).unwrap();
    let length = file.add_dimension("length", 4).unwrap();
    let v = file.add_char_variable("name", &[x, length]).unwrap();
    file.add_variable_attribute(v, "long_name", NcAttrValue::Chars("Stra#e".into())).unwrap();
    file.write_char_variable(v, b"#\0\0\0ab  ").unwrap();
    let v = file.add_char_variable("utf8", &[x, length]).unwrap();
    file.write_char_variable(v, b"\xc3\xa9\0\0a\xc3\xa9b").unwrap();
    let latin1 =
        |bytes: &mut Vec<u8>| bytes.iter_mut().filter(|byte| **byte == b'#').for_each(|byte| *byte = 0xdf);
    write(&directory.path().join("a.nc"), &file, latin1);

    let (_store, atlas, report) = imported(directory.path(), &ImportOptions::default()).await;
    let dataset = atlas.open_dataset("a").await.unwrap();
    let name = dataset.schema("name").unwrap();
    assert_eq!(name.attributes[0].1.to_string(), "Straße");
    let strings = |array: &'static str| {
        let dataset = &dataset;
        async move { dataset.read_array::<String>(array, &[0], &[2]).await.unwrap().unwrap() }
    };
    assert_eq!(strings("name").await.iter().cloned().collect::<Vec<_>>(), ["ß", "ab"]);
    assert_eq!(strings("utf8").await.iter().cloned().collect::<Vec<_>>(), ["é", "aéb"]);
    let report = report.unwrap();
    let told: Vec<_> =
        report.notices.iter().map(|(class, subject, _, notices)| (class, subject, notices.cells)).collect();
    assert_eq!(
        told,
        [(NoticeClass::TextDecoded, "attributes of name", 0), (NoticeClass::TextDecoded, "name", 1)]
    );
}

/// Tests contents of HDF5 files. No writer of these writes text other than UTF-8.
#[tokio::test]
async fn text_and_chunks_of_netcdf_4_are_decoded_or_left_out() {
    let directory = tempfile::tempdir().unwrap();
    let mut file = NcFileBuilder::new();
    let x = file.add_dimension("x", 2).unwrap();
    let length = file.add_dimension("length", 8).unwrap();
    let v = file.add_char_variable("name", &[x, length]).unwrap();
    file.write_char_variable(v, b"Stra#e\0\0ab      ").unwrap();
    let v = file.add_string_variable("label", &[x]).unwrap();
    file.write_string_variable(v, &["Gr#ner", "plain"]).unwrap();
    let many = file.add_dimension("many", 100).unwrap();
    let v = file.add_variable::<i32>("damaged", &[many]).unwrap();
    file.set_variable_chunking(v, [100]).unwrap();
    file.set_variable_fletcher32(v, true).unwrap();
    file.write_variable(v, &[0x0102_0304; 100]).unwrap();
    let mut bytes = Vec::new();
    file.write(&mut bytes, NcWriteOptions { format: NcWriteFormat::Nc4 }).unwrap();
    for (from, to) in
        [(&b"Stra#e"[..], &b"Stra\xdfe"[..]), (b"Gr#ner", b"Gr\xfcner"), (&[4, 3, 2, 1], &[5, 3, 2, 1])]
    {
        let at = bytes.windows(from.len()).position(|bytes| bytes == from).unwrap();
        bytes[at..at + to.len()].copy_from_slice(to);
    }
    std::fs::write(directory.path().join("a.nc"), bytes).unwrap();

    let (_store, atlas, report) = imported(directory.path(), &ImportOptions::default()).await;
    let dataset = atlas.open_dataset("a").await.unwrap();
    for (array, expected) in [("name", ["Straße", "ab"]), ("label", ["Grüner", "plain"])] {
        let strings = dataset.read_array::<String>(array, &[0], &[2]).await.unwrap().unwrap();
        assert_eq!(strings.iter().cloned().collect::<Vec<_>>(), expected);
    }
    assert!(dataset.schema("damaged").is_err());
    let report = report.unwrap();
    let told: Vec<_> = report.notices.iter().map(|(class, subject, ..)| (class, subject)).collect();
    assert_eq!(
        told,
        [
            (NoticeClass::LeftOut, "damaged"),
            (NoticeClass::TextDecoded, "label"),
            (NoticeClass::TextDecoded, "name"),
        ]
    );
    let strict = ImportOptions { strict: true, ..ImportOptions::default() };
    let (_store, _, report) = imported(directory.path(), &strict).await;
    assert!(report.unwrap_err().to_string().contains("damaged cannot be read"));
}

#[cfg(unix)]
#[tokio::test]
async fn a_fifo_is_not_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let fifo = directory.path().join("a.nc");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let (_store, _, report) = imported(directory.path(), &ImportOptions::default()).await;
    assert!(report.unwrap_err().to_string().ends_with("it is a fifo, and no file"));
}
