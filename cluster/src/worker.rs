//! A worker: a process that runs parts of queries for clients.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use atlas_datafusion::codec::{AtlasCodec, DeferredSource};
use atlas_datafusion::with_atlas;
use datafusion::catalog::memory::MemorySourceConfig;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{
    DataFusionError, Result, config_datafusion_err, config_err, exec_datafusion_err, exec_err,
};
use datafusion::datasource::sink::DataSinkExec;
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::SessionContext;
use datafusion_distributed::{
    DistributedExt, NetworkBoundaryExt, WorkerPlanRewriteEvent, WorkerPlanRewriteEventResponse,
    WorkerQueryContext, WorkerSessionBuilder,
};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Identity, Server, ServerTlsConfig};

use crate::access::{Access, Guard};
use crate::allowed::Prefix;
use crate::channel::{Channels, version};
use crate::connections::Accepted;
use crate::encoding::MOST_BYTES;
use crate::leaves::has_no_source;
use crate::progress::{ProgressServer, QueryId, Registry};
use crate::settings;
use crate::task::for_worker;

/// The greatest size of the headers of a request, in bytes. They contain the settings of a session.
const MOST_BYTES_OF_HEADERS: u32 = 1 << 20;

/// The settings of a worker; [`serve`](Self::serve) runs it.
///
/// A worker runs plans that clients send: scans of stores, and operators on their rows. It opens
/// stores with the credentials of its own environment. It reads nothing else, and writes only
/// temporary files, for sorts and aggregations that exceed their memory.
#[derive(Clone, Debug)]
pub struct Worker {
    access: Access,
    tls: Option<Tls>,
    allowed: Vec<Prefix>,
    memory_limit: Option<usize>,
    timeout: Duration,
}

#[derive(Clone)]
struct Tls {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tls")
    }
}

impl Default for Worker {
    fn default() -> Self {
        Self {
            access: Access::default(),
            tls: None,
            allowed: Vec::new(),
            memory_limit: None,
            timeout: Duration::from_secs(20),
        }
    }
}

impl Worker {
    /// A worker that requires the token of `access`, and uses it to connect to other workers.
    pub fn new(access: Access) -> Self {
        Self { access, ..Self::default() }
    }

    /// Sets the certificate and its key, both in PEM. The worker then accepts only TLS.
    pub fn with_tls(self, certificate: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        Self { tls: Some(Tls { certificate: certificate.into(), key: key.into() }), ..self }
    }

    /// Sets the prefixes of the stores that it may open. Without any, it opens every store that its
    /// credentials can open.
    pub fn with_allowed(self, allowed: Vec<Prefix>) -> Self {
        Self { allowed, ..self }
    }

    /// Limits the memory of all queries together, in bytes.
    pub fn with_memory_limit(self, bytes: usize) -> Self {
        Self { memory_limit: Some(bytes), ..self }
    }

    /// Sets the time within which clients and other workers must answer. The default is 20 s.
    pub fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// Checks that the worker can serve at an address.
    ///
    /// # Errors
    /// It has no token, and the address is not a loopback address; or its certificate and key cannot
    /// be used.
    pub fn check(&self, address: &SocketAddr) -> Result<()> {
        if !self.access.has_token() && !address.ip().is_loopback() {
            return config_err!(
                "a worker without a token listens on a loopback address only, and other machines can reach {address}: set ATLAS_WORKER_TOKEN"
            );
        }
        self.server().map(drop)
    }

    fn server(&self) -> Result<Server> {
        let server = Server::builder()
            .http2_max_header_list_size(MOST_BYTES_OF_HEADERS)
            .http2_keepalive_interval(Some(self.timeout / 4))
            .http2_keepalive_timeout(Some(self.timeout / 2));
        let Some(Tls { certificate, key }) = &self.tls else { return Ok(server) };
        let identity = Identity::from_pem(certificate, key);
        let tls = ServerTlsConfig::new().identity(identity).timeout(self.timeout);
        server.tls_config(tls).map_err(|e| {
            config_datafusion_err!("the certificate and the key of the worker cannot be used: {}", cause(&e))
        })
    }

