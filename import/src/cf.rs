//! What the CF conventions say about the values of a variable: which are missing, and how they are
//! packed.
//!
//! Section numbers are those of the [CF conventions 1.11](https://cfconventions.org/Data/cf-conventions/cf-conventions-1.11/cf-conventions.html).

use atlas::{AttributeValue, DType, Value};
use netcdf_reader::{NcAttrValue, NcType};

/// A number of an attribute, with the precision with which it is written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    /// An integer of any type.
    Int(i128),
    /// A float of either width.
    Float(f64),
}

impl Number {
    /// The number as a float, rounded.
    #[allow(clippy::cast_precision_loss)]
    pub fn as_f64(self) -> f64 {
        match self {
            Self::Int(value) => value as f64,
            Self::Float(value) => value,
        }
    }

    /// The number as an element of `dtype`, if it can be represented: a float becomes the nearest
    /// `f32`.
    #[allow(clippy::cast_possible_truncation)]
    pub fn element(self, dtype: DType) -> Option<Value> {
        if dtype.is_float() {
            let value = self.as_f64();
            return Some(Value::F64(if dtype == DType::F32 { f64::from(value as f32) } else { value }));
        }
        let integer = match self {
            Self::Int(value) => value,
            Self::Float(value) if value.fract() == 0.0 && value.abs() < 2e19 => value as i128,
            Self::Float(_) => return None,
        };
        let value = match dtype.sum().as_ref().and_then(DType::from_arrow)? {
            DType::U64 => u64::try_from(integer).ok().map(Value::U64),
            _ => i64::try_from(integer).ok().map(Value::I64),
        };
        value.filter(|value| dtype.holds(value))
    }

    /// Reinterprets the bits of an integer of type `from` as type `to`, if both have the same width
    /// and differ in sign. Classic files have no unsigned types, and declare them with `_Unsigned`.
    fn with_sign_of(self, from: DType, to: DType) -> Self {
        let (Self::Int(value), Some(width)) = (self, from.width()) else { return self };
        let reinterpreted = !from.is_float() && !to.is_float() && from != to && to.width() == Some(width);
        let modulus = 1i128 << (8 * width);
        match self.element(to) {
            None if reinterpreted => Self::Int(if value < 0 { value + modulus } else { value - modulus }),
            _ => self,
        }
    }
}

/// The numbers of an attribute.
#[derive(Clone, Debug, PartialEq)]
pub struct Numbers {
    /// The numbers, as many as the attribute has.
    pub values: Vec<Number>,
    /// Their type; `None` if they are spelled as text.
    pub dtype: Option<DType>,
}

impl Numbers {
    /// Reads the numbers of attribute `name`, which may be text that spells them. `None` if it has
    /// no number. Violations of the conventions are added to `bad`.
    pub(crate) fn read(name: &str, value: &NcAttrValue, bad: &mut Vec<String>) -> Option<Self> {
        let numbers = match spelling(value) {
            None => Self { values: numbers(value), dtype: number_type(value) },
            Some(text) => match spelled(&text) {
                Some(values) => {
                    bad.push(format!("`{name}` is text: it is read as a number"));
                    Self { values, dtype: None }
                }
                None => {
                    bad.push(format!("`{name}` is text that is no number: it is ignored"));
                    return None;
                }
            },
        };
        if numbers.values.is_empty() {
            bad.push(format!("`{name}` has no number: it is ignored"));
            return None;
        }
        Some(numbers)
    }

    /// The numbers as a variable of type `stored` represents them: signed and unsigned integers of
    /// the same width are reinterpreted as each other, and floats become the nearest `f32`.
    pub(crate) fn as_stored(&self, stored: DType) -> impl Iterator<Item = Number> {
        let from = self.dtype.unwrap_or(stored);
        self.values.iter().map(move |number| {
            match number.with_sign_of(from, stored) {
                // Rounds to the nearest `f32`.
                Number::Float(value) if stored == DType::F32 => match Number::Float(value).element(stored) {
                    Some(Value::F64(nearest)) => Number::Float(nearest),
                    _ => Number::Float(value),
                },
                number => number,
            }
        })
    }
}

