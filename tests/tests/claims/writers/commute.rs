//! Every pair of operations by two writers, in both orders. Both commits succeed, except for the
//! pairs that the table of [`Atlas::flush`] excludes. If both succeed, the order does not matter.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use atlas::{Atlas, AttributeValue, Error, Result, StoreConfig};
use atlas_tests::copy;
use ndarray::{arr0, arr1, arr2};
use object_store::memory::InMemory;
use object_store::path::Path;

use super::model::{Attributes, Change, Dataset, add, read};

/// Declares the operations of a writer, and the list of all of them.
macro_rules! operations {
    ($($operation:ident,)*) => {
        /// An operation of a writer on dataset `d`, unless another is named.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        enum Operation {
            $($operation,)*
        }

        use Operation::*;

        const ALL: [Operation; 36] = [$($operation,)*];
    };
}

operations! {
    Append,
    AppendAnother,
    AppendR,
    WriteOther,
    Write,
    WriteSameChunk,
    WriteOtherChunk,
    WriteOtherArray,
    ExtendX,
    ExtendZ,
    DefineU,
    DefineUOtherwise,
    DefineV,
    DefineOverX,
    DeleteT,
    DeleteS,
    ReplaceT,
    SetTitle,
    SetTitleElse,
    RemoveTitle,
    SetNote,
    SetUnits,
    SetUnitsElse,
    SetArrayNote,
    RenameR,
    RenameQ,
    RenameOtherR,
    Delete,
    DeleteOther,
    StoreNote,
    StoreNoteElse,
    StoreKey,
    StoreAdd,
    Compact,
    CompactT,
    Vacuum,
}

/// Operations that write a chunk of `t`, or all of it.
const IN_T: [Operation; 3] = [Write, WriteSameChunk, WriteOtherChunk];

/// Operations that change `d`, but not its name.
const OF_D: [Operation; 19] = [
    Write,
    WriteSameChunk,
    WriteOtherChunk,
    WriteOtherArray,
    ExtendX,
    ExtendZ,
    DefineU,
    DefineUOtherwise,
    DefineV,
    DefineOverX,
    DeleteT,
    DeleteS,
    ReplaceT,
    SetTitle,
    SetTitleElse,
    RemoveTitle,
    SetNote,
    SetUnits,
    SetUnitsElse,
];

/// What a conflict names: a dataset and an array.
type Place = (Option<&'static str>, Option<&'static str>);

/// The pairs that conflict, with the dataset and the array that the error names, in the order of
/// the table.
fn conflicts() -> BTreeMap<(Operation, Operation), Place> {
    let mut found = BTreeMap::new();
    let mut add = |dataset, array, one: &[Operation], other: &[Operation]| {
        for &one in one {
            for &other in other {
                found.insert((one.min(other), one.max(other)), (dataset, array));
            }
        }
    };
    let (d, t, u) = (Some("d"), Some("t"), Some("u"));
    // Two datasets of one name.
    add(Some("new"), None, &[Append], &[Append]);
    add(Some("another"), None, &[AppendAnother], &[AppendAnother]);
    add(Some("r"), None, &[AppendR], &[AppendR, RenameR, RenameOtherR]);
    add(Some("r"), None, &[RenameR], &[RenameOtherR]);
    // The same chunk.
    add(d, t, &[Write, WriteSameChunk], &[Write, WriteSameChunk]);
    add(d, t, &[WriteOtherChunk], &[WriteOtherChunk]);
    add(d, Some("s"), &[WriteOtherArray], &[WriteOtherArray]);
    add(Some("e"), t, &[WriteOther], &[WriteOther]);
    // Extending a dimension conflicts with writes to an array over it, with its extension or
    // deletion, and with new arrays over it.
    add(d, t, &[ExtendX, ReplaceT, DeleteT], &IN_T);
    add(d, t, &[ExtendX, ReplaceT, DeleteT], &[ExtendX, ReplaceT, DeleteT]);
    add(d, Some("s"), &[ExtendZ, DeleteS], &[WriteOtherArray, ExtendZ, DeleteS]);
    add(d, Some("w"), &[DefineOverX], &[ExtendX]);
    add(d, Some("w"), &[DefineOverX], &[DefineOverX]);
    // Different definitions of an array.
    add(d, u, &[DefineU, DefineUOtherwise], &[DefineU, DefineUOtherwise]);
    add(d, Some("v"), &[DefineV], &[DefineV]);
    // Another value of an attribute, and the deletion of its array.
    add(d, None, &[SetTitle], &[SetTitleElse, RemoveTitle]);
    add(d, None, &[SetTitleElse], &[RemoveTitle]);
    add(d, t, &[SetUnits], &[SetUnitsElse]);
    add(d, t, &[DeleteT], &[SetUnits, SetUnitsElse, SetArrayNote]);
    add(None, None, &[StoreNote], &[StoreNoteElse]);
    // Another name of a dataset.
    add(d, None, &[RenameR], &[RenameQ]);
    add(Some("e"), None, &[RenameOtherR], &[DeleteOther]);
    // Deletion, with everything.
    add(d, None, &[Delete], &OF_D);
    add(d, None, &[Delete], &[SetArrayNote, RenameR, RenameQ, Delete]);
    add(Some("e"), None, &[DeleteOther], &[DeleteOther, WriteOther]);
    found
}

