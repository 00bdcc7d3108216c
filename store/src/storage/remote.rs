//! Object stores on the network: their settings from the environment, and how long they may take to
//! answer.
//!
//! Only variables that [`object_store`] documents for the provider of a URL are read: what a
//! provider is told, it sends to its servers.

use std::ffi::OsString;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
    ReqwestConnector,
};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::http::HttpBuilder;
use object_store::path::Path;
use object_store::{ClientOptions, ObjectStore, ObjectStoreScheme, RetryConfig};
use url::{Position, Url};

/// How long servers may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// Until a request without a body is answered. Its answer may take longer to arrive.
    pub answer: Duration,
    /// From the first attempt of a request until no other is begun.
    pub retries: Duration,
}

/// A silent server is reported after 20 seconds at the most, one that refuses connections after 15.
pub(crate) const PATIENCE: Patience =
    Patience { answer: Duration::from_secs(10), retries: Duration::from_secs(15) };

/// Attempts of a request after the first, at the most.
const RETRIES: usize = 10;

/// A variable of the environment: its name and its value.
type Variable = (String, String);

/// The object store of a URL and the path in it. `environment` has the variables to choose from.
pub(crate) fn open(
    url: &Url,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
    patience: Patience,
) -> Result<(Arc<dyn ObjectStore>, Path), String> {
    let (scheme, path) = ObjectStoreScheme::parse(url).map_err(|e| e.to_string())?;
    let path = Path::parse(path).map_err(|e| e.to_string())?;
    let environment = environment.into_iter();
    let retry =
        || RetryConfig { max_retries: RETRIES, retry_timeout: patience.retries, ..RetryConfig::default() };
    let connector = || Connector { answer: patience.answer };
    // The builders of the providers have no trait in common.
    macro_rules! configured {
        ($builder:ident, $key:ty, $documented:expr) => {{
            let documented = |name: &str| $documented(name) && is_key::<$key>(name);
            let build = |variables: &[&Variable]| {
                let builder = $builder::new().with_url(url.as_str()).with_retry(retry());
                settings(variables)
                    .fold(builder, |builder, (key, value)| builder.with_config(key, value))
                    .with_http_connector(connector())
                    .build()
            };
            Arc::new(configure(variables(environment, documented)?, build)?)
        }};
    }
    let objects: Arc<dyn ObjectStore> = match scheme {
        ObjectStoreScheme::AmazonS3 => {
            configured!(AmazonS3Builder, AmazonS3ConfigKey, |name: &str| name.starts_with("AWS_"))
        }
        ObjectStoreScheme::GoogleCloudStorage => {
            let documented = |name: &str| name.starts_with("GOOGLE_") || name == "SERVICE_ACCOUNT";
            configured!(GoogleCloudStorageBuilder, GoogleConfigKey, documented)
        }
        ObjectStoreScheme::MicrosoftAzure => {
            let documented = |name: &str| name.starts_with("AZURE_") || name == "IDENTITY_ENDPOINT";
            configured!(MicrosoftAzureBuilder, AzureConfigKey, documented)
        }
        ObjectStoreScheme::Http => {
            let options = ClientOptions::new().with_allow_http(url.scheme() == "http");
            let builder = HttpBuilder::new()
                .with_url(&url[..Position::BeforePath])
                .with_client_options(options)
                .with_retry(retry())
                .with_http_connector(connector());
            Arc::new(builder.build().map_err(|e| e.to_string())?)
        }
        _ => return Err(format!("`{}` is not the scheme of an object store on the network", url.scheme())),
    };
    Ok((objects, path))
}

/// True where an object is not found because its bucket or container is not there.
pub(crate) fn lacks_bucket(error: &object_store::Error) -> bool {
    let text = error.to_string();
    ["NoSuchBucket", "ContainerNotFound"].iter().any(|code| text.contains(code))
}

