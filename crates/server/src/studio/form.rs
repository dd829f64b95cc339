//! New, Edit and Duplicate: the form of a type, and its save.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use axum::{
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
};
use dataflow_model::{
    Code, ConnectionName, ConnectionType, FieldError, FieldPath, PublicFields, Tag, TestReport, WorkspaceName,
    catalogue::Section, snippets,
};

use super::{
    answer::{PageResult, go, page},
    dependents::first,
    draft,
    fields::Fields,
    second_look,
    session::SignedIn,
    shell::{Place, inside},
    test::shown_report,
    view::{
        form::{Edited, Form, Heading, Kept, PastedNotes, Purpose, Source, Values, Waiting, controls},
        parts::Here,
    },
};
use crate::{
    api::extract::Named,
    app::App,
    error::{Error, Result},
    ops::{
        Action,
        connections::{self, Change, Connection, Precondition},
        hops,
        own_types::{catalogue_of, unreadable_type},
        safe_change::Trial,
        users,
    },
};

/// Stands in the snippets until there is a name; the page's script puts the typed one in its place.
const NO_NAME_YET: &str = "connection_name";

/// How many workflows it names that feel a change; the others are counted.
const SHOWN: usize = 5;

/// What a form is shown with.
pub struct Filled {
    pub heading: Heading,
    pub values: Values,
    pub errors: Vec<FieldError>,
    pub refusal: Option<String>,
    /// What the test has found that the change did not pass.
    pub report: Option<Box<TestReport>>,
    pub pasted: Option<PastedNotes>,
}

impl Filled {
    #[must_use]
    pub fn new(kind: &ConnectionType, is_admin: bool) -> Self {
        let mut values = Values::new(is_admin);
        let defaults = kind.fields.iter().filter_map(|field| Some((field.path.clone(), field.default.as_ref()?.to_string())));
        values.public.extend(defaults);
        Self { heading: Heading::default(), values, errors: Vec::new(), refusal: None, report: None, pasted: None }
    }

    fn stored(connection: &Connection, is_admin: bool) -> Self {
        let set: BTreeSet<_> = connection.secrets.iter().filter(|(_, set)| **set).map(|(path, _)| path.clone()).collect();
        Self {
            heading: Heading {
                name: connection.row.name.clone(),
                description: connection.row.description.clone(),
                tags: connection.tags.iter().map(Tag::as_str).collect::<Vec<_>>().join(" "),
            },
            values: Values::stored(&connection.public, &set, is_admin),
            errors: Vec::new(),
            refusal: None,
            report: None,
            pasted: None,
        }
    }

    /// The form as it was sent, with the reason why it was not saved.
    fn refused(mut self, kind: &ConnectionType, fields: &Fields, refusal: Refusal) -> Self {
        draft::show_again(&mut self.values, kind, fields);
        self.heading = draft::heading(fields);
        self.pasted = fields.get("pasted").map(|_| PastedNotes { notes: Vec::new() });
        (self.errors, self.refusal, self.report) = (refusal.errors, refusal.text, refusal.report);
        let elsewhere =
            self.errors.iter().filter(|error| error.code == Code::SecretReentryRequired.as_str() && self.values.is_admin);
        let carried = elsewhere.map(|error| (FieldPath::from(error.field.as_str()), Kept::from(Source::Carried)));
        self.values.kept.extend(carried);
        self
    }
}

/// The form as a page.
#[must_use]
pub fn view(place: Place, purpose: Purpose, kind: &ConnectionType, mut filled: Filled) -> Form {
    let Place { workspace, shell, hops, .. } = place;
    filled.values.hops = hops;
    let names = match &purpose {
        Purpose::New => NO_NAME_YET,
        Purpose::Edit(edited) => &edited.name,
    };
    let names = WorkspaceName::new(workspace.name.as_str()).ok().zip(ConnectionName::new(names).ok());
    let snippets = names.map(|(workspace, name)| snippets(kind, &workspace, &name, &PublicFields::default())).unwrap_or_default();
    let connections = shell.at("connections");
    let (action, test, cancel) = match &purpose {
        Purpose::New => (shell.at(&format!("new/{}", kind.id)), shell.at(&format!("new/{}/test", kind.id)), connections),
        Purpose::Edit(edited) => {
            let name = &edited.name;
            (format!("{connections}/{name}/edit"), format!("{connections}/{name}/try"), format!("{connections}/{name}"))
        }
    };
    let section = |section| controls(kind, section, &filled.values, &filled.errors);
    Form {
        main: section(Section::Main),
        security: section(Section::Security),
        extra: section(Section::Extra),
        action,
        test,
        cancel,
        type_id: kind.id.clone(),
        type_label: kind.label.clone(),
        about: kind.into(),
        heading: filled.heading,
        errors: filled.errors,
        refusal: filled.refusal,
        reported: filled.report.and_then(|report| shown_report(&report)),
        pasted: filled.pasted,
        // A URL without its host says nothing.
        snippets: snippets.into_iter().filter(|snippet| snippet.id != "url").collect(),
        steps: Waiting::all(),
        purpose,
        shell,
    }
}

