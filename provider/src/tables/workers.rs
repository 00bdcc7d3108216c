//! The processes that run queries of a session.

use std::fmt;
use std::time::Duration;

use datafusion::common::config::{ConfigField, Visit};
use datafusion::common::{Result, config_err};
use url::Url;

/// The option `atlas.workers`: the processes that run queries of a session. The session needs an
/// engine for them, which this crate does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workers {
    /// The URLs of the workers.
    pub urls: Vec<Url>,
    /// The time within which a worker must answer requests and keep-alive messages.
    pub timeout: Duration,
    /// The estimated bytes of values that a query must read to be sent to workers.
    pub min_bytes: u64,
    has_engine: bool,
}

impl Default for Workers {
    fn default() -> Self {
        Self { urls: Vec::new(), timeout: Duration::from_secs(20), min_bytes: 64 << 20, has_engine: false }
    }
}

impl Workers {
    /// The workers of a session that has an engine for them.
    pub fn with_engine(urls: Vec<Url>) -> Self {
        Self { urls, has_engine: true, ..Self::default() }
    }

    /// Parses a list of URLs that are separated by commas.
    ///
    /// # Errors
    /// A URL is not an `http` or `https` URL of a machine, or occurs twice.
    pub fn parse(list: &str) -> Result<Vec<Url>> {
        let mut urls = Vec::new();
        for text in list.split(',').map(str::trim).filter(|text| !text.is_empty()) {
            let url = parse(text)?;
            if urls.contains(&url) {
                return config_err!("the worker {url} is listed twice");
            }
            urls.push(url);
        }
        Ok(urls)
    }
}

fn parse(text: &str) -> Result<Url> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    match url {
        Some(url) if !url.username().is_empty() || url.password().is_some() => {
            config_err!("the URL of a worker must not contain credentials: workers use a token")
        }
        Some(url) if url.path() == "/" && url.query().is_none() && url.fragment().is_none() => Ok(url),
        Some(url) => config_err!("the URL of a worker must end with its port, but {url} has a path"),
        None => config_err!(
            "`{text}` is not the URL of a worker: expected a URL such as http://{}",
            example(text)
        ),
    }
}

/// The address that was probably meant.
fn example(text: &str) -> &str {
    let is_address =
        text.split_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
    if is_address { text } else { "machine:8470" }
}

impl fmt::Display for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let urls: Vec<_> = self.urls.iter().map(|url| url.as_str().trim_end_matches('/')).collect();
        f.write_str(&urls.join(","))
    }
}

impl ConfigField for Workers {
    fn visit<V: Visit>(&self, v: &mut V, key: &str, description: &'static str) {
        v.some(key, self, description);
        let timeout = "The seconds within which a worker must answer.";
        v.some(&format!("{key}.timeout"), self.timeout.as_secs_f64(), timeout);
        let min_bytes = "The estimated bytes of values that a query must read to be sent to workers.";
        v.some(&format!("{key}.min_bytes"), self.min_bytes, min_bytes);
    }

    fn set(&mut self, key: &str, value: &str) -> Result<()> {
        if !self.has_engine {
            return config_err!(
                "this session cannot use workers: build the command with the feature `cluster`, or use the crate atlas-cluster"
            );
        }
        match key {
            "" => self.urls = Self::parse(value)?,
            "timeout" => {
                let seconds = value.parse().ok().filter(|&seconds: &f64| seconds > 0.0);
                let timeout = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
                let Some(timeout) = timeout else {
                    return config_err!("atlas.workers.timeout must be a number of seconds, not `{value}`");
                };
                self.timeout = timeout;
            }
            "min_bytes" => {
                let Ok(bytes) = value.parse() else {
                    return config_err!("atlas.workers.min_bytes must be a number of bytes, not `{value}`");
                };
                self.min_bytes = bytes;
            }
            _ => return config_err!("there is no option atlas.workers.{key}"),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_are_urls_of_machines() {
        let mut workers = Workers::with_engine(Vec::new());
        workers.set("", "http://a:1, https://b:2/,").unwrap();
        assert_eq!(workers.to_string(), "http://a:1,https://b:2");
        workers.set("timeout", "0.5").unwrap();
        workers.set("min_bytes", "0").unwrap();
        assert_eq!((workers.timeout, workers.min_bytes), (Duration::from_millis(500), 0));
        for (key, value, reason) in [
            ("", "a:8470", "such as http://a:8470"),
            ("", "nonsense", "`nonsense` is not the URL"),
            ("", "http://a:1,http://a:1/", "twice"),
            ("", "http://user@a:1", "credentials"),
            ("", "http://a:1/path", "http://a:1/path"),
            ("timeout", "0", "seconds"),
            ("timeout", "1e30", "seconds"),
            ("min_bytes", "-1", "bytes"),
            ("colour", "1", "atlas.workers.colour"),
        ] {
            let error = workers.set(key, value).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
        assert_eq!(workers.urls.len(), 2);
        workers.set("", "").unwrap();
        assert!(workers.urls.is_empty());
        let error = Workers::default().set("", "http://a:1").unwrap_err().to_string();
        assert!(error.contains("`cluster`"), "{error}");
    }
}
