//! Methods of interpolation between coordinates.

use atlas::{ArraySchema, AttributeValue, Value};
use datafusion::common::{Result, plan_err};

/// The meaning of a dimension, as far as methods depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Latitude,
    /// A longitude, which wraps around at 360 degrees.
    Longitude,
    Other,
}

impl Role {
    /// The role of a dimension, by the `standard_name` or `units` of its coordinate, otherwise by
    /// its name.
    pub fn of(dim: &str, coordinate: Option<&ArraySchema>) -> Self {
        let attribute = |key| match coordinate.and_then(|array| array.attribute(key)) {
            Some(AttributeValue::One(Value::String(text))) => Some(text.trim().to_ascii_lowercase()),
            _ => None,
        };
        let by_name = |name: &str| match name {
            "lat" | "latitude" => Some(Self::Latitude),
            "lon" | "longitude" => Some(Self::Longitude),
            _ => None,
        };
        let by_units = |units: String| match units.as_str() {
            "degrees_north" | "degree_north" | "degrees_n" | "degree_n" => Some(Self::Latitude),
            "degrees_east" | "degree_east" | "degrees_e" | "degree_e" => Some(Self::Longitude),
            _ => None,
        };
        let known = attribute("standard_name").and_then(|name| by_name(&name));
        let known = known.or_else(|| attribute("units").and_then(by_units));
        known.or_else(|| by_name(&dim.to_ascii_lowercase())).unwrap_or(Self::Other)
    }
}

/// For each dimension, given by name and role, whether a method interpolates linearly along it
/// rather than taking the nearest coordinate.
pub fn linear_along(method: &str, dims: &[(&str, Role)]) -> Result<Vec<bool>> {
    let mut parts = method.split(',').map(str::trim);
    let linear: fn(Role) -> bool = match parts.next() {
        Some("nearest") => |_| false,
        Some("linear") => |_| true,
        Some("bilinear") => {
            let has = |wanted| dims.iter().any(|(_, role)| *role == wanted);
            if !has(Role::Latitude) || !has(Role::Longitude) {
                return plan_err!("'bilinear' needs points with the grid's latitude and longitude");
            }
            |role| role != Role::Other
        }
        _ => return plan_err!("sample_at knows 'nearest', 'bilinear' and 'linear', not '{method}'"),
    };
    let mut along: Vec<bool> = dims.iter().map(|(_, role)| linear(*role)).collect();
    for part in parts {
        let (dim, linear) = match part.split_once('=').map(|(dim, how)| (dim.trim(), how.trim())) {
            Some((dim, "linear")) => (dim, true),
            Some((dim, "nearest")) => (dim, false),
            _ => return plan_err!("'{part}' is not `dimension=linear` or `dimension=nearest`"),
        };
        let place = dims.iter().position(|(name, _)| *name == dim);
        let Some(along) = place.and_then(|place| along.get_mut(place)) else {
            return plan_err!("the points have no column for the dimension `{dim}` of '{method}'");
        };
        *along = linear;
    }
    Ok(along)
}

#[cfg(test)]
mod tests {
    use super::*;
    use atlas::DType;

    #[test]
    fn methods_are_of_dimensions() {
        let dims = [("time", Role::Other), ("y", Role::Latitude), ("x", Role::Longitude)];
        for (method, expected) in [
            ("nearest", Ok(vec![false, false, false])),
            ("bilinear", Ok(vec![false, true, true])),
            ("linear", Ok(vec![true, true, true])),
            ("bilinear, time=linear", Ok(vec![true, true, true])),
            ("linear,x = nearest", Ok(vec![true, true, false])),
            ("cubic", Err("not 'cubic'")),
            ("linear, depth=nearest", Err("no column for the dimension `depth`")),
            ("linear, time", Err("'time' is not")),
        ] {
            match (linear_along(method, &dims), expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{method}"),
                (Err(found), Err(expected)) => assert!(found.to_string().contains(expected), "{found}"),
                (found, expected) => panic!("{method}: {found:?} and not {expected:?}"),
            }
        }
        assert!(linear_along("bilinear", &dims[..2]).is_err());
    }

    #[test]
    fn roles_are_told_by_attributes_before_names() {
        let mut array = ArraySchema::new("lat", DType::F64, &["lat"]);
        assert_eq!(Role::of("lat", Some(&array)), Role::Latitude);
        array.attributes = vec![("units".to_owned(), "degrees_east".into())];
        assert_eq!(Role::of("lat", Some(&array)), Role::Longitude);
        assert_eq!(Role::of("depth", None), Role::Other);
    }
}
