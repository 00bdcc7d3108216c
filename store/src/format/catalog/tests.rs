use super::root::*;
use super::*;
use crate::encoding::codec::Codec;
use crate::error::{Error, Result};
use crate::format::rows::RowsBuilder;
use crate::model::dtype::DType;
use crate::model::value::Value;
/// A root before it is put together.
#[derive(Clone)]
struct Example {
    root: Root,
    datasets: Vec<Option<Row>>,
}

/// A dataset: its name, schema, sizes and attributes.
type Row = (String, u32, Vec<u64>, Vec<(String, AttributeValue)>);

impl Example {
    fn root(&self) -> Root {
        let mut rows = RowsBuilder::default();
        for (ordinal, dataset) in (0u32..).zip(&self.datasets) {
            match dataset {
                Some((name, schema, sizes, attributes)) => {
                    rows.push(ordinal, name, *schema, sizes.iter().copied(), attributes.iter().cloned());
                }
                None => rows.push_deleted(ordinal),
            }
        }
        Root { rows: Arc::new(rows.finish().unwrap()), ..self.root.clone() }
    }

    fn encode(&self) -> Vec<u8> {
        self.root().encode(None).unwrap()
    }
}

fn decode(bytes: &[u8]) -> Result<Catalog> {
    let (root, _) = Root::decode("atlas.json", bytes)?;
    Catalog::of(Arc::new(root), Vec::new()).map_err(|reason| Error::corrupt("atlas.json", reason))
}

fn example() -> Example {
    let mut temperature = ArraySchema::new("temperature", DType::F32, &["time"]);
    temperature.fill = Some(Value::F64(f64::NAN));
    temperature.attributes = vec![("units".to_owned(), "degC".into())];
    let schema =
        DatasetSchema { dims: vec!["time".into()], arrays: vec![0], attributes: vec!["title".into()] };
    let segment = SegmentEntry {
        file: "data.0.af".into(),
        directory: None,
        dtype: DType::F32,
        first: 0,
        size: 1000,
        index: 900,
        chunks: 1,
        cells: 24,
        missing: 3,
    };
    let dataset =
        |name: &str| Some((name.to_owned(), 0, vec![24], vec![("title".to_owned(), "A \"b\"".into())]));
    let root = Root {
        generation: 3,
        operation: "write".into(),
        attributes: vec![("history".to_owned(), vec!["a".to_owned(), "b".to_owned()].into())],
        arrays: vec![Arc::new(temperature)],
        schemas: vec![Arc::new(schema)],
        variables: [("temperature".to_owned(), vec![segment])].into(),
        next: 3,
        count: 2,
        cells: 48,
        ..Root::empty(Codec::Zstd)
    };
    Example { root, datasets: vec![dataset("a"), None, dataset("b c")] }
}

#[test]
fn a_catalog_comes_back() {
    let bytes = example().encode();
    let back = decode(&bytes).unwrap();
    assert_eq!(back.encode(None).unwrap(), bytes);
    assert_eq!((back.ordinal("b c"), back.ordinal("a"), back.ordinal("b")), (Some(2), Some(0), None));
    let dataset = back.dataset(2).unwrap();
    assert_eq!(back.shape(dataset, back.array(dataset, "temperature").unwrap()), [24]);
    assert_eq!(dataset.attribute("title"), Some("A \"b\"".into()));
    assert!(back.dataset(1).is_none() && back.dataset(3).is_none());
    assert!(serde_json::from_slice::<serde_json::Value>(&bytes).is_ok());
    let empty = Root::empty(Codec::None).following("write").encode(None).unwrap();
    assert_eq!(decode(&empty).unwrap().datasets().count(), 0);
}

#[test]
fn what_no_dataset_has_is_left_out() {
    let mut padded = example();
    let root = &mut padded.root;
    root.arrays.insert(0, Arc::new(ArraySchema::new("gone", DType::I8, &[])));
    root.schemas.insert(0, Arc::new(DatasetSchema { arrays: vec![0], ..DatasetSchema::default() }));
    Arc::make_mut(&mut root.schemas[1]).arrays = vec![1];
    root.variables.insert("gone".into(), Vec::new());
    padded.datasets.iter_mut().flatten().for_each(|(_, schema, ..)| *schema = 1);
    let mut root = padded.root();
    root.prune(&[1].into()).unwrap();
    assert_eq!(root.encode(None).unwrap(), example().encode());
    root.prune(&[0].into()).unwrap();
    assert_eq!(root.encode(None).unwrap(), example().encode());
}

