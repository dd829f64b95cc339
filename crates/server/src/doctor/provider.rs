//! Whether people could sign in with the provider.

use std::path::PathBuf;

use super::Finding;
use crate::{
    clock::Clock,
    oidc::{Oidc, OidcConfig, ProviderFault},
};

const PROVIDER: &str = "sign-in provider";

/// Asks the provider that a file names for its discovery document and its keys.
pub(super) async fn examine(path: PathBuf, clock: &Clock) -> Finding {
    let config = match OidcConfig::read(&path) {
        Ok(config) => config,
        Err(error) => {
            return Finding::problem(PROVIDER, format!("{error:#}."), "Correct the file, and restart the server.");
        }
    };
    let (issuer, now) = (config.issuer.clone(), clock.now());
    let looked = tokio::task::spawn_blocking(move || Oidc::new(config, "").look(now)).await;
    match looked {
        Ok(Ok(0)) => Finding::problem(
            PROVIDER,
            format!("{issuer} has no key that is taken here."),
            "Have it sign its ID tokens with RS256, PS256, ES256 or EdDSA.",
        ),
        Ok(Ok(keys)) => Finding::ok(PROVIDER, format!("{issuer} answers, calls itself so, and has {keys} keys")),
        Ok(Err(ProviderFault::Away(fault))) => Finding::problem(
            PROVIDER,
            format!("{issuer}: {fault}."),
            "Check that it runs and can be reached from here; until then people sign in with passwords.",
        ),
        Ok(Err(ProviderFault::Wrong(fault))) => {
            Finding::problem(PROVIDER, format!("{issuer}: {fault}."), "Correct the file of --oidc, or the provider.")
        }
        Err(_) => Finding::warning(PROVIDER, format!("{issuer} was not asked."), "Look again."),
    }
}