/// True if one operation deletes a dataset to which the other writes.
fn deletes((one, other): (Operation, Operation)) -> bool {
    let writes = [WriteOther, Write, WriteSameChunk, WriteOtherChunk, WriteOtherArray];
    writes.contains(&one) && [Delete, DeleteOther].contains(&other)
}

async fn old_store() -> Arc<InMemory> {
    let objects: Arc<InMemory> = Arc::default();
    let atlas = create(&objects).await;
    for name in ["d", "e"] {
        let dataset = atlas.create_dataset(name).await.unwrap();
        dataset.define_array::<i32>("t", &["x", "y"], &[4, 2], Some(vec![2, 2]), None).unwrap();
        dataset.define_array::<i32>("s", &["z"], &[3], None, None).unwrap();
        dataset.set_attribute("title", "old").unwrap();
        dataset.set_array_attribute("t", "units", "m").unwrap();
        let values = arr2(&[[1, 2], [3, 4], [5, 6], [7, 8]]).into_dyn();
        dataset.write_array("t", &[0, 0], values.view()).await.unwrap();
        dataset.write_array("s", &[0], arr1(&[7, 8, 9]).into_dyn().view()).await.unwrap();
        // Enough segments that there is something to compact.
        atlas.flush().await.unwrap();
    }
    atlas.set_attribute("count", 1i64).unwrap();
    atlas.flush().await.unwrap();
    atlas.vacuum(Duration::ZERO).await.unwrap();
    objects
}

async fn create(objects: &Arc<InMemory>) -> Atlas {
    Atlas::create(objects.clone(), Path::from("s"), StoreConfig::default()).await.unwrap()
}

async fn open(objects: &Arc<InMemory>) -> Atlas {
    Atlas::open(objects.clone(), Path::from("s")).await.unwrap()
}

/// Changes the store, without a commit.
async fn change(atlas: &Atlas, operation: Operation) -> Result<()> {
    let (d, e) = (atlas.open_dataset("d").await?, atlas.open_dataset("e").await?);
    let define =
        |name: &str, dims: &[&str], shape: &[usize]| d.define_array::<i32>(name, dims, shape, None, Some(-1));
    let append = async |name: &str| {
        let new = atlas.create_dataset(name).await?;
        new.define_array::<i32>("t", &["x"], &[2], None, None)?;
        new.write_array("t", &[0], arr1(&[40, 41]).into_dyn().view()).await
    };
    let one = async |array: &str, start: &[usize], value: i32| {
        let value = arr0(value).into_dyn().into_shape_with_order(vec![1; start.len()]).unwrap();
        d.write_array(array, start, value.view()).await
    };
    match operation {
        Append => append("new").await,
        AppendAnother => append("another").await,
        AppendR => append("r").await,
        WriteOther => e.write_array("t", &[1, 1], arr2(&[[31]]).into_dyn().view()).await,
        Write => one("t", &[0, 0], 32).await,
        WriteSameChunk => one("t", &[1, 1], 33).await,
        WriteOtherChunk => one("t", &[2, 0], 34).await,
        WriteOtherArray => one("s", &[1], 35).await,
        ExtendX => {
            d.extend("x", 5).await?;
            one("t", &[4, 0], 36).await
        }
        ExtendZ => d.extend("z", 5).await,
        DefineU => define("u", &["n"], &[2]),
        DefineUOtherwise => define("u", &[], &[]),
        DefineV => {
            define("v", &["n"], &[2])?;
            one("v", &[1], 37).await
        }
        DefineOverX => define("w", &["x"], &[4]),
        DeleteT => d.delete_array("t").await,
        DeleteS => d.delete_array("s").await,
        ReplaceT => {
            d.delete_array("t").await?;
            d.define_array::<i32>("t", &["x", "y"], &[4, 2], Some(vec![2, 2]), None)?;
            d.set_array_attribute("t", "units", "m")?;
            one("t", &[3, 1], 38).await
        }
        SetTitle => d.set_attribute("title", "new"),
        SetTitleElse => d.set_attribute("title", "else"),
        RemoveTitle => d.remove_attribute("title"),
        SetNote => d.set_attribute("note", "new"),
        SetUnits => d.set_array_attribute("t", "units", "K"),
        SetUnitsElse => d.set_array_attribute("t", "units", "C"),
        SetArrayNote => d.set_array_attribute("t", "note", "new"),
        RenameR => atlas.rename_dataset("d", "r").await,
        RenameQ => atlas.rename_dataset("d", "q").await,
        RenameOtherR => atlas.rename_dataset("e", "r").await,
        Delete => atlas.delete_dataset("d").await,
        DeleteOther => atlas.delete_dataset("e").await,
        StoreNote => atlas.set_attribute("note", 1i64),
        StoreNoteElse => atlas.set_attribute("note", 2i64),
        StoreKey => atlas.set_attribute("key", 1i64),
        StoreAdd => atlas.update_attribute("count", |value| Change::Add(5).over(value)),
        Compact | CompactT | Vacuum => Ok(()),
    }
}

