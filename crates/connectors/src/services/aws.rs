//! AWS, and what all of its services have in common: who signs, where they are, and how they write errors.
//!
//! An account is asked who signs in (<https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html>), which needs no right;
//! Athena for a workgroup (<https://docs.aws.amazon.com/athena/latest/APIReference/API_GetWorkGroup.html>), which starts nothing.

use dataflow_model::{StepName, TestError};
use hyper::header::{HeaderName, HeaderValue};
use serde_json::json;

use crate::{
    Target, causes,
    http::{Access, Answer, Asked, Client, Credentials, Entered, Judged, Request, Service, at, authority, secret},
    signing::{self, Signature, Signed},
};

pub(super) const REGION: &str = "extra.region_name";
const SESSION: &str = "extra.aws_session_token";
const WORKGROUP: &str = "extra.work_group";

/// One of the services that are asked at one address of a region.
pub(crate) struct Aws {
    name: &'static str,
    product: &'static str,
    /// As it stands in hosts and signatures.
    service: &'static str,
    question: fn(&Target) -> Request,
    /// What stands in the answer to it alone.
    mark: &'static str,
}

pub(super) const ACCOUNT: Aws = Aws {
    name: "aws",
    product: "AWS",
    service: "sts",
    question: |_| Request::post("/", "application/x-www-form-urlencoded", "Action=GetCallerIdentity&Version=2011-06-15"),
    mark: "<GetCallerIdentityResult>",
};

pub(super) const ATHENA: Aws = Aws {
    name: "athena",
    product: "Athena",
    service: "athena",
    question: |target| {
        let body = json!({"WorkGroup": workgroup(target)}).to_string();
        let name = HeaderName::from_static("x-amz-target");
        Request::post("/", "application/x-amz-json-1.1", body).header(name, HeaderValue::from_static("AmazonAthena.GetWorkGroup"))
    },
    mark: "\"WorkGroup\"",
};

fn workgroup(target: &Target) -> &str {
    Some(target.text(WORKGROUP)).filter(|name| !name.is_empty()).unwrap_or("primary")
}

/// The region, as a part of a host's name.
pub(super) fn region(target: &Target) -> Result<&str, TestError> {
    let region = Some(target.text(REGION)).filter(|region| !region.is_empty()).unwrap_or("us-east-1");
    let is_name = region.chars().all(|one| one.is_ascii_lowercase() || one.is_ascii_digit() || one == '-');
    if is_name { Ok(region) } else { Err(causes::no_name_of_a_host(REGION)) }
}

/// What AWS has in this region, less its service.
pub(super) fn domain(region: &str) -> String {
    let is_in_china = region.starts_with("cn-");
    format!("{region}.amazonaws.com{}", if is_in_china { ".cn" } else { "" })
}

/// The request with its signature; without one where the connection has none.
pub(super) fn signed(target: &Target, request: Request, access: Access, service: &str) -> Result<Request, TestError> {
    let secret = secret(target, access);
    if secret.is_empty() {
        return Ok(request);
    }
    let host = authority(target).ok_or_else(|| causes::unspeakable("host"))?;
    let signature = Signature {
        key_id: target.text("username"),
        secret,
        session_token: target.expose_secret(SESSION),
        region: region(target)?,
        service,
        at: signing::now(),
    };
    let headers: Vec<_> = request.headers().collect();
    let signed = Signed {
        method: request.method(),
        path: request.path(),
        host: host.to_str().unwrap_or_default(),
        headers: &headers,
        body: request.body(),
    };
    let mut credentials = Credentials::default();
    for (name, value) in signature.headers(&signed) {
        let field = if name == "x-amz-security-token" { SESSION } else { "username" };
        credentials = credentials.and(HeaderName::from_static(name), &value, field)?;
    }
    Ok(request.with(credentials))
}

/// What stands between two marks of a text.
pub(super) fn between(text: &str, before: &str, after: &str) -> Option<String> {
    let (_, rest) = text.split_once(before)?;
    rest.split_once(after).map(|(found, _)| found.to_owned())
}

/// The code of an error, as XML or JSON has it.
pub(super) fn code(answer: &Answer) -> Option<String> {
    if answer.status.is_success() {
        return None;
    }
    let json = || answer.json_text("/__type").map(|kind| kind.rsplit('#').next().unwrap_or_default().to_owned());
    let text = answer.text();
    let xml = || text.contains("<Error>").then(|| between(&text, "<Code>", "</Code>")).flatten();
    json().or_else(xml)
}

/// Its words.
pub(super) fn words(answer: &Answer) -> String {
    let json = answer.json_text("/message").or_else(|| answer.json_text("/Message"));
    json.or_else(|| between(&answer.text(), "<Message>", "</Message>")).unwrap_or_default()
}

