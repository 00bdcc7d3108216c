//! Missing cells: which stored values mark them (CF section 2.5.1), and which were never written.

use arrow::array::{Array, ArrayRef};
use arrow::compute::nullif;
use arrow::error::ArrowError;
use atlas::{DType, Value};
use netcdf_reader::{NcAttrValue, NcType};

use crate::MaskPolicy;
use crate::cf::{Number, Numbers, Packing, numbers};
use crate::notice::{Notice, NoticeClass};
use crate::piece::Variable;
use crate::valid::ValidRange;

/// The value with which the NetCDF libraries fill unwritten cells of a type (`NC_FILL_*`). `None`
/// for types of one byte, all of whose values are in use, and for text, whose fill value is the
/// empty text.
fn default_fill(raw: DType) -> Option<Number> {
    Some(match raw {
        DType::I16 => Number::Int(-32_767),
        DType::U16 => Number::Int(65_535),
        DType::I32 => Number::Int(-2_147_483_647),
        DType::U32 => Number::Int(4_294_967_295),
        DType::I64 => Number::Int(-9_223_372_036_854_775_806),
        DType::U64 => Number::Int(18_446_744_073_709_551_614),
        DType::F32 | DType::F64 => Number::Float(9.969_209_968_386_869e36),
        _ => return None,
    })
}

/// The default fill value as an element of its type.
pub(crate) fn default_of(raw: DType) -> Option<Value> {
    default_fill(raw).and_then(|number| number.element(raw))
}

/// Finds the missing cells of a numeric variable in its stored numbers.
pub(crate) struct Missing {
    stored: DType,
    /// The values of `_FillValue` and `missing_value`.
    declared: Vec<Value>,
    /// The value of unwritten cells.
    default: Option<Value>,
    range: Option<ValidRange>,
    policy: MaskPolicy,
    defaults: u64,
    outside: u64,
    bad: Vec<String>,
}

impl Missing {
    /// The missing cells of a variable that has type `raw` in the file and type `stored` once
    /// `_Unsigned` is applied. Violations of the conventions in its other attributes are added to
    /// `bad`.
    pub(crate) fn of(
        variable: &Variable,
        (raw, stored): (DType, DType),
        packing: Option<&Packing>,
        (unwritten, valid_range): (MaskPolicy, MaskPolicy),
        mut bad: Vec<String>,
    ) -> Self {
        let mut declared: Vec<Value> = Vec::new();
        let mut has_fill = false;
        for name in ["_FillValue", "missing_value"] {
            let read = |value| Numbers::read(name, value, &mut bad);
            let numbers = variable.attribute(name).and_then(read);
            let elements = numbers.iter().flat_map(|numbers| numbers.as_stored(stored));
            for element in elements.map(|number| number.element(stored)) {
                match element {
                    Some(value) => {
                        has_fill |= name == "_FillValue";
                        declared.extend((!declared.contains(&value)).then_some(value));
                    }
                    None => bad.push(format!("`{name}` has a number that is no {stored}: it is ignored")),
                }
            }
        }
        let filled = unwritten == MaskPolicy::Mask && !has_fill;
        let default = default_fill(raw).filter(|_| filled).and_then(|number| {
            Numbers { values: vec![number], dtype: Some(raw) }.as_stored(stored).next()?.element(stored)
        });
        let range = ValidRange::of(|name| variable.attribute(name), stored, packing, &mut bad);
        Self { stored, declared, default, range, policy: valid_range, defaults: 0, outside: 0, bad }
    }

    /// A stored number that marks missing cells, if there is one.
    pub(crate) fn fill(&self) -> Option<&Value> {
        self.declared.first().or(self.default.as_ref())
    }

    /// True if NaN marks missing cells.
    pub(crate) fn has_nan(&self) -> bool {
        self.declared.iter().any(Value::is_nan)
    }

    /// True if at most one number marks missing cells.
    pub(crate) fn is_one_number(&self) -> bool {
        let numbers = self.declared.len() + usize::from(self.default.is_some());
        numbers <= 1 && (self.range.is_none() || self.policy == MaskPolicy::Keep)
    }

