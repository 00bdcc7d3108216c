//! Imports of classic NetCDF and NetCDF-4 files follow the CF conventions.

use std::path::{Path, PathBuf};

use atlas::{Atlas, StoreConfig};
use atlas_datafusion::TableOptions;
use atlas_import::{Error, ImportOptions, NameFrom, NoticeClass, import};
use atlas_tests::{memory, rows, session};
use datafusion::prelude::SessionContext;
use netcdf_writer::{NcAttrValue, NcFileBuilder, NcWriteFormat, NcWriteOptions};

fn text(text: &str) -> NcAttrValue {
    NcAttrValue::Chars(text.to_owned())
}

/// A file with one of everything. Features of NetCDF-4 are included only with `nc4`.
fn everything(nc4: bool) -> NcFileBuilder {
    let mut file = NcFileBuilder::new();
    let time = file.add_unlimited_dimension("time").unwrap();
    let lat = file.add_dimension("lat", 2).unwrap();
    let length = file.add_dimension("name_length", 4).unwrap();
    let pair = file.add_dimension("pair", 2).unwrap();
    file.add_attribute("title", text("Everything")).unwrap();
    file.add_attribute("levels", NcAttrValue::Ints(vec![1, 2, 3])).unwrap();
    file.add_attribute("version", NcAttrValue::Doubles(vec![1.5])).unwrap();

    let v = file.add_variable::<f64>("time", &[time]).unwrap();
    file.add_variable_attribute(v, "units", text("hours since 2000-01-01 00:00:00")).unwrap();
    file.add_variable_attribute(v, "bounds", text("time_bounds")).unwrap();
    file.write_variable(v, &[0.0f64, 1.5, 24.0]).unwrap();
    let v = file.add_variable::<f64>("time_bounds", &[time, pair]).unwrap();
    file.write_variable(v, &[0.0f64, 1.0, 1.0, 2.0, 24.0, 25.0]).unwrap();
    let v = file.add_variable::<i32>("model_time", &[time]).unwrap();
    file.add_variable_attribute(v, "units", text("days since 2000-01-01")).unwrap();
    file.add_variable_attribute(v, "calendar", text("360_day")).unwrap();
    file.write_variable(v, &[0i32, 30, 360]).unwrap();
    let v = file.add_variable::<f32>("lat", &[lat]).unwrap();
    file.add_variable_attribute(v, "units", text("degrees_north")).unwrap();
    file.write_variable(v, &[-10.0f32, 10.0]).unwrap();

    let v = file.add_variable::<i16>("packed", &[time, lat]).unwrap();
    file.set_variable_fill_value(v, -999i16).unwrap();
    file.add_variable_attribute(v, "missing_value", NcAttrValue::Shorts(vec![-998])).unwrap();
    file.add_variable_attribute(v, "scale_factor", NcAttrValue::Doubles(vec![0.5])).unwrap();
    file.add_variable_attribute(v, "add_offset", NcAttrValue::Doubles(vec![100.0])).unwrap();
    file.write_variable(v, &[0i16, 1, -999, -998, 4, 5]).unwrap();
    let v = file.add_variable::<i8>("unsigned", &[lat]).unwrap();
    file.add_variable_attribute(v, "_Unsigned", text("true")).unwrap();
    file.write_variable(v, &[-1i8, 1]).unwrap();
    let v = file.add_variable::<f32>("plain", &[time, lat]).unwrap();
    file.set_variable_fill_value(v, 1e20f32).unwrap();
    file.write_variable(v, &[1.0f32, 2.0, 1e20, f32::NAN, 5.0, 6.0]).unwrap();
    let v = file.add_variable::<i32>("scalar", &[]).unwrap();
    file.write_variable(v, &[42i32]).unwrap();

    let v = file.add_char_variable("station", &[lat, length]).unwrap();
    file.write_char_variable(v, b"ab  xyz\0").unwrap();
    let v = file.add_char_variable("flag", &[time, lat]).unwrap();
    file.write_char_variable(v, b"12 456").unwrap();
    let v = file.add_char_variable("code", &[length]).unwrap();
    file.write_char_variable(v, b"Q1  ").unwrap();

    if nc4 {
        let level = file.add_dimension_path("profile/level", 3).unwrap();
        let v = file.add_variable_path::<f64>("profile/level", &[level]).unwrap();
        file.write_variable(v, &[10.0f64, 20.0, 30.0]).unwrap();
        let v = file.add_variable_path::<u64>("profile/count", &[level]).unwrap();
        file.write_variable(v, &[1u64, 2, u64::MAX]).unwrap();
        // Over the root's time and the group's level.
        let v = file.add_variable_path::<f32>("profile/value", &[time, level]).unwrap();
        file.write_variable(v, &[0.0f32, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]).unwrap();
        file.add_group_attribute("profile", "sensor", text("CTD")).unwrap();
        let v = file.add_string_variable("label", &[lat]).unwrap();
        file.write_string_variable(v, &["south", "north"]).unwrap();
    }
    file
}

