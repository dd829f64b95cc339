//! The form that the catalogue makes: New, Edit and Duplicate alike.

mod controls;

use std::collections::{BTreeMap, BTreeSet};

use askama::Template;
use dataflow_model::{
    Code, ConnectionType, FieldError, FieldPath, Impact, PublicFields, Snippet, StepName,
    name::{DESCRIPTION_MAX, NAME_MAX},
};

pub use self::controls::controls;
use super::{Shell, dependents::DependentLine};
use crate::ops::people::PASSWORD_MAX;

#[derive(Debug, Template)]
#[template(path = "form.html")]
pub struct Form {
    pub shell: Shell,
    pub purpose: Purpose,
    /// Where the form is sent, where its values are tested, and where Cancel leads.
    pub action: String,
    pub test: String,
    pub cancel: String,
    pub type_id: String,
    pub type_label: String,
    pub about: About,
    pub heading: Heading,
    pub main: Vec<Control>,
    pub security: Vec<Control>,
    pub extra: Vec<Control>,
    pub errors: Vec<FieldError>,
    /// Why nothing was saved, where no field is to blame.
    pub refusal: Option<String>,
    /// The report of the test that it did not pass, as the page's script reads it.
    pub reported: Option<String>,
    /// What became of a pasted text.
    pub pasted: Option<PastedNotes>,
    pub snippets: Vec<Snippet>,
    pub steps: Vec<Waiting>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Purpose {
    New,
    Edit(Box<Edited>),
}

/// What a form edits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edited {
    pub name: String,
    /// The entity tag of the version that the form was filled from.
    pub etag: String,
    /// Who feels a change of what clients connect with: the first of them, and how many there are.
    pub shown: Vec<DependentLine>,
    pub impact: Impact,
    /// Whether a change is tested before it serves, where the caller may have one run.
    pub test_first: Option<bool>,
}

impl Edited {
    /// Who feels a change of what clients connect with, and when.
    #[must_use]
    pub fn who_feels(&self) -> String {
        let connect =
            "with what is saved here from the next database session on, within five seconds; open sessions finish on the old";
        match (self.impact.total, self.impact.live) {
            (0, _) => format!("No workflow is known to use it. Whoever does connects {connect}."),
            (1, _) => format!("1 workflow uses it, and connects {connect}."),
            (many, 0) => format!("{many} workflows use it, none of them at this moment. They connect {connect}."),
            (many, live) => format!("{many} workflows use it, {live} of them now. They connect {connect}."),
        }
    }

    #[must_use]
    pub fn more(&self) -> i64 {
        self.impact.total - i64::try_from(self.shown.len()).unwrap_or_default()
    }
}

/// What to know of a type beside its fields.
#[derive(Debug, Clone)]
pub struct About {
    /// The service's own documentation.
    pub docs: String,
    /// How honestly its test was tested, and what a fake follows.
    pub tested: String,
    pub source: Option<String>,
}

impl From<&ConnectionType> for About {
    fn from(kind: &ConnectionType) -> Self {
        let source = kind.tested.source().map(ToOwned::to_owned);
        Self { docs: kind.docs.clone(), tested: kind.tested_words(), source }
    }
}

/// The members that every type has.
#[derive(Debug, Clone, Default)]
pub struct Heading {
    pub name: String,
    pub description: String,
    /// As typed: separated by blanks or commas.
    pub tags: String,
}

#[derive(Debug, Clone)]
pub struct PastedNotes {
    /// The note, and whether the person should look at the form because of it.
    pub notes: Vec<(String, bool)>,
}

/// A step that has not run.
#[derive(Debug, Clone, Copy)]
pub struct Waiting {
    pub id: &'static str,
    pub label: &'static str,
    /// Shown only once it is told: few tests have it.
    pub is_rare: bool,
}

impl Waiting {
    #[must_use]
    pub fn all() -> Vec<Self> {
        let waiting = |step: &StepName| Self { id: step.as_str(), label: step.label(), is_rare: *step == StepName::Hop };
        StepName::ALL_THROUGH.iter().map(waiting).collect()
    }
}

