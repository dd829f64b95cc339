//! “Keep the stored secret”, in the form: offered to admins alone, and done for admins alone.

use super::{Answer, Browser, PASSWORD};
use axum::http::StatusCode;

const EDIT: &str = "/w/default/connections/sales/edit";

/// Sends the edit form of `sales` with another host, to be saved or tested.
async fn send(browser: &mut Browser, to: &str, more: &[(&str, &str)]) -> Answer {
    let etag = browser.get(EDIT).await.value("name=\"etag\"", "value");
    let moved = [
        ("etag", etag.as_str()),
        ("name", "sales"),
        ("host", "replica.example.org"),
        ("port", "5432"),
        ("username", "u"),
        ("tls.mode", "verify-full"),
        ("password", ""),
    ];
    browser.post(to, &[&moved, more].concat()).await
}

fn offers(page: &Answer) -> bool {
    page.html.contains("value=\"carry\"") || page.html.contains("own_password")
}

#[tokio::test]
async fn an_admin_is_offered_to_keep_the_secret_and_does_so_with_his_password() {
    let mut browser = Browser::signed_in().await;
    browser.make_sales().await;
    assert!(!offers(&browser.get(EDIT).await), "while it stays where it is there is nothing to decide");
    let refused = send(&mut browser, EDIT, &[("keep:password", "keep")]).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(refused.html.contains("must be typed again") && offers(&refused), "{}", refused.html);
    // The password alone decides nothing.
    let unchosen = send(&mut browser, EDIT, &[("keep:password", "keep"), ("own_password", PASSWORD)]).await;
    assert!(unchosen.status == StatusCode::UNPROCESSABLE_ENTITY && unchosen.html.contains("must be typed again"));
    for wrong in ["", "wrong wrong wrong"] {
        let refused = send(&mut browser, EDIT, &[("keep:password", "carry"), ("own_password", wrong)]).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(refused.value("id=\"field-own-password\"", "aria-invalid") == "true", "{}", refused.html);
        assert!(refused.html.contains("value=\"carry\" checked") && !refused.html.contains("wrong wrong"), "{}", refused.html);
    }
    let carry = [("keep:password", "carry"), ("own_password", PASSWORD)];
    let tested = send(&mut browser, "/w/default/connections/sales/try", &carry).await;
    assert_eq!(tested.status, StatusCode::UNPROCESSABLE_ENTITY, "a test sends no secret elsewhere");
    assert!(tested.html.contains("secret_reentry_required"), "{}", tested.html);
    let saved = send(&mut browser, EDIT, &carry).await;
    assert_eq!(saved.location(), "/w/default/connections/sales?done=saved");
    let page = browser.get("/w/default/connections/sales").await;
    assert!(page.html.contains("replica.example.org") && page.html.contains("<dt>Password</dt><dd>Set"), "{}", page.html);
}

#[tokio::test]
async fn an_editor_is_neither_offered_it_nor_served() {
    let mut browser = Browser::signed_in().await;
    browser.make_sales().await;
    browser.become_member("eve@example.org", "editor").await;
    for keep in ["keep", "carry"] {
        let refused = send(&mut browser, EDIT, &[("keep:password", keep), ("own_password", PASSWORD)]).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(refused.html.contains("must be typed again") && !offers(&refused), "{}", refused.html);
    }
    assert!(browser.get("/w/default/connections/sales").await.html.contains("db.example.org"));
}
