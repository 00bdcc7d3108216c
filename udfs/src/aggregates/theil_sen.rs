//! `theil_sen`: a trend that tolerates outliers.

use arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::logical_expr::AggregateUDF;

use super::gathered::{gathered, number_and_time};
use super::line::YEAR;
use crate::documentation::{About, Topic};

const ABOUT: About = About {
    name: "theil_sen",
    topic: Topic::Statistics,
    gives: "The Theil-Sen slope, in the unit of the values per year of 365.2425 days: the median \
            of the slopes of all pairs of values with different times. Up to 29% of the values may \
            be outliers. NULL if all values have the same time. At most 20,000 values, because it \
            computes every pair.",
    arguments: &[("y", "the values"), ("time", "their timestamps")],
    source: "Sen (1968), SciPy's `theilslopes`",
    example: "SELECT theil_sen(y, time) FROM (VALUES (1.0, TIMESTAMP '2000-01-01'), \
              (2.0, TIMESTAMP '2001-01-01'), (90.0, TIMESTAMP '2002-01-01')) AS t(y, time)",
};

/// The greatest number of values: two hundred million pairs.
const MOST_VALUES: usize = 20_000;

/// The greatest number of slopes in memory.
const MOST_SLOPES: usize = 1 << 20;

/// The function.
pub(super) fn udaf() -> AggregateUDF {
    gathered(&ABOUT, number_and_time(), DataType::Float64, value)
}

fn value(rows: &[[f64; 2]]) -> Result<ScalarValue> {
    if rows.len() > MOST_VALUES {
        return exec_err!(
            "theil_sen looks at every pair of values, and takes at most {MOST_VALUES}, not {}: \
             take the mean of each day or month first",
            rows.len()
        );
    }
    let slope = if rows.len() * rows.len() / 2 <= MOST_SLOPES {
        median_of_few(slopes(rows).collect())
    } else {
        median_of_many(|| slopes(rows))
    };
    Ok(ScalarValue::Float64(slope.map(|slope| slope * YEAR)))
}

/// The slopes of all pairs of rows with different times, per second.
fn slopes(rows: &[[f64; 2]]) -> impl Iterator<Item = f64> {
    rows.iter().enumerate().flat_map(move |(i, &[y, t])| {
        let others = rows.get(i + 1..).unwrap_or_default().iter();
        // Halves, because the difference of two numbers may overflow.
        let slope = move |&[other, at]: &[f64; 2]| (other / 2.0 - y / 2.0) / (at - t) * 2.0 + 0.0;
        others.filter(move |[_, at]| *at != t).map(slope)
    })
}

/// The median of numbers; NaN if one of them is NaN.
fn median_of_few(mut slopes: Vec<f64>) -> Option<f64> {
    if slopes.iter().any(|slope| slope.is_nan()) {
        return Some(f64::NAN);
    }
    slopes.sort_unstable_by(f64::total_cmp);
    super::order::median(&slopes)
}

/// The same without storing the slopes: each pass over them determines 16 bits of the median.
fn median_of_many<I: Iterator<Item = f64>>(slopes: impl Fn() -> I) -> Option<f64> {
    let mut count = 0usize;
    for slope in slopes() {
        if slope.is_nan() {
            return Some(f64::NAN);
        }
        count += 1;
    }
    let lower_rank = count.checked_sub(1)? / 2;
    // The known bits of the median, and how many numbers are below all numbers with these bits.
    let (mut known, mut below) = (0u64, 0);
    for shift in [48, 32, 16, 0] {
        let mut counts = vec![0usize; 1 << 16];
        for bits in slopes().map(ordered).filter(|bits| bits.checked_shr(shift + 16).unwrap_or(0) == known) {
            if let Some(count) =
                usize::try_from(bits >> shift & 0xffff).ok().and_then(|at| counts.get_mut(at))
            {
                *count += 1;
            }
        }
        let mut next = 0;
        for count in counts {
            if below + count > lower_rank {
                break;
            }
            (next, below) = (next + 1, below + count);
        }
        known = known << 16 | next;
    }
    let lower = f64::from_bits(if known >> 63 == 1 { known & !(1 << 63) } else { !known });
    let upto = slopes().filter(|&slope| slope <= lower).count();
    let upper = if upto > count / 2 {
        lower
    } else {
        slopes().filter(|&slope| slope > lower).fold(f64::INFINITY, f64::min)
    };
    Some(f64::midpoint(lower, upper))
}

/// Bits whose order as integers is the order of the numbers.
fn ordered(number: f64) -> u64 {
    let bits = number.to_bits();
    if bits >> 63 == 1 { !bits } else { bits | 1 << 63 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passes_find_what_sorting_finds() {
        let mut state = 1u64;
        let mut random = |end: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % end
        };
        let odd = [f64::INFINITY, f64::NEG_INFINITY, f64::MAX, -1e300, 5e-324, 0.0, 1.0];
        for case in 0..300 {
            let length = random(12) as usize;
            let number = |random: &mut dyn FnMut(u64) -> u64| match case % 3 {
                0 => odd[random(7) as usize],
                1 => random(5) as f64 - 2.0,
                _ => random(1_000_000) as f64 / 1e3 - 500.0,
            };
            let numbers: Vec<f64> = (0..length).map(|_| number(&mut random)).collect();
            let found = median_of_many(|| numbers.iter().copied());
            let expected = median_of_few(numbers.clone());
            let same =
                found == expected || found.zip(expected).is_some_and(|(a, b)| a.is_nan() && b.is_nan());
            assert!(same, "{found:?} and not {expected:?} of {numbers:?}");
        }
        assert!(median_of_many(|| [1.0, f64::NAN].into_iter()).is_some_and(f64::is_nan));
    }

    #[test]
    fn many_values_have_the_slope_of_their_line() {
        let line = |i: u32| [f64::from(i) * 3.0 + if i.is_multiple_of(10) { 1e6 } else { 0.0 }, f64::from(i)];
        let rows: Vec<[f64; 2]> = (0..2000).map(line).collect();
        assert_eq!(value(&rows).unwrap(), ScalarValue::Float64(Some(3.0 * YEAR)));
        let rows = vec![[0.0, 0.0]; MOST_VALUES + 1];
        assert!(value(&rows).unwrap_err().to_string().contains("at most 20000, not 20001"));
    }
}
