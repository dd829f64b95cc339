//! “Is it you?”: whoever gave his password too long ago is asked for it, and then what he had sent is done as he had typed it.

use std::{collections::BTreeSet, sync::Arc};

use axum::http::{Request, StatusCode, header};
use dataflow_model::Secret;
use dataflow_tests::{accessibility, browser::Browser as Chromium};
use serde_json::json;

use super::{Answer, Browser, EMAIL, HOST, PASSWORD};
use crate::{
    clock::SECOND,
    fixture::TestApp,
    ops::{
        Caller, Role, Roles,
        connections::{self, Change, Precondition},
        own_types, people,
        rotations::second_login::planted,
        second_look::CONFIRMED_FOR,
        setup, workspaces,
    },
    router, store,
};

const BO: &[(&str, &str)] = &[("email", "bo@example.org")];

/// A type of the workspace's own, as the form sends it before it has a field.
const FRESH_TYPE: &[(&str, &str)] = &[
    ("act", "save"),
    ("view", "form"),
    ("label", "Fresh"),
    ("id", "fresh"),
    ("summary", "a \"<b>\" & 'c'"),
    ("category", "databases"),
    ("extends", "generic"),
    ("tags", "one two"),
    ("docs", ""),
    ("port", ""),
    ("glyph_text", ""),
    ("glyph_color", ""),
    ("url", "fresh://{username}:{password}@{host}:{port}"),
    ("remove", "extra.extra"),
];
/// One that is there, with a field.
const CHANGED_TYPE: &[(&str, &str)] = &[
    ("act", "save"),
    ("version", "1"),
    ("view", "form"),
    ("label", "Exasol"),
    ("summary", "The analytics database"),
    ("category", "warehouses"),
    ("extends", "generic"),
    ("tags", ""),
    ("docs", "https://docs.exasol.com/"),
    ("port", "8563"),
    ("glyph_text", "Ex"),
    ("glyph_color", "#155e75"),
    ("url", "exa+websocket://{username}:{password}@{host}:{port}/{database}?ENCRYPTION={extra.encryption}"),
    ("fields.0.path", "encryption"),
    ("fields.0.label", "Encryption"),
    ("fields.0.kind", "choice"),
    ("fields.0.section", "extra"),
    ("fields.0.required", ""),
    ("fields.0.default", "yes"),
    ("fields.0.placeholder", ""),
    ("fields.0.help", "Of the protocol, besides TLS"),
    ("fields.0.choices", "yes = On\r\nno = Off"),
    ("remove", "extra.extra"),
];