/// The text of an attribute; `None` for numbers.
fn spelling(value: &NcAttrValue) -> Option<String> {
    match value {
        NcAttrValue::Chars(text) => Some(text.clone()),
        NcAttrValue::Strings(texts) => Some(texts.join(" ")),
        _ => None,
    }
}

/// Parses numbers that are separated by commas or blanks: `0.01`, `1e-3f`, `0, 100`.
fn spelled(text: &str) -> Option<Vec<Number>> {
    let words =
        text.split(|c: char| c == ',' || c == '\0' || c.is_whitespace()).filter(|word| !word.is_empty());
    words.map(spelled_number).collect::<Option<Vec<_>>>().filter(|numbers| !numbers.is_empty())
}

/// Parses a number as people and CDL write it. CDL marks types by suffixes, as in `-1b` and
/// `0.01f`.
fn spelled_number(word: &str) -> Option<Number> {
    let parse = |word: &str| {
        let integer = word.parse().map(Number::Int);
        integer.ok().or_else(|| word.parse().ok().map(Number::Float))
    };
    let unmarked = word.trim_end_matches(['b', 'B', 'u', 'U', 's', 'S', 'l', 'L', 'f', 'F', 'd', 'D']);
    let marked = unmarked.ends_with(|c: char| c.is_ascii_digit() || c == '.');
    parse(word).or_else(|| parse(unmarked).filter(|_| marked))
}

/// The type of an attribute's numbers; `None` for text.
fn number_type(value: &NcAttrValue) -> Option<DType> {
    Some(match value {
        NcAttrValue::Bytes(_) => DType::I8,
        NcAttrValue::Shorts(_) => DType::I16,
        NcAttrValue::Ints(_) => DType::I32,
        NcAttrValue::Int64s(_) => DType::I64,
        NcAttrValue::UBytes(_) => DType::U8,
        NcAttrValue::UShorts(_) => DType::U16,
        NcAttrValue::UInts(_) => DType::U32,
        NcAttrValue::UInt64s(_) => DType::U64,
        NcAttrValue::Floats(_) => DType::F32,
        NcAttrValue::Doubles(_) => DType::F64,
        NcAttrValue::Chars(_) | NcAttrValue::Strings(_) | NcAttrValue::UserDefined { .. } => return None,
    })
}

/// The type of a numeric variable.
///
/// # Errors
/// The type is not numeric.
pub(crate) fn raw_type(dtype: &NcType) -> Result<DType, String> {
    Ok(match dtype {
        NcType::Byte => DType::I8,
        NcType::Short => DType::I16,
        NcType::Int => DType::I32,
        NcType::Int64 => DType::I64,
        NcType::UByte => DType::U8,
        NcType::UShort => DType::U16,
        NcType::UInt => DType::U32,
        NcType::UInt64 => DType::U64,
        NcType::Float => DType::F32,
        NcType::Double => DType::F64,
        other => return Err(format!("{other:?} is no type of numbers")),
    })
}

/// The numbers of an attribute; none for text.
pub fn numbers(value: &NcAttrValue) -> Vec<Number> {
    fn ints<T: Copy + Into<i128>>(values: &[T]) -> Vec<Number> {
        values.iter().map(|&value| Number::Int(value.into())).collect()
    }
    match value {
        NcAttrValue::Bytes(values) => ints(values),
        NcAttrValue::Shorts(values) => ints(values),
        NcAttrValue::Ints(values) => ints(values),
        NcAttrValue::Int64s(values) => ints(values),
        NcAttrValue::UBytes(values) => ints(values),
        NcAttrValue::UShorts(values) => ints(values),
        NcAttrValue::UInts(values) => ints(values),
        NcAttrValue::UInt64s(values) => ints(values),
        NcAttrValue::Floats(values) => values.iter().map(|&value| Number::Float(value.into())).collect(),
        NcAttrValue::Doubles(values) => values.iter().map(|&value| Number::Float(value)).collect(),
        NcAttrValue::Chars(_) | NcAttrValue::Strings(_) | NcAttrValue::UserDefined { .. } => Vec::new(),
    }
}

