//! Google Cloud with the key of a service account: a token that the key signs is exchanged at Google's endpoint, and the service is asked with
//! what that gives (<https://developers.google.com/identity/protocols/oauth2/service-account#authorizingrequests>).
//!
//! Where the token is exchanged is never taken from the pasted key: whoever had one pasted that names his own address would be sent what signs in.

use dataflow_model::{StepName, TestError};
use serde_json::{Value, json};

use super::oauth;
use crate::{
    Target, causes,
    connector::PASSWORD,
    http::{Access, Answer, Asked, Client, Entered, Judged, Request, Service, WRONG, at, form},
    scrub::percent,
    signing::{self, RsaKey, spoilt},
};

const PROJECT: &str = "extra.project";
/// Where tokens are exchanged, and whom the signed one is for.
const ENDPOINT: &str = "https://oauth2.googleapis.com/token";
const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// For how long the signed token is good. The exchange takes no time.
const GOOD_FOR: i64 = 300;

/// One service of Google's.
pub(crate) struct Google {
    name: &'static str,
    product: &'static str,
    host: &'static str,
    scope: &'static str,
    /// Given the project and what the connection names in it.
    question: fn(&str, &str) -> Request,
    /// What the connection names, as the service calls it; the field is `database`.
    kind: &'static str,
    /// What the answer to the question is called, or has.
    mark: (&'static str, &'static str),
}

/// Says who signed in, which needs no right: <https://developers.google.com/identity/openid-connect/openid-connect#obtaininguserprofileinformation>.
pub(super) const ACCOUNT: Google = Google {
    name: "google_cloud_platform",
    product: "Google Cloud",
    host: "openidconnect.googleapis.com",
    scope: "https://www.googleapis.com/auth/userinfo.email",
    question: |_, _| Request::get("/v1/userinfo"),
    kind: "",
    mark: ("/sub", ""),
};

/// <https://docs.cloud.google.com/storage/docs/json_api/v1/objects/list>
pub(super) const STORAGE: Google = Google {
    name: "gcs",
    product: "Google Cloud Storage",
    host: "storage.googleapis.com",
    scope: "https://www.googleapis.com/auth/devstorage.read_only",
    question: |project, bucket| match bucket {
        "" => Request::get(format!("/storage/v1/b?{}&maxResults=1", form(&[("project", project)]))),
        bucket => Request::get(format!("/storage/v1/b/{}/o?maxResults=1", &*percent(bucket.as_bytes(), false))),
    },
    kind: "bucket",
    mark: ("/kind", "storage#"),
};

/// <https://docs.cloud.google.com/bigquery/docs/reference/rest/v2/datasets/list>
pub(super) const BIGQUERY: Google = Google {
    name: "gcpbigquery",
    product: "BigQuery",
    host: "bigquery.googleapis.com",
    scope: "https://www.googleapis.com/auth/bigquery.readonly",
    question: |project, dataset| {
        let project = percent(project.as_bytes(), false);
        match dataset {
            "" => Request::get(format!("/bigquery/v2/projects/{}/datasets?maxResults=1", &*project)),
            dataset => {
                let dataset = percent(dataset.as_bytes(), false);
                Request::get(format!("/bigquery/v2/projects/{}/datasets/{}/tables?maxResults=1", &*project, &*dataset))
            }
        }
    },
    kind: "dataset",
    mark: ("/kind", "bigquery#"),
};

/// What is taken of a key's JSON.
struct Key {
    email: String,
    id: String,
    project: String,
    pem: String,
    private: RsaKey,
}

impl Key {
    fn read(target: &Target) -> Result<Self, TestError> {
        let unreadable =
            || causes::secret_unreadable(PASSWORD, "The service account's key", "the JSON that Google gives for one");
        let json: Value = serde_json::from_str(target.expose_secret(PASSWORD)).map_err(|_| unreadable())?;
        let part = |name: &str| json.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (email, pem) = (part("client_email"), part("private_key"));
        let private = RsaKey::read(&pem).filter(|_| !email.is_empty()).ok_or_else(unreadable)?;
        Ok(Self { email, id: part("private_key_id"), project: part("project_id"), pem, private })
    }

    /// What is exchanged for a token.
    fn assertion(&self, scope: &str) -> Result<String, TestError> {
        let made = signing::now().unix_timestamp();
        let header = json!({"alg": "RS256", "typ": "JWT", "kid": self.id});
        let claims = json!({"iss": self.email, "scope": scope, "aud": ENDPOINT, "iat": made, "exp": made + GOOD_FOR});
        self.private.token(&header, &claims).ok_or_else(|| causes::test_broken("a key does not sign"))
    }
}

