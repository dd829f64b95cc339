//! Takes secrets out of foreign text, and makes it fit to be shown.
//!
//! Whatever a server or a driver says may repeat what it was told. It passes here before it is shown, logged or kept.

use std::fmt::Write as _;

use base64::{Engine as _, engine::general_purpose};
use dataflow_model::SecretFields;
use zeroize::Zeroizing;

use crate::{Target, connector::PASSWORD, hops::Way};

/// Longest foreign text that is shown, in characters.
pub const LONGEST: usize = 300;
/// A secret shorter than this cannot be cut out without leaving holes that tell it; then the whole text is withheld.
const SHORTEST: usize = 4;
const WITHHELD: &str = "(withheld)";
/// From how many characters on the beginning of a form in base64 is cut out.
const BEGINNING: usize = 8;

/// Knows the secrets of one target in every form in which they are likely to come back.
pub struct Scrubber {
    forms: Vec<Zeroizing<String>>,
    /// In base64. Of these the beginning is cut out, too: who repeats a long word may leave out its end.
    encoded: Vec<Zeroizing<String>>,
    withhold_all: bool,
}

impl Scrubber {
    #[must_use]
    pub fn new(secrets: &SecretFields) -> Self {
        let mut scrubber = Self { forms: Vec::new(), encoded: Vec::new(), withhold_all: false };
        for secret in secrets.0.values() {
            scrubber.add(secret.expose_secret());
        }
        scrubber.sort();
        scrubber
    }

    /// Knows the password that a login is given, too.
    #[must_use]
    pub fn of(target: &Target) -> Self {
        let mut scrubber = Self::new(&target.secrets);
        // As the scheme Basic sends it, plain or as OAuth escapes it.
        let (username, password) = (target.text("username"), target.expose_secret(PASSWORD));
        if password.len() >= SHORTEST {
            let [name, escaped] = [username, password].map(|text| percent(text.as_bytes(), false));
            for pair in [format!("{username}:{password}"), format!("{}:{}", *name, *escaped)] {
                scrubber.and(&general_purpose::STANDARD.encode(Zeroizing::new(pair).as_bytes()));
            }
            // As SASL's PLAIN sends it (RFC 4616).
            scrubber.encode(Zeroizing::new(format!("\0{username}\0{password}")).as_bytes());
            scrubber.sort();
        }
        if let Some(new) = &target.new_password {
            scrubber.and(new.expose_secret());
        }
        // Whoever leads there can say what he likes in the name of what lies beyond.
        if let Some(Ok(hop)) = target.way.as_deref().map(Way::hop) {
            let of_the_hop = Self::of(&hop.target);
            scrubber.forms.extend(of_the_hop.forms);
            scrubber.encoded.extend(of_the_hop.encoded);
            scrubber.withhold_all |= of_the_hop.withhold_all;
            scrubber.sort();
        }
        scrubber
    }

    /// Has `secret` cut out, too, and before all that is part of it.
    pub fn and(&mut self, secret: &str) {
        self.add(secret);
        self.sort();
    }

    /// Longest first, so that a form that is part of another does not break it up.
    fn sort(&mut self) {
        for forms in [&mut self.forms, &mut self.encoded] {
            forms.sort_by_key(|form| std::cmp::Reverse(form.len()));
        }
    }

    /// Knows the forms of `bytes` in base64, with and without what fills them up.
    fn encode(&mut self, bytes: &[u8]) {
        self.encoded.push(Zeroizing::new(general_purpose::STANDARD.encode(bytes)));
        self.encoded.push(Zeroizing::new(general_purpose::STANDARD_NO_PAD.encode(bytes)));
        self.encoded.push(Zeroizing::new(general_purpose::URL_SAFE_NO_PAD.encode(bytes)));
    }

    fn add(&mut self, secret: &str) {
        if secret.is_empty() {
            return;
        }
        if secret.len() < SHORTEST {
            self.withhold_all = true;
            return;
        }
        let bytes = secret.as_bytes();
        self.forms.push(Zeroizing::new(secret.to_owned()));
        self.forms.push(percent(bytes, false));
        self.forms.push(percent(bytes, true));
        self.forms.push(Zeroizing::new(secret.replace('\'', "''")));
        self.forms.push(Zeroizing::new(secret.escape_default().to_string()));
        // As a quoted string of IMAP has it, and as JSON has it.
        let escaped = Zeroizing::new(secret.replace('\\', "\\\\"));
        self.forms.push(Zeroizing::new(escaped.replace('"', "\\\"")));
        if let Ok(json) = serde_json::to_string(secret).map(Zeroizing::new) {
            let inner = json.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(&json);
            self.forms.push(Zeroizing::new(inner.to_owned()));
        }
        self.encode(bytes);
        // A key is many lines; any one of them is a secret of its own.
        for line in secret.lines().filter(|line| line.len() >= 16 && line.len() < secret.len() && !line.starts_with("-----")) {
            self.forms.push(Zeroizing::new(line.to_owned()));
        }
    }

