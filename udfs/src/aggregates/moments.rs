//! The central moments of numbers: put together and taken apart as Pébay (2008) has it.

/// The number of values, their mean, and the sums of the second, third and fourth powers of their distances from it.
pub type Moments = [f64; 5];

/// The moments of one value.
pub fn one([x]: [f64; 1]) -> Moments {
    [1.0, x, 0.0, 0.0, 0.0]
}

/// The moments of the values of both.
pub fn merge(&[na, mean_a, a2, a3, a4]: &Moments, &[nb, mean_b, b2, b3, b4]: &Moments) -> Moments {
    let n = na + nb;
    let d = mean_b - mean_a;
    let [c2, c3, c4] = cross([na, a2, a3], [nb, b2, b3], d);
    [n, mean_a + d * nb / n, a2 + b2 + c2, a3 + b3 + c3, a4 + b4 + c4]
}

/// The moments of the values of the first that are not of the second.
pub fn without(&[n, mean, m2, m3, m4]: &Moments, &[nb, mean_b, b2, b3, b4]: &Moments) -> Moments {
    let na = n - nb;
    let mean_a = mean + (mean - mean_b) * nb / na;
    let d = mean_b - mean_a;
    // Each needs those below.
    let [c2, _, _] = cross([na, 0.0, 0.0], [nb, 0.0, 0.0], d);
    // (No sum of squares is below zero, but for rounding.)
    let a2 = (m2 - b2 - c2).max(0.0);
    let [_, c3, _] = cross([na, a2, 0.0], [nb, b2, 0.0], d);
    let a3 = m3 - b3 - c3;
    let [_, _, c4] = cross([na, a2, a3], [nb, b2, b3], d);
    [na, mean_a, a2, a3, (m4 - b4 - c4).max(0.0)]
}

/// What the distance of two means adds to the sums of powers.
fn cross([na, a2, a3]: [f64; 3], [nb, b2, b3]: [f64; 3], d: f64) -> [f64; 3] {
    let n = na + nb;
    let d2 = d * d;
    [
        d2 * na * nb / n,
        d2 * d * na * nb * (na - nb) / (n * n) + 3.0 * d * (na * b2 - nb * a2) / n,
        d2 * d2 * na * nb * (na * na - na * nb + nb * nb) / (n * n * n)
            + 6.0 * d2 * (na * na * b2 + nb * nb * a2) / (n * n)
            + 4.0 * d * (na * b3 - nb * a3) / n,
    ]
}
