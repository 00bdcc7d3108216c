//! The behaviour of a build without a feature. The test itself needs no feature.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array};
use atlas::{ArraySchema, Atlas, Codec, DType, Error, Storage, StoreConfig};

const CODECS: [(Codec, bool); 3] =
    [(Codec::None, true), (Codec::Zstd, cfg!(feature = "zstd")), (Codec::Lz4, cfg!(feature = "lz4"))];

#[test]
fn an_address_names_the_feature_that_it_takes() {
    for (location, feature, built) in [
        ("s3://bucket/store", "aws", cfg!(feature = "aws")),
        ("https://account.blob.core.windows.net/container/store", "azure", cfg!(feature = "azure")),
        ("gs://bucket/store", "gcp", cfg!(feature = "gcp")),
        ("http://host/store", "http", cfg!(feature = "http")),
    ] {
        match Storage::at(location) {
            Ok(_) => assert!(built, "{location}"),
            Err(error) => {
                assert!(!built && matches!(error, Error::Location { .. }), "{error:?}");
                assert!(error.to_string().contains(&format!("the feature `{feature}`")), "{error}");
            }
        }
    }
}

#[tokio::test]
async fn a_store_is_created_with_a_codec_that_is_built() {
    for (codec, built) in CODECS {
        assert_eq!(codec.is_built(), built);
        match Atlas::options().codec(codec).create(format!("memory:///features/{codec}")).await {
            Ok(_) => assert!(built, "{codec}"),
            Err(error) => {
                assert!(!built && matches!(error, Error::Option { option: "codec", .. }), "{error:?}");
            }
        }
    }
    assert!(StoreConfig::default().codec.is_built());
    let atlas = Atlas::create_url("memory:///features/default", StoreConfig::default()).await.unwrap();
    let dataset = atlas.create_dataset("d").await.unwrap();
    dataset.define(ArraySchema::new("t", DType::I32, &["x"]), &[10_000]).unwrap();
    let cells: ArrayRef = Arc::new(Int32Array::from_iter_values((0..10_000).map(|i| i % 7)));
    dataset.write_arrow("t", &[0], &[10_000], Arc::clone(&cells)).await.unwrap();
    atlas.flush().await.unwrap();
    let atlas = Atlas::open_url("memory:///features/default").await.unwrap();
    let dataset = atlas.open_dataset("d").await.unwrap();
    assert_eq!(&dataset.read_arrow("t", &[], &[]).await.unwrap(), &cells);
}

#[tokio::test]
async fn a_file_names_the_feature_that_it_takes() {
    for (codec, built) in CODECS {
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/v2").join(codec.to_string());
        let atlas = Atlas::open_path(golden).await.unwrap();
        let mut refused = Vec::new();
        for (array, _) in atlas.snapshot().root().variables() {
            match read(&atlas, array).await {
                Ok(()) => {}
                Err(Error::Feature { feature, .. }) => refused.push(feature),
                Err(error) => panic!("{codec}: {error}"),
            }
        }
        refused.sort();
        refused.dedup();
        // Builds with zstd compress indexes with it, whatever the codec of the store.
        let expected: &[&str] = match codec {
            _ if !cfg!(feature = "zstd") => &["zstd"],
            _ if built => &[],
            _ => &["lz4"],
        };
        assert_eq!(refused, expected, "{codec}");
    }
}

/// Reads an array of all datasets.
async fn read(atlas: &Atlas, array: &str) -> Result<(), Error> {
    for name in atlas.list_datasets()? {
        let dataset = atlas.open_dataset(&name).await?;
        if dataset.list_arrays()?.iter().any(|name| name == array) {
            dataset.read_arrow(array, &[], &[]).await?;
        }
    }
    Ok(())
}