    /// Serves until `shutdown` completes. Queries run on the threads of the caller's runtime, and
    /// connections on others.
    ///
    /// # Errors
    /// The worker may not listen on the address, or cannot use its certificate.
    pub async fn serve(self, listener: TcpListener, shutdown: impl Future<Output = ()>) -> Result<()> {
        let address = listener.local_addr()?;
        self.check(&address)?;
        let mut server = self.server()?;
        let sessions = Sessions {
            address,
            channels: Channels::new(self.access.clone(), self.timeout),
            allowed: self.allowed.into(),
            timeout: self.timeout,
            queries: Handle::current(),
            registry: Registry::default(),
        };
        let progress = ProgressServer(sessions.registry.clone());
        let worker = datafusion_distributed::Worker::from_session_builder(sessions)
            .with_runtime_env(runtime(self.memory_limit)?)
            .with_version(version());
        let guard = Guard(self.access);
        let router = server
            .add_service(InterceptedService::new(
                worker.into_worker_server().max_decoding_message_size(2 * MOST_BYTES),
                guard.clone(),
            ))
            .add_service(InterceptedService::new(progress, guard));
        let listener = listener.into_std()?;
        let accepted = Accepted::new()?;
        let serving = accepted.handle()?.spawn(async move {
            let incoming = TcpIncoming::from(TcpListener::from_std(listener)?).with_nodelay(Some(true));
            let served = router.serve_with_incoming(incoming).await;
            served.map_err(|e| exec_datafusion_err!("the worker at {address} cannot serve: {}", cause(&e)))
        });
        tokio::select! {
            served = serving => served.unwrap_or_else(|_| exec_err!("the worker at {address} has stopped")),
            () = shutdown => Ok(()),
        }
    }
}

fn cause(error: &tonic::transport::Error) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string)
}

fn runtime(memory_limit: Option<usize>) -> Result<Arc<RuntimeEnv>> {
    let mut runtime = RuntimeEnvBuilder::new();
    if let Some(limit) = memory_limit {
        runtime = runtime.with_memory_limit(limit, 1.0);
    }
    runtime.build_arc()
}

/// Builds the session of each task.
#[derive(Clone)]
struct Sessions {
    address: SocketAddr,
    channels: Channels,
    allowed: Arc<[Prefix]>,
    /// The time within which other workers must answer, if a client does not say it.
    timeout: Duration,
    /// The threads on which queries run.
    queries: Handle,
    registry: Registry,
}

#[async_trait]
impl WorkerSessionBuilder for Sessions {
    async fn build_session_state(&self, ctx: WorkerQueryContext) -> Result<SessionState, DataFusionError> {
        let WorkerQueryContext { mut builder, headers } = ctx;
        let config = builder.config().get_or_insert_default();
        settings::from_headers(&headers, config.options_mut())?;
        let channels = self.channels.with_timeout(settings::timeout(&headers).unwrap_or(self.timeout));
        let (sessions, query) = (self.clone(), QueryId::of(&headers));
        let builder = builder
            .with_distributed_user_codec(AtlasCodec)
            .with_distributed_channel_resolver(channels)
            .with_distributed_worker_plan_rewrite_handler(move |event: WorkerPlanRewriteEvent<'_>| {
                sessions.check(&event.plan)?;
                if let Some(query) = &query {
                    sessions.registry.add(query.clone(), &event.plan)?;
                }
                for_worker(event.plan, &sessions.queries).map(WorkerPlanRewriteEventResponse::new)
            });
        Ok(with_functions(builder).state())
    }
}

/// The session of a worker: with the rules and functions of Atlas.
pub(crate) fn with_functions(builder: SessionStateBuilder) -> SessionContext {
    let context = SessionContext::new_with_state(with_atlas(builder).build());
    atlas_udfs::register_all(&context);
    context
}

