//! IMAP (RFC 9051 and RFC 3501): it signs in and looks at the inbox with `EXAMINE`, which changes nothing.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use dataflow_model::{StepName, TestError};
use zeroize::Zeroizing;

use super::{
    TLS_START,
    link::{ANYBODY, LARGEST, LONGEST_LINE, Link, Protocol},
    talk::Talk,
};
use crate::{Target, causes, http::Proof};

static PROTOCOL: Protocol = Protocol {
    name: "imap",
    product: "IMAP",
    question: ANYBODY,
    is_its: |first| first.starts_with(b"* OK") || first.starts_with(b"* PREAUT") || first.starts_with(b"* BYE"),
    tls_start: Some(TLS_START),
    goodbye: b"z LOGOUT\r\n",
};

/// Most lines of an answer. All of them together are [`LARGEST`] at most.
const MOST: usize = 500;

#[derive(Debug, Default)]
pub(crate) struct Imap {
    count: usize,
    is_signed_in: bool,
    capabilities: Vec<String>,
}

/// How a command ended.
#[derive(Debug)]
struct Answer {
    untagged: Vec<String>,
    /// `OK`, `NO`, `BAD`, or `+` where it goes on.
    status: String,
    text: String,
}

impl Answer {
    fn is_ok(&self) -> bool {
        self.status == "OK"
    }

    /// `[UNAVAILABLE]` and its likes (RFC 5530).
    fn has_code(&self, code: &str) -> bool {
        self.text.to_ascii_uppercase().starts_with(&format!("[{code}"))
    }
}

impl Talk for Imap {
    const PROTOCOL: &'static Protocol = &PROTOCOL;

    fn port(target: &Target) -> u16 {
        let begins_in_clear = target.text("tls.mode") == "disable" || Self::begins_in_clear(target);
        target.port(if begins_in_clear { 143 } else { 993 })
    }

    fn takes_anybody(target: &Target) -> bool {
        super::may_be_a_catcher(target)
    }

    fn begins_in_clear(target: &Target) -> bool {
        super::begins_on_request(target)
    }

    async fn ask_for_tls(&mut self, wire: &mut Link<'_>) -> Result<(), TestError> {
        self.greet(wire).await?;
        // Who is signed in already cannot begin TLS (RFC 9051, section 6.2.1).
        if self.is_signed_in || !self.can("STARTTLS") {
            return Err(causes::tls_not_offered());
        }
        let answer = self.ask(wire, "STARTTLS").await?;
        if answer.is_ok() { Ok(()) } else { Err(causes::tls_not_offered()) }
    }

    async fn sign_in(&mut self, wire: &mut Link<'_>) -> Result<Proof, TestError> {
        if wire.is_secured() && Self::begins_in_clear(wire.target) {
            self.learn(wire).await?;
        } else {
            self.greet(wire).await?;
        }
        let (username, password) = (wire.username(), wire.password());
        if self.is_signed_in {
            return Ok(Proof::Unchecked("The server lets everybody in without a password"));
        }
        if password.is_empty() {
            return Err(causes::password_missing(username));
        }
        wire.require_one_line(&[("username", username), ("password", password)])?;
        let answer = if self.can("AUTH=PLAIN") {
            self.authenticate(wire).await?
        } else if self.can("LOGINDISABLED") {
            return Err(if wire.is_secured() { causes::sign_in_not_offered(true) } else { causes::tls_demanded() });
        } else {
            self.log_in(wire).await?
        };
        if answer.is_ok() { Ok(Proof::Checked) } else { Err(explain(wire, &answer)) }
    }

    async fn open(&mut self, _link: &mut Link<'_>) -> Result<Option<String>, TestError> {
        Ok(None)
    }

    async fn read(&mut self, wire: &mut Link<'_>) -> Result<Option<String>, TestError> {
        let answer = self.ask(wire, "EXAMINE INBOX").await?;
        if !answer.is_ok() {
            return Err(explain(wire, &answer));
        }
        self.learn(wire).await?;
        if !self.can("ID") {
            return Ok(None);
        }
        // RFC 2971
        let answer = self.ask(wire, "ID NIL").await?;
        Ok(answer.untagged.iter().find_map(|line| name(line)))
    }
}

impl Imap {
    async fn greet(&mut self, wire: &mut Link<'_>) -> Result<(), TestError> {
        let greeting = wire.greeting(LONGEST_LINE).await?;
        let mut words = greeting.splitn(3, ' ');
        match (words.next(), words.next().map(str::to_ascii_uppercase).as_deref()) {
            (Some("*"), Some("OK")) => {}
            (Some("*"), Some("PREAUTH")) => self.is_signed_in = true,
            (Some("*"), Some("BYE")) => return Err(causes::not_now(&wire.clean(words.next().unwrap_or_default()))),
            _ => return Err(wire.foreign()),
        }
        self.learn(wire).await
    }

    async fn learn(&mut self, wire: &mut Link<'_>) -> Result<(), TestError> {
        let answer = self.ask(wire, "CAPABILITY").await?;
        let told = answer.untagged.iter().find_map(|line| {
            let upper = line.to_ascii_uppercase();
            upper.strip_prefix("CAPABILITY ").map(str::to_owned)
        });
        let told = told.filter(|_| answer.is_ok()).ok_or_else(|| wire.foreign())?;
        self.capabilities = told.split(' ').map(str::to_owned).collect();
        Ok(())
    }

    fn can(&self, capability: &str) -> bool {
        self.capabilities.iter().any(|one| one == capability)
    }