    /// Makes missing cells null; the others stay as stored.
    pub(crate) fn mask(&mut self, cells: &ArrayRef) -> Result<ArrayRef, ArrowError> {
        let mask = |cells: ArrayRef, fill: &Value| self.stored.mask(&cells, fill);
        let written = self.declared.iter().fold(ArrayRef::clone(cells), mask);
        let masked = self.default.iter().fold(ArrayRef::clone(&written), mask);
        self.defaults += (masked.null_count() - written.null_count()) as u64;
        let Some(range) = &self.range else { return Ok(masked) };
        let outside = range.outside(self.stored, &masked);
        self.outside += outside.true_count() as u64;
        match self.policy {
            MaskPolicy::Mask => nullif(&masked, &outside),
            MaskPolicy::Keep => Ok(masked),
        }
    }

    /// Notices about all cells that were masked.
    pub(crate) fn notices(self, subject: &str) -> impl Iterator<Item = Notice> {
        let outside = match self.policy {
            MaskPolicy::Keep => "kept",
            MaskPolicy::Mask => "made missing",
        };
        let counts = [
            (NoticeClass::DefaultFill, "made missing", self.defaults),
            (NoticeClass::OutsideValidRange, outside, self.outside),
        ];
        let subject = subject.to_owned();
        let counts = counts.into_iter().filter(|(_, _, cells)| *cells > 0);
        let counts = counts.map(|(class, detail, cells)| (class, detail.to_owned(), cells));
        let bad = self.bad.into_iter().map(|detail| (NoticeClass::BadAttribute, detail, 0));
        counts.chain(bad).map(move |(class, detail, cells)| Notice {
            class,
            subject: subject.clone(),
            detail,
            cells,
        })
    }
}

/// The missing cells of a text variable: those equal to `_FillValue` or `missing_value`.
///
/// Empty strings and unwritten characters are values: only declared fill values are missing.
pub(crate) struct MissingText {
    fills: Vec<String>,
}

impl MissingText {
    pub(crate) fn of(variable: &Variable) -> Self {
        let fills = ["_FillValue", "missing_value"].into_iter().filter_map(|name| variable.attribute(name));
        Self { fills: fills.flat_map(texts).collect() }
    }

    /// Converts a cell of a string variable.
    pub(crate) fn string(&self, text: String) -> Option<String> {
        Some(text).filter(|text| !self.fills.contains(text))
    }

    /// Converts a cell of a variable in which each character is a cell.
    pub(crate) fn character(&self, character: char) -> Option<String> {
        self.string(character.to_string().trim_end_matches('\0').to_owned())
    }

    /// Converts a string that fills its dimension: removes trailing blanks and NULs. The string is
    /// missing if it equals a fill value, or if a fill value is one character and all characters of
    /// the string equal it.
    pub(crate) fn joined(&self, text: &str) -> Option<String> {
        let trimmed = text.trim_end_matches(['\0', ' ']);
        let missing = self.fills.iter().any(|fill| {
            let mut fill_characters = fill.chars();
            match (fill_characters.next(), fill_characters.next()) {
                (first, None) => {
                    let fill = first.unwrap_or('\0');
                    !text.is_empty() && text.chars().all(|character| character == fill)
                }
                _ => trimmed == fill.trim_end_matches(['\0', ' ']),
            }
        });
        (!missing).then(|| trimmed.to_owned())
    }

    /// The text of a missing cell in the file.
    pub(crate) fn text(&self) -> Option<&str> {
        self.fills.first().map(String::as_str)
    }

    /// The fill value of an array of strings, or of single characters; no other cell has it.
    pub(crate) fn fill(&self) -> Option<Value> {
        self.fills.first().cloned().map(Value::String)
    }
}

/// The texts of a fill attribute; its numbers are character codes. Trailing NULs are removed, so a
/// text of NULs becomes empty.
fn texts(value: &NcAttrValue) -> Vec<String> {
    let text = |text: &String| text.trim_end_matches('\0').to_owned();
    match value {
        NcAttrValue::Chars(value) => vec![text(value)],
        NcAttrValue::Strings(values) => values.iter().map(text).collect(),
        value => {
            let codes = numbers(value).into_iter().filter_map(|number| match number {
                Number::Int(code) => u8::try_from(code.rem_euclid(256)).ok(),
                Number::Float(_) => None,
            });
            codes.map(|code| text(&char::from(code).to_string())).collect()
        }
    }
}

/// The missing cells of an enumeration variable.
pub(crate) struct MissingMembers {
    values: Vec<i128>,
    names: Vec<String>,
}

