//! Clouds, and what they keep. Each looks at signatures.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{
    Asked, Door, PASSWORD, Reply, USER,
    signatures::{AwsSignature, RsaPair, is_shared_key},
};
use crate::fake_oidc::now;

/// What the endpoints give.
const TOKEN: &str = "token-of-the-cloud";

fn amazon_xml(status: u16, code: &str, words: &str) -> Reply {
    Reply::new(
        status,
        format!("<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{words}</Message></Error></ErrorResponse>"),
    )
    .with("content-type", "text/xml")
}

/// Why AWS refuses, if it does: its code and words (<https://docs.aws.amazon.com/IAM/latest/UserGuide/signature-v4-troubleshooting.html>).
fn refusal(asked: &Asked, door: Door, service: &str) -> Option<(&'static str, String)> {
    let of = |code, words: &str| Some((code, words.to_owned()));
    if door == Door::Open {
        return None;
    }
    let Some(signature) = AwsSignature::read(asked, service, PASSWORD) else {
        return of("MissingAuthenticationToken", "Request is missing Authentication Token");
    };
    match signature.key_id.as_str() {
        USER if asked.header("x-amz-security-token") == "ended" => {
            return of("ExpiredToken", "The security token included in the request is expired");
        }
        USER | "late" | "nobody" => {}
        other => return of("InvalidClientTokenId", &format!("The security token included in the request is invalid: {other}")),
    }
    if !signature.is_right() {
        return of(
            "SignatureDoesNotMatch",
            &format!("The signature does not match; the header was {}", asked.header("authorization")),
        );
    }
    match signature.key_id.as_str() {
        "late" => of("SignatureDoesNotMatch", "Signature expired: 20261130T080000Z is now earlier than 20261130T090000Z"),
        "nobody" => of("AccessDenied", "User: anna is not authorized to perform this"),
        _ => None,
    }
}

/// AWS's service that says who asks: <https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html>.
pub fn aws(asked: &Asked, door: Door) -> Reply {
    if let Some((code, words)) = refusal(asked, door, "sts") {
        return amazon_xml(403, code, &words);
    }
    match (asked.line(), asked.text().as_str()) {
        (("POST", "/"), "Action=GetCallerIdentity&Version=2011-06-15") => Reply::new(
            200,
            "<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>arn:aws:iam::123456789012:user/anna</Arn>\
             <UserId>AIDAEXAMPLE</UserId><Account>123456789012</Account></GetCallerIdentityResult></GetCallerIdentityResponse>",
        )
        .with("content-type", "text/xml"),
        _ => amazon_xml(400, "InvalidAction", "Could not find operation"),
    }
}

/// Athena, as far as workgroups go: <https://docs.aws.amazon.com/athena/latest/APIReference/API_GetWorkGroup.html>.
pub fn athena(asked: &Asked, door: Door) -> Reply {
    let error = |code: &str, words: &str| {
        Reply::new(400, json!({"__type": code, "message": words}).to_string()).with("content-type", "application/x-amz-json-1.1")
    };
    match refusal(asked, door, "athena") {
        None => {}
        Some(("MissingAuthenticationToken", words)) => return error("MissingAuthenticationTokenException", &words),
        Some(("InvalidClientTokenId", words)) => return error("UnrecognizedClientException", &words),
        Some(("SignatureDoesNotMatch", words)) => return error("InvalidSignatureException", &words),
        Some((_, words)) => return error("com.amazon.coral.service#AccessDeniedException", &words),
    }
    let body: Value = serde_json::from_slice(&asked.body).unwrap_or_default();
    match (asked.header("x-amz-target"), body["WorkGroup"].as_str()) {
        ("AmazonAthena.GetWorkGroup", Some("primary")) => {
            Reply::new(200, json!({"WorkGroup": {"Name": "primary", "State": "ENABLED"}}).to_string())
                .with("content-type", "application/x-amz-json-1.1")
        }
        ("AmazonAthena.GetWorkGroup", Some(_)) => error("InvalidRequestException", "WorkGroup is not found."),
        _ => error("UnknownOperationException", ""),
    }
}

