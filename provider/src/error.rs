//! Errors of the store as DataFusion errors.

use datafusion::common::DataFusionError;

/// An error of the store, as an error of a query.
pub(crate) fn from_store(error: atlas::Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}
