//! The progress of a query on its workers.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::ready;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll};

use datafusion::common::Result;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::metrics::{Count, ExecutionPlanMetricsSet, MetricBuilder};
use datafusion_distributed::grpc::BoxCloneSyncChannel;
use futures::future::BoxFuture;
use http::HeaderMap;
use http::uri::PathAndQuery;
use prost::Message;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;
use tower::{Service, service_fn};

/// The header with the identifier of a query.
const HEADER: &str = "x-atlas-query";

/// The counters of scans that are reported.
const COUNTERS: [&str; 5] =
    ["chunks_total", "chunks_pruned", "chunks_from_stats", "chunks_decoded", "bytes_read"];

/// Identifies the query of a task.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct QueryId(pub String);

impl QueryId {
    /// A random identifier.
    pub fn new() -> Self {
        let chance = || RandomState::new().hash_one(std::process::id());
        Self(format!("{:016x}{:016x}", chance(), chance()))
    }

    /// The query that a request belongs to.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        headers.get(HEADER)?.to_str().ok().map(|name| Self(name.to_owned()))
    }

    /// Adds it to the headers of requests.
    pub fn add_to(&self, headers: &mut HeaderMap) {
        if let Ok(name) = self.0.parse() {
            headers.insert(HEADER, name);
        }
    }
}

/// The request for the progress of a query.
#[derive(Clone, PartialEq, Message)]
struct ProgressRequest {
    #[prost(string, tag = "1")]
    query: String,
}

/// The progress of a query's scans, on one worker or on all.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub(crate) struct Done {
    #[prost(uint64, tag = "1")]
    pruned: u64,
    #[prost(uint64, tag = "2")]
    from_stats: u64,
    #[prost(uint64, tag = "3")]
    decoded: u64,
    #[prost(uint64, tag = "4")]
    bytes: u64,
    #[prost(uint64, tag = "5")]
    total: u64,
}

impl Done {
    fn of(plan: &dyn ExecutionPlan) -> Self {
        let metrics = plan.metrics().unwrap_or_default();
        let [total, pruned, from_stats, decoded, bytes] =
            COUNTERS.map(|name| metrics.sum_by_name(name).map_or(0, |value| value.as_usize() as u64));
        Self { pruned, from_stats, decoded, bytes, total }
    }

    /// The sum over the scans of a plan.
    pub fn of_scans(plan: &Arc<dyn ExecutionPlan>) -> Result<Self> {
        let mut done = Self::default();
        plan.apply(|node| {
            if node.children().is_empty() {
                done = done + Self::of(node.as_ref());
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(done)
    }

    fn numbers(self) -> [u64; 5] {
        [self.total, self.pruned, self.from_stats, self.decoded, self.bytes]
    }
}

impl std::ops::Add for Done {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            pruned: self.pruned + other.pruned,
            from_stats: self.from_stats + other.from_stats,
            decoded: self.decoded + other.decoded,
            bytes: self.bytes + other.bytes,
            total: self.total + other.total,
        }
    }
}

type Scans = Vec<Weak<dyn ExecutionPlan>>;

/// The scans of a worker, by query.
#[derive(Clone, Default)]
pub(crate) struct Registry(Arc<Mutex<HashMap<QueryId, Scans>>>);

impl Registry {
    /// Registers the scans of a task until they are dropped.
    pub fn add(&self, query: QueryId, plan: &Arc<dyn ExecutionPlan>) -> Result<()> {
        let mut scans = Scans::new();
        plan.apply(|node| {
            if node.children().is_empty() {
                scans.push(Arc::downgrade(node));
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        let mut queries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        queries.retain(|_, scans| scans.iter().any(|scan| scan.strong_count() > 0));
        queries.entry(query).or_default().extend(scans);
        Ok(())
    }

    fn done(&self, query: &QueryId) -> Done {
        let queries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let scans = queries.get(query).into_iter().flatten().filter_map(Weak::upgrade);
        scans.fold(Done::default(), |done, scan| done + Done::of(scan.as_ref()))
    }
}

/// The service that reports progress to clients. It has a single method.
#[derive(Clone)]
pub(crate) struct ProgressServer(pub Registry);

impl NamedService for ProgressServer {
    const NAME: &'static str = "atlas.cluster.Progress";
}

impl Service<http::Request<Body>> for ProgressServer {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let registry = self.0.clone();
        let answer = service_fn(move |request: Request<ProgressRequest>| {
            ready(Ok::<_, Status>(Response::new(registry.done(&QueryId(request.into_inner().query)))))
        });
        Box::pin(async move {
            let mut grpc = tonic::server::Grpc::new(ProstCodec::default());
            Ok(grpc.unary(answer, request).await)
        })
    }
}

/// Requests the progress of a query from a worker.
pub(crate) async fn ask(channel: BoxCloneSyncChannel, query: &QueryId) -> Result<Done, Status> {
    let mut grpc = tonic::client::Grpc::new(channel);
    grpc.ready().await.map_err(|e| Status::unavailable(e.to_string()))?;
    let request = Request::new(ProgressRequest { query: query.0.clone() });
    let path = PathAndQuery::from_static("/atlas.cluster.Progress/Get");
    let codec = ProstCodec::<ProgressRequest, Done>::default();
    grpc.unary(request, path, codec).await.map(Response::into_inner)
}

/// The progress of all workers, as metrics of a plan.
pub(crate) struct Counters([Count; 5]);

impl Counters {
    pub fn new(metrics: &ExecutionPlanMetricsSet) -> Self {
        Self(COUNTERS.map(|name| MetricBuilder::new(metrics).global_counter(name)))
    }

    /// Raises the counters to the current progress. Work that is repeated after the loss of a worker
    /// is not counted twice.
    pub fn count(&self, done: Done) {
        for (counter, now) in self.0.iter().zip(done.numbers()) {
            let now = usize::try_from(now).unwrap_or(usize::MAX);
            counter.add(now.saturating_sub(counter.value()));
        }
    }
}