    /// SASL's PLAIN (RFC 4616), its answer with the command where the server takes that (RFC 4959).
    async fn authenticate(&mut self, wire: &mut Link<'_>) -> Result<Answer, TestError> {
        let identity = Zeroizing::new(format!("\0{}\0{}", wire.username(), wire.password()));
        let response = Zeroizing::new(STANDARD.encode(identity.as_bytes()));
        if self.can("SASL-IR") {
            return self.ask(wire, &Zeroizing::new(format!("AUTHENTICATE PLAIN {}", *response))).await;
        }
        let answer = self.ask(wire, "AUTHENTICATE PLAIN").await?;
        if answer.status == "+" { self.go_on(wire, &response).await } else { Ok(answer) }
    }

    async fn log_in(&mut self, wire: &mut Link<'_>) -> Result<Answer, TestError> {
        let (username, password) = (wire.username(), wire.password());
        if let (Some(username), Some(password)) = (quoted(username), quoted(password)) {
            return self.ask(wire, &Zeroizing::new(format!("LOGIN {} {}", *username, *password))).await;
        }
        // Anything else goes as literals, which the server asks for one by one.
        let mut answer = self.ask(wire, &format!("LOGIN {{{}}}", username.len())).await?;
        if answer.status == "+" {
            answer = self.go_on(wire, &format!("{username} {{{}}}", password.len())).await?;
        }
        if answer.status == "+" {
            answer = self.go_on(wire, password).await?;
        }
        Ok(answer)
    }

    async fn ask(&mut self, wire: &mut Link<'_>, command: &str) -> Result<Answer, TestError> {
        self.count += 1;
        let command = Zeroizing::new(format!("a{} {command}", self.count));
        self.go_on(wire, &command).await
    }

    async fn go_on(&mut self, wire: &mut Link<'_>, line: &str) -> Result<Answer, TestError> {
        let line = Zeroizing::new(format!("{line}\r\n"));
        wire.send(line.as_bytes()).await?;
        let tag = format!("a{} ", self.count);
        let mut untagged = Vec::new();
        let mut room = LARGEST;
        while untagged.len() < MOST {
            let line = whole_line(wire, &mut room).await?;
            if let Some(rest) = line.strip_prefix(&tag) {
                let (status, text) = rest.split_once(' ').unwrap_or((rest, ""));
                return Ok(Answer { untagged, status: status.to_ascii_uppercase(), text: text.to_owned() });
            }
            match line.strip_prefix("* ") {
                Some(rest) => untagged.push(rest.to_owned()),
                None if line.starts_with('+') => {
                    return Ok(Answer { untagged, status: "+".to_owned(), text: String::new() });
                }
                None => return Err(wire.foreign()),
            }
        }
        Err(wire.foreign())
    }
}

/// A line with the literals in it, within the room that its answer still has.
async fn whole_line(wire: &mut Link<'_>, room: &mut usize) -> Result<String, TestError> {
    let mut whole = part(wire, room).await?;
    while let Some(length) = literal(&whole) {
        if length > *room {
            return Err(wire.foreign());
        }
        let bytes = wire.exact(length).await?;
        *room -= length;
        whole.push_str(&String::from_utf8_lossy(&bytes));
        whole.push_str(&part(wire, room).await?);
    }
    Ok(whole)
}

async fn part(wire: &mut Link<'_>, room: &mut usize) -> Result<String, TestError> {
    let part = wire.line_within(LONGEST_LINE.min(*room)).await?;
    *room = room.saturating_sub(part.len());
    Ok(part)
}

/// The length of the literal that a line ends with: `{12}`.
fn literal(line: &str) -> Option<usize> {
    let (_, length) = line.strip_suffix('}')?.rsplit_once('{')?;
    length.parse().ok()
}

/// As a quoted string, if it can be one.
fn quoted(text: &str) -> Option<Zeroizing<String>> {
    let is_plain = text.bytes().all(|byte| (0x20..0x7f).contains(&byte));
    is_plain.then(|| Zeroizing::new(format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))))
}

/// The name in `ID ("name" "Dovecot" …)`, and its version where that is told.
fn name(line: &str) -> Option<String> {
    let upper = line.to_ascii_uppercase();
    if !upper.starts_with("ID (") {
        return None;
    }
    let words: Vec<_> = line.split('"').skip(1).step_by(2).collect();
    let value = |key: &str| {
        words.chunks_exact(2).find_map(|pair| (pair.first()?.eq_ignore_ascii_case(key)).then(|| pair.get(1)).flatten())
    };
    let name = value("name")?;
    Some(value("version").map_or_else(|| (*name).to_owned(), |version| format!("{name} {version}")))
}

fn explain(wire: &Link<'_>, answer: &Answer) -> TestError {
    let words = || wire.clean(&answer.text);
    match (wire.step, answer.status.as_str()) {
        _ if answer.has_code("UNAVAILABLE") || answer.has_code("INUSE") || answer.has_code("LIMIT") => causes::not_now(&words()),
        _ if answer.has_code("PRIVACYREQUIRED") && !wire.is_secured() => causes::tls_demanded(),
        (StepName::SignIn, "NO") if answer.has_code("EXPIRED") => causes::password_expired(wire.username()),
        (StepName::SignIn, "NO") => causes::credentials_refused(wire.username()),
        (StepName::Read, "NO") => causes::read_refused(&words()),
        _ => causes::server_error(&words()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_line_holds_is_read() {
        assert_eq!(literal("* 1 FETCH {12}"), Some(12));
        assert_eq!(literal("* OK {x}"), None);
        assert_eq!(quoted("a\"b\\c").as_deref().map(String::as_str), Some("\"a\\\"b\\\\c\""));
        assert_eq!(quoted("pässword"), None);
        assert_eq!(name("ID (\"name\" \"Dovecot\" \"version\" \"2.3\")").as_deref(), Some("Dovecot 2.3"));
        assert_eq!(name("ID NIL"), None);
    }
}
