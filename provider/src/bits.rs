//! Bit masks of many values.

use arrow::buffer::{BooleanBuffer, Buffer};

/// A bit for each value. The loops have fixed lengths and no branches, so that the compiler
/// vectorizes them.
pub fn bits<T: Copy>(values: &[T], is: impl Fn(T) -> bool) -> BooleanBuffer {
    /// Moves the lowest bits of eight bytes to the highest byte.
    const GATHER: u64 = 0x0102_0408_1020_4080;
    let mut packed: Vec<u8> = Vec::with_capacity(values.len().div_ceil(8));
    let (many, rest) = values.as_chunks::<64>();
    for values in many {
        let mut flags = [0u8; 64];
        for (flag, &value) in flags.iter_mut().zip(values) {
            *flag = u8::from(is(value));
        }
        let (eights, _) = flags.as_chunks::<8>();
        packed.extend(eights.iter().map(|eight| gathered(u64::from_le_bytes(*eight).wrapping_mul(GATHER))));
    }
    for values in rest.chunks(8) {
        let set = |byte, (i, &value): (usize, &T)| byte | u8::from(is(value)) << i;
        packed.push(values.iter().enumerate().fold(0, set));
    }
    BooleanBuffer::new(Buffer::from_vec(packed), 0, values.len())
}

/// The gathered bits, from the highest byte.
fn gathered(word: u64) -> u8 {
    let [.., highest] = word.to_le_bytes();
    highest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_has_its_bit() {
        for length in [0, 1, 7, 8, 63, 64, 65, 200] {
            let values: Vec<u32> = (0..length).map(|i| i * 7 % 5).collect();
            let expected: Vec<bool> = values.iter().map(|&value| value < 2).collect();
            assert_eq!(bits(&values, |value| value < 2).iter().collect::<Vec<_>>(), expected);
        }
    }
}