/// Converts an attribute for the store; `None` for one of a user-defined type.
pub fn attribute_value(value: &NcAttrValue) -> Option<AttributeValue> {
    let (dtype, mut values) = match value {
        NcAttrValue::Chars(text) => {
            (DType::String, vec![Value::String(text.trim_end_matches('\0').to_owned())])
        }
        NcAttrValue::Strings(values) => (DType::String, values.iter().cloned().map(Value::String).collect()),
        NcAttrValue::UserDefined { .. } => return None,
        // Converts to the `f64` with the same decimal digits, so that 0.1 does not become
        // 0.10000000149011612.
        NcAttrValue::Floats(values) => {
            let shortest = |value: &f32| value.to_string().parse().unwrap_or_else(|_| f64::from(*value));
            (DType::F64, values.iter().map(|value| Value::F64(shortest(value))).collect())
        }
        value => {
            let dtype = match value {
                NcAttrValue::Doubles(_) => DType::F64,
                NcAttrValue::UInt64s(_) => DType::U64,
                _ => DType::I64,
            };
            (dtype, numbers(value).into_iter().filter_map(|number| number.element(dtype)).collect())
        }
    };
    match (values.len(), values.pop()) {
        (1, Some(value)) => Some(AttributeValue::One(value)),
        (_, last) => {
            values.extend(last);
            Some(AttributeValue::list(dtype, values))
        }
    }
}

/// How packed values are unpacked (section 8.1): multiplied by `scale`, plus `offset`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Packing {
    /// `scale_factor`.
    pub scale: f64,
    /// `add_offset`.
    pub offset: f64,
    /// The wider one of the two attributes' types: `F32` or `F64`.
    pub declared: DType,
    /// The type of the unpacked values: the declared one, but `F64` if an `f32` would lose digits
    /// of the packed values.
    pub dtype: DType,
}

impl Packing {
    /// The packing that the `scale_factor` and `add_offset` of a variable describe, for values of
    /// type `stored`; `None` if it has neither.
    pub fn of(scale: Option<&Numbers>, offset: Option<&Numbers>, stored: DType) -> Option<Self> {
        let number = |numbers: Option<&Numbers>| numbers.and_then(|numbers| numbers.values.first().copied());
        let (first, second) = (number(scale), number(offset));
        if first.is_none() && second.is_none() {
            return None;
        }
        let single =
            |numbers: Option<&Numbers>| numbers.is_none_or(|numbers| numbers.dtype == Some(DType::F32));
        let declared = if single(scale) && single(offset) { DType::F32 } else { DType::F64 };
        let exact = matches!(stored, DType::I8 | DType::U8 | DType::I16 | DType::U16 | DType::F32);
        Some(Self {
            scale: first.map_or(1.0, Number::as_f64),
            offset: second.map_or(0.0, Number::as_f64),
            declared,
            dtype: if exact { declared } else { DType::F64 },
        })
    }

    /// True if a number that is not NaN is never unpacked to NaN.
    pub fn is_finite(&self) -> bool {
        self.scale.is_finite() && self.offset.is_finite() && self.scale != 0.0
    }

