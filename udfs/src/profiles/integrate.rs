//! `integrate`: the integral of a profile.

use arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::AggregateUDF;

use super::levels::{Levels, agreed};
use crate::aggregates::gathered::{gathered, numbers};
use crate::aggregates::scale::{exponent, scaled};
use crate::documentation::{About, Topic};

const ABOUT: About = About {
    name: "integrate",
    topic: Topic::Profiles,
    gives: "The integral of `y` over `x`, by the trapezoidal rule, for each group: one profile or \
            series. Rows may come in any order. Rows with the same `x` count as one, with the mean \
            of their `y`. With bounds, it is the integral between them, and NULL unless the \
            profile reaches both.",
    arguments: &[
        ("x", "levels, such as pressures"),
        ("y", "the values there"),
        ("from?", "the lower bound of `x`, the same for all rows of a group"),
        ("to?", "the upper bound"),
    ],
    source: "SciPy's `trapezoid`",
    example: "SELECT integrate(p, t, 5, 25) FROM (VALUES (0, 14.0), (10, 13.0), (30, 12.5)) AS profile(p, t)",
};

/// The function.
pub(super) fn udaf() -> AggregateUDF {
    gathered(&ABOUT, numbers(&[2, 4]), DataType::Float64, value)
}

fn value(rows: &[[f64; 4]]) -> Result<ScalarValue> {
    let from = agreed(rows, 2, "the lower bound of integrate")?;
    let to = agreed(rows, 3, "the upper bound of integrate")?;
    // The sum of steps may be in range although a step is not.
    let e = rows.iter().map(|[_, y, ..]| exponent(*y)).fold(exponent(0.0), f64::max);
    let levels = Levels::of(rows.iter().map(|&[x, y, ..]| (x, [scaled(y, -e)])));
    // Bounds that were left out are NaN.
    let bounds = if from.is_nan() { levels.ends() } else { Some((from, to)) };
    let integral = bounds.and_then(|(from, to)| {
        if to < from {
            integral(&levels, to, from).map(|reversed| -reversed)
        } else {
            integral(&levels, from, to)
        }
    });
    Ok(ScalarValue::Float64(integral.map(|integral| scaled(integral, e))))
}

fn integral(levels: &Levels<1>, from: f64, to: f64) -> Option<f64> {
    let (mut x, [mut y], [last]) = (from, levels.at(from)?, levels.at(to)?);
    let mut sum = 0.0;
    for (next, [of_next]) in levels.below(from).take_while(|(level, _)| *level < to).chain([(to, [last])]) {
        sum += (next - x) * ((y + of_next) / 2.0);
        (x, y) = (next, of_next);
    }
    Some(sum)
}
