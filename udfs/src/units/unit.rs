//! Units by their UDUNITS names: a scale, an offset, and powers of the SI base units.

use std::fmt;

/// Powers of metre, kilogram, second, kelvin, mole, ampere, candela. Angles are numbers.
type Powers = [i32; 7];

/// A unit: `x` of it are `scale · x + offset` of the SI unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Unit {
    scale: f64,
    offset: f64,
    powers: Powers,
}

/// Why a conversion is impossible.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnitError {
    /// The name of a unit is unknown.
    Unknown(String),
    /// The text is not a unit.
    Malformed(String),
}

impl fmt::Display for UnitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(name) => write!(f, "'{name}' is no unit that is known"),
            Self::Malformed(text) => write!(f, "'{text}' is not written as a unit"),
        }
    }
}

impl std::error::Error for UnitError {}

const ONE: Unit = Unit { scale: 1.0, offset: 0.0, powers: [0; 7] };

impl Unit {
    /// Parses a unit such as `m s-1`, `kg m**-2`, `W/m^2`, `1e-3`, `degrees_north` or `degC`.
    ///
    /// # Errors
    ///
    /// If a name is unknown, or the text is not a unit.
    pub fn parse(text: &str) -> Result<Self, UnitError> {
        let mut parser = Parser { text, rest: text.trim() };
        // An empty text is the unit of a plain number.
        if parser.rest.is_empty() {
            return Ok(ONE);
        }
        let unit = parser.product()?;
        if parser.rest.is_empty() { Ok(unit) } else { Err(parser.malformed()) }
    }

    /// Converts numbers of this unit to another: a factor, and an offset added after it; `None` if
    /// the two measure different quantities.
    pub fn to(&self, other: &Self) -> Option<(f64, f64)> {
        (self.powers == other.powers)
            .then(|| (self.scale / other.scale, (self.offset - other.offset) / other.scale))
    }

    fn times(self, other: Self, sign: i32) -> Self {
        let mut powers = self.powers;
        powers.iter_mut().zip(other.powers).for_each(|(power, more)| *power += sign * more);
        // In a product, a degree is a difference of temperatures.
        Self { scale: self.scale * other.scale.powi(sign), offset: 0.0, powers }
    }

    fn raised(self, exponent: i32) -> Self {
        if exponent == 1 {
            return self;
        }
        Self { scale: self.scale.powi(exponent), offset: 0.0, powers: self.powers.map(|p| p * exponent) }
    }
}

struct Parser<'a> {
    text: &'a str,
    rest: &'a str,
}

impl Parser<'_> {
    fn malformed(&self) -> UnitError {
        UnitError::Malformed(self.text.to_owned())
    }

    /// A product of factors, separated by spaces, points, stars or a slash.
    fn product(&mut self) -> Result<Unit, UnitError> {
        let mut unit = self.power()?;
        loop {
            let rest = self.rest.trim_start();
            if rest.is_empty() || rest.starts_with(')') {
                self.rest = rest;
                return Ok(unit);
            }
            let per = rest.strip_prefix('/').or_else(|| {
                let word = rest.strip_prefix("per")?;
                word.starts_with(char::is_whitespace).then_some(word)
            });
            let (rest, sign) = match per {
                Some(rest) => (rest, -1),
                None => (rest.strip_prefix(['*', '.', '·', '⋅']).unwrap_or(rest), 1),
            };
            self.rest = rest.trim_start();
            let factor = self.power()?;
            unit = unit.times(factor, sign);
        }
    }

    /// A number, a name, or a product in parentheses, with an optional power.
    fn power(&mut self) -> Result<Unit, UnitError> {
        if let Some(rest) = self.rest.strip_prefix('(') {
            self.rest = rest.trim_start();
            let unit = self.product()?;
            self.rest = self.rest.strip_prefix(')').ok_or_else(|| self.malformed())?;
            return Ok(unit.raised(self.exponent()?));
        }
        let end = self.rest.find(|c: char| !is_of_number(c)).unwrap_or(self.rest.len());
        if let Some((number, rest)) = (0..=end).rev().find_map(|end| {
            let (number, rest) = self.rest.split_at_checked(end)?;
            Some((number.parse::<f64>().ok().filter(|number| *number > 0.0)?, rest))
        }) {
            self.rest = rest;
            return Ok(Unit { scale: number, ..ONE }.raised(self.exponent()?));
        }
        let end = self.rest.find(|c: char| !is_of_name(c)).unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(end);
        if name.is_empty() {
            return Err(self.malformed());
        }
        let unit = named(name).ok_or_else(|| UnitError::Unknown(name.to_owned()))?;
        self.rest = rest;
        Ok(unit.raised(self.exponent()?))
    }

    /// `-2`, `2`, `^-2`, `**2` or `⁻²` after a name; one if there is no exponent.
    fn exponent(&mut self) -> Result<i32, UnitError> {
        let marked = self.rest.strip_prefix("**").or_else(|| self.rest.strip_prefix('^'));
        let digits = marked.unwrap_or(self.rest);
        let end =
            digits.find(|c: char| !c.is_ascii_digit() && !matches!(c, '+' | '-')).unwrap_or(digits.len());
        if end > 0 {
            let (exponent, rest) = digits.split_at(end);
            self.rest = rest;
            return exponent.parse().map_err(|_| self.malformed());
        }
        let plain = |c: char| {
            let digit = "⁰¹²³⁴⁵⁶⁷⁸⁹".chars().position(|superscript| superscript == c)?;
            char::from_digit(u32::try_from(digit).ok()?, 10)
        };
        let end = digits.find(|c: char| c != '⁻' && plain(c).is_none()).unwrap_or(digits.len());
        if end == 0 {
            return if marked.is_some() { Err(self.malformed()) } else { Ok(1) };
        }
        let (exponent, rest) = digits.split_at(end);
        self.rest = rest;
        let exponent: String = exponent.chars().map(|c| plain(c).unwrap_or('-')).collect();
        exponent.parse().map_err(|_| self.malformed())
    }
}

