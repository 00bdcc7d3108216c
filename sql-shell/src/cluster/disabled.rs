//! Commands that were built without the feature `cluster`.

use std::sync::Arc;

use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::physical_plan::{ExecutionPlan, SendableRecordBatchStream};

use super::{Listen, Options, Trust};
use crate::error::{Failure, Result};

fn disabled() -> Failure {
    Failure::new(
        "this command was built without support for workers: cargo install atlas-sql --features cluster",
    )
}

/// Fails if there are arguments for workers.
pub(crate) fn add_to(builder: SessionStateBuilder, options: &Options) -> Result<SessionStateBuilder> {
    let Options { workers, trust: Trust { token_file, tls_ca } } = options;
    if workers.is_empty() && token_file.is_none() && tls_ca.is_none() { Ok(builder) } else { Err(disabled()) }
}

/// Fails.
pub(crate) async fn listen(arguments: &Listen) -> Result<()> {
    let Listen { listen: _, allow: _, tls_cert: _, tls_key: _, trust: _, memory_limit: _ } = arguments;
    Err(disabled())
}

/// Returns the rows unchanged.
pub(crate) fn report_lost(
    _plan: &Arc<dyn ExecutionPlan>,
    rows: SendableRecordBatchStream,
) -> SendableRecordBatchStream {
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_for_workers_are_refused() {
        assert!(add_to(SessionStateBuilder::new(), &Options::default()).is_ok());
        let options = Options { workers: "http://10.0.0.1:8470".to_owned(), ..Options::default() };
        let error = add_to(SessionStateBuilder::new(), &options).err().unwrap().to_string();
        assert!(error.contains("--features cluster"), "{error}");
    }
}
