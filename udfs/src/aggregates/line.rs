//! The least-squares line of values over time. Sums are merged as in Pébay (2008).

use super::scale::{exponent, scaled};

/// The seconds of a mean year of the Gregorian calendar.
pub const YEAR: f64 = 365.2425 * 86_400.0;

/// The number of rows; an [`exponent`] for values; the mean time, and the mean value divided by
/// that power of two; the sums of the squared deviations of times, of the products of the
/// deviations of times and of values, and of the squared deviations of values.
pub type Line = [f64; 7];

/// The line of a value and its time in seconds.
pub fn one([y, t]: [f64; 2]) -> Line {
    let e = exponent(y);
    [1.0, e, t, scaled(y, -e), 0.0, 0.0, 0.0]
}

/// The line of the rows of both.
pub fn merge(a: &Line, b: &Line) -> Line {
    let e = a[1].max(b[1]);
    let at = |&[n, own, t, y, times, products, values]: &Line| {
        let by = own - e;
        (n, t, scaled(y, by), times, scaled(products, by), scaled(values, 2.0 * by))
    };
    let ((na, ta, ya, sa, pa, va), (nb, tb, yb, sb, pb, vb)) = (at(a), at(b));
    let n = na + nb;
    let (dt, dy) = (tb - ta, yb - ya);
    let share = na * nb / n;
    [
        n,
        e,
        ta + dt * nb / n,
        ya + dy * nb / n,
        sa + sb + dt * dt * share,
        pa + pb + dt * dy * share,
        va + vb + dy * dy * share,
    ]
}
