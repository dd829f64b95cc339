//! How a type's test was itself tested, and the sentence that says so.

use serde::Deserialize;

/// What a type's test was tried against, best first. Exactly one stands in a catalogue file: `tested.product = { name = "PostgreSQL",
/// versions = ["15"] }`. A file that extends another and has none is tested by what that one is, which stands in for its own server.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tested {
    /// A real server of that very product.
    Product(Server),
    /// A real server of another product, whose protocol it speaks.
    StandIn(Server),
    /// A fake of our own, which follows what is written of the protocol.
    Fake(Source),
    /// A workspace made the type, and a connector that was made for another one tests it.
    #[serde(skip)]
    Own(OwnTest),
}

/// How a workspace's own type is tested.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnTest {
    /// The label of the type that it is tested as.
    pub like: String,
    /// That one only reaches what answers.
    pub reaches_only: bool,
}

/// A server that the tests start.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    pub name: String,
    /// As far as they matter: `["15", "18"]`. The tests hold them against what the server says of itself.
    pub versions: Vec<String>,
}

/// What a fake follows.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// The recorded server or the part of the specification, so that it fits after “a fake that follows”.
    pub follows: String,
    /// Where that stands.
    pub source: String,
    /// The type is of whatever speaks this: there is no product of its name that it was not tested against.
    #[serde(default)]
    pub protocol: bool,
}

impl Server {
    /// `PostgreSQL 15 and 18`.
    fn words(&self) -> String {
        match self.versions.split_last() {
            None => self.name.clone(),
            Some((last, [])) => format!("{} {last}", self.name),
            Some((last, others)) => format!("{} {} and {last}", self.name, others.join(", ")),
        }
    }
}

impl Tested {
    /// The word for it in the API.
    #[must_use]
    pub fn by(&self) -> &'static str {
        match self {
            Self::Product(_) => "product",
            Self::StandIn(_) => "stand_in",
            Self::Fake(_) => "fake",
            Self::Own(_) => "own",
        }
    }

    /// One sentence about the type that is called `label`.
    #[must_use]
    pub fn sentence(&self, label: &str) -> String {
        match self {
            Self::Product(server) => format!("Tested against {}.", server.words()),
            Self::StandIn(server) => {
                format!("Tested against {}, whose protocol it speaks; not against {label} itself.", server.words())
            }
            Self::Fake(source) if source.protocol => format!("Tested against a fake that follows {}.", source.follows),
            Self::Fake(source) => format!("Tested against a fake that follows {}; not against {label} itself.", source.follows),
            Self::Own(OwnTest { reaches_only: true, .. }) => {
                "A type of this workspace’s own. A test reaches it and sets up TLS, and nothing \
                there looks at the password: it stays unproven."
                    .to_owned()
            }
            Self::Own(OwnTest { like, .. }) => format!(
                "A type of this workspace’s own. It is tested as if it were {like}: no test looks at whether it is one, nor at what its form \
                 has besides."
            ),
        }
    }

    /// A few words where there is little room; nothing where there is nothing to beware of.
    #[must_use]
    pub fn caveat(&self) -> Option<String> {
        match self {
            Self::Product(_) => None,
            Self::StandIn(server) => Some(format!("Tested against {}", server.name)),
            Self::Fake(_) => Some("Tested against a fake".to_owned()),
            Self::Own(OwnTest { reaches_only: true, .. }) => Some("Only reached".to_owned()),
            Self::Own(OwnTest { like, .. }) => Some(format!("Tested as {like}")),
        }
    }

    /// Where stands what a fake follows.
    #[must_use]
    pub fn source(&self) -> Option<&str> {
        match self {
            Self::Product(_) | Self::StandIn(_) | Self::Own(_) => None,
            Self::Fake(source) => Some(&source.source),
        }
    }
}