fn is_of_number(c: char) -> bool {
    c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '-' | '+')
}

fn is_of_name(c: char) -> bool {
    c.is_alphabetic() || matches!(c, '_' | '%' | '°' | '\'' | '"' | 'µ')
}

/// The unit with a name: the plain name, a plural, or a name with a prefix.
fn named(name: &str) -> Option<Unit> {
    if let Some(unit) = exact(name) {
        return Some(unit);
    }
    let prefixed = |prefixes: &[(&str, f64)]| {
        prefixes.iter().find_map(|(prefix, factor)| {
            let unit = prefixable(name.strip_prefix(prefix)?)?;
            Some(Unit { scale: unit.scale * factor, offset: 0.0, ..unit })
        })
    };
    prefixed(&LONG_PREFIXES).or_else(|| prefixed(&PREFIXES))
}

const LONG_PREFIXES: [(&str, f64); 14] = [
    ("tera", 1e12),
    ("giga", 1e9),
    ("mega", 1e6),
    ("kilo", 1e3),
    ("hecto", 1e2),
    ("deca", 1e1),
    ("deka", 1e1),
    ("deci", 1e-1),
    ("centi", 1e-2),
    ("milli", 1e-3),
    ("micro", 1e-6),
    ("nano", 1e-9),
    ("pico", 1e-12),
    ("femto", 1e-15),
];

const PREFIXES: [(&str, f64); 17] = [
    ("da", 1e1),
    ("E", 1e18),
    ("P", 1e15),
    ("T", 1e12),
    ("G", 1e9),
    ("M", 1e6),
    ("k", 1e3),
    ("h", 1e2),
    ("d", 1e-1),
    ("c", 1e-2),
    ("m", 1e-3),
    ("u", 1e-6),
    ("µ", 1e-6),
    ("μ", 1e-6),
    ("n", 1e-9),
    ("p", 1e-12),
    ("f", 1e-15),
];

const fn unit(scale: f64, powers: Powers) -> Unit {
    Unit { scale, offset: 0.0, powers }
}

const LENGTH: Powers = [1, 0, 0, 0, 0, 0, 0];
const MASS: Powers = [0, 1, 0, 0, 0, 0, 0];
const TIME: Powers = [0, 0, 1, 0, 0, 0, 0];
const TEMPERATURE: Powers = [0, 0, 0, 1, 0, 0, 0];
const PRESSURE: Powers = [-1, 1, -2, 0, 0, 0, 0];
const ENERGY: Powers = [2, 1, -2, 0, 0, 0, 0];
const SPEED: Powers = [1, 0, -1, 0, 0, 0, 0];

