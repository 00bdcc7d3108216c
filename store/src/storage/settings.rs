//! The settings of a provider's client: storage options, and environment variables.
//!
//! Only variables that [`object_store`] documents for the provider of a URL are read, because a
//! client sends its settings to its servers.

use std::ffi::OsString;
use std::str::FromStr;

use url::Url;

/// A setting of a provider's client.
pub(super) struct Setting<Key> {
    /// The source of the setting, as errors name it.
    origin: String,
    pub(super) key: Key,
    pub(super) value: String,
}

/// The meaning of a provider's settings. Keys are written as [`object_store`] writes them.
pub(super) struct Provider {
    name: &'static str,
    /// Whether the provider reads a variable with this name.
    documents: fn(&str) -> bool,
    /// Keys that are part of the address of a store.
    addresses: &'static [&'static str],
    /// Keys that authenticate the client. If an option has one of them, variables with any of them
    /// are ignored: the client might prefer these, or mix them.
    credentials: &'static [&'static str],
    /// Keys with one meaning, of which the client prefers one.
    synonyms: &'static [&'static str],
}

#[cfg(feature = "aws")]
pub(super) const AMAZON: Provider = Provider {
    name: "Amazon S3",
    documents: |name| name.starts_with("AWS_"),
    addresses: &["aws_bucket"],
    credentials: &[
        "aws_access_key_id",
        "aws_secret_access_key",
        "aws_session_token",
        "aws_container_credentials_relative_uri",
        "aws_container_credentials_full_uri",
        "aws_container_authorization_token_file",
        "aws_web_identity_token_file",
        "aws_role_arn",
        "aws_role_session_name",
    ],
    synonyms: &["aws_endpoint", "aws_endpoint_url_s3", "aws_region", "aws_default_region"],
};

#[cfg(feature = "gcp")]
pub(super) const GOOGLE: Provider = Provider {
    name: "Google Cloud Storage",
    documents: |name| name.starts_with("GOOGLE_") || name == "SERVICE_ACCOUNT",
    addresses: &["google_bucket"],
    credentials: &["google_service_account", "google_service_account_key", "google_application_credentials"],
    synonyms: &[],
};

#[cfg(feature = "azure")]
pub(super) const AZURE: Provider = Provider {
    name: "Azure",
    documents: |name| name.starts_with("AZURE_") || name == "IDENTITY_ENDPOINT",
    addresses: &["azure_container_name"],
    credentials: &[
        "azure_storage_account_key",
        "azure_storage_client_id",
        "azure_storage_client_secret",
        "azure_storage_tenant_id",
        "azure_storage_sas_key",
        "azure_storage_token",
        "azure_msi_endpoint",
        "azure_object_id",
        "azure_msi_resource_id",
        "azure_federated_token_file",
        "azure_use_azure_cli",
        "azure_fabric_token_service_url",
        "azure_fabric_workload_host",
        "azure_fabric_session_token",
        "azure_fabric_cluster_identifier",
    ],
    synonyms: &["azure_storage_endpoint", "azure_use_fabric_endpoint", "azure_storage_use_emulator"],
};

#[cfg(feature = "http")]
pub(super) const HTTP: Provider =
    Provider { name: "HTTP", documents: |_| false, addresses: &[], credentials: &[], synonyms: &[] };

/// The settings in `options`, and those variables of `environment` that no option overrides.
pub(super) fn settings<Key: FromStr + AsRef<str>>(
    provider: &Provider,
    environment: impl Iterator<Item = (OsString, OsString)>,
    options: &[(String, String)],
) -> Result<Vec<Setting<Key>>, String> {
    let explicit: Vec<Setting<Key>> =
        options.iter().map(|(key, value)| option(provider, key, value)).collect::<Result<_, _>>()?;
    let mut settings = variables(provider, environment)?;
    settings.retain(|variable: &Setting<Key>| {
        !explicit.iter().any(|option| provider.overrides(option.key.as_ref(), variable.key.as_ref()))
    });
    settings.extend(explicit);
    Ok(settings)
}

