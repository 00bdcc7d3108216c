//! `atlas info`.

use std::io::{self, Write};

use atlas::Atlas;
use atlas_datafusion::{grids, register_store};
use atlas_import::NoticeSummary;
use datafusion::physical_plan::execute_stream;

use crate::error::Result;
use crate::output::{self, Bytes, Format, Style, count};
use crate::printable::Printable;
use crate::report;
use crate::session::new_context;

const VARIABLES: &str = "
    SELECT name, dtype, dims, datasets, cells, missing, chunks, stored_bytes AS bytes,
           round(CAST(raw_bytes AS DOUBLE) / nullif(stored_bytes, 0), 2) AS ratio, units
    FROM atlas._variables";

/// What imports into the store did not take literally.
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

pub(crate) async fn run(location: &str) -> Result<()> {
    let atlas = Atlas::open_url(location).await?;
    let snapshot = atlas.snapshot();
    let catalog = snapshot.load().await?;
    let stored: u64 =
        catalog.variables().flat_map(|(_, segments)| segments).map(|segment| segment.size).sum();
    let mut out = Printable::new(io::stdout());
    writeln!(
        out,
        "{}: {}, {}, {} in segments, generation {}, codec {}",
        atlas.storage(),
        count(catalog.dataset_count(), "dataset"),
        count(atlas.list_arrays()?.len(), "variable"),
        Bytes(stored),
        catalog.generation(),
        catalog.codec()
    )?;
    writeln!(out, "\nGrids, the primary one first:")?;
    for grid in grids(&catalog) {
        writeln!(out, "  ({}) with {} cells", grid.dims.join(", "), grid.cells)?;
    }
    writeln!(out, "\nVariables (ratio: bytes of raw values to bytes stored):")?;
    let (session, _) = new_context(None)?;
    register_store(&session, "atlas", &atlas)?;
    let plan = session.sql(VARIABLES).await?.create_physical_plan().await?;
    output::write(execute_stream(plan, session.task_ctx())?, Style::whole(Format::Table), &mut out).await?;
    Ok(())
}
