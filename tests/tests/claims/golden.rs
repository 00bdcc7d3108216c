//! Stores that earlier versions wrote can be read. `tests/golden/v<version>` has a store for each
//! codec, and its content as JSON. `tests/golden/read.py` reads the same stores by `format.md`
//! alone.
//!
//! The stores of a version are built once, by `ATLAS_BUILD_GOLDEN=1 cargo test -p atlas-tests
//! --test claims golden`, and never again.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use arrow::array::Array;
use atlas::{ArraySchema, Atlas, Codec, DType, Region, Result, StoreConfig, Value};
use serde_json::{Map, Value as Json, json};

const CODECS: [Codec; 3] = [Codec::Zstd, Codec::Lz4, Codec::None];

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(format!("v{}", atlas::format::VERSION))
}

/// A pseudo-random number for each number; all are different.
fn chance(i: usize) -> u64 {
    let x = (i as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (x ^ (x >> 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9)
}

/// Values for every kind of encoding. This function must not change.
fn value(name: &str, i: usize) -> Option<Value> {
    let missing = chance(i).is_multiple_of(7);
    Some(match name {
        "bool" => Value::Bool(chance(i).is_multiple_of(3)),
        "i8" => Value::I64(i as i64 % 200 - 100),
        "i16" => Value::I64(chance(i) as i64 % 500 * 3 - 7),
        "i32" => Value::I64(i as i64 * 1000 - 70_000),
        "i64" => Value::I64(if i == 3 { i64::MIN } else { chance(i) as i64 % 1000 }),
        "u8" | "u16" | "u32" if missing => return None,
        "u8" | "u16" | "u32" => Value::U64(chance(i) % 200),
        "u64" => Value::U64(u64::MAX - chance(i) % 70_000),
        "decimal_f32" if missing => return None,
        "decimal_f32" => Value::F64(f64::from((chance(i) % 30_000) as f32 / 1000.0)),
        "profile_f32" => Value::F64(f64::from((28_000 - (i % 70) * 370 + i % 40) as f32 / 1000.0)),
        "decimal_f64" => match i {
            10 => Value::F64(f64::NAN),
            11 => Value::F64(f64::INFINITY),
            12 => Value::F64(f64::NEG_INFINITY),
            13 => Value::F64(-0.0),
            14 => Value::F64(1.0 / 3.0),
            _ => Value::F64((chance(i) % 5000) as f64 / 100.0),
        },
        "smooth_f64" => Value::F64((i as f64 / 50.0).sqrt()),
        "noise_f64" => Value::F64(f64::from_bits(chance(i) >> 2)),
        "constant_f32" => Value::F64(1.5),
        "hours" => Value::Timestamp(i as i64 * 3_600_000_000_000),
        "days" => Value::Timestamp((i as i64 / 24 * 500 + i as i64 % 24) * 3_600_000_000_000),
        "names" if missing => return None,
        "names" => Value::String(format!("station {}", chance(i) % 30)),
        "words" => Value::String(format!("{:x}", chance(i))),
        "binary" => Value::Binary(chance(i).to_le_bytes()[..i % 9].to_vec()),
        _ => return None,
    })
}

const ARRAYS: [(&str, DType); 22] = [
    ("bool", DType::Bool),
    ("i8", DType::I8),
    ("i16", DType::I16),
    ("i32", DType::I32),
    ("i64", DType::I64),
    ("u8", DType::U8),
    ("u16", DType::U16),
    ("u32", DType::U32),
    ("u64", DType::U64),
    ("decimal_f32", DType::F32),
    ("profile_f32", DType::F32),
    ("decimal_f64", DType::F64),
    ("smooth_f64", DType::F64),
    ("noise_f64", DType::F64),
    ("constant_f32", DType::F32),
    ("hours", DType::Timestamp),
    ("days", DType::Timestamp),
    ("names", DType::String),
    ("words", DType::String),
    ("binary", DType::Binary),
    ("missing", DType::F32),
    ("scalar", DType::String),
];

/// Writes a store with several generations. This function must not change.
async fn build(path: &Path, codec: Codec) -> Result<()> {
    let atlas = Atlas::create_path(path, StoreConfig { codec, ..StoreConfig::default() }).await?;
    for (dataset, sizes) in
        [("first", [2, 1100]), ("second", [1, 7]), ("dropped", [1, 3]), ("third é", [3, 40])]
    {
        let view = atlas.create_dataset(dataset).await?;
        view.set_attribute("title", "a \"golden\" store")?;
        view.set_attribute("numbers", vec![1.5, f64::NAN])?;
        // So many datasets that they get a manifest, and later commits that change some of them.
        if codec == Codec::Zstd {
            view.set_attribute("history", "so it was. ".repeat(30_000))?;
        }
        for (name, dtype) in ARRAYS {
            let (dims, shape) =
                if name == "scalar" { (&[][..], &[][..]) } else { (&["x", "y"][..], &sizes[..]) };
            let mut schema = ArraySchema::new(name, dtype, dims);
            schema.chunk = if name == "i32" { vec![1, 100] } else { vec![0; dims.len()] };
            schema.fill = (name == "decimal_f32").then_some(Value::F64(-999.0));
            schema.attributes = vec![("units".to_owned(), "1".into())];
            view.define(schema, shape)?;
            let value =
                |i| if name == "scalar" { Some(Value::String(dataset.into())) } else { value(name, i) };
            let cells = dtype.array((0..shape.iter().product()).map(value));
            view.write_arrow(name, &vec![0; shape.len()], shape, cells).await?;
        }
        if dataset == "second" {
            atlas.flush().await?;
        }
    }
    atlas.flush().await?;
    let first = atlas.open_dataset("first").await?;
    first
        .write_arrow("i32", &[1, 90], &[1, 30], DType::I32.array((0..30).map(|i| Some(Value::I64(-i)))))
        .await?;
    first.write_arrow("u8", &[0, 0], &[1, 2], DType::U8.array([Some(Value::U64(1)), None])).await?;
    atlas.delete_dataset("dropped").await?;
    let second = atlas.open_dataset("second").await?;
    second.extend("y", 10).await?;
    second.delete_array("i16").await?;
    second.define(ArraySchema::new("i16", DType::F64, &["y"]), &[10])?;
    second.write_arrow("i16", &[8], &[1], DType::F64.array([Some(Value::F64(0.5))])).await?;
    atlas.rename_dataset("third é", "renamed é").await?;
    atlas.close().await
}

fn to_json(value: Option<Value>) -> Json {
    match value {
        None => Json::Null,
        Some(Value::Bool(value)) => json!(value),
        Some(Value::I64(value) | Value::Timestamp(value)) => json!(value),
        Some(Value::U64(value)) => json!(value),
        Some(Value::F64(value)) if value.is_finite() => json!(value),
        Some(Value::F64(value)) => json!(value.to_string()),
        Some(Value::String(value)) => json!(value),
        Some(Value::Binary(value)) => json!(value),
    }
}

/// What a store holds, as JSON.
async fn contents(path: &Path) -> Result<Json> {
    let atlas = Atlas::open_path(path).await?;
    let mut datasets = Map::new();
    for name in atlas.list_datasets().unwrap() {
        let view = atlas.open_dataset(&name).await?;
        let mut arrays = Map::new();
        for schema in view.arrays()? {
            let shape = view.shape(&schema.name)?;
            let cells = view.read_arrow(&schema.name, &Region::all(&shape).start, &shape).await?;
            let values: Vec<_> = (0..cells.len()).map(|i| to_json(schema.dtype.value(&cells, i))).collect();
            let dtype = schema.dtype.to_string();
            arrays.insert(schema.name, json!({ "dtype": dtype, "shape": shape, "values": values }));
        }
        datasets.insert(name, Json::Object(arrays));
    }
    Ok(Json::Object(datasets))
}

#[tokio::test]
async fn golden_stores_hold_what_they_were_built_to_hold() {
    let golden = golden();
    if std::env::var_os("ATLAS_BUILD_GOLDEN").is_some() {
        assert!(!golden.exists(), "{} is there, and will not change", golden.display());
        for codec in CODECS {
            build(&golden.join(codec.to_string()), codec).await.unwrap();
        }
        let expected = contents(&golden.join("zstd")).await.unwrap();
        std::fs::write(golden.join("expected.json"), format!("{expected}\n")).unwrap();
    }
    let expected = std::fs::read(golden.join("expected.json"));
    let expected: Json = serde_json::from_slice(&expected.expect("there are golden stores")).unwrap();
    // The expected content equals the builder's input where that can be seen at a glance.
    let first = &expected["first"];
    for (name, _) in ARRAYS.into_iter().filter(|(name, _)| !["i32", "u8", "scalar"].contains(name)) {
        let values: Vec<_> = (0..2200).map(|i| to_json(value(name, i))).collect();
        assert_eq!(first[name]["values"], Json::Array(values), "{name}");
    }
    assert_eq!(expected["second"]["i16"]["values"][8], 0.5);
    assert!(expected.get("dropped").is_none() && expected.get("renamed é").is_some());

    let mut ways = BTreeSet::new();
    for codec in CODECS {
        let path = golden.join(codec.to_string());
        assert_eq!(contents(&path).await.unwrap(), expected, "{codec}");
        let atlas = Atlas::open_path(&path).await.unwrap();
        let verified = atlas.verify().await.unwrap();
        assert_eq!((verified.problems, verified.unused), (Vec::new(), Vec::new()));
        assert_eq!(atlas.log().await.unwrap().len(), 3);
        for variable in atlas.list_arrays().unwrap() {
            for (_, blocks, _) in atlas::internals::parts(&atlas, &variable).await.unwrap() {
                ways.extend(blocks.iter().map(|(block, _)| atlas::internals::describe_block(block)));
            }
        }
    }
    for encoding in ["raw", "shuffle", "constant", "packed", "delta", "decimal", "dictionary"] {
        assert!(ways.iter().any(|way| way.starts_with(encoding)), "{encoding} is not among {ways:?}");
    }
    for codec in ["zstd", "lz4"] {
        assert!(ways.iter().any(|way| way.ends_with(codec)), "{codec} is not among {ways:?}");
    }
}
