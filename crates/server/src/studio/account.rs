//! `/account`: the signed-in person's own password.

use std::sync::Arc;

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode, header},
};
use dataflow_model::{FieldError, Secret};

use super::{
    answer::{PageResult, page},
    fields::Fields,
    session::{self, SignedIn},
    shell::outside,
    view::{admin::Account, parts::Here},
};
use crate::{
    app::App,
    error::{Error, Result},
    ops::{Caller, people},
};

pub async fn show(State(app): State<Arc<App>>, SignedIn(caller): SignedIn) -> PageResult {
    Ok(page(StatusCode::OK, &view(&app, &caller, Vec::new()).await?))
}

/// Changes the password. This browser goes on in a session of its own; all others end.
pub async fn change_password(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    headers: HeaderMap,
    fields: Fields,
) -> PageResult {
    let typed = |name: &str| fields.get(name).map_or_else(|| Secret::new(String::new()), Secret::duplicate_secret);
    match people::change_own_password(&app, &caller, &typed("own_password"), &typed("password")).await {
        Ok(session) => {
            let mut account = view(&app, &caller, Vec::new()).await?;
            account.shell.notice = Some("Your password is changed. You are signed out everywhere else.".to_owned());
            let mut answer = page(StatusCode::OK, &account);
            answer.headers_mut().insert(header::SET_COOKIE, session::set(&headers, &session)?);
            Ok(answer)
        }
        Err(Error::Invalid(errors)) => Ok(page(StatusCode::UNPROCESSABLE_ENTITY, &view(&app, &caller, errors).await?)),
        Err(other) => Err(other.into()),
    }
}

async fn view(app: &App, caller: &Caller, errors: Vec<FieldError>) -> Result<Account> {
    Ok(Account { shell: outside(app, caller, Here::Nowhere, "Your account").await?, errors })
}
