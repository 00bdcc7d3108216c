//! A failure at any moment leaves the store in its old or its new state, and damage is detected.

use std::sync::Arc;

use atlas::{Atlas, Error, StoreConfig};
use atlas_datafusion::TableOptions;
use atlas_import::{ImportOptions, import};
use atlas_tests::objects::Watched;
use atlas_tests::{copy, memory, rows, session};
use futures::TryStreamExt;
use ndarray::Array1;
use netcdf_writer::{NcFileBuilder, NcWriteOptions};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

const PREFIX: &str = "a/store";

/// Values of a dataset. If `count` is large enough, its segment is written in several parts.
fn values(seed: u32, count: usize) -> Array1<f64> {
    Array1::from_iter((0..count as u32).map(|i| {
        let x = (u64::from(i) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(u64::from(seed));
        ((x ^ (x >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 11) as f64
    }))
}

async fn add(atlas: &Atlas, name: &str, seed: u32, count: usize) -> atlas::Result<()> {
    let dataset = atlas.create_dataset(name).await?;
    dataset.set_attribute("seed", i64::from(seed))?;
    for array in ["t", "s"] {
        dataset.define_array::<f64>(array, &["x"], &[count], None, None)?;
        dataset.write_array(array, &[0], values(seed, count).view().into_dyn()).await?;
    }
    dataset.define_array::<String>("label", &[], &[], None, None)?;
    dataset.write_array("label", &[], ndarray::arr0(name.to_owned()).view().into_dyn()).await?;
    atlas.flush().await
}

/// Checks that the store has exactly these datasets, complete.
async fn check(atlas: &Atlas, expected: &[(&str, u32, usize)]) {
    let names: Vec<_> = expected.iter().map(|(name, ..)| name.to_string()).collect();
    assert_eq!(atlas.list_datasets().unwrap(), names);
    for &(name, seed, count) in expected {
        let dataset = atlas.open_dataset(name).await.unwrap();
        for array in ["t", "s"] {
            let found = dataset.read_array::<f64>(array, &[0], &[count]).await.unwrap().unwrap();
            assert_eq!(found, values(seed, count).into_dyn(), "{name}.{array}");
        }
        assert_eq!(
            dataset.read_array::<String>("label", &[], &[]).await.unwrap().unwrap().first().unwrap(),
            name
        );
    }
}

async fn open(objects: Arc<dyn ObjectStore>) -> atlas::Result<Atlas> {
    Atlas::open(objects, Path::from(PREFIX)).await
}

const OLD: [(&str, u32, usize); 2] = [("one", 1, 100), ("two", 2, 50)];

async fn old_store() -> Arc<InMemory> {
    let objects = memory();
    let atlas = Atlas::create(objects.clone(), Path::from(PREFIX), StoreConfig::default()).await.unwrap();
    for (name, seed, count) in OLD {
        add(&atlas, name, seed, count).await.unwrap();
    }
    objects
}

#[tokio::test]
async fn a_commit_that_fails_anywhere_leaves_the_old_or_the_new_state() {
    // More than one part of a multipart upload: incompressible, and over 5 MiB.
    let new = ("three", 3, 1_500_000);
    let old = old_store().await;
    let both: Vec<_> = OLD.into_iter().chain([new]).collect();
    let (mut olds, mut news) = (0, 0);
    for operations in 0.. {
        let objects = copy(&old).await;
        let failing = Watched::failing_after(objects.clone(), operations);
        let added = match open(failing).await {
            Ok(atlas) => add(&atlas, new.0, new.1, new.2).await,
            Err(error) => Err(error),
        };
        let atlas = open(objects.clone()).await.unwrap();
        if atlas.list_datasets().unwrap().len() == OLD.len() {
            check(&atlas, &OLD).await;
            olds += 1;
        } else {
            check(&atlas, &both).await;
            news += 1;
        }
        // The next writer completes or repeats it.
        atlas.refresh().await.unwrap();
        if !atlas.dataset_exists(new.0).unwrap() {
            add(&atlas, new.0, new.1, new.2).await.unwrap();
        }
        check(&open(objects).await.unwrap(), &both).await;
        match added {
            Ok(()) => break,
            Err(error) => {
                let shown = matches!(error, Error::Storage { .. } | Error::NotShown { .. });
                assert!(shown, "{error}");
            }
        }
    }
    assert!(olds > 10 && news > 1, "failed {olds} times before the commit and {news} after");
}

#[tokio::test]
async fn a_creation_that_fails_anywhere_leaves_nothing_or_a_store() {
    for operations in 0.. {
        let objects = memory();
        let failing = Watched::failing_after(objects.clone(), operations);
        let created = match Atlas::create(failing, Path::from(PREFIX), StoreConfig::default()).await {
            Ok(atlas) => add(&atlas, "one", 1, 100).await,
            Err(error) => Err(error),
        };
        match open(objects.clone()).await {
            Ok(atlas) => check(&atlas, &OLD[..1]).await,
            Err(error) => {
                assert!(matches!(error, Error::NoStore { .. }), "{error}");
                let atlas =
                    Atlas::create(objects.clone(), Path::from(PREFIX), StoreConfig::default()).await.unwrap();
                atlas.refresh().await.unwrap();
                if !atlas.dataset_exists("one").unwrap() {
                    add(&atlas, "one", 1, 100).await.unwrap();
                }
                check(&open(objects).await.unwrap(), &OLD[..1]).await;
            }
        }
        if created.is_ok() {
            break;
        }
    }
}

#[tokio::test]
async fn an_import_that_fails_anywhere_leaves_the_old_or_the_new_state() {
    let directory = tempfile::tempdir().unwrap();
    for number in 0..3 {
        let mut file = NcFileBuilder::new();
        let x = file.add_dimension("x", 10).unwrap();
        let v = file.add_variable::<f64>("t", &[x]).unwrap();
        file.write_variable(v, &[f64::from(number); 10]).unwrap();
        let bytes = file.to_vec(NcWriteOptions::classic()).unwrap().1;
        std::fs::write(directory.path().join(format!("n{number}.nc")), bytes).unwrap();
    }
    let old = old_store().await;
    for operations in 0.. {
        let objects = copy(&old).await;
        let failing = Watched::failing_after(objects.clone(), operations);
        let imported = match open(failing).await {
            Ok(atlas) => {
                let paths = [directory.path().to_owned()];
                import(&atlas, &paths, &ImportOptions::default(), &|_| {})
                    .await
                    .map(drop)
                    .map_err(|e| e.to_string())
            }
            Err(error) => Err(error.to_string()),
        };
        let atlas = open(objects).await.unwrap();
        let names = atlas.list_datasets().unwrap();
        assert!(names == ["one", "two"] || names == ["one", "two", "n0", "n1", "n2"], "{names:?}");
        let ctx = session(&atlas, TableOptions::default()).unwrap();
        let expected: Vec<_> =
            names.iter().skip(2).enumerate().map(|(i, name)| format!("{name}|{i}.0|10")).collect();
        let sql = "SELECT dataset, max(t), count(t) FROM atlas WHERE dataset LIKE 'n%' GROUP BY 1 ORDER BY 1";
        assert_eq!(rows(&ctx, sql).await.unwrap(), expected);
        if imported.is_ok() {
            break;
        }
    }
}

#[tokio::test]
async fn two_writers_of_different_datasets_both_commit() {
    let objects = old_store().await;
    let (first, second) = (open(objects.clone()).await.unwrap(), open(objects.clone()).await.unwrap());
    let reader = open(objects.clone()).await.unwrap();
    add(&first, "first", 7, 30).await.unwrap();
    let won: Vec<_> = OLD.into_iter().chain([("first", 7, 30)]).collect();
    check(&open(objects.clone()).await.unwrap(), &won).await;
    check(&reader, &OLD).await;
    // The second writer has not seen the first commit.
    add(&second, "second", 8, 30).await.unwrap();
    let all: Vec<_> = won.into_iter().chain([("second", 8, 30)]).collect();
    check(&open(objects.clone()).await.unwrap(), &all).await;
    check(&second, &all).await;
    // There can be only one dataset of a name. The second writer keeps its pending changes.
    let error = add(&first, "second", 9, 30).await.unwrap_err();
    let expected = Some("second".to_owned());
    assert!(
        matches!(&error, Error::Conflict { generation: 4, dataset, .. } if *dataset == expected),
        "{error}"
    );
    let pending = first.open_dataset("second").await.unwrap();
    assert_eq!(pending.array_stats("t").await.unwrap().null_count, 0);
    first.refresh().await.unwrap();
    check(&first, &all).await;
    // Nobody left files behind.
    let files = objects.list(None).try_collect::<Vec<_>>().await.unwrap();
    let segments = files.iter().filter(|meta| meta.location.extension() == Some("af")).count();
    assert_eq!(segments, 4 * 3);
}

#[tokio::test]
async fn many_writers_at_once_lose_nothing() {
    let objects = old_store().await;
    let writers = (0..6u32).map(|number| {
        let objects = objects.clone();
        tokio::spawn(async move {
            let atlas = open(objects).await.unwrap();
            let name = format!("w{number}");
            add(&atlas, &name, number, 20).await.unwrap();
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let atlas = open(objects).await.unwrap();
    assert_eq!(atlas.snapshot().root().generation(), 8);
    let mut names = atlas.list_datasets().unwrap();
    names.sort();
    assert_eq!(names, ["one", "two", "w0", "w1", "w2", "w3", "w4", "w5"]);
}

/// Reads everything. The error must name the damaged file.
async fn read_everything(objects: Arc<InMemory>) -> Result<(), String> {
    let atlas = open(objects).await.map_err(|e| e.to_string())?;
    for name in atlas.list_datasets().unwrap() {
        let dataset = atlas.open_dataset(&name).await.map_err(|e| e.to_string())?;
        for array in dataset.arrays().map_err(|e| e.to_string())? {
            let shape = dataset.shape(&array.name).map_err(|e| e.to_string())?;
            let start = vec![0; shape.len()];
            dataset.read_arrow(&array.name, &start, &shape).await.map_err(|e| e.to_string())?;
            dataset.array_stats(&array.name).await.map_err(|e| e.to_string())?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn every_damaged_byte_of_every_file_is_an_error_that_names_the_file() {
    let objects = old_store().await;
    read_everything(objects.clone()).await.unwrap();
    for meta in objects.list(None).try_collect::<Vec<_>>().await.unwrap() {
        let file = meta.location.to_string();
        if file.contains("_commits/") {
            continue;
        }
        let name = file.strip_prefix("a/store/").unwrap();
        let whole = objects.get(&meta.location).await.unwrap().bytes().await.unwrap();
        let damaged = async |bytes: Vec<u8>, what: String| {
            objects.put(&meta.location, bytes.into()).await.unwrap();
            let error = read_everything(objects.clone()).await.expect_err(&format!("{file}: {what}"));
            assert!(error.contains(name), "{file}, {what}: {error}");
        };
        for byte in 0..whole.len() {
            let mut bytes = whole.to_vec();
            bytes[byte] ^= 1 << (byte % 8);
            damaged(bytes, format!("byte {byte} flipped")).await;
        }
        for length in (0..whole.len()).step_by(7).chain([whole.len() - 1]) {
            damaged(whole[..length].to_vec(), format!("cut to {length}")).await;
        }
        damaged([&whole[..], b"x"].concat(), "a byte longer".to_owned()).await;
        objects.put(&meta.location, whole.into()).await.unwrap();
    }
    read_everything(objects).await.unwrap();
}

#[tokio::test]
async fn damage_fails_the_query_and_not_the_engine() {
    let objects = old_store().await;
    let atlas = open(objects.clone()).await.unwrap();
    let segment = atlas.snapshot().root().segments("t")[0].file.clone();
    let path = Path::from(format!("{PREFIX}/t/{segment}"));
    let mut bytes = objects.get(&path).await.unwrap().bytes().await.unwrap().to_vec();
    bytes[20] ^= 1;
    objects.put(&path, bytes.into()).await.unwrap();
    let ctx = session(&atlas, TableOptions::default()).unwrap();
    // Queries that the index answers do not need the damaged block.
    let error = rows(&ctx, "SELECT avg(t * 2) FROM atlas").await.unwrap_err().to_string();
    assert!(error.contains(&format!("t/{segment}")) && error.contains("checksum"), "{error}");
    assert_eq!(rows(&ctx, "SELECT count(s) FROM atlas").await.unwrap(), ["150"]);
}
