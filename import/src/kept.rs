//! Cells of a file that cannot be reconstructed from the values of its dataset: a time that no
//! timestamp can represent, a second number for missing cells, text with other trailing blanks.
//! They are kept beside the dataset, so that its file can be written again.

use std::collections::BTreeMap;

use arrow::array::{Array, ArrayRef};
use arrow::compute::kernels::cmp::distinct;
use arrow::error::ArrowError;
use atlas::{AttributeValue, DType, Value};

use crate::notice::{Notice, NoticeClass};
use crate::piece::Piece;

/// The largest number of cells that are kept of a variable.
const MOST: usize = 1000;

/// The attribute of a dataset that holds its kept cells. It is a JSON object with a list for each
/// array. The entries are pairs of a position among the array's cells and the value in the file.
pub(crate) const ATTRIBUTE: &str = "_atlas_cells";

/// Cells of a variable, by position.
#[derive(Debug, Default)]
pub(crate) struct KeptCells {
    cells: Vec<(u64, Value)>,
    /// The number of cells that were found, including those above the limit.
    found: u64,
    /// The position of the first cell of the next slab.
    first: u64,
}

impl KeptCells {
    /// Keeps the numbers of a file that differ from `again`, the numbers that an export would
    /// write.
    pub(crate) fn numbers(&mut self, raw: &ArrayRef, again: &ArrayRef) -> Result<(), ArrowError> {
        let differ = distinct(raw, again)?;
        let Some(dtype) = DType::from_arrow(raw.data_type()) else { return Ok(()) };
        for place in differ.values().set_indices() {
            if let Some(value) = dtype.value(raw.as_ref(), place) {
                self.cell(place, value);
            }
        }
        Ok(())
    }

    /// Keeps a cell, given by its position in the next slab.
    pub(crate) fn cell(&mut self, place: usize, value: Value) {
        self.found += 1;
        if self.cells.len() < MOST {
            self.cells.push((self.first + place as u64, value));
        }
    }

    /// Advances by this many cells.
    pub(crate) fn advance(&mut self, cells: usize) {
        self.first += cells as u64;
    }

    /// The number of cells that differ.
    pub(crate) fn found(&self) -> u64 {
        self.found
    }

    /// The kept cells of a variable, if there are any. If there are too many, a notice that they
    /// are lost.
    pub(crate) fn piece(self, variable: &str) -> Option<Piece> {
        if self.found == 0 {
            return None;
        }
        if self.found <= MOST as u64 {
            return Some(Piece::KeptCells(variable.to_owned(), self.cells));
        }
        Some(Piece::Notice(Notice {
            class: NoticeClass::NotExact,
            subject: variable.to_owned(),
            detail: "an export gives other numbers or blanks, of the same meaning".to_owned(),
            cells: self.found,
        }))
    }
}

/// The kept cells of all arrays of a dataset.
pub(crate) type Kept = BTreeMap<String, Vec<(u64, Value)>>;

pub(crate) fn to_attribute(kept: &Kept) -> AttributeValue {
    // Names and values can always be serialised as JSON.
    serde_json::to_string(kept).unwrap_or_default().into()
}

/// Parses the attribute; empty if it cannot be parsed.
pub(crate) fn from_attribute(value: &AttributeValue) -> Kept {
    match value {
        AttributeValue::One(Value::String(text)) => serde_json::from_str(text).unwrap_or_default(),
        _ => Kept::default(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::Float64Array;

    use super::*;

    #[test]
    fn cells_that_differ_are_kept_with_their_places() {
        let array = |values: [f64; 4]| -> ArrayRef { Arc::new(Float64Array::from(values.to_vec())) };
        let mut kept = KeptCells::default();
        kept.numbers(&array([1.0, f64::NAN, 1e20, 2.0]), &array([1.0, f64::NAN, 0.0, 2.0])).unwrap();
        kept.advance(4);
        kept.numbers(&array([f64::INFINITY, 1.0, 1.0, 1.0]), &array([1.0; 4])).unwrap();
        let Some(Piece::KeptCells(_, cells)) = kept.piece("t") else { panic!("they are lost") };
        assert_eq!(cells, [(2, Value::F64(1e20)), (4, Value::F64(f64::INFINITY))]);
        let kept: Kept = [("t".to_owned(), cells)].into();
        assert_eq!(from_attribute(&to_attribute(&kept)), kept);
    }

    #[test]
    fn too_many_are_told() {
        assert!(KeptCells::default().piece("t").is_none());
        let mut kept = KeptCells::default();
        (0..=MOST).for_each(|place| kept.cell(place, Value::I64(0)));
        assert!(matches!(kept.piece("t"), Some(Piece::Notice(notice)) if notice.cells == 1001));
    }
}