    /// Unpacks a value.
    pub fn unpack(&self, value: f64) -> f64 {
        value * self.scale + self.offset
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_elements_of_types_that_hold_them() {
        assert_eq!(Number::Float(99999.0).element(DType::I32), Some(Value::I64(99999)));
        assert_eq!(Number::Float(0.5).element(DType::I32), None);
        assert_eq!(Number::Float(0.1).element(DType::F32), Some(Value::F64(f64::from(0.1f32))));
        assert_eq!(Number::Int(1 << 40).element(DType::I16), None);
        assert_eq!(Number::Int(300).element(DType::U8), None);
        assert_eq!(Number::Int(u64::MAX.into()).element(DType::U64), Some(Value::U64(u64::MAX)));
    }

    #[test]
    fn only_integers_of_one_width_are_reinterpreted() {
        let stored = |value: NcAttrValue, stored| {
            let numbers = Numbers::read("x", &value, &mut Vec::new()).unwrap();
            numbers.as_stored(stored).collect::<Vec<_>>()
        };
        assert_eq!(stored(NcAttrValue::Bytes(vec![0, -56]), DType::U8), [Number::Int(0), Number::Int(200)]);
        assert_eq!(stored(NcAttrValue::UBytes(vec![255]), DType::I8), [Number::Int(-1)]);
        assert_eq!(
            stored(NcAttrValue::Shorts(vec![300, -1]), DType::U8),
            [Number::Int(300), Number::Int(-1)]
        );
        assert_eq!(stored(NcAttrValue::Ints(vec![65535]), DType::I16), [Number::Int(65535)]);
        assert_eq!(stored(NcAttrValue::Doubles(vec![0.1]), DType::F32), [Number::Float(f64::from(0.1f32))]);
    }

    #[test]
    fn numbers_in_text_are_read_and_other_text_is_told() {
        for (text, expected) in [
            ("0.01", Some(vec![Number::Float(0.01)])),
            (" -999\0", Some(vec![Number::Int(-999)])),
            ("0, 100", Some(vec![Number::Int(0), Number::Int(100)])),
            ("0.01f", Some(vec![Number::Float(0.01)])),
            ("-1b", Some(vec![Number::Int(-1)])),
            ("1e20", Some(vec![Number::Float(1e20)])),
            ("1.5e-3", Some(vec![Number::Float(0.0015)])),
            ("none", None),
            ("1 m", None),
            ("d", None),
            ("", None),
        ] {
            let mut bad = Vec::new();
            let found = Numbers::read("scale_factor", &NcAttrValue::Chars(text.into()), &mut bad);
            assert_eq!(found.map(|numbers| numbers.values), expected, "{text}");
            assert_eq!(bad.len(), 1, "{text}: {bad:?}");
        }
        let nan = Numbers::read("x", &NcAttrValue::Strings(vec!["NaN".into()]), &mut Vec::new()).unwrap();
        assert!(nan.values[0].as_f64().is_nan() && nan.dtype.is_none());
    }

    #[test]
    fn unpacked_values_are_as_wide_as_they_must_be() {
        let numbers = |dtype, value| Numbers { values: vec![Number::Float(value)], dtype };
        let (single, double) = (numbers(Some(DType::F32), 0.5), numbers(Some(DType::F64), 0.5));
        let (integer, text) = (numbers(Some(DType::I32), 2.0), numbers(None, 0.5));
        let dtype = |scale, offset, stored| Packing::of(scale, offset, stored).map(|packing| packing.dtype);
        for stored in [DType::I8, DType::U8, DType::I16, DType::U16, DType::F32] {
            assert_eq!(dtype(Some(&single), None, stored), Some(DType::F32));
            assert_eq!(dtype(Some(&single), Some(&double), stored), Some(DType::F64));
            assert_eq!(dtype(Some(&integer), None, stored), Some(DType::F64));
            assert_eq!(dtype(None, Some(&text), stored), Some(DType::F64));
            assert_eq!(dtype(None, None, stored), None);
        }
        for stored in [DType::I32, DType::U32, DType::I64, DType::U64, DType::F64] {
            assert_eq!(dtype(Some(&single), Some(&single), stored), Some(DType::F64));
        }
    }

    #[test]
    fn attributes_keep_their_kind() {
        let value = |value| attribute_value(&value).unwrap();
        assert_eq!(value(NcAttrValue::Chars("x\0".into())), "x".into());
        assert_eq!(value(NcAttrValue::Shorts(vec![3])), 3i64.into());
        assert_eq!(value(NcAttrValue::Floats(vec![0.5, 1.0])), vec![0.5f64, 1.0].into());
        assert_eq!(value(NcAttrValue::Floats(vec![0.1])), 0.1f64.into());
        assert_eq!(
            value(NcAttrValue::Floats(vec![f32::MAX, f32::INFINITY])),
            vec![3.402_823_5e38, f64::INFINITY].into()
        );
        assert_eq!(value(NcAttrValue::Ints(vec![])), Vec::<i64>::new().into());
        assert_eq!(value(NcAttrValue::UInt64s(vec![u64::MAX])).to_string(), u64::MAX.to_string());
    }
}
