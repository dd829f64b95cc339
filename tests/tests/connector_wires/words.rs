//! What may be shown of what a server says, and in which words.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use dataflow_model::{Cause, StepName};
use dataflow_tests::{
    connection::{Connection, Tested},
    fake_services::{PASSWORD, USER},
    scripted::Scripted,
    tls::{Authority, Shape},
};
use futures_util::future::join_all;

use crate::{
    common::{converses, is_refused, said, speaks_first},
    hostile::ALL,
};

/// How a server is talked into hearing the password, in each way that there is.
#[derive(Debug, Clone, Copy)]
enum Way {
    SmtpPlain,
    SmtpLogin,
    ImapAtOnce,
    ImapAsked,
    ImapLogin,
    Ftp,
}

impl Way {
    const ALL: [Self; 6] = [Self::SmtpPlain, Self::SmtpLogin, Self::ImapAtOnce, Self::ImapAsked, Self::ImapLogin, Self::Ftp];

    fn connector(self) -> &'static str {
        match self {
            Self::SmtpPlain | Self::SmtpLogin => "smtp",
            Self::Ftp => "ftp",
            _ => "imap",
        }
    }

    /// Whether the password goes in base64, of which a beginning is no secret's.
    fn is_encoded(self) -> bool {
        !matches!(self, Self::ImapLogin | Self::Ftp)
    }

    /// A server that repeats in its error what it was told, but for the last `cut` characters.
    fn repeats(self, cut: usize) -> Scripted {
        let repeated = move |line: &str| format!("cannot read: {}", line.get(..line.len() - cut).unwrap_or_default());
        let is_imap = self.connector() == "imap";
        let greeting = if is_imap { "* OK ready\r\n" } else { "220 ready\r\n" };
        converses(None, greeting, move |line| {
            let (first, rest) = line.split_once(' ').unwrap_or((line, ""));
            let answer = match (self, first, rest) {
                (Self::SmtpPlain, "EHLO", _) => "250 AUTH PLAIN\r\n".replace("250 ", "250-mail\r\n250 "),
                (Self::SmtpLogin, "EHLO", _) => "250-mail\r\n250 AUTH LOGIN\r\n".to_owned(),
                (Self::SmtpLogin, "AUTH", _) => "334 VXNlcm5hbWU6\r\n".to_owned(),
                (Self::SmtpLogin, name, "") if STANDARD.decode(name).is_ok_and(|name| name.starts_with(b"ann")) => {
                    "334 UGFzc3dvcmQ6\r\n".to_owned()
                }
                (Self::Ftp, "USER", _) => "331 password\r\n".to_owned(),
                (Self::ImapAtOnce, tag, "CAPABILITY") => {
                    format!("* CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR\r\n{tag} OK done\r\n")
                }
                (Self::ImapAsked, tag, "CAPABILITY") => format!("* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\n{tag} OK done\r\n"),
                (Self::ImapLogin, tag, "CAPABILITY") => format!("* CAPABILITY IMAP4rev1\r\n{tag} OK done\r\n"),
                (Self::ImapAsked, _, "AUTHENTICATE PLAIN") => "+ \r\n".to_owned(),
                _ if is_imap => format!("a2 BAD {}\r\n", repeated(line)),
                _ => format!("553 {}\r\n", repeated(line)),
            };
            Some(answer)
        })
    }
}

fn pieces(text: &str, length: usize) -> impl Iterator<Item = &str> {
    text.as_bytes().windows(length).filter_map(|piece| std::str::from_utf8(piece).ok())
}

#[tokio::test]
async fn a_server_that_repeats_what_it_was_told_tells_no_password() {
    let password = "Zq\"7\\kX!9-planted";
    let quoted = "Zq\\\"7\\\\kX!9-planted";
    let cases = ["ann", "anna", "annas"].into_iter().flat_map(|user| Way::ALL.map(|way| (user, way)));
    let cases = cases.flat_map(|(user, way)| [0, 5].map(|cut| (user, way, cut)));
    for (user, way, cut) in cases.filter(|(_, way, cut)| *cut == 0 || way.is_encoded()) {
        let server = way.repeats(cut);
        let tested = Connection::new(way.connector(), server.port()).user(user, password).test().await;
        let said = said(&tested);
        assert!(said.contains("cannot read: "), "{way:?}: {said}");
        let plain = STANDARD.encode(format!("\0{user}\0{password}"));
        let alone = STANDARD.encode(password);
        let planted = pieces(password, 5).chain(pieces(quoted, 5)).chain(pieces(&plain, 8)).chain(pieces(&alone, 8));
        for piece in planted {
            assert!(!said.contains(piece), "{way:?} of {user}, cut by {cut}: {piece} is in {said}");
        }
    }
}

/// Redis repeats the first 128 bytes of each word of a command that it does not know.
#[tokio::test]
async fn what_redis_says_to_a_sign_in_is_not_shown() {
    let password: &'static str = Box::leak("Zq7kX9planted-".repeat(20).into_boxed_str());
    let repeated = password.get(..128).expect("it is longer");
    for words in [
        format!("-ERR unknown command 'AUTH', with args beginning with: '{USER}' '{repeated}' \r\n"),
        format!("-ERR wrong number of arguments for 'auth' command: '{repeated}'\r\n"),
        format!("-NOPERM no permissions: {repeated}\r\n"),
        format!("-ERR {repeated}\r\n"),
    ] {
        let answer = words.clone();
        let server = Scripted::start(move |peer| {
            peer.receive::<4>()?;
            peer.send(answer.as_bytes())?;
            peer.listen()
        });
        for user in [USER, ""] {
            let tested = Connection::new("redis", server.port()).user(user, password).test().await;
            assert_eq!(tested.failed_step(), Some(StepName::SignIn), "{words}");
            let said = said(&tested);
            assert!(!said.contains("Zq7kX9") && !said.contains("planted"), "{words}: {said}");
        }
    }
}

