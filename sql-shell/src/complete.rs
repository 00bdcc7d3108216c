//! Makes COPY write whole results or nothing.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{DataFusionError, Result};
use datafusion::datasource::sink::{DataSink, DataSinkExec};
use datafusion::execution::TaskContext;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::metrics::MetricsSet;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, SendableRecordBatchStream};
use futures::StreamExt;
use tokio::sync::oneshot;

use crate::tentative::tentative;

/// Ensures that a query that fails leaves no file behind.
///
/// DataFusion's writers take an error in the rows as their end. They complete their files, and only
/// then report the error: a Parquet file is valid and has fewer rows.
#[derive(Debug)]
pub(crate) struct CompleteResults;

impl PhysicalOptimizerRule for CompleteResults {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let replaced = plan.transform_up(|node| {
            let Some(exec) = node.downcast_ref::<DataSinkExec>() else { return Ok(Transformed::no(node)) };
            if exec.sink().is::<CompleteSink>() {
                return Ok(Transformed::no(node));
            }
            let (input, order) = (Arc::clone(exec.input()), exec.sort_order().clone());
            let sink = CompleteSink(exec.clone());
            Ok(Transformed::yes(Arc::new(DataSinkExec::new(input, Arc::new(sink), order)) as _))
        });
        replaced.data()
    }

    fn name(&self) -> &str {
        "CompleteResults"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// Writes rows with the sink of a plan that is not executed, and abandons that sink if the rows end
/// in an error, or if this is dropped. The tasks of an abandoned sink end one by one, and each could
/// take the end of another one for the end of the rows: so none may complete a file then. If the
/// result has several files, those that are complete are deleted.
#[derive(Debug)]
struct CompleteSink(DataSinkExec);

impl DisplayAs for CompleteSink {
    fn fmt_as(&self, format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.sink().fmt_as(format, f)
    }
}

#[async_trait]
impl DataSink for CompleteSink {
    fn metrics(&self) -> Option<MetricsSet> {
        self.0.sink().metrics()
    }

    fn schema(&self) -> &SchemaRef {
        self.0.sink().schema()
    }

    async fn write_all(&self, rows: SendableRecordBatchStream, context: &Arc<TaskContext>) -> Result<u64> {
        let (send, failed) = oneshot::channel();
        let schema = rows.schema();
        let rows = futures::stream::unfold((rows, Some(send)), |(mut rows, mut send)| async move {
            match rows.next().await? {
                Ok(batch) => Some((Ok(batch), (rows, send))),
                Err(error) => {
                    let _ = send.take().map(|send: oneshot::Sender<DataFusionError>| send.send(error));
                    // The writer must not see an end.
                    std::future::pending().await
                }
            }
        });
        let rows = Box::pin(RecordBatchStreamAdapter::new(schema, rows));
        let (context, files) = tentative(context)?;
        let mut written = self.0.sink().write_all(rows, &context);
        // In a variable that is dropped before the sink, whose tasks end then.
        let files = files;
        let count = tokio::select! {
            Ok(error) = failed => return Err(error),
            written = &mut written => written?,
        };
        files.keep();
        Ok(count)
    }
}
