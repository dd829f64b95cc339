//! Where something is asked: paths under a prefix, and whole URLs that a connection names beside its own host.

use dataflow_model::{FieldValue, PublicFields, Secret, TestError};
use hyper::Uri;

use crate::{Target, causes, connector::PASSWORD, scrub::percent};

/// Where a connection says under which path the service lies.
const PREFIX: &str = "extra.path";

/// Fields that stand in paths. A query after the test path is its own.
const PATHS: [(&str, &[char]); 3] = [(PREFIX, &['?', '#']), ("extra.mount", &['?', '#']), ("extra.test_path", &['#'])];

/// Refuses what would have something else asked than what follows the prefix: whoever may change a path may not choose any other by it.
pub(crate) fn check_paths(target: &Target) -> Result<(), TestError> {
    for (field, refused) in PATHS {
        let text = target.text(field);
        let path = text.split('?').next().unwrap_or_default().to_ascii_lowercase().replace("%2e", ".");
        if text.contains(refused) || path.split(['/', '\\']).any(|part| matches!(part, "." | "..")) {
            return Err(causes::no_path(field));
        }
    }
    Ok(())
}

/// `path`, which begins with a slash, under the connection's own prefix.
pub(crate) fn joined(target: &Target, path: &str) -> String {
    match target.text(PREFIX).trim_matches('/') {
        "" => path.to_owned(),
        prefix => format!("/{prefix}{path}"),
    }
}

/// The same connection, to this host.
pub(crate) fn at(target: &Target, host: &str) -> Target {
    let mut other = target.with_password(&Secret::new(target.expose_secret(PASSWORD).to_owned()));
    other.message.clone_from(&target.message);
    other.public.0.insert("host".into(), FieldValue::Text(host.to_owned()));
    other
}

/// `name=value` of each that has a value, escaped, as queries and forms have them.
pub(crate) fn form(pairs: &[(&str, &str)]) -> String {
    let set = pairs.iter().filter(|(_, value)| !value.is_empty());
    set.map(|(name, value)| format!("{name}={}", &*percent(value.as_bytes(), false))).collect::<Vec<_>>().join("&")
}

/// A URL that a connection names, taken apart.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) is_tls: bool,
    /// Path and query.
    pub(crate) path: String,
}

impl Place {
    /// `field` is to blame if it is no URL.
    pub(crate) fn read(url: &str, field: &str) -> Result<Self, TestError> {
        let no_url = || causes::no_url(field);
        let uri = Uri::try_from(url.trim()).map_err(|_| no_url())?;
        let is_tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(no_url()),
        };
        let authority = uri.authority().filter(|authority| !authority.as_str().contains('@')).ok_or_else(no_url)?;
        let port = authority.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        Ok(Self { host: authority.host().to_owned(), port, is_tls, path })
    }

    /// What a client is made for it from. Its certificate is verified with `authority` if there is one, else as the system does; HTTP without TLS
    /// is as the connection's own would be.
    pub(crate) fn target(&self, connection: &Target, authority: &str) -> Target {
        let text = |value: &str| FieldValue::Text(value.to_owned());
        let mut public = PublicFields::default();
        let mut set = |path: &str, value| public.0.insert(path.into(), value);
        set("host", text(&self.host));
        set("port", FieldValue::Integer(self.port.into()));
        set("tls.mode", text(if self.is_tls { "verify-full" } else { "disable" }));
        set("tls.ca", text(authority));
        set("extra.insecure_auth", text(connection.text("extra.insecure_auth")));
        Target { public, ..connection.with_password(&Secret::new(connection.expose_secret(PASSWORD).to_owned())) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_whole_and_has_nobody_in_it() {
        let place = Place::read("https://auth.example.org/oauth/token?tenant=a", "extra.oauth_url").expect("a URL");
        assert_eq!((place.host.as_str(), place.port, place.is_tls), ("auth.example.org", 443, true));
        assert_eq!(place.path, "/oauth/token?tenant=a");
        let place = Place::read("http://[::1]:8080", "extra.oauth_url").expect("a URL");
        assert_eq!((place.host.as_str(), place.port, place.is_tls, place.path.as_str()), ("[::1]", 8080, false, "/"));
        for text in ["", "auth.example.org", "/token", "ftp://a/b", "https://user:password@host/", "https:///x", "https://a b/"] {
            assert!(Place::read(text, "extra.oauth_url").is_err(), "{text}");
        }
    }

    #[test]
    fn a_path_leads_nowhere_else() {
        let refused = |field: &str, text: &str| {
            let mut target = Target::default();
            target.public.0.insert(field.into(), FieldValue::Text(text.to_owned()));
            check_paths(&target).is_err()
        };
        for text in ["v1?x=", "v1#x", "../v2", "a/../b", "a/%2E%2e/b", "./a", "a\\..\\b"] {
            assert!(refused("extra.path", text) && refused("extra.mount", text), "{text}");
        }
        for text in ["", "v1", "/api/v2/", "a..b/.well-known", "%2Fa"] {
            assert!(!refused("extra.path", text) && !refused("extra.mount", text), "{text}");
        }
        assert!(!refused("extra.test_path", "/me?fields=id&of=../x") && refused("extra.test_path", "/../me?x"));
    }

    proptest::proptest! {
        #[test]
        fn whatever_is_typed_is_a_place_or_refused(text: String) {
            let _ = Place::read(&text, "extra.oauth_url");
        }
    }
}
