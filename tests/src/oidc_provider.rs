//! A real OpenID Connect provider: oidc-provider, which is certified, in a process of its own (`tests/servers/oidc`).

use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf};

use serde_json::{Value, json};

use crate::{
    environment,
    fake_oidc::{Mapping, oidc_file},
    folder::TempDir,
    port::Port,
    process::{Process, Spawn, Stop},
};

/// As `tests/servers/oidc/package.json` and `tools/deps.sh` have it.
const VERSION: &str = "8.8.1";
const CLIENT: &str = "dataflow";
const CLIENT_SECRET: &str = "plantedClientSecret+of/some length";

/// One that is about to run: a server of the product has to know its address before it can know that server's.
#[derive(Debug)]
pub struct OidcProvider {
    process: Option<Process>,
    port: Port,
    folder: TempDir,
}

impl OidcProvider {
    /// # Panics
    /// If no port is free.
    pub fn reserve() -> Self {
        Self { process: None, port: Port::free(), folder: TempDir::new() }
    }

    pub fn issuer(&self) -> String {
        format!("http://127.0.0.1:{}", self.port.number())
    }

    /// A file for `dataflow serve --oidc`.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn file(&self, mappings: &[Mapping<'_>]) -> String {
        let secret = self.folder.join("secret");
        fs::write(&secret, CLIENT_SECRET).expect("own folder");
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).expect("own file");
        let path = self.folder.join("oidc.toml");
        fs::write(&path, oidc_file(&self.issuer(), CLIENT, Some(&secret), mappings)).expect("own folder");
        path.display().to_string()
    }

    /// What it says of each subject, from now on.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn knows(&self, people: &Value) {
        fs::write(self.people(), people.to_string()).expect("own folder");
    }

    fn people(&self) -> PathBuf {
        self.folder.join("people.json")
    }

    /// Starts it for the server at `url`, signing by `algorithm`; what it says of somebody stands in the token, or is asked for beside it.
    ///
    /// # Panics
    /// With what it printed, if it does not start, or is not there.
    pub fn start(&mut self, url: &str, (algorithm, claims_in_token): (&str, bool)) {
        let modules = environment::cache().join(format!("oidc-provider-{VERSION}/node_modules"));
        assert!(modules.is_dir(), "{} is not there; install it with `make deps`", modules.display());
        let options = json!({
            "port": self.port.number(), "redirect_uri": format!("{url}/sign-in/callback"), "algorithm": algorithm,
            "claims_in_token": claims_in_token, "client_id": CLIENT, "client_secret": CLIENT_SECRET, "people": self.people(),
        });
        let path = self.folder.join("options.json");
        fs::write(&path, options.to_string()).expect("own folder");
        let mut process = Spawn::new("node", Stop::Kill)
            .arg(environment::repository().join("tests/servers/oidc/provider.mjs"))
            .args([modules, path])
            .start(&self.folder.join("log"));
        process.wait_until("the OpenID Connect provider", |process| process.log().contains("listening at"));
        self.process = Some(process);
    }
}
