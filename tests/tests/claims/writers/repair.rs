//! Stores whose `atlas.json` is lost or old, and storages that ignore case.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use atlas::{Atlas, Error, Storage, StoreConfig};
use atlas_tests::memory;
use bytes::Bytes;
use futures::stream::{BoxStream, StreamExt};
use ndarray::arr1;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

/// What happens to the catalog of a store.
#[derive(Clone, Copy, Debug)]
enum Loss {
    Deleted,
    Older,
    Damaged,
}

fn catalog() -> Path {
    Path::from("s/atlas.json")
}

async fn create(objects: &Arc<InMemory>) -> Atlas {
    Atlas::create(objects.clone(), Path::from("s"), StoreConfig::default()).await.unwrap()
}

/// A store of five generations, and the catalog of the second.
async fn store(objects: &Arc<InMemory>) -> (Atlas, Bytes) {
    let atlas = create(objects).await;
    let mut second = Bytes::new();
    for number in 1..=5i32 {
        let dataset = atlas.create_dataset(&format!("d{number}")).await.unwrap();
        dataset.define_array::<i32>("t", &["x"], [2], None, None).unwrap();
        dataset.write_array("t", [0], arr1(&[number, number]).into_dyn().view()).await.unwrap();
        atlas.flush().await.unwrap();
        if number == 2 {
            second = objects.get(&catalog()).await.unwrap().bytes().await.unwrap();
        }
    }
    (atlas, second)
}

async fn check(atlas: &Atlas, what: &str) {
    assert_eq!(atlas.snapshot().root().generation(), 5, "{what}");
    assert_eq!(atlas.list_datasets().unwrap(), ["d1", "d2", "d3", "d4", "d5"], "{what}");
    for number in 1..=5i32 {
        let dataset = atlas.open_dataset(&format!("d{number}")).await.unwrap();
        let read = dataset.read_array::<i32>("t", [], []).await.unwrap();
        assert_eq!(read, Some(arr1(&[number, number]).into_dyn()), "{what}");
    }
}

/// A store whose catalog is lost, with or without a vacuum before that.
async fn lose(loss: Loss, vacuumed: bool) -> (Arc<InMemory>, Atlas) {
    let objects = memory();
    let (atlas, second) = store(&objects).await;
    if vacuumed {
        let vacuumed = atlas.vacuum(Duration::ZERO).await.unwrap();
        assert_eq!(vacuumed.generations, [1, 2, 3, 4]);
    }
    match loss {
        Loss::Deleted => objects.delete(&catalog()).await.unwrap(),
        Loss::Older => drop(objects.put(&catalog(), second.into()).await.unwrap()),
        Loss::Damaged => {
            drop(objects.put(&catalog(), second.slice(..second.len() / 2).into()).await.unwrap())
        }
    }
    (objects, atlas)
}

async fn open(objects: &Arc<InMemory>) -> atlas::Result<Atlas> {
    Atlas::open(objects.clone(), Path::from("s")).await
}

#[tokio::test]
async fn a_store_whose_catalog_is_lost_is_found_by_its_records() {
    for (loss, vacuumed) in
        [Loss::Deleted, Loss::Older, Loss::Damaged].into_iter().flat_map(|l| [(l, false), (l, true)])
    {
        let what = format!("{loss:?}, vacuumed: {vacuumed}");
        // Opening it reads the newest generation. A damaged catalog is an error that says so.
        let (objects, atlas) = lose(loss, vacuumed).await;
        match (loss, open(&objects).await) {
            (Loss::Damaged, Err(Error::Corrupt { file, .. })) => assert_eq!(file, "atlas.json"),
            (_, Ok(opened)) => check(&opened, &what).await,
            (_, Err(error)) => panic!("{what}: {error}"),
        }
        let problems = atlas.verify().await.unwrap().problems;
        assert!(problems.len() == 1 && problems[0].contains("atlas.json"), "{what}: {problems:?}");

        // Whoever refreshes mends it.
        atlas.refresh().await.unwrap();
        check(&atlas, &what).await;
        assert_eq!(atlas.verify().await.unwrap().problems, [""; 0], "{what}");
        check(&open(&objects).await.unwrap(), &what).await;

        let (objects, _) = lose(loss, vacuumed).await;
        let location = Storage::new(objects.clone(), Path::from("s"));
        let repaired = Atlas::repair(location).await.unwrap();
        check(&repaired, &what).await;
        assert_eq!(repaired.verify().await.unwrap().problems, [""; 0], "{what}");

        // A writer that opened it before, or opens it now, commits after the newest generation.
        let (objects, atlas) = lose(loss, vacuumed).await;
        atlas.create_dataset("d6").await.unwrap();
        atlas.flush().await.unwrap();
        let opened = open(&objects).await.unwrap();
        assert_eq!(opened.snapshot().root().generation(), 6, "{what}");
        assert_eq!(opened.list_datasets().unwrap().len(), 6, "{what}");
        if !matches!(loss, Loss::Damaged) {
            let (objects, _) = lose(loss, vacuumed).await;
            let opened = open(&objects).await.unwrap();
            opened.create_dataset("d6").await.unwrap();
            opened.flush().await.unwrap();
            assert_eq!(open(&objects).await.unwrap().list_datasets().unwrap().len(), 6, "{what}");
        }
    }
}

