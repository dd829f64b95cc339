//! `dataflow serve`

use anyhow::Context;
use dataflow_connectors::policy::DialPolicy;
use dataflow_server::{
    config::{DataConfig, PublicConfig, TestConfig},
    serve::{ServeConfig, serve},
};

use crate::{
    args::{DataArguments, Serve},
    output,
};

pub fn run(arguments: Serve) -> anyhow::Result<()> {
    // Who reaches the server over a network does not reach this machine's own services through it.
    let allow_loopback = arguments.listen.ip().is_loopback() && arguments.public_url.is_none();
    let policy = DialPolicy { allow: arguments.test_allow, deny: arguments.test_deny, allow_loopback };
    let config = ServeConfig {
        data: data_config(arguments.data)?,
        public: PublicConfig {
            listen: arguments.listen,
            public_url: arguments.public_url,
            tls: arguments.tls_cert.zip(arguments.tls_key),
        },
        tests: TestConfig {
            enabled: !arguments.no_tests,
            policy,
            sqlite_folder: arguments.sqlite_folder,
            ..TestConfig::default()
        },
    };
    runtime()?.block_on(serve(config, stop_signal(), output::say))
}

pub fn data_config(data: DataArguments) -> anyhow::Result<DataConfig> {
    let folder = std::path::absolute(&data.data).with_context(|| format!("read the path {}", data.data.display()))?;
    Ok(DataConfig { folder, database_url: data.database_url, key_file: data.key_file })
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
