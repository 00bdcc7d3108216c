//! Credentials of connections: the token, and trusted certificates.

use std::fmt;
use std::time::Duration;

use datafusion::common::{Result, config_datafusion_err, config_err};
use http::HeaderValue;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use tonic::service::Interceptor;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint};
use tonic::{Request, Status};
use url::Url;

use crate::connections::{OnConnections, connections};

/// The header with the token.
const HEADER: &str = "authorization";

/// The number of bytes that may be on their way in a connection.
const WINDOW: u32 = 64 << 20;

/// How a process connects to workers: the shared token, and the authority that signed their
/// certificates.
#[derive(Clone, Default)]
pub struct Access {
    token: Option<HeaderValue>,
    authority: Option<Certificate>,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Access({} token)", if self.token.is_some() { "with" } else { "without" })
    }
}

impl Access {
    /// Sets the token that all workers and clients of a cluster share. White space around it is
    /// removed, so that it can come from a file.
    ///
    /// # Errors
    /// The token is empty, or has characters other than visible ASCII characters.
    pub fn with_token(self, token: &str) -> Result<Self> {
        let token = token.trim();
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return config_err!("a token must consist of visible ASCII characters, and must not be empty");
        }
        let mut header = HeaderValue::from_str(&format!("Bearer {token}"))
            .map_err(|_| config_datafusion_err!("a token must consist of visible ASCII characters"))?;
        header.set_sensitive(true);
        Ok(Self { token: Some(header), ..self })
    }

    /// Sets the authority, in PEM, that signed the certificates of workers. Without it, the
    /// authorities that the system trusts are accepted.
    ///
    /// # Errors
    /// The PEM contains no certificate, or a damaged one.
    pub fn with_authority(self, pem: impl AsRef<[u8]>) -> Result<Self> {
        let mut certificates = CertificateDer::pem_slice_iter(pem.as_ref()).peekable();
        if certificates.peek().is_none() {
            return config_err!("the file of the authority contains no certificate in PEM");
        }
        if let Some(error) = certificates.find_map(std::result::Result::err) {
            return config_err!("the certificate of the authority cannot be read: {error}");
        }
        Ok(Self { authority: Some(Certificate::from_pem(pem)), ..self })
    }

    /// True if a token is set.
    pub fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// The header with the token.
    pub(crate) fn header(&self) -> Option<(&'static str, &HeaderValue)> {
        self.token.as_ref().map(|token| (HEADER, token))
    }

    /// The endpoint of a worker. Keep-alive requests notice a lost connection within half of
    /// `timeout`, so that the rest is left for asking whether the worker still answers.
    pub(crate) fn endpoint(&self, url: &Url, timeout: Duration) -> Result<Endpoint> {
        let wrong = |e: tonic::transport::Error| config_datafusion_err!("the worker {url}: {e}");
        let mut endpoint = Endpoint::from_shared(url.to_string()).map_err(wrong)?;
        if url.scheme() == "https" {
            let tls = ClientTlsConfig::new();
            let tls = match &self.authority {
                Some(authority) => tls.ca_certificate(authority.clone()),
                None => tls.with_native_roots(),
            };
            endpoint = endpoint.tls_config(tls).map_err(wrong)?;
        }
        Ok(endpoint
            .executor(OnConnections(connections()?))
            // Rows that wait for a slow reader leave room for the answers to other requests.
            .initial_connection_window_size(WINDOW)
            .connect_timeout(timeout)
            .http2_keep_alive_interval(timeout / 4)
            .keep_alive_timeout(timeout / 4)
            .keep_alive_while_idle(true)
            .tcp_nodelay(true))
    }
}

/// Rejects requests without the token.
#[derive(Clone)]
pub(crate) struct Guard(pub Access);

impl Interceptor for Guard {
    fn call(&mut self, request: Request<()>) -> Result<Request<()>, Status> {
        let Some((name, token)) = self.0.header() else { return Ok(request) };
        let found = request.metadata().get(name).map(|found| found.as_encoded_bytes());
        match found {
            Some(found) if is_same(found, token.as_bytes()) => Ok(request),
            _ => Err(Status::unauthenticated("the token differs")),
        }
    }
}

/// Compares in constant time, so that the time does not reveal how much of a token is right.
fn is_same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_need_the_token() {
        let with = |token: &str| Access::default().with_token(token).unwrap();
        let pass = |guard: Access, client: Access| {
            let mut request = Request::new(());
            if let Some((name, token)) = client.header() {
                request.metadata_mut().insert(name, token.to_str().unwrap().parse().unwrap());
            }
            Guard(guard).call(request).map(|_| ()).map_err(|status| status.code())
        };
        assert_eq!(pass(Access::default(), Access::default()), Ok(()));
        assert_eq!(pass(with("secret"), with(" secret\n")), Ok(()));
        for client in [Access::default(), with("secres"), with("secret-and-more")] {
            assert_eq!(pass(with("secret"), client), Err(tonic::Code::Unauthenticated));
        }
        for token in ["", " ", "two words", "schl\u{fc}ssel"] {
            assert!(Access::default().with_token(token).is_err());
        }
        assert!(!format!("{:?}", with("secret")).contains("secret"));
    }

    #[test]
    fn an_authority_has_a_certificate() {
        let key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        for pem in ["", "no PEM at all", key, "-----BEGIN CERTIFICATE-----\nAAAA\n"] {
            assert!(Access::default().with_authority(pem).is_err(), "{pem}");
        }
    }
}
