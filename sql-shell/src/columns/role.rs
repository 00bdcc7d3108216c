//! The role of a column as a coordinate, by the CF conventions (chapter 4) or by its name.

/// The texts of a variable's attributes that describe its values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Attributes {
    pub units: Option<String>,
    pub standard_name: Option<String>,
    pub axis: Option<String>,
    pub positive: Option<String>,
}

impl Attributes {
    pub(crate) const KEYS: [&str; 4] = ["units", "standard_name", "axis", "positive"];

    /// The attributes whose texts `text` returns, by [name](Self::KEYS).
    pub(crate) fn new(text: impl Fn(&str) -> Option<String>) -> Self {
        let [units, standard_name, axis, positive] = Self::KEYS.map(text);
        Self { units, standard_name, axis, positive }
    }
}

/// The kind of coordinate that a column is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Time,
    Longitude,
    Latitude,
    Vertical {
        /// Whether values increase downwards, as depths and pressures do.
        down: bool,
        /// Whether it is certainly a coordinate: air pressures and heights can also be measured
        /// values.
        sure: bool,
    },
}

impl Role {
    /// The role of a column, by its name and its variable's attributes. `is_dimension` says whether
    /// the column is a dimension of its table.
    pub(crate) fn of(name: &str, attributes: &Attributes, is_dimension: bool) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        horizontal(&name, attributes).or_else(|| vertical(&name, attributes, is_dimension))
    }

    pub(crate) fn is_vertical(self) -> bool {
        matches!(self, Self::Vertical { .. })
    }

    /// The preference of a column for the vertical axis: of two columns, the one with the higher
    /// number is vertical.
    pub(crate) fn uprightness(role: Option<Self>) -> i8 {
        match role {
            Some(Self::Longitude) => -2,
            Some(Self::Time) => -1,
            None => 0,
            Some(Self::Latitude) => 1,
            Some(Self::Vertical { .. }) => 2,
        }
    }
}

fn lower(text: Option<&String>) -> String {
    text.map_or_else(String::new, |text| text.trim().to_ascii_lowercase())
}

fn horizontal(name: &str, attributes: &Attributes) -> Option<Role> {
    match lower(attributes.standard_name.as_ref()).as_str() {
        "time" => return Some(Role::Time),
        "longitude" => return Some(Role::Longitude),
        "latitude" => return Some(Role::Latitude),
        _ => {}
    }
    match lower(attributes.units.as_ref()).as_str() {
        "degrees_north" | "degree_north" | "degrees_n" | "degree_n" | "degreen" | "degreesn" => {
            return Some(Role::Latitude);
        }
        "degrees_east" | "degree_east" | "degrees_e" | "degree_e" | "degreee" | "degreese" => {
            return Some(Role::Longitude);
        }
        units if units.contains(" since ") => return Some(Role::Time),
        _ => {}
    }
    let is_other = attributes.standard_name.is_some() || attributes.axis.as_deref() == Some("Z");
    match name {
        _ if attributes.axis.as_deref() == Some("T") => Some(Role::Time),
        _ if is_other => None,
        "time" => Some(Role::Time),
        "lon" | "long" | "longitude" | "nav_lon" | "xlong" => Some(Role::Longitude),
        "lat" | "latitude" | "nav_lat" | "xlat" => Some(Role::Latitude),
        _ => None,
    }
}

/// For the `standard_name` of a vertical coordinate, whether its values increase downwards.
fn by_standard_name(standard_name: &str) -> Option<bool> {
    match standard_name {
        "depth" | "depth_below_geoid" | "air_pressure" | "sea_water_pressure" => Some(true),
        "sea_water_pressure_due_to_sea_water" | "model_level_number" => Some(true),
        "atmosphere_sigma_coordinate" | "atmosphere_hybrid_sigma_pressure_coordinate" => Some(true),
        "atmosphere_ln_pressure_coordinate" => Some(true),
        "altitude" | "height" | "height_above_mean_sea_level" | "height_above_geopotential_datum" => {
            Some(false)
        }
        "height_above_reference_ellipsoid" | "atmosphere_hybrid_height_coordinate" => Some(false),
        "atmosphere_sleve_coordinate" | "ocean_sigma_coordinate" | "ocean_sigma_z_coordinate" => Some(false),
        "ocean_s_coordinate" | "ocean_s_coordinate_g1" | "ocean_s_coordinate_g2" => Some(false),
        _ => None,
    }
}

/// Whether units measure pressure, with or without a prefix, as spelled in UDUNITS.
pub(crate) fn is_pressure(units: &str) -> bool {
    let prefixes = ["", "deci", "d", "centi", "c", "milli", "m", "micro", "u", "hecto", "h", "kilo", "k"];
    let bases = ["bar", "bars", "pa", "pascal", "pascals"];
    let units = units.trim().to_ascii_lowercase();
    let prefix = bases.iter().filter_map(|base| units.strip_suffix(base));
    units == "mb" || units == "atm" || prefix.into_iter().any(|prefix| prefixes.contains(&prefix))
}

