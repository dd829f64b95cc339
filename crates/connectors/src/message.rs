//! Messages to people, handed over by what a connection leads to: a mail server, a webhook, Slack.

use dataflow_model::TestError;
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};

use crate::{Dialer, Outcome, Steps, Target, connector::Farewell};

/// Longest address of a message, in characters.
pub const ADDRESS_MAX: usize = 254;

/// Where a connection says whose mail goes through it.
pub const SENDER: &str = "extra.from_email";

/// How those are named whom a message is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Addressing {
    /// By addresses of mail.
    Mail,
    /// By a channel or a member of a chat.
    Chat,
    /// Not at all: the connection leads to one place.
    Fixed,
}

/// What is told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// The same when it is handed over once more.
    pub id: String,
    /// When it was written, in seconds since 1970.
    pub at: i64,
    pub to: Vec<String>,
    /// Whose mail it is.
    pub from: String,
    pub subject: String,
    /// What people read, without any mark-up.
    pub text: String,
    /// The same for programs.
    pub events: serde_json::Value,
}

impl Addressing {
    /// Whether `text` names somebody in this way. It stands alone in a line of SMTP, and in a header.
    #[must_use]
    pub fn takes(self, text: &str) -> bool {
        let is_plain = text.len() <= ADDRESS_MAX && text.bytes().all(|byte| byte.is_ascii_graphic());
        match self {
            Self::Fixed => false,
            Self::Chat => is_plain && !text.is_empty() && !text.contains(['<', '>', '&', '"']),
            Self::Mail => {
                let parts = text.rsplit_once('@').filter(|(local, domain)| !local.is_empty() && !domain.is_empty());
                is_plain && parts.is_some() && !text.contains(['<', '>', '(', ')', ',', ';', ':', '"', '\\', '[', ']'])
            }
        }
    }
}

/// Hands messages over.
pub trait Messenger: Sync {
    fn addressing(&self) -> Addressing;

    /// Signs in as the connection does and hands the message over, telling `steps` of each of
    /// [`dataflow_model::StepName::DELIVERY`]. An error in any of them but the last says that nobody was told.
    ///
    /// # Errors
    /// As [`crate::Connector::test`].
    fn send<'a, 't: 'a>(
        &'a self,
        target: &'t Target,
        message: &'t Message,
        dialer: &'a Dialer,
        steps: &'a mut Steps,
    ) -> BoxFuture<'a, Result<(Outcome, Farewell<'t>), TestError>>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_one_and_nothing_besides() {
        let long = format!("{}@example.org", "a".repeat(ADDRESS_MAX));
        for (addressing, text, is_one) in [
            (Addressing::Mail, "ada@example.org", true),
            (Addressing::Mail, "ada+data@example.org", true),
            (Addressing::Mail, "example.org", false),
            (Addressing::Mail, "@example.org", false),
            (Addressing::Mail, "ada@", false),
            (Addressing::Mail, "ada@example.org\r\nRCPT TO:<eve@example.org>", false),
            (Addressing::Mail, "ada@example.org,eve@example.org", false),
            (Addressing::Mail, "<ada@example.org>", false),
            (Addressing::Mail, "ada@exämple.org", false),
            (Addressing::Mail, &long, false),
            (Addressing::Chat, "#alerts", true),
            (Addressing::Chat, "C024BE91L", true),
            (Addressing::Chat, "<!channel>", false),
            (Addressing::Chat, "two words", false),
            (Addressing::Chat, "", false),
            (Addressing::Fixed, "anybody", false),
        ] {
            assert_eq!(addressing.takes(text), is_one, "{addressing:?} {text:?}");
        }
    }
}