/// Repairing restores `atlas.json` only. If the datasets of the newest generation cannot be read, it
/// says so, and which generation can be read.
#[tokio::test]
async fn repairing_a_store_that_stays_unreadable_says_so() {
    let objects = memory();
    let atlas = create(&objects).await;
    let mut manifests = Vec::new();
    for first in [0, 5000] {
        for number in first..first + 5000 {
            atlas.create_dataset(&format!("d{number}")).await.unwrap();
        }
        atlas.flush().await.unwrap();
        let mut listed = objects.list(Some(&Path::from("s/_datasets")));
        while let Some(Ok(meta)) = listed.next().await {
            if !manifests.contains(&meta.location) {
                manifests.push(meta.location);
            }
        }
    }
    assert_eq!(manifests.len(), 2);
    for (earlier, manifest) in [Some(1), None].into_iter().zip(manifests.iter().rev()) {
        objects.put(manifest, Bytes::from_static(b"damaged").into()).await.unwrap();
        match Atlas::repair(Storage::new(objects.clone(), Path::from("s"))).await {
            Err(error @ Error::Unreadable { generation: 2, .. }) => {
                let expected = earlier
                    .map_or("no earlier generation".to_owned(), |g| format!("generation {g} can be read"));
                assert!(error.to_string().contains(&expected), "{error}");
            }
            other => panic!("{:?}", other.map(drop)),
        }
    }
}

/// Nobody can create another store over one whose catalog is lost.
#[tokio::test]
async fn a_store_whose_catalog_is_lost_is_a_store() {
    for vacuumed in [false, true] {
        let (objects, _) = lose(Loss::Deleted, vacuumed).await;
        let created = Atlas::create(objects.clone(), Path::from("s"), StoreConfig::default()).await;
        let added = match created {
            Ok(atlas) => {
                atlas.create_dataset("d6").await.unwrap();
                atlas.flush().await
            }
            Err(error) => Err(error),
        };
        match added {
            // It is added to the existing store.
            Ok(()) => assert_eq!(open(&objects).await.unwrap().list_datasets().unwrap().len(), 6),
            Err(Error::StoreExists { .. } | Error::Conflict { .. }) => {
                check(&open(&objects).await.unwrap(), "not created").await;
            }
            Err(error) => panic!("{error}"),
        }
    }
    let empty = Atlas::repair(Storage::new(memory(), Path::from("s"))).await;
    assert!(matches!(empty, Err(Error::NoStore { .. })));
}

/// A storage that ignores the case of letters, like some file systems.
#[derive(Debug, Default)]
struct Folding(InMemory);

impl fmt::Display for Folding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Folding")
    }
}

fn fold(path: &Path) -> Path {
    Path::from(path.as_ref().to_lowercase())
}

#[async_trait]
impl ObjectStore for Folding {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.0.put_opts(&fold(path), payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.0.put_multipart_opts(&fold(path), options).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        self.0.get_opts(&fold(path), options).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.0.delete_stream(paths.map(|path| path.map(|path| fold(&path))).boxed())
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.0.list(prefix.map(fold).as_ref())
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.0.list_with_delimiter(prefix.map(fold).as_ref()).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.0.copy_opts(&fold(from), &fold(to), options).await
    }
}

#[tokio::test]
async fn variables_that_differ_in_case_keep_their_values_where_files_do_not() {
    let objects: Arc<Folding> = Arc::default();
    let config = StoreConfig::default();
    let atlas = Atlas::create(objects.clone(), Path::from("s"), config).await.unwrap();
    let put = async |atlas: &Atlas, dataset: &str, array: &str, value: i32| {
        let dataset = match atlas.open_dataset(dataset).await {
            Ok(dataset) => dataset,
            Err(_) => atlas.create_dataset(dataset).await.unwrap(),
        };
        if dataset.shape(array).is_err() {
            dataset.define_array::<i32>(array, &["x"], [2], Some(vec![1]), None).unwrap();
        }
        dataset.write_array(array, [0], arr1(&[value, value]).into_dyn().view()).await.unwrap();
    };
    put(&atlas, "d", "T", 1).await;
    put(&atlas, "d", "t", 2).await;
    atlas.flush().await.unwrap();
    // Two writers that add variables without knowing of each other.
    let other = Atlas::open(objects.clone(), Path::from("s")).await.unwrap();
    for (atlas, dataset, array, value) in [(&atlas, "e", "S", 3), (&other, "f", "s", 4)] {
        put(atlas, dataset, array, value).await;
        put(atlas, dataset, "T", value * 10).await;
        put(atlas, dataset, "t", value * 10 + 1).await;
    }
    atlas.flush().await.unwrap();
    other.flush().await.unwrap();
    let expected = [
        ("d", "T", 1),
        ("d", "t", 2),
        ("e", "S", 3),
        ("f", "s", 4),
        ("e", "T", 30),
        ("e", "t", 31),
        ("f", "T", 40),
        ("f", "t", 41),
    ];
    let check = async |what: &str| {
        let atlas = Atlas::open(objects.clone(), Path::from("s")).await.unwrap();
        for (dataset, array, value) in expected {
            let dataset = atlas.open_dataset(dataset).await.unwrap();
            let read = dataset.read_array::<i32>(array, [], []).await.unwrap();
            assert_eq!(read, Some(arr1(&[value, value]).into_dyn()), "{what}: {array}");
        }
        let verified = atlas.verify().await.unwrap();
        assert_eq!((verified.problems, verified.foreign), (vec![], vec![]), "{what}");
    };
    check("committed").await;
    other.vacuum(Duration::ZERO).await.unwrap();
    check("vacuumed").await;
    other.compact(None).await.unwrap();
    check("compacted").await;
    other.vacuum(Duration::ZERO).await.unwrap();
    check("compacted and vacuumed").await;
    other.compact(None).await.unwrap();
    other.vacuum(Duration::ZERO).await.unwrap();
    check("again").await;
    assert_eq!(other.verify().await.unwrap().unused, [""; 0]);
}
