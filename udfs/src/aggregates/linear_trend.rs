//! `linear_trend`: how fast values rise.

use datafusion::logical_expr::AggregateUDF;

use super::sums::{Sums, aggregate};
use crate::documentation::{About, Topic};

const ABOUT: About = About {
    name: "linear_trend",
    topic: Topic::Statistics,
    gives: "The slope of the least-squares line through the values, in their unit per year of 365.2425 days. NULL where all are of one time.",
    arguments: &[("y", "the values"), ("time", "their timestamps")],
    source: "ordinary least squares; sums after Pébay (2008)",
    example: "SELECT linear_trend(y, time) FROM (VALUES (1.0, TIMESTAMP '2000-01-01'), (2.0, TIMESTAMP '2001-01-01')) AS t(y, time)",
};

/// The function.
pub(super) fn udaf() -> AggregateUDF {
    let sums = Sums {
        one: |[y, t]| [1.0, t, y, 0.0, 0.0],
        merge,
        without,
        value: |&[_, _, _, squares, products]| (squares > 0.0).then(|| products / squares * YEAR),
    };
    aggregate(&ABOUT, true, sums)
}

/// Seconds of a mean year of the Gregorian calendar.
const YEAR: f64 = 365.2425 * 86_400.0;

/// The number of rows, their mean time and value, the sum of the squares of the distances of times from the mean, and that of the
/// products of the distances of times and of values.
type Line = [f64; 5];

fn merge(&[na, ta, ya, sa, pa]: &Line, &[nb, tb, yb, sb, pb]: &Line) -> Line {
    let n = na + nb;
    let (dt, dy) = (tb - ta, yb - ya);
    let share = na * nb / n;
    [n, ta + dt * nb / n, ya + dy * nb / n, sa + sb + dt * dt * share, pa + pb + dt * dy * share]
}

fn without(&[n, t, y, s, p]: &Line, &[nb, tb, yb, sb, pb]: &Line) -> Line {
    let na = n - nb;
    let (ta, ya) = (t + (t - tb) * nb / na, y + (y - yb) * nb / na);
    let (dt, dy) = (tb - ta, yb - ya);
    let share = na * nb / n;
    [na, ta, ya, (s - sb - dt * dt * share).max(0.0), p - pb - dt * dy * share]
}
