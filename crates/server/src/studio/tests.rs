//! The Studio through its door: requests of a browser, pages and redirects back.

mod carry;
mod own_types;
mod pages;
mod refusals;
mod second_look;

use std::net::SocketAddr;

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Request, StatusCode, header},
};
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;

use crate::{
    fixture::TestApp,
    listen::PeerAddress,
    ops::{list::SEARCH_MAX, setup},
    router,
};

const HOST: &str = "127.0.0.1:8080";
const EMAIL: &str = "ada@example.org";
const PASSWORD: &str = "correct horse battery";

/// A browser at a server of its own.
struct Browser {
    router: Router,
    cookie: Option<String>,
    peer: Option<SocketAddr>,
    app: TestApp,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    html: String,
}

impl Answer {
    fn location(&self) -> &str {
        self.header(header::LOCATION.as_str())
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// What an attribute of the first tag that holds `mark` says.
    fn value(&self, mark: &str, attribute: &str) -> String {
        let tag = self.html.split('<').find(|tag| tag.contains(mark)).unwrap_or_default();
        let value = tag.split_once(&format!("{attribute}=\"")).and_then(|(_, rest)| rest.split_once('"')).map(|(value, _)| value);
        value.unwrap_or_default().replace("&#34;", "\"")
    }
}

impl Browser {
    async fn new() -> Self {
        let app = TestApp::on_sqlite().await;
        Self { router: router::router(app.clone(), None), cookie: None, peer: None, app }
    }

    /// A browser of the first admin, signed in.
    async fn signed_in() -> Self {
        let mut browser = Self::new().await;
        let link = setup::create_link(&browser.app).await.expect("a link");
        let code = link.code.expose_secret().to_owned();
        let done = browser.post("/link", &[("code", &code), ("email", EMAIL), ("password", PASSWORD)]).await;
        assert!(done.html.contains("recovery-key"), "{}", done.html);
        browser
    }

    async fn send(&mut self, request: axum::http::request::Builder, body: String) -> Answer {
        let mut request = request.header(header::HOST, HOST);
        if let Some(cookie) = &self.cookie {
            request = request.header(header::COOKIE, cookie);
        }
        if let Some(peer) = self.peer {
            request = request.extension(PeerAddress(peer));
        }
        let response = self.router.clone().oneshot(request.body(Body::from(body)).expect("a request")).await.expect("an answer");
        let (parts, body) = response.into_parts();
        if let Some(cookie) = parts.headers.get(header::SET_COOKIE).and_then(|cookie| cookie.to_str().ok()) {
            self.cookie = cookie.split(';').next().map(ToOwned::to_owned);
        }
        let bytes = body.collect().await.expect("a body").to_bytes();
        Answer { status: parts.status, headers: parts.headers, html: String::from_utf8_lossy(&bytes).into_owned() }
    }

    async fn get(&mut self, path: &str) -> Answer {
        self.send(Request::get(path).header(header::ACCEPT, "text/html"), String::new()).await
    }

    async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        self.post_from(path, fields, Some(&format!("http://{HOST}"))).await
    }

    async fn post_from(&mut self, path: &str, fields: &[(&str, &str)], origin: Option<&str>) -> Answer {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let mut request = Request::post(path).header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        if let Some(origin) = origin {
            request = request.header(header::ORIGIN, origin);
        }
        self.send(request, body).await
    }

    /// Adds somebody to the workspace, and goes on as he.
    async fn become_member(&mut self, email: &str, role: &str) {
        let added = self.post("/w/default/access", &[("email", email), ("roles", role)]).await;
        let link = added.html.split("/link/").nth(1).and_then(|rest| rest.split('<').next()).expect("a link").to_owned();
        self.cookie = None;
        self.post("/link", &[("code", &link), ("password", PASSWORD)]).await;
    }

    async fn make_sales(&mut self) {
        let fields = [
            ("name", "sales"),
            ("host", "db.example.org"),
            ("port", "5432"),
            ("username", "u"),
            ("password", "hunter2hunter2"),
            ("tls.mode", "verify-full"),
        ];
        let made = self.post("/w/default/new/postgres", &fields).await;
        assert_eq!(
            (made.status, made.location()),
            (StatusCode::SEE_OTHER, "/w/default/connections/sales?done=created"),
            "{}",
            made.html
        );
    }
}

