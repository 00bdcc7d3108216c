//! Object stores on the network.

use std::ffi::OsString;
use std::sync::Arc;

use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreScheme};
use url::Url;

#[cfg(any(feature = "aws", feature = "azure", feature = "gcp", feature = "http"))]
use crate::storage::client::Client;
use crate::storage::patience::Patience;

/// The object store of a URL, and the path in it. Settings come from `options`, and from the
/// variables of `environment` for the provider.
#[cfg_attr(
    not(any(feature = "aws", feature = "azure", feature = "gcp", feature = "http")),
    allow(unused_variables)
)]
pub(super) fn open(
    url: &Url,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
    options: &[(String, String)],
    patience: Patience,
) -> Result<(Arc<dyn ObjectStore>, Path), String> {
    let (scheme, path) = ObjectStoreScheme::parse(url).map_err(|e| e.to_string())?;
    let path = Path::parse(path).map_err(|e| e.to_string())?;
    #[cfg(any(feature = "aws", feature = "azure", feature = "gcp", feature = "http"))]
    let client = Client { url, environment: environment.into_iter(), options, patience };
    // A scheme whose feature is off is handled by its second arm.
    #[allow(unreachable_patterns)]
    let objects = match scheme {
        #[cfg(feature = "aws")]
        ObjectStoreScheme::AmazonS3 => client.amazon(),
        #[cfg(feature = "azure")]
        ObjectStoreScheme::MicrosoftAzure => client.azure(),
        #[cfg(feature = "gcp")]
        ObjectStoreScheme::GoogleCloudStorage => client.google(),
        #[cfg(feature = "http")]
        ObjectStoreScheme::Http => client.http(),
        ObjectStoreScheme::AmazonS3 => Err(unbuilt(url, "aws")),
        ObjectStoreScheme::MicrosoftAzure => Err(unbuilt(url, "azure")),
        ObjectStoreScheme::GoogleCloudStorage => Err(unbuilt(url, "gcp")),
        ObjectStoreScheme::Http => Err(unbuilt(url, "http")),
        _ => Err(format!("`{}` is not the scheme of an object store on the network", url.scheme())),
    };
    Ok((objects?, path))
}

fn unbuilt(url: &Url, feature: &str) -> String {
    let scheme = url.scheme();
    format!("this program was built without the feature `{feature}` of atlas-store, which `{scheme}` takes")
}

/// True if an object is not found because its bucket or container does not exist.
pub(super) fn lacks_bucket(error: &object_store::Error) -> bool {
    let text = error.to_string();
    ["NoSuchBucket", "ContainerNotFound"].iter().any(|code| text.contains(code))
}

/// True if a client has no credentials, and has asked in vain for those of the machine that it runs
/// on.
pub(super) fn lacks_credentials(error: &object_store::Error) -> bool {
    let text = error.to_string();
    ["//169.254.169.254/", "//metadata.google.internal/"].iter().any(|server| text.contains(server))
}

#[cfg(test)]
#[cfg(all(feature = "aws", feature = "azure", feature = "gcp", feature = "http"))]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::sync::mpsc::{Receiver, channel};
    use std::time::Duration;
    use std::time::Instant;

    use super::*;
    use crate::error::Error;
    use crate::storage::files::Storage;
    use crate::storage::patience::PATIENCE;
    use crate::store::{Atlas, StoreConfig};

    fn pairs(variables: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
        variables.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))).collect()
    }

    /// A server that gives every request the same answer, and reports the requests. Without an
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
        Storage::remote(&Url::parse(url).unwrap(), pairs(variables), &[], BRIEF).unwrap()
    }

    async fn opened(url: &str, variables: &[(&str, &str)]) -> Error {
        Atlas::open_in(storage(url, variables)).await.err().unwrap()
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
            // None of these variables belongs to the provider.
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
        // The first request has looked for records too.
        assert!(requests.try_iter().any(|request| request.contains("x-amz-security-token: a-token")));
    }

    fn refused(url: &str, variables: &[(&str, &str)]) -> String {
        open(&Url::parse(url).unwrap(), pairs(variables), &[], PATIENCE).err().unwrap()
    }

    #[test]
    fn every_provider_has_its_own_variables() {
        let told = |url: &str, name: &str| {
            let value = OsString::from("control\u{1}");
            open(&Url::parse(url).unwrap(), [(name.into(), value)], &[], PATIENCE)
                .is_err_and(|e| e.contains(name))
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
                assert!(open(&url, [variable], &[], PATIENCE).is_ok());
            }
            let error = open(&url, [("AWS_REGION".into(), odd())], &[], PATIENCE).err().unwrap();
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

    #[test]
    fn errors_name_the_option_and_show_no_secret() {
        for (url, options, name) in [
            ("s3://b/x", &[("allow_http", "perhaps"), ("region", "r")][..], "allow_http"),
            ("s3://b/x", &[("access_key_id", "a-secret")], "access_key_id"),
            ("az://c/x", &[("account_name", "a"), ("access_key", "a-secret!")], "access_key"),
            ("az://c/x", &[("account_name", "a"), ("sas_key", "a-secret")], "sas_key"),
            (
                "gs://b/x",
                &[("service_account_key", "{\"private_key\": [\"a-secret\"]}")],
                "service_account_key",
            ),
            ("gs://b/x", &[("google_service_account", "/nowhere")], "google_service_account"),
            ("https://host/x", &[("timeout", "soon")], "timeout"),
        ] {
            let options: Vec<_> =
                options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
            let error = open(&Url::parse(url).unwrap(), [], &options, PATIENCE).err().unwrap();
            assert!(error.starts_with(&format!("the storage option `{name}`: ")), "{url}: {error}");
            assert!(!error.contains("a-secret"), "{error}");
        }
    }

    #[tokio::test]
    async fn a_server_is_told_what_options_say() {
        let (address, requests) =
            server(Some("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"));
        let variables = [&S3[..], &[("AWS_REGION", "there"), ("AWS_SESSION_TOKEN", "a-token")]].concat();
        let options = [
            ("endpoint", address.as_str()),
            ("region", "here"),
            ("access_key_id", "mine"),
            ("secret_access_key", "secret"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()));
        let url = Url::parse("s3://bucket/store").unwrap();
        let storage = Storage::remote(&url, pairs(&variables), &options, BRIEF).unwrap();
        assert_eq!(format!("{storage:?}"), "Storage(s3://bucket/store)");
        assert!(matches!(Atlas::open_in(storage).await.err().unwrap(), Error::NoStore { .. }));
        let request = requests.recv().unwrap();
        assert!(request.contains("Credential=mine/") && request.contains("/here/"), "{request}");
        assert!(!request.contains("a-token"), "{request}");
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
        // A request is repeated if the server fails for a moment.
        let (address, requests) = server(Some(answer("503 Slow Down", "SlowDown")));
        let error =
            opened("s3://bucket/store", &[&S3[..], &[("AWS_ENDPOINT", address.as_str())]].concat()).await;
        assert!(error.to_string().contains("SlowDown"), "{error}");
        assert!(requests.try_iter().count() > 1);
    }
}
