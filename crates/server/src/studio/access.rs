//! `/w/{workspace}/access`: people, their roles, and links for those who lost their passwords.

use std::sync::Arc;

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode},
};

use super::{
    answer::{PageResult, go, page},
    paging::AskedPage,
    second_look::Sent,
    session::{SignedIn, authority},
    shell::{inside, words},
    view::{
        admin::{FreshLink, People, PersonLine},
        parts::{Here, Pages, day},
    },
};
use crate::{
    app::App,
    error::{Error, Result},
    ops::{
        Caller, Role, Roles,
        links::{self, LinkKind, OneTimeLink},
        people,
    },
};

pub async fn show(State(app): State<Arc<App>>, SignedIn(caller): SignedIn, asked: AskedPage) -> PageResult {
    Ok(page(StatusCode::OK, &view(&app, &caller, &asked).await?))
}

/// Replaces a person's roles, or adds him. Somebody new gets a link, shown in this answer alone.
pub async fn put(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    asked: AskedPage,
    headers: HeaderMap,
    sent: Sent,
) -> PageResult {
    let (caller, fields) = (sent.by(caller), &sent.fields);
    // A page that cannot be shown shows no link, so nothing is done for it.
    view(&app, &caller, &asked).await?;
    let email = fields.text("email").trim().to_owned();
    // With one that is none, none is taken.
    let roles: Vec<_> = fields.all("roles").map(Role::parse).collect::<Option<_>>().unwrap_or_default();
    match people::put_member(&app, &caller, &asked.workspace, &email, Roles::of(&roles)).await {
        Ok(None) => Ok(go(&headers, &asked.address("access"))),
        Ok(Some(link)) => {
            let link = Some(fresh(&headers, email, &link));
            Ok(page(StatusCode::CREATED, &People { link, ..view(&app, &caller, &asked).await? }))
        }
        Err(Error::Invalid(errors)) => {
            let people = People {
                email,
                errors,
                roles: fields.all("roles").map(ToOwned::to_owned).collect(),
                ..view(&app, &caller, &asked).await?
            };
            Ok(page(StatusCode::UNPROCESSABLE_ENTITY, &people))
        }
        Err(other) => Err(sent.refused(&caller, other, &["email", "roles"])),
    }
}

/// Makes a link by which a person chooses a new password, shown in this answer alone.
pub async fn link(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    asked: AskedPage,
    headers: HeaderMap,
    sent: Sent,
) -> PageResult {
    let (caller, email) = (sent.by(caller), sent.fields.text("email").to_owned());
    let people = view(&app, &caller, &asked).await?;
    let link = links::create_link(&app, &caller, &email, LinkKind::Password).await;
    let link = link.map_err(|error| sent.refused(&caller, error, &["email"]))?;
    let link = Some(fresh(&headers, email, &link));
    Ok(page(StatusCode::CREATED, &People { link, ..people }))
}

fn fresh(headers: &HeaderMap, email: String, link: &OneTimeLink) -> FreshLink {
    let url = format!("{}/link/{}", base(headers), link.code.expose_secret());
    FreshLink { email, url, ends: day(link.expires_at) }
}

pub async fn remove(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    asked: AskedPage,
    headers: HeaderMap,
    sent: Sent,
) -> PageResult {
    let caller = sent.by(caller);
    let removed = people::remove_member(&app, &caller, &asked.workspace, sent.fields.text("email")).await;
    removed.map_err(|error| sent.refused(&caller, error, &["email"]))?;
    Ok(go(&headers, &asked.address("access")))
}

/// Disables a person everywhere, or enables him again.
pub async fn set_disabled<const DISABLED: bool>(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    asked: AskedPage,
    headers: HeaderMap,
    sent: Sent,
) -> PageResult {
    let caller = sent.by(caller);
    let done = people::set_disabled(&app, &caller, &asked.workspace, sent.fields.text("email"), DISABLED).await;
    done.map_err(|error| sent.refused(&caller, error, &["email"]))?;
    Ok(go(&headers, &asked.address("access")))
}

/// The address under which the person who made the change sees this server: his browser's `Origin`, which was checked.
fn base(headers: &HeaderMap) -> String {
    let origin = headers.get(axum::http::header::ORIGIN).and_then(|origin| origin.to_str().ok());
    origin.map_or_else(|| format!("https://{}", authority(headers).unwrap_or_default()), ToOwned::to_owned)
}

/// What the provider is called, if it is not there any more too.
fn provider_label(app: &App) -> String {
    app.oidc.as_ref().map_or_else(|| "the sign-in provider".to_owned(), |oidc| oidc.config.label.clone())
}

async fn view(app: &App, caller: &Caller, asked: &AskedPage) -> Result<People> {
    let shell = inside(app, caller, &asked.workspace, Here::Access, "Access").await?.shell;
    let own = caller.person_id().map(|id| id.to_string());
    let found = AskedPage::found(people::members(app, caller, &asked.workspace, &asked.paging()).await)?;
    let people = found.rows.into_iter().map(|member| PersonLine {
        roles: member.roles.iter().map(|role| role.as_str().to_owned()).collect(),
        since: format!("account of {} by {}", day(member.person.created_at), member.person.created_by),
        is_pending: member.person.password_hash.is_empty() && !member.is_linked,
        is_linked: member.is_linked,
        claimed: words(member.claimed_roles),
        stays: app.oidc.is_some() && !member.claimed_roles.is_empty(),
        is_owner: member.person.is_owner && member.altered.is_none(),
        is_member: member.is_member,
        altered: member.altered,
        is_self: own.as_deref() == Some(member.person.id.as_str()),
        is_disabled: member.person.disabled_at.is_some(),
        email: member.person.email,
    });
    Ok(People {
        people: people.collect(),
        pages: Pages::of(&shell.at("access"), "", &asked.cursor, found.next.as_deref()),
        here: asked.query(),
        shell,
        may_add: caller.is_owner(),
        provider: provider_label(app),
        link: None,
        email: String::new(),
        roles: vec!["viewer".to_owned()],
        errors: Vec::new(),
    })
}
