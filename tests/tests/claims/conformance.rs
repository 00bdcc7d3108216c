//! The same store on every storage: memory, a local disk, and over HTTP S3, Azure Blob Storage and
//! Google Cloud Storage.
//!
//! `ATLAS_TEST_S3` names the S3 server, for example `s3://bucket/` with `AWS_ENDPOINT` and
//! credentials in the environment; `.ci/run` starts `moto` for it. Likewise, `ATLAS_TEST_AZURE`
//! names `az://container/`, and `ATLAS_TEST_GCS` names `gs://bucket/`; `tests/emulators/azure` and
//! `tests/emulators/gcs` start an emulator and set them. Without the variable, the test says that
//! it was skipped.

use std::time::Duration;

use atlas::{Atlas, CacheBudget, Error, Result, Storage, StoreConfig};
use ndarray::{Array2, Axis};

/// Names that some storages must encode in a path.
const NAMES: [&str; 5] = ["plain", "per%20cent", "a b + c?", "é ü", "dot.ted#1"];

async fn conforms(location: &str) {
    let create = || Atlas::create_url(location, StoreConfig::default());
    let open = || Atlas::open_url(location);
    assert!(matches!(open().await, Err(Error::NoStore { .. })), "{location}");
    let atlas = create().await.unwrap();
    let values = |seed: usize| {
        let value = |(i, j): (usize, usize)| {
            ((seed * 7919 + i * 104_729 + j * 31) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        };
        Array2::from_shape_fn((700, 1000), |at| f64::from_bits(value(at) >> 2)).into_dyn()
    };
    for (number, name) in NAMES.into_iter().enumerate() {
        let dataset = atlas.create_dataset(name).await.unwrap();
        dataset.define_array::<f64>(name, &["x", "y"], &[700, 1000], Some(vec![100, 1000]), None).unwrap();
        // Larger than the size from which a file is uploaded in parts.
        dataset.write_array(name, &[0, 0], values(number).view()).await.unwrap();
        dataset.define_array::<i32>("small", &["x"], &[700], None, Some(-1)).unwrap();
    }
    atlas.flush().await.unwrap();
    assert!(matches!(create().await, Err(Error::StoreExists { .. })), "{location}");

    let (one, two) = (open().await.unwrap(), open().await.unwrap());
    for (number, name) in NAMES.into_iter().enumerate() {
        let dataset = one.open_dataset(name).await.unwrap();
        let all = dataset.read_array::<f64>(name, &[0, 0], &[700, 1000]).await.unwrap().unwrap();
        assert_eq!(all, values(number), "{location} {name}");
    }
    // If two writers add one dataset, only one succeeds: creating the record of a commit is
    // conditional.
    for atlas in [&one, &two] {
        let dataset = atlas.create_dataset("one").await.unwrap();
        dataset.define_array::<i32>("small", &["x"], &[3], None, None).unwrap();
        dataset.write_array("small", &[0], ndarray::arr1(&[1, 2, 3]).view().into_dyn()).await.unwrap();
    }
    one.flush().await.unwrap();
    assert!(matches!(two.flush().await, Err(Error::Conflict { generation: 2, .. })), "{location}");
    two.discard().await;
    two.create_dataset("two").await.unwrap();
    // If they add different datasets, both succeed.
    two.flush().await.unwrap();
    assert!(two.dataset_exists("one").unwrap() && two.dataset_exists("two").unwrap());

    let plain = two.open_dataset("plain").await.unwrap();
    plain.extend("x", 710).await.unwrap();
    plain.write_array("plain", &[705, 10], ndarray::arr2(&[[1.0, 2.0]]).view().into_dyn()).await.unwrap();
    two.delete_dataset("é ü").await.unwrap();
    two.flush().await.unwrap();
    assert!(!two.compact(None).await.unwrap().variables.is_empty(), "{location}");
    assert_eq!(two.log().await.unwrap().len(), 5);
    assert_eq!(two.open_at(1).await.unwrap().list_datasets().unwrap(), NAMES);
    let before = two.verify().await.unwrap();
    assert_eq!(
        (&before.problems, &before.unused, &before.foreign),
        (&vec![], &vec![], &vec![]),
        "{location}"
    );
    let vacuumed = two.vacuum(Duration::ZERO).await.unwrap();
    assert_eq!(vacuumed.generations, [1, 2, 3, 4], "{location}");
    assert!(!vacuumed.files.is_empty());
    let after = open().await.unwrap().with_cache(CacheBudget::NONE).verify().await.unwrap();
    assert_eq!((after.generations, after.problems, after.unused), (1, vec![], vec![]), "{location}");
    for (number, name) in NAMES.into_iter().enumerate().filter(|(_, name)| *name != "é ü") {
        let dataset = two.open_dataset(name).await.unwrap();
        let some = dataset.read_array::<f64>(name, &[50, 0], &[100, 1000]).await.unwrap().unwrap();
        let expected = values(number).slice_axis(Axis(0), (50..150).into()).to_owned();
        assert_eq!(some, expected, "{location} {name}");
    }
}

#[tokio::test]
async fn a_store_in_memory_conforms() {
    conforms("memory:///conformance").await;
}

#[tokio::test]
async fn a_store_on_disk_conforms() {
    let directory = tempfile::tempdir().unwrap();
    conforms(&directory.path().join("a store").to_string_lossy()).await;
}

/// Tests the bucket or container that an environment variable names.
async fn conforms_at(variable: &str) {
    let Ok(bucket) = std::env::var(variable) else {
        eprintln!("skipped: {variable} names no bucket");
        return;
    };
    let prefix = std::process::id();
    conforms(&format!("{}/conformance-{prefix}", bucket.trim_end_matches('/'))).await;
}

#[tokio::test]
async fn a_store_on_s3_conforms() {
    conforms_at("ATLAS_TEST_S3").await;
}

#[tokio::test]
async fn a_store_on_azure_conforms() {
    conforms_at("ATLAS_TEST_AZURE").await;
}

#[tokio::test]
async fn a_store_on_google_cloud_conforms() {
    conforms_at("ATLAS_TEST_GCS").await;
}

/// Errors do not contain the keys that were used.
#[tokio::test]
async fn errors_tell_no_secrets() {
    let objects = object_store::aws::AmazonS3Builder::new()
        .with_bucket_name("bucket")
        .with_region("eu-north-1")
        .with_endpoint("http://127.0.0.1:1")
        .with_allow_http(true)
        .with_access_key_id("AKIDSECRETID")
        .with_secret_access_key("VERYSECRETKEY")
        .with_token("SECRETTOKEN")
        .with_retry(object_store::RetryConfig { max_retries: 0, ..Default::default() })
        .build()
        .unwrap();
    let storage = Storage::new(std::sync::Arc::new(objects), "store".into());
    let told = |error: Error| format!("{error} {error:?}");
    let error: Result<Atlas> = Atlas::open_in(storage.clone()).await;
    let told = [told(error.err().unwrap()), format!("{storage} {storage:?}")].concat();
    for secret in ["AKIDSECRETID", "VERYSECRETKEY", "SECRETTOKEN"] {
        assert!(!told.contains(secret), "{told}");
    }
    for location in ["s3://key:secret@bucket/x", "https://user:secret@127.0.0.1:1/x?sig=secret"] {
        let Err(error) = Atlas::open_url(location).await else { panic!("{location} is no store") };
        assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
    }
}
