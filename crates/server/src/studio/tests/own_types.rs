//! Own types, defined by a person: in the form, as TOML, and once more after a refusal, with nothing typed lost.

use axum::http::StatusCode;

use super::{Answer, Browser};
use crate::ops::{Caller, own_types};

/// What the tests of this folder have saved already.
pub const EXASOL: &str = r#"# Ours.
extends = "generic"
label = "Exasol"
summary = "The analytics database"
category = "warehouses"
url = "exa+websocket://{username}:{password}@{host}:{port}/{database}?ENCRYPTION={extra.encryption}"

[[fields]]
path = "extra.encryption"
label = "Encryption"
kind = "choice"
choices = ["yes", "no"]
"#;

const NEW: &str = "/w/default/types/new";
const EDIT: &str = "/w/default/types/exasol/edit";

/// What the form is filled with.
const FRESH: [(&str, &str); 8] = [
    ("view", "form"),
    ("label", "Our <Cube>"),
    ("summary", "Cubes & more"),
    ("category", "warehouses"),
    ("extends", "postgres"),
    ("url", "cube+http://{username}:{password}@{host}:{port}?scale={extra.scale}"),
    ("remove", "tls.cert"),
    ("remove", "tls.key"),
];
const FIELD: [(&str, &str); 5] = [
    ("fields.0.path", "scale"),
    ("fields.0.label", "Scale"),
    ("fields.0.kind", "choice"),
    ("fields.0.section", "main"),
    ("fields.0.choices", "s = Small\r\nl = Large"),
];

fn with<'a>(fields: &[(&'a str, &'a str)], more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    [fields, more].concat()
}

/// Every value that was typed still stands in the form.
fn keeps(page: &Answer, fields: &[(&str, &str)]) {
    let plain = page.html.replace("&#60;", "<").replace("&#62;", ">").replace("&#38;", "&");
    for (name, value) in fields.iter().filter(|(name, _)| !matches!(*name, "act" | "view")) {
        let control = plain.split(&format!("name=\"{name}\"")).nth(1).unwrap_or_else(|| panic!("{name}: {plain}"));
        let control = control.split("class=\"control").next().unwrap_or_default();
        let stands = match *name {
            "remove" => plain.contains(&format!("name=\"remove\" value=\"{value}\" checked")),
            "category" | "extends" => control.contains(&format!("value=\"{value}\" selected")),
            name if matches!(name.rsplit('.').next(), Some("kind" | "section")) => {
                control.contains(&format!("value=\"{value}\" selected"))
            }
            _ => control.contains(&value.replace("\r\n", "\n")),
        };
        assert!(stands, "{name} is no longer “{value}”: {control}");
    }
}

async fn with_exasol() -> Browser {
    let browser = Browser::signed_in().await;
    own_types::put(&browser.app, &Caller::shell(), "default", "exasol", EXASOL, None).await.expect("saved");
    browser
}

