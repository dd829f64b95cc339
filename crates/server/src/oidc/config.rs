//! What `dataflow serve --oidc` names: a TOML file that says which provider, and what its claims grant.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use dataflow_model::WorkspaceName;
use serde::Deserialize;
use serde_json::{Map, Value};
use ureq::tls::TlsConfig;
use url::Url;

use crate::{
    ops::{Role, Roles},
    outbound,
};

/// Most characters of the label.
const LABEL_MAX: usize = 40;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct OidcFile {
    label: String,
    issuer: String,
    client_id: String,
    client_secret_file: Option<PathBuf>,
    ca_file: Option<PathBuf>,
    scopes: Option<Vec<String>>,
    #[serde(default)]
    mappings: Vec<MappingEntry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct MappingEntry {
    claim: String,
    value: String,
    workspace: String,
    roles: Vec<String>,
}

/// What one value of one claim grants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    /// A member's name; with a slash at its beginning a JSON pointer (RFC 6901) to one that lies deeper.
    pub claim: String,
    pub value: String,
    /// A workspace's name.
    pub workspace: String,
    pub roles: Roles,
}

/// Which provider, and how it is spoken to.
#[derive(Debug, Clone)]
pub struct OidcConfig {
    /// As the button says it: “Sign in with …”.
    pub label: String,
    /// Exactly as the provider calls itself.
    pub issuer: String,
    pub client_id: String,
    /// Without one the client is public, and PKCE alone binds the code to it.
    pub client_secret_file: Option<PathBuf>,
    pub scopes: Vec<String>,
    pub mappings: Vec<Mapping>,
    pub tls: TlsConfig,
}

impl OidcConfig {
    /// Reads what a TOML file says.
    ///
    /// # Errors
    /// One sentence for the operator, who can mend the file.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let place = path.display();
        let text = fs::read_to_string(path).with_context(|| format!("read the OIDC file {place}"))?;
        let file: OidcFile = toml::from_str(&text).with_context(|| {
            format!(
                "The OIDC file {place} has to say label, issuer, client_id, [[mappings]] of claim, value, workspace and roles, and, if need \
                 be, client_secret_file, ca_file and scopes"
            )
        })?;
        if file.label.trim().is_empty() || file.label.chars().count() > LABEL_MAX || file.label.chars().any(char::is_control) {
            bail!(
                "The label in {place} has to be from 1 to {LABEL_MAX} characters: it stands on the button, behind “Sign in with”."
            );
        }
        let issuer = Url::parse(&file.issuer).with_context(|| format!("the issuer in {place} is no URL"))?;
        if !outbound::is_private(&issuer) {
            bail!("The issuer in {place} would be asked over the network in the clear. Use https://….");
        }
        if issuer.query().is_some() || issuer.fragment().is_some() || !issuer.username().is_empty() {
            bail!(
                "The issuer in {place} has a part that no issuer has. Write it as its discovery document does, for example https://id.example.org."
            );
        }
        if file.client_id.is_empty() || file.client_id.chars().any(|c| c.is_control() || c.is_whitespace()) {
            bail!("The client_id in {place} is empty or has a space in it. Copy it from the provider's page about this client.");
        }
        let scopes = file.scopes.unwrap_or_else(|| ["openid", "email"].map(str::to_owned).to_vec());
        if !scopes.iter().any(|scope| scope == "openid") {
            bail!("The scopes in {place} lack “openid”, without which the provider says nobody's identity. Add it.");
        }
        // RFC 6749, section 3.3.
        let is_scope = |text: &String| !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\');
        if let Some(wrong) = scopes.iter().find(|scope| !is_scope(scope)) {
            bail!("“{wrong}” in {place} is no scope. Write each one as a text of its own.");
        }
        Ok(Self {
            label: file.label.trim().to_owned(),
            issuer: file.issuer,
            client_id: file.client_id,
            client_secret_file: file.client_secret_file,
            scopes,
            mappings: file.mappings.into_iter().map(|entry| entry.read(path)).collect::<Result<_, _>>()?,
            tls: outbound::tls(file.ca_file.as_deref())?,
        })
    }

    /// What claims grant, by the names of workspaces.
    #[must_use]
    pub fn granted(&self, claims: &Map<String, Value>) -> BTreeMap<&str, Roles> {
        let mut granted: BTreeMap<&str, Roles> = BTreeMap::new();
        for mapping in self.mappings.iter().filter(|mapping| mapping.holds(claims)) {
            let roles = granted.entry(&mapping.workspace).or_default();
            *roles = roles.and(mapping.roles);
        }
        granted
    }
}

impl MappingEntry {
    fn read(self, path: &Path) -> anyhow::Result<Mapping> {
        let place = path.display();
        if self.claim.is_empty() || self.value.is_empty() {
            bail!(
                "A mapping in {place} has an empty claim or value. Name the claim, and the one value of it that grants the roles."
            );
        }
        if WorkspaceName::new(&self.workspace).is_err() {
            bail!("“{}” in {place} cannot be the name of a workspace.", self.workspace);
        }
        let roles = self.roles.iter().map(|role| Role::parse(role).ok_or(role)).collect::<Result<Vec<_>, _>>();
        match roles {
            Ok(roles) if !roles.is_empty() => {
                let roles = Roles::of(&roles);
                Ok(Mapping { claim: self.claim, value: self.value, workspace: self.workspace, roles })
            }
            Ok(_) => bail!("The mapping of “{}” in {place} grants nothing. Name viewer, user, editor or admin.", self.value),
            Err(role) => bail!("“{role}” in {place} is no role. Name viewer, user, editor or admin."),
        }
    }
}