fn write(directory: &Path, name: &str, file: &NcFileBuilder, format: NcWriteFormat) -> PathBuf {
    let path = directory.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut bytes = Vec::new();
    file.write(&mut bytes, NcWriteOptions { format }).unwrap();
    std::fs::write(&path, bytes).unwrap();
    path
}

async fn new_store() -> Atlas {
    Atlas::create(memory(), "s".into(), StoreConfig::default()).await.unwrap()
}

async fn imported(paths: &[PathBuf], options: &ImportOptions) -> SessionContext {
    let atlas = new_store().await;
    let report = import(&atlas, paths, options, &|_| {}).await.unwrap();
    // Times in the calendar 360_day, which stay numbers.
    let expected = |class, subject: &str| class == NoticeClass::TimeAsNumber && subject == "model_time";
    let mut notices = report.notices.iter();
    let as_expected = notices.all(|(class, subject, _, _)| expected(class, subject));
    assert!(report.skipped.is_empty() && as_expected, "{report:?}");
    session(&atlas, TableOptions::default()).unwrap()
}

async fn column(ctx: &SessionContext, name: &str) -> Vec<String> {
    let table = format!("atlas.\"{name}\"");
    let dims = ctx.table(&table).await.unwrap().schema().fields().len() - 1;
    let order: Vec<_> = (1..=dims.max(1)).map(|i| i.to_string()).collect();
    let sql = format!("SELECT * FROM {table} ORDER BY {}", order.join(", "));
    let rows = rows(ctx, &sql).await.unwrap();
    rows.into_iter().map(|row| row.rsplit('|').next().unwrap().to_owned()).collect()
}

async fn column_type(ctx: &SessionContext, name: &str) -> String {
    let table = ctx.table(format!("atlas.\"{name}\"")).await.unwrap();
    table.schema().fields().last().unwrap().data_type().to_string()
}

