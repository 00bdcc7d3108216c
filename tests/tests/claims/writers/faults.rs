//! Two writers, and merges, with a storage that fails at any moment.

use std::sync::Arc;

use atlas::{Atlas, Error, Result, StoreConfig};
use atlas_tests::objects::Watched;
use atlas_tests::{copy, memory};
use ndarray::{Array1, arr1};
use object_store::ObjectStore;
use object_store::memory::InMemory;
use object_store::path::Path;

async fn open(objects: Arc<dyn ObjectStore>) -> Result<Atlas> {
    Atlas::open(objects, Path::from("s")).await
}

/// Adds a dataset of 10 cells with one value.
async fn add(atlas: &Atlas, name: &str, value: f64) -> Result<()> {
    let dataset = atlas.create_dataset(name).await?;
    dataset.set_attribute("value", value)?;
    for array in ["t", "s"] {
        dataset.define_array::<f64>(array, &["x"], &[10], Some(vec![4]), None)?;
        dataset.write_array(array, &[0], Array1::from_elem(10, value).into_dyn().view()).await?;
    }
    Ok(())
}

async fn store(datasets: &[(&str, f64)]) -> Arc<InMemory> {
    let objects = memory();
    let atlas = Atlas::create(objects.clone(), Path::from("s"), StoreConfig::default()).await.unwrap();
    for (name, value) in datasets {
        add(&atlas, name, *value).await.unwrap();
        atlas.flush().await.unwrap();
    }
    objects
}

/// The first cells of `t` in each dataset.
async fn shown(atlas: &Atlas) -> Vec<(String, Vec<f64>)> {
    let mut shown = Vec::new();
    for name in atlas.list_datasets().unwrap() {
        let dataset = atlas.open_dataset(&name).await.unwrap();
        let whole = dataset.read_array::<f64>("s", [], []).await.unwrap().unwrap();
        assert_eq!(whole.len(), 10, "{name}");
        let read = dataset.read_array::<f64>("t", [0], [5]).await.unwrap().unwrap();
        shown.push((name, read.into_iter().collect()));
    }
    shown.sort_by(|one, other| one.0.cmp(&other.0));
    shown
}

/// Checks a store that a dead writer has left: the next writer finds it intact, and can continue.
async fn check_left(objects: &Arc<InMemory>, allowed: &[Vec<(String, Vec<f64>)>], what: &str) -> usize {
    let reader = open(objects.clone()).await.unwrap();
    let found = shown(&reader).await;
    let state = allowed.iter().position(|allowed| *allowed == found);
    let state = state.unwrap_or_else(|| panic!("{what}: {found:?}"));
    reader.refresh().await.unwrap();
    assert_eq!(shown(&reader).await, found, "{what}");
    assert_eq!(reader.verify().await.unwrap().problems, [""; 0], "{what}");
    add(&reader, "later", 1.0).await.unwrap();
    reader.flush().await.unwrap();
    let later = open(objects.clone()).await.unwrap();
    assert_eq!(shown(&later).await.len(), found.len() + 1, "{what}");
    later.vacuum(std::time::Duration::ZERO).await.unwrap();
    let verified = later.verify().await.unwrap();
    assert_eq!((verified.problems, verified.unused), (vec![], vec![]), "{what}");
    state
}

/// The changes of each of two writers: chunks of one array, attributes, and a dataset.
async fn first_changes(atlas: &Atlas) -> Result<()> {
    let one = atlas.open_dataset("one").await?;
    one.write_array("t", &[0], arr1(&[70.0]).into_dyn().view()).await?;
    one.set_attribute("first", true)?;
    add(atlas, "first", 71.0).await
}

async fn second_changes(atlas: &Atlas) -> Result<()> {
    let one = atlas.open_dataset("one").await?;
    one.write_array("t", &[4], arr1(&[80.0]).into_dyn().view()).await?;
    one.set_attribute("second", true)?;
    add(atlas, "second", 81.0).await
}

/// The content of the store with the changes of some writers.
async fn with(old: &InMemory, first: bool, second: bool) -> Vec<(String, Vec<f64>)> {
    let objects = copy(old).await;
    let atlas = open(objects).await.unwrap();
    if first {
        first_changes(&atlas).await.unwrap();
    }
    if second {
        second_changes(&atlas).await.unwrap();
    }
    atlas.flush().await.unwrap();
    shown(&atlas).await
}

