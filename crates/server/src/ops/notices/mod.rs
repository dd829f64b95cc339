//! What people are told who do not look: that a connection became unhealthy or healthy again, and that its certificate or password ends soon.
//!
//! A channel says whom, through which connection of the same workspace, of which connections, and of what. What is to be told is written down in the
//! transaction in which it came to be (`store::note`), one row for each channel and connection: whatever happens before it is told changes that row,
//! and what is as it was is not told at all. One node takes all that a channel has to tell and sends it as one message. So a channel tells once of
//! each change; after a node died in the midst of it, perhaps twice.

pub mod channel;
pub mod ends;
pub mod send;
pub mod words;

use dataflow_model::Tag;

use crate::{
    app::App,
    clock::SECOND,
    error::Result,
    store::{self, ChannelRow, ConnectionRow, HealthChangeRow, NoticeRow, Write},
};

/// How long a channel that has something to tell waits for what else there may be: what breaks at once is told at once.
const GATHERED_WITHIN: i64 = 20 * SECOND;

pub const RESTS_SINCE_A_RESTORE: &str = "This store was restored from a backup, and may be a copy of one at work. Nobody is told anything until this channel is saved again.";

/// What a channel tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tells {
    All,
    /// How connections stand.
    Health,
    /// What ends.
    Ends,
}

impl Tells {
    pub const EACH: [Self; 3] = [Self::All, Self::Health, Self::Ends];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Health => "health",
            Self::Ends => "ends",
        }
    }

    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::EACH.into_iter().find(|tells| tells.as_str() == word)
    }
}

/// What a notice is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum About {
    Health,
    Certificate,
    Password,
}

impl About {
    const EACH: [Self; 3] = [Self::Health, Self::Certificate, Self::Password];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Health => "health",
            Self::Certificate => "certificate",
            Self::Password => "password",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        Self::EACH.into_iter().find(|about| about.as_str() == word)
    }

    /// Whether who tells of `tells` tells of it.
    fn is_told_by(self, tells: Tells) -> bool {
        match tells {
            Tells::All => true,
            Tells::Health => self == Self::Health,
            Tells::Ends => self != Self::Health,
        }
    }
}

/// Whether a channel tells `about` of this connection.
fn is_for(row: &ChannelRow, connection: &ConnectionRow, about: About) -> bool {
    let tags: Vec<Tag> = serde_json::from_str(&connection.tags).unwrap_or_default();
    let has_tag = row.tag.as_ref().is_none_or(|wanted| tags.iter().any(|tag| tag.key() == *wanted));
    has_tag && Tells::parse(&row.tells).is_some_and(|tells| about.is_told_by(tells))
}

/// Has the channels of a workspace tell that a connection stands otherwise than before, in the transaction in which it does. That one stands well of
/// which nothing was known is no news.
pub(in crate::ops) async fn tell_change(
    app: &App,
    write: &mut Write,
    connection: &ConnectionRow,
    (before, change): (&str, &HealthChangeRow),
) -> Result<()> {
    if (before, change.state.as_str()) == ("unknown", "healthy") {
        // What was to be told of before it was not known is no longer so.
        return Ok(store::forget_failure(write, &connection.id).await?);
    }
    let notice = NoticeRow {
        channel_id: String::new(),
        connection_id: connection.id.clone(),
        about: About::Health.as_str().to_owned(),
        was: if before == "unknown" { "healthy".to_owned() } else { before.to_owned() },
        state: change.state.clone(),
        at: change.at,
        cause: change.cause.clone(),
        message: change.message.clone(),
        ends_at: None,
        taken_at: None,
        taken_state: None,
    };
    tell(app, write, connection, About::Health, notice).await
}

async fn tell(app: &App, write: &mut Write, connection: &ConnectionRow, about: About, notice: NoticeRow) -> Result<()> {
    let gathered_at = app.clock.now().saturating_add(GATHERED_WITHIN);
    for row in store::channels(write, &connection.workspace_id, "", channel::CHANNELS_MAX).await? {
        if is_for(&row, connection, about) {
            let notice = NoticeRow { channel_id: row.id, ..notice.clone() };
            store::note(write, &notice, gathered_at).await?;
        }
    }
    Ok(())
}
