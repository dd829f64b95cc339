//! The body of `GET …/credentials`: written once for a version, with gaps that each answer fills with the secrets.
//!
//! The secrets go by hand into one buffer that has room for all from the start: a buffer that grows leaves copies behind.

use std::collections::BTreeMap;

use dataflow_model::{FieldPath, FieldValue, PublicFields, Secret, SecretFields, own_type::UrlTemplate};
use serde_json::json;

/// What the answer says before and after the fields.
pub(super) struct Head<'h> {
    pub name: &'h str,
    pub type_id: &'h str,
    pub connector: &'h str,
    pub dialect: Option<&'h str>,
    /// How a URL is built, of a type of the workspace's own that says so.
    pub url: Option<&'h UrlTemplate>,
    pub fingerprint: &'h str,
    pub version: i64,
}

/// The JSON before each secret, and that after the last.
#[derive(Debug, Default)]
pub(super) struct AnswerBody {
    gaps: Vec<(String, FieldPath)>,
    end: String,
    fingerprint: String,
    /// Ends with the version.
    version: String,
}

/// A fingerprint holds nothing that JSON would escape.
const FINGERPRINT: &str = ",\"fingerprint\":\"";
const HOP: &str = ",\"hop\":";
/// For what each body has besides: the words of its members, and what closes them.
const ROOM: usize = FINGERPRINT.len() + HOP.len() + 4;

