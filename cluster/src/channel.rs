//! Connections to workers. Their errors name the worker.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arrow::array::RecordBatch;
use async_trait::async_trait;
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use datafusion_distributed::grpc::{BoxCloneSyncChannel, create_worker_client};
use datafusion_distributed::{
    ChannelResolver, CoordinatorToWorkerMsg, ExecuteTaskRequest, GetWorkerInfoRequest, GetWorkerInfoResponse,
    SetPlanRequest, WorkerChannel, WorkerToCoordinatorMsg,
};
use futures::StreamExt;
use futures::stream::BoxStream;
use http::HeaderMap;
use tonic::body::Body;
use tonic::transport::Channel;
use tower::ServiceExt;
use url::Url;

use crate::access::Access;
use crate::error::WorkerError;

/// The version that a worker reports. Processes of the same version understand each other's plans.
pub(crate) fn version() -> String {
    let (own, datafusion) = (env!("CARGO_PKG_VERSION"), datafusion::DATAFUSION_VERSION);
    format!("Atlas {own} with DataFusion {datafusion} (plans {})", atlas_datafusion::codec::CODEC_VERSION)
}

/// The connections of a process to workers, one for each worker and timeout.
#[derive(Clone)]
pub(crate) struct Channels {
    access: Access,
    timeout: Duration,
    open: Arc<Mutex<HashMap<(Url, Duration), Channel>>>,
    /// The workers that have answered, so that their addresses are right.
    known: Arc<Mutex<HashSet<Url>>>,
}

impl fmt::Debug for Channels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Channels({:?})", self.access)
    }
}

impl Channels {
    pub fn new(access: Access, timeout: Duration) -> Self {
        Self { access, timeout, open: Arc::default(), known: Arc::default() }
    }

    /// The same connections, but with another timeout.
    pub fn with_timeout(&self, timeout: Duration) -> Self {
        Self { timeout, ..self.clone() }
    }

    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The connection to a worker. The first request opens it; requests after a loss open it again.
    pub fn channel(&self, url: &Url) -> Result<BoxCloneSyncChannel> {
        let channel = {
            let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            match open.entry((url.clone(), self.timeout)) {
                Entry::Occupied(channel) => channel.get().clone(),
                Entry::Vacant(place) => {
                    place.insert(self.access.endpoint(url, self.timeout)?.connect_lazy()).clone()
                }
            }
        };
        let token = self.access.header().map(|(name, token)| (name, token.clone()));
        let authorized = channel.map_request(move |mut request: http::Request<Body>| {
            if let Some((name, token)) = &token {
                request.headers_mut().insert(*name, token.clone());
            }
            request
        });
        Ok(BoxCloneSyncChannel::new(authorized))
    }

    /// Checks that a worker answers within a time, and has this version.
    pub async fn probe(&self, url: &Url, within: Duration) -> Result<(), DataFusionError> {
        let mut channel = self.get_worker_client_for_url(url).await?;
        let answer = tokio::time::timeout(within, channel.get_worker_info(GetWorkerInfoRequest {}));
        let Ok(answer) = answer.await else {
            return Err(WorkerError::Slow { url: url.clone(), timeout: within }.into());
        };
        let (found, own) = (answer?.version, version());
        if found != own {
            return Err(WorkerError::Version { url: url.clone(), found, own }.into());
        }
        Ok(())
    }
}

#[async_trait]
impl ChannelResolver for Channels {
    async fn get_worker_client_for_url(&self, url: &Url) -> Result<Box<dyn WorkerChannel>, DataFusionError> {
        let inner = create_worker_client(self.channel(url)?);
        Ok(Box::new(Named { url: url.clone(), inner, known: Arc::clone(&self.known) }))
    }
}

/// A connection with errors that name the worker.
struct Named {
    url: Url,
    inner: Box<dyn WorkerChannel>,
    known: Arc<Mutex<HashSet<Url>>>,
}

/// The status of a failed request.
fn status_of(error: &DataFusionError) -> Option<&tonic::Status> {
    match error {
        DataFusionError::External(source) => source.downcast_ref(),
        _ => None,
    }
}

/// The error of a worker if its connection or the worker itself failed. Errors of the query stay
/// unchanged.
fn named(url: &Url, error: DataFusionError) -> DataFusionError {
    let of_worker = match status_of(&error) {
        Some(status) => Some(WorkerError::of_status(url, status)),
        None => WorkerError::of_failure(url, &error),
    };
    of_worker.map_or(error, Into::into)
}

fn named_stream<T: 'static>(
    url: &Url,
    stream: BoxStream<'static, Result<T>>,
) -> BoxStream<'static, Result<T>> {
    let url = url.clone();
    stream.map(move |item| item.map_err(|error| named(&url, error))).boxed()
}

