//! Order statistics.

/// The quantile of numbers in ascending order, interpolated linearly between two of them; `None` if
/// there are none.
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
pub fn quantile(sorted: &[f64], q: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let at = q * last as f64;
    let (below, share) = (at.floor() as usize, at.fract());
    let (a, b) = (*sorted.get(below)?, *sorted.get((below + 1).min(last))?);
    if share == 0.0 || a == b {
        return Some(a);
    }
    if a.is_infinite() || b.is_infinite() {
        return Some(a + b);
    }
    // Halves, because the difference of two numbers may overflow. From the nearer end, as in NumPy.
    let step = b / 2.0 - a / 2.0;
    Some(if share < 0.5 { a + step * share * 2.0 } else { b - step * (1.0 - share) * 2.0 })
}

/// The median: the middle number, or the mean of both middle numbers.
pub fn median(sorted: &[f64]) -> Option<f64> {
    let upper = *sorted.get(sorted.len() / 2)?;
    let lower = *sorted.get((sorted.len() - 1) / 2)?;
    Some(f64::midpoint(lower, upper))
}

/// The lengths of the runs of equal numbers.
pub fn ties(sorted: &[f64]) -> impl Iterator<Item = usize> {
    sorted.chunk_by(|a, b| a == b).map(<[f64]>::len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_of_odd_numbers_are_numbers() {
        let inf = f64::INFINITY;
        for (numbers, q, expected) in [
            (vec![], 0.5, None),
            (vec![3.0], 0.9, Some(3.0)),
            (vec![1.0, 2.0], 0.5, Some(1.5)),
            (vec![f64::MIN, f64::MAX], 0.5, Some(0.0)),
            (vec![f64::MIN, f64::MAX], 0.75, Some(f64::MAX / 2.0)),
            (vec![1.0, inf, inf], 0.75, Some(inf)),
            (vec![1.0, 2.0, inf], 0.5, Some(2.0)),
            (vec![1.0, inf], 0.25, Some(inf)),
            (vec![1.0, inf], 0.75, Some(inf)),
            (vec![-inf, 1.0], 0.75, Some(-inf)),
        ] {
            assert_eq!(quantile(&numbers, q), expected, "{q} of {numbers:?}");
        }
        assert_eq!(median(&[f64::MAX, f64::MAX]), Some(f64::MAX));
        assert_eq!(median(&[]), None);
        assert_eq!(ties(&[1.0, 2.0, 2.0, 5.0]).collect::<Vec<_>>(), [1, 2, 1]);
    }
}