impl MissingMembers {
    /// The values of `_FillValue` and `missing_value`, given as numbers or as names of members. If
    /// there are none, the default fill value of the underlying type, unless it is a member.
    pub(crate) fn of(variable: &Variable, unwritten: MaskPolicy) -> Self {
        let declared: Vec<_> =
            ["_FillValue", "missing_value"].into_iter().filter_map(|name| variable.attribute(name)).collect();
        let int = |number: Number| match number {
            Number::Int(value) => Some(value),
            Number::Float(_) => None,
        };
        let mut values: Vec<i128> = declared.iter().copied().flat_map(numbers).filter_map(int).collect();
        let names = declared.iter().filter_map(|value| value.as_string()).collect();
        if let NcType::Enum { base, members } = variable.source.dtype()
            && variable.attribute("_FillValue").is_none()
            && unwritten == MaskPolicy::Mask
            && let Some(default) = crate::cf::raw_type(base).ok().and_then(default_fill).and_then(int)
            && members.iter().all(|member| member.value.as_i128() != Some(default))
        {
            values.push(default);
        }
        Self { values, names }
    }

    /// The number of a missing cell.
    pub(crate) fn number(&self) -> Option<i128> {
        self.values.first().copied()
    }

    /// The name of a member that marks missing cells.
    pub(crate) fn name(&self) -> Option<&str> {
        self.names.first().map(String::as_str)
    }

    /// True if a cell with that value, which may be the value of a member, is missing.
    pub(crate) fn contains(&self, value: Option<i128>, member: Option<&String>) -> bool {
        value.is_some_and(|value| self.values.contains(&value))
            || member.is_some_and(|member| self.names.contains(member))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fills(values: &[&str]) -> MissingText {
        MissingText { fills: values.iter().map(ToString::to_string).collect() }
    }

    fn padded(text: &str, length: usize) -> String {
        text.chars().chain(std::iter::repeat('\0')).take(length).collect()
    }

    #[test]
    fn joined_characters_are_missing_where_all_of_them_are_the_fill_value() {
        let dash = fills(&["-"]);
        for (text, expected) in [
            ("-----", None),
            ("----", Some("----")),
            ("-", Some("-")),
            ("", Some("")),
            ("     ", Some("")),
            ("  x  ", Some("  x")),
            ("ab\0cd", Some("ab\0cd")),
        ] {
            assert_eq!(dash.joined(&padded(text, 5)).as_deref(), expected, "{text:?}");
        }
        let blank = fills(&[" "]);
        assert_eq!(
            (blank.joined("   "), blank.joined("\0\0\0"), blank.joined("")),
            (None, Some(String::new()), Some(String::new()))
        );
        // The attribute is a NUL, which the reader returns as an empty text.
        let nul = fills(&[""]);
        assert_eq!((nul.joined("\0\0\0"), nul.joined("a\0\0").as_deref()), (None, Some("a")));
        let words = fills(&["NA", "none"]);
        assert_eq!(
            (words.joined("NA "), words.joined("none\0"), words.joined("N\0\0").as_deref()),
            (None, None, Some("N"))
        );
        assert_eq!(fills(&[]).joined("\0\0\0").as_deref(), Some(""));
    }

    #[test]
    fn characters_are_what_they_are() {
        let dash = fills(&["-"]);
        let cells = ['1', '-', '0', ' ', '\0'].map(|character| dash.character(character));
        assert_eq!(cells.each_ref().map(Option::as_deref), [Some("1"), None, Some("0"), Some(" "), Some("")]);
        assert_eq!(fills(&[""]).character('\0'), None);
        assert_eq!(texts(&NcAttrValue::Bytes(vec![45, 0])), ["-", ""]);
        assert_eq!(texts(&NcAttrValue::Chars("-\0".into())), ["-"]);
    }

    #[test]
    fn default_fills_are_those_of_netcdf() {
        for (dtype, expected) in [
            (DType::I16, Value::I64(-32_767)),
            (DType::U64, Value::U64(u64::MAX - 1)),
            (DType::I64, Value::I64(i64::MIN + 2)),
            (DType::U32, Value::U64(u32::MAX.into())),
            (DType::F32, Value::F64(f64::from(f32::from_bits(0x7cf0_0000)))),
            (DType::F64, Value::F64(f64::from_bits(0x479e_0000_0000_0000))),
        ] {
            assert_eq!(default_fill(dtype).and_then(|number| number.element(dtype)), Some(expected));
        }
        assert!([DType::I8, DType::U8, DType::String].map(default_fill).iter().all(Option::is_none));
    }
}
