//! The series that rows belong to.

use std::collections::HashMap;

/// Series that have colours which people can tell apart, at the most.
pub(in crate::plot) const MOST_SERIES: usize = 8;

/// The series of each row, by the texts of a column; all rows are one series without one.
pub(super) struct Series {
    /// In the order of their first rows.
    pub names: Vec<String>,
    /// The name of the column.
    label: Option<String>,
    of_rows: Vec<usize>,
}

/// What a picture says of its series.
#[derive(Debug, Default, PartialEq)]
pub(in crate::plot) enum Legend {
    #[default]
    None,
    /// The name of each.
    Names(Vec<String>),
    /// Too many to tell apart: their number and what they are.
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

    /// A series for each of several columns.
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
