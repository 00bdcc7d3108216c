//! Clients of the providers of object stores.

use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
#[cfg(feature = "aws")]
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
#[cfg(feature = "azure")]
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
#[cfg(feature = "http")]
use object_store::client::ClientConfigKey;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
    ReqwestConnector,
};
#[cfg(feature = "gcp")]
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
#[cfg(feature = "http")]
use object_store::http::HttpBuilder;
use object_store::{ClientOptions, ObjectStore, RetryConfig};
use url::Url;

use crate::storage::patience::Patience;
use crate::storage::settings::{self, Setting, configure, settings};

/// The greatest number of attempts of a request after the first.
const RETRIES: usize = 10;

/// The settings from which a client is built.
pub(super) struct Client<'a, E> {
    pub url: &'a Url,
    pub environment: E,
    pub options: &'a [(String, String)],
    pub patience: Patience,
}

type Built = Result<Arc<dyn ObjectStore>, String>;

/// The builders of the providers have no common trait.
#[cfg(any(feature = "aws", feature = "azure", feature = "gcp"))]
macro_rules! configured {
    ($client:expr, $builder:ident, $key:ty, $provider:expr) => {{
        let (url, retry, connector) = ($client.url.as_str(), $client.retry(), $client.connector());
        let settings = settings::<$key>($provider, $client.environment, $client.options)?;
        let build = |settings: &[&Setting<$key>]| {
            let builder = $builder::new().with_url(url).with_retry(retry.clone());
            settings
                .iter()
                .fold(builder, |builder, setting| {
                    builder.with_config(setting.key.clone(), setting.value.as_str())
                })
                .with_http_connector(connector)
                .build()
        };
        Ok(Arc::new(configure(&settings, build)?))
    }};
}

impl<E: Iterator<Item = (OsString, OsString)>> Client<'_, E> {
    #[cfg(feature = "aws")]
    pub fn amazon(self) -> Built {
        configured!(self, AmazonS3Builder, AmazonS3ConfigKey, &settings::AMAZON)
    }

    #[cfg(feature = "azure")]
    pub fn azure(self) -> Built {
        configured!(self, MicrosoftAzureBuilder, AzureConfigKey, &settings::AZURE)
    }

    #[cfg(feature = "gcp")]
    pub fn google(self) -> Built {
        configured!(self, GoogleCloudStorageBuilder, GoogleConfigKey, &settings::GOOGLE)
    }

    #[cfg(feature = "http")]
    pub fn http(self) -> Built {
        let (url, retry, connector) = (self.url, self.retry(), self.connector());
        let settings = settings::<ClientConfigKey>(&settings::HTTP, self.environment, self.options)?;
        let build = |settings: &[&Setting<ClientConfigKey>]| {
            let client = ClientOptions::new().with_allow_http(url.scheme() == "http");
            let client = settings
                .iter()
                .fold(client, |client, setting| client.with_config(setting.key, setting.value.as_str()));
            HttpBuilder::new()
                .with_url(&url[..url::Position::BeforePath])
                .with_client_options(client)
                .with_retry(retry.clone())
                .with_http_connector(connector)
                .build()
        };
        Ok(Arc::new(configure(&settings, build)?))
    }

    fn retry(&self) -> RetryConfig {
        RetryConfig { max_retries: RETRIES, retry_timeout: self.patience.retries, ..RetryConfig::default() }
    }

    fn connector(&self) -> Connector {
        Connector { answer: self.patience.answer }
    }
}

/// Connects with a timeout for the start of a server's answer. [`ClientOptions`] limits only the
/// time of the whole answer, which depends on its length.
#[derive(Clone, Copy, Debug)]
struct Connector {
    answer: Duration,
}

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let client = ReqwestConnector::default().connect(options)?;
        Ok(HttpClient::new(Answering { client, limit: self.answer }))
    }
}

#[derive(Debug)]
struct Answering {
    client: HttpClient,
    limit: Duration,
}

#[derive(Debug, thiserror::Error)]
#[error("the server has not answered within {0:?}")]
struct NoAnswer(Duration);

#[async_trait]
impl HttpService for Answering {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        // Sending a body may take long.
        if !request.body().is_empty() {
            return self.client.execute(request).await;
        }
        match tokio::time::timeout(self.limit, self.client.execute(request)).await {
            Ok(answer) => answer,
            Err(_) => Err(HttpError::new(HttpErrorKind::Timeout, NoAnswer(self.limit))),
        }
    }
}
