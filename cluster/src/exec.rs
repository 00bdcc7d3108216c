//! Runs a query on workers, and runs it once more if a worker is lost.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arrow::array::RecordBatch;
use atlas_datafusion::StoreScan;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, Result, internal_datafusion_err, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType, reset_plan_states};
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use datafusion::physical_plan::stream::RecordBatchReceiverStreamBuilder;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning, PlanProperties,
};
use datafusion::prelude::SessionConfig;
use datafusion_distributed::DistributedExt;
use futures::StreamExt;
use futures::future::{join_all, try_join_all};
use http::HeaderMap;
use url::Url;

use crate::channel::Channels;
use crate::error::WorkerError;
use crate::leaves::Routes;
use crate::progress::{Counters, Done, QueryId, ask};
use crate::settings;
use crate::stages::{Cluster, Distributed};

/// The number of bytes of the result that are held back, so that the query can run again before
/// anybody has seen rows.
const HELD_BACK: usize = 8 << 20;

/// The time between two requests for the workers' progress.
const TICK: Duration = Duration::from_millis(300);

type Tx = tokio::sync::mpsc::Sender<Result<RecordBatch>>;

/// A query on workers.
pub struct ClusterExec {
    /// The plan for a single process.
    local: Arc<dyn ExecutionPlan>,
    /// The plan for all workers; the first run takes it.
    first: Mutex<Option<Distributed>>,
    cluster: Arc<Cluster>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
    counters: Arc<Counters>,
    ran: Arc<Mutex<Ran>>,
}

/// What has run.
#[derive(Clone, Default)]
pub(crate) struct Ran {
    pub plan: Option<Arc<dyn ExecutionPlan>>,
    pub routes: Arc<Routes>,
    /// The errors of the workers that were lost.
    pub lost: Vec<WorkerError>,
}

impl ClusterExec {
    pub(crate) fn new(local: Arc<dyn ExecutionPlan>, first: Distributed, cluster: Cluster) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(local.schema()),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        let metrics = ExecutionPlanMetricsSet::new();
        let counters = Arc::new(Counters::new(&metrics));
        Self {
            local,
            first: Mutex::new(Some(first)),
            cluster: Arc::new(cluster),
            properties: Arc::new(properties),
            metrics,
            counters,
            ran: Arc::default(),
        }
    }

    /// The errors of the workers that were lost so far.
    pub fn lost_workers(&self) -> Vec<WorkerError> {
        self.ran().lost
    }

    pub(crate) fn ran(&self) -> Ran {
        self.ran.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes over the final counters of the scans in a plan that has run.
    pub(crate) fn count(&self, plan: &Arc<dyn ExecutionPlan>) -> Result<()> {
        self.counters.count(Done::of_scans(plan)?);
        Ok(())
    }

    pub(crate) fn timeout(&self) -> Duration {
        self.cluster.workers.timeout
    }
}

impl fmt::Debug for ClusterExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClusterExec").field("local", &self.local).finish_non_exhaustive()
    }
}

impl DisplayAs for ClusterExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClusterExec: workers=[{}]", self.cluster.workers)
    }
}

impl ExecutionPlan for ClusterExec {
    fn name(&self) -> &str {
        "ClusterExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.local]
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
        match children.as_slice() {
            [local] if Arc::ptr_eq(local, &self.local) => Ok(self),
            // This query is a part of another one, whose optimizer has changed it.
            [local] => Ok(in_one_partition(Arc::clone(local))),
            _ => internal_err!("a ClusterExec has one plan"),
        }
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        if partition > 0 {
            return internal_err!("ClusterExec has one partition");
        }
        let mut builder = RecordBatchReceiverStreamBuilder::new(self.schema(), 1);
        let run = Run {
            local: Arc::clone(&self.local),
            first: self.first.lock().unwrap_or_else(PoisonError::into_inner).take(),
            cluster: Arc::clone(&self.cluster),
            counters: Arc::clone(&self.counters),
            ran: Arc::clone(&self.ran),
            context,
            tx: builder.tx(),
        };
        builder.spawn(run.run());
        Ok(builder.build())
    }
}

/// A plan with its rows in a single partition.
fn in_one_partition(plan: Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
    if plan.output_partitioning().partition_count() == 1 {
        return plan;
    }
    match plan.output_ordering().cloned() {
        Some(order) => Arc::new(SortPreservingMergeExec::new(order, plan)),
        None => Arc::new(CoalescePartitionsExec::new(plan)),
    }
}