    /// The text without secrets and control characters, at most [`LONGEST`] characters.
    #[must_use]
    pub fn clean(&self, text: &str) -> String {
        if self.withhold_all {
            return WITHHELD.to_owned();
        }
        let mut clean = text.to_owned();
        for form in &self.forms {
            if clean.contains(form.as_str()) {
                clean = clean.replace(form.as_str(), WITHHELD);
            }
        }
        for form in &self.encoded {
            clean = without_beginning(&clean, form);
        }
        printable(&clean)
    }
}

/// The text with `form` cut out, and of `form` as much as there is of it from its first [`BEGINNING`] characters on.
fn without_beginning(text: &str, form: &str) -> String {
    let beginning = form.get(..BEGINNING).unwrap_or(form);
    let mut parts = text.split(beginning);
    let mut clean = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = form.get(beginning.len()..).unwrap_or_default();
        let same = part.bytes().zip(rest.bytes()).take_while(|(one, other)| one == other).count();
        clean.push_str(WITHHELD);
        clean.push_str(part.get(same..).unwrap_or_default());
    }
    clean
}

/// The text with control and bidirectional characters made blank, cut at [`LONGEST`] characters. For text that cannot hold a
/// secret, such as a name in a certificate.
#[must_use]
pub fn printable(text: &str) -> String {
    let mut out = String::new();
    for (count, character) in text.trim().chars().enumerate() {
        if count == LONGEST {
            out.push('…');
            break;
        }
        let hidden = character.is_control()
            || matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}');
        out.push(if hidden { ' ' } else { character });
    }
    out
}

pub(crate) fn percent(bytes: &[u8], lower: bool) -> Zeroizing<String> {
    let mut out = Zeroizing::new(String::with_capacity(bytes.len() * 3));
    for byte in bytes {
        let _ = match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => write!(out, "{}", char::from(*byte)),
            _ if lower => write!(out, "%{byte:02x}"),
            _ => write!(out, "%{byte:02X}"),
        };
    }
    out
}

#[cfg(test)]
mod tests {
    use dataflow_model::{FieldValue, PublicFields, Secret};

    use super::*;

    fn scrubber(secret: &str) -> Scrubber {
        Scrubber::new(&SecretFields([("password".into(), Secret::new(secret.to_owned()))].into()))
    }

    #[test]
    fn a_secret_is_cut_out_in_every_form() {
        let secret = "p'ss w@rd/é\"";
        let scrubber = scrubber(secret);
        for form in [
            secret,
            "p''ss w@rd/é\"",
            "p%27ss%20w%40rd%2F%C3%A9%22",
            "p%27ss%20w%40rd%2f%c3%a9%22",
            &general_purpose::STANDARD.encode(secret),
            &general_purpose::URL_SAFE.encode(secret),
            "p'ss w@rd/é\\\"",
        ] {
            let clean = scrubber.clean(&format!("login failed for {form}: no"));
            assert!(clean.starts_with("login failed for (withheld)") && !clean.contains("rd"), "{form} left {clean}");
        }
    }

    #[test]
    fn a_sign_in_by_plain_is_cut_out_whole_and_where_its_end_is_left_out() {
        let password = "Zq\"7\\kX!9\tplanted";
        for username in ["ann", "anna", "annas", "an ever longer name"] {
            let public = [("username".into(), FieldValue::Text(username.to_owned()))].into();
            let secrets = [("password".into(), Secret::new(password.to_owned()))].into();
            let target = Target { public: PublicFields(public), secrets: SecretFields(secrets), ..Target::default() };
            let scrubber = Scrubber::of(&target);
            let plain = general_purpose::STANDARD.encode(format!("\0{username}\0{password}"));
            for said in
                [plain.as_str(), plain.trim_end_matches('='), plain.split_at(plain.len() - 3).0, plain.split_at(BEGINNING).0]
            {
                assert_eq!(scrubber.clean(&format!("bad: {said} {said}!")), "bad: (withheld) (withheld)!", "{username} {said}");
            }
            for said in ["\"Zq\\\"7\\\\kX!9\tplanted\"", "\"Zq\\\"7\\\\kX!9\\tplanted\""] {
                assert_eq!(scrubber.clean(said), "\"(withheld)\"", "{said}");
            }
        }
    }

    #[test]
    fn a_line_of_a_key_is_a_secret_too() {
        let scrubber = scrubber("-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0\n-----END PRIVATE KEY-----\n");
        assert_eq!(scrubber.clean("bad line MIIEvQIBADANBgkqhkiG9w0"), "bad line (withheld)");
    }

    #[test]
    fn where_a_short_secret_is_known_no_foreign_text_is_shown() {
        assert_eq!(scrubber("abc").clean("no pg_hba entry for abc"), WITHHELD);
    }

    #[test]
    fn what_is_shown_is_short_and_has_no_control_characters() {
        let scrubber = scrubber("long enough");
        assert_eq!(scrubber.clean("a\u{1b}[31m\nb\u{202e}c"), "a [31m b c");
        assert_eq!(scrubber.clean(&"x".repeat(301)).chars().count(), LONGEST + 1);
        assert_eq!(scrubber.clean(&"x".repeat(300)), "x".repeat(300));
    }
}
