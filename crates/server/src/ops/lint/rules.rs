//! The rules, each in one function: what it is about, how bad that is, why, and what mends it. A rule that cannot be sure says nothing.

use dataflow_model::{
    ConnectionType, Field, Learned, PublicFields, Tag,
    settle::{is_loopback, stays_here},
};

use crate::{
    clock::{DAY, parse_rfc3339, rfc3339},
    ops::checks::ENDS_SOON_DAYS,
};

/// After so many days without a use a connection counts as unused.
pub const UNUSED_DAYS: i64 = 90;
/// Names that one finding tells.
const NAMED: usize = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    Note,
    Warning,
    Error,
}

impl Severity {
    pub const ALL: [Self; 3] = [Self::Error, Self::Warning, Self::Note];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }

    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|severity| severity.as_str() == word)
    }
}

/// In the order of their ids, which is that of lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    CertificateEnds,
    NeverTested,
    PasswordEnds,
    ProductionHostInDev,
    SharedPassword,
    SuperuserLogin,
    TlsUnverified,
    Unused90Days,
    WeakSignIn,
}

impl Rule {
    pub const ALL: [Self; 9] = [
        Self::CertificateEnds,
        Self::NeverTested,
        Self::PasswordEnds,
        Self::ProductionHostInDev,
        Self::SharedPassword,
        Self::SuperuserLogin,
        Self::TlsUnverified,
        Self::Unused90Days,
        Self::WeakSignIn,
    ];

    /// Its id, which is also the anchor of its part of `docs/lint.md`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CertificateEnds => "certificate-ends",
            Self::NeverTested => "never-tested",
            Self::PasswordEnds => "password-ends",
            Self::ProductionHostInDev => "production-host-in-dev",
            Self::SharedPassword => "shared-password",
            Self::SuperuserLogin => "superuser-login",
            Self::TlsUnverified => "tls-unverified",
            Self::Unused90Days => "unused-90-days",
            Self::WeakSignIn => "weak-sign-in",
        }
    }

    #[must_use]
    pub fn parse(id: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|rule| rule.as_str() == id)
    }

    /// What it finds, in a few words.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::CertificateEnds => "Certificate ends",
            Self::NeverTested => "Never tested",
            Self::PasswordEnds => "Password ends",
            Self::ProductionHostInDev => "Host of production",
            Self::SharedPassword => "Shared password",
            Self::SuperuserLogin => "Superuser login",
            Self::TlsUnverified => "TLS not verified",
            Self::Unused90Days => "Not used for 90 days",
            Self::WeakSignIn => "Weaker sign-in",
        }
    }
}

/// What a rule found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub rule: Rule,
    pub severity: Severity,
    pub reason: String,
    pub fix: String,
}

/// Which other connections, that the reader may use, have the same password for another login.
#[derive(Debug, Default, Clone)]
pub struct Sharing {
    /// By name.
    pub names: Vec<String>,
    /// There may be more than were looked at.
    pub is_cut: bool,
}

/// When a program used a connection last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Used {
    /// Not each use of the last [`UNUSED_DAYS`] is known.
    NotKnown,
    Never,
    /// For so many days, which is as long as uses are kept.
    NotWithin(i64),
    Last(i64),
}

/// What the rules are held against.
#[derive(Debug)]
pub struct Facts<'f> {
    pub now: i64,
    pub name: &'f str,
    pub workspace: &'f str,
    /// Nothing where this build has no such type.
    pub kind: Option<&'f ConnectionType>,
    pub tags: &'f [Tag],
    pub public: &'f PublicFields,
    pub has_secret: bool,
    pub created_at: i64,
    /// Whether a test of what serves has run.
    pub is_tested: bool,
    pub are_tests_on: bool,
    /// What the last test of what serves learned that did not fail, and when it was.
    pub learned: Option<(&'f Learned, i64)>,
    pub used: Used,
    pub sharing: &'f Sharing,
}

type Check = fn(&Facts<'_>) -> Option<Found>;

const CHECKS: [Check; 9] = [
    certificate_ends,
    never_tested,
    password_ends,
    production_host_in_dev,
    shared_password,
    superuser_login,
    tls_unverified,
    unused_90_days,
    weak_sign_in,
];

/// All that the rules find, in their order.
#[must_use]
pub fn find(facts: &Facts<'_>) -> Vec<Found> {
    CHECKS.iter().filter_map(|check| check(facts)).collect()
}

impl Facts<'_> {
    /// Nobody stands on the way to this machine.
    fn stays_here(&self) -> bool {
        stays_here(self.public)
    }

    /// The setting by which TLS does not verify, with what was chosen.
    fn weak_tls(&self) -> Option<&str> {
        let mut weak = self.kind.into_iter().flat_map(|kind| kind.weakened(self.public));
        weak.find(|(field, _)| field.path.as_str().starts_with("tls.")).map(|(_, choice)| choice.label.as_str())
    }

    /// A field with an address to which the secret goes in the clear.
    fn clear_address(&self) -> Option<&Field> {
        let is_clear = |field: &&Field| {
            let is_address = ["url", "endpoint"].iter().any(|word| field.path.as_str().ends_with(word));
            let text = self.public.text(field.path.as_str()).and_then(|text| text.strip_prefix("http://"));
            let host = text.and_then(|text| text.split(['/', '?', '#']).next()).map(without_port);
            is_address && host.is_some_and(|host| !is_loopback(host))
        };
        self.kind.into_iter().flat_map(|kind| &kind.fields).find(is_clear)
    }
}

fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    }
}

fn day(at: i64) -> String {
    rfc3339(at).chars().take(10).collect()
}

fn tls_unverified(facts: &Facts<'_>) -> Option<Found> {
    if facts.stays_here() {
        return None;
    }
    let (reason, fix) = match (facts.weak_tls(), facts.clear_address()) {
        (Some(chosen), _) => (
            format!("TLS is set to “{chosen}”: somebody on the way can pose as the server, and read and change what is sent."),
            "Edit it, and have TLS verify the server; give the server's CA if it is not a public one.",
        ),
        (None, Some(field)) if facts.has_secret => (
            format!("“{}” begins with http://: what is sent there, secrets with it, can be read on the way.", field.label),
            "Edit it, and give the https:// address.",
        ),
        _ => return None,
    };
    Some(Found { rule: Rule::TlsUnverified, severity: Severity::Error, reason, fix: fix.to_owned() })
}

/// With verified TLS nobody hears in which form the password is asked for.
fn weak_sign_in(facts: &Facts<'_>) -> Option<Found> {
    // Who has no TLS knows a server by its host key.
    let has_tls = facts.kind?.field("tls.mode").is_some();
    let has_host_key = facts.public.text("extra.host_key").is_some_and(|key| !key.is_empty());
    let is_verified = if has_tls { facts.weak_tls().is_none() } else { has_host_key };
    if facts.stays_here() || is_verified {
        return None;
    }
    let nobody = if has_tls { "TLS verifies nobody" } else { "no host key is set" };
    let mut weak = facts.kind?.weakened(facts.public);
    let (field, choice) = weak.find(|(field, _)| !field.path.as_str().starts_with("tls."))?;
    Some(Found {
        rule: Rule::WeakSignIn,
        severity: Severity::Error,
        reason: format!(
            "“{}” is “{}”, and {nobody}: somebody on the way can ask for the password in a form that he can use.",
            field.label, choice.label
        ),
        fix: "Have TLS verify the server; or let the server take the password by SCRAM, and clear that field.".to_owned(),
    })
}

fn superuser_login(facts: &Facts<'_>) -> Option<Found> {
    let (learned, at) = facts.learned?;
    (learned.is_superuser == Some(true)).then(|| Found {
        rule: Rule::SuperuserLogin,
        severity: Severity::Warning,
        reason: format!("Its login is a superuser, as the test of {} found: whatever uses it may read, change and drop anything.", day(at)),
        fix: "Make a login that may do what its programs need and no more, and save that one here. If it was made less meanwhile, test the \
              connection."
            .to_owned(),
    })
}

fn shared_password(facts: &Facts<'_>) -> Option<Found> {
    let Sharing { names, is_cut } = facts.sharing;
    let more = names.len().saturating_sub(NAMED);
    let quoted: Vec<_> = names.iter().take(NAMED).map(|name| format!("“{name}”")).collect();
    let told = match (quoted.as_slice(), more, is_cut) {
        ([], ..) => return None,
        (quoted, 0, true) => format!("{}, and perhaps of more", quoted.join(", ")),
        (quoted, more, true) => format!("{} and at least {more} more", quoted.join(", ")),
        ([one], 0, _) => one.clone(),
        ([first @ .., last], 0, _) => format!("{} and {last}", first.join(", ")),
        (quoted, more, _) => format!("{} and {more} more", quoted.join(", ")),
    };
    Some(Found {
        rule: Rule::SharedPassword,
        severity: Severity::Warning,
        reason: format!("It has the same password as {told}, for another login: whoever learns one has all of them."),
        fix: "Give each login a password of its own; “Rotate password” makes one, where the type has it.".to_owned(),
    })
}

fn unused_90_days(facts: &Facts<'_>) -> Option<Found> {
    let before = facts.now.saturating_sub(UNUSED_DAYS.saturating_mul(DAY));
    let reason = match facts.used {
        _ if facts.created_at >= before => return None,
        Used::NotKnown => return None,
        Used::Last(at) if at >= before => return None,
        Used::Last(at) => format!("No program has asked for it since {}.", day(at)),
        Used::NotWithin(days) => format!("No program has asked for it for {days} days at least."),
        Used::Never => format!("No program has asked for it since it was created on {}.", day(facts.created_at)),
    };
    let fix = "If nobody needs it any more, delete it; for a while it can be brought back.".to_owned();
    Some(Found { rule: Rule::Unused90Days, severity: Severity::Note, reason, fix })
}

