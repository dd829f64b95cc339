//! A registry of container images: <https://distribution.github.io/distribution/spec/auth/token>.
//!
//! Such a registry asks either for a name and password, or for a token of a service that it names. That service is asked with the password
//! only if it is on the registry's own host, or the connection names it: a registry could otherwise have the password sent anywhere.

use dataflow_model::{StepName, TestError};

use crate::{
    Dialer, Steps, Target, causes,
    http::{Answer, Client, Credentials, Entered, Judged, Place, Request, Service, form, joined, prove},
    scrub::Scrubber,
};

pub(super) const PRODUCT: &str = "a container registry";

const SIGN_IN_URL: &str = "extra.sign_in_url";
const API: &str = "docker-distribution-api-version";

pub(crate) struct DockerRegistry;

pub(super) fn is_its(answer: &Answer) -> bool {
    answer.header(API).starts_with("registry/2")
}

/// What a registry says of the service that gives its tokens.
#[derive(Debug, Default, PartialEq, Eq)]
struct Challenge {
    realm: String,
    service: String,
}

impl Challenge {
    /// Of a header `WWW-Authenticate: Bearer realm="…",service="…"`.
    fn read(header: &str) -> Option<Self> {
        let mut rest = header.get(..7).filter(|scheme| scheme.eq_ignore_ascii_case("bearer ")).and_then(|_| header.get(7..))?;
        let mut challenge = Self::default();
        while let Some((name, after)) = rest.split_once('=') {
            let (value, after) = match after.strip_prefix('"') {
                Some(quoted) => quoted.split_once('"')?,
                None => after.split_once(',').map_or((after, ""), |(value, after)| (value, after)),
            };
            match name.trim().trim_start_matches([',', ' ']).to_ascii_lowercase().as_str() {
                "realm" => value.clone_into(&mut challenge.realm),
                "service" => value.clone_into(&mut challenge.service),
                _ => {}
            }
            rest = after.trim_start_matches([',', ' ']);
        }
        (!challenge.realm.is_empty()).then_some(challenge)
    }

    /// Where a token is asked for. Only the connection's own host, or what it names, is trusted with the password.
    fn place(&self, target: &Target, scrubber: &Scrubber) -> Result<Place, TestError> {
        let asked = Place::read(&self.realm, SIGN_IN_URL)?;
        let trusted = match target.text(SIGN_IN_URL) {
            "" => asked.host.eq_ignore_ascii_case(target.text("host")) && (asked.is_tls || target.text("tls.mode") == "disable"),
            own => {
                let own = Place::read(own, SIGN_IN_URL)?;
                (own.host.to_ascii_lowercase(), own.port, own.is_tls)
                    == (asked.host.to_ascii_lowercase(), asked.port, asked.is_tls)
            }
        };
        if trusted { Ok(asked) } else { Err(causes::signs_in_elsewhere(SIGN_IN_URL, &scrubber.clean(&asked.host))) }
    }

    /// Nothing of what the registry says that the token should be good for: it would get one for what others keep there.
    fn request(&self, place: &Place, credentials: Credentials) -> Request {
        let separator = if place.path.contains('?') { '&' } else { '?' };
        let asks = form(&[("service", &self.service)]);
        let path = format!("{}{separator}{asks}", place.path);
        Request::get(path).with(credentials)
    }
}

fn token(answer: &Answer) -> Option<String> {
    answer.json_text("/token").or_else(|| answer.json_text("/access_token"))
}

impl DockerRegistry {
    /// A token of the service that the registry names, and what the way to it proved.
    async fn enter_by_token(&self, client: &mut Client<'_>, challenge: &Challenge) -> Result<Entered, TestError> {
        let (target, dialer): (&Target, &Dialer) = (client.target, client.dialer);
        let place = challenge.place(target, &client.scrubber)?;
        let is_own = place.host.eq_ignore_ascii_case(target.text("host"));
        let other = place.target(target, if is_own { target.text("tls.ca") } else { "" });
        let blamed = |error: TestError| TestError { field: Some(SIGN_IN_URL.to_owned()), ..error };
        let mut service =
            Client::connect(&other, dialer, "a registry's sign-in service", &mut Steps::new(|_| {})).await.map_err(blamed)?;
        service.require_unheard()?;
        service.step = StepName::SignIn;
        let ask = |access| Ok(challenge.request(&place, self.credentials(target, access)?));
        let judge = |_: &Client<'_>, answer: &Answer, _| match token(answer) {
            Some(_) if answer.status.is_success() => Judged::LetIn,
            _ if matches!(answer.status.as_u16(), 401 | 403) => {
                Judged::Refused(causes::credentials_refused(target.text("username")))
            }
            _ => Judged::Failed(causes::no_token_given("")),
        };
        let (answer, proof) = prove(&mut service, true, &ask, &judge).await?;
        let token = token(&answer).unwrap_or_default();
        client.scrubber.and(&token);
        let credentials = Credentials::token("Bearer", &token)?;
        self.asked(client, &self.question(target)?.with(credentials.clone())).await?;
        Ok(Entered { credentials, proof, version: None })
    }
}

impl Service for DockerRegistry {
    fn name(&self) -> &'static str {
        "docker_registry"
    }

    fn product(&self) -> &'static str {
        PRODUCT
    }

    fn is_by_name(&self, _target: &Target) -> bool {
        true
    }

    fn question(&self, target: &Target) -> Result<Request, TestError> {
        Ok(Request::get(joined(target, "/v2/")))
    }

    fn accepts(&self, _step: StepName, answer: &Answer) -> bool {
        is_its(answer) || answer.json().is_some_and(|json| json.as_object().is_some_and(serde_json::Map::is_empty))
    }

    fn is_own(&self, answer: &Answer) -> bool {
        is_its(answer)
    }

    /// The registry is asked without the password first: what it answers says where that goes.
    async fn enter(&self, client: &mut Client<'_>) -> Result<Entered, TestError> {
        let target = client.target;
        let answer = client.ask(&self.question(target)?).await?;
        match Challenge::read(answer.header("www-authenticate")) {
            Some(challenge) if self.has_sign_in(target) => self.enter_by_token(client, &challenge).await,
            _ => self.enter_by(client, &|target| self.question(target)).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_is_read() {
        let header =
            "Bearer realm=\"https://auth.docker.io/token\",service=\"registry.docker.io\",scope=\"repository:a/b:pull,push\"";
        let challenge = Challenge::read(header).expect("a challenge");
        assert_eq!(challenge.realm, "https://auth.docker.io/token");
        assert_eq!(challenge.service, "registry.docker.io");
        let unquoted = Challenge::read("bearer service=x, realm=https://a/token").expect("a challenge");
        assert_eq!((unquoted.realm.as_str(), unquoted.service.as_str()), ("https://a/token", "x"));
        for none in ["", "Basic realm=\"x\"", "Bearer", "Bearer service=\"x\"", "Bearer realm=\"x"] {
            assert_eq!(Challenge::read(none), None, "{none}");
        }
    }

    proptest::proptest! {
        #[test]
        fn whatever_a_challenge_holds_is_read_or_not(text: String) {
            let _ = Challenge::read(&format!("Bearer {text}"));
        }
    }
}
