//! How cells of NetCDF files are decoded (missing cells, packed cells, text), and what is reported
//! about them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use atlas::{Atlas, DType, StoreConfig, Value};
use atlas_import::{ImportOptions, MaskPolicy, NoticeClass, NoticeSummary, Progress, Report, import};
use netcdf_writer::{
    NcAttrValue, NcEnumMember, NcFileBuilder, NcIntegerValue, NcType, NcWriteFormat, NcWriteOptions,
    VariableId,
};

const ALL: [NcWriteFormat; 4] =
    [NcWriteFormat::Classic, NcWriteFormat::Offset64, NcWriteFormat::Cdf5, NcWriteFormat::Nc4];

fn text(text: &str) -> NcAttrValue {
    NcAttrValue::Chars(text.to_owned())
}

/// A file under construction, and its attributes.
struct File(NcFileBuilder);

impl File {
    fn set(&mut self, variable: VariableId, attributes: &[(&str, NcAttrValue)]) {
        for (name, value) in attributes {
            self.0.add_variable_attribute(variable, *name, value.clone()).unwrap();
        }
    }

    fn write(&self, directory: &Path, name: &str, format: NcWriteFormat) -> PathBuf {
        let path = directory.join(name);
        std::fs::write(&path, self.0.to_vec(NcWriteOptions { format }).unwrap().1).unwrap();
        path
    }
}

/// Adds a variable with these numbers, over its own dimension.
macro_rules! numbers {
    ($file:expr, $name:expr, $values:expr, [$($attribute:expr),* $(,)?]) => {{
        let values = $values;
        let dim = $file.0.add_dimension(format!("{}_dim", $name), values.len() as u64).unwrap();
        let variable = $file.0.add_variable_of(&values, $name, &[dim]);
        $file.set(variable, &[$($attribute),*]);
    }};
}

/// Writes a variable of any numeric type.
trait AddVariable {
    fn add_variable_of<T: netcdf_writer::NcWriteType>(
        &mut self,
        values: &[T],
        name: &str,
        dims: &[netcdf_writer::DimensionId],
    ) -> VariableId;
}

impl AddVariable for NcFileBuilder {
    fn add_variable_of<T: netcdf_writer::NcWriteType>(
        &mut self,
        values: &[T],
        name: &str,
        dims: &[netcdf_writer::DimensionId],
    ) -> VariableId {
        let variable = self.add_variable::<T>(name, dims).unwrap();
        self.write_variable(variable, values).unwrap();
        variable
    }
}

async fn new_store() -> Atlas {
    static STORES: AtomicUsize = AtomicUsize::new(0);
    let number = STORES.fetch_add(1, Ordering::Relaxed);
    Atlas::create_url(&format!("memory:///values-{number}"), StoreConfig::default()).await.unwrap()
}

async fn imported(paths: &[PathBuf], options: &ImportOptions) -> (Atlas, Report) {
    let atlas = new_store().await;
    let report = import(&atlas, paths, options, &|_| {}).await.unwrap();
    (atlas, report)
}

/// The cells of an array as text, with NULL for missing ones.
async fn cells(atlas: &Atlas, dataset: &str, array: &str) -> Vec<String> {
    let dataset = atlas.open_dataset(dataset).await.unwrap();
    let shape = dataset.shape(array).unwrap();
    let dtype = dataset.schema(array).unwrap().dtype;
    let cells = dataset.read_arrow(array, &vec![0; shape.len()], &shape).await.unwrap();
    let cell = |row| dtype.value(&cells, row).map_or("NULL".to_owned(), |value| value.to_string());
    (0..cells.len()).map(cell).collect()
}

async fn dtype(atlas: &Atlas, dataset: &str, array: &str) -> DType {
    atlas.open_dataset(dataset).await.unwrap().schema(array).unwrap().dtype
}

