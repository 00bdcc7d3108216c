//! The central moments of numbers, merged as in Pébay (2008).

use super::scale::{exponent, scaled};

/// The number of values, an [`exponent`], and of the values divided by that power of two: their
/// mean, and the sums of the second, third and fourth powers of their deviations from it.
///
/// If a value is infinite, the mean is not finite and the sums have no meaning.
pub type Moments = [f64; 6];

/// The moments of one value.
pub fn one([x]: [f64; 1]) -> Moments {
    let e = exponent(x);
    [1.0, e, scaled(x, -e), 0.0, 0.0, 0.0]
}

/// The moments of the values of both.
pub fn merge(a: &Moments, b: &Moments) -> Moments {
    let e = a[1].max(b[1]);
    let [na, _, mean_a, a2, a3, a4] = at(a, e);
    let [nb, _, mean_b, b2, b3, b4] = at(b, e);
    let n = na + nb;
    let d = mean_b - mean_a;
    let d2 = d * d;
    let c2 = d2 * na * nb / n;
    let c3 = d2 * d * na * nb * (na - nb) / (n * n) + 3.0 * d * (na * b2 - nb * a2) / n;
    let c4 = d2 * d2 * na * nb * (na * na - na * nb + nb * nb) / (n * n * n)
        + 6.0 * d2 * (na * na * b2 + nb * nb * a2) / (n * n)
        + 4.0 * d * (na * b3 - nb * a3) / n;
    [n, e, mean_a + d * nb / n, a2 + b2 + c2, a3 + b3 + c3, a4 + b4 + c4]
}

/// The same moments with another exponent.
fn at(moments: &Moments, e: f64) -> Moments {
    let &[n, own, mean, m2, m3, m4] = moments;
    let by = own - e;
    if by == 0.0 {
        return *moments;
    }
    [n, e, scaled(mean, by), scaled(m2, 2.0 * by), scaled(m3, 3.0 * by), scaled(m4, 4.0 * by)]
}
