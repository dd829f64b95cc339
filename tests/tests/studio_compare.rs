//! Two workspaces side by side in a browser, and a connection copied from one to the other.

use dataflow_tests::{
    session::Session,
    studio::{PASSWORD, Studio},
};
use serde_json::json;

/// An expression: whether the page says something like this.
fn says(pattern: &str) -> String {
    format!("/{pattern}/.test(flat(document.body.textContent))")
}

/// An expression: whether the box of this field is ticked.
fn ticked(label: &str) -> String {
    format!("document.querySelector('[aria-label=\"Copy {label}\"]').checked")
}

#[tokio::test]
async fn browser_dev_is_compared_with_prod_and_copied() {
    let studio = Studio::start();
    let browser = studio.browser().await;
    browser.sees("Deleted connections").await;
    assert!(!browser.text().await.contains("Compare with another workspace"), "there is none");
    browser.open("/w/default/compare").await;
    browser.sees("Nothing to compare with").await;

    Session::start(&studio.server).submit("/workspaces", "name=prod").expect(303);
    let prod = studio.server.token("prod", "admin", "fixture");
    let there =
        |method: &str, path: &str| studio.server.request(&prod, method, &format!("/api/v1/workspaces/prod/connections{path}"));
    studio.create(&json!({"name": "crm", "type": "postgres", "host": "dev.example.org", "username": "dev", "description": "Accounts", "tags": ["eu"], "password": PASSWORD}));
    studio.create(&json!({"name": "shop", "type": "sqlite", "database": "sales.db"}));
    let crm = json!({"name": "crm", "type": "postgres", "host": "db.example.org", "username": "crm", "password": PASSWORD});
    there("POST", "").json(&crm).send().expect(201);
    there("POST", "").json(&json!({"name": "shop", "type": "sqlite", "database": "sales.db"})).send().expect(201);
    browser.open("/w/default/connections").await;
    browser.click("Compare with another workspace").await;
    browser.arrives("/w/default/compare").await;
    browser.until(&says("crm ?Differs ?version 1 here, 1 there ?Description ?Accounts ≠ ?, there not set ?Tags ?eu ≠ ?, there not set ?Host ?dev.example.org ≠ ?, there db.example.org ?Username ?dev ≠ ?, there crm ?Clients connect elsewhere")).await;
    assert!(!browser.text().await.contains("shop"), "what is the same is left out");
    browser.click("Everything").await;
    browser.click("Compare").await;
    browser.arrives("/w/default/compare?with=prod&all=1").await;
    browser.until(&says("shop ?Same")).await;

    // Over the one that is there: what directs it stays, and nothing is ticked.
    browser.click("Copy crm to prod").await;
    browser.arrives("/w/default/connections/crm/copy?to=prod").await;
    browser
        .until(&format!(
            "!{} && !{} && !document.querySelector('[aria-label=\"Copy Host\"]')",
            ticked("Description"),
            ticked("Tags")
        ))
        .await;
    browser.until(&says("Host kept ?dev.example.org ≠ ?, there db.example.org")).await;
    browser.click("Copy to prod").await;
    browser.until(&says("Nothing was copied: tick what to copy")).await;
    browser.click("Description").await;
    let etag = there("GET", "/crm").send().expect(200).header("etag").to_owned();
    there("PATCH", "/crm").header("if-match", &etag).json(&json!({"tags": ["eu"]})).send().expect(200);
    browser.click("Copy to prod").await;
    browser.until(&format!("{} && {}", says("Somebody changed it in “prod” meanwhile"), ticked("Description"))).await;
    browser.click("Copy to prod").await;
    browser.arrives("/w/prod/connections/crm?done=saved").await;
    browser.sees("Saved as version 3.").await;
    let after = there("GET", "/crm").send().expect(200).json();
    assert_eq!(
        (&after["host"], &after["description"], &after["password"]),
        (&json!("db.example.org"), &json!("Accounts"), &json!({"set": true}))
    );

    // What is not there is made there, but for its secrets.
    let etag = there("GET", "/crm").send().expect(200).header("etag").to_owned();
    there("DELETE", "/crm").header("if-match", &etag).send().expect(204);
    browser.open("/w/default/compare?with=prod").await;
    browser.until(&says("crm ?Not in prod")).await;
    browser.click("Copy crm to prod").await;
    browser
        .until(&format!(
            "{} && {} && {}",
            ticked("Host"),
            ticked("Tags"),
            says("Database Type always ?PostgreSQL ?Description.*Password never copied ?Set here")
        ))
        .await;
    browser.click("Tags").await;
    browser.click("Copy to prod").await;
    browser.arrives("/w/prod/connections/crm?done=copied&missing=password").await;
    browser.sees("Created as a copy. It still lacks: Password. Type what is missing with Edit.").await;
    let made = there("GET", "/crm").send().expect(200).json();
    assert_eq!(
        (&made["host"], &made["tags"], &made["password"]),
        (&json!("dev.example.org"), &json!([]), &json!({"set": false}))
    );
    browser.finish(&["412", "422"]).await;
}
