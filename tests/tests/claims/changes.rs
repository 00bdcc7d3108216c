//! Changes to a store that fail or lose power at any moment, and concurrent changes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use atlas::{Atlas, Error, Result, Storage, StoreConfig, Verified};
use atlas_datafusion::TableOptions;
use atlas_tests::crash::Crashing;
use atlas_tests::objects::Watched;
use atlas_tests::{copy, memory, rows, session, sorted_rows};
use ndarray::{Array1, ArrayD, arr1};
use object_store::ObjectStore;
use object_store::memory::InMemory;
use object_store::path::Path;

const PREFIX: &str = "a/store";
const DATASETS: usize = 4;

/// A store of two generations, so that there is something to compact and to vacuum.
async fn old_store() -> Arc<InMemory> {
    let objects = memory();
    let atlas = Atlas::create(objects.clone(), Path::from(PREFIX), StoreConfig::default()).await.unwrap();
    for number in 0..DATASETS {
        let dataset = atlas.create_dataset(&format!("d{number}")).await.unwrap();
        for array in ["t", "s"] {
            dataset.define_array::<f64>(array, &["x"], &[10], Some(vec![4]), None).unwrap();
            let values = Array1::from_elem(10, number as f64);
            dataset.write_array(array, &[0], values.view().into_dyn()).await.unwrap();
        }
        if number == 1 {
            atlas.flush().await.unwrap();
        }
    }
    atlas.close().await.unwrap();
    objects
}

async fn open(objects: Arc<dyn ObjectStore>) -> Result<Atlas> {
    Atlas::open(objects, Path::from(PREFIX)).await
}

/// All values of a store, by dataset and array.
async fn contents(atlas: &Atlas) -> Result<Vec<(String, String, ArrayD<f64>)>> {
    let mut contents = Vec::new();
    for name in atlas.list_datasets().unwrap() {
        let dataset = atlas.open_dataset(&name).await?;
        for array in dataset.arrays()? {
            let shape = dataset.shape(&array.name)?;
            let values = dataset.read_array(&array.name, &vec![0; shape.len()], &shape).await?.unwrap();
            contents.push((name.clone(), array.name, values));
        }
    }
    Ok(contents)
}

/// The kinds of changes.
#[derive(Clone, Copy, Debug)]
enum Change {
    Overwrite,
    Delete,
    Compact,
    Vacuum,
}

async fn change(atlas: &Atlas, change: Change) -> Result<()> {
    match change {
        Change::Overwrite => {
            let dataset = atlas.open_dataset("d1").await?;
            dataset.write_array("t", &[2], arr1(&[70.0, 71.0, 72.0]).view().into_dyn()).await?;
            dataset.extend("x", 13).await?;
            dataset.write_array("s", &[9], arr1(&[80.0, 81.0, 82.0, 83.0]).view().into_dyn()).await?;
            let new = atlas.create_dataset("new").await?;
            new.define_array::<f64>("t", &["x"], &[3], None, None)?;
            new.write_array("t", &[0], arr1(&[1.0, 2.0, 3.0]).view().into_dyn()).await?;
            atlas.flush().await
        }
        Change::Delete => {
            atlas.delete_dataset("d0").await?;
            atlas.rename_dataset("d1", "renamed").await?;
            let dataset = atlas.open_dataset("d2").await?;
            dataset.delete_array("t").await?;
            dataset.define_array::<f64>("t", &["y"], &[2], None, None)?;
            atlas.flush().await
        }
        Change::Compact => atlas.compact(None).await.map(drop),
        Change::Vacuum => {
            atlas.compact(None).await?;
            atlas.vacuum(Duration::ZERO).await.map(drop)
        }
    }
}

fn is_whole(verified: &Verified) -> bool {
    // The next writer repairs an interrupted commit.
    verified.problems.iter().all(|problem| problem.contains("the next writer mends it"))
}

