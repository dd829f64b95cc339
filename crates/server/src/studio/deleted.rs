//! `/w/{workspace}/deleted`: deleted connections, and bringing one back.

use dataflow_model::Catalogue;
use std::sync::Arc;

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode},
};

use super::{
    answer::{PageResult, go, page},
    fields::Fields,
    paging::AskedPage,
    session::SignedIn,
    shell::inside,
    view::{
        deleted::{DeletedLine, DeletedPage},
        parts::{Here, Pages, ago, day, minute},
    },
};
use crate::{
    app::App,
    error::{Error, Result},
    ops::{
        Action, Caller,
        connections::Precondition,
        own_types::catalogue_of,
        tombstones::{self, Deleted},
    },
};

pub async fn show(State(app): State<Arc<App>>, SignedIn(caller): SignedIn, asked: AskedPage) -> PageResult {
    Ok(page(StatusCode::OK, &view(&app, &caller, &asked, None).await?))
}

pub async fn restore(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    asked: AskedPage,
    headers: HeaderMap,
    fields: Fields,
) -> PageResult {
    let name = fields.text("name");
    let precondition = Precondition::Tags(vec![fields.text("etag").to_owned()]);
    let (status, refused) = match tombstones::restore(&app, &caller, &asked.workspace, name, &precondition).await {
        Ok(connection) => {
            return Ok(go(&headers, &format!("/w/{}/connections/{}?done=back", asked.workspace, connection.row.name)));
        }
        Err(Error::NameTaken(name)) => {
            let text = format!(
                "“{name}” leads to another connection now, which code uses. Delete that one first, or remove the name if it is an alias of it."
            );
            (StatusCode::CONFLICT, text)
        }
        Err(Error::NotRestorable(gone)) => (
            StatusCode::GONE,
            format!("“{}” was deleted too long ago: nothing is left of it to bring back. Create it anew.", gone.name),
        ),
        Err(Error::VersionConflict) => (
            StatusCode::PRECONDITION_FAILED,
            "Somebody else has changed something here. Look at the list, and try again.".to_owned(),
        ),
        Err(other) => return Err(other.into()),
    };
    Ok(page(status, &view(&app, &caller, &asked, Some(refused)).await?))
}

async fn view(app: &App, caller: &Caller, asked: &AskedPage, refused: Option<String>) -> Result<DeletedPage> {
    let place = inside(app, caller, &asked.workspace, Here::Connections, "Deleted connections").await?;
    let found = AskedPage::found(tombstones::list(app, caller, &asked.workspace, &asked.paging()).await)?;
    let now = app.clock.now();
    let catalogue = catalogue_of(app, &place.workspace).await?;
    Ok(DeletedPage {
        may_restore: Action::DeleteConnections.allowed_to(place.roles),
        pages: Pages::of(&place.shell.at("deleted"), "", &asked.cursor, found.next.as_deref()),
        lines: found.rows.into_iter().map(|deleted| line(&catalogue, deleted, now)).collect(),
        shell: place.shell,
        refused,
    })
}

fn line(catalogue: &Catalogue, deleted: Deleted, now: i64) -> DeletedLine {
    let at = deleted.row.deleted_at.unwrap_or_default();
    let left = match deleted.until {
        None => "Can be brought back".to_owned(),
        Some(until) if until > now => format!("Until {}", day(until)),
        Some(_) => String::new(),
    };
    DeletedLine {
        etag: deleted.etag(),
        type_label: catalogue.get(&deleted.row.type_id).map_or_else(|| deleted.row.type_id.clone(), |kind| kind.label.clone()),
        when: ago(now, at),
        at: minute(at),
        by: deleted.row.deleted_by.clone().unwrap_or_default(),
        reason: deleted.row.deleted_reason.clone().unwrap_or_default(),
        use_instead: deleted.row.use_instead.clone(),
        name: deleted.row.name,
        left,
    }
}
