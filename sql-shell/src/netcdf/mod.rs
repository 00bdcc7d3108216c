//! `COPY (…) TO 'x.nc'`: writes the rows of a query as a NetCDF file.

mod format;
mod grid;

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::prelude::SessionContext;

use self::format::NetcdfFactory;

/// Registers NetCDF as an output format of a session.
pub(crate) fn register(context: &SessionContext) -> Result<()> {
    context.state_ref().write().register_file_format(Arc::new(NetcdfFactory), false)
}
