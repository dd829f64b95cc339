//! A draft held against its type: complete, valid, with defaults filled in, or every refused field at once.
//!
//! No error repeats a value: it may be a secret in the wrong field.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use crate::{
    ConnectionName, ConnectionType, Field, FieldError, FieldInput, FieldKind, FieldPath, FieldValue, PublicFields, Secret,
};

/// What to do with one secret field.
#[derive(Debug)]
pub enum SecretChange {
    Keep,
    Clear,
    Set(Secret),
}

/// Fields after they were held against the type: complete, valid, with defaults filled in.
#[derive(Debug)]
pub struct Settled {
    pub public: PublicFields,
    /// Every secret field of the type, in its order.
    pub secrets: BTreeMap<FieldPath, SecretChange>,
}

impl ConnectionType {
    /// Holds what was written against this type, over the public fields of the version before (`None` for a new connection).
    /// Absent keeps what was, `null` goes back to the default, a secret left out is kept.
    ///
    /// # Errors
    /// Every refused field at once, in a stable order; nothing of the values.
    pub fn settle(
        &self,
        fields: BTreeMap<FieldPath, FieldInput>,
        before: Option<&PublicFields>,
        is_admin: bool,
    ) -> Result<Settled, Vec<FieldError>> {
        let mut errors = Vec::new();
        let mut public = PublicFields::default();
        if let Some(before) = before {
            public.0.extend(
                before
                    .0
                    .iter()
                    .filter(|(path, _)| self.field(path.as_str()).is_some_and(|field| !field.secret))
                    .map(|(path, value)| (path.clone(), value.clone())),
            );
        }
        public.0.retain(|path, _| self.field(path.as_str()).is_none_or(|field| !field.computed));
        if self.own.is_some() {
            // Its definition may have changed since: what no longer is a value of its field is no value to go on with.
            let kept = public.0.iter().filter(|(path, _)| !fields.contains_key(*path));
            errors.extend(kept.filter_map(|(path, value)| check_value(self.field(path.as_str())?, value).err()));
        }
        let was_loopback = stays_here(&public);
        let written: BTreeSet<FieldPath> = fields.keys().cloned().collect();
        let mut secrets: BTreeMap<_, _> =
            self.fields.iter().filter(|f| f.secret).map(|f| (f.path.clone(), SecretChange::Keep)).collect();
        for (path, input) in fields {
            let Some(field) = self.field(path.as_str()) else {
                errors.push(FieldError::new(path.as_str(), "unknown_field", format!("{} has no such field", self.label)));
                continue;
            };
            if field.computed {
                continue;
            }
            let checked = if field.secret {
                check_secret(field, input).map(|change| {
                    secrets.insert(path.clone(), change);
                })
            } else {
                check_public(field, input).map(|value| match value {
                    Some(value) => {
                        if field.admin && !is_admin && public.0.get(&path) != Some(&value) {
                            errors.push(FieldError::new(path.as_str(), "admin_only", "may be set by an admin only"));
                        }
                        public.0.insert(path.clone(), value);
                    }
                    None => {
                        if public.0.remove(&path).is_some() && field.admin && !is_admin {
                            errors.push(FieldError::new(
                                path.as_str(),
                                "admin_only",
                                "was set by an admin, and may be cleared by one only",
                            ));
                        }
                    }
                })
            };
            if let Err(error) = checked {
                errors.push(error);
            }
        }
        let loopback = stays_here(&public);
        if before.is_some() && loopback != was_loopback {
            // What was a default for the old host is one for the new host again: TLS does not stay off on the way to the network.
            for field in self.fields.iter().filter(|field| field.default_on_loopback.is_some() && !written.contains(&field.path))
            {
                let old_default = if was_loopback { &field.default_on_loopback } else { &field.default };
                if public.0.get(&field.path) == old_default.as_ref() {
                    public.0.remove(&field.path);
                }
            }
        }
        for field in self.fields.iter().filter(|field| !field.secret) {
            let default = field.default_on_loopback.as_ref().filter(|_| loopback).or(field.default.as_ref());
            if let (false, Some(default)) = (public.0.contains_key(&field.path), default) {
                public.0.insert(field.path.clone(), default.clone());
            }
            if field.required && !public.0.contains_key(&field.path) && !errors.iter().any(|e| e.field == field.path.as_str()) {
                errors.push(FieldError::new(field.path.as_str(), "required", "is needed"));
            }
        }
        if errors.is_empty() { Ok(Settled { public, secrets }) } else { Err(errors) }
    }
}