/// S3: <https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html>, and
/// <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html> for what it refuses. The bucket `public` is everybody's.
pub fn s3(asked: &Asked, door: Door) -> Reply {
    let error = |status, code: &str, more: &str| {
        Reply::new(
            status,
            format!("<?xml version=\"1.0\"?>\n<Error><Code>{code}</Code><Message>of {code}</Message>{more}</Error>"),
        )
        .with("content-type", "application/xml")
    };
    let refused = refusal(asked, door, "s3");
    let is_anybodys = asked.header("authorization").is_empty() && asked.path() == "/public";
    match refused {
        Some(("MissingAuthenticationToken", _)) if is_anybodys => {}
        Some(("MissingAuthenticationToken", _)) if asked.path() != "/nowhere" => return error(403, "AccessDenied", ""),
        Some(("InvalidClientTokenId", _)) => return error(403, "InvalidAccessKeyId", ""),
        Some(("SignatureDoesNotMatch", words)) if words.starts_with("Signature expired") => {
            return error(403, "RequestTimeTooSkewed", "");
        }
        Some((code, _)) if code != "MissingAuthenticationToken" => return error(403, code, ""),
        _ => {}
    }
    let list = asked.query("list-type") == Some("2") && asked.query("max-keys") == Some("1");
    match asked.line() {
        ("GET", "/") if asked.target == "/" => Reply::new(
            200,
            "<?xml version=\"1.0\"?>\n<ListAllMyBucketsResult><Buckets><Bucket><Name>sales</Name></Bucket></Buckets></ListAllMyBucketsResult>",
        ),
        ("GET", "/sales" | "/public") if list => {
            Reply::new(200, "<?xml version=\"1.0\"?>\n<ListBucketResult><Name>sales</Name><KeyCount>0</KeyCount></ListBucketResult>")
        }
        ("GET", "/elsewhere") => error(301, "PermanentRedirect", "<Endpoint>x</Endpoint>").with("x-amz-bucket-region", "eu-west-3"),
        ("GET", "/malformed") => error(400, "AuthorizationHeaderMalformed", "<Region>eu-west-2</Region>"),
        _ => error(404, "NoSuchBucket", ""),
    }
    .with("server", "AmazonS3")
}

/// The key of a service account, as Google gives one. What it names as the place to sign in is not Google's.
pub fn google_key(pair: &RsaPair) -> String {
    json!({
        "type": "service_account",
        "project_id": "acme",
        "private_key_id": "key-1",
        "private_key": pair.pem,
        "client_email": "anna@acme.iam.gserviceaccount.com",
        "token_uri": "https://evil.example.org/token",
    })
    .to_string()
}

/// The endpoint that takes signed tokens (<https://developers.google.com/identity/protocols/oauth2/service-account#httprest>), and the services of Google's
/// that are tested, one host for all of them.
pub fn google(asked: &Asked, door: Door) -> Reply {
    if asked.line() == ("POST", "/token") {
        return google_endpoint(asked, door);
    }
    let error = |status: u16, kind: &str, words: &str| {
        Reply::json(status, &json!({"error": {"code": status, "message": words, "status": kind}}))
    };
    if door == Door::Guarded && asked.header("authorization") != format!("Bearer {TOKEN}") {
        let words = format!("Request had invalid authentication credentials {}", asked.header("authorization"));
        return error(401, "UNAUTHENTICATED", &words).with("www-authenticate", "Bearer realm=\"https://accounts.google.com/\"");
    }
    match asked.line() {
        ("GET", "/v1/userinfo") => Reply::json(200, &json!({"sub": "1", "email": "anna@acme.iam.gserviceaccount.com"})),
        ("GET", "/storage/v1/b") if asked.query("project") == Some("acme") => {
            Reply::json(200, &json!({"kind": "storage#buckets"}))
        }
        ("GET", "/storage/v1/b/sales/o") => Reply::json(200, &json!({"kind": "storage#objects"})),
        ("GET", "/bigquery/v2/projects/acme/datasets") => Reply::json(200, &json!({"kind": "bigquery#datasetList"})),
        ("GET", "/bigquery/v2/projects/acme/datasets/web/tables") => Reply::json(200, &json!({"kind": "bigquery#tableList"})),
        ("GET", "/storage/v1/b/private/o") => error(403, "PERMISSION_DENIED", "anna does not have storage.objects.list access"),
        _ => error(404, "NOT_FOUND", "Not found"),
    }
}

fn google_endpoint(asked: &Asked, door: Door) -> Reply {
    let error = |code: &str, words: &str| Reply::json(400, &json!({"error": code, "error_description": words}));
    let text = asked.text();
    let field = |name: &str| text.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')).unwrap_or_default();
    if field("grant_type") != "urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer" {
        return error("unsupported_grant_type", "Invalid grant_type");
    }
    if door == Door::Guarded {
        if field("assertion").is_empty() {
            return error("invalid_request", "Missing assertion");
        }
        let Some(claims) = RsaPair::known().claims(field("assertion")) else {
            return error("invalid_grant", "Invalid JWT Signature.");
        };
        if claims["iss"] != "anna@acme.iam.gserviceaccount.com" || claims["aud"] != "https://oauth2.googleapis.com/token" {
            return error("invalid_grant", "Invalid grant: account not found");
        }
        let (made, until) = (claims["iat"].as_i64().unwrap_or_default(), claims["exp"].as_i64().unwrap_or_default());
        if (made - now()).abs() > 60 || until <= made || until - made > 3_600 {
            return error(
                "invalid_grant",
                "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe.",
            );
        }
        if !claims["scope"].as_str().is_some_and(|scope| scope.starts_with("https://www.googleapis.com/auth/")) {
            return error("invalid_scope", "Invalid OAuth scope or ID token audience provided.");
        }
    }
    Reply::json(200, &json!({"access_token": TOKEN, "expires_in": 3599, "token_type": "Bearer"}))
}

