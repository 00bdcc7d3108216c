//! The kinds of a store's tables.

use atlas::Catalog;

use crate::tables::layout::Layout;
use crate::tables::options::TableOptions;

/// The kind of a table. The kind and the catalog determine the layout.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TableKind {
    /// The wide table over dimensions, slowest first, with or without the datasets' attributes.
    Wide { dims: Vec<String>, attributes: bool },
    /// The cells of one variable.
    Variable(String),
}

impl TableKind {
    /// The rows and columns of the table.
    pub fn layout(&self, catalog: &Catalog) -> Layout {
        match self {
            Self::Wide { dims, attributes } => {
                let options = TableOptions { attributes: *attributes, ..TableOptions::default() };
                Layout::wide(catalog, dims, &options)
            }
            Self::Variable(name) => Layout::of_variable(catalog, name),
        }
    }
}