/// Class, subject, detail, files and cells of notices.
fn notices(summary: &NoticeSummary) -> Vec<(NoticeClass, String, String, usize, u64)> {
    let notice = |(class, subject, detail, n): (_, &str, &str, &atlas_import::Notices)| {
        (class, subject.to_owned(), detail.to_owned(), n.files, n.cells)
    };
    summary.iter().map(notice).collect()
}

/// The number of cells of a variable that notices of a class count.
fn counted(summary: &NoticeSummary, class: NoticeClass, variable: &str) -> u64 {
    let counted = summary.iter().filter(|(of, subject, ..)| *of == class && *subject == variable);
    counted.map(|(.., notices)| notices.cells).sum()
}

const I16: i16 = -32_767;
const I32: i32 = -2_147_483_647;
const I64: i64 = -9_223_372_036_854_775_806;
const F32: f32 = 9.969_21e36;
const F64: f64 = 9.969_209_968_386_869e36;

fn unwritten(wide: bool) -> File {
    let mut file = File(NcFileBuilder::new());
    numbers!(file, "i8", [1i8, -127], []);
    numbers!(file, "i16", [1, I16], []);
    numbers!(file, "i32", [1, I32], []);
    numbers!(file, "f32", [1.0, F32], []);
    numbers!(file, "f64", [1.0, F64], []);
    if wide {
        numbers!(file, "u8", [1u8, 255], []);
        numbers!(file, "u16", [1u16, 65_535], []);
        numbers!(file, "u32", [1u32, u32::MAX], []);
        numbers!(file, "i64", [1, I64], []);
        numbers!(file, "u64", [1u64, u64::MAX - 1], []);
    }
    // Fill values are compared before unpacking, with the numbers as stored.
    numbers!(file, "packed", [1, I16], [("scale_factor", NcAttrValue::Floats(vec![0.5]))]);
    numbers!(file, "unsigned", [1, I16, -1], [("_Unsigned", text("true"))]);
    numbers!(file, "time", [1.0, F64], [("units", text("days since 2000-01-01"))]);
    // Variables that declare a fill value have no default one.
    numbers!(file, "declared", [1, I32, -9], [("_FillValue", NcAttrValue::Ints(vec![-9]))]);
    numbers!(file, "missing_value", [1, I32, -9], [("missing_value", NcAttrValue::Ints(vec![-9]))]);
    // A coordinate that was never written.
    let x = file.0.add_dimension("x", 2).unwrap();
    file.0.add_variable_of(&[I32, I32], "x", &[x]);
    file
}

#[tokio::test]
async fn cells_that_nobody_wrote_are_missing_and_counted() {
    let directory = tempfile::tempdir().unwrap();
    for format in ALL {
        let wide = [NcWriteFormat::Cdf5, NcWriteFormat::Nc4].contains(&format);
        let path = unwritten(wide).write(directory.path(), "f.nc", format);
        let (atlas, report) = imported(std::slice::from_ref(&path), &ImportOptions::default()).await;
        let mut expected = vec![
            ("i8", vec!["1", "-127"]),
            ("i16", vec!["1", "NULL"]),
            ("i32", vec!["1", "NULL"]),
            ("f32", vec!["1", "NULL"]),
            ("f64", vec!["1", "NULL"]),
            ("packed", vec!["0.5", "NULL"]),
            ("unsigned", vec!["1", "NULL", "65535"]),
            ("time", vec!["2000-01-02T00:00:00", "NULL"]),
            ("declared", vec!["1", "-2147483647", "NULL"]),
            ("missing_value", vec!["1", "NULL", "NULL"]),
            ("x", vec!["NULL", "NULL"]),
        ];
        if wide {
            expected.push(("u8", vec!["1", "255"]));
            expected.extend(["u16", "u32", "i64", "u64"].map(|name| (name, vec!["1", "NULL"])));
        }
        for (name, values) in expected {
            assert_eq!(cells(&atlas, "f", name).await, values, "{name}");
            let nulls = values.iter().filter(|value| **value == "NULL").count() as u64;
            // Cells that `_FillValue` and `missing_value` declare missing are not reported.
            let declared = u64::from(["declared", "missing_value"].contains(&name));
            assert_eq!(counted(&report.notices, NoticeClass::DefaultFill, name), nulls - declared, "{name}");
        }
        let options = ImportOptions { default_fill: MaskPolicy::Keep, ..ImportOptions::default() };
        let (atlas, report) = imported(&[path], &options).await;
        assert_eq!(cells(&atlas, "f", "i32").await, ["1", "-2147483647"]);
        assert_eq!(cells(&atlas, "f", "packed").await, ["0.5", "-16383.5"]);
        assert!(report.notices.iter().all(|(class, ..)| class != NoticeClass::DefaultFill));
    }
}

