//! What a handle shows of its pending changes, and what becomes of these.

use std::sync::Arc;

use atlas::{Atlas, AttributeValue, DType, Error, Result, StoreConfig, Value};
use atlas_tests::memory;
use ndarray::{Array1, arr0, arr1, arr2};
use object_store::memory::InMemory;
use object_store::path::Path;

async fn create(objects: &Arc<InMemory>) -> Atlas {
    Atlas::create(objects.clone(), Path::from("s"), StoreConfig::default()).await.unwrap()
}

async fn open(objects: &Arc<InMemory>) -> Atlas {
    Atlas::open(objects.clone(), Path::from("s")).await.unwrap()
}

fn generation(atlas: &Atlas) -> u64 {
    atlas.snapshot().root().generation()
}

/// A store whose dataset `d` has an array `t` with the values 0 to 5.
async fn old_store() -> (Arc<InMemory>, Atlas) {
    let objects = memory();
    let atlas = create(&objects).await;
    let dataset = atlas.create_dataset("d").await.unwrap();
    dataset.define_array::<i32>("t", &["x"], [6], Some(vec![2]), Some(-1)).unwrap();
    dataset.write_array("t", [0], arr1(&[0, 1, 2, 3, 4, 5]).into_dyn().view()).await.unwrap();
    dataset.set_attribute("title", "old").unwrap();
    atlas.flush().await.unwrap();
    (objects, atlas)
}

/// All cells of an array.
async fn cells(atlas: &Atlas, dataset: &str, array: &str) -> Vec<i32> {
    let dataset = atlas.open_dataset(dataset).await.unwrap();
    dataset.read_array::<i32>(array, [], []).await.unwrap().unwrap().into_iter().collect()
}

#[tokio::test]
async fn changes_that_are_refused_are_not_committed() {
    let (objects, atlas) = old_store().await;
    let dataset = atlas.open_dataset("d").await.unwrap();
    let one = arr1(&[1]).into_dyn();
    let refused: [Result<()>; 12] = [
        dataset.remove_attribute("nothing"),
        dataset.remove_array_attribute("t", "nothing"),
        dataset.remove_array_attribute("nothing", "nothing"),
        dataset.set_array_attribute("nothing", "units", "m"),
        dataset.set_attribute("", "m"),
        dataset.delete_array("nothing").await,
        dataset.extend("nothing", 7).await,
        dataset.extend("x", 5).await,
        dataset.write_array("t", [6], one.view()).await,
        dataset.write_array("nothing", [0], one.view()).await,
        atlas.rename_dataset("d", "_d").await,
        atlas.create_dataset("d").await.map(drop),
    ];
    for (number, refused) in refused.into_iter().enumerate() {
        assert!(refused.is_err(), "{number}");
    }
    // A change without effect is not pending either.
    dataset.set_attribute("title", "old").unwrap();
    dataset.extend("x", 6).await.unwrap();
    atlas.rename_dataset("d", "d").await.unwrap();
    atlas.flush().await.unwrap();
    assert_eq!(generation(&atlas), 1);
    assert_eq!(generation(&open(&objects).await), 1);
}