/// One field of the form.
#[derive(Debug, Template)]
#[template(path = "control.html")]
pub struct Control {
    pub path: String,
    /// The path as an HTML id.
    pub id: String,
    pub label: String,
    pub help: Option<String>,
    pub placeholder: String,
    pub error: Option<String>,
    pub span: u8,
    pub required: bool,
    pub endpoint: bool,
    pub input: Input,
}

impl askama::filters::HtmlSafe for Control {}

#[derive(Debug)]
pub enum Input {
    Line {
        value: String,
        max: usize,
        is_number: bool,
        unit: Option<String>,
        is_code: bool,
        /// What is proposed; anything else may be typed.
        of: Vec<String>,
    },
    Area {
        value: String,
        max: usize,
    },
    Select {
        options: Vec<Opt>,
        on_loopback: Option<String>,
        has_weak: bool,
    },
    /// A secret is never filled in: `kept` says where it comes from when nothing is typed.
    Secret {
        kept: Option<Kept>,
        is_area: bool,
        max: usize,
    },
    /// A field that this person may see but not set.
    Fixed {
        value: String,
    },
}

/// Where a secret comes from if it is not typed, and what is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    pub source: Source,
    pub chosen: Keep,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    Stored,
    Pasted,
    /// Stored, and kept although it will be sent elsewhere: for an admin, with his own password.
    Carried,
}

/// The three choices beside a secret that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Keep {
    #[default]
    Keep,
    Replace,
    Clear,
}

impl Kept {
    #[must_use]
    pub fn from(source: Source) -> Self {
        Self { source, chosen: Keep::Keep }
    }

    /// The first choice's value in the form, and its words.
    #[must_use]
    pub fn first(&self) -> (&'static str, &'static str) {
        match self.source {
            Source::Stored => ("keep", "Set"),
            Source::Pasted => ("pasted", "Pasted"),
            Source::Carried => ("carry", "Keep the stored secret"),
        }
    }
}

#[derive(Debug)]
pub struct Opt {
    pub value: String,
    pub label: String,
    pub weak: bool,
    pub on: bool,
}

/// What a form is filled with.
#[derive(Debug, Default)]
pub struct Values {
    /// Public values as text, by path. A path that is absent shows its default if `with_defaults`.
    pub public: BTreeMap<FieldPath, String>,
    pub kept: BTreeMap<FieldPath, Kept>,
    pub with_defaults: bool,
    pub is_admin: bool,
    /// Connections that others may go through, by name.
    pub hops: Vec<String>,
}

impl Values {
    /// An empty form, with the type's defaults.
    #[must_use]
    pub fn new(is_admin: bool) -> Self {
        Self { with_defaults: true, is_admin, ..Self::default() }
    }

    /// The values of a saved version; `set` are its secrets.
    #[must_use]
    pub fn stored(public: &PublicFields, set: &BTreeSet<FieldPath>, is_admin: bool) -> Self {
        Self {
            public: public.0.iter().map(|(path, value)| (path.clone(), value.to_string())).collect(),
            kept: set.iter().map(|path| (path.clone(), Kept::from(Source::Stored))).collect(),
            is_admin,
            ..Self::default()
        }
    }
}

impl Control {
    /// The ids of what describes the field, for `aria-describedby`.
    #[must_use]
    pub fn described_by(&self) -> String {
        let mut ids = Vec::new();
        if self.error.is_some() {
            ids.push(format!("{}-error", self.id));
        }
        if self.help.is_some() {
            ids.push(format!("{}-help", self.id));
        }
        if matches!(self.input, Input::Select { has_weak: true, .. }) {
            ids.push(format!("{}-weak", self.id));
        }
        ids.join(" ")
    }

    #[must_use]
    pub fn is_set(&self) -> bool {
        match &self.input {
            Input::Line { value, .. } | Input::Area { value, .. } | Input::Fixed { value } => !value.is_empty(),
            Input::Select { options, .. } => options.iter().any(|option| option.on && !option.value.is_empty()),
            Input::Secret { kept, .. } => kept.is_some(),
        }
    }
}