/// NaN is a value unless a fill value is NaN, in packed variables too.
#[tokio::test]
async fn nan_in_packed_floats_is_no_missing_cell() {
    let directory = tempfile::tempdir().unwrap();
    let (single, double) =
        (|value: f32| NcAttrValue::Floats(vec![value]), |value: f64| NcAttrValue::Doubles(vec![value]));
    let packings = [
        vec![("scale_factor", double(2.0))],
        vec![("scale_factor", single(2.0))],
        vec![("add_offset", double(1.0))],
        vec![("scale_factor", double(2.0)), ("add_offset", single(1.0))],
    ];
    for format in ALL {
        let mut file = File(NcFileBuilder::new());
        let mut expected = Vec::new();
        for (number, packing) in packings.iter().enumerate() {
            let finite = ["2.5", "1.5", "2.25", "3.5"][number];
            for (fill, values) in [
                (None, [finite, "NaN", "inf", "NULL"]),
                (Some(9.0), [finite, "NaN", "inf", "NULL"]),
                (Some(f64::NAN), [finite, "NULL", "inf", "NULL"]),
            ] {
                let name = format!("{number} {fill:?}");
                let attributes = |fill: Option<NcAttrValue>| {
                    let fill = fill.map(|fill| ("_FillValue", fill));
                    packing.iter().cloned().chain(fill).collect::<Vec<_>>()
                };
                for (wide, suffix) in [(false, "f32"), (true, "f64")] {
                    let name = format!("{name} {suffix}");
                    let dim = file.0.add_dimension(format!("{name} dim"), 4).unwrap();
                    let cell = [1.25, 0.75, 1.25, 1.25][number];
                    if wide {
                        let cells = [cell, f64::NAN, f64::INFINITY, fill.unwrap_or(F64)];
                        let variable = file.0.add_variable_of(&cells, &name, &[dim]);
                        file.set(variable, &attributes(fill.map(double)));
                    } else {
                        let fill = fill.map(|fill| fill as f32);
                        let cells = [cell as f32, f32::NAN, f32::INFINITY, fill.unwrap_or(F32)];
                        let variable = file.0.add_variable_of(&cells, &name, &[dim]);
                        file.set(variable, &attributes(fill.map(single)));
                    }
                    expected.push((name, values));
                }
            }
        }
        let path = file.write(directory.path(), "f.nc", format);
        let (atlas, _) = imported(&[path], &ImportOptions::default()).await;
        for (name, values) in &expected {
            assert_eq!(&cells(&atlas, "f", name).await, values, "{name}");
        }
        // A file written from the dataset has the same cells.
        let again = directory.path().join("again.nc");
        std::fs::write(&again, atlas_import::export::export(&atlas, "f").await.unwrap()).unwrap();
        let (atlas, _) = imported(&[again], &ImportOptions::default()).await;
        for (name, values) in &expected {
            assert_eq!(&cells(&atlas, "again", name).await, values, "{name} after an export");
        }
    }
}