/// The connection that another one goes through, by name.
pub const THROUGH: &str = "extra.through";
/// Where that one led when this one was saved.
pub const THROUGH_PIN: &str = "extra.through_pin";

/// Whether what a connection sends stays on this machine: its host is this machine, and no other one lies between.
#[must_use]
pub fn stays_here(public: &PublicFields) -> bool {
    public.text(THROUGH).is_none() && public.text("host").is_some_and(is_loopback)
}

/// Whether a host is this machine by its own words: a loopback address, or `localhost`.
#[must_use]
pub fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

fn check_secret(field: &Field, input: FieldInput) -> Result<SecretChange, FieldError> {
    let refuse = |code: &str, message: String| Err(FieldError::new(field.path.as_str(), code, message));
    match input {
        FieldInput::Keep { .. } => Ok(SecretChange::Keep),
        FieldInput::Null => Ok(SecretChange::Clear),
        FieldInput::Text(text) => {
            if text.is_empty() {
                return Ok(SecretChange::Clear);
            }
            if text.expose_secret().chars().count() > field.length_limit() {
                return refuse("too_long", format!("must have at most {} characters", field.length_limit()));
            }
            if field.kind == FieldKind::PrivateKey {
                if !is_pem(text.expose_secret(), "PRIVATE KEY-----") {
                    return refuse(
                        "invalid",
                        "must be a private key in PEM form, beginning with “-----BEGIN … PRIVATE KEY-----”".into(),
                    );
                }
            } else if text.expose_secret().contains(['\n', '\r', '\0']) {
                return refuse("invalid", "must be one line: no line break and no NUL".into());
            }
            Ok(SecretChange::Set(text))
        }
        FieldInput::Boolean(_) | FieldInput::Integer(_) | FieldInput::Other => refuse("wrong_type", "must be a text".into()),
    }
}

/// Whether a value is one of a public field.
pub(crate) fn check_value(field: &Field, value: &FieldValue) -> Result<(), FieldError> {
    let input = match value {
        FieldValue::Boolean(value) => FieldInput::Boolean(*value),
        FieldValue::Integer(value) => FieldInput::Integer(*value),
        FieldValue::Text(text) => FieldInput::Text(Secret::new(text.clone())),
    };
    check_public(field, input).map(|_| ())
}

fn check_public(field: &Field, input: FieldInput) -> Result<Option<FieldValue>, FieldError> {
    let refuse = |code: &str, message: String| Err(FieldError::new(field.path.as_str(), code, message));
    let value = match (field.kind, input) {
        (_, FieldInput::Null) => return Ok(None),
        (FieldKind::Boolean, FieldInput::Boolean(value)) => FieldValue::Boolean(value),
        (FieldKind::Boolean, _) => return refuse("wrong_type", "must be true or false".into()),
        (FieldKind::Port | FieldKind::Integer, FieldInput::Integer(number)) => {
            let (min, max) = match field.kind {
                FieldKind::Port => (1, 65_535),
                _ => (field.min.unwrap_or(i64::MIN), field.max.unwrap_or(i64::MAX)),
            };
            if number < min || number > max {
                return refuse("out_of_range", format!("must be from {min} to {max}"));
            }
            FieldValue::Integer(number)
        }
        (FieldKind::Port | FieldKind::Integer, _) => return refuse("wrong_type", "must be a whole number".into()),
        (_, FieldInput::Text(text)) => match check_text(field, text.expose_secret())? {
            Some(text) => FieldValue::Text(text),
            None => return Ok(None),
        },
        (_, _) => return refuse("wrong_type", "must be a text".into()),
    };
    Ok(Some(value))
}