#[tokio::test]
async fn values_are_what_the_conventions_make_of_them() {
    let directory = tempfile::tempdir().unwrap();
    for (format, nc4) in [
        (NcWriteFormat::Classic, false),
        (NcWriteFormat::Offset64, false),
        (NcWriteFormat::Cdf5, false),
        (NcWriteFormat::Nc4, true),
    ] {
        let path = write(directory.path(), &format!("{format:?}.nc"), &everything(nc4), format);
        let ctx = imported(&[path], &ImportOptions::default()).await;
        let times = ["2000-01-01T00:00:00", "2000-01-01T01:30:00", "2000-01-02T00:00:00"];
        assert_eq!(column(&ctx, "time").await, times);
        assert_eq!(column(&ctx, "time_bounds").await[..2], [times[0], "2000-01-01T01:00:00"]);
        assert_eq!(column(&ctx, "model_time").await, ["0", "30", "360"]);
        assert_eq!(column(&ctx, "packed").await, ["100.0", "100.5", "NULL", "NULL", "102.0", "102.5"]);
        assert_eq!(column_type(&ctx, "packed").await, "Float64");
        assert_eq!(column(&ctx, "unsigned").await, ["255", "1"]);
        assert_eq!(column_type(&ctx, "unsigned").await, "UInt8");
        assert_eq!(column(&ctx, "plain").await, ["1.0", "2.0", "NULL", "NULL", "5.0", "6.0"]);
        assert_eq!(column(&ctx, "scalar").await, ["42"]);
        assert_eq!(column(&ctx, "station").await, ["ab", "xyz"]);
        assert_eq!(column(&ctx, "flag").await, ["1", "2", " ", "4", "5", "6"]);
        assert_eq!(column(&ctx, "code").await, ["Q1"]);
        let attributes = "SELECT title, levels, version FROM atlas._datasets";
        assert_eq!(rows(&ctx, attributes).await.unwrap(), ["Everything|[1, 2, 3]|1.5"]);
        let units = "SELECT value FROM atlas._attributes WHERE variable = 'model_time' ORDER BY name";
        assert_eq!(rows(&ctx, units).await.unwrap(), ["360_day", "days since 2000-01-01"]);
        if nc4 {
            assert_eq!(column(&ctx, "profile.level").await, ["10.0", "20.0", "30.0"]);
            assert_eq!(column(&ctx, "profile.count").await, ["1", "2", &u64::MAX.to_string()]);
            let shared = "SELECT max(time), max(\"profile.level\") FROM atlas.\"profile.value\" WHERE \"profile.value\" < 5";
            assert_eq!(rows(&ctx, shared).await.unwrap(), ["2000-01-01T01:30:00|30.0"]);
            assert_eq!(column(&ctx, "label").await, ["south", "north"]);
            let sensor = "SELECT \"profile.sensor\" FROM atlas._datasets";
            assert_eq!(rows(&ctx, sensor).await.unwrap(), ["CTD"]);
        }
    }
}

fn small(value: f32) -> NcFileBuilder {
    let mut file = NcFileBuilder::new();
    let x = file.add_dimension("x", 3).unwrap();
    file.add_attribute("id", text(&format!("id-{value}"))).unwrap();
    let v = file.add_variable::<f32>("v", &[x]).unwrap();
    file.write_variable(v, &[value, value + 1.0, value + 2.0]).unwrap();
    file
}

#[tokio::test]
async fn datasets_are_named_as_chosen_and_two_of_one_name_are_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    write(root, "a/one.nc", &small(1.0), NcWriteFormat::Classic);
    write(root, "b/one.nc", &small(2.0), NcWriteFormat::Classic);
    let names = async |name_from| {
        let options = ImportOptions { name_from, ..ImportOptions::default() };
        let atlas = new_store().await;
        import(&atlas, &[root.to_owned()], &options, &|_| {}).await.map(|_| ())?;
        Ok::<_, Error>(atlas.list_datasets().unwrap())
    };
    let error = names(NameFrom::Stem).await.unwrap_err();
    assert!(matches!(&error, Error::NameTwice { name, .. } if name == "one"), "{error}");
    assert_eq!(names(NameFrom::Path).await.unwrap(), ["a:one", "b:one"]);
    assert_eq!(names(NameFrom::Attribute("id".into())).await.unwrap(), ["id-1", "id-2"]);
    assert!(matches!(names(NameFrom::Attribute("none".into())).await, Err(Error::File { .. })));
}

#[tokio::test]
async fn importing_again_adds_and_refuses_what_is_there() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let one = write(root, "one.nc", &small(1.0), NcWriteFormat::Classic);
    let two = write(root, "two.nc", &small(2.0), NcWriteFormat::Nc4);
    let atlas = new_store().await;
    let options = ImportOptions::default();
    import(&atlas, std::slice::from_ref(&one), &options, &|_| {}).await.unwrap();
    import(&atlas, &[two], &options, &|_| {}).await.unwrap();
    assert_eq!(atlas.snapshot().root().generation(), 2);
    let error = import(&atlas, &[root.to_owned()], &options, &|_| {}).await.unwrap_err();
    assert!(matches!(error, Error::NameExists { .. }), "{error}");
    let ctx = session(&atlas, TableOptions::default()).unwrap();
    assert_eq!(
        rows(&ctx, "SELECT dataset, sum(v) FROM atlas GROUP BY 1 ORDER BY 1").await.unwrap(),
        ["one|6.0", "two|9.0"]
    );
}

