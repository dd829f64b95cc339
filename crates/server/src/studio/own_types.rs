//! `/w/{workspace}/types`: the types that a workspace has of its own. Their definition is typed into a form or as TOML, which save the same.

mod typed;

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    body::Body,
    extract::{Path, RawQuery, State},
    http::{HeaderMap, Response, StatusCode},
};
use dataflow_model::{Catalogue, ConnectionType, FieldError, own_type};

use super::{
    answer::{PageError, PageResult, go, page},
    fields::Fields,
    second_look::Sent,
    session::SignedIn,
    shell::{Place, inside},
    view::{
        Glyph,
        own_type_form::{Base, OwnTypeForm, Preview, Row, Saved, Typed, Written, bases},
        own_types::{OwnTypes, RemoveOwnType, TypeLine},
        parts::{Here, ago, rfc3339},
    },
};
use crate::{
    api::extract::InWorkspace,
    app::App,
    error::{Error, Result},
    ops::{
        Action, Caller,
        own_types::{self, OwnType},
    },
};

/// What stands in the list beside a type that the rules refuse, or that was changed outside of this program.
const UNUSABLE: &str = "It cannot be used, nor can connections of it, until an admin saves it again.";

/// The workspace and the type of an address below `/types/{own_type}`.
type Parts = Path<BTreeMap<String, String>>;

fn part<'p>(parts: &'p Parts, name: &str) -> &'p str {
    parts.get(name).map(String::as_str).unwrap_or_default()
}

pub async fn list(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    InWorkspace(workspace): InWorkspace,
    RawQuery(query): RawQuery,
) -> PageResult {
    let Place { mut shell, roles, workspace, .. } = inside(&app, &caller, &workspace, Here::Connections, "Own types").await?;
    shell.notice = match Fields::parse(query.unwrap_or_default().as_bytes()).text("done") {
        "saved" => Some("The type is saved. New connections can be of it at once.".to_owned()),
        "removed" => Some("The type is removed.".to_owned()),
        _ => None,
    };
    let now = app.clock.now();
    let all = own_types::list(&app, &caller, &workspace.name).await?;
    let lines = all.into_iter().map(|own| line(&app.catalogue, own, now)).collect();
    Ok(page(StatusCode::OK, &OwnTypes { shell, lines, may_define: Action::DefineTypes.allowed_to(roles) }))
}

fn line(built_in: &Catalogue, own: OwnType, now: i64) -> TypeLine {
    let read = own_type::compile(&own.id, &own.definition, built_in);
    let kind = read.as_ref().ok();
    let base = kind.and_then(|kind| built_in.get(kind.extends.as_deref()?));
    let added = |kind: &ConnectionType| {
        kind.fields.iter().filter(|field| base.is_none_or(|base| base.field(field.path.as_str()).is_none())).count()
    };
    let fields = |kind: &ConnectionType| {
        let all = kind.fields.iter().filter(|field| !field.computed).count();
        match added(kind) {
            0 => all.to_string(),
            1 => format!("{all}, 1 of its own"),
            own => format!("{all}, {own} of its own"),
        }
    };
    TypeLine {
        label: own.label,
        summary: kind.map(|kind| kind.summary.clone()).unwrap_or_default(),
        glyph: kind.map(Glyph::from),
        based_on: base.map(|base| base.label.clone()).unwrap_or_default(),
        fields: kind.map(fields).unwrap_or_default(),
        connections: own.connections,
        saved: format!("{} by {}", ago(now, own.saved_at), own.saved_by),
        saved_at: rfc3339(own.saved_at),
        problem: own.problem.map(|_| UNUSABLE.to_owned()),
        id: own.id,
    }
}

/// An empty form.
pub async fn new(State(app): State<Arc<App>>, SignedIn(caller): SignedIn, InWorkspace(workspace): InWorkspace) -> PageResult {
    let place = may(&app, &caller, &workspace, "New type").await?;
    let asked = Asked { of: None, id: String::new(), written: Written::Form(Box::new(untouched())) };
    Ok(page(StatusCode::OK, &asked.shown(&app, place)))
}