#[async_trait]
impl WorkerChannel for Named {
    async fn coordinator_channel(
        &mut self,
        headers: HeaderMap,
        set_plan_request: SetPlanRequest,
        c2w_stream: BoxStream<'static, CoordinatorToWorkerMsg>,
        metrics: ExecutionPlanMetricsSet,
        task_ctx: &Arc<TaskContext>,
    ) -> Result<BoxStream<'static, Result<WorkerToCoordinatorMsg>>> {
        let answer =
            self.inner.coordinator_channel(headers, set_plan_request, c2w_stream, metrics, task_ctx).await;
        answer.map(|stream| named_stream(&self.url, stream)).map_err(|error| named(&self.url, error))
    }

    async fn execute_task(
        &mut self,
        headers: HeaderMap,
        request: ExecuteTaskRequest,
        metrics: ExecutionPlanMetricsSet,
        task_ctx: &Arc<TaskContext>,
    ) -> Result<Vec<BoxStream<'static, Result<RecordBatch>>>> {
        let streams = self.inner.execute_task(headers, request, metrics, task_ctx).await;
        let streams = streams.map_err(|error| named(&self.url, error))?;
        Ok(streams.into_iter().map(|stream| named_stream(&self.url, stream)).collect())
    }

    async fn get_worker_info(&mut self, request: GetWorkerInfoRequest) -> Result<GetWorkerInfoResponse> {
        let answer = self.inner.get_worker_info(request).await;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        match answer {
            Ok(answer) => {
                known.insert(self.url.clone());
                Ok(answer)
            }
            Err(error) => Err(match status_of(&error) {
                Some(status) if !known.contains(&self.url) => {
                    WorkerError::of_first_status(&self.url, status).into()
                }
                _ => named(&self.url, error),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio_stream::wrappers::TcpListenerStream;
    use tonic::transport::Server;

    use super::*;

    #[tokio::test]
    async fn a_worker_of_another_version_is_refused() {
        let timeout = Duration::from_secs(20);
        for (version, expected) in [(version(), true), ("Atlas 0.0.1".to_owned(), false)] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
            let worker = datafusion_distributed::Worker::default().with_version(version.clone());
            let server = Server::builder().add_service(worker.into_worker_server());
            let served = tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
            let found = Channels::new(Access::default(), timeout).probe(&url, timeout).await;
            served.abort();
            match found {
                Ok(()) => assert!(expected, "{version}"),
                Err(error) => {
                    let error = error.to_string();
                    assert!(!expected && error.contains(url.as_str().trim_end_matches('/')), "{error}");
                    assert!(error.contains("has version Atlas 0.0.1, but this is Atlas "), "{error}");
                }
            }
        }
    }

    /// How something that is no worker answers each connection: what it waits for and sends before
    /// it closes the connection.
    #[derive(Clone, Copy, Debug)]
    struct Foreign {
        reads: bool,
        sends: &'static [u8],
        resets: bool,
    }

    impl Foreign {
        async fn answer(self, mut connection: TcpStream) -> std::io::Result<()> {
            if self.resets {
                connection.set_zero_linger()?;
            }
            if self.reads {
                connection.read_buf(&mut Vec::with_capacity(1000)).await?;
            }
            connection.write_all(self.sends).await
        }
    }

    #[tokio::test]
    async fn errors_hint_at_a_wrong_address() {
        let timeout = Duration::from_secs(20);
        // Nothing, an alert of TLS, an answer of HTTP 1, and settings of HTTP 2.
        let texts: [&[u8]; 4] = [
            b"",
            b"\x15\x03\x03\x00\x02\x02\x32",
            b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n",
            b"\0\0\0\x04\0\0\0\0\0",
        ];
        for sends in texts {
            for (reads, resets) in [(false, false), (false, true), (true, false), (true, true)] {
                let foreign = Foreign { reads, sends, resets };
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                let address = listener.local_addr().unwrap();
                let served = tokio::spawn(async move {
                    while let Ok((connection, _)) = listener.accept().await {
                        // The other side can have closed the connection first.
                        let _ = foreign.answer(connection).await;
                    }
                });
                for scheme in ["http", "https"] {
                    let url = Url::parse(&format!("{scheme}://{address}")).unwrap();
                    let channels = Channels::new(Access::default(), timeout);
                    let error = channels.probe(&url, timeout).await.unwrap_err().to_string();
                    assert!(error.contains("is `http` or `https` right?"), "{foreign:?}: {error}");
                }
                served.abort();
            }
        }
        for url in ["http://127.0.0.1:1", "https://127.0.0.1:1", "http://no-such-machine.invalid:1"] {
            let url = Url::parse(url).unwrap();
            let error = Channels::new(Access::default(), timeout).probe(&url, timeout).await.unwrap_err();
            assert!(!error.to_string().contains("right?"), "{error}");
        }
    }
}
