//! Numbers of bytes in arguments.

/// Parses a number of bytes such as `2G`, `500M`, `64kB` or `1000`.
pub(crate) fn parse_size(text: &str) -> Result<usize, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text.get(digits.len()..).unwrap_or("").to_ascii_lowercase().trim_end_matches('b') {
        "" => 1.0,
        "k" | "ki" => 1024.0,
        "m" | "mi" => 1024.0 * 1024.0,
        "g" | "gi" => 1024.0 * 1024.0 * 1024.0,
        _ => return Err("a size is a number with k, M or G".to_owned()),
    };
    let number: f64 = digits.parse().map_err(|_| "a size is a number with k, M or G".to_owned())?;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let bytes = (number * unit) as usize;
    if bytes > 0 { Ok(bytes) } else { Err("a size is above zero".to_owned()) }
}