/// True where a client was given no credentials, and has asked in vain for those of the machine
/// that it is on.
pub(crate) fn lacks_credentials(error: &object_store::Error) -> bool {
    let text = error.to_string();
    ["//169.254.169.254/", "//metadata.google.internal/"].iter().any(|server| text.contains(server))
}

fn is_key<Key: FromStr>(name: &str) -> bool {
    name.to_ascii_lowercase().parse::<Key>().is_ok()
}

/// The variables that `documented` chooses by their names.
fn variables(
    environment: impl Iterator<Item = (OsString, OsString)>,
    documented: impl Fn(&str) -> bool,
) -> Result<Vec<Variable>, String> {
    let mut variables = Vec::new();
    for (name, value) in environment {
        let Some(name) = name.to_str().filter(|name| documented(name)) else { continue };
        // A client panics over what cannot stand in the header of a request.
        let value = value.into_string().ok().filter(|value| !value.contains(char::is_control));
        let value = value.ok_or_else(|| {
            format!("the environment variable {name} has control characters in it or is not Unicode")
        })?;
        variables.push((name.to_owned(), value));
    }
    variables.sort();
    Ok(variables)
}

/// Variables as settings of a provider.
fn settings<'a, Key: FromStr>(variables: &'a [&Variable]) -> impl Iterator<Item = (Key, &'a str)> {
    variables
        .iter()
        .filter_map(|(name, value)| Some((name.to_ascii_lowercase().parse().ok()?, value.as_str())))
}

/// What `build` makes with all variables. Its errors do not name the variable that they are about:
/// it is one without which there is no error, or one with which alone there is the same.
fn configure<T>(
    variables: Vec<Variable>,
    build: impl Fn(&[&Variable]) -> object_store::Result<T>,
) -> Result<T, String> {
    let all: Vec<&Variable> = variables.iter().collect();
    let error = match build(&all) {
        Ok(built) => return Ok(built),
        Err(error) => error.to_string(),
    };
    let without = |one: &Variable| all.iter().copied().filter(|other| *other != one).collect::<Vec<_>>();
    let empty = build(&[]).err().map(|e| e.to_string());
    let culprit = all.iter().find(|one| build(&without(one)).is_ok()).or_else(|| {
        let same = |one: &&&Variable| build(&[**one]).err().map(|e| e.to_string()).as_ref() == Some(&error);
        all.iter().find(same).filter(|_| empty.as_ref() != Some(&error))
    });
    Err(match culprit {
        Some((name, _)) => format!("the environment variable {name}: {error}"),
        None => error,
    })
}

