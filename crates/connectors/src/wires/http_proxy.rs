//! A proxy that is asked over HTTP, by `CONNECT` (RFC 9110, section 9.3.6), with a username and a password (Basic, RFC 7617).
//!
//! What it is asked for when it is tested is a name that nobody has: `407` is a refusal, and that the name cannot be reached is the answer of a proxy
//! that works and has let in whoever asks. Whether it looks at the password, a wrong one shows.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use dataflow_model::{StepName, TestError};
use zeroize::Zeroizing;

use super::{
    RESERVED,
    link::{Link, Protocol},
    talk::Talk,
};
use crate::{Target, causes, http::Proof};

/// Most lines of a head.
const MOST: usize = 100;

static PROTOCOL: Protocol = Protocol {
    name: "http_proxy",
    product: "an HTTP proxy",
    question: b"OPTIONS * HTTP/1.0\r\n\r\n",
    is_its: |first| first.starts_with(b"HTTP/1."),
    tls_start: None,
    goodbye: b"",
};

#[derive(Debug, Default)]
pub(crate) struct HttpProxy {
    calls_itself: Option<String>,
}

impl Talk for HttpProxy {
    const PROTOCOL: &'static Protocol = &PROTOCOL;

    fn takes_anybody(_target: &Target) -> bool {
        true
    }

    fn port(target: &Target) -> u16 {
        target.port(3128)
    }

    async fn sign_in(&mut self, wire: &mut Link<'_>) -> Result<Proof, TestError> {
        let (username, password) = (wire.username(), wire.password());
        let answer = ask(wire, RESERVED, 443).await?;
        self.calls_itself = answer.calls_itself;
        match answer.status {
            407 => Err(refusal(username, password)),
            // Tinyproxy says so to a wrong one; from others it is a web server's word.
            401 if !password.is_empty() => Err(refusal(username, password)),
            // It forbids the name or the port, cannot reach it, or pretends to.
            200..=299 | 403 | 500 | 502..=504 => Ok(match (username, password) {
                (_, "") => Proof::Nothing("No sign-in is set"),
                _ => Proof::Checked,
            }),
            _ => Err(causes::not_a_proxy()),
        }
    }

    /// It was asked for something by then, and has answered.
    async fn read(&mut self, _wire: &mut Link<'_>) -> Result<Option<String>, TestError> {
        Ok(self.calls_itself.take())
    }
}

/// Has it connect to `host`, beyond which the stream is that host's. What it is not to blame for is an error within.
pub(super) async fn connect(wire: &mut Link<'_>, host: &str, port: u16, hop: &str) -> Result<Result<(), TestError>, TestError> {
    wire.step = StepName::Hop;
    Ok(match ask(wire, host, port).await?.status {
        200..=299 => Ok(()),
        401 | 407 => return Err(refusal(wire.username(), wire.password())),
        403 => Err(causes::prohibited_by_hop(host, port, hop)),
        500 | 502..=504 => Err(causes::unreachable_beyond(host, hop)),
        _ => Err(causes::hop_answered_otherwise(hop)),
    })
}

fn refusal(username: &str, password: &str) -> TestError {
    match (username, password) {
        ("", "") => causes::sign_in_missing(),
        (_, "") => causes::password_missing(username),
        _ => causes::credentials_refused(username),
    }
}

struct Answer {
    status: u16,
    calls_itself: Option<String>,
}

async fn ask(wire: &mut Link<'_>, host: &str, port: u16) -> Result<Answer, TestError> {
    let (username, password) = (wire.username(), wire.password());
    let is_plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
    if !is_plain(host) {
        return Err(causes::unspeakable_in("host", wire.product()));
    }
    wire.require_one_line(&[("username", username), ("password", password)])?;
    // RFC 7617, section 2: it would end the name.
    if username.contains(':') {
        return Err(causes::unspeakable_in("username", wire.product()));
    }
    let is_bare = host.contains(':') && !host.starts_with('[');
    let place = if is_bare { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    let mut request = Zeroizing::new(format!("CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n"));
    if !password.is_empty() {
        let pair = Zeroizing::new(format!("{username}:{password}"));
        let word = Zeroizing::new(STANDARD.encode(pair.as_bytes()));
        // One piece of room, so that no copy of it is left behind.
        *request = [request.as_str(), "Proxy-Authorization: Basic ", &word, "\r\n"].concat();
    }
    request.push_str("\r\n");
    wire.send(request.as_bytes()).await?;

    let status = wire.line().await?;
    let status = status.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)).and_then(|code| code.parse().ok());
    let status = status.ok_or_else(|| wire.foreign())?;
    let mut calls_itself = None;
    for _ in 0..MOST {
        let line = wire.line().await?;
        if line.is_empty() {
            return Ok(Answer { status, calls_itself });
        }
        let named =
            line.split_once(':').filter(|(name, _)| ["server", "proxy-agent"].iter().any(|is| name.eq_ignore_ascii_case(is)));
        if let Some((_, value)) = named {
            calls_itself = Some(value.trim().replacen('/', " ", 1));
        }
    }
    Err(wire.foreign())
}

#[cfg(test)]
mod tests {
    use dataflow_fuzz::fuzz;

    use super::*;
    use crate::wires::fuzz::converse;

    const IN: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nServer: squid/5.7\r\n\r\n";
    const REFUSED: &[u8] = b"HTTP/1.0 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"x\"\r\n\r\n";

    #[test]
    fn conversations() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        let said = |bytes: &[u8]| runtime.block_on(converse::<HttpProxy>(bytes, None));
        assert_eq!(said(IN).expect("in").as_deref(), Some("squid 5.7"));
        assert_eq!(said(REFUSED).expect_err("no").code, dataflow_model::Cause::CredentialsRefused);
        assert_eq!(said(b"HTTP/1.1 404 Not Found\r\n\r\n").expect_err("no").code, dataflow_model::Cause::NotThatDatabase);
        let endless = [b"HTTP/1.1 200 OK\r\n".to_vec(), b"x: y\r\n".repeat(MOST + 1)].concat();
        assert!(said(&endless).is_err(), "a head without an end");
        fuzz(&[IN, REFUSED], |bytes| {
            if let Err(error) = said(bytes) {
                assert!(!format!("{error:?}").contains("planted-secret"), "{error:?}");
            }
        });
    }
}
