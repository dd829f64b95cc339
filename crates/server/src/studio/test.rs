//! `…/test`: runs tests for pages, and sends their steps as they happen.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    extract::{Path, State},
    http::HeaderMap,
    response::Response,
};
use dataflow_model::TestReport;
use serde::Serialize;

use super::{
    answer::PageError,
    draft,
    fields::Fields,
    form::{new_place, stored_place},
    session::SignedIn,
    view::words::Shown,
};
use crate::{
    api::{checks::answer, extract::Named},
    app::App,
    error::Error,
    ops::checks::{self, Planned},
    ops::own_types::catalogue_of,
};

/// A report, and the words in which pages show it.
#[derive(Serialize)]
struct ShownReport<'r> {
    #[serde(flatten)]
    report: &'r TestReport,
    shown: Shown,
}

/// A report as the page's script reads it.
pub fn shown_report(report: &TestReport) -> Option<String> {
    serde_json::to_string(&ShownReport { report, shown: Shown::from(report) }).ok()
}

/// Tests a stored connection.
pub async fn stored(
    State(app): State<Arc<App>>,
    signed_in: Result<SignedIn, PageError>,
    named: Named,
    headers: HeaderMap,
) -> Response {
    let planned = async {
        let SignedIn(caller) = signed_in?;
        Ok(checks::plan_stored(&app, &caller, &named.workspace, &named.name).await?)
    };
    run(&app, planned.await, &headers).await
}

/// Tests the values in the form of a new connection.
pub async fn new(
    State(app): State<Arc<App>>,
    signed_in: Result<SignedIn, PageError>,
    Path(path): Path<BTreeMap<String, String>>,
    headers: HeaderMap,
    fields: Result<Fields, PageError>,
) -> Response {
    let planned = async {
        let (SignedIn(caller), fields) = (signed_in?, fields?);
        let (place, kind) = new_place(&app, &caller, &path).await?;
        let draft = draft::read(&fields, &kind, &*catalogue_of(&app, &place.workspace).await?);
        Ok(checks::plan_unsaved(&app, &caller, &place.workspace.name, None, draft).await?)
    };
    run(&app, planned.await, &headers).await
}

/// Tests the values in the form of a stored connection; a secret that is kept is the stored one.
pub async fn edited(
    State(app): State<Arc<App>>,
    signed_in: Result<SignedIn, PageError>,
    named: Named,
    headers: HeaderMap,
    fields: Result<Fields, PageError>,
) -> Response {
    let planned = async {
        let (SignedIn(caller), fields) = (signed_in?, fields?);
        let (place, _, kind) = stored_place(&app, &caller, &named, "").await?;
        let draft = draft::read(&fields, &kind, &*catalogue_of(&app, &place.workspace).await?);
        Ok(checks::plan_unsaved(&app, &caller, &named.workspace, Some(&named.name), draft).await?)
    };
    run(&app, planned.await, &headers).await
}

/// A refusal is a problem document here, in a page's words: its script reads it.
async fn run(app: &Arc<App>, planned: Result<Planned, PageError>, headers: &HeaderMap) -> Response {
    match planned {
        Ok(planned) => {
            let told = |report: &TestReport| serde_json::to_value(ShownReport { report, shown: Shown::from(report) });
            answer(app.clone(), planned, headers, told).await
        }
        Err(PageError::Refused(error)) => error.answer(Error::page_problem),
        Err(PageError::SignIn { .. }) => Error::Unauthenticated.answer(Error::page_problem),
        Err(PageError::Page(page)) => *page,
    }
}