fn never_tested(facts: &Facts<'_>) -> Option<Found> {
    (facts.are_tests_on && !facts.is_tested).then(|| Found {
        rule: Rule::NeverTested,
        severity: Severity::Warning,
        reason: "This server has not tested it as it is now.".to_owned(),
        fix: format!("Test it: “Test Connection” on its page, or “dataflow connections test {}”.", facts.name),
    })
}

fn certificate_ends(facts: &Facts<'_>) -> Option<Found> {
    let (learned, tested) = facts.learned?;
    let ends = (learned.certificate_ends_at.as_deref(), "The server's certificate");
    let fix = "Renew the certificate on the server. If that is done, test the connection.";
    ends_soon(facts.now, Rule::CertificateEnds, (ends, tested), fix)
}

fn password_ends(facts: &Facts<'_>) -> Option<Found> {
    let (learned, tested) = facts.learned?;
    let ends = (learned.password_ends_at.as_deref(), "The login's password");
    let fix =
        "Give the login a new password, here with “Rotate password” where the type has it. If that is done, test the connection.";
    ends_soon(facts.now, Rule::PasswordEnds, (ends, tested), fix)
}

fn ends_soon(now: i64, rule: Rule, ((ends, what), tested): ((Option<&str>, &str), i64), fix: &str) -> Option<Found> {
    let at = parse_rfc3339(ends?)?;
    let (severity, when) = match at.saturating_sub(now).div_euclid(DAY) {
        ..0 => (Severity::Error, format!("ended on {}", day(at))),
        0 => (Severity::Warning, "ends within a day".to_owned()),
        1 => (Severity::Warning, format!("ends in 1 day, on {}", day(at))),
        days @ 2..ENDS_SOON_DAYS => (Severity::Warning, format!("ends in {days} days, on {}", day(at))),
        _ => return None,
    };
    Some(Found { rule, severity, reason: format!("{what} {when}, as the test of {} saw it.", day(tested)), fix: fix.to_owned() })
}

const PRODUCTION: [&str; 4] = ["prod", "production", "prd", "live"];
const DEVELOPMENT: [&str; 10] = ["dev", "devel", "development", "test", "testing", "tst", "stage", "staging", "stg", "sandbox"];
const NOT: [&str; 4] = ["non", "not", "no", "pre"];

/// `db-prod-01.example.org` in the workspace `dev`, or with the tag `staging`.
fn production_host_in_dev(facts: &Facts<'_>) -> Option<Found> {
    let host = facts.public.text("host")?;
    let place = if has_word(facts.workspace, &DEVELOPMENT) {
        format!("the workspace “{}”", facts.workspace)
    } else {
        let tag = facts.tags.iter().find(|tag| has_word(tag.as_str(), &DEVELOPMENT))?;
        format!("what has the tag “{tag}”")
    };
    is_of_production(host).then(|| Found {
        rule: Rule::ProductionHostInDev,
        severity: Severity::Warning,
        reason: format!("The host “{host}” looks like one of production, in {place}: a try may change what is real."),
        fix: "Point it to a database of that stage; or, if the name misleads, silence this with the reason.".to_owned(),
    })
}

fn words(text: &str) -> impl Iterator<Item = String> {
    let lower = text.to_ascii_lowercase();
    let words: Vec<_> =
        lower.split(|c: char| !c.is_ascii_alphanumeric()).map(bare).filter(|word| !word.is_empty()).map(str::to_owned).collect();
    words.into_iter()
}

/// Without a number: `prod01` is one of production.
fn bare(word: &str) -> &str {
    word.trim_end_matches(|c: char| c.is_ascii_digit())
}

fn has_word(text: &str, among: &[&str]) -> bool {
    let all: Vec<_> = words(text).collect();
    let is_denied = |at: usize| at.checked_sub(1).and_then(|at| all.get(at)).is_some_and(|word| NOT.contains(&word.as_str()));
    all.iter().enumerate().any(|(at, word)| among.contains(&word.as_str()) && !is_denied(at))
}

/// Whether a whole word of it says so, and none says the contrary. A domain that is itself called so (`live.com`) says nothing.
fn is_of_production(host: &str) -> bool {
    let labels: Vec<_> = host.trim_end_matches('.').split('.').collect();
    let own = match labels.as_slice() {
        [own @ .., domain, _] if domain.eq_ignore_ascii_case("live") => own.join("."),
        _ => host.to_owned(),
    };
    has_word(&own, &PRODUCTION) && !has_word(host, &DEVELOPMENT)
}

#[cfg(test)]
mod tests;