#[tokio::test]
async fn a_type_is_defined_in_the_form_and_a_connection_is_of_it() {
    let mut browser = Browser::signed_in().await;
    let empty = browser.get("/w/default/types").await;
    assert!(empty.html.contains("No types of your own yet") && empty.html.contains("/types/new"), "{}", empty.html);
    let added = browser.post(NEW, &with(&FRESH, &[("act", "add")])).await;
    assert_eq!(added.status, StatusCode::OK, "{}", added.html);
    keeps(&added, &FRESH);
    assert!(
        added.html.contains("id=\"row-0\"") && !added.html.contains("id=\"row-1\"") && !added.html.contains("class=\"fault\""),
        "{}",
        added.html
    );
    assert!(added.html.contains("data-unsaved"), "whoever leaves now is asked");

    // A row that is dropped takes the one below it up.
    let second = [("fields.1.path", "gone"), ("fields.1.label", "Gone"), ("fields.1.kind", "text")];
    let both = with(&with(&FRESH, &FIELD), &second);
    let dropped = browser.post(NEW, &with(&both, &[("act", "drop:1")])).await;
    keeps(&dropped, &with(&FRESH, &FIELD));
    assert!(!dropped.html.contains("Gone"), "{}", dropped.html);

    let checked = browser.post(NEW, &with(&with(&FRESH, &FIELD), &[("act", "check")])).await;
    assert_eq!(checked.status, StatusCode::OK, "{}", checked.html);
    keeps(&checked, &with(&FRESH, &FIELD));
    assert!(
        checked.html.contains("Nothing is wrong with it. It is not saved yet.") && checked.html.contains("cube+http"),
        "{}",
        checked.html
    );
    assert_eq!(checked.value("id=\"field-id\"", "value"), "our_cube", "the id is proposed");
    assert_eq!(browser.get("/w/default/types").await.html, empty.html, "nothing is saved by looking");

    let saved = browser.post(NEW, &with(&with(&FRESH, &FIELD), &[("id", "our_cube")])).await;
    assert_eq!((saved.status, saved.location()), (StatusCode::SEE_OTHER, "/w/default/types?done=saved"), "{}", saved.html);
    let list = browser.get("/w/default/types?done=saved").await.html;
    for words in
        ["The type is saved.", "Our &#60;Cube&#62;", "our_cube", "PostgreSQL", "1 of its own", "href=\"/w/default/new/our_cube\""]
    {
        assert!(list.contains(words), "{words}: {list}");
    }
    let gallery = browser.get("/w/default/new").await.html;
    let card =
        gallery.split("href=\"/w/default/new/our_cube\"").nth(1).and_then(|rest| rest.split("</li>").next()).expect("a card");
    assert!(card.contains("Our &#60;Cube&#62;") && card.contains("<span class=\"tag\">own</span>"), "{card}");
    assert!(gallery.contains("href=\"/w/default/types\""));

    let form = browser.get("/w/default/new/our_cube").await.html;
    assert!(form.contains("name=\"extra.scale\"") && form.contains("Large") && !form.contains("name=\"tls.key\""), "{form}");
    assert!(form.contains("tested as if it were PostgreSQL"), "{form}");
    let fields = [
        ("name", "cube"),
        ("host", "cube.example.org"),
        ("port", "5432"),
        ("username", "u"),
        ("password", "p"),
        ("tls.mode", "verify-full"),
        ("extra.scale", "l"),
    ];
    let made = browser.post("/w/default/new/our_cube", &fields).await;
    assert_eq!(made.location(), "/w/default/connections/cube?done=created", "{}", made.html);
    let connection = browser.get("/w/default/connections/cube").await.html;
    assert!(
        connection.contains("<a href=\"/w/default/types\">Our &#60;Cube&#62;</a>") && connection.contains("Large"),
        "{connection}"
    );

    // It stays for as long as a connection is of it, and the page says which.
    let list = browser.get("/w/default/types").await.html;
    assert!(list.contains("/w/default/connections?type=our_cube"), "{list}");
    let question = browser.get("/w/default/types/our_cube/remove").await.html;
    assert!(question.contains("One connection") && !question.contains("class=\"btn danger\""), "{question}");
    let refused = browser.post("/w/default/types/our_cube/remove", &[("version", "1")]).await;
    assert!(refused.status == StatusCode::CONFLICT && refused.html.contains("cube"), "{}", refused.html);
}

#[tokio::test]
async fn the_form_and_the_toml_say_the_same() {
    let mut browser = Browser::signed_in().await;
    let fields = with(&with(&FRESH, &FIELD), &[("id", "cube")]);
    let toml = browser.post(NEW, &with(&fields, &[("act", "toml")])).await;
    assert_eq!((toml.status, toml.value("id=\"field-id\"", "value").as_str()), (StatusCode::OK, "cube"), "{}", toml.html);
    let text = toml.html.split("name=\"definition\"").nth(1).and_then(|rest| rest.split_once('>')).expect("a text area").1;
    let text = text.split("</textarea>").next().unwrap_or_default();
    let text = [("&#34;", "\""), ("&#60;", "<"), ("&#62;", ">"), ("&#38;", "&")]
        .into_iter()
        .fold(text.to_owned(), |text, (escaped, plain)| text.replace(escaped, plain));
    assert!(text.contains("extends = \"postgres\"") && text.contains("label = \"Our <Cube>\""), "{text}");
    // As a browser sends the lines of a text area.
    let sent = text.replace('\n', "\r\n");
    let of_text = [("view", "toml"), ("id", "cube"), ("definition", sent.as_str())];
    let back = browser.post(NEW, &with(&of_text, &[("act", "form")])).await;
    assert_eq!(back.status, StatusCode::OK, "{}", back.html);
    keeps(&back, &fields);

    let saved = browser.post(NEW, &of_text).await;
    assert_eq!(saved.status, StatusCode::SEE_OTHER, "{}", saved.html);
    keeps(&browser.get("/w/default/types/cube/edit").await, &with(&FRESH, &FIELD));

    let broken = [("view", "toml"), ("id", "other"), ("definition", "extends = \"postgres\"\nlabel = ")];
    for act in ["save", "check", "form"] {
        let refused = browser.post(NEW, &with(&broken, &[("act", act)])).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{act}");
        assert!(refused.html.contains("line 2") && refused.html.contains("label = </textarea>"), "{act}: {}", refused.html);
    }
}