fn vertical(name: &str, attributes: &Attributes, is_dimension: bool) -> Option<Role> {
    let (units, positive) = (lower(attributes.units.as_ref()), lower(attributes.positive.as_ref()));
    let standard_name = lower(attributes.standard_name.as_ref());
    let of_standard_name = by_standard_name(&standard_name);
    let is_named_z = attributes.axis.as_deref() == Some("Z");
    let is_level = matches!(units.as_str(), "level" | "layer" | "sigma_level");
    let mut sure = is_named_z || is_level || is_dimension || matches!(positive.as_str(), "up" | "down");
    let down_by_name = match name {
        "depth" | "deph" | "dep" | "depths" | "depth_m" => Some(true),
        "pres" | "pressure" | "plev" | "isobaric" | "press" => Some(true),
        "level" | "lev" | "levels" | "layer" if is_dimension => Some(true),
        "altitude" | "alt" | "height" => Some(false),
        _ => None,
    };
    let pressure = is_pressure(&units);
    // If a variable has another standard name, its axis is more reliable than its own name.
    let by_name = down_by_name.filter(|_| standard_name.is_empty());
    if !(is_named_z || is_level || !positive.is_empty() && sure || of_standard_name.is_some())
        && by_name.is_none()
        && !(pressure && is_dimension)
    {
        return None;
    }
    sure |= name.starts_with("dep") || standard_name.starts_with("depth");
    sure |= standard_name.starts_with("sea_water_pressure");
    let down = match positive.as_str() {
        "down" => true,
        "up" => false,
        _ if pressure || is_level => true,
        _ => of_standard_name.or(down_by_name).unwrap_or(false),
    };
    Some(Role::Vertical { down, sure })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(pairs: &[(&str, &str)]) -> Attributes {
        Attributes::new(|key| {
            pairs.iter().find(|(name, _)| *name == key).map(|(_, value)| (*value).to_owned())
        })
    }

    const DOWN: Option<Role> = Some(Role::Vertical { down: true, sure: true });
    const UP: Option<Role> = Some(Role::Vertical { down: false, sure: true });

    #[test]
    fn horizontal_coordinates_follow_from_conventions_and_names() {
        assert_eq!(Role::of("LATITUDE", &with(&[]), false), Some(Role::Latitude));
        assert_eq!(Role::of("x", &with(&[("units", "degrees_east")]), false), Some(Role::Longitude));
        assert_eq!(Role::of("JULD", &with(&[("standard_name", "time")]), false), Some(Role::Time));
        assert_eq!(Role::of("temperature", &with(&[("units", "degC")]), false), None);
        // The conventions take precedence over the name.
        assert_eq!(Role::of("lat", &with(&[("standard_name", "longitude")]), false), Some(Role::Longitude));
        assert_eq!(Role::of("time", &with(&[("standard_name", "age_of_sea_ice")]), false), None);
    }

    #[test]
    fn vertical_coordinates_have_many_spellings() {
        for units in
            ["dbar", "decibar", "decibars", "hPa", "millibar", "millibars", "mbar", "Pa", "bar", "kPa"]
        {
            assert!(is_pressure(units), "{units}");
            assert_eq!(Role::of("p", &with(&[("units", units)]), true), DOWN, "{units}");
            // A measured pressure, such as the one at sea level, is not a coordinate.
            let measured = [("units", units), ("standard_name", "air_pressure_at_mean_sea_level")];
            assert_eq!(Role::of("msl", &with(&measured), false), None);
            assert_eq!(Role::of("pressure", &with(&measured), false), None);
        }
        for units in ["level", "layer", "sigma_level"] {
            assert_eq!(Role::of("k", &with(&[("units", units)]), false), DOWN, "{units}");
        }
        assert!(!is_pressure("m") && !is_pressure("barn") && !is_pressure("") && !is_pressure("mm"));
        assert_eq!(Role::of("z", &with(&[("axis", "Z"), ("positive", "up")]), false), UP);
        assert_eq!(Role::of("z", &with(&[("positive", "down")]), false), DOWN);
        assert_eq!(Role::of("h", &with(&[("standard_name", "height")]), true), UP);
        assert_eq!(Role::of("d", &with(&[("standard_name", "depth")]), false), DOWN);
        assert_eq!(Role::of("level", &with(&[("units", "millibars")]), true), DOWN);
        assert_eq!(Role::of("level", &with(&[]), true), DOWN);
        // The level of a river is a measured value.
        assert_eq!(Role::of("level", &with(&[("units", "m")]), false), None);
        let unsure = Some(Role::Vertical { down: true, sure: false });
        assert_eq!(Role::of("p", &with(&[("standard_name", "air_pressure")]), false), unsure);
        let down = [("standard_name", "height"), ("positive", "down")];
        assert_eq!(Role::of("h", &with(&down), false), DOWN);
    }
}