#[tokio::test]
async fn whoever_is_not_signed_in_is_led_to_the_sign_in_page_and_back() {
    let mut browser = Browser::signed_in().await;
    browser.cookie = None;
    let led = browser.get("/w/default/connections?q=a&status=failed").await;
    assert_eq!(led.location(), "/sign-in?next=%2Fw%2Fdefault%2Fconnections%3Fq%3Da%26status%3Dfailed");
    let page = browser.get(led.location().to_owned().as_str()).await;
    assert_eq!(page.value("name=\"next\"", "value"), "/w/default/connections?q=a&#38;status=failed");
    let wrong = browser.post("/sign-in", &[("email", EMAIL), ("password", "wrong wrong wrong")]).await;
    assert_eq!(wrong.status, StatusCode::UNAUTHORIZED);
    assert!(browser.cookie.is_none());
    for (next, to) in [("//evil.example.org", "/"), ("/\\evil.example.org", "/"), ("/w/a?q=b", "/w/a?q=b")] {
        let right = browser.post("/sign-in", &[("email", EMAIL), ("password", PASSWORD), ("next", next)]).await;
        assert_eq!((right.status, right.location()), (StatusCode::SEE_OTHER, to));
    }
    assert_eq!(browser.get("/").await.location(), "/w/default/connections");
    let cookie = browser.cookie.clone();
    browser.post("/sign-out", &[]).await;
    browser.cookie = cookie;
    assert_eq!(
        browser.get("/w/default/connections").await.status,
        StatusCode::SEE_OTHER,
        "the session has ended on the server too"
    );
}

#[tokio::test]
async fn a_set_up_link_works_once() {
    let mut browser = Browser::new().await;
    let link = setup::create_link(&browser.app).await.expect("a link");
    let code = link.code.expose_secret().to_owned();
    assert!(browser.get(&format!("/link/{code}")).await.html.contains("Create the first admin"));
    let short = browser.post("/link", &[("code", &code), ("email", EMAIL), ("password", "short")]).await;
    assert!(short.status == StatusCode::UNPROCESSABLE_ENTITY && short.html.contains("password-error"));
    assert_eq!(browser.post("/link", &[("code", &code), ("email", EMAIL), ("password", PASSWORD)]).await.status, StatusCode::OK);
    assert_eq!(browser.get("/").await.status, StatusCode::SEE_OTHER, "who set up is signed in");
    assert_eq!(browser.get(&format!("/link/{code}")).await.status, StatusCode::GONE);
}

#[tokio::test]
async fn the_recovery_key_is_shown_even_if_nobody_can_be_signed_in() {
    let mut browser = Browser::new().await;
    let link = setup::create_link(&browser.app).await.expect("a link");
    let mut write = browser.app.store.write().await.expect("open");
    let sql = "CREATE TRIGGER no_sessions BEFORE INSERT ON sessions BEGIN SELECT RAISE(ABORT, 'none'); END";
    crate::store::execute!(&mut write, sql).expect("sound SQL");
    write.commit().await.expect("committed");
    let fields = [("code", link.code.expose_secret()), ("email", EMAIL), ("password", PASSWORD)];
    let done = browser.post("/link", &fields).await;
    assert!(done.status == StatusCode::OK && done.html.contains("recovery-key"), "{} {}", done.status, done.html);
    assert!(browser.cookie.is_none());
}

#[tokio::test]
async fn every_page_forbids_inline_code_and_keeping() {
    let mut browser = Browser::signed_in().await;
    browser.make_sales().await;
    for path in [
        "/sign-in",
        "/workspaces",
        "/w/default/connections",
        "/w/default/connections/sales",
        "/w/default/connections/sales/edit",
        "/w/default/connections/sales/duplicate",
        "/w/default/connections/sales/delete",
        "/w/default/new",
        "/w/default/new/mysql",
        "/w/default/tokens",
        "/w/default/access",
        "/nowhere",
        "/w/absent/connections",
        "/w/default/connections/absent",
    ] {
        let page = browser.get(path).await;
        let policy =
            page.headers.get(header::CONTENT_SECURITY_POLICY).and_then(|policy| policy.to_str().ok()).unwrap_or_default();
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{path}");
        assert_eq!(
            page.headers.get(header::CACHE_CONTROL).map(axum::http::HeaderValue::as_bytes),
            Some(&b"no-store"[..]),
            "{path}"
        );
        assert!(page.html.contains("name=\"robots\"") && !page.html.contains("hunter2"), "{path}");
        for asset in page.html.split("\"/assets/").skip(1).filter_map(|rest| rest.split(['"', '#']).next()) {
            assert_eq!(browser.get(&format!("/assets/{asset}")).await.status, StatusCode::OK, "{path} {asset}");
        }
    }
}

#[tokio::test]
async fn a_change_from_another_site_is_refused() {
    let mut browser = Browser::signed_in().await;
    for origin in [None, Some("null"), Some("https://evil.example.org"), Some("http://127.0.0.1:8081")] {
        for path in ["/w/default/new/postgres", "/sign-out", "/workspaces", "/w/default/tokens", "/link", "/sign-in"] {
            let answer = browser.post_from(path, &[("name", "x")], origin).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path} {origin:?}");
        }
    }
    assert_eq!(browser.get("/w/default/connections").await.status, StatusCode::OK, "still signed in");
}