#[tokio::test]
async fn a_handle_shows_what_is_pending_and_others_do_not() {
    let (objects, atlas) = old_store().await;
    let other = open(&objects).await;
    let dataset = atlas.open_dataset("d").await.unwrap();
    // Part of a chunk, a complete chunk, and an extension into the last chunk.
    dataset.write_array("t", [1], arr1(&[11, 12, 13]).into_dyn().view()).await.unwrap();
    dataset.extend("x", 7).await.unwrap();
    dataset.write_array("t", [6], arr1(&[16]).into_dyn().view()).await.unwrap();
    dataset.set_attribute("title", "new").unwrap();
    dataset.set_array_attribute("t", "units", "K").unwrap();
    let new = atlas.create_dataset("new").await.unwrap();
    new.define_array::<f64>("u", &["y"], [3], None, Some(-1.0)).unwrap();
    new.write_array("u", [1], arr1(&[2.5, -1.0]).into_dyn().view()).await.unwrap();
    atlas.set_attribute("note", "new").unwrap();

    assert_eq!(cells(&atlas, "d", "t").await, [0, 11, 12, 13, 4, 5, 16]);
    let part = dataset.read_array::<i32>("t", [3], [3]).await.unwrap().unwrap();
    assert_eq!(part, arr1(&[13, 4, 5]).into_dyn());
    let statistics = dataset.array_stats("t").await.unwrap();
    assert_eq!((statistics.row_count, statistics.null_count), (7, 0));
    assert_eq!((statistics.min, statistics.max), (Some(Value::I64(0)), Some(Value::I64(16))));
    assert_eq!(statistics.sum, Some(Value::I64(61)));
    let statistics = new.array_stats("u").await.unwrap();
    assert_eq!((statistics.row_count, statistics.null_count), (3, 2));
    assert_eq!(atlas.list_datasets().unwrap(), ["d", "new"]);
    assert_eq!(atlas.list_arrays().unwrap(), ["t", "u"]);
    assert_eq!(atlas.array_dtype("u").unwrap(), Some(DType::F64));
    assert_eq!(new.list_arrays().unwrap(), ["u"]);
    assert_eq!(dataset.get_attribute("title").unwrap(), Some(AttributeValue::from("new")));
    assert_eq!(dataset.get_array_attribute("t", "units").unwrap(), Some(AttributeValue::from("K")));
    assert_eq!(atlas.attributes(), [("note".to_owned(), AttributeValue::from("new"))]);

    // Other handles read committed data until they refresh.
    let old = async |atlas: &Atlas| {
        assert_eq!(atlas.list_datasets().unwrap(), ["d"]);
        assert_eq!(atlas.list_arrays().unwrap(), ["t"]);
        assert_eq!(cells(atlas, "d", "t").await, [0, 1, 2, 3, 4, 5]);
        assert_eq!(atlas.attributes(), []);
    };
    old(&other).await;
    other.refresh().await.unwrap();
    old(&other).await;
    atlas.flush().await.unwrap();
    old(&other).await;
    assert_eq!(cells(&atlas, "d", "t").await, [0, 11, 12, 13, 4, 5, 16]);
    other.refresh().await.unwrap();
    assert_eq!(cells(&other, "d", "t").await, [0, 11, 12, 13, 4, 5, 16]);
    assert_eq!(other.list_arrays().unwrap(), ["t", "u"]);

    // Deleted data is gone at once, and comes back when the deletion is discarded.
    atlas.delete_dataset("new").await.unwrap();
    dataset.delete_array("t").await.unwrap();
    assert_eq!(atlas.list_datasets().unwrap(), ["d"]);
    assert_eq!(atlas.list_arrays().unwrap(), [""; 0]);
    assert!(matches!(dataset.array_stats("t").await, Err(Error::NoArray { .. })));
    atlas.discard().await;
    assert_eq!(atlas.list_arrays().unwrap(), ["t", "u"]);
    assert_eq!(cells(&atlas, "d", "t").await, [0, 11, 12, 13, 4, 5, 16]);
    atlas.flush().await.unwrap();
    assert_eq!(generation(&atlas), 2);
}

