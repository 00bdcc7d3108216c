//! `spearman`: the rank correlation of two columns.

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::AggregateUDF;

use super::gathered::{gathered, numbers};
use crate::documentation::{About, Topic};

const ABOUT: About = About {
    name: "spearman",
    topic: Topic::Statistics,
    gives: "Spearman's rank correlation, from -1 to 1: the correlation of the ranks of the values. \
            Equal values share the mean of their ranks. NULL if all values of one argument are \
            equal.",
    arguments: &[("x", "the first values"), ("y", "the second values")],
    source: "SciPy's `spearmanr` (Spearman 1904)",
    example: "SELECT spearman(x, y) FROM (VALUES (1, 2), (2, 9), (3, 4)) AS t(x, y)",
};

/// The function.
pub(super) fn udaf() -> AggregateUDF {
    gathered(&ABOUT, numbers(&[2]), DataType::Float64, |rows: &[[f64; 2]]| {
        Ok(ScalarValue::Float64(correlation(&ranks(rows, 0), &ranks(rows, 1))))
    })
}

/// The rank of each row in a column, from 1; equal numbers share the mean of their ranks.
#[allow(clippy::cast_precision_loss)]
fn ranks(rows: &[[f64; 2]], column: usize) -> Vec<f64> {
    let number = |row: usize| rows.get(row).and_then(|row| row.get(column)).copied().unwrap_or(f64::NAN);
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_unstable_by(|&a, &b| number(a).total_cmp(&number(b)));
    let mut ranks = vec![0.0; rows.len()];
    let mut before = 0;
    for equal in order.chunk_by(|&a, &b| number(a) == number(b)) {
        let rank = before as f64 + (equal.len() + 1) as f64 / 2.0;
        for &row in equal {
            if let Some(of_row) = ranks.get_mut(row) {
                *of_row = rank;
            }
        }
        before += equal.len();
    }
    ranks
}

/// Pearson's correlation of ranks, whose mean is that of the numbers from 1 on.
#[allow(clippy::cast_precision_loss)]
fn correlation(a: &[f64], b: &[f64]) -> Option<f64> {
    let mean = (a.len() + 1) as f64 / 2.0;
    let product =
        |a: &[f64], b: &[f64]| -> f64 { a.iter().zip(b).map(|(a, b)| (a - mean) * (b - mean)).sum() };
    let squares = (product(a, a) * product(b, b)).sqrt();
    (squares > 0.0).then(|| (product(a, b) / squares).clamp(-1.0, 1.0))
}