/// What the form of a new type begins with.
fn untouched() -> Typed {
    Typed { extends: own_type::GENERIC.to_owned(), ..Typed::default() }
}

/// The form of one that is there.
pub async fn edit(State(app): State<Arc<App>>, SignedIn(caller): SignedIn, parts: Parts) -> PageResult {
    let id = part(&parts, "own_type");
    let place = may(&app, &caller, part(&parts, "workspace"), &format!("Edit {id}")).await?;
    let own = own_types::show(&app, &caller, &place.workspace.name, id).await?;
    let written = match typed::of(&own.definition, &app.catalogue) {
        Ok(typed) => Written::Form(Box::new(typed)),
        Err(alone) => Written::Toml { text: own.definition.clone(), alone: alone.words() },
    };
    let asked = Asked { id: own.id.clone(), of: Some(own), written };
    Ok(page(StatusCode::OK, &asked.shown(&app, place)))
}

pub async fn create(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    InWorkspace(workspace): InWorkspace,
    headers: HeaderMap,
    sent: Sent,
) -> PageResult {
    let caller = sent.by(caller);
    let place = may(&app, &caller, &workspace, "New type").await?;
    take(&app, &caller, place, None, (&headers, &sent)).await
}

pub async fn save(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    parts: Parts,
    headers: HeaderMap,
    sent: Sent,
) -> PageResult {
    let caller = sent.by(caller);
    let id = part(&parts, "own_type");
    let place = may(&app, &caller, part(&parts, "workspace"), &format!("Edit {id}")).await?;
    let own = own_types::show(&app, &caller, &place.workspace.name, id).await?;
    take(&app, &caller, place, Some(own), (&headers, &sent)).await
}

/// What a button of the form does. All but the first save nothing: they draw the form again, with what was typed.
enum Act {
    Save,
    Check,
    AsToml,
    AsForm,
    AddField,
    /// By its place.
    DropField(usize),
}

impl Act {
    fn read(text: &str) -> Option<Self> {
        match text {
            // As a browser without the buttons' script sends it, or a program.
            "" | "save" => Some(Self::Save),
            "check" => Some(Self::Check),
            "toml" => Some(Self::AsToml),
            "form" => Some(Self::AsForm),
            "add" => Some(Self::AddField),
            other => Some(Self::DropField(other.strip_prefix("drop:")?.parse().ok()?)),
        }
    }
}

async fn take(app: &App, caller: &Caller, place: Place, of: Option<OwnType>, (headers, sent): (&HeaderMap, &Sent)) -> PageResult {
    let unknown =
        |field: &str| Error::Invalid(vec![FieldError::new(field, "not_a_choice", "must be one of those that are offered")]);
    let fields = &sent.fields;
    let act = Act::read(fields.text("act")).ok_or_else(|| unknown("act"))?;
    let written = match fields.text("view") {
        "" | "form" => Written::Form(Box::new(typed::read(fields))),
        // A text area ends its lines otherwise.
        "toml" => Written::Toml { text: fields.text("definition").replace("\r\n", "\n"), alone: None },
        _ => return Err(unknown("view").into()),
    };
    let id = match &of {
        Some(own) => own.id.clone(),
        None => typed::id_or_proposed(fields.text("id"), &written),
    };
    let asked = Asked { of, id, written };
    match act {
        Act::Save => asked.save(app, caller, place, (headers, sent)).await,
        Act::Check => Ok(asked.check(app, place)),
        Act::AsToml | Act::AsForm => Ok(asked.turn(app, place)),
        Act::AddField | Act::DropField(_) => asked.change_rows(app, place, &act),
    }
}

/// A definition in the form, saved or not.
struct Asked {
    of: Option<OwnType>,
    id: String,
    written: Written,
}

impl Asked {
    /// The definition as it would be saved.
    fn definition(&self) -> std::result::Result<String, Vec<FieldError>> {
        match &self.written {
            Written::Form(typed) => typed::definition(typed),
            Written::Toml { text, .. } => Ok(text.clone()),
        }
    }