#[tokio::test]
async fn arrays_of_many_datasets_are_those_of_one_generation() {
    let objects = memory();
    let atlas = create(&objects).await;
    let names = ["a", "b", "c", "d"];
    for (number, name) in (0i32..).zip(names) {
        let dataset = atlas.create_dataset(name).await.unwrap();
        if name != "c" {
            dataset.define_array::<i32>("t", &["x"], [2], None, None).unwrap();
            let values = Array1::from_elem(2, number).into_dyn();
            dataset.write_array("t", [0], values.view()).await.unwrap();
        }
    }
    let expected = |values: [Option<i32>; 4]| {
        values.map(|value| value.map(|value| Array1::from_elem(2, value).into_dyn()))
    };
    let across = async |atlas: &Atlas| atlas.read_array_across::<i32>("t", &names, &[], &[]).await.unwrap();
    let old = expected([Some(0), Some(1), None, Some(3)]);
    assert_eq!(across(&atlas).await, old);
    atlas.flush().await.unwrap();
    assert_eq!(across(&atlas).await, old);

    let other = open(&objects).await;
    let write = async |atlas: &Atlas, name: &str, value: i32| {
        let dataset = atlas.open_dataset(name).await.unwrap();
        let values = Array1::from_elem(2, value).into_dyn();
        dataset.write_array("t", [0], values.view()).await.unwrap();
    };
    write(&other, "b", 10).await;
    other.open_dataset("d").await.unwrap().delete_array("t").await.unwrap();
    other.flush().await.unwrap();
    // With the pending changes of this handle, and without the commits of others.
    write(&atlas, "a", 20).await;
    assert_eq!(across(&atlas).await, expected([Some(20), Some(1), None, Some(3)]));
    assert_eq!(across(&other).await, expected([Some(0), Some(10), None, None]));
    atlas.flush().await.unwrap();
    assert_eq!(across(&atlas).await, expected([Some(20), Some(10), None, None]));
    let whole = atlas.read_array_across::<i32>("t", &["a", "nobody"], &[], &[]).await;
    assert!(matches!(whole, Err(Error::NoDataset { dataset }) if dataset == "nobody"));
}

/// Reads while another task commits through the same handle. All datasets have the same value at
/// any time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn arrays_of_many_datasets_are_read_at_one_time() {
    let objects = memory();
    let writer = create(&objects).await;
    let names: Vec<String> = (0..6).map(|number| format!("d{number}")).collect();
    for name in &names {
        let dataset = writer.create_dataset(name).await.unwrap();
        dataset.define_array::<i32>("t", &["x"], [4], None, None).unwrap();
        dataset.write_array("t", [0], Array1::from_elem(4, 0).into_dyn().view()).await.unwrap();
    }
    writer.flush().await.unwrap();
    let reader = open(&objects).await;
    let following = {
        let (writer, reader, names) = (writer.clone(), reader.clone(), names.clone());
        tokio::spawn(async move {
            for value in 1..30 {
                for name in &names {
                    let dataset = writer.open_dataset(name).await.unwrap();
                    let values = Array1::from_elem(4, value).into_dyn();
                    dataset.write_array("t", [0], values.view()).await.unwrap();
                }
                writer.flush().await.unwrap();
                reader.refresh().await.unwrap();
            }
        })
    };
    let mut last = 0;
    while last < 29 {
        let read = reader.read_array_across::<i32>("t", &names, &[], &[]).await.unwrap();
        let first = *read[0].as_ref().unwrap().first().unwrap();
        assert!(first >= last, "{first} after {last}");
        let whole = Array1::from_elem(4, first).into_dyn();
        assert!(read.iter().all(|read| read.as_ref() == Some(&whole)), "{read:?}");
        last = first;
        if following.is_finished() && first < 29 {
            reader.refresh().await.unwrap();
        }
        tokio::task::yield_now().await;
    }
    following.await.unwrap();
}

