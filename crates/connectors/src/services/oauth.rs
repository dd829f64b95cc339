//! OAuth 2.0 with client credentials (RFC 6749, section 4.4): the client's id and secret are exchanged for a token at an endpoint of the
//! connection, which is dialled like everything else.

use dataflow_model::{StepName, TestError};

use crate::{
    Steps, Target, causes,
    http::{Access, Answer, Client, Credentials, Entered, Judged, Place, Proof, Request, form, prove, secret},
    scrub::percent,
};

const ENDPOINT: &str = "extra.oauth_url";
/// The errors of section 5.2 that are not about the client.
const ERRORS: [&str; 4] = ["invalid_request", "invalid_grant", "unsupported_grant_type", "invalid_scope"];
const AUTHORITY: &str = "extra.oauth_ca";

/// The exchange, with id and secret in the header, as every endpoint has to take them (RFC 6749, section 2.3.1), or in the body, as some insist.
fn exchange(target: &Target, place: &Place, access: Access, in_body: bool) -> Result<Request, TestError> {
    let (client, secret) = (target.text("username"), secret(target, access));
    let mut pairs = vec![("grant_type", "client_credentials")];
    pairs.extend([("scope", target.text("extra.scope")), ("audience", target.text("extra.audience"))]);
    if in_body {
        pairs.extend([("client_id", client), ("client_secret", secret)]);
    }
    let request = Request::post(place.path.clone(), "application/x-www-form-urlencoded", form(&pairs));
    if in_body || secret.is_empty() {
        return Ok(request);
    }
    let escaped = |text: &str| percent(text.as_bytes(), false);
    Ok(request.with(Credentials::basic(&escaped(client), &escaped(secret))?))
}

pub(super) fn token(answer: &Answer) -> Option<String> {
    answer.status.is_success().then(|| answer.json_text("/access_token")).flatten()
}

fn judge(endpoint: &Client<'_>, answer: &Answer, client: &str) -> Judged {
    let code = answer.json_text("/error").unwrap_or_default();
    match token(answer) {
        Some(_) => Judged::LetIn,
        // Section 5.2; some answer a client that they do not know with 400 or 403.
        None if answer.status.as_u16() == 401
            || ["invalid_client", "unauthorized_client", "access_denied"].contains(&code.as_str()) =>
        {
            Judged::Refused(causes::client_refused(client))
        }
        // Of what answers otherwise than section 5.2 has it nothing is told.
        None if !ERRORS.contains(&code.as_str()) => Judged::Failed(causes::no_token_given("")),
        None => {
            let said = answer.json_text("/error_description").unwrap_or(code);
            Judged::Failed(causes::no_token_given(&endpoint.scrubber.clean(&said)))
        }
    }
}

/// Exchanges, and asks the service with the token. Proven is the sign-in if the endpoint refuses a wrong secret, and the service whoever has no token.
pub(super) async fn enter(
    client: &mut Client<'_>,
    judge_service: &(dyn Fn(&Client<'_>, &Answer) -> Judged + Sync),
    question: &Request,
) -> Result<Entered, TestError> {
    let target = client.target;
    for (field, what) in [(ENDPOINT, "The OAuth endpoint"), ("username", "The client's id")] {
        if target.text(field).is_empty() {
            return Err(causes::setting_missing(field, what));
        }
    }
    let (place, other) = endpoint(target, "")?;
    let exchanged = at_endpoint(client, &place, &other).await?;
    use_token(client, judge_service, question, exchanged).await
}

/// Asks the service with the token of an endpoint, and without.
pub(super) async fn use_token(
    client: &mut Client<'_>,
    judge_service: &(dyn Fn(&Client<'_>, &Answer) -> Judged + Sync),
    question: &Request,
    (token, exchanged): (String, Proof),
) -> Result<Entered, TestError> {
    let target = client.target;
    client.scrubber.and(&token);
    let ask = |access| {
        let token = if access == Access::Given { token.as_str() } else { secret(target, access) };
        Ok(question.clone().with(Credentials::token("Bearer", token)?))
    };
    let (_, used) = prove(client, true, &ask, &|client, answer, _| judge_service(client, answer)).await?;
    let proof = if exchanged == Proof::Checked { used } else { exchanged };
    Ok(Entered { credentials: Credentials::token("Bearer", &token)?, proof, version: None })
}

/// Errors on the way to the endpoint are its field's.
pub(super) fn blamed(error: TestError) -> TestError {
    TestError { field: Some(ENDPOINT.to_owned()), ..error }
}

/// Where a token is asked for: where the connection says, or else `usual`.
pub(super) fn endpoint(target: &Target, usual: &str) -> Result<(Place, Target), TestError> {
    let url = Some(target.text(ENDPOINT)).filter(|url| !url.is_empty()).unwrap_or(usual);
    let place = Place::read(url, ENDPOINT)?;
    let other = place.target(target, target.text(AUTHORITY));
    Ok((place, other))
}

/// A conversation with an endpoint, in the step of the sign-in.
pub(super) async fn connect<'o>(client: &Client<'o>, other: &'o Target) -> Result<Client<'o>, TestError> {
    let mut endpoint =
        Client::connect(other, client.dialer, "an OAuth endpoint", &mut Steps::new(|_| {})).await.map_err(blamed)?;
    endpoint.step = StepName::SignIn;
    endpoint.require_unheard().map_err(blamed)?;
    Ok(endpoint)
}

/// The token that an endpoint gives for what `ask` sends, and whether it looks at that.
pub(super) async fn exchange_by(
    endpoint: &mut Client<'_>,
    ask: &(dyn Fn(Access) -> Result<Request, TestError> + Sync),
    judge: &(dyn Fn(&Client<'_>, &Answer, Access) -> Judged + Sync),
) -> Result<(String, Proof), TestError> {
    let (answer, proof) = prove(endpoint, true, ask, judge).await?;
    Ok((token(&answer).unwrap_or_default(), proof))
}

/// A token, and whether the endpoint looks at the secret.
async fn at_endpoint(client: &Client<'_>, place: &Place, other: &Target) -> Result<(String, Proof), TestError> {
    let target = client.target;
    let name = target.text("username");
    let mut endpoint = connect(client, other).await?;
    let first = endpoint.ask(&exchange(target, place, Access::Given, false)?).await.map_err(blamed)?;
    // Whoever does not take the secret in the header says no more than that it is missing.
    let code = first.json_text("/error").unwrap_or_default();
    let in_body = token(&first).is_none()
        && (first.status.as_u16() == 401 || ["invalid_client", "invalid_request"].contains(&code.as_str()));
    let ask = |access| exchange(target, place, access, in_body);
    exchange_by(&mut endpoint, &ask, &|endpoint, answer, _| judge(endpoint, answer, name)).await
}
