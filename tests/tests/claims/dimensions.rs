//! Tables of many dimensions: each dataset has few, but all together have many.

use atlas::{Atlas, StoreConfig};
use atlas_datafusion::TableOptions;
use atlas_tests::stores::put;
use atlas_tests::{memory, rows, session};
use datafusion::prelude::SessionContext;
use ndarray::{Array2, arr1};

/// A store of datasets with `t(time, d0)`, `t(time, d1)`, and so on, of 2 and 3 cells. The cells of
/// dataset `i` are `10 i` to `10 i + 5`. Dimensions of odd numbers have a coordinate, 5, 6 and 7.
async fn store(count: usize) -> (Atlas, SessionContext) {
    let atlas = Atlas::create(memory(), "s".into(), StoreConfig::default()).await.unwrap();
    for number in 0..count {
        let dataset = atlas.create_dataset(&format!("s{number:04}")).await.unwrap();
        let dim = format!("d{number}");
        let cells = Array2::from_shape_fn((2, 3), |(i, j)| (10 * number + 3 * i + j) as i64);
        put(&dataset, "t", &["time", &dim], cells.into_dyn(), None).await.unwrap();
        if number % 2 == 1 {
            put(&dataset, &dim, &[&dim], arr1(&[5i64, 6, 7]).into_dyn(), None).await.unwrap();
        }
    }
    // A dataset over dimensions of several others, in another order.
    let dataset = atlas.create_dataset("mixed").await.unwrap();
    let last = format!("d{}", count - 1);
    let cells = Array2::from_shape_fn((2, 3), |(i, j)| -((3 * i + j) as i64));
    put(&dataset, "t", &[&last, "d0"], cells.into_dyn(), None).await.unwrap();
    atlas.flush().await.unwrap();
    let ctx = session(&atlas, TableOptions::default()).unwrap();
    (atlas, ctx)
}

#[tokio::test]
async fn every_dimension_of_many_is_read_filtered_and_grouped() {
    let count = 140;
    let (_atlas, ctx) = store(count).await;
    let sum = |number: usize| 60 * number as i64 + 15;
    let total: i64 = (0..count).map(sum).sum::<i64>() - 15;
    let all = rows(&ctx, "SELECT count(*), sum(t) FROM atlas.t").await.unwrap();
    assert_eq!(all, [format!("{}|{total}", 6 * count + 6)]);
    let every = rows(&ctx, "SELECT * FROM atlas.t ORDER BY t").await.unwrap();
    assert_eq!(every.len(), 6 * count + 6);
    let last = count - 1;
    let mixed = format!("SELECT d0, d{last}, t FROM atlas.t WHERE dataset = 'mixed' ORDER BY t DESC");
    let expected = ["0|0|0", "1|0|-1", "2|0|-2", "0|1|-3", "1|1|-4", "2|1|-5"];
    assert_eq!(rows(&ctx, &mixed).await.unwrap(), expected);
    for number in [1, 2, 62, 63, 64, 65, 127, 128, count - 2] {
        let values: Vec<i64> = if number % 2 == 1 { vec![5, 6, 7] } else { vec![0, 1, 2] };
        let counted = rows(&ctx, &format!("SELECT count(d{number}) FROM atlas.t")).await.unwrap();
        assert_eq!(counted, ["6"], "d{number}");
        // The cells of an index, at both times.
        let at = |index: usize| format!("2|{}", 20 * number + 3 + 2 * index);
        for (index, value) in values.iter().enumerate() {
            let sql = format!("SELECT count(*), sum(t) FROM atlas.t WHERE d{number} = {value}");
            assert_eq!(rows(&ctx, &sql).await.unwrap(), [at(index)], "{sql}");
        }
        let sql =
            format!("SELECT count(*), sum(t) FROM atlas.t WHERE d{number} IN ({}, {})", values[0], values[2]);
        let expected = format!("4|{}", 40 * number + 10);
        assert_eq!(rows(&ctx, &sql).await.unwrap(), [expected], "{sql}");
        let sql = format!(
            "SELECT d{number}, count(*), sum(t) FROM atlas.t WHERE d{number} IS NOT NULL GROUP BY 1 ORDER BY 1"
        );
        let expected: Vec<_> =
            values.iter().enumerate().map(|(index, value)| format!("{value}|{}", at(index))).collect();
        assert_eq!(rows(&ctx, &sql).await.unwrap(), expected, "{sql}");
        let sql = format!("SELECT count(*) FROM atlas.t WHERE d{number} IS NULL AND d{last} IS NULL");
        assert_eq!(rows(&ctx, &sql).await.unwrap(), [(6 * (count - 2)).to_string()], "{sql}");
    }
}

#[tokio::test]
async fn too_many_dimensions_are_an_error() {
    let (_atlas, ctx) = store(1030).await;
    let error = rows(&ctx, "SELECT count(d3) FROM atlas.t").await.unwrap_err().to_string();
    assert!(error.contains("table `atlas.t` has 1031 dimensions, and at most 1024 can be read"), "{error}");
    assert_eq!(rows(&ctx, "SELECT count(*) FROM atlas._datasets").await.unwrap(), ["1031"]);
}