#[tokio::test]
async fn cells_outside_the_valid_range_are_counted_and_missing_if_asked() {
    let directory = tempfile::tempdir().unwrap();
    let mut file = File(NcFileBuilder::new());
    let floats = |values: &[f32]| NcAttrValue::Floats(values.to_vec());
    let shorts = |values: &[i16]| NcAttrValue::Shorts(values.to_vec());
    numbers!(
        file,
        "a",
        [-500f32, 1.0, 2.0, f32::NAN, 4.0, 5000.0, -999.0],
        [("valid_min", floats(&[0.0])), ("valid_max", floats(&[100.0])), ("_FillValue", floats(&[-999.0]))]
    );
    let scale = || ("scale_factor", floats(&[0.01]));
    numbers!(file, "b", [-20_000i16, 0, 20_000], [("valid_range", shorts(&[-18_000, 18_000])), scale()]);
    numbers!(file, "unpacked", [-20_000i16, 0, 20_000], [("valid_range", floats(&[-180.0, 200.0])), scale()]);
    let bytes = NcAttrValue::Bytes(vec![0, -56]);
    numbers!(file, "c", [-1i8, 0, 127, -56], [("_Unsigned", text("true")), ("valid_range", bytes)]);
    let days = || ("units", text("days since 2000-01-01"));
    numbers!(
        file,
        "time",
        [-1.0f64, 0.0, 9.0],
        [days(), ("valid_range", NcAttrValue::Doubles(vec![0.0, 5.0]))]
    );
    numbers!(file, "bad", [1i32, 2], [("valid_range", text("everything"))]);
    for format in ALL {
        let path = file.write(directory.path(), "f.nc", format);
        let (kept, report) = imported(std::slice::from_ref(&path), &ImportOptions::default()).await;
        let options = ImportOptions { valid_range: MaskPolicy::Mask, ..ImportOptions::default() };
        let (masked, masked_report) = imported(&[path], &options).await;
        for (name, outside, values) in [
            ("a", 2, vec!["NULL", "1", "2", "NaN", "4", "NULL", "NULL"]),
            ("b", 2, vec!["NULL", "0", "NULL"]),
            ("unpacked", 1, vec!["NULL", "0", "200"]),
            ("c", 1, vec!["NULL", "0", "127", "200"]),
            ("time", 2, vec!["NULL", "2000-01-01T00:00:00", "NULL"]),
            ("bad", 0, vec!["1", "2"]),
        ] {
            assert_eq!(cells(&masked, "f", name).await, values, "{name}");
            for report in [&report, &masked_report] {
                assert_eq!(counted(&report.notices, NoticeClass::OutsideValidRange, name), outside, "{name}");
            }
        }
        assert_eq!(cells(&kept, "f", "a").await, ["-500", "1", "2", "NaN", "4", "5000", "NULL"]);
        assert_eq!(cells(&kept, "f", "c").await, ["255", "0", "127", "200"]);
        let bad = report.notices.iter().find(|(class, ..)| *class == NoticeClass::BadAttribute).unwrap();
        assert_eq!((bad.1, bad.2), ("bad", "`valid_range` is text that is no number: it is ignored"));
        // The attributes are kept.
        let schema = masked.open_dataset("f").await.unwrap().schema("a").unwrap();
        assert_eq!(schema.attribute("valid_max"), Some(&100.0f64.into()));
    }
}

