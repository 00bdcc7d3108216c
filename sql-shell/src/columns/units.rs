//! The units of values that are calculated from other values, as text.

/// The units of the square of a value.
pub(super) fn squared(units: &str) -> String {
    if is_one(units) { units.to_owned() } else { format!("{}²", in_parentheses(units, is_compound(units))) }
}

/// The units of the product of two values.
pub(super) fn product(a: &str, b: &str) -> String {
    match (is_one(a), is_one(b)) {
        (true, _) => b.to_owned(),
        (_, true) => a.to_owned(),
        _ if a == b => squared(a),
        _ => format!("{} {}", in_parentheses(a, a.contains('/')), in_parentheses(b, b.contains('/'))),
    }
}

/// The units of the ratio of two values; `None` if they cancel.
pub(super) fn ratio(a: &str, b: &str) -> Option<String> {
    match b {
        b if a == b => None,
        b if is_one(b) => Some(a.to_owned()),
        b => Some(format!("{}/{}", in_parentheses(a, a.contains('/')), in_parentheses(b, is_compound(b)))),
    }
}

fn is_one(units: &str) -> bool {
    units == "1"
}

fn is_compound(units: &str) -> bool {
    !units.chars().all(|c| c.is_alphabetic() || c == '_' || c == '°' || c == '%')
}

fn in_parentheses(units: &str, wanted: bool) -> String {
    if wanted { format!("({units})") } else { units.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_calculated() {
        assert_eq!(squared("degree_Celsius"), "degree_Celsius²");
        assert_eq!(squared("m s**-1"), "(m s**-1)²");
        assert_eq!(squared("1"), "1");
        assert_eq!(product("degC", "psu"), "degC psu");
        assert_eq!(product("m/s", "m/s"), "(m/s)²");
        assert_eq!(product("m/s", "K"), "(m/s) K");
        assert_eq!(product("1", "K"), "K");
        assert_eq!(ratio("degC", "dbar").as_deref(), Some("degC/dbar"));
        assert_eq!(ratio("K", "m s-1").as_deref(), Some("K/(m s-1)"));
        assert_eq!(ratio("K", "K"), None);
    }
}
