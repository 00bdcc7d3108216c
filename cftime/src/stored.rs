//! Stored numbers, and the instants that they represent.

use std::ops::RangeInclusive;

pub(crate) const DAY: i128 = 86_400_000_000_000;

/// The units from a day to a nanosecond, in nanoseconds. Each is a multiple of the next.
const ROUND: [i64; 8] =
    [86_400_000_000_000, 3_600_000_000_000, 60_000_000_000, 1_000_000_000, 1_000_000, 1_000, 100, 1];

/// The number of fractional bits of a nanosecond in the computation of intervals.
const FRACTION: u32 = 40;

/// A number as stored. An integer is exact. A float represents all numbers that are nearer to it
/// than to any other float of its type: half a unit in the last place on either side.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Stored {
    /// An integer of any type.
    Int(i128),
    /// A float of 32 bits.
    Single(f32),
    /// A float of 64 bits.
    Double(f64),
}

impl Stored {
    #[allow(clippy::cast_precision_loss)]
    pub(crate) fn as_f64(self) -> f64 {
        match self {
            Self::Int(value) => value as f64,
            Self::Single(value) => value.into(),
            Self::Double(value) => value,
        }
    }
}

/// A number, and how far the represented number may be from it on either side.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Interval {
    value: f64,
    below: f64,
    above: f64,
}

impl Interval {
    /// The interval that a stored float represents. An integer is treated as the nearest float.
    pub fn of(number: Stored) -> Self {
        let value = number.as_f64();
        let (down, up) = match number {
            Stored::Single(single) => (single.next_down().into(), single.next_up().into()),
            Stored::Int(_) | Stored::Double(_) => (value.next_down(), value.next_up()),
        };
        // Halved first, so that the difference of the two largest floats does not overflow.
        Self { value, below: value / 2.0 - down / 2.0, above: up / 2.0 - value / 2.0 }
    }

    /// This many times `factor`.
    pub fn times(self, factor: f64) -> Self {
        let (below, above) = (self.below * factor.abs(), self.above * factor.abs());
        let (below, above) = if factor < 0.0 { (above, below) } else { (below, above) };
        Self { value: self.value * factor, below, above }
    }

    /// An exact integer times a factor that is known to its last place. The intervals of
    /// neighbouring integers do not overlap, however inexact the factor is.
    pub fn product(integer: f64, factor: Self) -> Self {
        let value = integer * factor.value;
        let rounding = Self::of(Stored::Double(value)).above;
        let width = (integer.abs() * factor.above + rounding).min(factor.value.abs() / 2.0);
        Self { value, below: width, above: width }
    }

    /// The roundest instant in the interval, as a day number and the nanoseconds of that day. The
    /// interval counts units of `unit` nanoseconds from `epoch`, in nanoseconds. If the interval
    /// contains no whole nanosecond, the nearest one. `None` if the number is too large for the
    /// computation.
    pub fn roundest(self, unit: i128, epoch: i128) -> Option<(i64, i64)> {
        let centre = epoch.checked_mul(1 << FRACTION)?.checked_add(fixed(self.value, unit)?)?;
        let last = centre.checked_add(fixed(self.above, unit)?)? >> FRACTION;
        // Rounded up: the negative of a number that is rounded down.
        let first = -(centre.checked_sub(fixed(self.below, unit)?)?.checked_neg()? >> FRACTION);
        let nearest = centre.checked_add(1 << (FRACTION - 1))? >> FRACTION;
        let (day, nearest) = split(nearest)?;
        let midnight = i128::from(day) * DAY;
        let within = clamped(first - midnight)..=clamped(last - midnight);
        let instant = ROUND.iter().find_map(|&step| multiple(step, nearest, &within)).unwrap_or(nearest);
        split(midnight + i128::from(instant))
    }
}

/// The day number, and the nanoseconds of that day.
pub(crate) fn split(nanoseconds: i128) -> Option<(i64, i64)> {
    let day = i64::try_from(nanoseconds.div_euclid(DAY)).ok()?;
    Some((day, i64::try_from(nanoseconds.rem_euclid(DAY)).ok()?))
}