/// A running query.
struct Run {
    local: Arc<dyn ExecutionPlan>,
    first: Option<Distributed>,
    cluster: Arc<Cluster>,
    counters: Arc<Counters>,
    ran: Arc<Mutex<Ran>>,
    context: Arc<TaskContext>,
    tx: Tx,
}

/// How an attempt failed.
struct Failed {
    error: DataFusionError,
    /// True if rows of the result were already passed on.
    is_seen: bool,
}

impl Failed {
    fn unseen(error: DataFusionError) -> Self {
        Self { error, is_seen: false }
    }
}

impl Run {
    async fn run(mut self) -> Result<()> {
        let timeout = self.cluster.workers.timeout;
        let mut live = self.live(timeout).await?;
        let mut is_first = true;
        loop {
            let Err(Failed { error, is_seen }) = self.attempt(&live).await else { return Ok(()) };
            // Keep-alive requests may have taken the other half of the timeout.
            let still = self.answering(&live, timeout / 2).await?;
            if still.is_empty() {
                return Err(self.none_left());
            }
            let lost = live.iter().find(|url| !still.contains(url));
            let may_repeat = is_first && !is_seen;
            match lost {
                // The connection was lost, but the worker still answers.
                None if may_repeat && is_of_connection(&error) => {}
                None => return Err(error),
                Some(_) if may_repeat => {}
                Some(url) => return Err(self.reason(url).map_or(error, Into::into)),
            }
            (live, is_first) = (still, false);
        }
    }

    /// The workers for the query. It asks workers that were lost recently only if no others answer.
    async fn live(&self, within: Duration) -> Result<Vec<Url>> {
        let (mut others, mut lost, mut errors) = (Vec::new(), Vec::new(), Vec::new());
        for url in &self.cluster.workers.urls {
            match self.cluster.lost.error(url) {
                Some(error) => {
                    lost.push(url.clone());
                    errors.push(error);
                }
                None => others.push(url.clone()),
            }
        }
        let mut live = self.answering(&others, within).await?;
        if live.is_empty() {
            live = self.answering(&lost, within).await?;
        } else {
            self.add_lost(errors);
        }
        if live.is_empty() { Err(self.none_left()) } else { Ok(live) }
    }

    fn add_lost(&self, errors: Vec<WorkerError>) {
        self.ran.lock().unwrap_or_else(PoisonError::into_inner).lost.extend(errors);
    }

    fn none_left(&self) -> DataFusionError {
        let lost = self.ran.lock().unwrap_or_else(PoisonError::into_inner).lost.clone();
        WorkerError::NoneLeft { lost }.into()
    }

    /// Returns those of some workers that answer. A different token or version is an error.
    async fn answering(&self, urls: &[Url], within: Duration) -> Result<Vec<Url>> {
        let answers = join_all(urls.iter().map(|url| self.cluster.channels.probe(url, within))).await;
        let (mut live, mut lost) = (Vec::new(), Vec::new());
        for (url, answer) in urls.iter().zip(answers) {
            match answer {
                Ok(()) => live.push(url.clone()),
                Err(DataFusionError::External(error)) => match error.downcast::<WorkerError>() {
                    Ok(error) if error.is_lost() => {
                        self.cluster.lost.add(url, (*error).clone());
                        lost.push(*error);
                    }
                    Ok(error) => return Err((*error).into()),
                    Err(error) => return Err(DataFusionError::External(error)),
                },
                Err(error) => return Err(error),
            }
        }
        self.add_lost(lost);
        Ok(live)
    }

    /// The error of a lost worker.
    fn reason(&self, worker: &Url) -> Option<WorkerError> {
        let ran = self.ran.lock().unwrap_or_else(PoisonError::into_inner);
        ran.lost.iter().rev().find(|lost| lost.url() == Some(worker)).cloned()
    }

