//! The meanings of the columns of queries on a store.

use std::sync::atomic::{AtomicU32, Ordering};

use atlas::{Atlas, StoreConfig};
use atlas_datafusion::register_store;
use datafusion::prelude::SessionContext;

use super::role::Role;
use super::*;
use crate::session::new_session;

async fn context() -> SessionContext {
    static STORES: AtomicU32 = AtomicU32::new(0);
    let url = format!("memory:///pictures-{}", STORES.fetch_add(1, Ordering::Relaxed));
    let atlas = Atlas::create_url(&url, StoreConfig::default()).await.unwrap();
    let dataset = atlas.create_dataset("cast").await.unwrap();
    for (name, attributes) in [
        ("time", vec![("units", "days since 2000-01-01"), ("standard_name", "time")]),
        ("PRES", vec![("units", "decibar"), ("axis", "Z")]),
        ("temp", vec![("units", "degC"), ("standard_name", "sea_water_temperature")]),
        ("salt", vec![("units", "psu")]),
        ("ucur", vec![("units", "m s-1"), ("standard_name", "eastward_sea_water_velocity")]),
        ("longitude", vec![("units", "degrees_east")]),
        ("latitude", vec![("units", "degrees_north")]),
    ] {
        dataset.define_array::<f64>(name, &["level"], &[3], None, None).unwrap();
        for (key, value) in attributes {
            dataset.set_array_attribute(name, key, value).unwrap();
        }
    }
    let other = atlas.create_dataset("other").await.unwrap();
    other.define_array::<f64>("salt", &["level"], &[3], None, None).unwrap();
    other.set_array_attribute("salt", "units", "g/kg").unwrap();
    atlas.flush().await.unwrap();
    let context = new_session(None).unwrap();
    register_store(&context, "atlas", &atlas).unwrap();
    context
}

async fn described(context: &SessionContext, sql: &str) -> Description {
    Description::of(&context.state().create_logical_plan(sql).await.unwrap())
}

/// The units of the columns of a query, `-` for none.
async fn units(context: &SessionContext, select: &str) -> Vec<String> {
    let found = described(context, &format!("SELECT {select} FROM atlas")).await;
    found.columns.into_iter().map(|column| column.units.unwrap_or_else(|| "-".to_owned())).collect()
}

#[tokio::test]
async fn units_survive_what_keeps_them() {
    let context = context().await;
    let same = "temp, temp AS t, avg(temp) OVER () AS a, abs(temp), round(temp, 1), CAST(temp AS FLOAT) AS f, bin(temp, 5), \
                coalesce(temp, 0), CASE WHEN temp > 0 THEN temp END, -temp, temp - temp, lag(temp) OVER (ORDER BY time)";
    assert_eq!(units(&context, same).await, ["degC"; 12]);
    let aggregates = "mean(temp) AS t, min(temp), max(temp), sum(temp), stddev(temp), median(temp), quantile(temp, 0.9), \
                      first_valid(temp, time), nanmean(temp), arg_max(temp, \"PRES\"), interp(10, \"PRES\", temp), mad(temp)";
    assert_eq!(units(&context, aggregates).await, ["degC"; 12]);
    let others = "count(temp), var(temp), covar_pop(temp, ucur), corr(temp, salt), regr_slope(temp, \"PRES\"), \
                  linear_trend(temp, to_timestamp(time)), integrate(\"PRES\", temp), rmse(temp, temp), bias(temp, salt)";
    let expected =
        ["-", "degC²", "degC m s-1", "-", "degC/decibar", "degC/year", "degC decibar", "degC", "-"];
    assert_eq!(units(&context, others).await, expected);
    // Results in other units do not keep those of the column.
    let changed = "temp + 273.15, temp * 2, temp / temp, temp * ucur, ucur * ucur, temp - salt, sqrt(temp), \
                   convert_units(temp, 'degC', 'K'), depth_from_pressure(\"PRES\", latitude), year(to_timestamp(time))";
    let expected = ["-", "-", "-", "degC m s-1", "(m s-1)²", "-", "-", "K", "m", "-"];
    assert_eq!(units(&context, changed).await, expected);
    // Different units of datasets are listed.
    assert_eq!(units(&context, "salt").await, ["psu, g/kg"]);
}

