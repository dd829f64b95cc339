//! `dataflow serve`

use anyhow::Context;
use dataflow_server::{
    config::{DataConfig, PublicConfig, TestConfig},
    serve::{ServeConfig, serve},
};

use crate::{
    args::{Data, Serve},
    output,
};

pub fn run(arguments: Serve) -> anyhow::Result<()> {
    let config = ServeConfig {
        data: data_config(arguments.data)?,
        public: PublicConfig {
            listen: arguments.listen,
            public_url: arguments.public_url,
            tls: arguments.tls_cert.zip(arguments.tls_key),
        },
        tests: TestConfig { enabled: !arguments.no_tests, sqlite_folder: arguments.sqlite_folder, ..TestConfig::default() },
    };
    runtime()?.block_on(serve(config, stop_signal(), output::say))
}

pub fn data_config(data: Data) -> anyhow::Result<DataConfig> {
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