/// Microsoft's endpoint (<https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow#first-case-access-token-request-with-a-shared-secret>)
/// and Azure's list of subscriptions.
pub fn azure(asked: &Asked, door: Door) -> Reply {
    let refuse = |status, code: &str, number: u32, words: &str| {
        Reply::json(
            status,
            &json!({"error": code, "error_description": format!("AADSTS{number}: {words}"), "error_codes": [number]}),
        )
    };
    let text = asked.text();
    let has = |part: &str| text.split('&').any(|one| one == part);
    match asked.line() {
        ("POST", "/token") if door == Door::Open => {}
        ("POST", "/token") => match () {
            () if has("client_id=nobody") => {
                return refuse(400, "unauthorized_client", 700_016, "Application was not found in the directory");
            }
            () if has("client_id=late") => {
                return refuse(401, "invalid_client", 7_000_222, "The provided client secret keys are expired.");
            }
            () if has("client_id=nowhere") => return refuse(400, "invalid_request", 90_002, "Tenant not found."),
            () if !has(&format!("client_id={USER}")) => {
                return refuse(400, "unauthorized_client", 700_016, "no such application");
            }
            () if !text.contains("client_secret=") => {
                return refuse(401, "invalid_client", 7_000_218, "The request body must contain client_secret");
            }
            () if !has(&format!("client_secret={PASSWORD}")) => {
                return refuse(401, "invalid_client", 7_000_215, &format!("Invalid client secret provided: {text}"));
            }
            () if !has("scope=https%3A%2F%2Fmanagement.azure.com%2F.default") => {
                return refuse(400, "invalid_scope", 70_011, "no such scope");
            }
            () => {}
        },
        _ if door == Door::Guarded && asked.header("authorization") != format!("Bearer {TOKEN}") => {
            return Reply::json(401, &json!({"error": {"code": "AuthenticationFailed", "message": "Authentication failed."}}))
                .with("www-authenticate", "Bearer authorization_uri=\"https://login.windows.net/\", error=\"invalid_token\"");
        }
        _ => {}
    }
    match asked.line() {
        ("POST", "/token") => Reply::json(200, &json!({"token_type": "Bearer", "expires_in": 3599, "access_token": TOKEN})),
        ("GET", "/subscriptions") => {
            Reply::json(200, &json!({"value": [{"subscriptionId": "s-1", "displayName": "Production"}]}))
        }
        ("GET", "/subscriptions/s-1") => Reply::json(200, &json!({"subscriptionId": "s-1", "displayName": "Production"})),
        _ => Reply::json(404, &json!({"error": {"code": "SubscriptionNotFound", "message": "could not be found"}})),
    }
}

/// The key of the account of [`USER`].
pub fn account_key() -> String {
    STANDARD.encode(format!("{PASSWORD}-and-more-so-that-it-is-long"))
}

/// A signature that somebody else made.
pub const SAS: &str = "sv=2023-11-03&sr=c&sp=l&se=2030-01-01T00%3A00%3A00Z&sig=planted%2Fsignature%3D";

/// Azure Blob Storage (<https://learn.microsoft.com/rest/api/storageservices/list-blobs>, `…/status-and-error-codes2`), by Shared Key and by a SAS.
pub fn wasb(asked: &Asked, door: Door) -> Reply {
    let error = |status, code: &'static str, words: &str| {
        Reply::new(
            status,
            format!("<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>{code}</Code><Message>{words}</Message></Error>"),
        )
        .with("content-type", "application/xml")
        .with("x-ms-error-code", code)
    };
    if door == Door::Guarded {
        let key = STANDARD.decode(account_key()).expect("base64");
        let has_sas = asked.target.ends_with(&format!("&{SAS}"));
        let signs = !asked.header("authorization").is_empty() || asked.query("sig").is_some();
        match (signs, asked.path()) {
            (false, "/public") => {}
            (false, "/") => return error(401, "NoAuthenticationInformation", "Server failed to authenticate the request."),
            (false, _) => return error(404, "ResourceNotFound", "The specified resource does not exist."),
            (true, _) if !has_sas && !is_shared_key(asked, USER, &key) => {
                let words = format!("Server failed to authenticate the request. {}", asked.header("authorization"));
                return error(403, "AuthenticationFailed", &words);
            }
            (true, _) => {}
        }
    }
    match asked.line() {
        ("GET", "/" | "/reports" | "/public") if asked.query("comp") == Some("list") => Reply::new(
            200,
            "<?xml version=\"1.0\" encoding=\"utf-8\"?><EnumerationResults><MaxResults>1</MaxResults></EnumerationResults>",
        ),
        ("GET", "/private") => {
            let words = format!("This request is not authorized. {}", asked.query("sig").unwrap_or_default());
            error(403, "AuthorizationPermissionMismatch", &words)
        }
        _ => error(404, "ContainerNotFound", "The specified container does not exist."),
    }
}
