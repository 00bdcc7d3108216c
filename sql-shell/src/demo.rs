//! `atlas demo`: a small synthetic store with realistic variation, and three queries of it.

use std::f64::consts::TAU;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::time::Instant;

use atlas::{Atlas, StoreConfig, Timestamp};
use ndarray::{Array1, Array3};

use crate::commands::run_script;
use crate::error::Result;
use crate::session::Session;
use crate::shell;

const STATIONS: u32 = 240;
const DAYS: usize = 366;
const YEARS: std::ops::Range<u32> = 2000..2025;
const COUNTRIES: [(&str, f64); 6] =
    [("Norway", 62.0), ("Germany", 51.0), ("Spain", 40.0), ("Egypt", 27.0), ("Kenya", 0.5), ("Chile", -33.0)];
const LATITUDES: usize = 36;
const LONGITUDES: usize = 72;

const QUESTIONS: [(&str, &str); 3] = [
    (
        "The warmest stations, of all days of 2024:",
        "SELECT dataset, country, round(mean(temperature), 2) AS mean_temperature, count(temperature) AS days
FROM atlas
WHERE country IS NOT NULL
GROUP BY dataset, country
ORDER BY mean_temperature DESC
LIMIT 5;",
    ),
    (
        "The seasons, north and south, by the stations' latitude, an attribute:",
        "SELECT date_part('month', time) AS month,
       round(avg(temperature) FILTER (WHERE latitude > 45), 1) AS north,
       round(avg(temperature) FILTER (WHERE latitude < 0), 1) AS south,
       round(max(wind_speed), 1) AS strongest_wind
FROM atlas
WHERE country IS NOT NULL
GROUP BY month
ORDER BY month;",
    ),
    (
        "The warming of the gridded years between 30 and 60 degrees north, by decade:",
        "SELECT year / 10 * 10 AS decade, round(avg(temperature), 3) AS mean_temperature, count(*) AS cells
FROM atlas
WHERE lat BETWEEN 30 AND 60
GROUP BY decade
ORDER BY decade;",
    ),
];

pub(crate) async fn run(directory: &Path) -> Result<()> {
    let mut out = io::stdout();
    let started = Instant::now();
    let atlas = match Atlas::create_path(directory, StoreConfig::default()).await {
        Ok(atlas) => {
            write_store(&atlas).await?;
            let datasets = atlas.snapshot().root().dataset_count();
            let seconds = started.elapsed().as_secs_f64();
            writeln!(out, "Wrote {datasets} datasets to {} in {seconds:.1} s.", directory.display())?;
            atlas
        }
        Err(atlas::Error::StoreExists { .. }) => {
            writeln!(out, "Using the store in {}.", directory.display())?;
            Atlas::open_path(directory).await?
        }
        Err(error) => return Err(error.into()),
    };
    let mut session = Session::new(None, &Default::default())?;
    session.add("atlas", &directory.to_string_lossy(), atlas)?;
    for (question, sql) in QUESTIONS {
        writeln!(out, "\n{question}\n\n{sql}")?;
        let started = Instant::now();
        let _ = run_script(&mut session, sql).await?;
        writeln!(out, "in {:.3} s", started.elapsed().as_secs_f64())?;
    }
    if io::stdin().is_terminal() && io::stdout().is_terminal() {
        writeln!(out, "\nNow ask it something yourself.")?;
        return shell::run(session, true).await;
    }
    writeln!(out, "\nGo on with: atlas sql {}", directory.display())?;
    Ok(())
}

async fn write_store(atlas: &Atlas) -> atlas::Result<()> {
    for number in 0..STATIONS {
        write_station(atlas, number).await?;
    }
    for year in YEARS {
        write_year(atlas, year).await?;
    }
    atlas.flush().await
}

