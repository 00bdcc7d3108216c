//! Variables of text: character arrays, strings and enumerations.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, StringViewArray};
use atlas::Value;
use netcdf_reader::NcType;

use crate::MaskPolicy;
use crate::encoding::TextEncoding;
use crate::fill::{MissingMembers, MissingText};
use crate::kept::KeptCells;
use crate::notice::{Notice, NoticeClass};
use crate::piece::Variable;
use crate::reader::File;

/// Reads a text variable, and counts the cells that violate the declared encoding.
pub(crate) struct TextReader<'a> {
    file: &'a File,
    variable: &'a Variable<'a>,
    /// Whether the last dimension is the length of strings.
    joined: bool,
    missing: MissingText,
    /// The missing cells of an enumeration.
    missing_members: MissingMembers,
    decoded: u64,
    /// Cells whose characters an export would not restore: if strings are padded with the usual
    /// character, and with the other one.
    kept: [KeptCells; 2],
}

impl<'a> TextReader<'a> {
    /// A reader of a variable; `unwritten` says what to do with unwritten cells.
    pub fn new(file: &'a File, variable: &'a Variable<'a>, joined: bool, unwritten: MaskPolicy) -> Self {
        let missing_members = MissingMembers::of(variable, unwritten);
        let kept = [KeptCells::default(), KeptCells::default()];
        Self { file, variable, joined, missing: MissingText::of(variable), missing_members, decoded: 0, kept }
    }

    /// The fill value of the array, if it has one that no other cell has.
    pub fn fill(&self) -> Option<Value> {
        match self.variable.source.dtype() {
            NcType::Char if self.joined => None,
            NcType::Char | NcType::String => self.missing.fill(),
            _ => None,
        }
    }

    /// The approximate number of bytes of memory that the cells of one row take.
    pub fn row_bytes(&self) -> usize {
        let cell = if *self.variable.source.dtype() == NcType::Char { 1 } else { 32 };
        self.variable.shape().iter().skip(1).fold(cell, |bytes, &size| bytes.saturating_mul(size))
    }

    /// All cells.
    pub fn all(&mut self) -> Result<ArrayRef, String> {
        let rows = self.variable.dims.first().map_or(1, |&(_, size)| size);
        self.rows(0..rows)
    }

    /// The cells with `rows` as their first index.
    pub fn rows(&mut self, rows: Range<usize>) -> Result<ArrayRef, String> {
        match self.variable.source.dtype() {
            NcType::Char => self.characters(rows),
            NcType::String => {
                let strings = self.file.read_strings(self.variable.id, rows)?;
                let cells = strings.iter().map(|bytes| {
                    let text = self.decode(bytes);
                    self.missing.string(text)
                });
                Ok(Arc::new(cells.collect::<StringViewArray>()))
            }
            NcType::Enum { base, .. } => self.members(base, rows),
            other => Err(format!("{other:?} is no type of text")),
        }
    }

    /// A notice about the cells that were read, if needed.
    pub fn notice(&self) -> Option<Notice> {
        (self.decoded > 0).then(|| Notice {
            class: NoticeClass::TextDecoded,
            subject: self.variable.name.clone(),
            detail: "its text is not encoded as declared, or as UTF-8, and taken as Windows-1252".to_owned(),
            cells: self.decoded,
        })
    }

    fn decode(&mut self, bytes: &[u8]) -> String {
        let (text, other) = self.variable.source.encoding.decode(bytes);
        self.decoded += u64::from(other);
        text.into_owned()
    }

    /// Reads characters. If the last dimension is a string length, they form strings along it;
    /// otherwise each character is a cell. The bytes of a string are joined before they are
    /// decoded, since a character may consist of several bytes.
    fn characters(&mut self, rows: Range<usize>) -> Result<ArrayRef, String> {
        let count = rows.len();
        let bytes = self.file.read::<u8>(self.variable.id, rows)?;
        let length = if self.joined { self.variable.dims.last().map_or(1, |&(_, size)| size) } else { 1 };
        if length == 0 {
            // Strings of length zero; if the length is the only dimension, there is one string.
            let shape = self.variable.shape();
            let inner = shape.get(1..shape.len().saturating_sub(1)).unwrap_or_default();
            let cells = if shape.len() == 1 { 1 } else { inner.iter().product::<usize>() * count };
            return Ok(Arc::new(StringViewArray::from_iter_values(std::iter::repeat_n("", cells))));
        }
        let cells = bytes.chunks(length).map(|bytes| {
            let text = self.decode(bytes);
            characters_of(&self.missing, &text, self.joined)
        });
        let cells: StringViewArray = cells.collect();
        let codec = CharCodec::new(self.variable, self.joined);
        let pads = [codec.usual_pad(), codec.other_pad()];
        for (kept, pad) in self.kept.iter_mut().zip(pads) {
            for (place, (raw, cell)) in bytes.chunks(length).zip(&cells).enumerate() {
                if codec.encode(cell, pad) != raw {
                    kept.cell(place, Value::Binary(raw.to_vec()));
                }
            }
            kept.advance(cells.len());
        }
        Ok(Arc::new(cells))
    }

