//! `linear_trend`: how fast values rise.

use datafusion::logical_expr::AggregateUDF;

use super::scale::{exponent, scaled};
use super::sums::{Sums, aggregate};
use crate::documentation::{About, Topic};

const ABOUT: About = About {
    name: "linear_trend",
    topic: Topic::Statistics,
    gives: "The slope of the least-squares line through the values, in their unit per year of 365.2425 days. NULL where \
            all are of one time, NaN where a value is infinite.",
    arguments: &[("y", "the values"), ("time", "their timestamps")],
    source: "ordinary least squares; sums after Pébay (2008)",
    example: "SELECT linear_trend(y, time) FROM (VALUES (1.0, TIMESTAMP '2000-01-01'), (2.0, TIMESTAMP '2001-01-01')) AS t(y, time)",
};

/// The function.
pub(super) fn udaf() -> AggregateUDF {
    aggregate(&ABOUT, true, Sums { one, merge, value })
}

/// Seconds of a mean year of the Gregorian calendar.
const YEAR: f64 = 365.2425 * 86_400.0;

/// The number of rows; an [`exponent`] for values; the mean time, and the mean value divided by
/// that power of two; the sum of the squares of the distances of times from their mean, and that of
/// the products of the distances of times and of values.
type Line = [f64; 6];

fn one([y, t]: [f64; 2]) -> Line {
    let e = exponent(y);
    [1.0, e, t, scaled(y, -e), 0.0, 0.0]
}

fn merge(&[na, of_a, ta, ya, sa, pa]: &Line, &[nb, of_b, tb, yb, sb, pb]: &Line) -> Line {
    let e = of_a.max(of_b);
    let (ya, pa) = (scaled(ya, of_a - e), scaled(pa, of_a - e));
    let (yb, pb) = (scaled(yb, of_b - e), scaled(pb, of_b - e));
    let n = na + nb;
    let (dt, dy) = (tb - ta, yb - ya);
    let share = na * nb / n;
    [n, e, ta + dt * nb / n, ya + dy * nb / n, sa + sb + dt * dt * share, pa + pb + dt * dy * share]
}

fn value(&[_, e, _, y, squares, products]: &Line) -> Option<f64> {
    let slope = if y.is_finite() { products / squares * YEAR } else { f64::NAN };
    (squares > 0.0).then(|| scaled(slope, e))
}
