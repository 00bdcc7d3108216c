//! Queries on several processes: `atlas worker`, and `atlas sql --workers`.
//!
//! The arguments exist with and without the feature `cluster`, so that a command without it can say
//! what it lacks.

#[cfg_attr(feature = "cluster", expect(dead_code, reason = "compiled in all builds, so that it is checked"))]
mod disabled;
#[cfg(feature = "cluster")]
mod enabled;

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::size::parse_size;
use clap::Args;

#[cfg(not(feature = "cluster"))]
pub(crate) use disabled::{add_to, listen, report_lost};
#[cfg(feature = "cluster")]
pub(crate) use enabled::{add_to, listen, report_lost};

/// How processes authenticate each other.
#[derive(Args, Clone, Default)]
pub(crate) struct Trust {
    /// A file with the token that the workers and clients of a cluster share. By default, the token
    /// is in the variable ATLAS_WORKER_TOKEN.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// The certificate (PEM) of the authority that signed the certificates of the workers. By
    /// default, the authorities that the system trusts are accepted.
    #[arg(long, value_name = "FILE")]
    tls_ca: Option<PathBuf>,
}

/// The workers of a session.
#[derive(Args, Clone, Default)]
pub(crate) struct Options {
    /// The workers that run large queries, such as http://10.0.0.1:8470,http://10.0.0.2:8470.
    #[arg(long, value_name = "URL,…", default_value = "", hide_default_value = true)]
    workers: String,
    #[command(flatten)]
    trust: Trust,
}

/// A worker.
#[derive(Args)]
pub(crate) struct Listen {
    /// The address to listen on. Without a token, it must be a loopback address.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8470")]
    listen: SocketAddr,
    /// Open only stores under this directory or URL. This option can be repeated. Without it, the
    /// worker opens every store that its credentials can open.
    #[arg(long, value_name = "PREFIX")]
    allow: Vec<String>,
    /// The certificate (PEM) of this worker. With it, the worker accepts only TLS.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The key (PEM) of the certificate.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    #[command(flatten)]
    trust: Trust,
    /// The memory that all queries together may use, such as 2G or 500M.
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    memory_limit: Option<usize>,
}