/// After a conflict, pending changes can be read, committed in part by hand, or dropped.
#[tokio::test]
async fn a_conflict_names_what_collides_and_keeps_what_is_pending() {
    let (objects, atlas) = old_store().await;
    let other = open(&objects).await;
    let write = async |atlas: &Atlas, start: usize, value: i32| {
        let dataset = atlas.open_dataset("d").await.unwrap();
        dataset.write_array("t", [start], arr1(&[value]).into_dyn().view()).await.unwrap();
    };
    write(&atlas, 0, 10).await;
    atlas.flush().await.unwrap();
    write(&other, 1, 21).await;
    write(&other, 5, 25).await;
    other.create_dataset("new").await.unwrap();
    for _ in 0..2 {
        let error = other.flush().await.unwrap_err();
        let Error::Conflict { generation: 2, dataset, array, .. } = &error else { panic!("{error}") };
        assert_eq!((dataset.as_deref(), array.as_deref()), (Some("d"), Some("t")));
        assert!(error.to_string().contains("array `t` of dataset `d`"), "{error}");
        assert_eq!(cells(&other, "d", "t").await, [0, 21, 2, 3, 4, 25]);
        assert_eq!(other.list_datasets().unwrap(), ["d", "new"]);
        assert_eq!(cells(&open(&objects).await, "d", "t").await, [10, 1, 2, 3, 4, 5]);
    }
    // Further changes are possible, but do not resolve the conflict.
    write(&other, 3, 23).await;
    assert_eq!(cells(&other, "d", "t").await, [0, 21, 2, 23, 4, 25]);
    assert!(matches!(other.flush().await, Err(Error::Conflict { .. })));
    other.refresh().await.unwrap();
    assert_eq!(cells(&other, "d", "t").await, [10, 1, 2, 3, 4, 5]);
    write(&other, 1, 21).await;
    other.flush().await.unwrap();
    assert_eq!(cells(&open(&objects).await, "d", "t").await, [10, 21, 2, 3, 4, 5]);
    let verified = other.verify().await.unwrap();
    assert_eq!((verified.problems, verified.unused), (vec![], vec![]));
}

/// If an array is defined, written and deleted before the commit, its chunks are in the segment.
/// They must not become cells of an array that another writer defines.
#[tokio::test]
async fn what_was_deleted_before_its_commit_does_not_come_back() {
    for is_read in [false, true] {
        let (objects, atlas) = old_store().await;
        let other = open(&objects).await;
        let define = async |atlas: &Atlas| {
            let dataset = atlas.open_dataset("d").await.unwrap();
            dataset.define_array::<i32>("u", &["y"], [4], Some(vec![2]), Some(-1)).unwrap();
            dataset
        };
        let dataset = define(&atlas).await;
        dataset.write_array("u", [0], arr1(&[1, 2, 3, 4]).into_dyn().view()).await.unwrap();
        // Reading a partially overwritten chunk completes the segment that is being written.
        if is_read {
            dataset.write_array("u", [0], arr1(&[0]).into_dyn().view()).await.unwrap();
            assert_eq!(cells(&atlas, "d", "u").await, [0, 2, 3, 4]);
        }
        dataset.delete_array("u").await.unwrap();
        dataset.set_attribute("note", "more").unwrap();
        let dataset = define(&other).await;
        dataset.write_array("u", [0], arr1(&[7]).into_dyn().view()).await.unwrap();
        other.flush().await.unwrap();
        match atlas.flush().await {
            Ok(()) => {}
            Err(error) => assert!(matches!(error, Error::Conflict { .. }), "{error}"),
        }
        assert_eq!(cells(&open(&objects).await, "d", "u").await, [7, -1, -1, -1], "read: {is_read}");
    }
}