impl Mapping {
    /// Whether the claim is this value, or a list that has it.
    fn holds(&self, claims: &Map<String, Value>) -> bool {
        match member(claims, &self.claim) {
            Some(Value::Array(values)) => values.iter().any(|value| self.is_value(value)),
            Some(value) => self.is_value(value),
            None => false,
        }
    }

    fn is_value(&self, value: &Value) -> bool {
        match value {
            Value::String(text) => *text == self.value,
            Value::Bool(truth) => self.value == if *truth { "true" } else { "false" },
            Value::Number(number) => self.value == number.to_string(),
            _ => false,
        }
    }
}

/// The claim of a name, or at a JSON pointer.
#[must_use]
pub fn member<'c>(claims: &'c Map<String, Value>, claim: &str) -> Option<&'c Value> {
    let Some(path) = claim.strip_prefix('/') else { return claims.get(claim) };
    let (first, rest) = path.split_once('/').map_or((path, None), |(first, rest)| (first, Some(rest)));
    let found = claims.get(&first.replace("~1", "/").replace("~0", "~"))?;
    rest.map_or(Some(found), |rest| found.pointer(&format!("/{rest}")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const GOOD: &str = "label = \"Example\"\nissuer = \"https://id.example.org\"\nclient_id = \"dataflow\"\n";
    const MAPPING: &str =
        "[[mappings]]\nclaim = \"groups\"\nvalue = \"engineers\"\nworkspace = \"default\"\nroles = [\"editor\", \"user\"]\n";

    fn read(text: &str) -> Result<OidcConfig, String> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("oidc.toml");
        fs::write(&path, text).expect("own folder");
        OidcConfig::read(&path).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn each_mistake_is_told_in_one_sentence() {
        let config = read(&format!("{GOOD}{MAPPING}")).expect("sound");
        assert_eq!(config.scopes, ["openid", "email"]);
        assert_eq!(config.mappings.len(), 1);
        let with = |from: &str, to: &str| format!("{GOOD}{MAPPING}").replace(from, to);
        for (text, says) in [
            (with("label = \"Example\"\n", ""), "has to say label"),
            (with("\"Example\"", "\" \""), "from 1 to 40 characters"),
            (format!("colour = 1\n{GOOD}"), "unknown field `colour`"),
            (with("claim =", "claims ="), "unknown field `claims`"),
            (with("https://id", "http://id"), "in the clear"),
            (with("https://id.example.org", "id.example.org"), "no URL"),
            (with("id.example.org", "id.example.org?x"), "a part that no issuer has"),
            (with("\"dataflow\"", "\"\""), "client_id"),
            (format!("scopes = [\"email\"]\n{GOOD}"), "lack “openid”"),
            (format!("scopes = [\"openid email\"]\n{GOOD}"), "lack “openid”"),
            (format!("scopes = [\"openid\", \"a b\"]\n{GOOD}"), "“a b”"),
            (with("\"engineers\"", "\"\""), "an empty claim or value"),
            (with("\"default\"", "\"a/b\""), "cannot be the name of a workspace"),
            (with("\"editor\"", "\"owner\""), "“owner”"),
            (with("[\"editor\", \"user\"]", "[]"), "grants nothing"),
        ] {
            let told = read(&text).expect_err(says);
            assert!(told.contains(says), "{says}: {told}");
        }
    }

    #[test]
    fn claims_grant_what_their_mappings_say_and_nothing_else() {
        let more = "[[mappings]]\nclaim = \"/realm/roles\"\nvalue = \"ops\"\nworkspace = \"theirs\"\nroles = [\"admin\"]\n\
                    [[mappings]]\nclaim = \"groups\"\nvalue = \"all\"\nworkspace = \"default\"\nroles = [\"viewer\"]\n\
                    [[mappings]]\nclaim = \"email_verified\"\nvalue = \"true\"\nworkspace = \"open\"\nroles = [\"viewer\"]\n";
        let config = read(&format!("{GOOD}{MAPPING}{more}")).expect("sound");
        let granted = |claims: Value| {
            let claims = claims.as_object().expect("an object").clone();
            config.granted(&claims).into_iter().map(|(name, roles)| format!("{name}: {roles}")).collect::<Vec<_>>()
        };
        assert_eq!(granted(json!({"groups": "engineers"})), ["default: user,editor"]);
        assert_eq!(granted(json!({"groups": ["all", "engineers"]})), ["default: viewer,user,editor"]);
        assert_eq!(granted(json!({"realm": {"roles": ["ops"]}, "email_verified": true})), ["open: viewer", "theirs: admin"]);
        for nothing in [
            json!({}),
            json!({"groups": ["Engineers", "engineers ", "engineers,all", ["all"], {"all": true}]}),
            json!({"groups": {"engineers": true}}),
            json!({"group": "engineers", "realm": "ops", "roles": ["ops"], "email_verified": "True"}),
            json!({"/realm/roles": ["ops"], "realm/roles": ["ops"]}),
        ] {
            assert_eq!(granted(nothing.clone()), Vec::<String>::new(), "{nothing}");
        }
    }
}
