//! Sends the settings of a session to the workers that run its queries.

use std::collections::HashMap;
use std::time::Duration;

use datafusion::common::config::ConfigOptions;
use datafusion::common::{Result, exec_datafusion_err};
use http::{HeaderMap, HeaderName, HeaderValue};
use url::form_urlencoded;

/// The header with the settings.
const HEADER: &str = "x-atlas-settings";

/// The header with the milliseconds within which workers must answer.
const TIMEOUT: &str = "x-atlas-timeout";

/// Settings that concern a machine, not a query. Each worker has its own.
const OWN: [&str; 3] =
    ["datafusion.runtime.", "datafusion.catalog.", "datafusion.execution.target_partitions"];

/// The settings that differ from their defaults and the timeout of the workers, as headers.
pub(crate) fn to_headers(options: &ConfigOptions, timeout: Duration) -> Result<HeaderMap> {
    let defaults: HashMap<String, Option<String>> =
        ConfigOptions::default().entries().into_iter().map(|entry| (entry.key, entry.value)).collect();
    let mut text = form_urlencoded::Serializer::new(String::new());
    for entry in options.entries() {
        let (key, default) = (entry.key.as_str(), defaults.get(&entry.key));
        if let (true, Some(value), Some(default)) = (is_of_query(key), &entry.value, default)
            && default.as_ref() != Some(value)
        {
            text.append_pair(key, value);
        }
    }
    let value = HeaderValue::from_str(&text.finish())
        .map_err(|e| exec_datafusion_err!("the settings of the session cannot be sent to workers: {e}"))?;
    let timeout = HeaderValue::from(u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX));
    let names = [HEADER, TIMEOUT].map(HeaderName::from_static);
    Ok(names.into_iter().zip([value, timeout]).collect())
}

/// True if a setting concerns queries, and not a machine.
fn is_of_query(key: &str) -> bool {
    key.starts_with("datafusion.") && !OWN.iter().any(|own| key.starts_with(own))
}

/// The timeout in headers, within sensible bounds.
pub(crate) fn timeout(headers: &HeaderMap) -> Option<Duration> {
    let milliseconds: u64 = headers.get(TIMEOUT)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_millis(milliseconds.clamp(100, 3_600_000)))
}

/// Applies the settings in headers.
pub(crate) fn from_headers(headers: &HeaderMap, options: &mut ConfigOptions) -> Result<()> {
    let Some(settings) = headers.get(HEADER) else { return Ok(()) };
    for (key, value) in form_urlencoded::parse(settings.as_bytes()) {
        if is_of_query(&key) {
            options.set(&key, &value)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_settings_of_queries_are_sent() {
        let mut sent = ConfigOptions::default();
        sent.set("datafusion.execution.time_zone", "+05:30").unwrap();
        sent.set("datafusion.execution.batch_size", "17").unwrap();
        sent.set("datafusion.execution.target_partitions", "7").unwrap();
        let mut found = ConfigOptions::default();
        let own = found.execution.target_partitions;
        let mut headers = to_headers(&sent, Duration::from_millis(1500)).unwrap();
        assert_eq!(timeout(&headers), Some(Duration::from_millis(1500)));
        from_headers(&headers, &mut found).unwrap();
        assert_eq!(found.execution.time_zone.as_deref(), Some("+05:30"));
        assert_eq!(found.execution.batch_size.get(), 17);
        assert_eq!(found.execution.target_partitions, own);
        // A client that sends other settings does not change the worker.
        headers.insert(HEADER, HeaderValue::from_static("datafusion.execution.target_partitions=7"));
        from_headers(&headers, &mut found).unwrap();
        assert_eq!(found.execution.target_partitions, own);
    }
}