/// The same if the other writer comes second.
#[tokio::test]
async fn what_was_deleted_before_its_commit_does_not_come_back_under_later_changes() {
    for is_read in [false, true] {
        let (objects, atlas) = old_store().await;
        // Another dataset keeps the variable, but nothing of it is written.
        let dataset = atlas.create_dataset("e").await.unwrap();
        dataset.define_array::<i32>("u", &["y"], [4], None, None).unwrap();
        atlas.flush().await.unwrap();
        let other = open(&objects).await;
        let dataset = atlas.open_dataset("d").await.unwrap();
        dataset.define_array::<i32>("u", &["y"], [4], Some(vec![2]), Some(-1)).unwrap();
        dataset.write_array("u", [0], arr1(&[1, 2, 3, 4]).into_dyn().view()).await.unwrap();
        // Reading a partially overwritten chunk completes the segment that is being written.
        if is_read {
            dataset.write_array("u", [0], arr1(&[0]).into_dyn().view()).await.unwrap();
            assert_eq!(cells(&atlas, "d", "u").await, [0, 2, 3, 4]);
        }
        dataset.delete_array("u").await.unwrap();
        dataset.set_attribute("note", "more").unwrap();
        atlas.flush().await.unwrap();
        let dataset = other.open_dataset("d").await.unwrap();
        dataset.define_array::<i32>("u", &["y"], [4], Some(vec![2]), Some(-1)).unwrap();
        dataset.write_array("u", [0], arr1(&[7]).into_dyn().view()).await.unwrap();
        match other.flush().await {
            Ok(()) => {
                assert_eq!(cells(&other, "d", "u").await, [7, -1, -1, -1], "read: {is_read}");
                assert_eq!(cells(&open(&objects).await, "d", "u").await, [7, -1, -1, -1]);
            }
            Err(error) => assert!(matches!(error, Error::Conflict { .. }), "{error}"),
        }
    }
}