fn check_text(field: &Field, text: &str) -> Result<Option<String>, FieldError> {
    let refuse = |code: &str, message: String| Err(FieldError::new(field.path.as_str(), code, message));
    if text.is_empty() {
        return Ok(None);
    }
    if text.chars().count() > field.length_limit() {
        return refuse("too_long", format!("must have at most {} characters", field.length_limit()));
    }
    match field.kind {
        FieldKind::Certificate if is_pem(text, "CERTIFICATE-----") => return Ok(Some(text.to_owned())),
        FieldKind::Certificate => {
            return refuse("invalid", "must be certificates in PEM form, beginning with “-----BEGIN CERTIFICATE-----”".into());
        }
        _ if text.chars().any(char::is_control) => {
            return refuse("invalid", "must be one line without control characters".into());
        }
        FieldKind::Choice if !field.choices.iter().any(|choice| choice.value == text) => {
            let known: Vec<_> = field.choices.iter().map(|choice| choice.value.as_str()).collect();
            return refuse("not_a_choice", format!("must be one of: {}", known.join(", ")));
        }
        FieldKind::Host if !is_host(text) => {
            return refuse("invalid", "must be a host name or an IP address alone, without scheme, port or path".into());
        }
        FieldKind::Connection if ConnectionName::new(text).is_err() => {
            return refuse("invalid", "must be the name of a connection".into());
        }
        FieldKind::File if !is_inner_path(text) => {
            return refuse("invalid", "must be a relative path inside the folder: no leading “/”, no “..”".into());
        }
        _ => {}
    }
    Ok(Some(text.to_owned()))
}

fn is_pem(text: &str, label: &str) -> bool {
    let text = text.trim();
    text.starts_with("-----BEGIN ")
        && text.lines().next().is_some_and(|first| first.trim_end().ends_with(label))
        && text.ends_with("-----")
}

pub(crate) fn is_host(text: &str) -> bool {
    let bare = text.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(text);
    bare.parse::<IpAddr>().is_ok()
        || (bare == text
            && !text.starts_with(['-', '.'])
            && text.chars().all(|c| c.is_alphanumeric() || matches!(c, '.' | '-' | '_')))
}