#[tokio::test]
async fn what_is_wrong_stands_at_its_field_and_nothing_is_lost() {
    let mut browser = with_exasol().await;
    let wrong = [("docs", "http://plain.example.org"), ("fields.1.path", "Upper"), ("fields.1.kind", "text")];
    let sent = with(&with(&FRESH, &FIELD), &wrong);
    for act in ["save", "check"] {
        let refused = browser.post(NEW, &with(&sent, &[("act", act)])).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", refused.html);
        keeps(&refused, &sent);
        for id in ["field-docs", "field-fields-1-path"] {
            assert_eq!(refused.value(&format!("id=\"{id}\""), "aria-invalid"), "true", "{id}: {}", refused.html);
            assert!(refused.html.contains(&format!("<a href=\"#{id}\">")), "{id}: {}", refused.html);
        }
        assert_eq!(refused.value("id=\"field-fields-0-path\"", "aria-invalid"), "");
    }
    let taken = browser.post(NEW, &with(&FRESH, &[("id", "exasol")])).await;
    assert!(taken.status == StatusCode::UNPROCESSABLE_ENTITY, "{}", taken.html);
    assert_eq!(taken.value("id=\"field-id\"", "aria-invalid"), "true", "{}", taken.html);
    for (act, status) in [("nonsense", StatusCode::UNPROCESSABLE_ENTITY), ("drop:7", StatusCode::NOT_FOUND)] {
        assert_eq!(browser.post(NEW, &with(&FRESH, &[("act", act)])).await.status, status, "{act}");
    }
    assert_eq!(browser.get("/w/default/types").await.html.matches("/edit\"").count(), 1, "nothing was saved");
}

#[tokio::test]
async fn two_who_change_one_type_lose_nothing() {
    let mut browser = with_exasol().await;
    let page = browser.get(EDIT).await;
    assert!(page.html.contains("loses its comments") && !page.html.contains("name=\"id\""), "{}", page.html);
    assert_eq!(page.value("name=\"version\"", "value"), "1");
    let definition = EXASOL.replace("label = \"Exasol\"", "label = \"Exasol 8\"");
    own_types::put(&browser.app, &Caller::shell(), "default", "exasol", &definition, Some(1)).await.expect("saved");

    let mine = [("version", "1"), ("view", "form"), ("label", "Mine"), ("extends", "generic"), ("category", "databases")];
    let refused = browser.post(EDIT, &mine).await;
    assert_eq!(refused.status, StatusCode::PRECONDITION_FAILED, "{}", refused.html);
    assert!(refused.html.contains("saved by somebody else meanwhile"), "{}", refused.html);
    keeps(&refused, &mine[2..]);
    assert!(browser.get("/w/default/types").await.html.contains("Exasol 8"));
    // Once more, over what he has been shown now.
    let version = refused.value("name=\"version\"", "value");
    let saved = browser.post(EDIT, &with(&mine[1..], &[("version", &version)])).await;
    assert_eq!(saved.status, StatusCode::SEE_OTHER, "{}", saved.html);
    for version in ["", "1", "x"] {
        assert_eq!(
            browser.post(EDIT, &with(&mine[1..], &[("version", version)])).await.status,
            StatusCode::PRECONDITION_FAILED,
            "{version}"
        );
        let removed = browser.post("/w/default/types/exasol/remove", &[("version", version)]).await;
        assert!(removed.status.is_client_error(), "{version}");
    }
    let version = browser.get("/w/default/types/exasol/remove").await.value("name=\"version\"", "value");
    let removed = browser.post("/w/default/types/exasol/remove", &[("version", &version)]).await;
    assert_eq!(removed.location(), "/w/default/types?done=removed", "{}", removed.html);
    assert_eq!(browser.get(EDIT).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn what_the_form_cannot_show_is_changed_as_toml() {
    let mut browser = Browser::signed_in().await;
    let by_hand = "extends = \"postgres\"\nlabel = \"By hand\"\n\n[[fields]]\npath = \"port\"\nhelp = \"Of the pooler\"\n";
    own_types::put(&browser.app, &Caller::shell(), "default", "by_hand", by_hand, None).await.expect("saved");
    let page = browser.get("/w/default/types/by_hand/edit").await.html;
    assert!(
        page.contains("which the form cannot show") && page.contains("Of the pooler") && !page.contains("As a form"),
        "{page}"
    );
}

#[tokio::test]
async fn whoever_is_no_admin_reads_and_defines_nothing() {
    let mut browser = with_exasol().await;
    browser.become_member("eve@example.org", "editor").await;
    let list = browser.get("/w/default/types").await.html;
    assert!(list.contains("Exasol") && list.contains("/w/default/new/exasol"), "{list}");
    assert!(!list.contains("/types/new") && !list.contains("/edit\"") && !list.contains("/remove\""), "{list}");
    for path in [NEW, EDIT, "/w/default/types/exasol/remove"] {
        assert_eq!(browser.get(path).await.status, StatusCode::FORBIDDEN, "{path}");
        let refused = browser.post(path, &with(&FRESH, &[("id", "mine"), ("version", "1")])).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{path}");
    }
    assert!(browser.get("/w/default/types").await.html.contains("Exasol"));
}
