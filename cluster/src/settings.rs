//! Sends the settings of a session to the workers that run its queries.

use std::collections::HashMap;

use datafusion::common::config::ConfigOptions;
use datafusion::common::{Result, exec_datafusion_err};
use http::{HeaderMap, HeaderValue};
use url::form_urlencoded;

/// The header with the settings.
const HEADER: &str = "x-atlas-settings";

/// Settings that concern a machine, not a query. Each worker has its own.
const OWN: [&str; 3] =
    ["datafusion.runtime.", "datafusion.catalog.", "datafusion.execution.target_partitions"];

/// The settings that differ from their defaults, as a header.
pub(crate) fn to_headers(options: &ConfigOptions) -> Result<HeaderMap> {
    let defaults: HashMap<String, Option<String>> =
        ConfigOptions::default().entries().into_iter().map(|entry| (entry.key, entry.value)).collect();
    let mut text = form_urlencoded::Serializer::new(String::new());
    for entry in options.entries() {
        let (key, default) = (entry.key.as_str(), defaults.get(&entry.key));
        let is_sent = key.starts_with("datafusion.") && !OWN.iter().any(|own| key.starts_with(own));
        if let (true, Some(value), Some(default)) = (is_sent, &entry.value, default)
            && default.as_ref() != Some(value)
        {
            text.append_pair(key, value);
        }
    }
    let value = HeaderValue::from_str(&text.finish())
        .map_err(|e| exec_datafusion_err!("the settings of the session cannot be sent to workers: {e}"))?;
    Ok(HeaderMap::from_iter([(http::HeaderName::from_static(HEADER), value)]))
}

/// Applies the settings in a header.
pub(crate) fn from_headers(headers: &HeaderMap, options: &mut ConfigOptions) -> Result<()> {
    let Some(settings) = headers.get(HEADER) else { return Ok(()) };
    for (key, value) in form_urlencoded::parse(settings.as_bytes()) {
        options.set(&key, &value)?;
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
        from_headers(&to_headers(&sent).unwrap(), &mut found).unwrap();
        assert_eq!(found.execution.time_zone.as_deref(), Some("+05:30"));
        assert_eq!(found.execution.batch_size.get(), 17);
        assert_eq!(found.execution.target_partitions, own);
    }
}
