//! Texts as arguments.

use arrow::array::{Array, AsArray, StringArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::logical_expr::ColumnarValue;

/// Texts for rows: one for each row, or one for all rows.
pub struct Texts(StringArray, bool);

impl Texts {
    /// The texts of an argument.
    pub fn new(argument: &ColumnarValue) -> Result<Self> {
        let one = matches!(argument, ColumnarValue::Scalar(_));
        let texts = cast(&argument.to_array(1)?, &DataType::Utf8)?;
        Ok(Self(texts.as_string::<i32>().clone(), one))
    }

    /// The text of a row; `None` if it is NULL.
    pub fn get(&self, row: usize) -> Option<&str> {
        let row = if self.1 { 0 } else { row };
        self.0.is_valid(row).then(|| self.0.value(row))
    }

    /// The same without surrounding blanks; `None` also if nothing is left.
    pub fn word(&self, row: usize) -> Option<&str> {
        self.get(row).map(str::trim).filter(|word| !word.is_empty())
    }
}