#[tokio::test]
async fn meanings_go_through_subqueries_joins_unions_and_views() {
    let context = context().await;
    for sql in [
        "SELECT t FROM (SELECT \"PRES\" AS p, avg(temp) AS t FROM atlas GROUP BY 1) WHERE p > 3",
        "WITH a AS (SELECT temp AS t, dataset FROM atlas) SELECT a.t FROM a JOIN (SELECT dataset FROM atlas) d ON a.dataset = d.dataset",
        "SELECT temp FROM atlas UNION ALL SELECT temp FROM atlas",
        "SELECT DISTINCT temp FROM atlas.temp ORDER BY temp LIMIT 3",
        "SELECT (SELECT max(temp) FROM atlas) AS t",
        "SELECT temp - (SELECT avg(temp) FROM atlas) AS t FROM atlas",
    ] {
        let found = described(&context, sql).await.columns;
        assert_eq!(
            found.iter().map(|column| column.units.as_deref()).collect::<Vec<_>>(),
            [Some("degC")],
            "{sql}"
        );
    }
    context.sql("CREATE VIEW warm AS SELECT temp AS t FROM atlas").await.unwrap();
    assert_eq!(
        described(&context, "SELECT max(t) AS m FROM warm").await.columns[0].units.as_deref(),
        Some("degC")
    );
    let points = "(SELECT 1 AS level, avg(salt) AS s FROM atlas)";
    let sampled =
        described(&context, &format!("SELECT temp, s, level FROM sample_at(atlas, {points}, 'nearest')"))
            .await;
    let units: Vec<_> = sampled.columns.iter().map(|column| column.units.as_deref()).collect();
    assert_eq!(units, [Some("degC"), Some("psu, g/kg"), None]);
    let union = described(&context, "SELECT temp FROM atlas UNION ALL SELECT ucur FROM atlas").await;
    assert_eq!(union.columns[0].units, None);
}

#[tokio::test]
async fn coordinates_keys_and_bins_are_recognised() {
    let context = context().await;
    let role = async |expression: &str| {
        let sql = format!("SELECT {expression} FROM atlas");
        described(&context, &sql).await.columns[0].role
    };
    let pressure = Some(Role::Vertical { down: true, sure: true });
    for expression in
        ["\"PRES\"", "avg(\"PRES\") AS p", "bin(\"PRES\", 10)", "argo_best(salt, \"PRES\", '1', 'R')"]
    {
        assert_eq!(role(expression).await, pressure, "{expression}");
    }
    for expression in [
        "longitude",
        "(longitude + 180) % 360 - 180 AS x",
        "normalize_lon(longitude)",
        "avg(longitude)",
        "CASE WHEN longitude > 180 THEN longitude - 360 ELSE longitude END AS l",
        "1.5 AS lon",
    ] {
        assert_eq!(role(expression).await, Some(Role::Longitude), "{expression}");
    }
    for expression in ["count(longitude)", "stddev(latitude)", "temp", "latitude * latitude", "sum(\"PRES\")"]
    {
        assert_eq!(role(expression).await, None, "{expression}");
    }
    let bin = async |expression: &str| {
        let sql = format!("SELECT {expression}, count(*) FROM atlas GROUP BY 1");
        let [key, count] = <[Meaning; 2]>::try_from(described(&context, &sql).await.columns).unwrap();
        assert!(key.independent && !key.amount && count.amount && !count.independent);
        key.bin
    };
    for (expression, expected) in [
        ("bin(temp, 5)", Some(Bin::From(5.0))),
        ("floor(temp / 10) * 10", Some(Bin::From(10.0))),
        ("10.0 * floor(temp / 10.0)", Some(Bin::From(10.0))),
        ("floor(temp / 10) * 10 + 5 AS middle", Some(Bin::Around(10.0))),
        ("round(temp / 2) * 2", Some(Bin::Around(2.0))),
        ("round(temp, 1)", Some(Bin::Around(0.1))),
        ("floor(temp)", Some(Bin::From(1.0))),
        ("date_trunc('month', to_timestamp(time))", Some(Bin::Months(1))),
        ("date_bin(INTERVAL '6 hours', to_timestamp(time))", Some(Bin::From(21_600.0))),
        ("date_bin(INTERVAL '1 year', to_timestamp(time))", Some(Bin::Months(12))),
        ("temp", None),
        ("bin(temp, 5) + 1", None),
    ] {
        assert_eq!(bin(expression).await, expected, "{expression}");
    }
    let dimension = described(&context, "SELECT level FROM atlas").await;
    assert!(dimension.columns[0].independent);
}

#[tokio::test]
async fn signs_matter_for_velocities_and_differences() {
    let context = context().await;
    for (expression, expected) in [
        ("ucur", true),
        ("avg(ucur) AS u", true),
        ("temp - avg(temp) OVER ()", true),
        ("corr(temp, salt)", true),
        ("temp", false),
        ("abs(ucur)", false),
    ] {
        let found = described(&context, &format!("SELECT {expression} FROM atlas")).await;
        assert_eq!(found.columns[0].signed, expected, "{expression}");
    }
}

#[tokio::test]
async fn names_and_sources_are_those_of_the_query() {
    let context = context().await;
    let sql = "SELECT bin(\"PRES\", 10), avg(temp) * 2, avg(salt) AS s FROM atlas WHERE dataset = 'cast' AND temp IS NOT NULL \
               AND (temp > 3 OR salt < 2) GROUP BY 1 HAVING count(*) > 2 ORDER BY 1";
    let found = described(&context, sql).await;
    let names: Vec<_> = found.columns.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(names, ["bin(PRES, 10)", "avg(temp) * 2", "s"]);
    assert!(found.ordered);
    assert_eq!(found.source[0], "atlas");
    assert_eq!(found.source[1], "count(*) > 2 AND dataset = 'cast' AND ((temp > 3) OR (salt < 2))");
    let plain = described(&context, "SELECT 1 AS lat").await;
    assert_eq!((plain.columns[0].role, plain.ordered), (Some(Role::Latitude), false));
    assert!(plain.source.is_empty());
}
