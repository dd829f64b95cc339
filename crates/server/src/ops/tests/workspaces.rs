//! Workspaces: one that the caller is not in and one that is not there take the same path; the list, in pages.

use super::{Fixture, WORKSPACE, sample};
use crate::{
    error::Error,
    ops::{Caller, Role, connections, paging::Paging, workspaces},
};

#[tokio::test]
async fn neither_a_foreign_nor_an_absent_workspace_is_looked_for() {
    let fixture = Fixture::new().await;
    let app = &fixture.app;
    workspaces::create(app, &Caller::shell(), "theirs").await.expect("made");
    connections::create(app, &Caller::shell(), "theirs", sample("sales")).await.expect("made");
    let token = fixture.token(&Caller::shell(), "outsider", Role::Admin).await;
    let callers = [fixture.by_token(&token).await.expect("it lives"), fixture.member("ada@example.org", &[Role::Admin]).await];
    for caller in &callers {
        connections::show(app, caller, WORKSPACE, "sales").await.expect_err("not there");
    }
    // Whatever was looked for in the store from here on would fail; what is remembered would not.
    app.store.close().await;
    for caller in &callers {
        for workspace in ["theirs", "absent"] {
            let came_to = connections::show(app, caller, workspace, "sales").await;
            assert!(matches!(came_to, Err(Error::NotFound("workspace"))), "{} at {workspace}", caller.label());
        }
    }
}

#[tokio::test]
async fn the_list_comes_in_pages_of_those_that_the_caller_is_in() {
    let fixture = Fixture::new().await;
    let (app, shell) = (&fixture.app, Caller::shell());
    for name in ["Zeta", "alpha", "beta"] {
        workspaces::create(app, &shell, name).await.expect("made");
    }
    let member = fixture.member("ada@example.org", &[Role::Viewer]).await;
    for (caller, all) in [(&shell, ["alpha", "beta", WORKSPACE, "Zeta"].as_slice()), (&member, &[WORKSPACE])] {
        for limit in [1, 2, 3, 4, 5] {
            let (mut found, mut cursor) = (Vec::new(), None);
            loop {
                let page = workspaces::list(app, caller, &Paging { cursor, limit: Some(limit) }).await.expect("a page");
                assert!(page.rows.len() <= limit);
                found.extend(page.rows.into_iter().map(|row| row.name));
                cursor = page.next;
                if cursor.is_none() {
                    break;
                }
            }
            assert_eq!(found, all, "{} by {limit}", caller.label());
        }
    }
}
