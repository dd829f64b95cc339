//! Any API over HTTP. The connection says by which path its sign-in can be tried.

use dataflow_model::{StepName, TestError};
use hyper::header::HeaderName;

use super::oauth;
use crate::{
    Target, causes,
    connector::PASSWORD,
    http::{Access, Answer, Client, Credentials, Entered, Request, Service, joined, secret},
};

const TEST_PATH: &str = "extra.test_path";
const HEADER: &str = "extra.header";

/// Headers of the request itself, or of the line, which carry no key.
const NO_KEYS: [&str; 9] =
    ["host", "connection", "content-length", "transfer-encoding", "expect", "upgrade", "te", "trailer", "keep-alive"];

/// How the connection signs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Nobody,
    Basic,
    Bearer,
    Header,
    OAuth,
}

fn way(target: &Target) -> Way {
    match target.text("extra.auth") {
        "none" => Way::Nobody,
        "bearer" => Way::Bearer,
        "header" => Way::Header,
        "oauth2" => Way::OAuth,
        _ => Way::Basic,
    }
}

pub(crate) struct Any;

impl Service for Any {
    fn name(&self) -> &'static str {
        "http"
    }

    fn product(&self) -> &'static str {
        "the service"
    }

    fn has_sign_in(&self, target: &Target) -> bool {
        way(target) != Way::Nobody && !target.expose_secret(PASSWORD).is_empty()
    }

    fn is_by_name(&self, target: &Target) -> bool {
        way(target) == Way::Basic
    }

    fn credentials(&self, target: &Target, access: Access) -> Result<Credentials, TestError> {
        let secret = secret(target, access);
        let way = way(target);
        // What OAuth exchanges goes to its endpoint alone.
        if secret.is_empty() || way == Way::Nobody || (way == Way::OAuth && access == Access::Given) {
            return Ok(Credentials::default());
        }
        match way {
            Way::Basic | Way::Nobody => Credentials::basic(target.text("username"), secret),
            Way::Bearer | Way::OAuth => Credentials::token("Bearer", secret),
            Way::Header => {
                let name = Some(target.text(HEADER)).filter(|name| !name.is_empty()).unwrap_or("X-API-Key");
                let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| causes::unspeakable(HEADER))?;
                if NO_KEYS.contains(&name.as_str()) || name.as_str().starts_with("proxy-") {
                    return Err(causes::no_key_there(HEADER, name.as_str()));
                }
                Credentials::default().and(name, secret, PASSWORD)
            }
        }
    }

    /// Nobody knows of it how it checks a password.
    fn checks_passwords(&self) -> bool {
        false
    }

    fn question(&self, target: &Target) -> Result<Request, TestError> {
        let path = target.text(TEST_PATH);
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Ok(Request::get(joined(target, &path)))
    }

    /// Any answer that is good, but for a page where the sign-in is a token: who has one speaks to no browser.
    fn accepts(&self, _step: StepName, answer: &Answer) -> bool {
        !(answer.is_page() && answer.text().to_ascii_lowercase().contains("type=\"password\""))
    }

    /// Of any API its errors are its own, as far as they are written for programs.
    fn is_own(&self, answer: &Answer) -> bool {
        answer.json().is_some()
    }

    async fn enter(&self, client: &mut Client<'_>) -> Result<Entered, TestError> {
        if way(client.target) != Way::OAuth || !self.has_sign_in(client.target) {
            return self.enter_by(client, &|target| self.question(target)).await;
        }
        oauth::enter(client, &|client, answer| self.judge(client, answer), &self.question(client.target)?).await
    }

    async fn read(&self, client: &mut Client<'_>, entered: &Entered) -> Result<Option<String>, TestError> {
        self.asked(client, &self.question(client.target)?.with(entered.credentials.clone())).await?;
        Ok(None)
    }
}
