//! The product with its audit of machine reads, or its counts of who uses what, left out, which nothing that anybody can set does: what they cost
//! is measured beside it.

use std::{net::Ipv4Addr, path::Path};

use anyhow::Context;
use dataflow_server::{
    config::{AuditConfig, DataConfig, PublicConfig, RateConfig, TestConfig},
    serve::{self, ServeConfig},
};

/// Serves the store in `folder` on loopback, without the audit, until the process is ended.
pub fn serve_unaudited(folder: &Path, port: u16) -> anyhow::Result<()> {
    serve(folder, port, AuditConfig { is_off: true, ..AuditConfig::default() })
}

/// The same without the counts.
pub fn serve_uncounted(folder: &Path, port: u16) -> anyhow::Result<()> {
    serve(folder, port, AuditConfig { without_uses: true, ..AuditConfig::default() })
}

fn serve(folder: &Path, port: u16, audit: AuditConfig) -> anyhow::Result<()> {
    let config = ServeConfig {
        data: DataConfig { folder: folder.to_owned(), database_url: None, key: None },
        public: PublicConfig {
            listen: (Ipv4Addr::LOCALHOST, port).into(),
            public_url: None,
            tls: None,
            trusted_proxies: Vec::new(),
        },
        tests: TestConfig { enabled: false, ..TestConfig::default() },
        audit,
        rates: RateConfig { changes: None, ..RateConfig::default() },
        oidc: None,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("start the runtime")?;
    runtime.block_on(serve::serve(config, std::future::pending(), |_| {}))
}