/// A unit that takes prefixes.
fn prefixable(name: &str) -> Option<Unit> {
    Some(match name {
        "m" | "meter" | "meters" | "metre" | "metres" => unit(1.0, LENGTH),
        "g" | "gram" | "grams" | "gramme" | "grammes" => unit(1e-3, MASS),
        "t" | "tonne" | "tonnes" => unit(1e3, MASS),
        "s" | "sec" | "secs" | "second" | "seconds" => unit(1.0, TIME),
        "K" | "kelvin" | "kelvins" | "Kelvin" => unit(1.0, TEMPERATURE),
        "mol" | "mole" | "moles" => unit(1.0, [0, 0, 0, 0, 1, 0, 0]),
        "A" | "ampere" | "amperes" => unit(1.0, [0, 0, 0, 0, 0, 1, 0]),
        "cd" | "candela" => unit(1.0, [0, 0, 0, 0, 0, 0, 1]),
        "rad" | "radian" | "radians" => ONE,
        "sr" | "steradian" | "steradians" => ONE,
        "Hz" | "hertz" => unit(1.0, [0, 0, -1, 0, 0, 0, 0]),
        "Bq" | "becquerel" => unit(1.0, [0, 0, -1, 0, 0, 0, 0]),
        "N" | "newton" | "newtons" => unit(1.0, [1, 1, -2, 0, 0, 0, 0]),
        "Pa" | "pascal" | "pascals" => unit(1.0, PRESSURE),
        "bar" | "bars" => unit(1e5, PRESSURE),
        "J" | "joule" | "joules" => unit(1.0, ENERGY),
        "Wh" => unit(3600.0, ENERGY),
        "cal" | "calorie" | "calories" => unit(4.1868, ENERGY),
        "W" | "watt" | "watts" => unit(1.0, [2, 1, -3, 0, 0, 0, 0]),
        "V" | "volt" | "volts" => unit(1.0, [2, 1, -3, 0, 0, -1, 0]),
        "C" | "coulomb" => unit(1.0, [0, 0, 1, 0, 0, 1, 0]),
        "F" | "farad" => unit(1.0, [-2, -1, 4, 0, 0, 2, 0]),
        "ohm" | "Ω" => unit(1.0, [2, 1, -3, 0, 0, -2, 0]),
        "S" | "siemens" => unit(1.0, [-2, -1, 3, 0, 0, 2, 0]),
        "T" | "tesla" => unit(1.0, [0, 1, -2, 0, 0, -1, 0]),
        "lm" | "lumen" => unit(1.0, [0, 0, 0, 0, 0, 0, 1]),
        "lx" | "lux" => unit(1.0, [-2, 0, 0, 0, 0, 0, 1]),
        "L" | "l" | "liter" | "liters" | "litre" | "litres" => unit(1e-3, [3, 0, 0, 0, 0, 0, 0]),
        "sverdrup" => unit(1e6, [3, 0, -1, 0, 0, 0, 0]),
        _ => return None,
    })
}

