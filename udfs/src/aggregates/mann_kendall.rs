//! `mann_kendall`: a test for a trend.

use std::f64::consts::FRAC_1_SQRT_2;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, StructArray};
use arrow::datatypes::{DataType, Field, Fields};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::AggregateUDF;

use super::gathered::{gathered, number_and_time};
use super::order::ties;
use crate::documentation::{About, Topic};

const ABOUT: About = About {
    name: "mann_kendall",
    topic: Topic::Statistics,
    gives: "The Mann-Kendall test for a monotonic trend, as a struct: `tau` from -1 to 1, `s` \
            (rising pairs minus falling pairs), its variance `var_s`, `z`, and the two-sided `p`. \
            It assumes that the values are independent, and corrects for ties of values and of \
            times. NULL for fewer than two values.",
    arguments: &[("y", "the values"), ("time", "their timestamps, or any values that order them")],
    source: "Mann (1945), Kendall (1975); pymannkendall's `original_test`",
    example: "SELECT mann_kendall(y, time)['p'] FROM (VALUES (1.0, TIMESTAMP '2000-01-01'), \
              (2.0, TIMESTAMP '2001-01-01'), (4.0, TIMESTAMP '2002-01-01')) AS t(y, time)",
};

/// The function.
pub(super) fn udaf() -> AggregateUDF {
    gathered(&ABOUT, number_and_time(), DataType::Struct(fields()), value)
}

fn fields() -> Fields {
    ["tau", "s", "var_s", "z", "p"].map(|name| Field::new(name, DataType::Float64, true)).to_vec().into()
}

fn value(rows: &[[f64; 2]]) -> Result<ScalarValue> {
    let Some(found) = test(rows) else { return ScalarValue::try_from(DataType::Struct(fields())) };
    let columns = found.map(|number| Arc::new(Float64Array::from(vec![number])) as ArrayRef);
    Ok(ScalarValue::Struct(Arc::new(StructArray::try_new(fields(), columns.into(), None)?)))
}

/// The fields of the result, for rows of a value and its time in the order of the values.
#[allow(clippy::cast_precision_loss)]
fn test(rows: &[[f64; 2]]) -> Option<[f64; 5]> {
    if rows.len() < 2 {
        return None;
    }
    let mut by_time = rows.to_vec();
    by_time.sort_by(|[_, a], [_, b]| a.total_cmp(b));
    let values: Vec<f64> = rows.iter().map(|[y, _]| *y).collect();
    let times: Vec<f64> = by_time.iter().map(|[_, t]| *t).collect();
    let tied_values = Ties::of(ties(&values));
    let tied_times = Ties::of(ties(&times));
    let tied_rows = Ties::of(rows.chunk_by(|a, b| a == b).map(<[_]>::len));

    let n = rows.len() as f64;
    let pairs = n * (n - 1.0) / 2.0;
    let mut series: Vec<f64> = by_time.iter().map(|[y, _]| *y).collect();
    let falling = sort(&mut series) as f64;
    // (Knight 1966): tied pairs neither rise nor fall.
    let s = pairs - tied_values.pairs - tied_times.pairs + tied_rows.pairs - 2.0 * falling;
    let untied = n * (n - 1.0) * (2.0 * n + 5.0);
    let of_both = 2.0 * tied_values.pairs * tied_times.pairs / (n * (n - 1.0));
    let of_triples = match tied_values.triples * tied_times.triples {
        0.0 => 0.0,
        triples => triples / (9.0 * n * (n - 1.0) * (n - 2.0)),
    };
    let var_s = (untied - tied_values.variance - tied_times.variance) / 18.0 + of_both + of_triples;
    // The continuity correction: a step of one between whole numbers and the normal distribution.
    let z = if s == 0.0 { 0.0 } else { (s - s.signum()) / var_s.sqrt() };
    Some([s / pairs, s, var_s, z, libm::erfc(z.abs() * FRAC_1_SQRT_2)])
}

/// Sums over runs of equal numbers.
#[derive(Default)]
struct Ties {
    /// Σ u (u - 1) / 2
    pairs: f64,
    /// Σ u (u - 1) (u - 2)
    triples: f64,
    /// Σ u (u - 1) (2u + 5)
    variance: f64,
}

impl Ties {
    #[allow(clippy::cast_precision_loss)]
    fn of(runs: impl Iterator<Item = usize>) -> Self {
        runs.map(|run| run as f64).fold(Self::default(), |sums, u| Self {
            pairs: sums.pairs + u * (u - 1.0) / 2.0,
            triples: sums.triples + u * (u - 1.0) * (u - 2.0),
            variance: sums.variance + u * (u - 1.0) * (2.0 * u + 5.0),
        })
    }
}

/// Sorts numbers, and counts the pairs in which the first was greater.
fn sort(numbers: &mut [f64]) -> u64 {
    let middle = numbers.len() / 2;
    if middle == 0 {
        return 0;
    }
    let (left, right) = numbers.split_at_mut(middle);
    let mut greater = sort(left) + sort(right);
    let mut merged = Vec::with_capacity(left.len() + right.len());
    let (mut left, mut right) = (&*left, &*right);
    while let ([a, rest_left @ ..], [b, rest_right @ ..]) = (left, right) {
        if a <= b {
            merged.push(*a);
            left = rest_left;
        } else {
            merged.push(*b);
            greater += left.len() as u64;
            right = rest_right;
        }
    }
    merged.extend(left.iter().chain(right));
    numbers.copy_from_slice(&merged);
    greater
}
