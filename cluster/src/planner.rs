//! Decides which queries workers run, and plans them.

use std::sync::Arc;

use async_trait::async_trait;
use atlas_datafusion::{AtlasOptions, StoreScan, Workers};
use datafusion::catalog::Session;
use datafusion::catalog::memory::MemorySourceConfig;
use datafusion::common::Result;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::datasource::sink::DataSinkExec;
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::context::QueryPlanner;
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::analyze::AnalyzeExec;
use datafusion::physical_plan::scalar_subquery::ScalarSubqueryExec;
use datafusion::physical_planner::{DefaultPhysicalPlanner, PhysicalPlanner};

use crate::access::Access;
use crate::analyze::ClusterAnalyzeExec;
use crate::channel::Channels;
use crate::encoding::is_lossless;
use crate::exec::ClusterExec;
use crate::leaves::has_no_source;
use crate::lost::Lost;
use crate::stages::Cluster;
use crate::windows::sorted_by_constants;

/// Plans a query for workers if the session has some and the query reads enough.
#[derive(Debug)]
pub(crate) struct ClusterPlanner {
    pub inner: Option<Arc<dyn QueryPlanner + Send + Sync>>,
    pub access: Access,
    pub lost: Lost,
}

#[async_trait]
impl QueryPlanner for ClusterPlanner {
    async fn create_physical_plan(
        &self,
        logical_plan: &LogicalPlan,
        session: &dyn Session,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let plan = self.local(logical_plan, session).await?;
        let workers = AtlasOptions::of(session.config_options()).workers;
        if workers.urls.is_empty() || !reads_enough(&plan, &workers)? {
            return Ok(plan);
        }
        let several = with_several_partitions(session);
        let (whole, config) = match &several {
            Some(state) => (self.local(logical_plan, state).await?, state.config()),
            None => (Arc::clone(&plan), session.config()),
        };
        let channels = Channels::new(self.access.clone(), workers.timeout);
        let cluster = Cluster { channels, config: config.clone(), workers, lost: self.lost.clone() };
        let planned = for_workers(cluster, Arc::clone(&whole)).await?;
        Ok(if Arc::ptr_eq(&planned, &whole) { plan } else { planned })
    }
}

impl ClusterPlanner {
    /// Plans a query for this process.
    async fn local(
        &self,
        logical_plan: &LogicalPlan,
        session: &dyn Session,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match &self.inner {
            Some(inner) => inner.create_physical_plan(logical_plan, session).await,
            None => DefaultPhysicalPlanner::default().create_physical_plan(logical_plan, session).await,
        }
    }
}

/// The same session with two partitions, if it has one: a plan with a single partition has no
/// exchanges of rows at which it could be divided among workers.
fn with_several_partitions(session: &dyn Session) -> Option<SessionState> {
    let state = session.as_any().downcast_ref::<SessionState>()?;
    let config = session.config().clone().with_target_partitions(2);
    (session.config().target_partitions() < 2)
        .then(|| SessionStateBuilder::new_from_existing(state.clone()).with_config(config).build())
}

/// Plans a query for workers. Returns the plan unchanged if this process is to run it.
async fn for_workers(cluster: Cluster, plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    if let Some(analyze) = plan.downcast_ref::<AnalyzeExec>() {
        let query = Box::pin(for_workers(cluster, Arc::clone(analyze.input()))).await?;
        let is_distributed = query.is::<ClusterExec>();
        return Ok(if is_distributed { Arc::new(ClusterAnalyzeExec::new(analyze, query)) } else { plan });
    }
    // This process writes the files.
    if let Some(sink) = plan.downcast_ref::<DataSinkExec>() {
        let input = Box::pin(for_workers(cluster, Arc::clone(sink.input()))).await?;
        return datafusion::physical_plan::execution_plan::replace_children_if_necessary(
            Arc::clone(&plan),
            vec![input],
        );
    }
    let sorted = sorted_by_constants(Arc::clone(&plan))?;
    if !can_be_sent(&sorted)? {
        return Ok(plan);
    }
    match cluster.distribute(Arc::clone(&sorted), &cluster.workers.urls).await? {
        Some(distributed) => Ok(Arc::new(ClusterExec::new(sorted, distributed, cluster))),
        None => Ok(plan),
    }
}

/// True if the scans of a plan read enough to make workers worthwhile.
fn reads_enough(plan: &Arc<dyn ExecutionPlan>, workers: &Workers) -> Result<bool> {
    let (mut bytes, mut scans) = (0u64, 0);
    plan.apply(|node| {
        if let Some(scan) = StoreScan::of(node.as_ref()) {
            scans += 1;
            if !scan.is_of_statistics() && scan.limit().is_none() {
                bytes = bytes.saturating_add(scan.bytes());
            }
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(scans > 0 && bytes >= workers.min_bytes)
}

/// True if workers can run a plan: all its leaves are stores with an address, or rows that can be
/// sent with the plan, and nothing of it is lost on the way.
fn can_be_sent(plan: &Arc<dyn ExecutionPlan>) -> Result<bool> {
    let mut known = true;
    plan.apply(|node| {
        known &= match node.downcast_ref::<DataSourceExec>() {
            Some(source) => {
                let scan = StoreScan::of(node.as_ref());
                let address = scan.as_ref().and_then(StoreScan::address);
                address.is_some_and(|address| !address.starts_with("memory:"))
                    || source.data_source().is::<MemorySourceConfig>()
            }
            None if node.children().is_empty() => has_no_source(node),
            // Each task would compute results of its own.
            None => !node.is::<ScalarSubqueryExec>(),
        };
        Ok(if known { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    })?;
    Ok(known && is_lossless(plan))
}
