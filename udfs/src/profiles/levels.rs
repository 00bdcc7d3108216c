//! The levels of a profile, and linear interpolation between them.

use datafusion::common::{Result, exec_err};

/// Levels in ascending order, each with `N` values.
pub struct Levels<const N: usize>(Vec<(f64, [f64; N])>);

impl<const N: usize> Levels<N> {
    /// The levels of rows, in ascending order. Rows with the same level count as one, with the
    /// means of their values.
    #[allow(clippy::cast_precision_loss)]
    pub fn of(rows: impl Iterator<Item = (f64, [f64; N])>) -> Self {
        let rows: Vec<(f64, [f64; N])> = rows.collect();
        let level = |rows: &[(f64, [f64; N])]| {
            let &(level, first) = rows.first()?;
            let mean = |k: usize| {
                let values = rows.iter().filter_map(|(_, values)| values.get(k));
                values.fold(0.0, |mean, value| mean + value / rows.len() as f64)
            };
            Some((level, if rows.len() == 1 { first } else { std::array::from_fn(mean) }))
        };
        Self(rows.chunk_by(|(a, _), (b, _)| a == b).filter_map(level).collect())
    }

    /// The values at a level; `None` above the first and below the last level.
    pub fn at(&self, level: f64) -> Option<[f64; N]> {
        let after = self.0.partition_point(|(other, _)| *other < level);
        let &(upper, of_upper) = self.0.get(after)?;
        if upper == level {
            return Some(of_upper);
        }
        let &(lower, of_lower) = self.0.get(after.checked_sub(1)?)?;
        let share = (level - lower) / (upper - lower);
        let between = |k: usize| match (of_lower.get(k), of_upper.get(k)) {
            (Some(&a), Some(&b)) => {
                let value = a + (b - a) * share;
                // The difference of two numbers may overflow, and the difference of infinities is
                // NaN.
                if value.is_finite() { value } else { a * (1.0 - share) + b * share }
            }
            _ => f64::NAN,
        };
        Some(std::array::from_fn(between))
    }

    /// The levels below a level, in their order.
    pub fn below(&self, level: f64) -> impl Iterator<Item = (f64, [f64; N])> {
        self.all().skip_while(move |(other, _)| *other <= level)
    }

    /// All levels, in their order.
    pub fn all(&self) -> impl Iterator<Item = (f64, [f64; N])> {
        self.0.iter().copied()
    }

    /// The first level and the last.
    pub fn ends(&self) -> Option<(f64, f64)> {
        Some((self.0.first()?.0, self.0.last()?.0))
    }
}

/// An argument that must be equal in all rows of a group.
pub fn agreed<const N: usize>(rows: &[[f64; N]], column: usize, what: &str) -> Result<f64> {
    let mut values = rows.iter().filter_map(|row| row.get(column));
    let first = values.next().copied().unwrap_or(f64::NAN);
    match values.find(|&&other| other != first && !(other.is_nan() && first.is_nan())) {
        None => Ok(first),
        Some(other) => exec_err!("{what} must be the same in all rows of a group, not {first} and {other}"),
    }
}