/// A unit by its complete name.
fn exact(name: &str) -> Option<Unit> {
    use std::f64::consts::PI;
    /// The tropical year of 1900, as in UDUNITS.
    const YEAR: f64 = 365.242_198_781_25 * 86_400.0;
    if let Some(unit) = prefixable(name) {
        return Some(unit);
    }
    Some(match name {
        "min" | "mins" | "minute" | "minutes" => unit(60.0, TIME),
        "h" | "hr" | "hrs" | "hour" | "hours" => unit(3600.0, TIME),
        "d" | "day" | "days" => unit(86_400.0, TIME),
        "week" | "weeks" => unit(604_800.0, TIME),
        "month" | "months" => unit(YEAR / 12.0, TIME),
        "a" | "yr" | "year" | "years" => unit(YEAR, TIME),
        "degC" | "°C" | "celsius" | "Celsius" | "degreeC" | "degreesC" | "deg_C" | "degree_C"
        | "degrees_C" | "degree_Celsius" | "degrees_Celsius" | "degree_celsius" | "degrees_celsius"
        | "degs_C" => Unit { scale: 1.0, offset: 273.15, powers: TEMPERATURE },
        "degF" | "°F" | "fahrenheit" | "Fahrenheit" | "degreeF" | "deg_F" | "degree_F" | "degrees_F"
        | "degree_Fahrenheit" | "degrees_Fahrenheit" | "degree_fahrenheit" | "degrees_fahrenheit" => {
            Unit { scale: 5.0 / 9.0, offset: 459.67 * 5.0 / 9.0, powers: TEMPERATURE }
        }
        "degK" | "deg_K" | "degreeK" | "degree_K" | "degrees_K" | "degree_Kelvin" | "degrees_Kelvin" => {
            unit(1.0, TEMPERATURE)
        }
        "deg" | "degs" | "degree" | "degrees" | "°" | "arc_degree" | "degree_north" | "degrees_north"
        | "degree_N" | "degrees_N" | "degreeN" | "degreesN" | "degree_south" | "degrees_south"
        | "degree_east" | "degrees_east" | "degree_E" | "degrees_E" | "degreeE" | "degreesE"
        | "degree_west" | "degrees_west" | "degree_true" | "degrees_true" | "degree_T" | "degrees_T" => {
            unit(PI / 180.0, ONE.powers)
        }
        "arc_minute" | "arcminute" | "arcmin" | "'" => unit(PI / 10_800.0, ONE.powers),
        "arc_second" | "arcsecond" | "arcsec" | "\"" => unit(PI / 648_000.0, ONE.powers),
        "percent" | "%" => unit(1e-2, ONE.powers),
        "psu" | "PSU" | "practical_salinity_unit" | "ppt" | "permille" => unit(1e-3, ONE.powers),
        "ppm" | "ppmv" => unit(1e-6, ONE.powers),
        "ppb" | "ppbv" => unit(1e-9, ONE.powers),
        "pptv" => unit(1e-12, ONE.powers),
        "count" | "counts" | "level" | "layer" | "sigma_level" | "unitless" | "dimensionless" => ONE,
        "angstrom" | "Å" => unit(1e-10, LENGTH),
        "micron" | "microns" => unit(1e-6, LENGTH),
        "inch" | "inches" | "in" => unit(0.0254, LENGTH),
        "foot" | "feet" | "ft" => unit(0.3048, LENGTH),
        "yard" | "yards" | "yd" => unit(0.9144, LENGTH),
        "mile" | "miles" | "mi" => unit(1609.344, LENGTH),
        "nautical_mile" | "nautical_miles" | "nmile" | "nmiles" => unit(1852.0, LENGTH),
        "fathom" | "fathoms" => unit(1.8288, LENGTH),
        "knot" | "knots" | "kt" | "kts" | "kn" => unit(1852.0 / 3600.0, SPEED),
        "mph" => unit(0.44704, SPEED),
        "hectare" | "hectares" | "ha" => unit(1e4, [2, 0, 0, 0, 0, 0, 0]),
        "pound" | "pounds" | "lb" | "lbs" => unit(0.453_592_37, MASS),
        "ounce" | "ounces" | "oz" => unit(0.028_349_523_125, MASS),
        "atm" | "atmosphere" | "atmospheres" => unit(101_325.0, PRESSURE),
        "mb" => unit(100.0, PRESSURE),
        "mmHg" | "torr" => unit(101_325.0 / 760.0, PRESSURE),
        "inHg" => unit(3386.389, PRESSURE),
        "psi" => unit(0.453_592_37 * 9.806_65 / (0.0254 * 0.0254), PRESSURE),
        "gpm" => unit(9.806_65, [2, 0, -2, 0, 0, 0, 0]),
        "DU" | "dobson" => unit(4.461_5e-4, [-2, 0, 0, 0, 1, 0, 0]),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_written_in_many_ways() {
        let flux = Unit::parse("W m-2").unwrap();
        for same in [
            "W/m2",
            "W/m^2",
            "W m**-2",
            "W·m⁻²",
            "J s-1 m-2",
            "kg s-3",
            "watt per m2",
            "(W) (m)-2",
            "1e-3 kW/m2",
        ] {
            let (scale, offset) = Unit::parse(same).unwrap().to(&flux).unwrap();
            assert!((scale - 1.0).abs() < 1e-12 && offset == 0.0, "{same}");
        }
    }

    #[test]
    fn what_is_no_unit_is_refused() {
        assert_eq!(Unit::parse("furlongs"), Err(UnitError::Unknown("furlongs".to_owned())));
        for text in ["m^", "(m", "m)", "m /", "^2", "m--2", "0"] {
            assert!(Unit::parse(text).is_err(), "{text}");
        }
        let unit = |text| Unit::parse(text).unwrap();
        assert_eq!(unit("m").to(&unit("s")), None);
        assert_eq!(unit("").to(&unit("1")), Some((1.0, 0.0)));
    }
}