/// What an error means that any of the services may have.
pub(super) fn meaning(answer: &Answer, asked: &Asked<'_>) -> Option<Judged> {
    let (code, words) = (code(answer)?, words(answer));
    let id = asked.target.text("username");
    let said = asked.scrubber.clean(&words);
    let is_late = ["Signature expired", "Signature not yet current"].iter().any(|late| words.contains(late));
    let has_session = !asked.target.expose_secret(SESSION).is_empty();
    let refused = |error| Some(Judged::Refused(error));
    match code.as_str() {
        "RequestTimeTooSkewed" | "RequestExpired" | "RequestInTheFuture" => Some(Judged::Failed(causes::clocks_apart())),
        "SignatureDoesNotMatch" | "InvalidSignatureException" if is_late => Some(Judged::Failed(causes::clocks_apart())),
        "SignatureDoesNotMatch" | "InvalidSignatureException" | "IncompleteSignature" => refused(causes::signature_refused(id)),
        "ExpiredToken" | "ExpiredTokenException" => refused(causes::session_ended(SESSION)),
        "InvalidToken" => refused(causes::session_refused(SESSION)),
        "InvalidClientTokenId" | "UnrecognizedClientException" if has_session => refused(causes::session_refused(SESSION)),
        "InvalidAccessKeyId" | "InvalidClientTokenId" | "UnrecognizedClientException" => refused(causes::access_key_unknown(id)),
        "MissingAuthenticationToken" | "MissingAuthenticationTokenException" => refused(causes::sign_in_missing()),
        "AccessDenied" | "AccessDeniedException" | "AllAccessDisabled" if !asked.has_sign_in => {
            refused(causes::sign_in_missing())
        }
        "AccessDenied" | "AccessDeniedException" | "AllAccessDisabled" => Some(Judged::Failed(causes::reading_forbidden(&said))),
        "SlowDown" | "Throttling" | "ThrottlingException" | "TooManyRequestsException" | "RequestLimitExceeded" => {
            Some(Judged::Failed(causes::too_many_requests()))
        }
        _ => None,
    }
}

impl Service for Aws {
    fn name(&self) -> &'static str {
        self.name
    }

    fn product(&self) -> &'static str {
        self.product
    }

    fn is_by_name(&self, _target: &Target) -> bool {
        true
    }

    fn place(&self, target: &Target) -> Result<Option<Target>, TestError> {
        if !target.text("host").is_empty() {
            return Ok(None);
        }
        Ok(Some(at(target, &format!("{}.{}", self.service, domain(region(target)?)))))
    }

    fn signed(&self, target: &Target, request: Request, access: Access) -> Result<Request, TestError> {
        signed(target, request, access, self.service)
    }

    fn question(&self, target: &Target) -> Result<Request, TestError> {
        Ok((self.question)(target))
    }

    fn accepts(&self, _step: StepName, answer: &Answer) -> bool {
        answer.text().contains(self.mark)
    }

    fn is_own(&self, answer: &Answer) -> bool {
        code(answer).is_some()
    }

    fn own_meaning(&self, answer: &Answer, asked: &Asked<'_>) -> Option<Judged> {
        if let Some(judged) = meaning(answer, asked) {
            return Some(judged);
        }
        let (code, words) = (code(answer)?, words(answer));
        if code == "InvalidRequestException" && words.to_ascii_lowercase().contains("not found") {
            return Some(Judged::Failed(causes::missing(WORKGROUP, "workgroup", workgroup(asked.target))));
        }
        Some(Judged::Failed(causes::http_error(answer.status.as_u16(), &asked.scrubber.clean(&words))))
    }

    /// Who signed in, or which workgroup is there.
    async fn open(&self, client: &mut Client<'_>, _entered: &Entered) -> Result<Option<String>, TestError> {
        let target = client.target;
        let answer = self.asked(client, &self.signed(target, self.question(target)?, Access::Given)?).await?;
        let who = between(&answer.text(), "<Arn>", "</Arn>").unwrap_or_else(|| workgroup(target).to_owned());
        Ok(Some(client.scrubber.clean(&who)))
    }

    async fn read(&self, client: &mut Client<'_>, _entered: &Entered) -> Result<Option<String>, TestError> {
        let target = client.target;
        self.asked(client, &self.signed(target, self.question(target)?, Access::Given)?).await?;
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use dataflow_model::FieldValue;

    use super::*;

    fn region_of(text: &str) -> Target {
        let mut target = Target::default();
        target.public.0.insert(REGION.into(), FieldValue::Text(text.to_owned()));
        target
    }

    #[test]
    fn a_region_is_a_part_of_a_host_and_nothing_more() {
        let host = |text: &str| {
            let place = ACCOUNT.place(&region_of(text)).map_err(|error| error.field);
            place.map(|target| target.expect("a place").text("host").to_owned())
        };
        assert_eq!(host(""), Ok("sts.us-east-1.amazonaws.com".to_owned()));
        assert_eq!(host("cn-north-1"), Ok("sts.cn-north-1.amazonaws.com.cn".to_owned()));
        for text in ["evil.example.org/", "a.b", "EU", "x@y", "eu-west-1#"] {
            assert_eq!(host(text), Err(Some(REGION.to_owned())), "{text}");
        }
    }
}