#[tokio::test]
async fn packed_values_keep_their_digits_and_numbers_may_be_text() {
    let directory = tempfile::tempdir().unwrap();
    let mut file = File(NcFileBuilder::new());
    let half = || ("scale_factor", NcAttrValue::Floats(vec![0.5]));
    numbers!(file, "i16", [3i16], [half()]);
    numbers!(file, "i32", [2_000_000_001i32], [half()]);
    numbers!(file, "f64", [0.1f64], [half()]);
    numbers!(file, "f32", [3.0f32], [half()]);
    numbers!(file, "wider", [3i16], [half(), ("add_offset", NcAttrValue::Doubles(vec![0.25]))]);
    numbers!(file, "spelled", [3i16, -9], [("scale_factor", text("0.5")), ("missing_value", text("-9"))]);
    numbers!(file, "words", [3i16], [("scale_factor", text("a half"))]);
    // The variable's type cannot represent this number, which must not be taken for another one.
    numbers!(file, "too_large", [44i8], [("missing_value", NcAttrValue::Shorts(vec![300]))]);
    for format in ALL {
        let path = file.write(directory.path(), "f.nc", format);
        let (atlas, report) = imported(&[path], &ImportOptions::default()).await;
        for (name, expected, values) in [
            ("i16", DType::F32, vec!["1.5"]),
            ("i32", DType::F64, vec!["1000000000.5"]),
            ("f64", DType::F64, vec!["0.05"]),
            ("f32", DType::F32, vec!["1.5"]),
            ("wider", DType::F64, vec!["1.75"]),
            ("spelled", DType::F64, vec!["1.5", "NULL"]),
            ("words", DType::I16, vec!["3"]),
            ("too_large", DType::I8, vec!["44"]),
        ] {
            assert_eq!(cells(&atlas, "f", name).await, values, "{name}");
            assert_eq!(dtype(&atlas, "f", name).await, expected, "{name}");
        }
        let told: Vec<_> =
            notices(&report.notices).into_iter().map(|(_, name, detail, ..)| (name, detail)).collect();
        let expected = [
            ("spelled", "`missing_value` is text: it is read as a number"),
            ("spelled", "`scale_factor` is text: it is read as a number"),
            ("too_large", "`missing_value` has a number that is no i8: it is ignored"),
            ("words", "`scale_factor` is text that is no number: it is ignored"),
        ];
        assert_eq!(told, expected.map(|(name, detail)| (name.to_owned(), detail.to_owned())));
    }
}

#[tokio::test]
async fn fill_values_of_text_are_missing_and_empty_strings_are_not() {
    let directory = tempfile::tempdir().unwrap();
    for format in ALL {
        let mut file = File(NcFileBuilder::new());
        let n = file.0.add_dimension("n", 4).unwrap();
        let length = file.0.add_dimension("length", 3).unwrap();
        for (name, fill) in [("flag", Some("-")), ("plain_flag", None)] {
            let v = file.0.add_char_variable(name, &[n]).unwrap();
            file.0.write_char_variable(v, b"1-\0 ").unwrap();
            fill.into_iter().for_each(|fill| file.set(v, &[("_FillValue", text(fill))]));
        }
        for (name, fill) in [("code", Some("-")), ("plain_code", None), ("blank", Some(" "))] {
            let v = file.0.add_char_variable(name, &[n, length]).unwrap();
            file.0.write_char_variable(v, b"ab \0\0\0---   ").unwrap();
            fill.into_iter().for_each(|fill| file.set(v, &[("_FillValue", text(fill))]));
        }
        if format == NcWriteFormat::Nc4 {
            for (name, attribute) in
                [("name", Some("_FillValue")), ("other", Some("missing_value")), ("plain", None)]
            {
                let v = file.0.add_string_variable(name, &[n]).unwrap();
                file.0.write_string_variable(v, &["a", "NA", "", "d"]).unwrap();
                attribute.into_iter().for_each(|name| file.set(v, &[(name, text("NA"))]));
            }
            let member =
                |name: &str, value| NcEnumMember { name: name.into(), value: NcIntegerValue::U8(value) };
            let members = vec![member("clear", 0), member("cumulus", 1), member("missing", 255)];
            let kind = NcType::Enum { base: Box::new(NcType::UByte), members };
            for (name, fill) in [("kind", Some(NcAttrValue::UBytes(vec![255]))), ("plain_kind", None)] {
                let v = file.0.add_user_defined_variable(name, &[n], kind.clone()).unwrap();
                let values = [0, 1, 255, 7].map(NcIntegerValue::U8);
                file.0.write_enum_variable(v, &values).unwrap();
                fill.into_iter().for_each(|fill| file.set(v, &[("_FillValue", fill)]));
            }
            // The default fill value of the underlying type, which is not a member.
            let member = NcEnumMember { name: "on".into(), value: NcIntegerValue::I32(1) };
            let wide = NcType::Enum { base: Box::new(NcType::Int), members: vec![member] };
            let v = file.0.add_user_defined_variable("wide_kind", &[n], wide).unwrap();
            file.0.write_enum_variable(v, &[1, I32, 0, 1].map(NcIntegerValue::I32)).unwrap();
        }
        let path = file.write(directory.path(), "f.nc", format);
        let (atlas, report) = imported(&[path], &ImportOptions::default()).await;
        let mut expected = vec![
            ("flag", ["1", "NULL", "", " "]),
            ("plain_flag", ["1", "-", "", " "]),
            ("code", ["ab", "", "NULL", ""]),
            ("plain_code", ["ab", "", "---", ""]),
            ("blank", ["ab", "", "---", "NULL"]),
        ];
        if format == NcWriteFormat::Nc4 {
            expected.extend([
                ("name", ["a", "NULL", "", "d"]),
                ("other", ["a", "NULL", "", "d"]),
                ("plain", ["a", "NA", "", "d"]),
                ("kind", ["clear", "cumulus", "NULL", "7"]),
                ("plain_kind", ["clear", "cumulus", "missing", "7"]),
                ("wide_kind", ["on", "NULL", "0", "on"]),
            ]);
        }
        for (name, values) in expected {
            assert_eq!(cells(&atlas, "f", name).await, values, "{format:?} {name}");
        }
        assert!(report.notices.is_empty(), "{report:?}");
    }
}

