//! `dataflow serve`

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context;
use dataflow_connectors::{AddressLists, DialPolicy};
use dataflow_model::Secret;
use dataflow_server::{
    audit::checkpoint::{SYSLOG, Sink},
    config::{AuditConfig, DataConfig, PublicConfig, RateConfig, TestConfig, credential, oidc_file},
    keys::{KeySource, Passphrase},
    serve::{ServeConfig, serve},
    transit::Transit,
};

use crate::{
    args::{DataArguments, Serve},
    output,
};

pub fn run(arguments: Serve) -> anyhow::Result<()> {
    let configured = AddressLists { allow: arguments.test_allow, deny: arguments.test_deny };
    let policy = DialPolicy { configured, ..DialPolicy::default() };
    let config = ServeConfig {
        data: data_config(arguments.data)?,
        public: PublicConfig {
            listen: arguments.listen,
            public_url: arguments.public_url,
            tls: arguments.tls_cert.zip(arguments.tls_key),
            trusted_proxies: arguments.trusted_proxy,
        },
        tests: TestConfig {
            enabled: !arguments.no_tests,
            policy,
            // Whoever opens a file there may stand in another folder than this process.
            sqlite_folder: arguments.sqlite_folder.as_deref().map(absolute).transpose()?,
            ..TestConfig::default()
        },
        audit: AuditConfig {
            is_strict: arguments.audit_strict,
            checkpoints: match (arguments.audit_checkpoints, arguments.audit_syslog) {
                (Some(path), _) => Some(Sink::File(absolute(&path)?)),
                (None, true) => Some(Sink::Syslog(PathBuf::from(SYSLOG))),
                (None, false) => None,
            },
            ..AuditConfig::default()
        },
        rates: RateConfig::with(&arguments.limit),
        oidc: arguments.oidc.or_else(oidc_file),
    };
    runtime()?.block_on(serve(config, stop_signal(), output::say))
}

pub fn data_config(data: DataArguments) -> anyhow::Result<DataConfig> {
    let folder = absolute(&data.data)?;
    let key = match data {
        DataArguments { passphrase_file: Some(ref path), .. } => Some(passphrase(output::read_secret_file(path)?)?),
        DataArguments { ask_passphrase: true, .. } => Some(passphrase(output::read_secret("Passphrase of the store:", false)?)?),
        DataArguments { key_credential: Some(ref name), .. } => {
            Some(KeySource::Credential { path: credential(name)?, name: name.clone() })
        }
        DataArguments { transit: Some(ref path), .. } => Some(KeySource::Transit(Arc::new(Transit::read(path)?))),
        DataArguments { ref key_file, .. } => key_file.clone().map(KeySource::File),
    };
    let database_url = match data.database_url_file {
        Some(path) => Some(output::read_secret_file(&path)?),
        None => data.database_url.map(Secret::new),
    };
    Ok(DataConfig { folder, database_url: database_url.map(Arc::new), key })
}

pub fn absolute(path: &Path) -> anyhow::Result<PathBuf> {
    std::path::absolute(path).with_context(|| format!("read the path {}", path.display()))
}

fn passphrase(text: Secret) -> anyhow::Result<KeySource> {
    Ok(KeySource::Passphrase(Arc::new(Passphrase::new(text)?)))
}

pub fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("start the runtime")
}

/// Ends at Ctrl-C or SIGTERM. Where neither can be watched, the server runs until it is killed.
async fn stop_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let wait = |kind| async move {
        match signal(kind) {
            Ok(mut signal) => {
                signal.recv().await;
            }
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        () = wait(SignalKind::interrupt()) => {}
        () = wait(SignalKind::terminate()) => {}
    }
}