    /// The cells to keep, and the character that pads strings, if it is not the usual one.
    pub fn kept(&mut self) -> (KeptCells, Option<char>) {
        let [usual, other] = std::mem::take(&mut self.kept);
        if other.found() < usual.found() {
            let codec = CharCodec::new(self.variable, self.joined);
            (other, Some(char::from(codec.other_pad())))
        } else {
            (usual, None)
        }
    }

    /// The names of an enumeration's members, or the numbers that have no name. Missing cells are
    /// null.
    fn members(&self, base: &NcType, rows: Range<usize>) -> Result<ArrayRef, String> {
        fn numbers<T: crate::reader::Stored + Into<i128>>(
            file: &File,
            id: usize,
            rows: Range<usize>,
        ) -> Result<Vec<i128>, String> {
            Ok(file.read::<T>(id, rows)?.into_iter().map(Into::into).collect())
        }
        let (file, id) = (self.file, self.variable.id);
        let numbers = match base {
            NcType::Byte => numbers::<i8>(file, id, rows),
            NcType::UByte => numbers::<u8>(file, id, rows),
            NcType::Short => numbers::<i16>(file, id, rows),
            NcType::UShort => numbers::<u16>(file, id, rows),
            NcType::Int => numbers::<i32>(file, id, rows),
            NcType::UInt => numbers::<u32>(file, id, rows),
            NcType::Int64 => numbers::<i64>(file, id, rows),
            _ => numbers::<u64>(file, id, rows),
        }?;
        let NcType::Enum { members, .. } = self.variable.source.dtype() else {
            return Err("it has no members".to_owned());
        };
        let names: HashMap<i128, &String> =
            members.iter().filter_map(|member| Some((member.value.as_i128()?, &member.name))).collect();
        let cells = numbers.into_iter().map(|number| {
            let name = names.get(&number).copied();
            let missing = self.missing_members.contains(Some(number), name);
            (!missing).then(|| name.map_or_else(|| number.to_string(), String::clone))
        });
        Ok(Arc::new(cells.collect::<StringViewArray>()))
    }
}

/// Converts characters to a cell: a string if the last dimension is a string length, else one
/// character.
fn characters_of(missing: &MissingText, text: &str, joined: bool) -> Option<String> {
    match (joined, text.chars().next()) {
        (false, Some(character)) => missing.character(character),
        _ => missing.joined(text),
    }
}

/// Encodes strings as characters of a file, and decodes them.
pub(crate) struct CharCodec {
    encoding: TextEncoding,
    missing: MissingText,
    /// The number of characters of a cell.
    length: usize,
    joined: bool,
}

impl CharCodec {
    pub(crate) fn new(variable: &Variable, joined: bool) -> Self {
        let length = if joined { variable.dims.last().map_or(1, |&(_, size)| size) } else { 1 };
        Self { encoding: variable.source.encoding, missing: MissingText::of(variable), length, joined }
    }

    /// The usual padding of strings with this fill value.
    pub(crate) fn usual_pad(&self) -> u8 {
        if self.missing.text() == Some(" ") { b' ' } else { 0 }
    }

    /// The other character that pads strings.
    pub(crate) fn other_pad(&self) -> u8 {
        if self.usual_pad() == 0 { b' ' } else { 0 }
    }

    /// Encodes a cell, padded with `pad`. A missing cell consists of fill characters.
    pub(crate) fn encode(&self, cell: Option<&str>, pad: u8) -> Vec<u8> {
        let missing = self.missing.text();
        let is_one = |text: &str| text.chars().nth(1).is_none();
        let (text, pad) = match (cell, missing) {
            (Some(text), _) => (text, pad),
            (None, Some(fill)) if is_one(fill) => {
                (fill, self.encoding.encode(fill).first().copied().unwrap_or(0))
            }
            (None, fill) => (fill.unwrap_or_default(), pad),
        };
        let mut bytes = self.encoding.encode(text).into_owned();
        bytes.resize(self.length, pad);
        bytes
    }

    /// Decodes the characters of a file to a cell.
    pub(crate) fn decode(&self, bytes: &[u8]) -> Option<String> {
        characters_of(&self.missing, &self.encoding.decode(bytes).0, self.joined)
    }
}

/// Converts names of members to the numbers of an enumeration.
pub(crate) fn members(variable: &Variable, cells: &StringViewArray) -> Result<Vec<i128>, String> {
    let NcType::Enum { members, .. } = variable.source.dtype() else {
        return Err("it has no members".to_owned());
    };
    let numbers: HashMap<&str, i128> =
        members.iter().filter_map(|member| Some((member.name.as_str(), member.value.as_i128()?))).collect();
    let missing = MissingMembers::of(variable, MaskPolicy::Mask);
    let named = |name: &str| numbers.get(name).copied().or_else(|| name.parse().ok());
    let missing = missing.number().or_else(|| named(missing.name()?)).unwrap_or(0);
    let number = |cell: Option<&str>| match cell {
        None => Ok(missing),
        Some(name) => named(name).ok_or_else(|| format!("`{name}` is no member of its enumeration")),
    };
    cells.iter().map(number).collect()
}