#[test]
fn another_version_is_told_with_what_to_do() {
    let text = String::from_utf8(example().encode()).unwrap();
    for (version, remedy) in [(1, "import the files again"), (3, "use a newer Atlas")] {
        let other = text.replacen(r#""version":2"#, &format!(r#""version":{version}"#), 1);
        let error = decode(other.as_bytes()).unwrap_err();
        assert!(matches!(error, Error::Version { found, .. } if found == version), "{error}");
        assert!(error.to_string().contains(remedy), "{error}");
    }
}

/// Rows of later parts replace those of earlier ones, wherever the ordinals lie.
#[test]
fn the_last_row_of_an_ordinal_counts() {
    let rows = |rows: &[(u32, Option<&str>)]| {
        let mut builder = RowsBuilder::default();
        for (ordinal, name) in rows {
            match name {
                Some(name) => {
                    let title = ("title", AttributeValue::from(*name));
                    builder.push(*ordinal, name, 0, [24].into_iter(), [title].into_iter());
                }
                None => builder.push_deleted(*ordinal),
            }
        }
        Arc::new(builder.finish().unwrap())
    };
    let parts = [
        (0, rows(&[(0, Some("z")), (1, Some("b")), (2, Some("c"))])),
        (2, rows(&[(0, None), (1, Some("d")), (2, Some("e"))])),
        (0, rows(&[(0, Some("y")), (4, None), (5, Some("f"))])),
    ];
    let parts = parts.map(|(first, rows)| Part::of_manifest(first, vec![Some(0)], rows));
    let inline = rows(&[(1, Some("b2")), (6, Some("g"))]);
    let root = Root { next: 7, count: 5, cells: 120, rows: inline, ..example().root };
    let catalog = Catalog::of(Arc::new(root), parts.to_vec()).unwrap();
    let named: Vec<_> = catalog.datasets().map(|(ordinal, dataset)| (ordinal, dataset.name())).collect();
    assert_eq!(named, [(0, "y"), (1, "b2"), (3, "d"), (5, "f"), (6, "g")]);
    for (ordinal, name) in named {
        let dataset = catalog.dataset(ordinal).unwrap();
        assert_eq!((dataset.name(), dataset.ordinal()), (name, ordinal));
        assert_eq!(catalog.ordinal(name), Some(ordinal));
        assert_eq!(dataset.attribute("title"), Some(name.into()));
    }
    assert!(catalog.dataset(2).is_none() && catalog.ordinal("z").is_none());
}

#[test]
fn every_flipped_bit_and_every_truncation_is_noticed() {
    let bytes = example().encode();
    for bit in 0..bytes.len() * 8 {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let error = decode(&damaged).unwrap_err();
        assert!(error.to_string().contains("atlas.json"), "{error}");
    }
    for end in 0..bytes.len() {
        assert!(decode(&bytes[..end]).is_err());
    }
}

#[test]
fn a_catalog_that_contradicts_itself_is_refused() {
    type Change = fn(&mut Example);
    fn dataset(c: &mut Example) -> &mut Row {
        c.datasets[0].as_mut().unwrap()
    }
    fn array(c: &mut Example) -> &mut ArraySchema {
        Arc::make_mut(&mut c.root.arrays[0])
    }
    fn schema(c: &mut Example) -> &mut DatasetSchema {
        Arc::make_mut(&mut c.root.schemas[0])
    }
    fn segment(c: &mut Example) -> &mut SegmentEntry {
        &mut c.root.variables.get_mut("temperature").unwrap()[0]
    }
    let changes: &[(&str, Change)] = &[
        ("generation 0", |c| c.root.generation = 0),
        ("generation 18446744073709551615", |c| c.root.generation = u64::MAX),
        ("operation", |c| c.root.operation = "\u{1b}[2J".into()),
        ("does not fit its schema", |c| dataset(c).1 = 1),
        ("does not fit its schema", |c| dataset(c).2.clear()),
        ("does not fit its schema", |c| dataset(c).3.clear()),
        ("dataset `b c` twice", |c| dataset(c).0 = "b c".into()),
        ("`b/c` cannot name a dataset", |c| dataset(c).0 = "b/c".into()),
        ("too many cells", |c| dataset(c).2 = vec![1 << 49]),
        ("too many cells", |c| dataset(c).2 = vec![u64::MAX]),
        ("is larger than", |c| dataset(c).2 = vec![1 << 40]),
        ("more than 268435456 chunks", |c| {
            dataset(c).2 = vec![1 << 40];
            array(c).chunk = vec![1];
        }),
        ("there is no array 1", |c| schema(c).arrays.push(1)),
        ("array `temperature` twice", |c| schema(c).arrays.push(0)),
        ("dimension `time` twice", |c| schema(c).dims.push("time".into())),
        ("attribute `history` twice", |c| c.root.attributes.push(c.root.attributes[0].clone())),
        ("attribute `title` twice", |c| schema(c).attributes.push("title".into())),
        ("cannot name an attribute", |c| {
            schema(c).attributes = vec![String::new()];
            c.datasets.iter_mut().flatten().for_each(|(.., attributes)| attributes[0].0.clear());
        }),
        ("a dimension `time` its dataset has not", |c| schema(c).dims = vec!["x".into()]),
        ("not one chunk size", |c| array(c).chunk.clear()),
        ("dimension `time` twice", |c| {
            array(c).dims.push("time".into());
            array(c).chunk.push(0);
        }),
        ("cannot name a dimension", |c| array(c).dims = vec!["..".into()]),
        ("cannot name an array", |c| array(c).name = "_x".into()),
        ("attribute `units` twice", |c| {
            let again = array(c).attributes[0].clone();
            array(c).attributes.push(again);
        }),
        ("fill value x is not a f32", |c| array(c).fill = Some(Value::String("x".into()))),
        ("cannot name a segment", |c| segment(c).file = "../x".into()),
        ("cannot name a segment", |c| segment(c).file = "..".into()),
        ("cannot name a directory", |c| segment(c).directory = Some("..".into())),
        ("cannot name a variable", |c| drop(c.root.variables.insert("/etc".into(), Vec::new()))),
        ("no index at 1000", |c| segment(c).index = 1000),
        ("no index at 18446744073709551615", |c| segment(c).index = u64::MAX),
        ("of which 25 are missing", |c| segment(c).missing = 25),
        ("has 25 chunks of 24 cells", |c| segment(c).chunks = 25),
        ("twice", |c| {
            let again = segment(c).clone();
            c.root.variables.get_mut("temperature").unwrap().push(again);
        }),
        ("more than 4611686018427387904 bytes", |c| {
            segment(c).cells = 1 << 62;
        }),
    ];
    for (expected, change) in changes {
        let mut changed = example();
        change(&mut changed);
        let error = decode(&changed.encode()).unwrap_err();
        assert!(matches!(error, Error::Corrupt { .. }) && error.to_string().contains(expected), "{error}");
    }
}

/// JSON documents that are no catalogs.
#[test]
fn a_document_with_more_or_less_in_it_is_refused() {
    let text = String::from_utf8(example().encode()).unwrap();
    let decode = |text: &str| decode(&Root::sealed(text.as_bytes()));
    assert!(decode(&text).is_ok());
    let segments = &text[text.find("\n\"temperature\":").unwrap()..text.find("},\n\"next\"").unwrap()];
    for (from, to) in [
        (r#""generation":3"#, r#""generation":3,"more":1"#.to_owned()),
        (r#""generation":3"#, r#""generation":3,"generation":4"#.to_owned()),
        (r#""generation":3"#, r#""generation":-3"#.to_owned()),
        (r#""generation":3,"#, String::new()),
        (r#""dtype":"f32""#, r#""dtype":"f16""#.to_owned()),
        (r#""dtype":"f32""#, r#""dtype":"f32","scale":2"#.to_owned()),
        (r#""arrays":[0]"#, r#""arrays":[0],"groups":[]"#.to_owned()),
        (r#""missing":3"#, r#""missing":3,"offset":7"#.to_owned()),
        (r#"[2,"b c",0,[24],["A"#, r#"[2,"b c",0,[24],[],["A"#.to_owned()),
        (r#"{"f64":"NaN"}"#, r#"{"f64":"NaN","u64":1}"#.to_owned()),
        (r#"{"f64":"NaN"}"#, r#"{"f64":"12"}"#.to_owned()),
        (r#"{"f64":"NaN"}"#, r#"{"binary":"+1"}"#.to_owned()),
        (segments, format!("{segments},{segments}")),
    ] {
        assert!(text.contains(from), "{from}");
        let error = decode(&text.replacen(from, &to, 1)).unwrap_err();
        assert!(matches!(error, Error::Corrupt { .. }), "{from}: {error}");
    }
    let deep = text.replacen(r#"{"f64":"NaN"}"#, &("[".repeat(100_000) + &"]".repeat(100_000)), 1);
    assert!(decode(&deep).is_err());
}

/// In schemas with many names and with few.
#[test]
fn names_are_found() {
    for count in [0, 1, 7, 8, 9, 50] {
        let name = |i: usize| format!("v{}", i * 7919 % 1000);
        let mut root = example().root;
        root.arrays = (0..count)
            .map(|i| Arc::new(ArraySchema::new(name(i), DType::F32, &[name(count - 1 - i).as_str()])))
            .collect();
        let schema = DatasetSchema {
            dims: (0..count).map(name).collect(),
            arrays: (0..count).rev().collect(),
            attributes: Vec::new(),
        };
        root.schemas = vec![Arc::new(schema)];
        (root.next, root.count) = (1, 1);
        root.cells = (0..count as u64).sum();
        let row = Some(("d".to_owned(), 0, (0..count as u64).collect(), Vec::new()));
        let bytes = Example { root, datasets: vec![row] }.encode();
        let catalog = decode(&bytes).unwrap();
        let dataset = catalog.dataset(0).unwrap();
        for i in 0..count {
            let array = catalog.array(dataset, &name(i)).unwrap();
            assert_eq!((&array.name, catalog.size(dataset, &name(i))), (&name(i), Some(i)));
            assert_eq!(catalog.shape(dataset, array), [count - 1 - i]);
        }
        assert!(catalog.array(dataset, "w").is_none() && catalog.size(dataset, "w").is_none());
    }
}