#[tokio::test]
async fn a_change_that_fails_anywhere_leaves_the_old_or_the_new_state() {
    let old = old_store().await;
    let before = contents(&open(old.clone()).await.unwrap()).await.unwrap();
    for kind in [Change::Overwrite, Change::Delete, Change::Compact, Change::Vacuum] {
        let done = open(copy(&old).await).await.unwrap();
        change(&done, kind).await.unwrap();
        let after = contents(&done).await.unwrap();
        for operations in 0.. {
            let objects = copy(&old).await;
            let failing = Watched::failing_after(objects.clone(), operations);
            let changed = match open(failing).await {
                Ok(atlas) => change(&atlas, kind).await,
                Err(error) => Err(error),
            };
            let atlas = open(objects.clone()).await.unwrap();
            let found = contents(&atlas).await.unwrap();
            assert!(found == before || found == after, "{kind:?} after {operations}");
            let verified = atlas.verify().await.unwrap();
            assert!(is_whole(&verified), "{kind:?} after {operations}: {:?}", verified.problems);
            // The next writer completes or repeats it.
            atlas.refresh().await.unwrap();
            if contents(&atlas).await.unwrap() != after || matches!(kind, Change::Vacuum) {
                change(&atlas, kind).await.unwrap();
            }
            assert_eq!(contents(&open(objects.clone()).await.unwrap()).await.unwrap(), after);
            atlas.vacuum(Duration::ZERO).await.unwrap();
            let verified = atlas.verify().await.unwrap();
            assert_eq!((&verified.problems, &verified.unused), (&Vec::new(), &Vec::new()));
            match changed {
                Ok(()) => break,
                Err(error) => {
                    let shown = matches!(error, Error::Storage { .. } | Error::NotShown { .. });
                    assert!(shown, "{error}");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_power_failure_anywhere_leaves_the_old_or_the_new_state() {
    let old = old_store().await;
    let before = contents(&open(old.clone()).await.unwrap()).await.unwrap();
    for kind in [Change::Overwrite, Change::Delete, Change::Compact, Change::Vacuum] {
        let done = open(copy(&old).await).await.unwrap();
        change(&done, kind).await.unwrap();
        let after = contents(&done).await.unwrap();
        let (mut olds, mut news) = (0, 0);
        for operations in 0.. {
            let crashing = Crashing::after(&old, operations).await;
            let storage = Storage::new(Arc::new(crashing.clone()), Path::from(PREFIX));
            let storage = storage.with_durability(Arc::new(crashing.clone()));
            let changed = match Atlas::open_in(storage).await {
                Ok(atlas) => change(&atlas, kind).await,
                Err(error) => Err(error),
            };
            for seed in 0..6 {
                let mut state = (operations * 6 + seed) as usize + 1;
                let image = crashing
                    .image(|choices| {
                        state = state
                            .wrapping_mul(6_364_136_223_846_793_005)
                            .wrapping_add(1_442_695_040_888_963_407);
                        (state >> 33) % choices
                    })
                    .await;
                let atlas = open(image.clone()).await.unwrap();
                let found = contents(&atlas).await.unwrap_or_else(|e| panic!("{kind:?} {operations}: {e}"));
                assert!(found == before || found == after, "{kind:?} after {operations}");
                // A change that reported success must be there.
                assert!(changed.is_err() || found == after, "{kind:?} was lost");
                if found == after {
                    news += 1
                } else {
                    olds += 1
                }
                atlas.refresh().await.unwrap();
                let found = contents(&atlas).await.unwrap();
                assert!(found == before || found == after);
                assert!(is_whole(&atlas.verify().await.unwrap()));
            }
            if changed.is_ok() {
                break;
            }
        }
        assert!(news > 0 && (olds > 0 || before == after), "{kind:?}: {olds} old, {news} new");
    }
}

/// Without the syncs, the same test finds lost stores: the test can fail.
#[tokio::test]
async fn without_syncs_a_power_failure_loses_stores() {
    let old = old_store().await;
    let crashing = Crashing::after(&old, -1).await;
    let atlas = open(Arc::new(crashing.clone())).await.unwrap();
    change(&atlas, Change::Overwrite).await.unwrap();
    let mut lost = 0;
    for seed in 0..50usize {
        let mut state = seed + 1;
        let image = crashing
            .image(|choices| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 33) % choices
            })
            .await;
        lost += usize::from(match open(image).await {
            Ok(atlas) => contents(&atlas).await.is_err(),
            Err(_) => true,
        });
    }
    assert!(lost > 0);
}

/// The duration of the tests of concurrency; `ATLAS_SECONDS=60` for a long run.
fn seconds() -> Duration {
    let seconds = std::env::var("ATLAS_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    Duration::from_secs_f64(seconds.unwrap_or(2.0))
}

/// Every array of every dataset has a single value in all its cells, whatever writers are doing.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn readers_see_whole_generations_while_others_write_and_compact() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let atlas = Atlas::create_path(&path, StoreConfig::default()).await.unwrap();
    for number in 0..8 {
        let dataset = atlas.create_dataset(&format!("d{number}")).await.unwrap();
        dataset.define_array::<f64>("t", &["x"], &[100], Some(vec![30]), None).unwrap();
        dataset.write_array("t", &[0], Array1::<f64>::zeros(100).view().into_dyn()).await.unwrap();
    }
    atlas.flush().await.unwrap();
    let (until, stop) = (Instant::now() + seconds(), Arc::new(AtomicBool::new(false)));
    let reads = Arc::new(AtomicUsize::new(0));
    let readers: Vec<_> = (0..6)
        .map(|reader| {
            let (path, stop, reads) = (path.clone(), Arc::clone(&stop), Arc::clone(&reads));
            tokio::spawn(async move {
                let atlas = Atlas::open_path(&path).await.unwrap();
                let names: Vec<_> = (0..8).map(|number| format!("d{number}")).collect();
                while !stop.load(Ordering::Relaxed) {
                    let generation = atlas.snapshot().root().generation();
                    let stacked = atlas.read_array_stacked::<f64>("t", &names, &[0], &[100]).await.unwrap();
                    let first = stacked.iter().next().copied();
                    // Each commit writes all datasets.
                    assert!(stacked.iter().all(|value| Some(*value) == first), "generation {generation}");
                    reads.fetch_add(1, Ordering::Relaxed);
                    if reader % 2 == 0 {
                        atlas.refresh().await.unwrap();
                        assert!(atlas.snapshot().root().generation() >= generation);
                    }
                }
            })
        })
        .collect();
    let compactor = {
        let (path, stop) = (path.clone(), Arc::clone(&stop));
        tokio::spawn(async move {
            let atlas = Atlas::open_path(&path).await.unwrap();
            let mut compacted = 0;
            while !stop.load(Ordering::Relaxed) {
                match atlas.compact(None).await {
                    Ok(done) => compacted += done.variables.len(),
                    Err(error) => assert!(matches!(error, Error::Conflict { .. }), "{error}"),
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            compacted
        })
    };
    let mut value = 0.0;
    while Instant::now() < until {
        value += 1.0;
        for number in 0..8 {
            let dataset = atlas.open_dataset(&format!("d{number}")).await.unwrap();
            // In two parts, so that chunks are merged.
            let half = Array1::from_elem(50, value);
            dataset.write_array("t", &[0], half.view().into_dyn()).await.unwrap();
            dataset.write_array("t", &[50], half.view().into_dyn()).await.unwrap();
        }
        // A compaction does not conflict with a writer.
        atlas.flush().await.unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    for reader in readers {
        reader.await.unwrap();
    }
    assert!(compactor.await.unwrap() > 0 && value > 1.0 && reads.load(Ordering::Relaxed) > 10);
    atlas.refresh().await.unwrap();
    let verified = atlas.verify().await.unwrap();
    assert_eq!(verified.problems, [""; 0]);
    assert_eq!(contents(&atlas).await.unwrap().last().unwrap().2[0], value);
}

#[tokio::test]
async fn a_writer_with_something_pending_can_commit_after_a_compaction() {
    let objects = old_store().await;
    let (writer, other) = (open(objects.clone()).await.unwrap(), open(objects.clone()).await.unwrap());
    writer.open_dataset("d3").await.unwrap();
    writer.delete_dataset("d3").await.unwrap();
    let compacted = other.compact(Some(&["t"])).await.unwrap();
    assert_eq!((compacted.variables.as_slice(), compacted.segments), (["t".to_owned()].as_slice(), (2, 1)));
    writer.flush().await.unwrap();
    assert_eq!(open(objects.clone()).await.unwrap().list_datasets().unwrap(), ["d0", "d1", "d2"]);
    let log = writer.log().await.unwrap();
    let told: Vec<_> = log.iter().map(|c| (c.generation, c.operation.as_str(), c.datasets)).collect();
    assert_eq!(told, [(4, "write", 3), (3, "compact", 4), (2, "write", 4), (1, "write", 2)]);
    // An older generation stays readable until it is vacuumed.
    let earlier = writer.open_at(1).await.unwrap();
    assert_eq!(contents(&earlier).await.unwrap().len(), 4);
    // Changes through it are committed to the newest generation, because nobody else has added this
    // dataset.
    earlier.create_dataset("x").await.unwrap();
    earlier.flush().await.unwrap();
    assert_eq!(earlier.list_datasets().unwrap(), ["d0", "d1", "d2", "x"]);
    let earlier = writer.open_at(1).await.unwrap();
    writer.vacuum(Duration::ZERO).await.unwrap();
    assert!(matches!(writer.open_at(1).await, Err(Error::NoGeneration { .. })));
    earlier.create_dataset("y").await.unwrap();
    // Its record is empty, and no writer can commit that generation again.
    assert!(matches!(earlier.flush().await, Err(Error::Conflict { .. })));
}

/// SQL over a store that was changed: its rows, and its chunks.
#[tokio::test]
async fn tables_show_what_a_changed_store_holds() {
    let objects = old_store().await;
    let atlas = open(objects).await.unwrap();
    change(&atlas, Change::Overwrite).await.unwrap();
    change(&atlas, Change::Delete).await.unwrap();
    for compacted in [false, true] {
        if compacted {
            atlas.compact(None).await.unwrap();
        }
        let ctx = session(&atlas, TableOptions::default()).unwrap();
        let totals =
            sorted_rows(&ctx, "SELECT dataset, count(t), sum(t), max(t) FROM atlas.t GROUP BY dataset");
        assert_eq!(
            totals.await.unwrap(),
            ["d2|0|NULL|NULL", "d3|10|30.0|3.0", "new|3|6.0|3.0", "renamed|10|220.0|72.0"]
        );
        let hot = sorted_rows(&ctx, "SELECT dataset, x, t FROM atlas.t WHERE t > 50");
        assert_eq!(hot.await.unwrap(), ["renamed|2|70.0", "renamed|3|71.0", "renamed|4|72.0"]);
        let told = "SELECT name, datasets, cells, missing, chunks FROM atlas._variables ORDER BY name";
        assert_eq!(rows(&ctx, told).await.unwrap(), ["s|3|33|0|10", "t|4|28|5|7"]);
        let told = "SELECT variable, count(*), sum(row_count), sum(CAST(sum AS DOUBLE)) FROM atlas._chunks GROUP BY 1 ORDER BY 1";
        assert_eq!(rows(&ctx, told).await.unwrap(), ["s|10|33|385.0", "t|7|25|256.0"]);
    }
}