/// What the endpoint says: <https://developers.google.com/identity/protocols/oauth2/service-account#error-codes>.
fn judge(endpoint: &Client<'_>, answer: &Answer, email: &str) -> Judged {
    let (code, words) = ["/error", "/error_description"].map(|at| answer.json_text(at).unwrap_or_default()).into();
    match code.as_str() {
        _ if oauth::token(answer).is_some() => Judged::LetIn,
        "invalid_grant" if words.contains("reasonable timeframe") => Judged::Failed(causes::clocks_apart()),
        "invalid_grant" | "invalid_client" | "unauthorized_client" | "access_denied" | "disabled_client" => {
            Judged::Refused(causes::key_refused(email))
        }
        "invalid_scope" | "invalid_request" | "unsupported_grant_type" => {
            Judged::Failed(causes::no_token_given(&endpoint.scrubber.clean(&words)))
        }
        _ if answer.is_page() => Judged::Failed(oauth::blamed(causes::web_page("an OAuth endpoint"))),
        _ => Judged::Failed(causes::no_token_given("")),
    }
}

impl Google {
    /// The connection's project, or else that of the key.
    fn project(target: &Target) -> String {
        match target.text(PROJECT) {
            "" => Key::read(target).map(|key| key.project).unwrap_or_default(),
            project => project.to_owned(),
        }
    }
}

impl Service for Google {
    fn name(&self) -> &'static str {
        self.name
    }

    fn product(&self) -> &'static str {
        self.product
    }

    fn is_by_name(&self, _target: &Target) -> bool {
        false
    }

    fn place(&self, target: &Target) -> Result<Option<Target>, TestError> {
        Ok(target.text("host").is_empty().then(|| at(target, self.host)))
    }

    fn question(&self, target: &Target) -> Result<Request, TestError> {
        let project = Self::project(target);
        if project.is_empty() && self.name == BIGQUERY.name {
            return Err(causes::setting_missing(PROJECT, "The project"));
        }
        Ok((self.question)(&project, target.text("database")))
    }

    fn accepts(&self, _step: StepName, answer: &Answer) -> bool {
        let (pointer, begins) = self.mark;
        answer.json_text(pointer).is_some_and(|text| text.starts_with(begins))
    }

    fn is_own(&self, answer: &Answer) -> bool {
        answer.json().is_some_and(|json| json.pointer("/error/code").is_some() && json.pointer("/error/message").is_some())
    }

    /// Who came with a token that was just given is known.
    fn own_meaning(&self, answer: &Answer, asked: &Asked<'_>) -> Option<Judged> {
        if !asked.is_own {
            return None;
        }
        match answer.status.as_u16() {
            403 if asked.has_sign_in => Some(Judged::Failed(causes::reading_forbidden(&asked.said(answer)))),
            404 => match asked.target.text("database") {
                "" => Some(Judged::Failed(causes::missing(PROJECT, "project", &Self::project(asked.target)))),
                name => Some(Judged::Failed(causes::missing("database", self.kind, name))),
            },
            _ => None,
        }
    }

    async fn enter(&self, client: &mut Client<'_>) -> Result<Entered, TestError> {
        let target = client.target;
        if !self.has_sign_in(target) {
            return self.enter_by(client, &|target| self.question(target)).await;
        }
        let key = Key::read(target)?;
        client.scrubber.and(&key.pem);
        let question = self.question(target)?;
        let (place, other) = oauth::endpoint(target, ENDPOINT)?;
        let mut endpoint = oauth::connect(client, &other).await?;
        endpoint.scrubber.and(&key.pem);
        let assertion = key.assertion(self.scope)?;
        let ask = |access| {
            let assertion = match access {
                Access::Given => assertion.clone(),
                Access::Without => String::new(),
                Access::Wrong => spoilt(&assertion, WRONG),
            };
            let body = form(&[("grant_type", GRANT), ("assertion", &assertion)]);
            Ok(Request::post(place.path.clone(), "application/x-www-form-urlencoded", body))
        };
        let judge = |endpoint: &Client<'_>, answer: &Answer, _| judge(endpoint, answer, &key.email);
        let exchanged = oauth::exchange_by(&mut endpoint, &ask, &judge).await?;
        oauth::use_token(client, &|client, answer| self.judge(client, answer), &question, exchanged).await
    }

    async fn open(&self, client: &mut Client<'_>, entered: &Entered) -> Result<Option<String>, TestError> {
        let answer = self.asked(client, &self.question(client.target)?.with(entered.credentials.clone())).await?;
        let name = match client.target.text("database") {
            "" => answer.json_text("/email").unwrap_or_else(|| Self::project(client.target)),
            name => name.to_owned(),
        };
        Ok(Some(client.scrubber.clean(&name)).filter(|name| !name.is_empty()))
    }
}
