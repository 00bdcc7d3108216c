//! `rmse`: the root mean square error.

use datafusion::logical_expr::AggregateUDF;

use super::scale::{exponent, scaled};
use super::sums::{Sums, aggregate};
use crate::documentation::{About, Topic};

const ABOUT: About = About {
    name: "rmse",
    topic: Topic::Statistics,
    gives: "The root of the mean of the squares of `x - y`. Rows in which one of the two is \
            missing do not count.",
    arguments: &[("x", "the values to judge"), ("y", "the reference")],
    source: "√(Σ(x - y)² / n) (Wilks, Statistical Methods in the Atmospheric Sciences, 2011, section 8.3)",
    example: "SELECT rmse(x, y) FROM (VALUES (1, 2), (4, 3), (5, 3)) AS t(x, y)",
};

/// The function.
pub(super) fn udaf() -> AggregateUDF {
    aggregate(&ABOUT, false, Sums { one, merge, value })
}

/// The number of rows; an [`exponent`] for differences; and the sum of their squares, divided by
/// that power of two twice.
type Squares = [f64; 3];

fn one([x, y]: [f64; 2]) -> Squares {
    let e = exponent(x - y);
    let difference = scaled(x - y, -e);
    [1.0, e, difference * difference]
}

fn merge(&[na, of_a, a]: &Squares, &[nb, of_b, b]: &Squares) -> Squares {
    let e = of_a.max(of_b);
    [na + nb, e, scaled(a, 2.0 * (of_a - e)) + scaled(b, 2.0 * (of_b - e))]
}

fn value(&[n, e, squares]: &Squares) -> Option<f64> {
    Some(scaled((squares / n).sqrt(), e))
}