enum Value<'v> {
    Public(&'v FieldValue),
    Secret(&'v FieldPath),
}

impl AnswerBody {
    /// The fields are nested as in a connection's JSON: `tls.mode` is the member `mode` of `tls`.
    pub fn new<'f>(head: &Head<'_>, public: &'f PublicFields, secrets: impl Iterator<Item = &'f FieldPath>) -> Self {
        let mut groups: BTreeMap<Option<&str>, Vec<(&str, Value<'f>)>> = BTreeMap::from([(None, Vec::new())]);
        let values = public.0.iter().map(|(path, value)| (path, Value::Public(value)));
        for (path, value) in values.chain(secrets.map(|path| (path, Value::Secret(path)))) {
            let (group, key) = path.group().map_or((None, path.as_str()), |(group, key)| (Some(group), key));
            groups.entry(group).or_default().push((key, value));
        }
        let mut body = Self::default();
        body.member("{", "name", &json!(head.name));
        body.member(",", "type", &json!(head.type_id));
        body.member(",", "base", &json!(head.connector));
        body.member(",", "sqlalchemy", &json!(head.dialect));
        if let Some(url) = head.url {
            body.member(",", "url", &json!(url));
        }
        body.end.push_str(",\"fields\":{");
        for (group, members) in groups {
            if let Some(group) = group {
                body.key(group);
                body.end.push('{');
            }
            for (key, value) in members {
                body.key(key);
                match value {
                    Value::Public(value) => body.end.push_str(&json!(value).to_string()),
                    Value::Secret(path) => body.gaps.push((std::mem::take(&mut body.end), path.clone())),
                }
            }
            if group.is_some() {
                body.end.push('}');
            }
        }
        body.end.push('}');
        head.fingerprint.clone_into(&mut body.fingerprint);
        body.version = format!(",\"version\":{}", json!(head.version));
        body
    }

    fn member(&mut self, before: &str, key: &str, value: &serde_json::Value) {
        self.end.push_str(before);
        self.end.push_str(&json!(key).to_string());
        self.end.push(':');
        self.end.push_str(&value.to_string());
    }

    /// A member's key, after a comma unless it is the first of its object.
    fn key(&mut self, key: &str) {
        let is_first = self.end.ends_with('{');
        if !is_first {
            self.end.push(',');
        }
        self.end.push_str(&json!(key).to_string());
        self.end.push(':');
    }

    /// The body with its secrets, and that of what the connection goes through; a secret that is not given is empty.
    pub fn with(&self, secrets: &SecretFields, hop: Option<(&Self, &SecretFields)>) -> Secret {
        let room = self.room(secrets) + hop.map_or(0, |(hop, secrets)| hop.room(secrets) + hop.fingerprint.len());
        let mut json = String::with_capacity(room);
        self.write(&mut json, secrets, hop.map(|(hop, _)| hop.fingerprint.as_str()));
        if let Some((hop, secrets)) = hop {
            json.push_str(HOP);
            hop.write(&mut json, secrets, None);
            json.push('}');
        }
        json.push('}');
        Secret::new(json)
    }

    /// The most that it takes.
    fn room(&self, secrets: &SecretFields) -> usize {
        let secret = |path| secrets.0.get(path).map_or("", Secret::expose_secret);
        let gaps = self.gaps.iter().map(|(before, path)| before.len() + 6 * secret(path).len() + 2).sum::<usize>();
        gaps + self.end.len() + self.fingerprint.len() + self.version.len() + ROOM
    }

    /// All but what closes it.
    fn write(&self, json: &mut String, secrets: &SecretFields, of_the_hop: Option<&str>) {
        for (before, path) in &self.gaps {
            json.push_str(before);
            quote(json, secrets.0.get(path).map_or("", Secret::expose_secret));
        }
        json.push_str(&self.end);
        json.push_str(FINGERPRINT);
        json.push_str(&self.fingerprint);
        if let Some(hop) = of_the_hop {
            json.push('-');
            json.push_str(hop);
        }
        json.push('"');
        json.push_str(&self.version);
    }
}

/// A JSON string (RFC 8259, section 7), at most six times as long as the text, and its quotes.
fn quote(json: &mut String, text: &str) {
    const HEX: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    json.push('"');
    let mut rest = text;
    while let Some(at) = rest.bytes().position(|byte| byte < 0x20 || byte == b'"' || byte == b'\\') {
        let (plain, special) = rest.split_at(at);
        json.push_str(plain);
        let mut characters = special.chars();
        match characters.next() {
            Some(control) if control < ' ' => {
                let code = usize::try_from(u32::from(control)).unwrap_or_default();
                json.push_str("\\u00");
                json.extend([code >> 4, code & 15].into_iter().filter_map(|digit| HEX.get(digit)));
            }
            Some(other) => json.extend(['\\', other]),
            None => {}
        }
        rest = characters.as_str();
    }
    json.push_str(rest);
    json.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(public: &[(&str, FieldValue)], secrets: &[(&str, &str)]) -> serde_json::Value {
        let public = PublicFields(public.iter().map(|(path, value)| ((*path).into(), value.clone())).collect());
        let secrets =
            SecretFields(secrets.iter().map(|(path, text)| ((*path).into(), Secret::new((*text).to_owned()))).collect());
        let head = Head { name: "n", type_id: "t", connector: "c", dialect: None, url: None, fingerprint: "f", version: 3 };
        let body = AnswerBody::new(&head, &public, secrets.0.keys()).with(&secrets, None);
        serde_json::from_str(body.expose_secret()).expect("valid JSON")
    }

    #[test]
    fn fields_are_nested_and_every_byte_survives() {
        let all: String = (0..=0x2FF_u32).filter_map(char::from_u32).chain("漢😀".chars()).collect();
        let public = [
            ("host", FieldValue::Text(all.clone())),
            ("port", FieldValue::Integer(5)),
            ("tls.mode", FieldValue::Text("require".into())),
        ];
        let expected = json!({
            "name": "n", "type": "t", "base": "c", "sqlalchemy": null, "fingerprint": "f", "version": 3,
            "fields": {"host": all, "port": 5, "password": all, "extra": {"token": ""}, "tls": {"mode": "require", "key": "a\nb"}}
        });
        assert_eq!(read(&public, &[("password", &all), ("tls.key", "a\nb"), ("extra.token", "")]), expected);
        assert_eq!(read(&[], &[])["fields"], json!({}));
        assert_eq!(read(&[], &[("password", "{"), ("tls.key", "{")])["fields"], json!({"password": "{", "tls": {"key": "{"}}));
        assert_eq!(
            read(&[("host", FieldValue::Text("{".into()))], &[("password", "x")])["fields"],
            json!({"host": "{", "password": "x"})
        );
    }

    #[test]
    fn what_it_goes_through_comes_with_it_and_the_buffer_never_grows() {
        let body = |fingerprint| {
            let head = Head { name: "n", type_id: "t", connector: "c", dialect: None, url: None, fingerprint, version: 3 };
            AnswerBody::new(&head, &PublicFields::default(), [FieldPath::from("password")].iter())
        };
        let secrets = |text: &str| SecretFields([("password".into(), Secret::new(text.to_owned()))].into());
        let (own, hop) = (secrets(&"\u{1}".repeat(64)), secrets(&"\u{2}".repeat(64)));
        let (with, beyond) = (body("f"), body("h"));
        let room = with.room(&own) + beyond.room(&hop) + 1;
        let json = with.with(&own, Some((&beyond, &hop)));
        assert!(json.expose_secret().len() <= room, "{} of {room}", json.expose_secret().len());
        let read: serde_json::Value = serde_json::from_str(json.expose_secret()).expect("valid JSON");
        assert_eq!((&read["fingerprint"], &read["hop"]["fingerprint"]), (&json!("f-h"), &json!("h")));
        assert_eq!(read["fields"]["password"], "\u{1}".repeat(64));
        assert_eq!(read["hop"]["fields"]["password"], "\u{2}".repeat(64));
    }

    #[test]
    fn the_buffer_with_the_secrets_never_grows() {
        let mut json = String::with_capacity(6 * 64 + 2);
        let room = json.capacity();
        quote(&mut json, &"\u{1}".repeat(64));
        assert_eq!((json.len(), json.capacity()), (room, room));
    }
}
