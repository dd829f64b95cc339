//! What an answer means that is not the one that was hoped for.

use dataflow_model::{StepName, TestError};
use hyper::{StatusCode, Uri, header::LOCATION};

use super::{Answer, Judged};
use crate::{
    Target, causes,
    scrub::{Scrubber, printable},
    services,
};

/// Where a connection to any API says what the test asks for.
const TEST_PATH: &str = "extra.test_path";

/// What the address of a sign-in page has as one of its parts.
const SIGN_IN: [&str; 8] = ["sign-in", "sign_in", "auth", "authorize", "oauth2", "sso", "saml", "saml2"];

/// What was asked, and by whom.
pub(crate) struct Asked<'a> {
    pub(crate) target: &'a Target,
    pub(crate) scrubber: &'a Scrubber,
    pub(crate) product: &'static str,
    pub(crate) step: StepName,
    pub(crate) path: &'a str,
    /// Whether a sign-in is set at all.
    pub(crate) has_sign_in: bool,
    /// Whether it is a name and a password; otherwise it is a token.
    pub(crate) is_by_name: bool,
    /// The scheme under which a token goes along.
    pub(crate) scheme: &'static str,
    /// Whether the answer is one of the service's own, so that what it says may be told. Whoever may choose a host reads no other one's answers.
    pub(crate) is_own: bool,
}

impl Asked<'_> {
    /// What the service says of it; nothing of what another one does.
    pub(crate) fn said(&self, answer: &Answer) -> String {
        if self.is_own { self.scrubber.clean(&answer.reason()) } else { String::new() }
    }

    pub(crate) fn sign_in_refused(&self) -> TestError {
        match (self.has_sign_in, self.is_by_name) {
            (false, _) => causes::sign_in_missing(),
            (true, true) => causes::credentials_refused(self.target.text("username")),
            (true, false) => causes::token_refused(),
        }
    }

    /// Not let in, or let in and refused then.
    fn forbidden(&self, answer: &Answer) -> Judged {
        match (self.step, self.has_sign_in) {
            (StepName::SignIn, true) => Judged::Refused(causes::forbidden()),
            (_, false) => Judged::Refused(causes::sign_in_missing()),
            (_, true) => Judged::Failed(causes::reading_forbidden(&self.said(answer))),
        }
    }

    /// The kinds that the server asks for, where ours is not among them.
    fn unauthorised(&self, answer: &Answer) -> TestError {
        let offered = answer.challenges();
        let ours = if self.is_by_name { "Basic" } else { self.scheme };
        let is_ours = offered.is_empty() || offered.iter().any(|kind| kind.eq_ignore_ascii_case(ours));
        let known = [
            ("basic", "a username and password (Basic)"),
            ("bearer", "a token (Bearer)"),
            ("token", "a token (Token)"),
            ("apikey", "an API key"),
            ("digest", "Digest"),
            ("negotiate", "Kerberos (Negotiate)"),
            ("ntlm", "NTLM"),
        ];
        let asked_for = known.into_iter().find(|(kind, _)| offered.iter().any(|one| one == kind));
        match asked_for {
            Some((_, words)) if self.has_sign_in && !is_ours => causes::kind_of_sign_in_refused(words),
            _ => self.sign_in_refused(),
        }
    }

    fn redirected(&self, answer: &Answer) -> TestError {
        let to = answer.headers.get(LOCATION).and_then(|to| to.to_str().ok()).unwrap_or_default();
        // Without its query, which may hold a token, and without anybody's name.
        let bare = to.split(['?', '#']).next().unwrap_or_default();
        let shown = match bare.split_once('@') {
            Some((_, rest)) => self.scrubber.clean(rest),
            None => self.scrubber.clean(bare),
        };
        let (path, host) = match Uri::try_from(bare) {
            Ok(uri) => (uri.path().to_ascii_lowercase(), uri.host().map(str::to_ascii_lowercase)),
            Err(_) => (String::new(), None),
        };
        let is_same_host = host.as_deref().is_none_or(|host| host.eq_ignore_ascii_case(self.target.text("host")));
        let names_sign_in = |part: &str| SIGN_IN.contains(&part) || part.starts_with("login") || part.starts_with("signin");
        if path.split('/').any(names_sign_in) || host.and_then(|host| host.split('.').next().map(names_sign_in)) == Some(true) {
            causes::redirected_to_sign_in(&shown)
        } else if is_same_host && bare.starts_with("https://") && self.target.text("tls.mode") == "disable" {
            causes::redirected_to_https(&shown)
        } else {
            causes::redirected(&shown)
        }
    }

    fn not_found(&self) -> TestError {
        let field = if self.target.public.get(TEST_PATH).is_some() { TEST_PATH } else { "extra.path" };
        let path = self.path.split('?').next().unwrap_or_default();
        // As it was typed: with what a guess would be cut out of, it would tell that it is right.
        causes::nothing_there(field, &printable(path))
    }

    /// An answer of something else, or of the service to something else.
    fn not_its_answer(&self, answer: &Answer) -> TestError {
        match services::recognised(answer) {
            Some(known) if known != self.product => causes::another_service(self.product, known),
            _ if answer.is_page() => causes::web_page(self.product),
            _ => causes::unexpected_answer(self.product, self.step),
        }
    }
}