fn is_inner_path(text: &str) -> bool {
    !text.contains(['\\', '?', '#', ':'])
        && !text.starts_with('/')
        && text.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Catalogue, Draft,
        draft::{check_description, check_tags},
    };

    fn settle(json: &str) -> Result<Settled, Vec<FieldError>> {
        let draft: Draft = serde_json::from_str(json).expect("valid JSON");
        if !draft.errors.is_empty() {
            return Err(draft.errors);
        }
        let catalogue = Catalogue::built_in().expect("sound");
        let kind = catalogue.get(draft.type_id.as_deref().unwrap_or("postgres")).expect("known");
        kind.settle(draft.fields, None, false)
    }

    fn codes(json: &str) -> Vec<(String, String)> {
        settle(json).expect_err("must be refused").into_iter().map(|e| (e.field, e.code)).collect()
    }

    #[test]
    fn defaults_are_filled_in() {
        let settled = settle(r#"{"host":"db.example.org","username":"u","password":"p"}"#).expect("fine");
        assert_eq!(settled.public.integer("port"), Some(5432));
        assert_eq!(settled.public.text("tls.mode"), Some("verify-full"));
        assert!(matches!(settled.secrets.get("password"), Some(SecretChange::Set(_))));
        let settled = settle(r#"{"host":"127.0.0.1","username":"u"}"#).expect("fine");
        assert_eq!(settled.public.text("tls.mode"), Some("disable"));
        assert!(matches!(settled.secrets.get("password"), Some(SecretChange::Keep)));
    }

    #[test]
    fn a_host_that_leaves_loopback_gets_its_own_tls_default() {
        let catalogue = Catalogue::built_in().expect("sound");
        let kind = catalogue.get("postgres").expect("known");
        let settle = |json: &str, before: Option<&PublicFields>| {
            let draft: Draft = serde_json::from_str(json).expect("valid");
            kind.settle(draft.fields, before, false).expect("fine").public
        };
        let local = settle(r#"{"host":"localhost","username":"u"}"#, None);
        assert_eq!(local.text("tls.mode"), Some("disable"));
        assert_eq!(settle(r#"{"host":"db.example.org"}"#, Some(&local)).text("tls.mode"), Some("verify-full"));
        assert_eq!(
            settle(r#"{"host":"db.example.org","tls":{"mode":"disable"}}"#, Some(&local)).text("tls.mode"),
            Some("disable")
        );
        let chosen = settle(r#"{"host":"localhost","username":"u","tls":{"mode":"require"}}"#, None);
        assert_eq!(settle(r#"{"host":"db.example.org"}"#, Some(&chosen)).text("tls.mode"), Some("require"));
    }

    #[test]
    fn each_bad_value_is_refused_by_field_and_code() {
        let base = |more: &str| format!(r#"{{"host":"h","username":"u",{more}}}"#);
        for (more, field, code) in [
            (r#""port":65536"#, "port", "out_of_range"),
            (r#""port":"5432""#, "port", "wrong_type"),
            (r#""port":1.5"#, "port", "wrong_type"),
            (r#""colour":"red""#, "colour", "unknown_field"),
            (r#""Port":5432"#, "Port", "unknown_field"),
            (r#""tls.mode":"disable""#, "tls.mode", "unknown_field"),
            (r#""extra":{"sslkey":"/etc/passwd"}"#, "extra.sslkey", "unknown_field"),
            (r#""extra":{"insecure_auth":"md5"}"#, "extra.insecure_auth", "admin_only"),
            (r#""tls":{"mode":"prefer"}"#, "tls.mode", "not_a_choice"),
            (r#""tls":"require""#, "tls", "wrong_type"),
            (r#""tls":{"key":"secret"}"#, "tls.key", "invalid"),
            (r#""password":7"#, "password", "wrong_type"),
            (r#""password":"a\nb""#, "password", "invalid"),
            (r#""port":1,"port":2"#, "port", "duplicate_field"),
            (r#""extra":{"timezone":"a","timezone":"b"}"#, "extra.timezone", "duplicate_field"),
        ] {
            assert_eq!(codes(&base(more)), [(field.to_owned(), code.to_owned())], "{more}");
        }
        let lines = settle(&base(r#""password":"a\nb""#)).expect_err("must be refused");
        assert_eq!(lines.first().map(|error| error.message.as_str()), Some("must be one line: no line break and no NUL"));
        assert_eq!(codes("{}").len(), 2, "host and username are needed");
        for host in ["http://x", "h:5432", "a/b", "a b", "-x"] {
            assert_eq!(codes(&format!(r#"{{"username":"u","host":"{host}"}}"#)).len(), 1, "{host}");
        }
        for file in ["/etc/passwd", "../x", "a/../b", "a//b", "file:x", "x?mode=rwc"] {
            assert_eq!(codes(&format!(r#"{{"type":"sqlite","database":"{file}"}}"#)).len(), 1, "{file}");
        }
    }

    #[test]
    fn every_field_has_a_limit_that_holds_one_step_past_it() {
        let catalogue = Catalogue::built_in().expect("sound");
        for kind in catalogue.all() {
            for field in kind.fields.iter().filter(|field| !field.computed) {
                let refused = |input: FieldInput| {
                    let fields = BTreeMap::from([(field.path.clone(), input)]);
                    kind.settle(fields, None, true)
                        .err()
                        .unwrap_or_default()
                        .iter()
                        .any(|e| e.field == field.path.as_str() && e.code != "required")
                };
                match field.kind {
                    FieldKind::Port => assert!(refused(FieldInput::Integer(65_536)) && refused(FieldInput::Integer(0))),
                    FieldKind::Integer => {
                        let (min, max) = (field.min.expect("a limit"), field.max.expect("a limit"));
                        assert!(refused(FieldInput::Integer(max + 1)) && refused(FieldInput::Integer(min - 1)), "{}", field.path);
                        assert!(!refused(FieldInput::Integer(max)) && !refused(FieldInput::Integer(min)), "{}", field.path);
                    }
                    FieldKind::Boolean | FieldKind::Choice => assert!(refused(FieldInput::Text(Secret::new("maybe".into())))),
                    FieldKind::Certificate | FieldKind::PrivateKey => {
                        let label = if field.secret { "PRIVATE KEY" } else { "CERTIFICATE" };
                        let pem = |size: usize| format!("-----BEGIN {label}-----\n{}\n-----END {label}-----", "A".repeat(size));
                        let frame = pem(0).len();
                        let limit = field.length_limit();
                        assert!(!refused(FieldInput::Text(Secret::new(pem(limit - frame)))), "{}", field.path);
                        assert!(refused(FieldInput::Text(Secret::new(pem(limit - frame + 1)))), "{}", field.path);
                    }
                    _ => {
                        let limit = field.length_limit();
                        assert!(!refused(FieldInput::Text(Secret::new("a".repeat(limit)))), "{}", field.path);
                        assert!(refused(FieldInput::Text(Secret::new("a".repeat(limit + 1)))), "{}", field.path);
                    }
                }
            }
        }
    }

    /// What an admin set is not gone by the hand of somebody who could not have set it.
    #[test]
    fn a_field_for_admins_is_cleared_by_admins() {
        let catalogue = Catalogue::built_in().expect("sound");
        let kind = catalogue.get("postgres").expect("known");
        let settle = |json: &str, before: Option<&PublicFields>, is_admin: bool| {
            let draft: Draft = serde_json::from_str(json).expect("valid");
            kind.settle(draft.fields, before, is_admin)
        };
        let set = settle(r#"{"host":"h","username":"u","extra":{"insecure_auth":"md5"}}"#, None, true).expect("an admin").public;
        for gone in [r#"{"extra":{"insecure_auth":null}}"#, r#"{"extra":{"insecure_auth":""}}"#] {
            let errors = settle(gone, Some(&set), false).expect_err("must be refused");
            let told: Vec<_> = errors.iter().map(|error| (error.field.as_str(), error.code.as_str())).collect();
            assert_eq!(told, [("extra.insecure_auth", "admin_only")], "{gone}");
            assert_eq!(settle(gone, Some(&set), true).expect("an admin").public.text("extra.insecure_auth"), None);
        }
        // What is not set is not cleared, and what is not said stays.
        assert!(settle(r#"{"host":"h","username":"u","extra":{"insecure_auth":null}}"#, None, false).is_ok());
        assert_eq!(settle("{}", Some(&set), false).expect("kept").public.text("extra.insecure_auth"), Some("md5"));
    }

    #[test]
    fn an_answer_sent_back_changes_nothing() {
        let draft: Draft = serde_json::from_str(
            r#"{"host":"h","username":"u","password":{"set":true},"tls":{"key":{"set":false}},"version":3}"#,
        )
        .expect("valid");
        let settled = Catalogue::built_in()
            .expect("sound")
            .get("postgres")
            .expect("known")
            .settle(draft.fields, None, false)
            .expect("fine");
        assert!(settled.secrets.values().all(|change| matches!(change, SecretChange::Keep)));
    }

    #[test]
    fn tags_and_descriptions_have_limits() {
        assert!(check_description(&"d".repeat(1000)).is_ok() && check_description(&"d".repeat(1001)).is_err());
        let tags = |n: usize| (0..n).map(|i| format!("t{i}")).collect::<Vec<_>>();
        assert!(check_tags(&tags(20)).is_ok() && check_tags(&tags(21)).is_err());
        assert_eq!(check_tags(&["b".into(), "A".into(), "B".into()]).map(|t| t.len()), Ok(2));
    }
}