/// The second writer, whose commit follows another's, fails anywhere.
#[tokio::test]
async fn a_commit_after_another_that_fails_anywhere_is_made_or_not() {
    let old = store(&[("one", 1.0), ("two", 2.0)]).await;
    let allowed = [with(&old, true, false).await, with(&old, true, true).await];
    let mut states = [0, 0];
    for operations in 0.. {
        let objects = copy(&old).await;
        let first = open(objects.clone()).await.unwrap();
        first_changes(&first).await.unwrap();
        let failing = Watched::failing_after(objects.clone(), operations);
        let done = async {
            let second = open(failing).await?;
            second_changes(&second).await?;
            first.flush().await.unwrap();
            second.flush().await
        };
        let done = done.await;
        if first.snapshot().root().generation() == 2 {
            first.flush().await.unwrap();
        }
        states[check_left(&objects, &allowed, &format!("after {operations}: {done:?}")).await] += 1;
        match done {
            Ok(()) => break,
            Err(Error::Storage { .. } | Error::NotShown { .. } | Error::Poisoned) => {}
            Err(error) => panic!("after {operations}: {error}"),
        }
    }
    assert!(states[0] > 10 && states[1] > 1, "{states:?}");
}

/// The first writer fails anywhere; the second one still commits.
#[tokio::test]
async fn a_commit_after_one_that_failed_anywhere_is_made() {
    let old = store(&[("one", 1.0), ("two", 2.0)]).await;
    let allowed = [with(&old, false, true).await, with(&old, true, true).await];
    let mut states = [0, 0];
    for operations in 0.. {
        let objects = copy(&old).await;
        let second = open(objects.clone()).await.unwrap();
        second_changes(&second).await.unwrap();
        let failing = Watched::failing_after(objects.clone(), operations);
        let done = async {
            let first = open(failing).await?;
            first_changes(&first).await?;
            first.flush().await
        };
        let done = done.await;
        second.flush().await.unwrap();
        states[check_left(&objects, &allowed, &format!("after {operations}: {done:?}")).await] += 1;
        if done.is_ok() {
            break;
        }
    }
    assert!(states[0] > 10 && states[1] > 1, "{states:?}");
}

/// A merge that is killed anywhere, with and without a preceding commit of another writer.
#[tokio::test]
async fn a_merge_that_fails_anywhere_leaves_the_store_as_it_was_or_merged() {
    for others in [false, true] {
        let old = store(&[("one", 1.0), ("two", 2.0)]).await;
        let from = store(&[("three", 3.0), ("four", 4.0)]).await;
        let more = store(&[("five", 5.0)]).await;
        let (from, more) = (open(from).await.unwrap(), open(more).await.unwrap());
        let mut before = shown(&open(old.clone()).await.unwrap()).await;
        if others {
            before.push(("between".to_owned(), vec![9.0; 5]));
        }
        let mut after = before.clone();
        after.extend(shown(&from).await);
        after.extend(shown(&more).await);
        before.sort_by(|one, other| one.0.cmp(&other.0));
        after.sort_by(|one, other| one.0.cmp(&other.0));
        let allowed = [before, after];
        let mut states = [0, 0];
        for operations in 0.. {
            let objects = copy(&old).await;
            let failing = Watched::failing_after(objects.clone(), operations);
            let opened = open(failing).await;
            if others {
                let between = open(objects.clone()).await.unwrap();
                add(&between, "between", 9.0).await.unwrap();
                between.flush().await.unwrap();
            }
            let done = match opened {
                Ok(atlas) => atlas.merge(&[&from, &more]).await.map(drop),
                Err(error) => Err(error),
            };
            let what = format!("after {operations}: {done:?}");
            states[check_left(&objects, &allowed, &what).await] += 1;
            match done {
                Ok(()) => break,
                Err(Error::Storage { .. } | Error::NotShown { .. }) => {}
                Err(error) => panic!("after {operations}: {error}"),
            }
        }
        assert!(states[0] > 5 && states[1] > 1, "{states:?}");
    }
}

/// A merge that is impossible changes nothing, and leaves nothing behind.
#[tokio::test]
async fn a_merge_of_names_that_are_taken_meanwhile_is_a_conflict() {
    let old = store(&[("one", 1.0)]).await;
    let from = open(store(&[("two", 2.0)]).await).await.unwrap();
    let (atlas, other) = (open(old.clone()).await.unwrap(), open(old.clone()).await.unwrap());
    add(&other, "two", 7.0).await.unwrap();
    other.flush().await.unwrap();
    let error = atlas.merge(&[&from]).await.unwrap_err();
    assert!(matches!(&error, Error::Conflict { dataset: Some(dataset), .. } if dataset == "two"), "{error}");
    let error = other.merge(&[&from]).await.unwrap_err();
    assert!(matches!(&error, Error::DatasetExists { dataset } if dataset == "two"), "{error}");
    let verified = other.verify().await.unwrap();
    assert_eq!((verified.problems, verified.unused), (vec![], vec![]));
    assert_eq!(shown(&open(old).await.unwrap()).await.len(), 2);
}
