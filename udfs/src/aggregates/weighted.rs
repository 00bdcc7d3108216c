//! Means of numbers with weights.

use super::scale::{exponent, scaled};

/// The number of rows; an [`exponent`] for weights, and the sums of the weights and of their
/// magnitudes, divided by its power of two; an exponent for values, and the sum of the products of
/// values and weights, divided by both powers.
pub type Weighted = [f64; 6];

/// The state of a value and its weight.
pub fn one([x, w]: [f64; 2]) -> Weighted {
    let (of_x, of_w) = (exponent(x), exponent(w));
    let w = scaled(w, -of_w);
    [1.0, of_w, w, w.abs(), of_x, scaled(x, -of_x) * w]
}

/// The state of the rows of both.
pub fn merge(a: &Weighted, b: &Weighted) -> Weighted {
    let (of_w, of_x) = (a[1].max(b[1]), a[4].max(b[4]));
    let at = |&[n, own_w, weights, magnitudes, own_x, sum]: &Weighted| {
        let (by_w, by_x) = (own_w - of_w, own_x - of_x);
        (n, scaled(weights, by_w), scaled(magnitudes, by_w), scaled(sum, by_w + by_x))
    };
    let ((na, wa, ma, sa), (nb, wb, mb, sb)) = (at(a), at(b));
    [na + nb, of_w, wa + wb, ma + mb, of_x, sa + sb]
}

/// The mean; `None` if the weights add up to zero within rounding.
pub fn mean(&[n, _, weights, magnitudes, of_x, sum]: &Weighted) -> Option<f64> {
    let adds_up_to_zero = weights.abs() <= n * f64::EPSILON * magnitudes && magnitudes.is_finite();
    (!adds_up_to_zero).then(|| scaled(sum / weights, of_x))
}
