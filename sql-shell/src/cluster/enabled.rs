//! Commands that were built with the feature `cluster`.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use atlas_cluster::{Access, ClusterExec, Prefix, Worker, with_workers};
use atlas_datafusion::Workers;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{ExecutionPlan, SendableRecordBatchStream};
use futures::StreamExt;
use tokio::net::TcpListener;

use super::{Listen, Options, Trust};
use crate::error::{Failure, Result};
use crate::interrupts::first_request;

/// The environment variable with the token of a cluster.
const TOKEN: &str = "ATLAS_WORKER_TOKEN";

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|e| Failure::new(format!("{}: {e}", path.display())))
}

impl Trust {
    /// The credentials that the arguments and the environment give.
    fn access(&self) -> Result<Access> {
        let mut access = Access::default();
        let token = match &self.token_file {
            Some(path) => {
                let token = String::from_utf8(read(path)?);
                Some(token.map_err(|_| Failure::new(format!("{}: the token is not text", path.display())))?)
            }
            None => std::env::var(TOKEN).ok().filter(|token| !token.trim().is_empty()),
        };
        if let Some(token) = token {
            access = access.with_token(&token)?;
        }
        if let Some(path) = &self.tls_ca {
            let named = |e| Failure::new(format!("{}: {e}", path.display()));
            access = access.with_authority(read(path)?).map_err(|e| named(e.strip_backtrace()))?;
        }
        Ok(access)
    }
}

/// Adds workers to a session that is being built.
pub(crate) fn add_to(builder: SessionStateBuilder, options: &Options) -> Result<SessionStateBuilder> {
    let urls = Workers::parse(&options.workers)?;
    Ok(with_workers(builder, urls, options.trust.access()?))
}

/// Runs parts of queries for clients, until the process is interrupted or terminated.
pub(crate) async fn listen(arguments: &Listen) -> Result<()> {
    let allowed = arguments.allow.iter().map(|prefix| Prefix::new(prefix));
    let allowed = allowed.collect::<datafusion::common::Result<Vec<_>>>()?;
    let mut worker = Worker::new(arguments.trust.access()?).with_allowed(allowed);
    let tls = arguments.tls_cert.as_deref().zip(arguments.tls_key.as_deref());
    if let Some((certificate, key)) = tls {
        worker = worker.with_tls(read(certificate)?, read(key)?);
    }
    if let Some(limit) = arguments.memory_limit {
        worker = worker.with_memory_limit(limit);
    }
    worker.check(&arguments.listen)?;
    let listener = TcpListener::bind(arguments.listen).await;
    let listener = listener.map_err(|e| Failure::new(format!("{}: {e}", arguments.listen)))?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    writeln!(io::stdout(), "listening on {scheme}://{}", listener.local_addr()?)?;
    // Clients run unfinished queries again on other workers.
    tokio::select! {
        served = worker.serve(listener, std::future::pending()) => Ok(served?),
        _ = first_request(None)? => Ok(()),
    }
}

/// Returns the rows, and after the last one warns about workers that were lost.
pub(crate) fn report_lost(
    plan: &Arc<dyn ExecutionPlan>,
    rows: SendableRecordBatchStream,
) -> SendableRecordBatchStream {
    if !plan.is::<ClusterExec>() {
        return rows;
    }
    let (schema, plan) = (rows.schema(), Arc::clone(plan));
    let warnings = futures::stream::once(async move {
        let lost = plan.downcast_ref::<ClusterExec>().map(ClusterExec::lost_workers).unwrap_or_default();
        for error in lost {
            // If stderr is closed, nobody reads warnings.
            let _ = writeln!(io::stderr(), "warning: {error}; the query ran without it");
        }
    });
    let rows = rows.chain(warnings.filter_map(|()| std::future::ready(None)));
    Box::pin(RecordBatchStreamAdapter::new(schema, rows))
}