/// An empty form of a type.
pub async fn show_new(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    Path(path): Path<BTreeMap<String, String>>,
) -> PageResult {
    let (place, kind) = new_place(&app, &caller, &path).await?;
    let filled = Filled::new(&kind, is_admin(&place));
    Ok(page(StatusCode::OK, &view(place, Purpose::New, &kind, filled)))
}

/// Saves a new connection.
pub async fn create(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    Path(path): Path<BTreeMap<String, String>>,
    headers: HeaderMap,
    fields: Fields,
) -> PageResult {
    let caller = second_look::by(caller, &fields);
    let (place, kind) = new_place(&app, &caller, &path).await?;
    let draft = draft::read(&fields, &kind, &*catalogue_of(&app, &place.workspace).await?);
    match connections::create(&app, &caller, &place.workspace.name, draft).await {
        Ok(saved) => Ok(go(&headers, &format!("{}/{}?done=created", place.shell.at("connections"), saved.row.name))),
        Err(error) => {
            let refusal = Refusal::of(error, &place)?;
            let status = refusal.status;
            let filled = Filled::new(&kind, is_admin(&place)).refused(&kind, &fields, refusal);
            Ok(page(status, &view(place, Purpose::New, &kind, filled)))
        }
    }
}

/// The form of a stored connection.
pub async fn show_edit(State(app): State<Arc<App>>, SignedIn(caller): SignedIn, named: Named) -> PageResult {
    let (place, connection, kind) = stored_place(&app, &caller, &named, &format!("Edit {}", named.name)).await?;
    refuse_while_rotating(&connection)?;
    let filled = Filled::stored(&connection, is_admin(&place));
    let purpose = edited(&app, &caller, &place, (&named.name, connection.etag()), true).await?;
    Ok(page(StatusCode::OK, &view(place, purpose, &kind, filled)))
}

/// A form of the same type with the same public values, for another name. Secrets are not taken along.
pub async fn show_duplicate(State(app): State<Arc<App>>, SignedIn(caller): SignedIn, named: Named) -> PageResult {
    let (place, connection, kind) = stored_place(&app, &caller, &named, "New Connection").await?;
    let mut filled = Filled::stored(&connection, is_admin(&place));
    filled.values.kept.clear();
    filled.heading.name = format!("{}_copy", filled.heading.name);
    Ok(page(StatusCode::OK, &view(place, Purpose::New, &kind, filled)))
}

/// Saves the next version.
pub async fn save(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    named: Named,
    headers: HeaderMap,
    fields: Fields,
) -> PageResult {
    let caller = second_look::by(caller, &fields);
    let (place, connection, kind) = stored_place(&app, &caller, &named, &format!("Edit {}", named.name)).await?;
    let etag = fields.text("etag").to_owned();
    let test_first = fields.text("test_first") == "on";
    let change = Change {
        draft: draft::read(&fields, &kind, &*catalogue_of(&app, &place.workspace).await?),
        precondition: Precondition::Tags(vec![etag.clone()]),
        own_password: draft::own_password(&fields, &kind),
        trial: Trial::if_asked(test_first),
        ..Change::default()
    };
    match connections::edit(&app, &caller, &place.workspace.name, &named.name, change).await {
        Ok(saved) => Ok(go(&headers, &format!("{}/{}?done=saved", place.shell.at("connections"), saved.row.name))),
        Err(error) => {
            let refusal = Refusal::of(error, &place)?;
            let status = refusal.status;
            let filled = Filled::stored(&connection, is_admin(&place)).refused(&kind, &fields, refusal);
            let purpose = edited(&app, &caller, &place, (&named.name, etag), test_first).await?;
            Ok(page(status, &view(place, purpose, &kind, filled)))
        }
    }
}

/// What is edited, with who feels it.
async fn edited(
    app: &App,
    caller: &crate::ops::Caller,
    place: &Place,
    (name, etag): (&str, String),
    test_first: bool,
) -> Result<Purpose> {
    let (shown, impact) = first(app, caller, &place.workspace.name, name, SHOWN).await?;
    let offered = app.tests.is_enabled() && users::admits(app, caller, &place.workspace.name, name).await?;
    let test_first = offered.then_some(test_first);
    Ok(Purpose::Edit(Box::new(Edited { name: name.to_owned(), etag, shown, impact, test_first })))
}

