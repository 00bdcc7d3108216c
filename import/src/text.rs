//! Variables of text: character arrays, strings and enumerations.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, StringViewArray};
use atlas::Value;
use netcdf_reader::NcType;

use crate::MaskPolicy;
use crate::fill::{MissingMembers, MissingText};
use crate::netcdf::Variable;
use crate::notice::{Notice, NoticeClass};
use crate::reader::File;

/// Reads a variable of text, and counts the cells that are not encoded as declared.
pub(crate) struct TextReader<'a> {
    file: &'a File,
    variable: &'a Variable<'a>,
    /// Whether the last dimension is the length of strings.
    joined: bool,
    missing: MissingText,
    /// Of an enumeration.
    missing_members: MissingMembers,
    decoded: u64,
}

impl<'a> TextReader<'a> {
    /// A reader of a variable; `unwritten` says what becomes of cells that nobody has written.
    pub fn new(file: &'a File, variable: &'a Variable<'a>, joined: bool, unwritten: MaskPolicy) -> Self {
        let missing_members = MissingMembers::of(variable, unwritten);
        Self { file, variable, joined, missing: MissingText::of(variable), missing_members, decoded: 0 }
    }

    /// The fill value of the array, if it has one that no other cell has.
    pub fn fill(&self) -> Option<Value> {
        match self.variable.source.dtype() {
            NcType::Char if self.joined => None,
            NcType::Char | NcType::String => self.missing.fill(),
            _ => None,
        }
    }

    /// Bytes of memory that the cells of one row take, about.
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

    /// What is to be said of the cells read.
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

    /// Characters: strings along the last dimension where that is their length, else each a cell.
    /// The bytes of a string are put together before they are decoded, since a character may have
    /// several.
    fn characters(&mut self, rows: Range<usize>) -> Result<ArrayRef, String> {
        let count = rows.len();
        let bytes = self.file.read::<u8>(self.variable.id, rows)?;
        let length = if self.joined { self.variable.dims.last().map_or(1, |&(_, size)| size) } else { 1 };
        if length == 0 {
            // Strings without characters; there is one where the length is the only dimension.
            let shape = self.variable.shape();
            let inner = shape.get(1..shape.len().saturating_sub(1)).unwrap_or_default();
            let cells = if shape.len() == 1 { 1 } else { inner.iter().product::<usize>() * count };
            return Ok(Arc::new(StringViewArray::from_iter_values(std::iter::repeat_n("", cells))));
        }
        let cells = bytes.chunks(length).map(|bytes| {
            let text = self.decode(bytes);
            match (self.joined, text.chars().next()) {
                (false, Some(character)) => self.missing.character(character),
                _ => self.missing.joined(&text),
            }
        });
        Ok(Arc::new(cells.collect::<StringViewArray>()))
    }

    /// The names of an enumeration's members; the number where one has no name. Null where it is
    /// missing.
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
