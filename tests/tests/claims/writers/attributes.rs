//! Attributes of every type in stores of every size: in `atlas.json`, in manifests, and after
//! manifests were merged.

use std::sync::Arc;

use atlas::{Atlas, AttributeValue, DType, StoreConfig, Value};
use atlas_tests::memory;
use futures::StreamExt;
use object_store::ObjectStore;
use object_store::memory::InMemory;
use object_store::path::Path;

const TYPES: [DType; 7] =
    [DType::Bool, DType::I64, DType::U64, DType::F64, DType::Timestamp, DType::String, DType::Binary];

fn value(dtype: DType, seed: u32) -> Value {
    match dtype {
        DType::Bool => Value::Bool(seed.is_multiple_of(3)),
        DType::I64 => Value::I64(-i64::from(seed)),
        DType::U64 => Value::U64(u64::MAX - u64::from(seed)),
        DType::F64 => Value::F64(f64::from(seed) / 4.0),
        DType::Timestamp => Value::Timestamp(i64::from(seed)),
        DType::String => Value::String(format!("keyword {seed} ").repeat(seed as usize % 3)),
        _ => Value::Binary(format!("bytes {seed} ").repeat(seed as usize % 3).into_bytes()),
    }
}

fn list(dtype: DType, seed: u32, length: u32) -> AttributeValue {
    AttributeValue::List(dtype, (seed..seed + length).map(|seed| value(dtype, seed)).collect())
}

/// The attributes of a dataset: single values and lists of up to 4 values, of every type.
fn attributes(seed: u32) -> Vec<(String, AttributeValue)> {
    let of_type = |dtype: DType| {
        let lists = (format!("{dtype} list"), list(dtype, seed, seed % 5));
        [(dtype.to_string(), AttributeValue::One(value(dtype, seed))), lists]
    };
    TYPES.into_iter().flat_map(of_type).collect()
}

async fn create(objects: &Arc<InMemory>) -> Atlas {
    Atlas::create(objects.clone(), Path::from("s"), StoreConfig::default()).await.unwrap()
}

async fn add(atlas: &Atlas, name: &str, attributes: &[(String, AttributeValue)]) {
    let dataset = atlas.create_dataset(name).await.unwrap();
    for (key, value) in attributes {
        dataset.set_attribute(key, value.clone()).unwrap();
    }
}

/// Opens the store anew, and compares the datasets `d0`, `d1`, … of these numbers.
async fn check(objects: &Arc<InMemory>, numbers: impl IntoIterator<Item = u32>, what: &str) {
    let atlas = Atlas::open(objects.clone(), Path::from("s")).await.unwrap();
    let verified = atlas.verify().await.unwrap();
    assert_eq!(verified.problems, [""; 0], "{what}");
    let mut count = 0;
    for number in numbers {
        let dataset = atlas.open_dataset(&format!("d{number}")).await.unwrap();
        let mut read = dataset.attributes().unwrap();
        let mut expected = attributes(number);
        read.sort_by(|a, b| a.0.cmp(&b.0));
        expected.sort_by(|a, b| a.0.cmp(&b.0));
        assert_eq!(read, expected, "{what}: d{number}");
        count += 1;
    }
    assert_eq!(atlas.list_datasets().unwrap().len(), count, "{what}");
}

async fn manifests(objects: &InMemory) -> usize {
    objects.list(Some(&Path::from("s/_datasets"))).count().await
}

#[tokio::test]
async fn attributes_too_large_for_the_root_can_be_read() {
    for dtype in TYPES {
        let objects = memory();
        let atlas = create(&objects).await;
        add(&atlas, "small", &[("a".to_owned(), list(dtype, 0, 2))]).await;
        atlas.flush().await.unwrap();
        let large = [("a".to_owned(), list(dtype, 0, 150_000)), ("none".to_owned(), list(dtype, 0, 0))];
        add(&atlas, "large", &large).await;
        atlas.flush().await.unwrap();
        assert_eq!(manifests(&objects).await, 1, "{dtype}");
        let atlas = Atlas::open(objects.clone(), Path::from("s")).await.unwrap();
        let mut read = atlas.open_dataset("large").await.unwrap().attributes().unwrap();
        read.sort_by(|a, b| a.0.cmp(&b.0));
        assert!(read == large, "{dtype}");
        let small = atlas.open_dataset("small").await.unwrap().get_attribute("a").unwrap();
        assert_eq!(small, Some(list(dtype, 0, 2)), "{dtype}");
    }
}

#[tokio::test]
async fn attributes_of_many_datasets_can_be_read() {
    let objects = memory();
    let atlas = create(&objects).await;
    for number in 0..4200 {
        add(&atlas, &format!("d{number}"), &attributes(number)).await;
    }
    atlas.flush().await.unwrap();
    assert_eq!(manifests(&objects).await, 1);
    check(&objects, 0..4200, "a manifest").await;
    // Few datasets stay in the root, many get a manifest of their own.
    for end in [4210, 5000] {
        let atlas = Atlas::open(objects.clone(), Path::from("s")).await.unwrap();
        let start = if end == 4210 { 4200 } else { 4210 };
        for number in start..end {
            add(&atlas, &format!("d{number}"), &attributes(number)).await;
        }
        atlas.flush().await.unwrap();
        check(&objects, 0..end, "more datasets").await;
    }
    // Datasets in manifests are changed and deleted.
    let atlas = Atlas::open(objects.clone(), Path::from("s")).await.unwrap();
    atlas.delete_dataset("d7").await.unwrap();
    atlas.rename_dataset("d4205", "x").await.unwrap();
    atlas.flush().await.unwrap();
    atlas.rename_dataset("x", "d4205").await.unwrap();
    atlas.flush().await.unwrap();
    let left = || (0..5000).filter(|&number| number != 7);
    check(&objects, left(), "deleted").await;
    atlas.compact(None).await.unwrap();
    check(&objects, left(), "compacted").await;

    let merged = memory();
    let other = create(&merged).await;
    add(&other, "d7", &attributes(7)).await;
    other.flush().await.unwrap();
    other.merge(&[&atlas]).await.unwrap();
    check(&merged, 0..5000, "merged").await;
}
