//! Shared by model tests: the values that they write, the positions of these, and the number of
//! cases.

use atlas::{DType, Value};
use proptest::prelude::ProptestConfig;
use proptest::test_runner::RngSeed;

/// The value that writing `seed` puts at position `i`; some are missing.
pub fn value(dtype: DType, seed: i64, i: usize) -> Option<Value> {
    let number = (seed * 31 + i as i64 * 7) % 50 - 10;
    if number % 9 == 0 {
        return None;
    }
    Some(match dtype {
        DType::I16 => Value::I64(number),
        DType::F32 => Value::F64(if number == 11 { f64::NAN } else { number as f64 / 4.0 }),
        DType::Timestamp => Value::Timestamp(number * 3_600_000_000_000),
        _ => Value::String("word ".repeat(number.unsigned_abs() as usize % 5)),
    })
}

/// A fill value that some of the [values](value) equal.
pub fn fill(dtype: DType) -> Value {
    match dtype {
        DType::I16 => Value::I64(-10),
        DType::F32 => Value::F64(-2.5),
        DType::Timestamp => Value::Timestamp(0),
        _ => Value::String(String::new()),
    }
}

/// The positions of a region's cells in an array of `shape`, in row-major order.
pub fn places(shape: &[usize], start: &[usize], size: &[usize]) -> Vec<usize> {
    let mut places = vec![0];
    for ((&extent, &start), &size) in shape.iter().zip(start).zip(size) {
        places =
            places.into_iter().flat_map(|p| (start..start + size).map(move |i| p * extent + i)).collect();
    }
    places
}

/// As many cases as `PROPTEST_CASES` says. Without the variable, `fixed` cases, the same each time.
pub fn cases(fixed: u32) -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    let mut config = ProptestConfig::with_cases(cases.unwrap_or(fixed));
    if cases.is_none() {
        config.rng_seed = RngSeed::Fixed(7);
    }
    config.failure_persistence = None;
    config
}

/// Runs a future on one thread.
pub fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
}
