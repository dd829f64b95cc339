//! The API of a Kubernetes cluster, with a token or a client's certificate. Its version and health are told to everybody; so it is asked who
//! signed in (<https://kubernetes.io/docs/reference/access-authn-authz/authentication/#self-subject-review>), which is kept nowhere.

use dataflow_model::{Secret, StepName, TestError};
use hyper::StatusCode;

use crate::{
    Steps, Target, causes,
    http::{Access, Answer, Asked, Client, Entered, Judged, Proof, Request, Service, at, joined},
    tls::TlsSettings,
};

const REVIEW: &str = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
/// Whoever did not sign in.
const NOBODY: &str = "system:anonymous";

pub(crate) struct Kubernetes;

fn has_token(target: &Target) -> bool {
    !target.expose_secret("password").is_empty()
}

fn has_certificate(target: &Target) -> bool {
    TlsSettings::of(target).has_client_certificate() && target.text("tls.mode") != "disable"
}

fn who(answer: &Answer) -> Option<String> {
    answer.json_text("/status/userInfo/username")
}

fn refused(asked: &Asked<'_>) -> TestError {
    let by_certificate = has_certificate(asked.target) && !has_token(asked.target);
    if by_certificate { causes::client_certificate_unknown() } else { asked.sign_in_refused() }
}

impl Kubernetes {
    /// By a certificate: the same is asked over a connection that shows none.
    async fn enter_by_certificate(&self, client: &mut Client<'_>) -> Result<Entered, TestError> {
        let target = client.target;
        let question = self.question(target)?;
        self.asked(client, &question).await?;
        let mut bare = at(target, target.text("host"));
        bare.public.0.remove("tls.cert");
        bare.secrets.0.insert("tls.key".into(), Secret::new(String::new()));
        let judged = match Client::connect(&bare, client.dialer, self.product(), &mut Steps::new(|_| {})).await {
            Ok(mut other) => {
                other.step = StepName::SignIn;
                other.ask(&question).await.map(|answer| self.judge(&other, &answer))
            }
            Err(error) => Err(error),
        };
        let proof = match judged {
            Ok(Judged::LetIn) => Proof::Unchecked("The server answers the same without the certificate"),
            Ok(Judged::Refused(_)) => Proof::Checked,
            Ok(Judged::Failed(_)) | Err(_) => {
                Proof::Unchecked("Whether the server checks the certificate could not be found out")
            }
        };
        Ok(Entered { credentials: self.credentials(target, Access::Given)?, proof, version: None })
    }
}

impl Service for Kubernetes {
    fn name(&self) -> &'static str {
        "kubernetes"
    }

    fn product(&self) -> &'static str {
        "Kubernetes"
    }

    fn has_sign_in(&self, target: &Target) -> bool {
        has_token(target) || has_certificate(target)
    }

    fn is_by_name(&self, _target: &Target) -> bool {
        false
    }

    fn question(&self, target: &Target) -> Result<Request, TestError> {
        let body = r#"{"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview"}"#;
        Ok(Request::post(joined(target, REVIEW), "application/json", body))
    }

    fn accepts(&self, _step: StepName, answer: &Answer) -> bool {
        who(answer).is_some()
    }

    fn is_own(&self, answer: &Answer) -> bool {
        answer.json_text("/kind").is_some_and(|kind| kind == "Status") && answer.json_text("/apiVersion").is_some()
    }

    fn own_meaning(&self, answer: &Answer, asked: &Asked<'_>) -> Option<Judged> {
        if who(answer).is_some_and(|who| who == NOBODY) {
            return Some(Judged::Refused(refused(asked)));
        }
        if !asked.is_own {
            return None;
        }
        let reason = answer.reason();
        match answer.status {
            // Whoever signs in may ask this; whom it does not know is told by this name.
            StatusCode::FORBIDDEN if reason.contains(NOBODY) => Some(Judged::Refused(refused(asked))),
            StatusCode::UNAUTHORIZED => Some(Judged::Refused(refused(asked))),
            StatusCode::FORBIDDEN => Some(Judged::Failed(causes::reading_forbidden(&asked.said(answer)))),
            StatusCode::NOT_FOUND => Some(Judged::Failed(causes::protocol_too_old("Kubernetes"))),
            _ => None,
        }
    }

    async fn enter(&self, client: &mut Client<'_>) -> Result<Entered, TestError> {
        if has_certificate(client.target) && !has_token(client.target) {
            return self.enter_by_certificate(client).await;
        }
        self.enter_by(client, &|target| self.question(target)).await
    }

    /// Who signed in.
    async fn open(&self, client: &mut Client<'_>, entered: &Entered) -> Result<Option<String>, TestError> {
        let answer = self.asked(client, &self.question(client.target)?.with(entered.credentials.clone())).await?;
        Ok(who(&answer).map(|who| client.scrubber.clean(&who)))
    }

    async fn read(&self, client: &mut Client<'_>, entered: &Entered) -> Result<Option<String>, TestError> {
        let asks = Request::get(joined(client.target, "/version")).with(entered.credentials.clone());
        let answer = client.ask(&asks).await?;
        match answer.json_text("/gitVersion").filter(|_| answer.status.is_success()) {
            Some(version) => Ok(Some(version.trim_start_matches('v').to_owned())),
            None => Err(causes::unexpected_answer(self.product(), StepName::Read)),
        }
    }
}