#[tokio::test]
async fn both_dimensions_of_a_covariance_have_the_coordinate() {
    let directory = tempfile::tempdir().unwrap();
    let mut file = File(NcFileBuilder::new());
    let n = file.0.add_dimension("n", 2).unwrap();
    let taken = file.0.add_dimension("n_2", 3).unwrap();
    file.0.add_variable_of(&[10.0f64, 20.0], "n", &[n]);
    file.0.add_variable_of(&[1.0f64, 2.0, 3.0, 4.0], "cov", &[n, n]);
    file.0.add_variable_of(&[1.0f64, 2.0, 3.0], "v", &[taken]);
    for format in ALL {
        let path = file.write(directory.path(), "f.nc", format);
        let (atlas, report) = imported(&[path], &ImportOptions::default()).await;
        let schema = atlas.open_dataset("f").await.unwrap().schema("cov").unwrap();
        assert_eq!(schema.dims, ["n", "n_3"]);
        assert_eq!(cells(&atlas, "f", "n_3").await, ["10", "20"]);
        assert_eq!(cells(&atlas, "f", "v").await, ["1", "2", "3"]);
        assert_eq!(
            notices(&report.notices),
            [(NoticeClass::RepeatedDimension, "cov".into(), "`n` again is `n_3`".into(), 1, 0)]
        );
    }
}

/// Writes a file with a variable `t` of these units and this type.
fn measured(directory: &Path, name: &str, units: &str, double: bool) -> PathBuf {
    let mut file = File(NcFileBuilder::new());
    let units = || ("units", text(units));
    match double {
        true => numbers!(file, "t", [1.0f64, F64], [units()]),
        false => numbers!(file, "t", [1.0f32, F32], [units()]),
    }
    numbers!(
        file,
        "time",
        [1.0f64],
        [("units", text(if double { "days since 2000-01-01" } else { "hours since 2000-01-01" }))]
    );
    file.write(directory, name, NcWriteFormat::Classic)
}

