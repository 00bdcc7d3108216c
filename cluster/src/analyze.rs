//! `EXPLAIN ANALYZE` for queries on workers.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, exec_err, internal_datafusion_err, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::analyze::AnalyzeExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use datafusion_distributed::{
    DistributedMetricsFormat, display_plan_ascii, rewrite_distributed_plan_with_metrics,
};
use futures::{StreamExt, stream};

use crate::exec::{ClusterExec, Ran};

/// Runs a query on workers, and returns the counters of each stage.
#[derive(Debug)]
pub(crate) struct ClusterAnalyzeExec {
    query: Arc<dyn ExecutionPlan>,
    verbose: bool,
    properties: Arc<PlanProperties>,
}

impl ClusterAnalyzeExec {
    /// Does what `analyze` does, for `query`, which is a [`ClusterExec`].
    pub fn new(analyze: &AnalyzeExec, query: Arc<dyn ExecutionPlan>) -> Self {
        let properties = Arc::clone(analyze.properties());
        Self { query, verbose: analyze.verbose(), properties }
    }
}

impl DisplayAs for ClusterAnalyzeExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClusterAnalyzeExec")
    }
}

impl ExecutionPlan for ClusterAnalyzeExec {
    fn name(&self) -> &str {
        "ClusterAnalyzeExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.query]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let Ok([query]) = <[_; 1]>::try_from(children) else {
            return internal_err!("ClusterAnalyzeExec takes one plan");
        };
        let (verbose, properties) = (self.verbose, Arc::clone(&self.properties));
        Ok(Arc::new(Self { query, verbose, properties }))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        if partition > 0 {
            return internal_err!("ClusterAnalyzeExec has one partition");
        }
        let (query, verbose, schema) = (Arc::clone(&self.query), self.verbose, self.schema());
        let answer = async move {
            let (started, mut rows) = (Instant::now(), 0);
            let mut batches = query.execute(0, context)?;
            while let Some(batch) = batches.next().await {
                rows += batch?.num_rows();
            }
            let taken = started.elapsed();
            let cluster = query.downcast_ref::<ClusterExec>();
            let cluster =
                cluster.ok_or_else(|| internal_datafusion_err!("ClusterAnalyzeExec takes a ClusterExec"))?;
            let ran = cluster.ran();
            let plan = counted(&ran, DistributedMetricsFormat::Aggregated, cluster.timeout()).await?;
            cluster.count(&plan)?;
            let shown = display_plan_ascii(plan.as_ref(), true);
            let mut report = vec![("Plan with Metrics", shown), ("Workers", workers(&ran))];
            if verbose {
                let full = counted(&ran, DistributedMetricsFormat::PerTask, cluster.timeout()).await?;
                report.push(("Plan with Full Metrics", display_plan_ascii(full.as_ref(), true)));
                report.push(("Output Rows", rows.to_string()));
                report.push(("Duration", format!("{taken:?}")));
            }
            let (kinds, texts): (Vec<&str>, Vec<String>) = report.into_iter().unzip();
            let columns: Vec<ArrayRef> =
                vec![Arc::new(StringArray::from(kinds)), Arc::new(StringArray::from(texts))];
            Ok(RecordBatch::try_new(schema, columns)?)
        };
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), stream::once(answer))))
    }
}

/// The plan in stages, with its counters. Workers send these after their last batch.
async fn counted(
    ran: &Ran,
    format: DistributedMetricsFormat,
    timeout: Duration,
) -> Result<Arc<dyn ExecutionPlan>> {
    let Some(plan) = ran.plan.clone() else { return exec_err!("the query did not run") };
    match tokio::time::timeout(timeout, rewrite_distributed_plan_with_metrics(plan, format)).await {
        Ok(plan) => plan,
        Err(_) => exec_err!("the workers did not send their counters"),
    }
}

/// The worker of each task, and the workers that were lost.
fn workers(ran: &Ran) -> String {
    let mut lines: Vec<String> = Vec::new();
    for (stage, urls) in ran.routes.stages().iter().enumerate() {
        let urls: Vec<_> = urls.iter().enumerate().map(|(task, url)| format!("t{task}: {url}")).collect();
        lines.push(format!("Stage {}: {}", stage + 1, urls.join(", ")));
    }
    lines.extend(ran.lost.iter().map(|lost| format!("lost: {lost}")));
    lines.join("\n")
}