/// Four tasks, each with a handle of its own, commit at the same time, and all succeed.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writers_that_add_datasets_at_one_time_all_succeed() {
    let objects = memory();
    create(&objects).await.flush().await.unwrap();
    let tasks = (0..4).map(|task| {
        let objects = objects.clone();
        tokio::spawn(async move {
            let atlas = open(&objects).await;
            for number in 0..100i32 {
                let dataset = atlas.create_dataset(&format!("{task}-{number}")).await.unwrap();
                dataset.define_array::<i32>("t", &["x"], [2], None, None).unwrap();
                let values = arr1(&[task, number]).into_dyn();
                dataset.write_array("t", [0], values.view()).await.unwrap();
                if number % 20 == 19 {
                    atlas.flush().await.unwrap();
                }
            }
            generation(&atlas)
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        assert!(task.await.unwrap() >= 6);
    }
    let atlas = open(&objects).await;
    assert_eq!(generation(&atlas), 21);
    let mut names: Vec<String> = (0..400).map(|n| format!("{}-{}", n / 100, n % 100)).collect();
    let read = atlas.read_array_across::<i32>("t", &names, &[], &[]).await.unwrap();
    for (number, read) in (0i32..).zip(read) {
        assert_eq!(read, Some(arr1(&[number / 100, number % 100]).into_dyn()));
    }
    let mut listed = atlas.list_datasets().unwrap();
    listed.sort();
    names.sort();
    assert_eq!(listed, names);
    assert_eq!(atlas.verify().await.unwrap().problems, [""; 0]);
}

/// A scalar and a two-dimensional array, before and after the commit.
#[tokio::test]
async fn scalars_and_tables_are_read_before_they_are_committed() {
    let atlas = create(&memory()).await;
    let dataset = atlas.create_dataset("d").await.unwrap();
    dataset.define_array::<i32>("s", &[], [], None, None).unwrap();
    dataset.define_array::<i32>("u", &["x", "y"], [2, 3], Some(vec![1, 2]), Some(0)).unwrap();
    assert_eq!((cells(&atlas, "d", "s").await, cells(&atlas, "d", "u").await), (vec![0], vec![0; 6]));
    dataset.write_array("s", [], arr0(5).into_dyn().view()).await.unwrap();
    dataset.write_array("u", [0, 1], arr2(&[[1, 2], [3, 4]]).into_dyn().view()).await.unwrap();
    for _ in 0..2 {
        assert_eq!(cells(&atlas, "d", "s").await, [5]);
        assert_eq!(cells(&atlas, "d", "u").await, [0, 1, 2, 0, 3, 4]);
        assert_eq!(dataset.array_stats("u").await.unwrap().null_count, 2);
        atlas.flush().await.unwrap();
    }
}

/// Two writers of a store whose datasets lie in manifests. Both add manifests.
#[tokio::test]
async fn writers_of_many_datasets_both_commit() {
    const MANY: usize = 5000;
    let objects = memory();
    let atlas = create(&objects).await;
    let put = async |atlas: &Atlas, prefix: &str, from: usize, to: usize| {
        for number in from..to {
            let dataset = atlas.create_dataset(&format!("{prefix}{number}")).await.unwrap();
            dataset.define_array::<i32>("t", &["x"], [2], Some(vec![1]), Some(-1)).unwrap();
            let value = arr1(&[number as i32]).into_dyn();
            dataset.write_array("t", [0], value.view()).await.unwrap();
            dataset.set_attribute("number", number as i64).unwrap();
        }
    };
    let check = async |atlas: &Atlas, name: &str, expected: i32| {
        assert_eq!(cells(atlas, name, "t").await, [expected, -1], "{name}");
        let dataset = atlas.open_dataset(name).await.unwrap();
        assert_eq!(dataset.array_stats("t").await.unwrap().null_count, 1, "{name}");
        assert!(dataset.get_attribute("number").unwrap().is_some(), "{name}");
    };
    put(&atlas, "d", 0, MANY).await;
    // Before the commit, read datasets that are still drafts, and others.
    for number in [0, 17, 4095, 4096, MANY - 1] {
        check(&atlas, &format!("d{number}"), number as i32).await;
    }
    assert_eq!(atlas.list_datasets().unwrap().len(), MANY);
    atlas.flush().await.unwrap();
    let (one, other) = (open(&objects).await, open(&objects).await);
    for (number, (writer, prefix)) in [(&one, "one"), (&other, "other")].into_iter().enumerate() {
        put(writer, prefix, 0, 600).await;
        let write = async |name: &str, value: i32| {
            let dataset = writer.open_dataset(name).await.unwrap();
            dataset.write_array("t", [0], arr1(&[value]).into_dyn().view()).await.unwrap();
            dataset.set_attribute("number", i64::from(value)).unwrap();
        };
        write(&format!("d{}", 10 + number), -5).await;
        write(&format!("{prefix}7"), -7).await;
        writer.delete_dataset(&format!("d{}", 20 + number)).await.unwrap();
        writer.rename_dataset(&format!("d{}", 30 + number), &format!("renamed {prefix}")).await.unwrap();
        writer.delete_dataset(&format!("{prefix}8")).await.unwrap();
    }
    one.flush().await.unwrap();
    other.flush().await.unwrap();
    // A third writer that changes what both have changed loses.
    let third = atlas;
    third.open_dataset("d20").await.unwrap().set_attribute("number", 1i64).unwrap();
    let error = third.flush().await.unwrap_err();
    assert!(matches!(&error, Error::Conflict { dataset: Some(name), .. } if name == "d20"), "{error}");
    third.discard().await;
    for round in 0..2 {
        let atlas = open(&objects).await;
        assert_eq!(atlas.list_datasets().unwrap().len(), MANY + 2 * 599 - 2, "{round}");
        for (name, expected) in [
            ("d9", 9),
            ("d10", -5),
            ("d11", -5),
            ("d12", 12),
            ("d4999", 4999),
            ("renamed one", 30),
            ("renamed other", 31),
            ("one6", 6),
            ("one7", -7),
            ("other7", -7),
            ("other599", 599),
        ] {
            check(&atlas, name, expected).await;
        }
        for name in ["d20", "d21", "d30", "d31", "one8", "other8"] {
            assert!(!atlas.dataset_exists(name).unwrap(), "{name}");
        }
        assert_eq!(atlas.verify().await.unwrap().problems, [""; 0]);
        atlas.compact(None).await.unwrap();
    }
}