/// The meaning of any status, for services that have no word of their own for it.
pub(crate) fn explain(answer: &Answer, asked: &Asked<'_>) -> Judged {
    let error = match answer.status {
        StatusCode::UNAUTHORIZED => return Judged::Refused(asked.unauthorised(answer)),
        StatusCode::FORBIDDEN => return asked.forbidden(answer),
        StatusCode::PROXY_AUTHENTICATION_REQUIRED => causes::proxy_wants_sign_in(),
        StatusCode::TOO_MANY_REQUESTS => causes::too_many_requests(),
        StatusCode::SERVICE_UNAVAILABLE => causes::not_ready(),
        status @ (StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT) => causes::lost_behind_a_proxy(status.as_u16()),
        StatusCode::BAD_REQUEST if wants_https(answer) => causes::https_demanded(),
        StatusCode::NOT_FOUND if services::recognised(answer).is_some_and(|known| known != asked.product) => {
            asked.not_its_answer(answer)
        }
        StatusCode::NOT_FOUND => asked.not_found(),
        status if status.is_redirection() => asked.redirected(answer),
        status if status.is_success() => asked.not_its_answer(answer),
        status if asked.is_own => causes::http_error(status.as_u16(), &asked.said(answer)),
        status => causes::foreign_error(asked.product, status.as_u16()),
    };
    Judged::Failed(error)
}

/// What servers say that were asked without TLS on their port for HTTPS: nginx, Apache, Go and Jetty each have a sentence with that word.
fn wants_https(answer: &Answer) -> bool {
    let text = answer.text();
    text.contains("HTTPS") && (text.contains("HTTP request") || text.contains("plain HTTP") || text.contains("speaking plain"))
}

#[cfg(test)]
mod tests {
    use dataflow_model::{Cause, FieldValue, PublicFields, Secret, SecretFields};

    use super::*;
    use crate::http::answer::tests::answer;

    const SECRET: &str = "planted-secret";

    /// What an answer to the sign-in of a connection to `api.example.org` means.
    fn error(answer: &Answer, is_by_name: bool) -> TestError {
        let fields = [("host", "api.example.org"), ("tls.mode", "disable"), ("username", "anna")];
        let public = PublicFields(fields.map(|(path, value)| (path.into(), FieldValue::Text(value.to_owned()))).into());
        let secrets = SecretFields([("password".into(), Secret::new(SECRET.to_owned()))].into());
        let target = Target { public, secrets, ..Target::default() };
        let asked = Asked {
            target: &target,
            scrubber: &Scrubber::of(&target),
            product: "Example",
            step: StepName::SignIn,
            path: "/v1/things?limit=1",
            has_sign_in: true,
            is_by_name,
            scheme: "Bearer",
            is_own: true,
        };
        match explain(answer, &asked) {
            Judged::Refused(error) | Judged::Failed(error) => error,
            Judged::LetIn => panic!("no answer lets anybody in by itself"),
        }
    }

    #[test]
    fn each_status_has_its_cause_and_field() {
        for (status, cause, field) in [
            (401, Cause::CredentialsRefused, Some("password")),
            (403, Cause::CredentialsRefused, Some("password")),
            (404, Cause::InvalidSettings, Some("extra.path")),
            (407, Cause::ServerError, None),
            (418, Cause::ServerError, None),
            (429, Cause::TooManyConnections, None),
            (500, Cause::ServerError, None),
            (502, Cause::ServerError, None),
            (503, Cause::ServerStarting, None),
            (200, Cause::NotThatDatabase, Some("port")),
        ] {
            let error = error(&answer(status, &[], ""), true);
            assert_eq!((error.code, error.field.as_deref()), (cause, field), "{status}: {error:?}");
        }
    }

    #[test]
    fn the_kind_of_sign_in_that_is_asked_for_is_named() {
        let asks = |challenge: &str, is_by_name| error(&answer(401, &[("www-authenticate", challenge)], ""), is_by_name).message;
        assert!(asks("Digest realm=\"x\", nonce=\"y\"", true).contains("Digest"));
        assert!(asks("Bearer", true).contains("Bearer"));
        assert!(asks("Basic realm=\"x\"", false).contains("Basic"));
        assert!(asks("Basic realm=\"x\"", true).contains("“anna”"));
        assert!(asks("Bearer", false).contains("token"));
        assert!(asks("ApiKey", true).contains("an API key"));
        assert!(asks("Negotiate, Basic realm=\"x\"", true).contains("“anna”"));
    }

    #[test]
    fn a_redirect_is_told_without_what_may_be_secret_in_it() {
        for (to, words) in [
            ("https://api.example.org/v1/things?key=planted-secret", "over HTTPS only"),
            ("https://bob:planted-secret@other.example.org/x", "sends on to “other.example.org/x”"),
            ("/login?next=%2Fv1", "sign-in page: “/login”"),
            ("https://login.example.org/", "sign-in page"),
            (
                "https://other.example.org/authors/planted-secret/x",
                "sends on to “https://other.example.org/authors/(withheld)/x”",
            ),
        ] {
            let error = error(&answer(302, &[("location", to)], ""), true);
            assert!(error.message.contains(words) && !error.message.contains(SECRET), "{}", error.message);
        }
    }

    #[test]
    fn a_page_and_a_port_for_https_are_known() {
        assert!(error(&answer(200, &[("content-type", "text/html")], "<p>"), true).message.starts_with("A web page"));
        let https = "<title>400 The plain HTTP request was sent to HTTPS port</title>";
        assert_eq!(error(&answer(400, &[], https), true).field.as_deref(), Some("tls.mode"));
        let go = "Client sent an HTTP request to an HTTPS server.\n";
        assert_eq!(error(&answer(400, &[], go), true).field.as_deref(), Some("tls.mode"));
    }
}
