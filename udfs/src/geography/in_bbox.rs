//! `in_bbox`: tests whether a place lies in a box.

use std::hash::Hash;

use arrow::array::BooleanBuilder;
use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::documentation::{About, Topic};
use crate::numeric::Numbers;

const ABOUT: About = About {
    name: "in_bbox",
    topic: Topic::Geography,
    gives: "True if a place lies in a box, including its borders. The box extends from `west` \
            eastwards to `east`, across the date line if necessary. Longitudes of the place and of \
            the box may have different conventions. False for NaN.",
    arguments: &[
        ("lat", "latitude of the place in degrees north"),
        ("lon", "its longitude in degrees east"),
        ("south", "least latitude of the box"),
        ("west", "western border of the box"),
        ("north", "greatest latitude of the box"),
        ("east", "eastern border of the box"),
    ],
    source: "arithmetic; the order of the borders is that of GeoJSON (RFC 7946) with latitudes first",
    example: "SELECT in_bbox(-17.7, 178.0, -20, 170, -10, -170)",
};

/// The function.
pub(super) fn udf() -> ScalarUDF {
    let signature = Signature::exact(vec![DataType::Float64; 6], Volatility::Immutable);
    ScalarUDF::new_from_impl(InBox(signature, Box::new(ABOUT.documentation())))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct InBox(Signature, Box<Documentation>);

impl ScalarUDFImpl for InBox {
    fn name(&self) -> &str {
        ABOUT.name
    }

    fn signature(&self) -> &Signature {
        &self.0
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let numbers = Numbers::<6>::new(&args)?;
        let mut inside = BooleanBuilder::with_capacity(numbers.len);
        for i in 0..numbers.len {
            inside.append_option(numbers.row(i).map(is_inside));
        }
        numbers.finish(inside.finish())
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.1)
    }
}

fn is_inside([lat, lon, south, west, north, east]: [f64; 6]) -> bool {
    let width = east - west;
    let between = width >= 360.0 || (lon - west).rem_euclid(360.0) <= width.rem_euclid(360.0);
    south <= lat && lat <= north && between && lon.is_finite()
}