async fn commit(atlas: &Atlas, operation: Operation) -> Result<()> {
    match operation {
        Compact => atlas.compact(None).await.map(drop),
        CompactT => atlas.compact(Some(&["t"])).await.map(drop),
        Vacuum => atlas.vacuum(Duration::ZERO).await.map(drop),
        _ => atlas.flush().await,
    }
}

/// The content of a store after both operations, or why the second was not committed. `collide`
/// tells whether a conflict is expected.
async fn both(
    old: &InMemory,
    first: Operation,
    second: Operation,
    collide: bool,
) -> Result<(BTreeMap<String, Dataset>, Attributes)> {
    let objects = copy(old).await;
    let (one, other) = (open(&objects).await, open(&objects).await);
    change(&one, first).await.unwrap();
    change(&other, second).await.unwrap();
    let pending = if collide { Some(read(&other).await.unwrap()) } else { None };
    commit(&one, first).await.unwrap_or_else(|error| panic!("{first:?} alone: {error}"));
    let after_first = if collide { Some(read(&open(&objects).await).await.unwrap()) } else { None };
    let committed = commit(&other, second).await;
    let newest = open(&objects).await;
    if let (Err(_), Some(pending), Some(after_first)) = (&committed, pending, after_first) {
        assert_eq!(read(&other).await.unwrap(), pending, "{second:?} is pending still");
        assert_eq!(read(&newest).await.unwrap(), after_first, "{second:?} was not committed");
        // A writer that refreshes can repeat the changes that still make sense, and commit them.
        other.refresh().await.unwrap();
        if change(&other, second).await.is_ok() {
            commit(&other, second).await.unwrap();
        }
    }
    assert_eq!(newest.verify().await.unwrap().problems, [""; 0], "{first:?}, {second:?}");
    one.refresh().await.unwrap();
    let held = read(&one).await?;
    committed.map(|()| held)
}

/// The clock stands still: a writer that has lost a race does not wait.
#[tokio::test(start_paused = true)]
async fn two_operations_commute_as_the_table_says() {
    let old = old_store().await;
    let conflicts = conflicts();
    let mut wrong = Vec::new();
    for (place, &first) in ALL.iter().enumerate() {
        for &second in &ALL[place..] {
            let pair = (first.min(second), first.max(second));
            let expected = conflicts.get(&pair).copied();
            let collide = expected.is_some();
            let found = [both(&old, first, second, collide).await, both(&old, second, first, collide).await];
            for found in &found {
                match (found, expected) {
                    (Ok(_), None) => {}
                    (Err(Error::Conflict { dataset, array, .. }), Some(expected)) => {
                        let named = (dataset.as_deref(), array.as_deref());
                        // If the dataset is gone, the error may also name its array.
                        let array = expected.1.or(if deletes(pair) { named.1 } else { None });
                        if named != (expected.0, array) {
                            wrong.push(format!("{pair:?}: it names {named:?}, not {expected:?}"));
                        }
                    }
                    (Ok(_), Some(_)) => wrong.push(format!("{pair:?}: both succeed")),
                    (Err(error), _) => wrong.push(format!("{pair:?}: {error}")),
                }
            }
            if let [Ok(one), Ok(other)] = &found
                && one != other
            {
                wrong.push(format!("{pair:?}: the order matters: {one:?} {other:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Two writers that add to one attribute of a store both succeed; two that set it conflict.
#[tokio::test]
async fn two_writers_add_to_one_attribute() {
    let objects = old_store().await;
    let (one, other) = (open(&objects).await, open(&objects).await);
    for atlas in [&one, &other] {
        atlas.update_attribute("count", |value| add(value, 10)).unwrap();
        assert_eq!(read(atlas).await.unwrap().1["count"], AttributeValue::from(11i64));
        atlas.flush().await.unwrap();
    }
    assert_eq!(read(&open(&objects).await).await.unwrap().1["count"], AttributeValue::from(21i64));
}

/// If another writer's base was vacuumed, nobody can tell whether its changes conflict.
#[tokio::test]
async fn a_writer_whose_generation_was_vacuumed_has_to_refresh() {
    let objects = old_store().await;
    let (one, other) = (open(&objects).await, open(&objects).await);
    change(&other, AppendAnother).await.unwrap();
    for operation in [Append, StoreNote] {
        change(&one, operation).await.unwrap();
        one.flush().await.unwrap();
    }
    one.vacuum(Duration::ZERO).await.unwrap();
    let error = other.flush().await.unwrap_err();
    assert!(matches!(error, Error::Conflict { dataset: None, array: None, .. }), "{error}");
    assert!(error.to_string().contains("vacuumed"), "{error}");
    assert!(other.dataset_exists("another").unwrap());
    other.refresh().await.unwrap();
    change(&other, AppendAnother).await.unwrap();
    other.flush().await.unwrap();
    assert_eq!(open(&objects).await.list_datasets().unwrap(), ["d", "e", "new", "another"]);
    assert_eq!(other.verify().await.unwrap().problems, [""; 0]);
}
