//! Second logins as they are kept, made without a database: for tests.

use dataflow_model::Secret;

use super::sealing::{self, Passwords, endpoint_as, in_words};
use crate::{
    app::App,
    ops::{
        Caller,
        connections::hold_current,
        rows::{Sealed as _, VersionContent},
    },
    store::{self, SecondLoginRow},
};

/// Keeps `username` as the second login of a connection, as one that stands by or that a version took the place of.
pub(crate) async fn plant(app: &App, workspace: &str, name: &str, (username, retires_from): (&str, Option<i64>)) {
    let workspace = app.workspace(workspace).await.expect("read").expect("there");
    let mut write = app.store.write().await.expect("open");
    let (connection, version) = hold_current(app, &Caller::shell(), &mut write, &workspace, name).await.expect("there");
    let content = VersionContent::read(&version).expect("sound");
    let now = app.clock.now();
    let row = SecondLoginRow {
        connection_id: connection.id.clone(),
        workspace_id: connection.workspace_id.clone(),
        username: username.to_owned(),
        endpoint: in_words(&endpoint_as(&version, &content, username)),
        password: String::new(),
        candidate: None,
        key_version: 0,
        set_at: now,
        set_by: "shell".to_owned(),
        set_by_id: "shell".to_owned(),
        retires_from,
        switched_at: retires_from.map(|_| now),
        mac: Vec::new(),
        owner: String::new(),
        leased_until: 0,
        tries: 0,
        tried_at: None,
        next_at: now,
        problem: None,
    };
    let kept = Passwords { kept: Secret::new(format!("planted for {username}")), candidate: None };
    let row = sealing::with(app, &workspace.key, row, &kept).expect("sealed");
    store::put_second_login(&mut write, &row).await.expect("kept");
    write.commit_quietly().await.expect("kept");
}

/// Its password and the one that is being set, in clear.
pub(crate) async fn passwords(
    app: &App,
    workspace: &str,
    row: &SecondLoginRow,
) -> crate::error::Result<(String, Option<String>)> {
    app.caches.forget_all();
    let workspace = app.workspace(workspace).await?.expect("there");
    let Passwords { kept, candidate } = sealing::passwords(&workspace.key, &row.clone().checked(&app.vault)?)?;
    Ok((kept.expose_secret().to_owned(), candidate.map(|candidate| candidate.expose_secret().to_owned())))
}
