//! Powers of two that keep sums of powers in the range of `f64`.
//!
//! The fourth power of 1e80 overflows, and that of 1e-90 underflows. States therefore hold numbers
//! divided by a power of two, whose exponent is part of the state. Exponents are multiples of
//! [`STEP`], so that numbers of ordinary size all have the exponent 0 and stay unchanged.

const STEP: i32 = 256;

/// The exponent for a number. Divided by that power of two, a finite number is zero or between
/// 2⁻¹²⁸ and 2¹²⁸. Zero has the least exponent, infinity the greatest.
pub fn exponent(x: f64) -> f64 {
    let field = i32::try_from((x.to_bits() >> 52) & 0x7ff).unwrap_or(0);
    f64::from((field - 1023 + STEP / 2).div_euclid(STEP) * STEP)
}

/// `x · 2^exponent`; infinity stays infinity.
pub fn scaled(x: f64, exponent: f64) -> f64 {
    if exponent == 0.0 || x.is_infinite() {
        return x;
    }
    // In two steps, because 2¹⁰²⁴ itself overflows.
    let half = (exponent / 2.0).exp2();
    x * half * half
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finite_numbers_come_near_one_and_back() {
        for x in [1.0, 0.1, f64::MAX, f64::MIN_POSITIVE, 5e-324, 1e200, 1e-200, 3e38, 1e-38] {
            let near = scaled(x, -exponent(x));
            assert!((2f64.powi(-128)..2f64.powi(128)).contains(&near), "{x} {near}");
            assert_eq!(scaled(near, exponent(x)), x);
        }
        assert_eq!((exponent(1e38), exponent(-1e-38)), (0.0, 0.0));
        assert!(exponent(0.0) <= exponent(5e-324) && exponent(f64::INFINITY) >= exponent(f64::MAX));
        assert_eq!(scaled(f64::INFINITY, -9000.0), f64::INFINITY);
    }
}
