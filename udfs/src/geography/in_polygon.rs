//! `in_polygon`: tests whether a place lies in a polygon.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::str::FromStr;

use arrow::array::BooleanBuilder;
use arrow::datatypes::DataType;
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use geo::{BoundingRect, Coord, Geometry, Intersects, MultiPolygon, Rect};
use wkt::Wkt;

use crate::documentation::{About, Topic};
use crate::numeric::Numbers;
use crate::texts::Texts;

const ABOUT: About = About {
    name: "in_polygon",
    topic: Topic::Geography,
    gives: "True if a place lies in a polygon, including its borders. Edges are straight lines in \
            degrees. Longitudes of the place and of the polygon may have different conventions. A \
            polygon across the date line continues beyond 180 degrees, for example from 170 to \
            190. False for NaN. Text that is not a polygon is an error, and so are latitudes \
            beyond ±90: WKT has longitudes first.",
    arguments: &[
        ("lat", "latitude of the place in degrees north"),
        ("lon", "its longitude in degrees east"),
        ("wkt", "a POLYGON or MULTIPOLYGON of longitudes and latitudes, as well-known text"),
    ],
    source: "OGC Simple Features 1.2.1 (`ST_Intersects`), by the `geo` and `wkt` crates",
    example: "SELECT in_polygon(48.9, 2.4, 'POLYGON ((2 48, 3 48, 3 49, 2 49, 2 48))')",
};

/// The function.
pub(super) fn udf() -> ScalarUDF {
    let arguments = vec![DataType::Float64, DataType::Float64, DataType::Utf8];
    let signature = Signature::exact(arguments, Volatility::Immutable);
    ScalarUDF::new_from_impl(InPolygon(signature, Box::new(ABOUT.documentation())))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct InPolygon(Signature, Box<Documentation>);

impl ScalarUDFImpl for InPolygon {
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
        let numbers = Numbers::<2>::new(&args)?;
        let Some(texts) = args.args.get(2) else { return exec_err!("in_polygon takes a polygon") };
        let texts = Texts::new(texts)?;
        let mut known: HashMap<&str, Area> = HashMap::new();
        let mut inside = BooleanBuilder::with_capacity(numbers.len);
        for row in 0..numbers.len {
            let (Some([lat, lon]), Some(text)) = (numbers.row(row), texts.get(row)) else {
                inside.append_null();
                continue;
            };
            let area = match known.entry(text) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => new.insert(Area::parse(text)?),
            };
            inside.append_value(area.has(lat, lon));
        }
        numbers.finish(inside.finish())
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.1)
    }
}

/// Polygons, and their bounding box.
struct Area {
    polygons: MultiPolygon<f64>,
    bounds: Rect<f64>,
}

impl Area {
    fn parse(text: &str) -> Result<Self> {
        let shown: String = text.chars().take(60).collect();
        let parsed = Wkt::<f64>::from_str(text).map_err(|reason| reason.to_string());
        let parsed = parsed.and_then(|wkt| Geometry::try_from(wkt).map_err(|reason| reason.to_string()));
        let polygons = match parsed {
            Ok(Geometry::Polygon(polygon)) => MultiPolygon::new(vec![polygon]),
            Ok(Geometry::MultiPolygon(polygons)) => polygons,
            Ok(_) => return exec_err!("in_polygon takes a POLYGON or a MULTIPOLYGON, not '{shown}'"),
            Err(reason) => return exec_err!("in_polygon does not understand '{shown}': {reason}"),
        };
        let Some(bounds) = polygons.bounding_rect() else {
            return exec_err!("the polygon '{shown}' has no points");
        };
        if !(bounds.min().y >= -90.0 && bounds.max().y <= 90.0 && bounds.width().is_finite()) {
            return exec_err!(
                "the polygon '{shown}' has latitudes beyond ±90: in WKT, longitudes come first"
            );
        }
        Ok(Self { polygons, bounds })
    }

    fn has(&self, lat: f64, lon: f64) -> bool {
        let (west, east) = (self.bounds.min().x, self.bounds.max().x);
        if !lon.is_finite() || !(self.bounds.min().y..=self.bounds.max().y).contains(&lat) {
            return false;
        }
        // The place in every turn around the globe that the polygon covers.
        let first = ((west - lon) / 360.0).ceil();
        let turns = std::iter::successors(Some(first), |turn| Some(turn + 1.0));
        let mut places = turns.map(|turn| lon + turn * 360.0).take_while(|x| *x <= east);
        places.any(|x| self.polygons.intersects(&Coord { x, y: lat }))
    }
}
