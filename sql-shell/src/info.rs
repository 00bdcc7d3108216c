//! `atlas info`.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;

use arrow::json::ArrayWriter;
use atlas::{Atlas, Catalog, Snapshot};
use atlas_datafusion::{AtlasTable, Grid, TableOptions, grid_table_names, grids, register_store};
use atlas_import::NoticeSummary;
use datafusion::physical_plan::execute_stream;
use datafusion::prelude::SessionContext;
use serde_json::{Value, json};

use crate::error::Result;
use crate::output::{self, Bytes, Format, Style, count};
use crate::printable::Printable;
use crate::report;
use crate::session::new_context;

const VARIABLES: &str = "
    SELECT name, dtype, dims, datasets, cells, missing, chunks, stored_bytes AS bytes,
           round(CAST(raw_bytes AS DOUBLE) / nullif(stored_bytes, 0), 2) AS ratio, units
    FROM atlas._variables";

/// The same for people. Times of each dataset may count from another moment, and all these units
/// fill no table.
const VARIABLES_SHORT: &str = "
    SELECT * REPLACE (CASE WHEN character_length(units) > 60 THEN concat(left(units, 59), '…') ELSE units END AS units)
    FROM";

/// Lists what imports into the store did not take literally.
pub(crate) async fn import_report(location: &str) -> Result<()> {
    let atlas = Atlas::open_url(location).await?;
    let notices = NoticeSummary::of_store(atlas.snapshot().root())?;
    let mut out = io::stdout();
    if notices.is_empty() {
        writeln!(out, "every import took everything literally")?;
    }
    report::write(&mut out, &notices, usize::MAX)?;
    Ok(())
}

/// A store with everything that is reported about it.
struct About {
    atlas: Atlas,
    snapshot: Arc<Snapshot>,
    catalog: Arc<Catalog>,
    session: SessionContext,
}

impl About {
    async fn open(location: &str) -> Result<Self> {
        let atlas = Atlas::open_url(location).await?;
        let snapshot = atlas.snapshot();
        let catalog = snapshot.load().await?;
        let (session, _) = new_context(None, &Default::default())?;
        register_store(&session, "atlas", &atlas)?;
        Ok(Self { atlas, snapshot, catalog, session })
    }

    /// The number of bytes of all segments.
    fn stored(&self) -> u64 {
        self.catalog.variables().flat_map(|(_, segments)| segments).map(|segment| segment.size).sum()
    }

    /// The grids, each with its table and its number of rows.
    fn grids(&self) -> Result<Vec<(String, Grid, u64)>> {
        let grids = grids(&self.catalog);
        let further = grid_table_names(grids.get(1..).unwrap_or_default()).into_iter();
        let names = std::iter::once("atlas".to_owned()).chain(further.map(|name| format!("atlas.{name}")));
        let mut counted = Vec::with_capacity(grids.len());
        for (name, grid) in names.zip(grids) {
            let options = TableOptions { dimensions: Some(grid.dims.clone()), ..TableOptions::default() };
            let rows = AtlasTable::wide(&name, Arc::clone(&self.snapshot), &options)?.all_rows();
            counted.push((name, grid, rows));
        }
        Ok(counted)
    }
}

pub(crate) async fn run(location: &str) -> Result<()> {
    let about = About::open(location).await?;
    let mut out = Printable::new(io::stdout());
    writeln!(
        out,
        "{}: {}, {}, {} in segments, generation {}, codec {}",
        about.atlas.storage(),
        count(about.catalog.dataset_count(), "dataset"),
        count(about.atlas.list_arrays()?.len(), "variable"),
        Bytes(about.stored()),
        about.catalog.generation(),
        about.catalog.codec()
    )?;
    writeln!(out, "\nGrids, the primary one first, with the rows that count(*) gives:")?;
    for (name, grid, rows) in about.grids()? {
        let rows = count(usize::try_from(rows).unwrap_or(usize::MAX), "row");
        writeln!(out, "  {name} ({}): {rows}", grid.dims.join(", "))?;
    }
    writeln!(out, "\nVariables (ratio: bytes of raw values to bytes stored):")?;
    let plan =
        about.session.sql(&format!("{VARIABLES_SHORT} ({VARIABLES})")).await?.create_physical_plan().await?;
    let is_terminal = io::stdout().is_terminal();
    let width = terminal_size::terminal_size().filter(|_| is_terminal).map(|(width, _)| width.0.into());
    let style = Style { width, ..Style::whole(Format::Table) };
    output::write(execute_stream(plan, about.session.task_ctx())?, style, &mut out).await?;
    Ok(())
}

/// Writes the same description as one JSON object.
pub(crate) async fn run_json(location: &str) -> Result<()> {
    let about = About::open(location).await?;
    let mut variables = ArrayWriter::new(Vec::new());
    for batch in about.session.sql(VARIABLES).await?.collect().await? {
        variables.write(&batch)?;
    }
    variables.finish()?;
    let variables: Value = serde_json::from_slice(&variables.into_inner()).unwrap_or_else(|_| json!([]));
    let grids = about.grids()?.into_iter();
    let grids: Vec<Value> =
        grids.map(|(table, grid, rows)| json!({"table": table, "dims": grid.dims, "rows": rows})).collect();
    let all = json!({
        "location": about.atlas.storage().to_string(),
        "datasets": about.catalog.dataset_count(),
        "stored_bytes": about.stored(),
        "generation": about.catalog.generation(),
        "codec": about.catalog.codec().to_string(),
        "grids": grids,
        "variables": variables,
    });
    Ok(writeln!(io::stdout(), "{all:#}")?)
}
