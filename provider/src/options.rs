//! How a store is shown as tables.

/// How a store is shown as tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableOptions {
    /// The dimensions of the wide table, slowest first; without them, those of the primary grid.
    pub dimensions: Option<Vec<String>>,
    /// Whether the wide table has the datasets' attributes as columns.
    pub attributes: bool,
    /// Whether NaN is read as NULL, so that means of data with NaN are numbers.
    pub nan_as_null: bool,
}

impl Default for TableOptions {
    fn default() -> Self {
        Self { dimensions: None, attributes: true, nan_as_null: true }
    }
}