/// A form that is asked about: the page that it stands on, its address, its fields, and what it gets once it is he.
type Form = (&'static str, &'static str, &'static [(&'static str, &'static str)], StatusCode);

/// In an order in which each can be sent once. `{etag}` stands for the one on the page.
const FORMS: &[Form] = &[
    (
        "groups",
        "/w/default/groups",
        &[("name", "finance"), ("people", "bo@example.org\r\nbo@example.org")],
        StatusCode::SEE_OTHER,
    ),
    ("groups", "/w/default/groups/remove", &[("name", "finance")], StatusCode::SEE_OTHER),
    (
        "tokens",
        "/w/default/tokens",
        &[("name", "a \"<b>\" & 'c'"), ("role", "user"), ("days", "30"), ("connections", "sales, crm")],
        StatusCode::CREATED,
    ),
    (
        "access",
        "/w/default/access",
        &[("email", "bo@example.org"), ("roles", "user"), ("roles", "editor")],
        StatusCode::SEE_OTHER,
    ),
    ("access", "/w/default/access/link", BO, StatusCode::CREATED),
    ("access", "/w/default/access/disable", BO, StatusCode::SEE_OTHER),
    ("access", "/w/default/access/enable", BO, StatusCode::SEE_OTHER),
    (
        "connections/sales/users",
        "/w/default/connections/sales/users",
        &[("etag", "{etag}"), ("narrowed", "some"), ("people", "bo@example.org"), ("groups", ""), ("tokens", "")],
        StatusCode::SEE_OTHER,
    ),
    (
        "connections/sales/versions/2/restore",
        "/w/default/connections/sales/versions/2/restore",
        &[("etag", "{etag}"), ("test_first", "")],
        StatusCode::SEE_OTHER,
    ),
    (
        "/w/default/connections/sales/copy?to=copies",
        "/w/default/connections/sales/copy",
        &[("to", "copies"), ("etag", "{etag}"), ("field", "host"), ("field", "username"), ("field", "extra.insecure_auth")],
        StatusCode::SEE_OTHER,
    ),
    (
        "connections/sales/versions/1/purge",
        "/w/default/connections/sales/versions/1/purge",
        &[("etag", "{etag}"), ("confirm", "1")],
        StatusCode::SEE_OTHER,
    ),
    ("connections/sales/rotate", "/w/default/connections/sales/rotate", &[("etag", "{etag}")], StatusCode::OK),
    (
        "connections/crm/second-login",
        "/w/default/connections/crm/second-login/retire",
        &[("etag", "{etag}")],
        StatusCode::SEE_OTHER,
    ),
    (
        "connections/crm/second-login",
        "/w/default/connections/crm/second-login/remove",
        &[("etag", "{etag}"), ("anyway", "yes")],
        StatusCode::SEE_OTHER,
    ),
    (
        "connections/sales/rotation-policy",
        "/w/default/connections/sales/rotation-policy",
        &[("etag", "{etag}"), ("every_days", "30"), ("at_hour", "3"), ("length", "40"), ("symbols", "-_.")],
        StatusCode::SEE_OTHER,
    ),
    (
        "health/channel",
        "/w/default/health/channel",
        &[
            ("etag", "{etag}"),
            ("name", "fresh"),
            ("connection", "hook"),
            ("addresses", ""),
            ("tag", "finance"),
            ("tells", "ends"),
        ],
        StatusCode::SEE_OTHER,
    ),
    ("types/new", "/w/default/types/new", FRESH_TYPE, StatusCode::SEE_OTHER),
    ("types/exasol/edit", "/w/default/types/exasol/edit", CHANGED_TYPE, StatusCode::SEE_OTHER),
    ("types/fresh/remove", "/w/default/types/fresh/remove", &[("version", "1")], StatusCode::SEE_OTHER),
    ("access", "/w/default/access/remove", BO, StatusCode::SEE_OTHER),
    (
        "/settings",
        "/settings/addresses",
        &[("etag", "{etag}"), ("allow", "10.0.0.0/8\r\nfd00::/8"), ("deny", "10.9.0.0/16")],
        StatusCode::SEE_OTHER,
    ),
    (
        "/settings",
        "/settings/retention",
        &[
            ("etag", "{etag}"),
            ("check_days", "91"),
            ("version_days", ""),
            ("change_days", "365"),
            ("read_days", ""),
            ("restore_days", "30"),
            ("workflow_days", ""),
        ],
        StatusCode::SEE_OTHER,
    ),
    (
        "/workspaces/theirs/delete",
        "/workspaces/theirs/delete",
        &[("etag", "{etag}"), ("confirm", "theirs")],
        StatusCode::SEE_OTHER,
    ),
];

/// Routes that take POST and are never answered with that page.
const OTHERS: &[&str] = &[
    // Asks in its own form, which holds secrets.
    "/w/{workspace}/connections/{name}/edit",
    "/w/{workspace}/connections/{name}/second-login",
    "/w/{workspace}/new/{type}",
    // Grant nothing, or come from nobody who is signed in.
    "/w/{workspace}/connections/{name}/try",
    "/w/{workspace}/connections/{name}/test",
    "/w/{workspace}/connections/{name}/delete",
    "/w/{workspace}/connections/{name}/health-schedule",
    "/w/{workspace}/health/schedule",
    "/w/{workspace}/health/channel/try",
    "/w/{workspace}/connections/{name}/lint/{rule}",
    "/w/{workspace}/lint/{rule}",
    "/w/{workspace}/connections/{name}/rename",
    "/w/{workspace}/connections/{name}/repoint",
    "/w/{workspace}/connections/{name}/aliases/{alias}/remove",
    "/w/{workspace}/deleted",
    "/w/{workspace}/paste",
    "/w/{workspace}/new/{type}/test",
    "/w/{workspace}/tokens/{id}/revoke",
    "/sign-in",
    "/sign-out",
    "/link",
    "/account",
    // Take the password each time.
    "/account/link",
    "/account/unlink",
    "/account/end",
    "/account/end-others",
    "/workspaces",
];

#[test]
fn every_route_that_takes_a_form_is_asked_about_or_not() {
    let source = include_str!("../../studio.rs");
    let posts =
        source.split(".route(\"").skip(1).filter(|call| call.split(".route(").next().is_some_and(|call| call.contains("post(")));
    let routes: BTreeSet<_> = posts.filter_map(|call| call.split('"').next()).collect();
    let places = [
        ("/w/default", "/w/{workspace}"),
        ("/sales/", "/{name}/"),
        ("/crm/", "/{name}/"),
        ("/theirs/", "/{workspace}/"),
        ("/exasol/", "/{own_type}/"),
        ("/fresh/", "/{own_type}/"),
        ("/versions/1/", "/versions/{version}/"),
        ("/versions/2/", "/versions/{version}/"),
    ];
    let at = |form: &Form| places.iter().fold(form.1.to_owned(), |path, (here, any)| path.replace(here, any));
    let known: Vec<_> = FORMS.iter().map(at).chain(OTHERS.iter().map(|route| (*route).to_owned())).collect();
    assert_eq!(
        known.iter().map(String::as_str).collect::<BTreeSet<_>>(),
        routes,
        "a new form belongs into FORMS, or into OTHERS"
    );
}

fn plain(text: &str) -> String {
    [("&#34;", "\""), ("&#39;", "'"), ("&#60;", "<"), ("&#62;", ">"), ("&#38;", "&")]
        .into_iter()
        .fold(text.to_owned(), |text, (escaped, plain)| text.replace(escaped, plain))
}

/// What the page takes along, less where Cancel leads.
fn kept(page: &Answer) -> Vec<(String, String)> {
    let inputs = page.html.split("<input type=\"hidden\" name=\"").skip(1).filter_map(|rest| rest.split_once("\" value=\""));
    let pairs = inputs.map(|(name, rest)| (name.to_owned(), plain(rest.split("\">").next().unwrap_or_default())));
    pairs.filter(|(name, _)| name != "back").collect()
}

/// The names of the fields of a page's form.
fn names_on(page: &str, form: &str) -> BTreeSet<String> {
    let form =
        page.split("<form ").find(|rest| rest.split('>').next().is_some_and(|tag| tag.contains(&format!("action=\"{form}\""))));
    let inside = form.and_then(|rest| rest.split("</form>").next()).unwrap_or_default();
    inside.split(" name=\"").skip(1).filter_map(|rest| rest.split('"').next()).map(ToOwned::to_owned).collect()
}

async fn tick(browser: &Browser) -> (i64, i64) {
    let mut read = browser.app.store.read().await.expect("open");
    let sql = "SELECT (SELECT tick FROM change_clock), (SELECT count(*) FROM links) + (SELECT count(*) FROM rotations) \
               + (SELECT COALESCE(sum(1 + tries), 0) FROM second_logins) + (SELECT count(*) FROM rotation_policies) + (SELECT count(*) FROM channels)";
    store::fetch!(&mut read, fetch_one, (i64, i64), sql).expect("read")
}

async fn with_sales() -> Browser {
    let mut browser = Browser::signed_in().await;
    browser.make_sales().await;
    // Of a version that is restored it is the field for admins that is asked about.
    for insecure_auth in [json!("md5"), json!(null)] {
        let change = serde_json::from_value(json!({"password": "typed", "extra": {"insecure_auth": insecure_auth}}));
        let change = Change { draft: change.expect("a draft"), precondition: Precondition::Any, ..Default::default() };
        connections::edit(&browser.app, &Caller::shell(), "default", "sales", change).await.expect("saved");
    }
    // With a login to retire, which no database is asked for here.
    let crm = json!({"name": "crm", "type": "postgres", "host": "crm.example.org", "username": "anna", "password": "planted"});
    let crm = serde_json::from_value(crm).expect("a draft");
    connections::create(&browser.app, &Caller::shell(), "default", crm).await.expect("created");
    planted::plant(&browser.app, "default", "crm", ("bert", Some(1))).await;
    let hook = serde_json::from_value(json!({"name": "hook", "type": "webhook", "host": "hooks.example.org"})).expect("a draft");
    connections::create(&browser.app, &Caller::shell(), "default", hook).await.expect("created");
    for name in ["theirs", "copies"] {
        workspaces::create(&browser.app, &Caller::shell(), name).await.expect("made");
    }
    own_types::put(&browser.app, &Caller::shell(), "default", "exasol", super::own_types::EXASOL, None).await.expect("saved");
    let roles = Roles::of(&[Role::Viewer]);
    people::put_member(&browser.app, &Caller::shell(), "default", "bo@example.org", roles).await.expect("added");
    browser
}

#[tokio::test]
async fn what_was_typed_is_done_once_it_is_he() {
    let mut browser = with_sales().await;
    for (page, to, fields, taken) in FORMS {
        browser.app.clock.advance(CONFIRMED_FOR + SECOND);
        let page = if page.starts_with('/') { (*page).to_owned() } else { format!("/w/default/{page}") };
        let stands_on = browser.get(&page).await;
        let form = stands_on.html.split(&format!("action=\"{to}\"")).nth(1).unwrap_or_else(|| panic!("{to} stands on {page}"));
        let etag = form.split_once("name=\"etag\" value=\"").and_then(|(_, rest)| rest.split('"').next()).map(plain);
        let fields: Vec<_> =
            fields.iter().map(|(name, value)| (*name, value.replace("{etag}", etag.as_deref().unwrap_or_default()))).collect();
        let names: BTreeSet<_> = fields.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(names_on(&stands_on.html, to), names, "{to}: what the form asks for is what is sent here");
        let sent: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let as_sent: Vec<_> = sent.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();

        let before = tick(&browser).await;
        let asked = browser.post(to, &sent).await;
        assert_eq!(asked.status, StatusCode::FORBIDDEN, "{to}: {}", asked.html);
        assert!(asked.html.contains("Is it you?") && !asked.html.contains("own_password-error"), "{to}: {}", asked.html);
        assert_eq!((kept(&asked), asked.value("<form ".trim_start_matches('<'), "action").as_str()), (as_sent.clone(), *to));
        let again =
            |own_password: &'static str| [sent.clone(), vec![("back", page.as_str()), ("own_password", own_password)]].concat();
        let wrong = browser.post(to, &again("wrong wrong wrong")).await;
        assert_eq!((wrong.status, kept(&wrong)), (StatusCode::FORBIDDEN, as_sent), "{to}");
        assert!(wrong.html.contains("own_password-error") && !wrong.html.contains("wrong wrong"), "{to}: {}", wrong.html);
        assert_eq!(wrong.value("class=\"btn quiet\"", "href"), page, "Cancel leads to the page of the form");
        assert_eq!(tick(&browser).await, before, "{to} has done nothing yet");

        let done = browser.post(to, &again(PASSWORD)).await;
        assert_eq!(done.status, *taken, "{to}: {}", done.html);
        assert_ne!(tick(&browser).await, before, "{to} was done");
        assert!(!done.html.contains(PASSWORD));
    }
    let access = browser.get("/w/default/access").await;
    assert!(!access.html.contains("bo@example.org"), "he was removed last");
    let token = browser.get("/w/default/tokens").await;
    assert!(token.html.contains("a &#34;&#60;b&#62;&#34; &#38; &#39;c&#39;") && token.html.contains("crm"), "{}", token.html);
    let settings = browser.get("/settings").await;
    assert!(settings.html.contains("10.0.0.0/8\nfd00::/8") && settings.html.contains("value=\"91\""), "{}", settings.html);
}

#[tokio::test]
async fn cancel_leads_back_and_never_elsewhere() {
    let mut browser = with_sales().await;
    browser.app.clock.advance(CONFIRMED_FOR + SECOND);
    for (referer, back) in [
        (format!("http://{HOST}/w/default/access?cursor=x"), "/w/default/access?cursor=x"),
        ("https://evil.example.org//evil.example.org".to_owned(), "/"),
        ("/\\evil.example.org".to_owned(), "/"),
        (String::new(), "/"),
    ] {
        let request = Request::post("/w/default/access/disable")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::ORIGIN, format!("http://{HOST}"))
            .header(header::REFERER, &referer);
        let asked = browser.send(request, "email=bo%40example.org".to_owned()).await;
        assert_eq!(
            (asked.status, asked.value("class=\"btn quiet\"", "href").as_str()),
            (StatusCode::FORBIDDEN, back),
            "{referer}"
        );
    }
}

