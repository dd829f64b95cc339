//! Pages that stand outside the shell: signing in, setting up, the recovery key, and what could not be done.

use askama::Template;

use crate::{
    clock::SECOND,
    ops::{
        people::{EMAIL_MAX, PASSWORD_MAX, PASSWORD_MIN},
        second_look::CONFIRMED_FOR,
    },
};

const CONFIRMED_MINUTES: i64 = CONFIRMED_FOR / (60 * SECOND);

#[derive(Debug, Default, Template)]
#[template(path = "sign_in.html")]
pub struct SignIn {
    pub email: String,
    /// Where to go once signed in: a path of this server.
    pub next: String,
    pub error: Option<String>,
    /// With whom else one can sign in.
    pub provider: Option<String>,
}

impl SignIn {
    /// The query that leads there too.
    fn query(&self) -> String {
        url::form_urlencoded::Serializer::new(String::new()).append_pair("next", &self.next).finish()
    }
}

/// Sends the browser on by itself. One that came back from another site by a redirect brings no cookie that is for this site alone; from
/// a page of this server it does. And no form may lead to another site, while this may.
#[derive(Debug, Template)]
#[template(path = "onward.html")]
pub struct Onward {
    pub to: String,
}

/// Asks whether it is still the person himself, before what he asked for is done.
#[derive(Debug, Template)]
#[template(path = "second_look.html")]
pub struct SecondLook {
    pub email: String,
    /// Where the form is sent again.
    pub to: String,
    /// Where Cancel leads.
    pub back: String,
    /// Names and values of the form that asked; no secret.
    pub kept: Vec<(String, String)>,
    /// Or else he shows at the sign-in provider that it is he.
    pub has_password: bool,
    pub error: Option<String>,
}

/// In a tab of its own, beside the one that asked.
#[derive(Debug, Template)]
#[template(path = "confirmed.html")]
pub struct Confirmed;

#[derive(Default, Template)]
#[template(path = "set_up.html")]
pub struct SetUp {
    /// The one-time link's secret, carried through the form.
    pub code: String,
    pub email: String,
    pub email_error: Option<String>,
    pub password_error: Option<String>,
}

/// Shown once, in the answer to the set-up form.
#[derive(Template)]
#[template(path = "recovery.html")]
pub struct Recovery {
    pub recovery_key: String,
}

#[derive(Debug, Template)]
#[template(path = "error.html")]
pub struct Failure {
    pub status: u16,
    pub title: String,
    pub text: String,
    pub hint: String,
}

/// Where a one-time link of a person leads. Opening it uses nothing up: programs that preview links open them too.
#[derive(Template)]
#[template(path = "link.html")]
pub struct Link {
    pub code: String,
    pub chooses_password: bool,
    pub password_error: Option<String>,
}
