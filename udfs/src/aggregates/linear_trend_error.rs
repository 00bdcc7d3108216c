//! `linear_trend_error`: the standard error of a trend.

use datafusion::logical_expr::AggregateUDF;

use super::line::{self, Line, YEAR};
use super::scale::scaled;
use super::sums::{Sums, aggregate};
use crate::documentation::{About, Topic};

const ABOUT: About = About {
    name: "linear_trend_error",
    topic: Topic::Statistics,
    gives: "The standard error of `linear_trend`, in the unit of the values per year of 365.2425 \
            days. It assumes that the deviations of the values from the line are independent; in \
            autocorrelated series the error is larger. NULL for fewer than three values and if all \
            have the same time, NaN if a value is infinite.",
    arguments: &[("y", "the values"), ("time", "their timestamps")],
    source: "ordinary least squares, SciPy's `linregress` (`stderr`); sums after Pébay (2008)",
    example: "SELECT linear_trend_error(y, time) FROM (VALUES (1.0, TIMESTAMP '2000-01-01'), \
              (2.5, TIMESTAMP '2001-01-01'), (3.0, TIMESTAMP '2002-01-01')) AS t(y, time)",
};

/// The function.
pub(super) fn udaf() -> AggregateUDF {
    aggregate(&ABOUT, true, Sums { one: line::one, merge: line::merge, value })
}

fn value(&[n, e, _, y, times, products, values]: &Line) -> Option<f64> {
    if n < 3.0 || times <= 0.0 {
        return None;
    }
    if !y.is_finite() {
        return Some(f64::NAN);
    }
    // Rounding may make the residuals negative if the values lie on the line.
    let residuals = (values - products / times * products).max(0.0);
    Some(scaled((residuals / (n - 2.0) / times).sqrt() * YEAR, e))
}