#[tokio::test]
async fn who_guesses_is_told_to_wait() {
    let mut browser = with_sales().await;
    browser.peer = "203.0.113.7:4000".parse().ok();
    browser.app.clock.advance(CONFIRMED_FOR + SECOND);
    let mut disable = async |own_password| {
        browser.post("/w/default/access/disable", &[("email", "bo@example.org"), ("own_password", own_password)]).await
    };
    for _ in 0..5 {
        assert_eq!(disable("guessed guessed").await.status, StatusCode::FORBIDDEN);
    }
    let waits = disable(PASSWORD).await;
    assert_eq!((waits.status, waits.header("retry-after")), (StatusCode::TOO_MANY_REQUESTS, "1"), "{}", waits.html);
    assert!(waits.html.contains("Too many wrong passwords. Try again in 1 s.") && kept(&waits).len() == 1, "{}", waits.html);
    assert!(waits.html.contains(EMAIL));
}

#[tokio::test]
async fn the_form_of_a_connection_asks_in_itself_and_sends_no_secret_back() {
    let mut browser = with_sales().await;
    browser.app.clock.advance(CONFIRMED_FOR + SECOND);
    let edit = "/w/default/connections/sales/edit";
    let etag = browser.get(edit).await.value("name=\"etag\"", "value");
    let change = [
        ("etag", etag.as_str()),
        ("name", "sales"),
        ("description", "Typed once"),
        ("host", "db.example.org"),
        ("port", "5432"),
        ("username", "u"),
        ("tls.mode", "verify-full"),
        ("extra.insecure_auth", "md5"),
        ("keep:password", "set"),
        ("password", "hunter3hunter3"),
    ];
    let mut save = async |own_password: &[(&str, &str)]| browser.post(edit, &[&change, own_password].concat()).await;
    for (own_password, words) in [
        (&[][..], "is needed again to set a field that is for admins"),
        (&[("own_password", "")][..], "is needed again to set a field that is for admins"),
        (&[("own_password", "wrong wrong wrong")][..], "is not the one that you sign in with"),
    ] {
        let asked = save(own_password).await;
        assert_eq!(asked.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", asked.html);
        assert!(
            asked.html.contains(words) && asked.value("id=\"field-own-password\"", "aria-invalid") == "true",
            "{}",
            asked.html
        );
        assert!(
            asked.html.contains("Typed once") && asked.html.contains("<option value=\"md5\" data-weak selected"),
            "{}",
            asked.html
        );
        assert!(!asked.html.contains("hunter") && !asked.html.contains("wrong wrong"));
    }
    let saved = save(&[("own_password", PASSWORD)]).await;
    assert_eq!(saved.location(), "/w/default/connections/sales?done=saved", "{}", saved.html);
    assert!(browser.get("/w/default/connections/sales").await.html.contains("MD5"));
}

/// The server of `app` for a real browser: here alone ten minutes pass at once.
async fn served(app: &TestApp) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let origin = format!("http://{}", listener.local_addr().expect("it is bound"));
    tokio::spawn(axum::serve(listener, router::router(Arc::clone(app), None)).into_future());
    origin
}

