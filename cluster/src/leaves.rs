//! Divides scans of stores among tasks, and tasks among workers.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use atlas_datafusion::StoreScan;
use datafusion::common::DataFusionError;
use datafusion::common::Result;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::joins::{CrossJoinExec, HashJoinExec, NestedLoopJoinExec};
use datafusion::physical_plan::memory::LazyMemoryExec;
use datafusion::physical_plan::placeholder_row::PlaceholderRowExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use datafusion::physical_plan::{Distribution, ExecutionPlan, Partitioning};
use datafusion_distributed::{
    BroadcastExec, DesiredTaskCountEvent, DesiredTaskCountEventResponse, DesiredTaskCountHandler,
    DistributedGetterExt, DistributedLeafExec, RouteTasksEvent, RouteTasksEventResponse, RouteTasksHandler,
    ScaleUpLeafNodeEvent, ScaleUpLeafNodeEventResponse, WorkerResolver,
};
use url::Url;

/// Chooses the number of tasks of a scan: `tasks` if it reads much, and else one. The engine's own
/// handler would interpret tile numbers as bytes.
pub(crate) struct Tasks {
    pub tasks: usize,
    pub min_bytes: u64,
}

#[async_trait]
impl DesiredTaskCountHandler for Tasks {
    async fn handle(
        &self,
        event: DesiredTaskCountEvent<'_>,
    ) -> Option<Result<DesiredTaskCountEventResponse>> {
        let Some(scan) = StoreScan::of(event.plan.as_ref()) else {
            return needs_all_rows(event.plan).then(|| Ok(DesiredTaskCountEventResponse::maximum(1)));
        };
        let is_shared = self.min_bytes == 0 || scan.limit().is_none() && scan.bytes() >= self.min_bytes;
        Some(Ok(DesiredTaskCountEventResponse::desired(if is_shared { self.tasks } else { 1 })))
    }
}

/// True if one task must see all rows of an operator's input, or all rows of a key.
///
/// If a scan has a single partition, DataFusion plans no repartitioning between the scan and such an
/// operator. The engine divides plans at repartitionings. Without one, it would run the operator in
/// each task, on the rows of that task only.
fn needs_all_rows(plan: &Arc<dyn ExecutionPlan>) -> bool {
    // The engine broadcasts the left inputs of joins to all tasks.
    let is_join = plan.is::<HashJoinExec>() || plan.is::<NestedLoopJoinExec>() || plan.is::<CrossJoinExec>();
    let wanted = plan.input_distribution_requirements().into_per_child();
    plan.children().into_iter().zip(wanted).any(|(input, wanted)| match wanted {
        Distribution::SinglePartition => !is_join,
        Distribution::UnspecifiedDistribution => false,
        // All rows of a key in one partition.
        _ => has_scan_of_its_stage(input),
    })
}

/// True if a leaf of a plan computes its rows from nothing, so that any process can run it.
pub(crate) fn has_no_source(leaf: &Arc<dyn ExecutionPlan>) -> bool {
    leaf.is::<EmptyExec>() || leaf.is::<PlaceholderRowExec>() || leaf.is::<LazyMemoryExec>()
}

/// True if there is a scan below, and no exchange of rows between tasks in between.
fn has_scan_of_its_stage(plan: &Arc<dyn ExecutionPlan>) -> bool {
    let exchange = plan.downcast_ref::<RepartitionExec>();
    let is_exchange = exchange.is_some_and(|it| matches!(it.partitioning(), Partitioning::Hash(..)))
        || plan.is::<CoalescePartitionsExec>()
        || plan.is::<SortPreservingMergeExec>()
        || plan.is::<BroadcastExec>();
    !is_exchange
        && (StoreScan::of(plan.as_ref()).is_some() || plan.children().into_iter().any(has_scan_of_its_stage))
}

/// Divides a scan into shares, one for each task. The engine itself would cut datasets.
pub(crate) fn share(event: ScaleUpLeafNodeEvent<'_>) -> Option<Result<ScaleUpLeafNodeEventResponse>> {
    let scan = StoreScan::of(event.plan.as_ref())?;
    if event.task_count == 1 {
        return Some(Ok(ScaleUpLeafNodeEventResponse::new(Arc::clone(event.plan))));
    }
    let leaf = DistributedLeafExec::try_new(Arc::clone(event.plan), scan.shares(event.task_count));
    Some(leaf.map(|leaf| ScaleUpLeafNodeEventResponse::new(Arc::new(leaf))))
}

/// The workers of an attempt to run a query.
pub(crate) struct Live(pub Vec<Url>);

impl WorkerResolver for Live {
    fn get_urls(&self) -> Result<Vec<Url>, DataFusionError> {
        Ok(self.0.clone())
    }
}

/// The workers of each stage's tasks, in the order of the stages.
#[derive(Default)]
pub(crate) struct Routes(Mutex<Vec<Vec<Url>>>);

impl Routes {
    pub fn stages(&self) -> Vec<Vec<Url>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Assigns tasks to workers in their order. A worker thus gets the same datasets in every query, and
/// finds their blocks in its cache.
pub(crate) struct InOrder(pub Arc<Routes>);

impl RouteTasksHandler for InOrder {
    fn handle(&self, event: RouteTasksEvent<'_>) -> Option<Result<RouteTasksEventResponse>> {
        let live = event.task_ctx.session_config().get_distributed_worker_resolver();
        let urls = live.and_then(|live| live.get_urls());
        Some(urls.map(|live| {
            let urls: Vec<Url> = live.iter().cycle().take(event.task_count).cloned().collect();
            self.0.0.lock().unwrap_or_else(PoisonError::into_inner).push(urls.clone());
            RouteTasksEventResponse::new(urls)
        }))
    }
}