#[tokio::test]
async fn one_broken_file_among_many_stops_the_import_or_is_skipped() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    for number in 0..50 {
        let format = if number % 2 == 0 { NcWriteFormat::Classic } else { NcWriteFormat::Nc4 };
        write(root, &format!("f{number:02}.nc"), &small(number as f32), format);
    }
    let whole = std::fs::read(root.join("f00.nc")).unwrap();
    std::fs::write(root.join("f10.nc"), &whole[..whole.len() - 4]).unwrap();
    std::fs::write(root.join("f20.nc"), b"").unwrap();
    std::fs::write(root.join("f30.nc"), b"CDF\x01garbage that is no header at all").unwrap();
    let hdf = std::fs::read(root.join("f01.nc")).unwrap();
    std::fs::write(root.join("f31.nc"), &hdf[..hdf.len() / 2]).unwrap();

    let atlas = new_store().await;
    let error = import(&atlas, &[root.to_owned()], &ImportOptions::default(), &|_| {}).await.unwrap_err();
    assert!(error.to_string().contains("f10.nc"), "{error}");
    let storage = atlas.storage().clone();
    assert!(
        matches!(Atlas::open_in(storage).await, Err(atlas::Error::NoStore { .. })),
        "nothing was written"
    );

    let atlas = new_store().await;
    let options = ImportOptions { skip_errors: true, jobs: 4, ..ImportOptions::default() };
    let last = std::sync::Mutex::new(None);
    let progress = |progress| *last.lock().unwrap() = Some(progress);
    let report = import(&atlas, &[root.to_owned()], &options, &progress).await.unwrap();
    let skipped: Vec<_> = report
        .skipped
        .iter()
        .map(|(path, _)| path.file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    assert_eq!(skipped, ["f10", "f20", "f30", "f31"]);
    assert_eq!((report.imported, atlas.list_datasets().unwrap().len()), (46, 46));
    let last = last.into_inner().unwrap().unwrap();
    assert_eq!((last.files, last.total), (50, 50));
    let ctx = session(&atlas, TableOptions::default()).unwrap();
    assert_eq!(rows(&ctx, "SELECT count(v), count(DISTINCT dataset) FROM atlas").await.unwrap(), ["138|46"]);
}

#[tokio::test]
async fn a_large_variable_is_read_in_parts_and_chunked_as_asked() {
    let directory = tempfile::tempdir().unwrap();
    let mut file = NcFileBuilder::new();
    let (times, cells) = (40usize, 250_000usize);
    let time = file.add_dimension("time", times as u64).unwrap();
    let x = file.add_dimension("x", cells as u64).unwrap();
    let v = file.add_variable::<f64>("v", &[time, x]).unwrap();
    let values: Vec<f64> = (0..times * cells).map(|i| i as f64).collect();
    file.write_variable(v, &values).unwrap();
    let path = write(directory.path(), "large.nc", &file, NcWriteFormat::Offset64);
    for (chunk, chunks) in
        [(vec![], 80), (vec![("time".to_owned(), 7)], 12), (vec![("x".to_owned(), 250_000)], 40)]
    {
        let atlas = new_store().await;
        let options = ImportOptions { chunk: chunk.into_iter().collect(), ..ImportOptions::default() };
        import(&atlas, std::slice::from_ref(&path), &options, &|_| {}).await.unwrap();
        let dataset = atlas.open_dataset("large").await.unwrap();
        let stats = dataset.array_stats("v").await.unwrap();
        assert_eq!((stats.row_count, stats.null_count), (10_000_000, 0));
        assert_eq!(stats.max, Some(atlas::Value::F64(9_999_999.0)));
        assert_eq!(atlas.snapshot().root().segments("v")[0].chunks, chunks);
        let corner = dataset.read_array::<f64>("v", &[31, 249_998], &[2, 2]).await.unwrap().unwrap();
        let first = (31 * cells + 249_998) as f64;
        assert_eq!(corner.as_slice().unwrap(), [first, first + 1.0, first + 250_000.0, first + 250_001.0]);
    }
}
