//! Refusals in a page's words: as a page, and as the document that the script of a test reads.

use axum::http::StatusCode;

use super::{Browser, EMAIL, PASSWORD};
use crate::clock::SECOND;

#[tokio::test]
async fn a_form_that_is_too_large_says_what_to_shorten() {
    let mut browser = Browser::signed_in().await;
    let long = "+".repeat(30_000);
    for path in ["/w/default/new/postgres", "/w/default/new/postgres/test", "/w/default/connections/sales/try"] {
        let refused = browser.post(path, &[("name", "sales"), ("tls.ca", &long)]).await;
        assert_eq!(refused.status, StatusCode::PAYLOAD_TOO_LARGE, "{path}");
        assert!(refused.html.contains("The form holds more than 64 KiB") && refused.html.contains("Shorten"), "{}", refused.html);
        assert_eq!(refused.html.starts_with('{'), !path.ends_with("/postgres"), "{path}");
    }
}

#[tokio::test]
async fn a_test_without_a_session_says_so_in_the_words_of_a_page() {
    let mut browser = Browser::signed_in().await;
    browser.cookie = None;
    for path in ["/w/default/connections/sales/test", "/w/default/connections/sales/try", "/w/default/new/postgres/test"] {
        let refused = browser.post(path, &[]).await;
        assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "{path}");
        assert!(refused.html.contains("You are signed out.") && !refused.html.contains("token"), "{}", refused.html);
    }
}

#[tokio::test]
async fn who_guesses_at_a_password_waits_and_is_told_how_long() {
    let mut browser = Browser::signed_in().await;
    browser.peer = "203.0.113.7:4000".parse().ok();
    let wrong = [("email", EMAIL), ("password", "guessed guessed")];
    for _ in 0..5 {
        assert_eq!(browser.post("/sign-in", &wrong).await.status, StatusCode::UNAUTHORIZED);
    }
    let right = [("email", EMAIL), ("password", PASSWORD)];
    let refused = browser.post("/sign-in", &right).await;
    assert_eq!((refused.status, refused.header("retry-after")), (StatusCode::TOO_MANY_REQUESTS, "1"), "{}", refused.html);
    assert!(refused.html.contains("Too many attempts to sign in have failed. Try again in 1 s."), "{}", refused.html);
    assert!(refused.html.contains(EMAIL) && !refused.html.contains(PASSWORD));
    browser.app.clock.advance(SECOND);
    assert_eq!(browser.post("/sign-in", &right).await.status, StatusCode::SEE_OTHER);
}