impl Sessions {
    /// Rejects plans that read anything but allowed stores, rows in the plan and rows of other
    /// workers, or that write files.
    fn check(&self, plan: &Arc<dyn ExecutionPlan>) -> Result<()> {
        plan.apply(|node| {
            if let Some(source) = node.downcast_ref::<DataSourceExec>() {
                match source.downcast_to_file_source::<DeferredSource>() {
                    Some((_, scan)) => self.check_address(scan.address())?,
                    None if source.data_source().is::<MemorySourceConfig>() => {}
                    None => {
                        return exec_err!("the worker at {} reads stores only, no other files", self.address);
                    }
                }
            } else if node.is::<DataSinkExec>() {
                return exec_err!("the worker at {} does not write files", self.address);
            } else if node.children().is_empty() && !(has_no_source(node) || node.is_network_boundary()) {
                return exec_err!("the worker at {} does not run {}", self.address, node.name());
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(())
    }

    fn check_address(&self, address: &str) -> Result<()> {
        if self.allowed.is_empty() || self.allowed.iter().any(|prefix| prefix.has(address)) {
            return Ok(());
        }
        let allowed: Vec<_> = self.allowed.iter().map(ToString::to_string).collect();
        Err(exec_datafusion_err!(
            "the worker at {} may not open {address}: it allows only {}",
            self.address,
            allowed.join(", ")
        ))
    }
}

#[cfg(test)]
mod tests {
    use atlas::{Atlas, StoreConfig};
    use atlas_datafusion::register_store;
    use datafusion::prelude::CsvReadOptions;
    use datafusion_proto::bytes::{
        physical_plan_from_bytes_with_extension_codec, physical_plan_to_bytes_with_extension_codec,
    };

    use super::*;

    /// When a worker ends, its connections end too.
    #[tokio::test]
    async fn an_ended_worker_does_not_answer() {
        let within = Duration::from_secs(5);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = url::Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let served = tokio::spawn(Worker::default().serve(listener, async { drop(stopped.await) }));
        let channels = Channels::new(Access::default(), within);
        channels.probe(&url, within).await.unwrap();
        stop.send(()).unwrap();
        served.await.unwrap().unwrap();
        let started = std::time::Instant::now();
        while channels.probe(&url, within).await.is_ok() {
            assert!(started.elapsed() < within, "the connection still answers");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Plans that a client could make by hand are refused.
    #[tokio::test]
    async fn plans_read_allowed_stores_only() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name).display().to_string();
        let ctx = with_functions(SessionStateBuilder::new().with_default_features());
        for name in ["allowed", "secret"] {
            let atlas = Atlas::create_url(&path(name), StoreConfig::default()).await.unwrap();
            let dataset = atlas.create_dataset("d").await.unwrap();
            dataset.define_array::<f32>("v", &["x"], &[4], None, None).unwrap();
            atlas.flush().await.unwrap();
            register_store(&ctx, name, &atlas).unwrap();
        }
        std::fs::write(path("file.csv"), "a\n1\n").unwrap();
        ctx.register_csv("file", path("file.csv"), CsvReadOptions::new()).await.unwrap();
        let copied = format!("COPY (SELECT 1 AS a) TO '{}'", path("copy.parquet"));
        ctx.sql(&copied).await.unwrap().collect().await.unwrap();
        ctx.register_parquet("columns", path("copy.parquet"), Default::default()).await.unwrap();
        let sessions = Sessions {
            address: ([127, 0, 0, 1], 8470).into(),
            channels: Channels::new(Access::default(), Duration::from_secs(1)),
            allowed: Arc::new([Prefix::new(&path("allowed")).unwrap()]),
            timeout: Duration::from_secs(1),
            queries: Handle::current(),
            registry: Registry::default(),
        };
        for (query, expected) in [
            ("SELECT dataset, avg(v + 1) FROM allowed GROUP BY dataset", ""),
            ("SELECT count(*) FROM allowed AS a JOIN (VALUES (1.0), (2.0)) AS b(v) ON a.v = b.v", ""),
            ("SELECT value FROM generate_series(1, 3)", ""),
            ("SELECT v FROM allowed UNION ALL SELECT v FROM secret", "may not open file://"),
            ("SELECT * FROM file", "reads stores only"),
            ("SELECT * FROM columns", "reads stores only"),
            (&copied, "does not write files"),
        ] {
            let plan = ctx.sql(query).await.unwrap().create_physical_plan().await.unwrap();
            let bytes = physical_plan_to_bytes_with_extension_codec(plan, &AtlasCodec).unwrap();
            let task = ctx.task_ctx();
            let sent = physical_plan_from_bytes_with_extension_codec(&bytes, &task, &AtlasCodec).unwrap();
            let found = sessions.check(&sent).map_or_else(|error| error.to_string(), |()| String::new());
            assert!(found.contains(expected) && found.is_empty() == expected.is_empty(), "{query}: {found}");
        }
    }
}