impl Form {
    fn all(&self) -> impl Iterator<Item = &Control> {
        self.main.iter().chain(&self.security).chain(&self.extra)
    }

    #[must_use]
    pub fn title(&self) -> String {
        match &self.purpose {
            Purpose::New => "New Connection".to_owned(),
            Purpose::Edit(edited) => format!("Edit {}", edited.name),
        }
    }

    /// The entity tag that the save must match; nothing for a new connection.
    #[must_use]
    pub fn etag(&self) -> Option<&str> {
        match &self.purpose {
            Purpose::New => None,
            Purpose::Edit(edited) => Some(&edited.etag),
        }
    }

    #[must_use]
    pub fn edited(&self) -> Option<&Edited> {
        match &self.purpose {
            Purpose::New => None,
            Purpose::Edit(edited) => Some(edited),
        }
    }

    /// The refusal of what is no field of the type: `name`, `description`, `tags`, `own_password`.
    #[must_use]
    pub fn error(&self, member: &str) -> Option<&str> {
        self.errors.iter().find(|error| error.field == member).map(|error| error.message.as_str())
    }

    /// Whether a stored secret may be kept with one's own password.
    #[must_use]
    pub fn carries(&self) -> bool {
        let is_carried =
            |control: &Control| matches!(control.input, Input::Secret { kept: Some(kept), .. } if kept.source == Source::Carried);
        self.all().any(is_carried)
    }

    /// Whether one's own password is asked for, whatever becomes of the stored secrets.
    #[must_use]
    pub fn looks_again(&self) -> bool {
        self.errors.iter().any(|error| error.field == "own_password" && error.code == Code::SecondLookRequired.as_str())
    }

    /// How many extra settings are set, in words.
    #[must_use]
    pub fn extra_set(&self) -> String {
        match self.extra.iter().filter(|control| control.is_set()).count() {
            0 => "none set".to_owned(),
            count => format!("{count} set"),
        }
    }

    /// Extra settings are folded away unless one is set or refused.
    #[must_use]
    pub fn extra_open(&self) -> bool {
        self.extra.iter().any(|control| control.error.is_some() || control.is_set())
    }

    /// The words beside “Security”.
    #[must_use]
    pub fn tls_words(&self) -> &'static str {
        let mode = self.security.iter().find(|control| control.path == "tls.mode").map(|control| &control.input);
        match mode {
            Some(Input::Select { options, .. }) if options.iter().any(|option| option.on && option.weak) => "TLS not verified",
            Some(_) => "TLS verified",
            None => "",
        }
    }

    /// What was refused, as it comes on the page.
    #[must_use]
    pub fn in_order(&self) -> Vec<&FieldError> {
        let paths = |controls: &'_ [Control]| controls.iter().map(|control| control.path.clone()).collect::<Vec<_>>();
        let fixed = |path: &str| vec![path.to_owned()];
        let order = [
            fixed("name"),
            fixed("description"),
            paths(&self.main),
            fixed("own_password"),
            paths(&self.security),
            paths(&self.extra),
            fixed("tags"),
        ]
        .concat();
        let mut errors: Vec<_> = self.errors.iter().collect();
        errors.sort_by_key(|error| order.iter().position(|path| *path == error.field).unwrap_or(order.len()));
        errors
    }

    /// An entry of the error summary: the label, and the id of the field where it has one.
    #[must_use]
    pub fn place(&self, error: &FieldError) -> (String, Option<String>) {
        match error.field.as_str() {
            "name" => ("Connection Name".to_owned(), Some("field-name".to_owned())),
            "description" => ("Description".to_owned(), Some("field-description".to_owned())),
            "own_password" => {
                let label = if self.shell.may.shows_at_provider { "Who you are" } else { "Your own password" };
                (label.to_owned(), Some("field-own-password".to_owned()))
            }
            "tags" => ("Tags".to_owned(), Some("field-tags".to_owned())),
            path => self
                .all()
                .find(|control| control.path == path)
                .map_or_else(|| (path.to_owned(), None), |control| (control.label.clone(), Some(control.id.clone()))),
        }
    }
}
