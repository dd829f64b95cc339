//! `/w/{workspace}/new` and `/w/{workspace}/paste`: choose a type, or paste a URL.

use std::sync::Arc;

use axum::{
    extract::{RawQuery, State},
    http::{HeaderMap, StatusCode},
};
use dataflow_model::paste;

use super::{
    answer::{PageResult, is_htmx, page},
    draft,
    fields::Fields,
    form::{self, Filled},
    session::SignedIn,
    shell::{Place, inside},
    view::{
        form::{PastedNotes, Purpose},
        gallery::{Gallery, Group},
        parts::Here,
    },
};
use crate::{
    api::extract::InWorkspace,
    app::App,
    error::{Error, Result},
    ops::{Action, Caller, own_types::catalogue_of},
};

/// Shows the types.
pub async fn show(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    InWorkspace(workspace): InWorkspace,
    RawQuery(asked): RawQuery,
) -> PageResult {
    let search = Fields::parse(asked.unwrap_or_default().as_bytes()).text("q").to_owned();
    Ok(page(StatusCode::OK, &gallery(&app, &caller, &workspace, search, None).await?))
}

/// Fills the form with what a pasted text holds. Its secrets are not sent back: the text stays in the browser, in the form, and is
/// read again when the form is saved or tested.
pub async fn paste(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    InWorkspace(workspace): InWorkspace,
    headers: HeaderMap,
    fields: Fields,
) -> PageResult {
    let place = inside(&app, &caller, &workspace, Here::Connections, "New Connection").await?;
    let catalogue = catalogue_of(&app, &place.workspace).await?;
    let pasted = match paste::read(fields.text("pasted"), &catalogue) {
        Ok(pasted) => pasted,
        Err(error) => {
            let refused = gallery(&app, &caller, &workspace, String::new(), Some(error.to_string())).await?;
            return Ok(page(StatusCode::UNPROCESSABLE_ENTITY, &refused));
        }
    };
    let kind = catalogue.get(&pasted.type_id).ok_or(Error::NotFound("connection type"))?;
    let mut filled = Filled::new(kind, Action::SetAdminFields.allowed_to(place.roles));
    let notes = pasted.notes.iter().map(|note| (note.text(), note.needs_a_look())).collect();
    // Without scripts the browser lets the text go, and the password has to be typed.
    draft::fill(&mut filled.values, kind, pasted.fields, is_htmx(&headers));
    filled.pasted = Some(PastedNotes { notes });
    Ok(page(StatusCode::OK, &form::view(place, Purpose::New, kind, filled)))
}

async fn gallery(app: &App, caller: &Caller, workspace: &str, search: String, paste_error: Option<String>) -> Result<Gallery> {
    let Place { shell, workspace, .. } = inside(app, caller, workspace, Here::Connections, "New Connection").await?;
    if !shell.may.edit {
        return Err(Error::Forbidden(Action::CreateConnections.words()));
    }
    let catalogue = catalogue_of(app, &workspace).await?;
    Ok(Gallery { groups: Group::of(&catalogue.all(), &search), shell, search, paste_error })
}