#[tokio::test(flavor = "multi_thread")]
async fn browser_what_was_typed_is_done_once_it_is_he() {
    let app = TestApp::on_sqlite().await;
    setup::from_shell(&app, &Caller::shell(), EMAIL, &Secret::new(PASSWORD.to_owned())).await.expect("set up");
    let (secret, wrong) = ("plantedPa55word", "plantedWr0ngWord");
    let browser = Chromium::start(&served(&app).await, &[PASSWORD, secret, wrong]).await;
    accessibility::prepare(&browser).await;
    browser.open("/sign-in?next=/w/default/access").await;
    browser.fill("E-mail", EMAIL).await;
    browser.fill("Password", PASSWORD).await;
    browser.click("Sign in").await;
    browser.arrives("/w/default/access").await;

    browser.fill("E-mail", "bo@example.org").await;
    browser.click("Editor").await;
    app.clock.advance(CONFIRMED_FOR + SECOND);
    browser.click("Add").await;
    browser.sees("Is it you?").await;
    browser.until("document.activeElement === labelled('Password of')").await;
    accessibility::check(&browser, "Is it you?").await;
    browser.fill("Password of", wrong).await;
    browser.click("Go on").await;
    browser.sees("That is not the password that you sign in with.").await;
    accessibility::check(&browser, "Is it you?, after a wrong password").await;
    browser.fill("Password of", PASSWORD).await;
    browser.click("Go on").await;
    browser.sees("Link for bo@example.org").await;
    browser.until("['Viewer', 'Editor'].every((role) => labelled(role).checked) && !labelled('Admin').checked").await;

    a_typed_secret_stays_in_the_browser(&app, &browser, secret).await;

    app.clock.advance(CONFIRMED_FOR + SECOND);
    browser.open("/w/default/access").await;
    browser.click("New link for bo@example.org").await;
    browser.sees("Is it you?").await;
    browser.click("Cancel").await;
    browser.arrives("/w/default/access").await;
    browser.finish(&["403", "422"]).await;
}

async fn a_typed_secret_stays_in_the_browser(app: &TestApp, browser: &Chromium, secret: &str) {
    browser.open("/w/default/new/postgres").await;
    for (label, text) in [("Connection Name", "sales"), ("Host", "db.example.org"), ("Username", "u"), ("Password", secret)] {
        browser.fill(label, text).await;
    }
    browser.choose("Weaker sign-in", "MD5").await;
    app.clock.advance(CONFIRMED_FOR + SECOND);
    browser.click("Save").await;
    browser.sees("is needed again to set a field that is for admins").await;
    browser.until(&format!("labelled('Password').value === '{secret}'")).await;
    accessibility::check(browser, "the form that asks for one's own password").await;
    browser.fill("Your own password", PASSWORD).await;
    browser.click("Save").await;
    browser.arrives("/w/default/connections/sales?done=created").await;
    browser.sees("MD5").await;
}
