//! Many small datasets, as from a fleet of sensors. Each sensor is a dataset, and all of them are
//! stored in few files. Statistics answer questions about all sensors, or one read returns an array
//! of all of them.
//!
//! `cargo run -p atlas-examples --example sensor_fleet`

use atlas::{Atlas, Codec, ReadMetrics, Timestamp, Value};
use ndarray::Array1;

const SENSORS: usize = 200;
const HOURS: usize = 24;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir()?;
    let store = Atlas::options().codec(Codec::Lz4).create(directory.path()).await?;
    for number in 0..SENSORS {
        let sensor = store.create_dataset(&format!("sensor-{number:03}")).await?;
        let time = Array1::from_shape_fn(HOURS, |hour| Timestamp(hour as i64 * 3_600_000_000_000));
        sensor.define_array::<Timestamp>("time", ["time"], [HOURS], None, None)?;
        sensor.write_array("time", [0], time.into_dyn().view()).await?;
        let daily = |hour: usize| 20.0 + (hour as f32 / 4.0).sin() * 5.0 + number as f32 / 10.0;
        sensor.define_array::<f32>("temperature", ["time"], [HOURS], None, Some(-999.0))?;
        let values = Array1::from_shape_fn(HOURS, daily).into_dyn();
        sensor.write_array("temperature", [0], values.view()).await?;
        sensor.set_array_attribute("temperature", "units", "degC")?;
        sensor.set_attribute("site", if number % 2 == 0 { "north" } else { "south" })?;
    }
    store.flush().await?;

    // From attributes and statistics, without reading values.
    let (snapshot, metrics) = (store.snapshot(), ReadMetrics::default());
    let (catalog, index) = (snapshot.load().await?, snapshot.index("temperature", &metrics).await?);
    let mut warmest = f64::MIN;
    let mut north = Vec::new();
    for (ordinal, dataset) in catalog.datasets() {
        if dataset.attribute("site") == Some("north".into()) {
            north.push(dataset.name().to_owned());
        }
        let known = index.find(ordinal, &[0]).map(|chunk| index.statistics(chunk)).transpose()?;
        if let Some(Value::F64(max)) = known.and_then(|known| known.max) {
            warmest = warmest.max(max);
        }
    }
    println!("{} of {SENSORS} sensors are in the north; the warmest hour had {warmest:.1} degC", north.len());

    // The last six hours of all sensors, as one array.
    let last = store.read_array_stacked::<f32>("temperature", &north, &[HOURS - 6], &[6]).await?;
    println!(
        "the last hours of the north: an array of {:?}, {:.2} degC on average",
        last.shape(),
        last.mean().unwrap_or(f32::NAN)
    );
    Ok(())
}
