//! Azure Blob Storage, with the key of an account or a signature that somebody else made (SAS):
//! <https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key>.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use dataflow_model::{StepName, TestError};
use hyper::header::{AUTHORIZATION, HeaderName, HeaderValue};
use time::macros::format_description;

use super::aws::between;
use crate::{
    Target, causes,
    connector::PASSWORD,
    http::{Access, Answer, Asked, Client, Credentials, Entered, Judged, Request, Service, WRONG, at, joined},
    scrub::percent,
    signing::{self, hmac},
};

const VERSION: (HeaderName, &str) = (HeaderName::from_static("x-ms-version"), "2023-11-03");
const DATE: HeaderName = HeaderName::from_static("x-ms-date");
const ERROR: &str = "x-ms-error-code";

pub(crate) struct AzureBlob;

fn account(target: &Target) -> &str {
    target.text("username")
}

fn container(target: &Target) -> &str {
    target.text("database")
}

fn is_sas(target: &Target) -> bool {
    target.text("extra.auth") == "sas"
}

/// The code of an error: in a header, or in the XML where something in between has dropped that.
fn code(answer: &Answer) -> Option<String> {
    match answer.header(ERROR) {
        "" if !answer.status.is_success() && answer.text().contains("<Error>") => between(&answer.text(), "<Code>", "</Code>"),
        "" => None,
        code => Some(code.to_owned()),
    }
}

/// With the signature that came, or for the wrong one with another in its place.
fn with_sas(target: &Target, request: Request, access: Access) -> Request {
    let sas = target.expose_secret(PASSWORD).trim_start_matches('?');
    let wrong = || {
        let parts = sas.split('&').map(|part| if part.starts_with("sig=") { format!("sig={WRONG}") } else { part.to_owned() });
        parts.collect::<Vec<_>>().join("&")
    };
    let sas = match access {
        Access::Given => sas.to_owned(),
        Access::Without => return request,
        Access::Wrong => wrong(),
    };
    let path = format!("{}&{sas}", request.path());
    request.at(path)
}

/// What is signed: the method, eleven headers of which none is sent, those of the service, and what is asked for.
fn signed_text(account: &str, path: &str, date: &str) -> String {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let mut pairs: Vec<_> = query.split('&').filter_map(|pair| pair.split_once('=')).collect();
    pairs.sort_unstable();
    let headers = format!("{DATE}:{date}\n{}:{}", VERSION.0, VERSION.1);
    let mut lines = vec![format!("GET{}{headers}", "\n".repeat(12)), format!("/{account}{path}")];
    lines.extend(pairs.iter().map(|(name, value)| format!("{name}:{value}")));
    lines.join("\n")
}