/// What other services say first, and what would say that it is one of ours if nobody looked closer.
#[tokio::test]
async fn nothing_is_shown_of_what_is_another_service() {
    let strangers: [(&str, &'static [u8]); 8] = [
        ("NNTP", b"200 news of planted-word, posting allowed\r\n"),
        ("NNTP, to read", b"201 news of planted-word\r\n"),
        ("POP3", b"+OK planted-word ready\r\n"),
        ("POP3, refusing", b"-ERR [SYS/TEMP] planted-word\r\n"),
        ("PEM", b"-----BEGIN planted-word-----\r\n"),
        ("a yes of its own", b"+planted-word\r\n"),
        ("a number", b":12 planted-word\r\n"),
        ("bytes", b"$12\r\nplanted-word\r\n"),
    ];
    let servers = strangers.map(|(what, words)| (what, speaks_first(words)));
    let tests = servers.iter().flat_map(|(what, server)| {
        ALL.iter().flat_map(move |connector| {
            [("disable", USER), ("disable", ""), ("require", USER)].map(|(mode, user)| async move {
                let connection =
                    Connection::new(connector, server.port()).set("tls.mode", mode).set("extra.tls_start", "at_once");
                let connection = if user.is_empty() { connection } else { connection.user(user, PASSWORD) };
                let tested = connection.test().await;
                let what = format!("{connector}, {mode}, {user}, {what}: {tested:?}");
                let error = tested.error("planted-word");
                // Redis refuses in the same form.
                let is_alike = *connector == "redis" && what.contains("POP3, refusing");
                // These two ask for a password before they ask anybody.
                let is_unasked = user.is_empty() && matches!(error.code, Cause::CredentialsRefused);
                assert!(error.code == Cause::NotThatDatabase || is_alike || is_unasked, "{what}");
            })
        })
    });
    join_all(tests).await;
}

async fn of(connector: &'static str, words: &'static [u8]) -> Tested {
    let server = speaks_first(words);
    Connection::new(connector, server.port()).user(USER, PASSWORD).test().await
}

#[tokio::test]
async fn another_amqp_is_not_an_old_one() {
    for words in [b"AMQP\0\x01\0\0", b"AMQP\x03\x01\0\0"] {
        let tested = of("rabbitmq", words).await;
        is_refused(&tested, Cause::NotThatDatabase, StepName::SignIn, Some("port"));
        assert!(tested.error(PASSWORD).message.contains("version 1.0"), "{tested:?}");
    }
    for words in [b"AMQP\x01\x01\0\x09", b"AMQP\x01\x01\x08\0"] {
        is_refused(&of("rabbitmq", words).await, Cause::ProtocolTooOld, StepName::SignIn, None);
    }
}

#[tokio::test]
async fn who_is_too_slow_for_nats_has_no_wrong_password() {
    let tested = of("nats", b"INFO {}\r\n-ERR 'Authentication Timeout'\r\n").await;
    is_refused(&tested, Cause::ServerError, StepName::SignIn, None);
}

fn smtp(to_hello: &'static str, to_sign_in: &'static str, identity: Option<dataflow_tests::tls::Identity>) -> Scripted {
    converses(identity, "220 mail\r\n", move |line| {
        let answer = if line.starts_with("EHLO") { to_hello } else { to_sign_in };
        Some(answer.to_owned())
    })
}

#[tokio::test]
async fn a_greeting_that_smtp_refuses_is_refused_by_smtp() {
    for (answer, cause) in [
        ("501 5.5.4 invalid domain\r\n", Cause::ServerError),
        ("504 5.5.2 need a name\r\n", Cause::ServerError),
        ("550 5.7.1 not from here\r\n", Cause::ServerError),
        ("500 unknown command\r\n", Cause::NotThatDatabase),
        ("530 log in with USER and PASS\r\n", Cause::NotThatDatabase),
    ] {
        let server = smtp(answer, "250 ok\r\n", None);
        let tested = Connection::new("smtp", server.port()).user(USER, PASSWORD).test().await;
        assert_eq!(tested.error(PASSWORD).code, cause, "{answer}: {tested:?}");
        assert!(server.has_heard("EHLO [127.0.0.1]\r\n"), "{answer}");
    }
}

#[tokio::test]
async fn tls_is_not_asked_for_where_there_is_tls() {
    const HELLO: &str = "250-mail\r\n250 AUTH PLAIN\r\n";
    let authority = Authority::new();
    for answer in ["530 5.7.0 must issue STARTTLS first\r\n", "538 5.7.11 encryption required\r\n"] {
        let server = smtp(HELLO, answer, None);
        let tested = Connection::new("smtp", server.port()).user(USER, PASSWORD).test().await;
        is_refused(&tested, Cause::InvalidSettings, StepName::SignIn, Some("tls.mode"));
        let server = smtp(HELLO, answer, Some(authority.server(Shape::Good)));
        let secured = Connection::new("smtp", server.port()).user(USER, PASSWORD).verified(&authority.pem());
        let tested = secured.set("extra.tls_start", "at_once").test().await;
        is_refused(&tested, Cause::ServerError, StepName::SignIn, None);
    }
}