/// Connects with a limit on the time until a server answers. [`ClientOptions`] limits only the time
/// that all of an answer takes, which depends on its length.
#[derive(Debug)]
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
        // To send a body may take long.
        if !request.body().is_empty() {
            return self.client.execute(request).await;
        }
        match tokio::time::timeout(self.limit, self.client.execute(request)).await {
            Ok(answer) => answer,
            Err(_) => Err(HttpError::new(HttpErrorKind::Timeout, NoAnswer(self.limit))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::sync::mpsc::{Receiver, channel};
    use std::time::Instant;

    use super::*;
    use crate::error::Error;
    use crate::storage::files::Storage;
    use crate::store::{Atlas, StoreConfig};

    fn pairs(variables: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
        variables.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))).collect()
    }

    /// A server that gives every request the same answer, and what it was asked. Where it has no
    /// answer it is silent.
    fn server(answer: Option<&'static str>) -> (String, Receiver<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let (asked, requests) = channel();
        std::thread::spawn(move || {
            let mut silent = Vec::new();
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut request = [0; 8192];
                let length = stream.read(&mut request).unwrap();
                let _ = asked.send(String::from_utf8_lossy(&request[..length]).into_owned());
                match answer {
                    Some(answer) => drop(stream.write_all(answer.as_bytes())),
                    None => silent.push(stream),
                }
            }
        });
        (address, requests)
    }

    const BRIEF: Patience =
        Patience { answer: Duration::from_millis(200), retries: Duration::from_millis(300) };

    fn storage(url: &str, variables: &[(&str, &str)]) -> Storage {
        Storage::remote(&Url::parse(url).unwrap(), pairs(variables), BRIEF).unwrap()
    }

    async fn opened(url: &str, variables: &[(&str, &str)]) -> Error {
        Atlas::open_in(storage(url, variables)).await.err().unwrap()
    }

    fn refused(url: &str, variables: &[(&str, &str)]) -> String {
        open(&Url::parse(url).unwrap(), pairs(variables), PATIENCE).err().unwrap()
    }

    #[tokio::test]
    async fn a_server_is_told_only_what_is_meant_for_its_provider() {
        let (address, requests) =
            server(Some("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"));
        let variables = [
            ("AWS_ENDPOINT", address.as_str()),
            ("AWS_ALLOW_HTTP", "true"),
            ("AWS_ACCESS_KEY_ID", "key"),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
            // None of these is of the provider.
            ("ENDPOINT", "http://127.0.0.1:1"),
            ("TOKEN", "a-token"),
            ("SESSION_TOKEN", "a-token"),
            ("TIMEOUT", "3600"),
            ("USER_AGENT", "somebody"),
            ("BUCKET", "another"),
            ("REGION", "nowhere"),
            ("aws_session_token", "a-token"),
            ("GOOGLE_SERVICE_ACCOUNT", "/nowhere"),
            ("AZURE_STORAGE_TOKEN", "a-token"),
            ("AWS_PROFILE", "not a setting"),
        ];
        assert!(matches!(opened("s3://bucket/store", &variables).await, Error::NoStore { .. }));
        let request = requests.recv().unwrap();
        assert!(request.starts_with("GET /bucket/store/atlas.json "), "{request}");
        assert!(request.contains("Credential=key/") && request.contains("/us-east-1/"), "{request}");
        for other in ["a-token", "somebody", "security-token", "another"] {
            assert!(!request.contains(other), "{request}");
        }
        let variables = [&variables[..4], &[("AWS_SESSION_TOKEN", "a-token")]].concat();
        opened("s3://bucket/store", &variables).await;
        assert!(requests.recv().unwrap().contains("x-amz-security-token: a-token"));
    }

    #[test]
    fn every_provider_has_its_own_variables() {
        let told = |url: &str, name: &str| {
            let value = OsString::from("control\u{1}");
            open(&Url::parse(url).unwrap(), [(name.into(), value)], PATIENCE).is_err_and(|e| e.contains(name))
        };
        let names = [
            "AWS_REGION",
            "GOOGLE_BASE_URL",
            "SERVICE_ACCOUNT",
            "AZURE_STORAGE_ENDPOINT",
            "IDENTITY_ENDPOINT",
        ];
        for (url, own) in [
            ("s3://b/x", &names[..1]),
            ("gs://b/x", &names[1..3]),
            ("abfs://c@account.dfs.core.windows.net/x", &names[3..]),
            ("https://host/x", &[]),
        ] {
            for name in names {
                assert_eq!(told(url, name), own.contains(&name), "{url} {name}");
            }
        }
    }

    #[test]
    fn what_is_not_unicode_is_no_matter_but_in_a_setting() {
        #[cfg(unix)]
        {
            use std::os::unix::ffi::OsStringExt;
            let odd = || OsString::from_vec(vec![b'A', 0xff]);
            let url = Url::parse("s3://bucket/store").unwrap();
            for variable in [(odd(), odd()), ("HOME".into(), odd()), ("AWS_PROFILE".into(), odd())] {
                assert!(open(&url, [variable], PATIENCE).is_ok());
            }
            let error = open(&url, [("AWS_REGION".into(), odd())], PATIENCE).err().unwrap();
            assert!(error.contains("AWS_REGION"), "{error}");
        }
    }

    #[test]
    fn errors_name_the_variable() {
        for (url, variables, name) in [
            ("s3://b/x", &[("AWS_ALLOW_HTTP", "perhaps"), ("AWS_REGION", "r")][..], "AWS_ALLOW_HTTP"),
            ("s3://b/x", &[("AWS_TIMEOUT", "3600"), ("AWS_ALLOW_HTTP", "perhaps")], "AWS_"),
            ("s3://b/x", &[("AWS_CONNECT_TIMEOUT", "soon")], "AWS_CONNECT_TIMEOUT"),
            ("s3://b/x", &[("AWS_ACCESS_KEY_ID", "key"), ("AWS_REGION", "r")], "AWS_ACCESS_KEY_ID"),
            ("gs://b/x", &[("GOOGLE_SERVICE_ACCOUNT", "/nowhere")], "GOOGLE_SERVICE_ACCOUNT"),
            (
                "az://c/x",
                &[("AZURE_STORAGE_ACCOUNT_NAME", "a"), ("AZURE_SKIP_SIGNATURE", "?")],
                "AZURE_SKIP_SIGNATURE",
            ),
        ] {
            let error = refused(url, variables);
            assert!(error.starts_with(&format!("the environment variable {name}")), "{url}: {error}");
        }
        // No variable is at fault here.
        assert!(!refused("az://c/x", &[("AZURE_CLIENT_ID", "id")]).contains("AZURE_CLIENT_ID"));
    }

    const S3: [(&str, &str); 3] =
        [("AWS_ALLOW_HTTP", "true"), ("AWS_ACCESS_KEY_ID", "key"), ("AWS_SECRET_ACCESS_KEY", "secret")];

    #[tokio::test]
    async fn a_server_that_never_answers_is_reported() {
        let (address, requests) = server(None);
        let since = Instant::now();
        let variables = [&S3[..], &[("AWS_ENDPOINT", address.as_str())]].concat();
        let error = opened("s3://bucket/store", &variables).await.to_string();
        assert!(error.contains("has not answered within 200ms"), "{error}");
        assert!(since.elapsed() < Duration::from_secs(5) && requests.try_iter().count() > 1);
        assert!(opened(&format!("{address}/store"), &[]).await.to_string().contains("has not answered"));
    }

    #[tokio::test]
    async fn what_a_server_refuses_is_said() {
        let answer = |status: &str, code: &str| -> &'static str {
            let body =
                format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>m</Message></Error>");
            let head = format!("content-length: {}\r\nconnection: close\r\n", body.len());
            Box::leak(format!("HTTP/1.1 {status}\r\n{head}\r\n{body}").into_boxed_str())
        };
        for (status, code, expected) in [
            ("404 Not Found", "NoSuchBucket", "there is no bucket `bucket`"),
            ("404 Not Found", "NoSuchKey", "no Atlas store"),
            ("403 Forbidden", "InvalidAccessKeyId", "InvalidAccessKeyId"),
            ("403 Forbidden", "AccessDenied", "AccessDenied"),
            ("301 Moved Permanently", "PermanentRedirect", "region"),
            ("400 Bad Request", "AuthorizationHeaderMalformed", "AuthorizationHeaderMalformed"),
        ] {
            let (address, _requests) = server(Some(answer(status, code)));
            let variables = [&S3[..], &[("AWS_ENDPOINT", address.as_str())]].concat();
            let error = opened("s3://bucket/store", &variables).await.to_string();
            assert!(error.contains(expected), "{code}: {error}");
            let created =
                Atlas::create_in(storage("s3://bucket/store", &variables), StoreConfig::default()).await;
            if code != "NoSuchKey" {
                assert!(created.err().unwrap().to_string().contains(expected), "{code}");
            }
        }
        // A server that fails for a moment is asked again.
        let (address, requests) = server(Some(answer("503 Slow Down", "SlowDown")));
        let error =
            opened("s3://bucket/store", &[&S3[..], &[("AWS_ENDPOINT", address.as_str())]].concat()).await;
        assert!(error.to_string().contains("SlowDown"), "{error}");
        assert!(requests.try_iter().count() > 1);
    }
}