impl Provider {
    /// True if an option for the first key overrides a variable for the second.
    fn overrides(&self, option: &str, variable: &str) -> bool {
        let credentials = self.credentials;
        let unsigned = variable.ends_with("_skip_signature");
        let synonym = |key: &str| self.synonyms.contains(&key);
        option == variable
            || (credentials.contains(&option) && (unsigned || credentials.contains(&variable)))
            || (synonym(option)
                && synonym(variable)
                && option.contains("region") == variable.contains("region"))
    }
}

fn option<Key: FromStr + AsRef<str>>(
    provider: &Provider,
    name: &str,
    value: &str,
) -> Result<Setting<Key>, String> {
    let origin = format!("the storage option `{name}`");
    let key = name.to_ascii_lowercase().parse::<Key>();
    let key = key.map_err(|_| format!("{origin} is not one of {}", provider.name))?;
    if provider.addresses.contains(&key.as_ref()) {
        return Err(format!("{origin} is in the address already"));
    }
    if value.contains(char::is_control) && !is_file(key.as_ref()) {
        return Err(format!("{origin} has control characters in it"));
    }
    let names_server = ["endpoint", "url"].iter().any(|part| key.as_ref().contains(part));
    if names_server
        && key.as_ref() != "proxy_url"
        && Url::parse(value).is_ok_and(|url| url.password().is_some())
    {
        return Err(format!("{origin} has a password in it: give credentials as options of their own"));
    }
    Ok(Setting { origin, key, value: value.to_owned() })
}

/// True for values that are the text of a file, with line breaks, and do not appear in requests.
fn is_file(key: &str) -> bool {
    ["google_service_account_key", "proxy_ca_certificate"].contains(&key)
}

/// The variables of a provider.
fn variables<Key: FromStr>(
    provider: &Provider,
    environment: impl Iterator<Item = (OsString, OsString)>,
) -> Result<Vec<Setting<Key>>, String> {
    let mut variables = Vec::new();
    for (name, value) in environment {
        let Some(name) = name.to_str().filter(|name| (provider.documents)(name)) else { continue };
        let Ok(key) = name.to_ascii_lowercase().parse() else { continue };
        let origin = format!("the environment variable {name}");
        // A client panics if a value cannot be in a header of a request.
        let value = value.into_string().ok().filter(|value| !value.contains(char::is_control));
        let value =
            value.ok_or_else(|| format!("{origin} has control characters in it or is not Unicode"))?;
        variables.push(Setting { origin, key, value });
    }
    variables.sort_by(|a, b| a.origin.cmp(&b.origin));
    Ok(variables)
}

/// The result of `build` with all settings. Its errors do not name the faulty setting. This
/// function finds the setting without which there is no error, or with which alone the same error
/// occurs.
pub(super) fn configure<Key: AsRef<str>, T>(
    settings: &[Setting<Key>],
    build: impl Fn(&[&Setting<Key>]) -> object_store::Result<T>,
) -> Result<T, String> {
    let all: Vec<_> = settings.iter().collect();
    let error = match build(&all) {
        Ok(built) => return Ok(built),
        Err(error) => error.to_string(),
    };
    let without = |one: &Setting<Key>| {
        all.iter().copied().filter(|other| !std::ptr::eq(*other, one)).collect::<Vec<_>>()
    };
    let empty = build(&[]).err().map(|e| e.to_string());
    let culprit = all.iter().find(|one| build(&without(one)).is_ok()).or_else(|| {
        let same =
            |one: &&&Setting<Key>| build(&[**one]).err().map(|e| e.to_string()).as_ref() == Some(&error);
        all.iter().find(same).filter(|_| empty.as_ref() != Some(&error))
    });
    Err(match culprit {
        // Parsers repeat parts of the text that they cannot parse.
        Some(setting) if is_file(setting.key.as_ref()) => format!("{}: it cannot be used", setting.origin),
        Some(setting) => format!("{}: {}", setting.origin, without_secrets(error, settings)),
        None => without_secrets(error, settings),
    })
}

fn without_secrets<Key: AsRef<str>>(mut error: String, settings: &[Setting<Key>]) -> String {
    for setting in settings.iter().filter(|setting| is_secret(setting.key.as_ref())) {
        for shown in [setting.value.clone(), setting.value.escape_debug().to_string()] {
            if !shown.is_empty() {
                error = error.replace(&shown, "…");
            }
        }
    }
    error
}