/// Writes a station: a year of daily temperature and wind, with gaps.
async fn write_station(atlas: &Atlas, number: u32) -> atlas::Result<()> {
    let (country, centre) = COUNTRIES[number as usize % COUNTRIES.len()];
    let latitude = centre + 4.0 * noise(number, 0, 1);
    let elevation = (600.0 * (noise(number, 0, 2) + 1.0)).round();
    let station = atlas.create_dataset(&format!("station-{number:03}")).await?;
    station.set_attribute("title", format!("Synthetic station {number}"))?;
    station.set_attribute("country", country)?;
    station.set_attribute("latitude", round(latitude, 3))?;
    station.set_attribute("longitude", round(60.0 * noise(number, 0, 3), 3))?;
    station.set_attribute("elevation", elevation)?;

    let times = Array1::from_iter((0..DAYS).map(|day| Timestamp(nanoseconds_to(2024) + day as i64 * DAY)));
    station.define_array::<Timestamp>("time", &["time"], &[DAYS], None, None)?;
    station.write_array("time", &[0], times.view().into_dyn()).await?;

    let climate = climate(latitude) - 0.0065 * elevation;
    let temperature = Array1::from_iter((0..DAYS).map(|day| {
        // One gap of several weeks, and a few single days.
        let gap = (day / 20 + number as usize).is_multiple_of(37) || noise(number, day, 4) > 0.97;
        let season = season(latitude, day as f64 / 366.0);
        if gap { MISSING } else { round(climate + season + 2.5 * noise(number, day, 5), 1) as f32 }
    }));
    station.define_array("temperature", ["time"], [DAYS], None, Some(MISSING))?;
    station.set_array_attribute("temperature", "units", "degC")?;
    station.set_array_attribute("temperature", "standard_name", "air_temperature")?;
    station.write_array("temperature", &[0], temperature.view().into_dyn()).await?;

    let wind = Array1::from_iter((0..DAYS).map(|day| {
        let gust = noise(number, day, 6) + noise(number, day, 7);
        round(6.0 + 3.0 * (TAU * day as f64 / 366.0).cos() + 4.0 * gust, 1).max(0.0) as f32
    }));
    station.define_array("wind_speed", ["time"], [DAYS], None, Some(MISSING))?;
    station.set_array_attribute("wind_speed", "units", "m s-1")?;
    station.write_array("wind_speed", &[0], wind.view().into_dyn()).await
}

/// Writes a year of monthly temperatures on a grid.
async fn write_year(atlas: &Atlas, year: u32) -> atlas::Result<()> {
    let grid = atlas.create_dataset(&format!("grid-{year}")).await?;
    grid.set_attribute("title", format!("Synthetic monthly means of {year}"))?;
    grid.set_attribute("year", i64::from(year))?;
    let months = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    let times = Array1::from_iter(months.iter().map(|day| Timestamp(nanoseconds_to(year) + day * DAY)));
    grid.define_array::<Timestamp>("time", &["time"], &[12], None, None)?;
    grid.write_array("time", &[0], times.view().into_dyn()).await?;
    let lat = Array1::from_iter((0..LATITUDES).map(|i| -87.5 + 5.0 * i as f32));
    let lon = Array1::from_iter((0..LONGITUDES).map(|i| -177.5 + 5.0 * i as f32));
    for (name, values, units) in [("lat", &lat, "degrees_north"), ("lon", &lon, "degrees_east")] {
        grid.define_array::<f32>(name, &[name], &[values.len()], None, None)?;
        grid.set_array_attribute(name, "units", units)?;
        grid.write_array(name, &[0], values.view().into_dyn()).await?;
    }
    let warming = 0.02 * f64::from(year - YEARS.start);
    let temperature = Array3::from_shape_fn((12, LATITUDES, LONGITUDES), |(month, i, j)| {
        let latitude = f64::from(lat[i]);
        let season = season(latitude, month as f64 / 12.0);
        let weather = noise(year, month * 10_000 + i * 100 + j, 8);
        round(climate(latitude) + season + warming + weather, 2) as f32
    });
    let shape = [12, LATITUDES, LONGITUDES];
    grid.define_array("temperature", ["time", "lat", "lon"], shape, None, Some(MISSING))?;
    grid.set_array_attribute("temperature", "units", "degC")?;
    grid.set_array_attribute("temperature", "standard_name", "air_temperature")?;
    grid.write_array("temperature", &[0, 0, 0], temperature.view().into_dyn()).await
}

const MISSING: f32 = -999.0;
const DAY: i64 = 86_400_000_000_000;

/// The nanoseconds from 1970 to the start of a year, if every fourth year is a leap year.
fn nanoseconds_to(year: u32) -> i64 {
    (365 * (i64::from(year) - 1970) + (i64::from(year) - 1969) / 4) * DAY
}

/// The annual mean at a latitude, in degrees Celsius.
fn climate(latitude: f64) -> f64 {
    27.0 - 30.0 * latitude.to_radians().sin().powi(2)
}

/// The deviation from the annual mean at a time of the year from 0 to 1, in degrees Celsius.
fn season(latitude: f64, time: f64) -> f64 {
    -0.22 * latitude * (TAU * (time - 0.05)).cos()
}

/// A pseudo-random number between -1 and 1, the same for the same arguments.
fn noise(a: u32, b: usize, c: u32) -> f64 {
    let mut x = u64::from(a) << 40 ^ (b as u64) << 8 ^ u64::from(c);
    // The mixing steps of SplitMix64 (Steele, Lea and Flood 2014).
    x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^= x >> 31;
    (x >> 11) as f64 / (1u64 << 52) as f64 - 1.0
}

fn round(value: f64, digits: i32) -> f64 {
    let scale = 10f64.powi(digits);
    (value * scale).round() / scale
}
