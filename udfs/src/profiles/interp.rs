//! `interp`: the value of a profile at a level.

use arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::AggregateUDF;

use super::levels::{Levels, agreed};
use crate::aggregates::gathered::{gathered, numbers};
use crate::documentation::{About, Topic};

const ABOUT: About = About {
    name: "interp",
    topic: Topic::Profiles,
    gives: "The value of `y` at a level of `x`, interpolated linearly between the two nearest \
            levels, for each group: one profile or series. Rows may come in any order. Rows with \
            the same `x` count as one, with the mean of their `y`. NULL above the first `x` and \
            below the last. It is an error if the rows of a group ask for different levels.",
    arguments: &[
        (
            "level",
            "the level at which the value is wanted, in the unit of `x`, the same for all rows of a group",
        ),
        ("x", "levels, such as pressures"),
        ("y", "the values there"),
    ],
    source: "NumPy's `interp`, without its extrapolation",
    example: "SELECT interp(100, p, t) FROM (VALUES (90, 14.0), (110, 13.0), (130, 12.5)) AS profile(p, t)",
};

/// The function.
pub(super) fn udaf() -> AggregateUDF {
    gathered(&ABOUT, numbers(&[3]), DataType::Float64, value)
}

fn value(rows: &[[f64; 3]]) -> Result<ScalarValue> {
    let level = agreed(rows, 0, "the level of interp")?;
    let levels = Levels::of(rows.iter().map(|&[_, x, y]| (x, [y])));
    Ok(ScalarValue::Float64(levels.at(level).map(|[y]| y)))
}
