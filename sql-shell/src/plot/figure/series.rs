//! Assigns rows to series.

use std::collections::HashMap;

/// The largest number of series with distinguishable colours.
pub(in crate::plot) const MOST_SERIES: usize = 8;

/// The series of each row, by the texts of a column. Without such a column, all rows are one
/// series.
pub(super) struct Series {
    /// The names, in the order of their first rows.
    pub names: Vec<String>,
    /// The name of the column.
    label: Option<String>,
    of_rows: Vec<usize>,
}

/// The legend of a figure's series.
#[derive(Debug, Default, PartialEq)]
pub(in crate::plot) enum Legend {
    #[default]
    None,
    /// The name of each.
    Names(Vec<String>),
    /// Too many series to distinguish: their number, and the name of the column.
    Count(usize, String),
}

impl Series {
    pub(super) fn new(column: Option<(String, Vec<String>)>) -> Self {
        let Some((label, texts)) = column else {
            return Self { names: vec![String::new()], label: None, of_rows: Vec::new() };
        };
        let mut places: HashMap<String, usize> = HashMap::new();
        let mut names = Vec::new();
        let of_row = |text: String| {
            *places.entry(text).or_insert_with_key(|name| {
                names.push(name.clone());
                names.len() - 1
            })
        };
        let of_rows = texts.into_iter().map(of_row).collect();
        Self { names, label: Some(label), of_rows }
    }

    /// One series for each of several columns.
    pub(super) fn of_columns(names: Vec<String>, rows: usize) -> Self {
        let of_rows = (0..names.len()).flat_map(|column| std::iter::repeat_n(column, rows)).collect();
        Self { names, label: Some(String::new()), of_rows }
    }

    /// The series of a row.
    pub(super) fn of(&self, row: usize) -> usize {
        self.of_rows.get(row).copied().unwrap_or(0)
    }

    pub(super) fn of_rows(&self) -> &[usize] {
        &self.of_rows
    }

    pub(super) fn legend(&self) -> Legend {
        match &self.label {
            None => Legend::None,
            Some(label) if self.names.len() > MOST_SERIES => Legend::Count(self.names.len(), label.clone()),
            Some(_) => Legend::Names(self.names.clone()),
        }
    }
}