    /// Runs the query on some workers.
    async fn attempt(&mut self, live: &[Url]) -> Result<(), Failed> {
        let is_whole = live.len() == self.cluster.workers.urls.len();
        let distributed = match self.first.take().filter(|_| is_whole) {
            Some(first) => Some(first),
            None => {
                let fresh = fresh(Arc::clone(&self.local)).map_err(Failed::unseen)?;
                self.cluster.distribute(fresh, live).await.map_err(Failed::unseen)?
            }
        };
        let Some(Distributed { plan, config, routes }) = distributed else {
            let error = internal_datafusion_err!("a plan for workers has no stage for them");
            return Err(Failed::unseen(error));
        };
        {
            let mut ran = self.ran.lock().unwrap_or_else(PoisonError::into_inner);
            (ran.plan, ran.routes) = (Some(Arc::clone(&plan)), routes);
        }
        let query = QueryId::new();
        let context = self.context_of(config, &query).map_err(Failed::unseen)?;
        let mut rows = plan.execute(0, context).map_err(Failed::unseen)?;
        let mut watch = self.watch(query, live);
        let mut held: Option<(Vec<RecordBatch>, usize)> = Some((Vec::new(), 0));
        loop {
            // The rows that a lost worker has sent come before the end of its connection, and the
            // other workers may have many more.
            let batch = tokio::select! {
                batch = rows.next() => batch,
                lost = &mut watch.0 => Some(Err(lost.unwrap_or_else(|e| {
                    internal_datafusion_err!("watching the workers failed: {e}")
                }))),
            };
            let Some(batch) = batch else { break };
            let batch = batch.map_err(|error| Failed { error, is_seen: held.is_none() })?;
            let Some((batches, bytes)) = &mut held else {
                if self.tx.send(Ok(batch)).await.is_err() {
                    return Ok(());
                }
                continue;
            };
            *bytes += batch.get_array_memory_size();
            batches.push(batch);
            if *bytes > HELD_BACK {
                self.release(held.take()).await;
            }
        }
        self.release(held).await;
        Ok(())
    }

    async fn release(&self, held: Option<(Vec<RecordBatch>, usize)>) {
        for batch in held.into_iter().flat_map(|(batches, _)| batches) {
            // Sending fails if the query was dropped; nobody needs the rows then.
            let _ = self.tx.send(Ok(batch)).await;
        }
    }

    /// The context of the attempt, with the headers that workers need.
    fn context_of(&self, config: SessionConfig, query: &QueryId) -> Result<Arc<TaskContext>> {
        let mut headers: HeaderMap = settings::to_headers(config.options(), self.cluster.workers.timeout)?;
        query.add_to(&mut headers);
        let config = config.with_distributed_passthrough_headers(headers)?;
        let context = &self.context;
        Ok(Arc::new(TaskContext::new(
            context.task_id(),
            context.session_id(),
            config,
            context.scalar_functions().clone(),
            context.higher_order_functions().clone(),
            context.aggregate_functions().clone(),
            context.window_functions().clone(),
            context.runtime_env(),
        )))
    }

    /// Updates the counters with the progress of the workers until it is dropped, or until one of
    /// them does not answer.
    fn watch(&self, query: QueryId, live: &[Url]) -> Watch {
        let (channels, counters, live) =
            (self.cluster.channels.clone(), Arc::clone(&self.counters), live.to_vec());
        Watch(tokio::spawn(async move {
            loop {
                tokio::time::sleep(TICK).await;
                let asked = live.iter().map(|url| progress(&channels, url, &query));
                match try_join_all(asked).await {
                    Ok(done) => counters.count(done.into_iter().fold(Done::default(), |all, one| all + one)),
                    Err(error) => return error,
                }
            }
        }))
    }
}

/// The progress of a query on a worker. It is an error if the worker does not answer; a request that
/// failed for another reason counts as no progress.
async fn progress(channels: &Channels, url: &Url, query: &QueryId) -> Result<Done> {
    let answer = tokio::time::timeout(channels.timeout(), ask(channels.channel(url)?, query)).await;
    match answer {
        Ok(Ok(done)) => Ok(done),
        _ => channels.probe(url, channels.timeout() / 2).await.map(|()| Done::default()),
    }
}

/// A plan that can run again. Operators get new dynamic filters, but scans would keep those that the
/// first attempt has filled, so they lose them.
fn fresh(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let fresh = reset_plan_states(plan)?.transform_up(|node| {
        let scan = StoreScan::of(node.as_ref()).map(|scan| scan.without_dynamic_filters());
        Ok(scan.map_or_else(|| Transformed::no(node), Transformed::yes))
    });
    fresh.data()
}

/// True if the connection to a worker was lost.
fn is_of_connection(error: &DataFusionError) -> bool {
    match error {
        DataFusionError::External(source) => {
            source.downcast_ref::<WorkerError>().is_some_and(WorkerError::is_lost)
        }
        DataFusionError::Shared(inner) => is_of_connection(inner),
        DataFusionError::Context(_, inner) => is_of_connection(inner),
        _ => false,
    }
}

/// A task that ends with the error of a worker, and is aborted when this is dropped.
struct Watch(tokio::task::JoinHandle<DataFusionError>);

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.abort();
    }
}