impl Service for AzureBlob {
    fn name(&self) -> &'static str {
        "wasb"
    }

    fn product(&self) -> &'static str {
        "Azure Blob Storage"
    }

    fn is_by_name(&self, target: &Target) -> bool {
        !is_sas(target)
    }

    fn place(&self, target: &Target) -> Result<Option<Target>, TestError> {
        if !target.text("host").is_empty() {
            return Ok(None);
        }
        let account = account(target);
        if account.is_empty() {
            return Err(causes::setting_missing("username", "The storage account"));
        }
        let is_name = account.chars().all(|one| one.is_ascii_lowercase() || one.is_ascii_digit());
        if !is_name {
            return Err(causes::no_name_of_a_host("username"));
        }
        Ok(Some(at(target, &format!("{account}.blob.core.windows.net"))))
    }

    fn signed(&self, target: &Target, request: Request, access: Access) -> Result<Request, TestError> {
        let key = target.expose_secret(PASSWORD);
        if key.is_empty() || access == Access::Without {
            return Ok(request);
        }
        if is_sas(target) {
            return Ok(with_sas(target, request, access));
        }
        let unreadable = || causes::secret_unreadable(PASSWORD, "The account key", "in base64, as the console shows one");
        let key = STANDARD.decode(key.trim()).map_err(|_| unreadable())?;
        let key = if access == Access::Wrong { WRONG.as_bytes() } else { &key };
        let format = format_description!("[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT");
        let date = signing::now().format(format).unwrap_or_default();
        let signature = STANDARD.encode(hmac(key, signed_text(account(target), request.path(), &date).as_bytes()));
        let own = format!("SharedKey {}:{signature}", account(target));
        let credentials = Credentials::default().and(DATE, &date, PASSWORD)?.and(AUTHORIZATION, &own, "username")?;
        Ok(request.with(credentials))
    }

    /// One blob of the container, or else one container.
    fn question(&self, target: &Target) -> Result<Request, TestError> {
        let path = match container(target) {
            "" => "/?comp=list&maxresults=1".to_owned(),
            name => format!("/{}?comp=list&maxresults=1&restype=container", &*percent(name.as_bytes(), false)),
        };
        let (name, version) = VERSION;
        Ok(Request::get(joined(target, &path)).header(name, HeaderValue::from_static(version)))
    }

    fn accepts(&self, _step: StepName, answer: &Answer) -> bool {
        answer.text().contains("<EnumerationResults")
    }

    fn is_own(&self, answer: &Answer) -> bool {
        code(answer).is_some()
    }

    fn own_meaning(&self, answer: &Answer, asked: &Asked<'_>) -> Option<Judged> {
        let (code, text) = (code(answer)?, answer.text());
        let said = || asked.scrubber.clean(&between(&text, "<Message>", "</Message>").unwrap_or_default());
        let is_late = ["too old", "Date header in the request is incorrect"].iter().any(|late| text.contains(late));
        Some(match code.as_str() {
            "AuthenticationFailed" if is_late => Judged::Failed(causes::clocks_apart()),
            "AuthenticationFailed" if is_sas(asked.target) => Judged::Refused(causes::token_refused()),
            "AuthenticationFailed" => Judged::Refused(causes::signature_refused(account(asked.target))),
            "NoAuthenticationInformation" | "PublicAccessNotPermitted" => Judged::Refused(causes::sign_in_missing()),
            // Said of a container that is there, too, to whoever does not sign in.
            "ResourceNotFound" if !asked.has_sign_in => Judged::Refused(causes::sign_in_missing()),
            "ContainerNotFound" | "ResourceNotFound" if asked.step == StepName::SignIn && asked.has_sign_in => Judged::LetIn,
            "ContainerNotFound" | "ResourceNotFound" | "InvalidResourceName" => {
                Judged::Failed(causes::missing("database", "container", container(asked.target)))
            }
            "AuthorizationFailure" | "AuthorizationPermissionMismatch" | "AuthorizationResourceTypeMismatch" => {
                Judged::Failed(causes::reading_forbidden(&said()))
            }
            "AccountIsDisabled" => Judged::Failed(causes::account_locked(account(asked.target))),
            "ServerBusy" => Judged::Failed(causes::too_many_requests()),
            _ => Judged::Failed(causes::http_error(answer.status.as_u16(), &said())),
        })
    }

    async fn enter(&self, client: &mut Client<'_>) -> Result<Entered, TestError> {
        // The signature of a SAS is as good as the whole of it.
        let sas = if is_sas(client.target) { client.target.expose_secret(PASSWORD) } else { "" };
        for part in sas.split('&').filter_map(|part| part.strip_prefix("sig=")) {
            client.scrubber.and(part);
        }
        self.enter_by(client, &|target| self.question(target)).await
    }

    async fn open(&self, client: &mut Client<'_>, _entered: &Entered) -> Result<Option<String>, TestError> {
        let target = client.target;
        if container(target).is_empty() {
            return Ok(None);
        }
        self.asked(client, &self.signed(target, self.question(target)?, Access::Given)?).await?;
        Ok(Some(container(target).to_owned()))
    }

    async fn read(&self, client: &mut Client<'_>, _entered: &Entered) -> Result<Option<String>, TestError> {
        let target = client.target;
        self.asked(client, &self.signed(target, self.question(target)?, Access::Given)?).await?;
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The section “Constructing the canonicalized resource string” of the specification, of a container that is listed.
    #[test]
    fn what_is_signed_is_what_the_specification_has() {
        let text = signed_text("myaccount", "/mycontainer?restype=container&comp=list", "Fri, 26 Jun 2015 23:39:12 GMT");
        assert_eq!(
            text,
            "GET\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:Fri, 26 Jun 2015 23:39:12 GMT\nx-ms-version:2023-11-03\n/myaccount/mycontainer\ncomp:list\nrestype:container"
        );
    }
}