fn is_admin(place: &Place) -> bool {
    Action::SetAdminFields.allowed_to(place.roles)
}

/// The workspace and the type of a path `/w/{workspace}/new/{type}`.
pub async fn new_place(
    app: &App,
    caller: &crate::ops::Caller,
    path: &BTreeMap<String, String>,
) -> Result<(Place, Arc<ConnectionType>)> {
    let part = |name: &str| path.get(name).map(String::as_str).unwrap_or_default();
    let mut place = inside(app, caller, part("workspace"), Here::Connections, "New Connection").await?;
    if !place.shell.may.edit {
        return Err(Error::Forbidden(Action::CreateConnections.words()));
    }
    let kind = catalogue_of(app, &place.workspace).await?.shared(part("type"));
    let kind = kind.ok_or(Error::NotFound("connection type"))?;
    place.hops = hops::offered(app, caller, &place.workspace.name, &kind).await?;
    Ok((place, kind))
}

/// The workspace, the connection and its type, for somebody who may edit it.
pub async fn stored_place(
    app: &App,
    caller: &crate::ops::Caller,
    named: &Named,
    title: &str,
) -> Result<(Place, Connection, Arc<ConnectionType>)> {
    let mut place = inside(app, caller, &named.workspace, Here::Connections, title).await?;
    if !place.shell.may.edit {
        return Err(Error::Forbidden(Action::EditConnections.words()));
    }
    let connection = connections::show(app, caller, &named.workspace, &named.name).await?;
    let catalogue = catalogue_of(app, &place.workspace).await?;
    let type_id = &connection.row.type_id;
    let kind = catalogue.shared(type_id).ok_or_else(|| unreadable_type(&catalogue, type_id))?;
    place.hops = hops::offered(app, caller, &place.workspace.name, &kind).await?;
    Ok((place, connection, kind))
}

/// No form is shown for what would be refused: what is under way, and what ends it, stands in its place.
pub(super) fn refuse_while_rotating(connection: &Connection) -> Result<()> {
    match &connection.rotation {
        Some(rotation) => Err(Error::RotationUnderWay(Box::new(rotation.clone()))),
        None => Ok(()),
    }
}

/// Why a save was refused, where the form can be shown again.
struct Refusal {
    status: StatusCode,
    errors: Vec<FieldError>,
    text: Option<String>,
    report: Option<Box<TestReport>>,
}

impl Refusal {
    fn of(error: Error, place: &Place) -> Result<Self> {
        let (status, ..) = error.describe();
        let (errors, text) = match error {
            Error::Invalid(errors) => (errors, None),
            Error::NameTaken(_) => (vec![FieldError::new("name", "name_taken", "is taken in this workspace")], None),
            Error::SecretReentry(paths) => {
                let again = |path| {
                    FieldError::new(
                        path,
                        Code::SecretReentryRequired.as_str(),
                        "must be typed again, because where it is sent has changed",
                    )
                };
                (paths.into_iter().map(again).collect(), None)
            }
            Error::SecondLook | Error::WrongOwnPassword => {
                // With the status of a field, at which the page is drawn again and keeps in the browser what secrets were typed.
                let text = if place.shell.may.shows_at_provider {
                    "has to be shown again at the sign-in provider"
                } else if matches!(error, Error::SecondLook) {
                    "is needed again to set a field that is for admins: you gave it more than ten minutes ago"
                } else {
                    "is not the one that you sign in with"
                };
                let at = FieldError::new("own_password", Code::SecondLookRequired.as_str(), text);
                return Ok(Self { status: StatusCode::UNPROCESSABLE_ENTITY, errors: vec![at], text: None, report: None });
            }
            Error::TestFailed(report) => {
                let text = Some(did_not_pass(&report));
                return Ok(Self { status, errors: Vec::new(), text, report: Some(report) });
            }
            Error::RotationUnderWay(rotation) => {
                let text = format!("{} Nothing was saved. {}", rotation.sentence(), rotation.end());
                (Vec::new(), Some(text))
            }
            Error::VersionConflict => {
                let text = "Somebody saved another version since this form was opened. Open the connection in a second tab to see it, \
                            then open Edit again.";
                (Vec::new(), Some(text.to_owned()))
            }
            other => return Err(other),
        };
        Ok(Self { status, errors, text, report: None })
    }
}

/// Why a change is not saved that did not pass its test, and what to do.
pub fn did_not_pass(report: &TestReport) -> String {
    let why = report.error.as_ref().map(|error| format!(" {} {}", error.message, error.hint)).unwrap_or_default();
    format!("It did not pass its test.{why} Correct it, or untick “Test before it serves” to save it all the same.")
}
