//! `solar_zenith`: the angle between the sun and the zenith.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array};
use arrow::datatypes::{DataType, Float64Type};
use chrono::NaiveDateTime;
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};

use super::instants::{Instants, timestamps};
use crate::documentation::{About, Topic};

const ABOUT: About = About {
    name: "solar_zenith",
    topic: Topic::Time,
    gives: "The angle between the centre of the sun and the zenith in degrees, without refraction: \
            0 overhead, 90 on the horizon, more at night. Accurate within 0.02 degrees from 1800 \
            to 2200.",
    arguments: &[
        ("time", "a timestamp in UTC"),
        ("lat", "latitude in degrees north"),
        ("lon", "longitude in degrees east"),
    ],
    source: "the equations of NOAA's solar calculator, after Meeus, Astronomical Algorithms (1998)",
    example: "SELECT solar_zenith(TIMESTAMP '2000-06-21 12:00:00', 23.44, 0)",
};

/// The function.
pub(super) fn udf() -> ScalarUDF {
    let signature = timestamps(&[DataType::Float64, DataType::Float64]);
    ScalarUDF::new_from_impl(SolarZenith(signature, Box::new(ABOUT.documentation())))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct SolarZenith(Signature, Box<Documentation>);

impl ScalarUDFImpl for SolarZenith {
    fn name(&self) -> &str {
        ABOUT.name
    }

    fn signature(&self) -> &Signature {
        &self.0
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [time, lat, lon] = args.args.as_slice() else {
            return exec_err!("solar_zenith takes a time, a latitude and a longitude");
        };
        let rows = args.number_rows;
        let times = Instants::new(time, rows)?;
        let (lat, lon) = (lat.to_array(rows)?, lon.to_array(rows)?);
        let (lat, lon) = (lat.as_primitive::<Float64Type>(), lon.as_primitive::<Float64Type>());
        let number = |numbers: &Float64Array, row| numbers.is_valid(row).then(|| numbers.value(row));
        let zenith = |row: usize| zenith(times.get(row)?, number(lat, row)?, number(lon, row)?);
        let values: ArrayRef = Arc::new((0..rows).map(zenith).collect::<Float64Array>());
        Ok(ColumnarValue::Array(values))
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.1)
    }
}

#[allow(clippy::cast_precision_loss)]
fn zenith(time: NaiveDateTime, lat: f64, lon: f64) -> Option<f64> {
    if lat.abs() > 90.0 {
        return None;
    }
    let seconds = time.and_utc().timestamp_micros() as f64 / 1e6;
    // Centuries since noon of 1 January 2000.
    let t = (seconds - 946_728_000.0) / (86_400.0 * 36_525.0);
    let mean_longitude = 280.46646 + t * (36_000.769_83 + t * 0.000_303_2);
    let anomaly = (357.52911 + t * (35_999.050_29 - t * 0.000_153_7)).to_radians();
    let eccentricity = 0.016_708_634 - t * (0.000_042_037 + t * 0.000_000_126_7);
    let center = anomaly.sin() * (1.914602 - t * (0.004817 + t * 0.000_014))
        + (2.0 * anomaly).sin() * (0.019993 - t * 0.000_101)
        + (3.0 * anomaly).sin() * 0.000_289;
    let node = (125.04 - 1934.136 * t).to_radians();
    let longitude = (mean_longitude + center - 0.005_69 - 0.004_78 * node.sin()).to_radians();
    let arcseconds = 21.448 - t * (46.815 + t * (0.000_59 - t * 0.001_813));
    let obliquity = (23.0 + (26.0 + arcseconds / 60.0) / 60.0 + 0.002_56 * node.cos()).to_radians();
    let declination = (obliquity.sin() * longitude.sin()).asin();
    let y = (obliquity / 2.0).tan().powi(2);
    let l = mean_longitude.to_radians();
    let equation = y * (2.0 * l).sin() - 2.0 * eccentricity * anomaly.sin()
        + 4.0 * eccentricity * y * anomaly.sin() * (2.0 * l).cos()
        - 0.5 * y * y * (4.0 * l).sin()
        - 1.25 * eccentricity * eccentricity * (2.0 * anomaly).sin();
    // Solar time, in degrees from noon.
    let day = seconds.rem_euclid(86_400.0) / 240.0;
    let hour_angle = (day + equation.to_degrees() + lon - 180.0).to_radians();
    let lat = lat.to_radians();
    let cosine = lat.sin() * declination.sin() + lat.cos() * declination.cos() * hour_angle.cos();
    Some(cosine.clamp(-1.0, 1.0).acos().to_degrees())
}
