//! `geohash`: a place as a short text.

use arrow::array::{Array, AsArray, StringBuilder};
use arrow::datatypes::{DataType, Int64Type};
use datafusion::common::{Result, exec_datafusion_err, exec_err};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature,
    Volatility,
};
use geohash::Coord;

use super::{latitude, longitude};
use crate::documentation::{About, Topic};
use crate::numeric::Numbers;

const ABOUT: About = About {
    name: "geohash",
    topic: Topic::Geography,
    gives: "The geohash of a place. Geohashes with a common prefix are near each other, and a \
            longer geohash is a smaller box. 5 characters are about 5 km, 7 about 150 m, 12 about \
            4 cm. NULL for NaN.",
    arguments: &[
        ("lat", "latitude in degrees north"),
        ("lon", "longitude in degrees east, in any convention"),
        ("characters?", "the length of the text, 1 to 12; 12 by default"),
    ],
    source: "Niemeyer (2008), by the `geohash` crate",
    example: "SELECT geohash(57.64911, 10.40744, 8)",
};

/// The default length of the text.
const LONGEST: i64 = 12;

/// The function.
pub(super) fn udf() -> ScalarUDF {
    let place = vec![DataType::Float64; 2];
    let with_length = [place.clone(), vec![DataType::Int64]].concat();
    let exact = vec![TypeSignature::Exact(place), TypeSignature::Exact(with_length)];
    let signature = Signature::one_of(exact, Volatility::Immutable);
    ScalarUDF::new_from_impl(Geohash(signature, Box::new(ABOUT.documentation())))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Geohash(Signature, Box<Documentation>);

impl ScalarUDFImpl for Geohash {
    fn name(&self) -> &str {
        ABOUT.name
    }

    fn signature(&self) -> &Signature {
        &self.0
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let numbers = Numbers::<2>::new(&args)?;
        let lengths = args.args.get(2).map(|lengths| lengths.to_array(numbers.len)).transpose()?;
        let lengths = lengths.as_ref().map(|lengths| lengths.as_primitive::<Int64Type>());
        let mut texts = StringBuilder::new();
        for row in 0..numbers.len {
            let length = match lengths {
                Some(lengths) => lengths.is_valid(row).then(|| lengths.value(row)),
                None => Some(LONGEST),
            };
            match (numbers.row(row).and_then(place), length) {
                (Some(place), Some(length)) => texts.append_value(encoded(place, length)?),
                _ => texts.append_null(),
            }
        }
        numbers.finish(texts.finish())
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.1)
    }
}

/// A place on the earth, if the coordinates are valid.
fn place([lat, lon]: [f64; 2]) -> Option<Coord<f64>> {
    let place = Coord { x: longitude(lon), y: latitude(lat)? };
    (place.x.is_finite() && place.y.is_finite()).then_some(place)
}

fn encoded(place: Coord<f64>, length: i64) -> Result<String> {
    match usize::try_from(length) {
        Ok(length @ 1..=12) => {
            geohash::encode(place, length).map_err(|reason| exec_datafusion_err!("{reason}"))
        }
        _ => exec_err!("a geohash has 1 to {LONGEST} characters, not {length}"),
    }
}