    /// What is wrong with it is told by the names of the form.
    fn read(&self, app: &App) -> std::result::Result<ConnectionType, Vec<FieldError>> {
        let definition = self.definition()?;
        let read = match self.of {
            Some(_) => own_type::compile(&self.id, &definition, &app.catalogue),
            None => own_type::read(&self.id, &definition, &app.catalogue),
        };
        read.map_err(|errors| typed::named(errors, &self.written))
    }

    /// The form as it stands.
    fn shown(self, app: &App, place: Place) -> OwnTypeForm {
        self.refused(app, place, Vec::new())
    }

    fn refused(self, app: &App, place: Place, errors: Vec<FieldError>) -> OwnTypeForm {
        let read = self.read(app).ok();
        let saved = self.of.as_ref().map(|own| own.definition.as_str());
        let is_unsaved = match (&self.written, saved) {
            (Written::Toml { .. }, None) => true,
            (Written::Form(typed), None) => **typed != untouched(),
            (Written::Toml { text, .. }, Some(saved)) => text != saved,
            (Written::Form(typed), Some(saved)) => typed::of(saved, &app.catalogue).ok().is_none_or(|saved| saved != **typed),
        };
        let base = match &self.written {
            Written::Form(typed) => app.catalogue.get(&typed.extends).map(|kind| Base::of(kind, &typed.removed)),
            Written::Toml { .. } => None,
        };
        let now = app.clock.now();
        OwnTypeForm {
            saved: self.of.as_ref().map(|own| Saved {
                version: own.version,
                words: format!("Saved {} by {}.", ago(now, own.saved_at), own.saved_by),
                connections: own.connections,
            }),
            has_comments: matches!(self.written, Written::Form(_)) && saved.is_some_and(typed::has_comments),
            is_unsaved,
            preview: read.as_ref().map(Preview::of).unwrap_or_default(),
            types: bases(&app.catalogue),
            base,
            errors,
            refusal: None,
            id: self.id,
            written: self.written,
            shell: place.shell,
        }
    }

    async fn save(self, app: &App, caller: &Caller, place: Place, (headers, sent): (&HeaderMap, &Sent)) -> PageResult {
        let definition = match self.definition() {
            Ok(definition) => definition,
            Err(errors) => return Ok(page(StatusCode::UNPROCESSABLE_ENTITY, &self.refused(app, place, errors))),
        };
        let version = sent.fields.text("version").parse().ok();
        // One that is there is never made anew: without a version it is that of none.
        let replaces = self.of.as_ref().map(|_| version.unwrap_or(-1));
        let errors = match own_types::put(app, caller, &place.workspace.name, &self.id, &definition, replaces).await {
            Ok(_) => return Ok(go(headers, &format!("{}?done=saved", place.shell.at("types")))),
            Err(Error::Invalid(errors)) => typed::named(errors, &self.written),
            Err(Error::NameTaken(_) | Error::VersionConflict) if self.of.is_none() => {
                vec![FieldError::new("id", "name_taken", "is taken by another type of this workspace")]
            }
            Err(Error::VersionConflict) => {
                let text = "was saved by somebody else meanwhile. What you typed still stands below: look at both, then save again to \
                            put it in place.";
                let refused = self.refused(app, place, vec![FieldError::new("version", "version_conflict", text)]);
                return Ok(page(StatusCode::PRECONDITION_FAILED, &refused));
            }
            Err(Error::TypeInUse(what, hint)) => {
                let refused = OwnTypeForm { refusal: Some(format!("{what} {hint}")), ..self.shown(app, place) };
                return Ok(page(StatusCode::CONFLICT, &refused));
            }
            Err(other) => return Err(refused_act(caller, other, sent)),
        };
        Ok(page(StatusCode::UNPROCESSABLE_ENTITY, &self.refused(app, place, errors)))
    }

    fn check(self, app: &App, mut place: Place) -> Response<Body> {
        match self.read(app) {
            Ok(_) => {
                place.shell.notice = Some("Nothing is wrong with it. It is not saved yet.".to_owned());
                page(StatusCode::OK, &self.shown(app, place))
            }
            Err(errors) => page(StatusCode::UNPROCESSABLE_ENTITY, &self.refused(app, place, errors)),
        }
    }

