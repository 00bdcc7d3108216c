//! The cells around the values of a coordinate.

use chrono::{DateTime, Months};

use crate::columns::Bin;

/// The largest ratio of a step to the most common one at which adjacent cells still touch.
const STRETCH: f64 = 1.5;

/// The largest ratio of steps that count as equal.
const ALIKE: f64 = 1.2;

/// The smallest fraction of steps along a regular axis that are about as long as the most common
/// one.
const REGULAR: f64 = 0.5;

/// The size of a cell if nothing else determines it.
const ALONE: f64 = 1.0;

/// The distinct values of a coordinate, ascending. Values that differ only by rounding are merged.
pub(super) fn distinct(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.filter(|value| value.is_finite()).map(|value| value + 0.0).collect();
    values.sort_by(f64::total_cmp);
    let extent = values.last().zip(values.first()).map_or(0.0, |(last, first)| last - first);
    values.dedup_by(|b, a| *b - *a <= extent * 1e-9);
    values
}

/// The position of the nearest one of distinct values.
pub(super) fn nearest(values: &[f64], value: f64) -> usize {
    let after = values.partition_point(|other| *other < value);
    let distance = |at: &usize| values.get(*at).map_or(f64::INFINITY, |other| (other - value).abs());
    let before = after.saturating_sub(1);
    if distance(&before) <= distance(&after) { before } else { after }
}

/// The most common step between distinct values.
pub(super) fn commonest_step(values: &[f64]) -> Option<f64> {
    let mut steps: Vec<f64> = steps(values).collect();
    steps.sort_by(f64::total_cmp);
    let alike = |&step: &f64| steps.partition_point(|other| *other <= step * ALIKE);
    let groups = steps.iter().enumerate().map(|(from, step)| from..alike(step));
    // Of groups of the same size, the one with shorter steps.
    let group = groups.reduce(|best, one| if one.len() > best.len() { one } else { best })?;
    steps.get(usize::midpoint(group.start, group.end)).or_else(|| steps.get(group.start)).copied()
}

fn steps(values: &[f64]) -> impl Iterator<Item = f64> {
    values.iter().zip(values.iter().skip(1)).map(|(a, b)| b - a)
}

/// The cell around each of distinct values. Along a regular axis, cells have the size of the most
/// common step, and gaps stay empty. Along other axes, they extend half-way to their neighbours.
pub(super) fn cells(values: &[f64], bin: Option<Bin>) -> Vec<(f64, f64)> {
    if let Some(bin) = bin {
        return values.iter().map(|value| bin.interval(*value)).collect();
    }
    let Some(step) = commonest_step(values) else {
        return values.iter().map(|value| (value - ALONE / 2.0, value + ALONE / 2.0)).collect();
    };
    let is_common = |other: &f64| (step / ALIKE..=step * ALIKE).contains(other);
    if steps(values).filter(is_common).count() as f64 >= REGULAR * (values.len() - 1) as f64 {
        around(values, |distance| if distance <= STRETCH * step { distance / 2.0 } else { step / 2.0 })
    } else {
        half_way(values)
    }
}

/// The cell around each of distinct values, which extends exactly half-way to its neighbours.
pub(super) fn half_way(values: &[f64]) -> Vec<(f64, f64)> {
    around(values, |distance| distance / 2.0)
}

/// Cells that extend towards each neighbour by `reach` of the distance to it. The first and the
/// last cell extend as far outwards as inwards.
fn around(values: &[f64], reach: impl Fn(f64) -> f64) -> Vec<(f64, f64)> {
    let gaps: Vec<f64> = steps(values).map(reach).collect();
    let cell = |(at, value): (usize, &f64)| {
        let (before, after) = (at.checked_sub(1).and_then(|at| gaps.get(at)), gaps.get(at));
        let alone = ALONE / 2.0;
        let (before, after) = (before.or(after).unwrap_or(&alone), after.or(before).unwrap_or(&alone));
        (value - before, value + after)
    };
    values.iter().enumerate().map(cell).collect()
}

impl Bin {
    /// The interval that a value represents.
    pub(super) fn interval(self, value: f64) -> (f64, f64) {
        match self {
            Self::From(width) => (value, value + width),
            Self::Around(width) => (value - width / 2.0, value + width / 2.0),
            Self::Months(months) => {
                let time = DateTime::from_timestamp(value.floor() as i64, 0);
                let end = time.and_then(|time| time.checked_add_months(Months::new(months)));
                (value, end.map_or(value, |end| end.timestamp() as f64))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commonest_step_is_found_among_gaps_and_jitter() {
        assert_eq!(commonest_step(&[0.0, 10.0, 20.0, 50.0, 60.0]), Some(10.0));
        assert_eq!(commonest_step(&[0.0, 10.0]), Some(10.0));
        assert_eq!(commonest_step(&[3.0]), None);
        let jitter = [0.0, 10.1, 20.0, 29.8, 60.1, 70.0, 80.2];
        assert!((9.8..=10.2).contains(&commonest_step(&jitter).unwrap()));
    }

    #[test]
    fn gaps_stay_empty_and_cells_meet() {
        let values = [0.0, 10.0, 20.0, 50.0, 60.0];
        let expected = [(-5.0, 5.0), (5.0, 15.0), (15.0, 25.0), (45.0, 55.0), (55.0, 65.0)];
        assert_eq!(cells(&values, None), expected);
        // Profiles about every ten days touch; a missing one leaves a gap.
        let days = cells(&[0.0, 10.5, 20.0, 40.0, 50.5, 60.0], None);
        assert_eq!((days[0].1, days[1].0), (5.25, 5.25));
        assert!(days[2].1 < days[3].0 - 5.0, "{days:?}");
    }

    #[test]
    fn cells_of_irregular_axes_reach_half_way() {
        let levels = [0.0, 1.0, 3.0, 10.0, 40.0, 100.0, 250.0];
        let found = cells(&levels, None);
        assert_eq!(found, half_way(&levels));
        assert_eq!((found[0], found[6]), ((-0.5, 0.5), (175.0, 325.0)));
    }

    #[test]
    fn bins_are_edges() {
        assert_eq!(cells(&[-10.0, 30.0], Some(Bin::From(10.0))), [(-10.0, 0.0), (30.0, 40.0)]);
        assert_eq!(cells(&[10.0], Some(Bin::Around(10.0))), [(5.0, 15.0)]);
        // February 2024 has 29 days.
        let day = 86_400.0;
        assert_eq!(Bin::Months(1).interval(1_706_745_600.0).1, 1_706_745_600.0 + 29.0 * day);
    }

    #[test]
    fn values_are_distinct_beyond_rounding() {
        assert_eq!(distinct([2.0, 1.0, f64::NAN, 1.0 + 1e-12, -0.0, 0.0].into_iter()), [0.0, 1.0, 2.0]);
        assert_eq!(nearest(&[0.0, 1.0, 2.0], 1.0 + 1e-12), 1);
        assert_eq!((nearest(&[0.0, 1.0], 7.0), nearest(&[5.0], 5.0)), (1, 0));
    }
}
