//! Unsigned integers of the widths of values. Values are moved and packed as such integers.

/// An unsigned integer.
pub(super) trait Lane: Copy + Default + Ord + PartialEq {
    /// Its length in bytes.
    const BYTES: usize;
    /// The number 0.
    const ZERO: Self;
    /// The number 1.
    const ONE: Self;

    /// The little-endian integers in `bytes`; an incomplete one at the end is left out.
    fn all(bytes: &[u8]) -> impl Iterator<Item = Self>;

    /// Writes its bytes.
    fn put(self, out: &mut Vec<u8>);

    /// Its sum with another, wrapping around.
    fn wrapping_plus(self, other: Self) -> Self;

    /// The difference to another, wrapping around.
    fn wrapping_less(self, other: Self) -> Self;

    /// The product with another, wrapping around.
    fn wrapping_times(self, other: Self) -> Self;

    /// The quotient by another, which is not 0.
    fn divided_by(self, other: Self) -> Self;

    /// The greatest common divisor with another; that of 0 and `n` is `n`.
    fn common_divisor(self, other: Self) -> Self;

    /// With the bits inverted that are set in `other`.
    fn xor(self, other: Self) -> Self;

    /// With the highest bit inverted, which maps the order of signed integers to that of unsigned
    /// ones.
    fn flip_sign(self) -> Self;

    /// The number of bits that it needs.
    fn bits(self) -> usize;
}

macro_rules! lane {
    ($($lane:ty)*) => {$(
        impl Lane for $lane {
            const BYTES: usize = size_of::<$lane>();
            const ZERO: Self = 0;
            const ONE: Self = 1;

            fn all(bytes: &[u8]) -> impl Iterator<Item = Self> {
                bytes.as_chunks().0.iter().map(|bytes| Self::from_le_bytes(*bytes))
            }

            fn put(self, out: &mut Vec<u8>) {
                out.extend(self.to_le_bytes());
            }

            fn wrapping_plus(self, other: Self) -> Self {
                self.wrapping_add(other)
            }

            fn wrapping_less(self, other: Self) -> Self {
                self.wrapping_sub(other)
            }

            fn wrapping_times(self, other: Self) -> Self {
                self.wrapping_mul(other)
            }

            fn divided_by(self, other: Self) -> Self {
                self.checked_div(other).unwrap_or(self)
            }

            fn common_divisor(self, other: Self) -> Self {
                let (mut a, mut b) = (self, other);
                while b != 0 && a != 1 {
                    (a, b) = (b, a % b);
                }
                a
            }

            fn xor(self, other: Self) -> Self {
                self ^ other
            }

            fn flip_sign(self) -> Self {
                self ^ (1 << (Self::BITS - 1))
            }

            fn bits(self) -> usize {
                (Self::BITS - self.leading_zeros()) as usize
            }
        }
    )*};
}

lane!(u8 u16 u32 u64);