/// The multiple of `step` within a range that is nearest to `instant`.
fn multiple(step: i64, instant: i64, within: &RangeInclusive<i64>) -> Option<i64> {
    let first = -(-within.start()).div_euclid(step) * step;
    let last = within.end().div_euclid(step) * step;
    let nearest = (instant + step / 2).div_euclid(step) * step;
    (first <= last).then(|| nearest.clamp(first, last))
}

/// Clamps to about 73 years on either side: far more than a day, and far from overflow.
fn clamped(nanoseconds: i128) -> i64 {
    const MOST: i64 = 1 << 61;
    i64::try_from(nanoseconds).unwrap_or(if nanoseconds < 0 { -MOST } else { MOST }).clamp(-MOST, MOST)
}

/// `number` times `unit` as a fixed-point number with `FRACTION` fractional bits, rounded towards
/// zero and otherwise exact.
fn fixed(number: f64, unit: i128) -> Option<i128> {
    if !number.is_finite() {
        return None;
    }
    let bits = number.to_bits();
    let exponent = i32::try_from((bits >> 52) & 0x7ff).ok()?;
    let mantissa = bits & ((1 << 52) - 1);
    let mantissa = if exponent == 0 { mantissa } else { mantissa | (1 << 52) };
    let product = i128::from(mantissa).checked_mul(unit)?;
    // A mantissa counts units of 2^-1075, doubled for each step of the exponent.
    let shift = exponent.max(1) - 1075 + i32::try_from(FRACTION).ok()?;
    let magnitude = if product == 0 {
        0
    } else if shift < 0 {
        product.checked_shr(shift.unsigned_abs()).unwrap_or(0)
    } else {
        1_i128.checked_shl(shift.unsigned_abs()).filter(|factor| *factor > 0)?.checked_mul(product)?
    };
    Some(if number.is_sign_negative() { -magnitude } else { magnitude })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_half_of_what_a_type_tells_apart() {
        let one = Interval::of(Stored::Double(1.0));
        assert_eq!((one.below, one.above), (f64::EPSILON / 4.0, f64::EPSILON / 2.0));
        let single = Interval::of(Stored::Single(17_000.04));
        assert_eq!(single.above, f64::from(2.0_f32.powi(-10)));
        let back = single.times(-2.0);
        assert_eq!((back.value, back.above), (single.value * -2.0, single.below * 2.0));
    }

    #[test]
    fn fixed_numbers_are_exact() {
        let one = 1_i128 << FRACTION;
        assert_eq!(fixed(1.5, 1_000), Some(1_500 * one));
        assert_eq!(fixed(-0.25, 2), Some(-one / 2));
        assert_eq!(fixed(730_000.0, DAY), Some(730_000 * DAY * one));
        assert_eq!(fixed(0.0, DAY), Some(0));
        assert_eq!(fixed(f64::MIN_POSITIVE / 4.0, DAY), Some(0));
        assert_eq!((fixed(1e300, 1), fixed(f64::NAN, 1), fixed(f64::INFINITY, 1)), (None, None, None));
        assert_eq!(fixed(1e25, DAY), None);
    }

    #[test]
    fn the_roundest_instant_of_a_range_is_chosen() {
        let roundest =
            |nearest, first, last| ROUND.iter().find_map(|&step| multiple(step, nearest, &(first..=last)));
        assert_eq!(
            roundest(86_400_000_000_123, 86_399_999_999_000, 86_400_000_000_500),
            Some(86_400_000_000_000)
        );
        assert_eq!(roundest(999_999_700, 999_999_000, 1_000_000_200), Some(1_000_000_000));
        assert_eq!(
            roundest(-3_599_999_999_900, -3_600_000_000_100, -3_599_999_999_800),
            Some(-3_600_000_000_000)
        );
        assert_eq!(roundest(1_234_567, 1_234_560, 1_234_570), Some(1_234_567));
        // The nearest whole second is outside the range, but another is inside.
        assert_eq!(roundest(1_400_000_000, 1_100_000_000, 2_000_000_000), Some(2_000_000_000));
        assert_eq!(roundest(5, 6, 4), None);
    }
}