#[tokio::test]
async fn reports_add_up_in_the_store_and_tell_of_units_and_types_that_differ() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let atlas = new_store().await;
    let options = ImportOptions::default();
    let stored = || notices(&NoticeSummary::of_store(atlas.snapshot().root()).unwrap());
    let run = async |name: &str, units: &str, double| {
        let path = measured(directory, name, units, double);
        notices(&import(&atlas, &[path], &options, &|_| {}).await.unwrap().notices)
    };
    let of = |class, detail: &str, files, cells| (class, "t".to_owned(), detail.to_owned(), files, cells);
    let unwritten = |files| of(NoticeClass::DefaultFill, "made missing", files, files as u64);

    assert_eq!(run("u0.nc", "K", false).await, [unwritten(1)]);
    let differ = |kelvin, singles| {
        [
            of(NoticeClass::UnitsDiffer, "`K`", kelvin, 0),
            of(NoticeClass::UnitsDiffer, "`degC`", 1, 0),
            of(NoticeClass::TypesDiffer, "f32", singles, 0),
            of(NoticeClass::TypesDiffer, "f64", 1, 0),
        ]
    };
    // The notices add to those that the store already has.
    assert_eq!(run("u1.nc", "degC", true).await, [&[unwritten(1)], differ(1, 1).as_slice()].concat());
    assert_eq!(run("u2.nc", "K", false).await, [&[unwritten(1)], differ(2, 2).as_slice()].concat());
    assert_eq!(stored(), [&[unwritten(3)], differ(2, 2).as_slice()].concat());

    // A file without the variable adds no notices about it, and removes none.
    let mut other = File(NcFileBuilder::new());
    numbers!(other, "other", [1i32], []);
    let path = other.write(directory, "other.nc", NcWriteFormat::Classic);
    assert!(import(&atlas, &[path], &options, &|_| {}).await.unwrap().notices.is_empty());
    atlas.compact(None).await.unwrap();
    atlas.vacuum(std::time::Duration::ZERO).await.unwrap();
    let reopened = Atlas::open_in(atlas.storage().clone()).await.unwrap();
    let reopened = NoticeSummary::of_store(reopened.snapshot().root()).unwrap();
    assert_eq!(notices(&reopened), [&[unwritten(3)], differ(2, 2).as_slice()].concat());
    assert!(reopened.iter().all(|(.., notices)| !notices.example.as_os_str().is_empty()));
}