fn is_secret(key: &str) -> bool {
    ["secret", "token", "key", "proxy_url"].iter().any(|part| key.contains(part))
}

#[cfg(test)]
#[cfg(all(feature = "aws", feature = "azure", feature = "gcp", feature = "http"))]
mod tests {
    use object_store::aws::AmazonS3ConfigKey;
    use object_store::azure::AzureConfigKey;
    use object_store::client::ClientConfigKey;
    use object_store::gcp::GoogleConfigKey;

    use super::*;

    fn told<Key: FromStr + AsRef<str>>(
        provider: &Provider,
        variables: &[(&str, &str)],
        options: &[(&str, &str)],
    ) -> Result<Vec<(String, String)>, String> {
        let environment = variables.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
        let options: Vec<_> =
            options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let settings = settings::<Key>(provider, environment, &options)?;
        Ok(settings.into_iter().map(|setting| (setting.key.as_ref().to_owned(), setting.value)).collect())
    }

    fn pairs(settings: &[(&str, &str)]) -> Vec<(String, String)> {
        settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn options_come_before_variables() {
        let variables = [
            ("AWS_ACCESS_KEY_ID", "id"),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
            ("AWS_SESSION_TOKEN", "token"),
            ("AWS_SKIP_SIGNATURE", "true"),
            ("AWS_REGION", "there"),
            ("AWS_ENDPOINT_URL_S3", "http://there"),
            ("AWS_TIMEOUT", "5s"),
        ];
        let amazon = |options: &[(&str, &str)]| told::<AmazonS3ConfigKey>(&AMAZON, &variables, options);
        assert_eq!(amazon(&[]).unwrap().len(), 7);
        let here = amazon(&[
            ("default_region", "here"),
            ("endpoint", "http://here"),
            ("access_key_id", "me"),
            ("AWS_SECRET_ACCESS_KEY", "mine"),
        ]);
        let expected = [
            ("timeout", "5s"),
            ("aws_default_region", "here"),
            ("aws_endpoint", "http://here"),
            ("aws_access_key_id", "me"),
            ("aws_secret_access_key", "mine"),
        ];
        assert_eq!(here.unwrap(), pairs(&expected));
        // A client that does not sign requests needs no credentials.
        let signed = amazon(&[("skip_signature", "false"), ("aws_region", "here")]).unwrap();
        assert_eq!(signed.len(), 7);
        assert!(signed.contains(&("aws_session_token".to_owned(), "token".to_owned())));
        assert!(!signed.iter().any(|(_, value)| value == "there" || value == "true"));

        let azure = told::<AzureConfigKey>(
            &AZURE,
            &[("AZURE_STORAGE_TOKEN", "token"), ("AZURE_STORAGE_ACCOUNT_NAME", "account")],
            &[("account_key", "key")],
        );
        let expected = [("azure_storage_account_name", "account"), ("azure_storage_account_key", "key")];
        assert_eq!(azure.unwrap(), pairs(&expected));
        let google = told::<GoogleConfigKey>(
            &GOOGLE,
            &[("GOOGLE_APPLICATION_CREDENTIALS", "/there")],
            &[("google_service_account", "/here")],
        );
        assert_eq!(google.unwrap(), pairs(&[("google_service_account", "/here")]));
        let http = told::<ClientConfigKey>(&HTTP, &[("TIMEOUT", "1s")], &[("timeout", "2s")]);
        assert_eq!(http.unwrap(), pairs(&[("timeout", "2s")]));
    }

    #[test]
    fn options_that_do_not_apply_are_refused() {
        for (option, value, expected) in [
            ("reign", "a-value", "the storage option `reign` is not one of Amazon S3"),
            ("google_bucket", "a-value", "`google_bucket` is not one"),
            ("bucket", "a-value", "`bucket` is in the address"),
            ("region", "a-value\n", "`region` has control characters"),
            ("endpoint", "http://me:a-value@host", "`endpoint` has a password in it"),
        ] {
            let error = told::<AmazonS3ConfigKey>(&AMAZON, &[], &[(option, value)]).unwrap_err();
            assert!(error.contains(expected) && !error.contains("a-value"), "{error}");
        }
        assert!(told::<ClientConfigKey>(&HTTP, &[], &[("region", "r")]).unwrap_err().contains("`region`"));
    }
}