#[tokio::test]
async fn a_refused_form_comes_back_with_its_values_and_without_its_secrets() {
    let mut browser = Browser::signed_in().await;
    let fields = [
        ("name", "bad name"),
        ("host", "db.example.org"),
        ("port", "99999"),
        ("username", "<u>"),
        ("password", "hunter2hunter2"),
    ];
    let refused = browser.post("/w/default/new/postgres", &fields).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(refused.value("id=\"field-host\"", "value"), "db.example.org");
    assert!(refused.html.contains("id=\"field-name-error\""), "{}", refused.html);
    assert!(!refused.html.contains("hunter2") && !refused.html.contains("<u>"));
    browser.make_sales().await;
    let taken = browser.post("/w/default/new/postgres", &[("name", "SALES"), ("host", "h"), ("username", "u")]).await;
    assert_eq!(taken.status, StatusCode::CONFLICT);
    assert!(taken.html.contains("is taken in this workspace"));
}

#[tokio::test]
async fn an_edit_that_redirects_the_secret_asks_for_it_again() {
    let mut browser = Browser::signed_in().await;
    browser.make_sales().await;
    let form = browser.get("/w/default/connections/sales/edit").await;
    let etag = form.value("name=\"etag\"", "value");
    assert!(form.value("name=\"keep:password\"", "value") == "keep" && etag.len() > 8, "{etag}");
    let edit = |host: &'static str, keep: &'static str, password: &'static str, etag: &str| {
        [
            ("etag", etag.to_owned()),
            ("name", "sales".into()),
            ("description", "All sales".into()),
            ("host", host.into()),
            ("port", "5432".into()),
            ("username", "u".into()),
            ("tls.mode", "verify-full".into()),
            ("keep:password", keep.into()),
            ("password", password.into()),
        ]
    };
    let send = |fields: [(&'static str, String); 9]| fields;
    let moved = send(edit("evil.example.org", "keep", "", &etag));
    let refused =
        browser.post("/w/default/connections/sales/edit", &moved.each_ref().map(|(name, value)| (*name, value.as_str()))).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", refused.html);
    assert!(refused.html.contains("must be typed again"));
    let kept = send(edit("db.example.org", "keep", "", &etag));
    let saved =
        browser.post("/w/default/connections/sales/edit", &kept.each_ref().map(|(name, value)| (*name, value.as_str()))).await;
    assert_eq!(saved.location(), "/w/default/connections/sales?done=saved");
    let stale =
        browser.post("/w/default/connections/sales/edit", &kept.each_ref().map(|(name, value)| (*name, value.as_str()))).await;
    assert_eq!(stale.status, StatusCode::PRECONDITION_FAILED);
    assert!(stale.html.contains("Somebody saved another version"));
}

#[tokio::test]
async fn a_pasted_url_fills_the_form_and_its_password_is_never_sent_back() {
    let mut browser = Browser::signed_in().await;
    let text = "postgresql://u:hunter2hunter2@db.example.org:5433/sales?keepalives=1";
    let body = url::form_urlencoded::Serializer::new(String::new()).append_pair("pasted", text).finish();
    let request = Request::post("/w/default/paste")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(header::ORIGIN, format!("http://{HOST}"))
        .header("hx-request", "true");
    let form = browser.send(request, body).await;
    assert_eq!(
        (form.value("id=\"field-port\"", "value"), form.value("name=\"keep:password\"", "value")),
        ("5433".into(), "pasted".into())
    );
    assert!(form.html.contains("keepalives") && !form.html.contains("hunter2"));
    let fields = [
        ("name", "sales"),
        ("host", "db.example.org"),
        ("username", "u"),
        ("keep:password", "pasted"),
        ("password", ""),
        ("pasted", text),
    ];
    browser.post("/w/default/new/postgres", &fields).await;
    assert!(browser.get("/w/default/connections/sales").await.html.contains("<dt>Password</dt><dd>Set"));
    let plain = browser.post("/w/default/paste", &[("pasted", text)]).await;
    assert!(!plain.html.contains("value=\"pasted\""), "without scripts the password is to be typed");
    let refused = browser.post("/w/default/paste", &[("pasted", "teradata://u:hunter2hunter2@h/d")]).await;
    assert!(refused.status == StatusCode::UNPROCESSABLE_ENTITY && !refused.html.contains("hunter2"));
}

#[tokio::test]
async fn a_delete_needs_the_name_and_leaves_its_reason() {
    let mut browser = Browser::signed_in().await;
    browser.make_sales().await;
    let etag = browser.get("/w/default/connections/sales/delete").await.value("name=\"etag\"", "value");
    let unsure = browser.post("/w/default/connections/sales/delete", &[("etag", &etag), ("confirm", "sale")]).await;
    assert_eq!(unsure.status, StatusCode::UNPROCESSABLE_ENTITY);
    let fields = [("etag", etag.as_str()), ("confirm", "sales"), ("reason", "moved to the <b>lake</b>")];
    let deleted = browser.post("/w/default/connections/sales/delete", &fields).await;
    assert_eq!(deleted.location(), "/w/default/connections?done=deleted");
    let gone = browser.get("/w/default/connections/sales").await;
    assert_eq!(gone.status, StatusCode::GONE);
    assert!(gone.html.contains(EMAIL) && gone.html.contains("moved to the") && !gone.html.contains("<b>lake"), "{}", gone.html);
}

#[tokio::test]
async fn what_a_role_may_not_do_is_neither_offered_nor_done() {
    let mut browser = Browser::signed_in().await;
    browser.make_sales().await;
    browser.become_member("bo@example.org", "viewer").await;
    let list = browser.get("/w/default/connections").await;
    assert!(list.html.contains("sales") && list.html.contains("bo@example.org</a> · viewer"));
    for act in ["/edit\"", "/delete\"", "/w/default/new\"", "/w/default/access\"", "data-test-row"] {
        assert!(!list.html.contains(act), "{act}");
    }
    let delete = "/w/default/connections/sales/delete";
    for path in ["/w/default/new", "/w/default/new/postgres", "/w/default/connections/sales/edit", delete, "/w/default/access"] {
        assert_eq!(browser.get(path).await.status, StatusCode::FORBIDDEN, "{path}");
    }
    assert_eq!(browser.post("/w/default/connections/sales/test", &[]).await.status, StatusCode::FORBIDDEN);
    assert_eq!(browser.post(delete, &[("confirm", "sales")]).await.status, StatusCode::FORBIDDEN);
    let granted = browser.post("/w/default/tokens", &[("name", "t"), ("role", "admin"), ("days", "1")]).await;
    assert!(granted.status == StatusCode::UNPROCESSABLE_ENTITY && !granted.html.contains("dfc_admin_"));
}

#[tokio::test]
async fn a_token_is_shown_once() {
    let mut browser = Browser::signed_in().await;
    let made = browser
        .post("/w/default/tokens", &[("name", "nightly"), ("role", "user"), ("days", "30"), ("connections", "sales, crm")])
        .await;
    assert!(made.status == StatusCode::CREATED && made.html.contains("dfc_user_"));
    let list = browser.get("/w/default/tokens").await;
    assert!(list.html.contains("nightly") && list.html.contains("crm") && !list.html.contains("dfc_user_"));
    let bad = browser.post("/w/default/tokens", &[("name", "x"), ("role", "user"), ("days", "soon")]).await;
    assert!(bad.status == StatusCode::UNPROCESSABLE_ENTITY && bad.html.contains("token-days-error"));
    let id = list.html.split("/tokens/").nth(1).and_then(|rest| rest.split('/').next()).expect("an id").to_owned();
    assert_eq!(browser.post(&format!("/w/default/tokens/{id}/revoke"), &[]).await.status, StatusCode::SEE_OTHER);
    assert!(browser.get("/w/default/tokens").await.html.contains("Revoked"));
}

#[tokio::test]
async fn the_list_keeps_its_state_in_the_address() {
    let mut browser = Browser::signed_in().await;
    browser.make_sales().await;
    let found = browser.get("/w/default/connections?q=sal&type=postgres&sort=-updated&unknown=1&q=again").await;
    assert!(found.status == StatusCode::OK && found.html.contains("data-name=\"sales\""), "{}", found.html);
    assert_eq!(found.value("id=\"search\"", "value"), "sal");
    let longest = "s".repeat(SEARCH_MAX);
    assert_eq!(found.value("id=\"search\"", "maxlength"), longest.len().to_string());
    assert!(browser.get(&format!("/w/default/connections?q={longest}")).await.html.contains("No match"));
    assert!(browser.get(&format!("/w/default/connections?q={longest}s")).await.html.contains("Cannot search for that"));
    assert!(browser.get("/w/default/connections?status=failed").await.html.contains("No match"));
    assert!(browser.get("/w/default/connections?q=a+b+c+d+e+f+g+h").await.html.contains("Cannot search for that"));
    assert!(browser.get("/w/default/connections?cursor=nonsense").await.html.contains("Cannot search for that"));
}