#[tokio::test]
async fn what_is_pending_is_none_of_the_imports() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let options = ImportOptions::default();
    let atlas = new_store().await;
    let pending = atlas.create_dataset("mine").await.unwrap();
    pending.define_array::<i32>("v", &["x"], &[1], None, None).unwrap();
    let good = measured(directory, "a.nc", "K", false);
    assert_eq!(import(&atlas, &[good], &options, &|_| {}).await.unwrap().imported, 1);
    // The handle stays at its generation, and pending changes are still pending.
    assert_eq!(atlas.snapshot().root().generation(), 0);
    assert_eq!(atlas.list_datasets().unwrap(), ["mine"]);
    let other = Atlas::open_in(atlas.storage().clone()).await.unwrap();
    assert_eq!(other.list_datasets().unwrap(), ["a"]);
    let seven = std::sync::Arc::new(arrow::array::Int32Array::from(vec![7]));
    pending.write_arrow("v", &[0], &[1], seven).await.unwrap();
    atlas.flush().await.unwrap();
    assert_eq!(atlas.list_datasets().unwrap(), ["a", "mine"]);
    assert_eq!(cells(&atlas, "mine", "v").await, ["7"]);

    // A failed import leaves nothing behind, neither pending nor in the store.
    let files = [measured(directory, "b.nc", "K", false), directory.join("c.nc")];
    std::fs::write(&files[1], "no NetCDF").unwrap();
    let generation = atlas.snapshot().root().generation();
    assert!(import(&atlas, &files, &options, &|_| {}).await.is_err());
    atlas.flush().await.unwrap();
    atlas.refresh().await.unwrap();
    assert_eq!(atlas.snapshot().root().generation(), generation);
    assert_eq!(atlas.list_datasets().unwrap(), ["a", "mine"]);
    assert_eq!(atlas.verify().await.unwrap().unused, [""; 0]);
    assert_eq!(import(&atlas, &files[..1], &options, &|_| {}).await.unwrap().imported, 1);
    assert_eq!(atlas.list_datasets().unwrap(), ["a", "mine", "b"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn imports_that_run_at_one_time_all_succeed_and_are_all_in_the_report() {
    let directory = tempfile::tempdir().unwrap();
    let atlas = new_store().await;
    let runs = (0..8).map(|number| {
        let units = if number % 4 == 0 { "degC" } else { "K" };
        let path = measured(directory.path(), &format!("{number}.nc"), units, number % 2 == 1);
        let storage = atlas.storage().clone();
        let run = move || async move {
            let atlas = match Atlas::open_in(storage.clone()).await {
                Err(atlas::Error::NoStore { .. }) => Atlas::create_in(storage, StoreConfig::default()).await,
                opened => opened,
            };
            import(&atlas.unwrap(), &[path], &ImportOptions::default(), &|_| {}).await.unwrap().imported
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        std::thread::spawn(move || runtime.block_on(run()))
    });
    for run in runs.collect::<Vec<_>>() {
        assert_eq!(run.join().unwrap(), 1);
    }
    atlas.refresh().await.unwrap();
    let mut datasets = atlas.list_datasets().unwrap();
    datasets.sort();
    assert_eq!(datasets, ["0", "1", "2", "3", "4", "5", "6", "7"]);
    let stored = notices(&NoticeSummary::of_store(atlas.snapshot().root()).unwrap());
    let of = |class, detail: &str, files, cells| (class, "t".to_owned(), detail.to_owned(), files, cells);
    assert_eq!(
        stored,
        [
            of(NoticeClass::DefaultFill, "made missing", 8, 8),
            of(NoticeClass::UnitsDiffer, "`K`", 6, 0),
            of(NoticeClass::UnitsDiffer, "`degC`", 2, 0),
            of(NoticeClass::TypesDiffer, "f32", 4, 0),
            of(NoticeClass::TypesDiffer, "f64", 4, 0),
        ]
    );

    // Two files with the same name are a different error.
    let [one, two] = ["one", "two"].map(|parent| {
        std::fs::create_dir(directory.path().join(parent)).unwrap();
        measured(&directory.path().join(parent), "same.nc", "K", false)
    });
    let taken = std::sync::Mutex::new(Some(one));
    let options = ImportOptions::default();
    let other = atlas.with_cache(atlas::CacheBudget::default());
    // The other import runs after this one has written its file, and before it commits.
    let then = |progress: Progress| {
        let Some(one) = taken.lock().unwrap().take_if(|_| progress.files == 1) else { return };
        let run = async { import(&other, &[one], &ImportOptions::default(), &|_| {}).await.unwrap() };
        tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(run));
    };
    let two = [two];
    let raced = import(&atlas, &two, &options, &then);
    let error = raced.await.unwrap_err().to_string();
    assert_eq!(
        error,
        "another writer has added a dataset `same` to the store meanwhile: nothing was imported"
    );
    atlas.flush().await.unwrap();
    atlas.refresh().await.unwrap();
    assert_eq!(atlas.verify().await.unwrap().unused, [""; 0]);
}

#[tokio::test]
async fn fill_values_of_the_store_are_no_values_of_cells() {
    let directory = tempfile::tempdir().unwrap();
    let mut file = File(NcFileBuilder::new());
    numbers!(file, "v", [1i32, I32], []);
    let path = file.write(directory.path(), "f.nc", NcWriteFormat::Classic);
    let (atlas, _) = imported(&[path], &ImportOptions::default()).await;
    let schema = atlas.open_dataset("f").await.unwrap().schema("v").unwrap();
    assert_eq!(schema.fill, Some(Value::I64(I32.into())));
}