    /// From the form to the TOML, and back.
    fn turn(self, app: &App, place: Place) -> Response<Body> {
        let turned = match &self.written {
            Written::Form(typed) => typed::definition(typed).map(|text| Written::Toml { text, alone: None }),
            Written::Toml { text, .. } => match typed::of(text, &app.catalogue) {
                Ok(typed) => Ok(Written::Form(Box::new(typed))),
                Err(typed::Alone::Unread) => Err(self.read(app).err().unwrap_or_default()),
                Err(alone) => Ok(Written::Toml { text: text.clone(), alone: alone.words() }),
            },
        };
        match turned {
            Ok(written) => page(StatusCode::OK, &Self { written, ..self }.shown(app, place)),
            Err(errors) => page(StatusCode::UNPROCESSABLE_ENTITY, &self.refused(app, place, errors)),
        }
    }

    fn change_rows(mut self, app: &App, place: Place, act: &Act) -> PageResult {
        let Written::Form(typed) = &mut self.written else { return Err(Error::NotFound("field of the form").into()) };
        match act {
            Act::AddField if typed.rows.len() < own_type::FIELDS_MAX => typed.rows.push(Row::default()),
            Act::DropField(at) if *at < typed.rows.len() => drop(typed.rows.remove(*at)),
            _ => return Err(Error::NotFound("field of the form").into()),
        }
        Ok(page(StatusCode::OK, &self.shown(app, place)))
    }
}

/// A refusal of an act, as a page; what was typed goes along where it is to be sent again.
fn refused_act(caller: &Caller, error: Error, sent: &Sent) -> PageError {
    let kept: Vec<_> = sent.fields.names().filter(|name| typed::is_of_the_form(name)).collect();
    sent.refused(caller, error, &kept)
}

pub async fn ask_removal(State(app): State<Arc<App>>, SignedIn(caller): SignedIn, parts: Parts) -> PageResult {
    Ok(page(StatusCode::OK, &removal(&app, &caller, &parts).await?))
}

pub async fn remove(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    parts: Parts,
    headers: HeaderMap,
    sent: Sent,
) -> PageResult {
    let caller = sent.by(caller);
    let question = removal(&app, &caller, &parts).await?;
    let Ok(version) = sent.fields.text("version").parse() else {
        let error = FieldError::new("version", "invalid", "must be that of the type");
        return Err(Error::Invalid(vec![error]).into());
    };
    let (workspace, id) = (part(&parts, "workspace"), part(&parts, "own_type"));
    match own_types::remove(&app, &caller, workspace, id, version).await {
        Ok(()) => Ok(go(&headers, &format!("/w/{workspace}/types?done=removed"))),
        Err(Error::VersionConflict) => {
            let words = "Somebody saved it meanwhile, and it was not removed. Look at it again first.".to_owned();
            Ok(page(StatusCode::PRECONDITION_FAILED, &RemoveOwnType { refusal: Some(words), ..question }))
        }
        Err(Error::TypeInUse(what, hint)) => {
            Ok(page(StatusCode::CONFLICT, &RemoveOwnType { refusal: Some(format!("{what} {hint}")), ..question }))
        }
        Err(other) => Err(refused_act(&caller, other, &sent)),
    }
}

async fn removal(app: &App, caller: &Caller, parts: &Parts) -> Result<RemoveOwnType> {
    let id = part(parts, "own_type");
    let place = may(app, caller, part(parts, "workspace"), &format!("Remove {id}")).await?;
    let own = own_types::show(app, caller, &place.workspace.name, id).await?;
    Ok(RemoveOwnType {
        shell: place.shell,
        id: own.id,
        label: own.label,
        version: own.version,
        connections: own.connections,
        refusal: None,
    })
}

/// Where the form stands, for those who may send it.
async fn may(app: &App, caller: &Caller, workspace: &str, title: &str) -> Result<Place> {
    let place = inside(app, caller, workspace, Here::Connections, title).await?;
    if Action::DefineTypes.allowed_to(place.roles) { Ok(place) } else { Err(Error::Forbidden(Action::DefineTypes.words())) }
}
