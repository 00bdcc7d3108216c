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
use datafusion::execution::session_state::SessionState;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::SessionContext;
use datafusion_distributed::{
    DistributedExt, WorkerPlanRewriteEvent, WorkerPlanRewriteEventResponse, WorkerQueryContext,
    WorkerSessionBuilder,
};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Identity, Server, ServerTlsConfig};

use crate::access::{Access, Guard};
use crate::allowed::Prefix;
use crate::channel::{Channels, version};
use crate::progress::{ProgressServer, ProgressService, QueryId, Registry};
use crate::settings;

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

    /// Checks that the worker may listen on an address.
    ///
    /// # Errors
    /// It has no token, and the address is not a loopback address.
    pub fn check_address(&self, address: &SocketAddr) -> Result<()> {
        if self.access.has_token() || address.ip().is_loopback() {
            return Ok(());
        }
        config_err!(
            "a worker without a token listens on a loopback address only, and other machines can reach {address}: set ATLAS_WORKER_TOKEN"
        )
    }

    /// Serves until `shutdown` completes.
    ///
    /// # Errors
    /// The worker may not listen on the address, or cannot use its certificate.
    pub async fn serve(self, listener: TcpListener, shutdown: impl Future<Output = ()>) -> Result<()> {
        let address = listener.local_addr()?;
        self.check_address(&address)?;
        let failed = |e: tonic::transport::Error| {
            let cause = std::error::Error::source(&e).map_or_else(|| e.to_string(), ToString::to_string);
            config_datafusion_err!("the worker at {address} cannot serve: {cause}")
        };
        let mut server = Server::builder()
            .tcp_nodelay(true)
            .http2_keepalive_interval(Some(self.timeout / 4))
            .http2_keepalive_timeout(Some(self.timeout / 2));
        if let Some(Tls { certificate, key }) = &self.tls {
            let identity = Identity::from_pem(certificate, key);
            server = server.tls_config(ServerTlsConfig::new().identity(identity)).map_err(failed)?;
        }
        let sessions = Sessions {
            address,
            channels: Channels::new(self.access.clone(), self.timeout),
            allowed: self.allowed.into(),
            registry: Registry::default(),
        };
        let progress = ProgressServer(ProgressService(sessions.registry.clone()));
        let worker = datafusion_distributed::Worker::from_session_builder(sessions)
            .with_runtime_env(runtime(self.memory_limit)?)
            .with_version(version());
        let guard = Guard(self.access);
        server
            .add_service(InterceptedService::new(worker.into_worker_server(), guard.clone()))
            .add_service(InterceptedService::new(progress, guard))
            .serve_with_incoming_shutdown(TcpListenerStream::new(listener), shutdown)
            .await
            .map_err(failed)
    }
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
    registry: Registry,
}

#[async_trait]
impl WorkerSessionBuilder for Sessions {
    async fn build_session_state(&self, ctx: WorkerQueryContext) -> Result<SessionState, DataFusionError> {
        let WorkerQueryContext { builder, headers } = ctx;
        let mut builder = with_atlas(builder);
        let config = builder.config().get_or_insert_default();
        settings::from_headers(&headers, config.options_mut())?;
        let (sessions, query) = (self.clone(), QueryId::of(&headers));
        let builder = builder
            .with_distributed_user_codec(AtlasCodec)
            .with_distributed_channel_resolver(self.channels.clone())
            .with_distributed_worker_plan_rewrite_handler(move |event: WorkerPlanRewriteEvent<'_>| {
                sessions.check(&event.plan)?;
                if let Some(query) = &query {
                    sessions.registry.add(query.clone(), &event.plan)?;
                }
                Ok(WorkerPlanRewriteEventResponse::new(event.plan))
            });
        let context = SessionContext::new_with_state(builder.build());
        atlas_udfs::register_all(&context);
        Ok(context.state())
    }
}

impl Sessions {
    /// Rejects plans that read anything that is not allowed, or that write files.
    fn check(&self, plan: &Arc<dyn ExecutionPlan>) -> Result<()> {
        plan.apply(|node| {
            let Some(source) = node.downcast_ref::<DataSourceExec>() else {
                if node.is::<DataSinkExec>() {
                    return exec_err!("the worker at {} does not write files", self.address);
                }
                return Ok(TreeNodeRecursion::Continue);
            };
            match source.downcast_to_file_source::<DeferredSource>() {
                Some((_, scan)) => self.check_address(scan.address())?,
                None if source.data_source().is::<MemorySourceConfig>() => {}
                None => return exec_err!("the worker at {} reads stores only, no other files", self.address),
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
