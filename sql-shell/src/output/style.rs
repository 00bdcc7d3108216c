//! Formats of results, and how results are displayed.

use std::path::Path;

use clap::ValueEnum;

/// Represents missing values in output for people.
pub(super) const NULL: &str = "NULL";

/// How results are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Aligned columns in a frame.
    #[default]
    Table,
    /// Comma-separated values with a header.
    Csv,
    /// Tab-separated values with a header.
    Tsv,
    /// One JSON array of objects.
    Json,
    /// One JSON object on each line.
    Ndjson,
    /// A Markdown table.
    Markdown,
    /// A Parquet file.
    Parquet,
    /// An Arrow IPC file.
    Arrow,
}

impl Format {
    /// Whether the format is binary, and unsuitable for a terminal.
    pub(crate) fn is_binary(self) -> bool {
        matches!(self, Self::Parquet | Self::Arrow)
    }

    /// Whether a file in this format can hold only one result.
    pub(crate) fn is_of_one_result(self) -> bool {
        self.is_binary() || self == Self::Json
    }

    /// The format for the ending of a file's name.
    pub(crate) fn of_file(path: &Path) -> Option<Self> {
        Some(match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "csv" => Self::Csv,
            "tsv" | "tab" => Self::Tsv,
            "json" => Self::Json,
            "ndjson" | "jsonl" => Self::Ndjson,
            "md" | "markdown" => Self::Markdown,
            "parquet" => Self::Parquet,
            "arrow" | "feather" | "ipc" => Self::Arrow,
            "txt" => Self::Table,
            _ => return None,
        })
    }
}

/// The metadata key for the units of a field.
pub(crate) const UNITS: &str = "units";

/// How results are displayed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Style {
    pub format: Format,
    /// Whether a table has a line for each column of each row.
    pub expanded: bool,
    /// The number of rows that a table shows at most, from its start and its end. The other rows
    /// are counted.
    pub limit: Option<usize>,
    /// The width to which a table is fitted.
    pub width: Option<usize>,
    /// Whether everything but values is dimmed.
    pub dim: bool,
    /// Whether the result belongs to a query. Its table shows the types and units of columns, and a
    /// hint how to show all of it.
    pub of_query: bool,
}

impl Style {
    /// The whole result in a format.
    pub(crate) fn whole(format: Format) -> Self {
        Self { format, ..Self::default() }
    }
}

/// Dims text, if the terminal supports it.
pub(super) fn dimmed(text: &str, dim: bool) -> String {
    if dim { format!("\x1b[2m{text}\x1b[22m") } else { text.to_owned() }
}
