//! What channels have to tell, told: one message of a channel at a time, by one node, through the guarded dialer and in a process of its own, as a
//! test is.

use std::sync::Arc;

use dataflow_connectors::{Addressing, Message};
use dataflow_model::TestReport;
use tokio::{sync::mpsc::channel as steps, task::JoinSet};

use super::{
    channel::{self, Channel, addressing, sender},
    words,
};
use crate::{
    app::{App, Workspace},
    clock::{DAY, SECOND},
    error::{Error, Result},
    ops::{
        access::{Action, Caller, authorise},
        checks,
        credentials::servable,
        rotations::stand_in,
        rows::Sealed as _,
        settings,
    },
    store::{self, ChannelRow},
};

/// Channels that a node serves at a time.
const AT_ONCE: usize = 4;
/// For how long nobody else tells what a node has taken: longer than telling it may take.
const LEASE: i64 = 60 * SECOND;
/// Shortest and longest pause between two messages of a channel: the longer, the more of them have followed each other within the longest.
const SHORTEST_REST: i64 = 60 * SECOND;
const LONGEST_REST: i64 = 900 * SECOND;
/// Shortest and longest pause after a try in vain.
const SHORTEST_PAUSE: i64 = 30 * SECOND;
const LONGEST_PAUSE: i64 = 1_800 * SECOND;
/// What could not be told for so long is not told any more.
const GIVEN_UP_AFTER: i64 = DAY;
const NOT_ITS_OWN: &str = "It was changed outside of this program. Set it again.";

/// What a node is telling.
#[derive(Default)]
pub struct Flight(JoinSet<()>);

impl Flight {
    /// Waits until a message is handed over or has failed; for ever if none is under way.
    pub async fn one_ended(&mut self) {
        match self.0.join_next().await {
            None => std::future::pending().await,
            Some(Err(error)) => tracing::error!(error.cause = error.to_string(), "telling people broke off"),
            Some(Ok(())) => {}
        }
    }
}

/// Begins to tell what is due, as far as there is room.
pub async fn begin_due(app: &Arc<App>, flight: &mut Flight) -> Result<()> {
    let room = AT_ONCE.saturating_sub(flight.0.len());
    if room == 0 || !app.tests.is_enabled() {
        return Ok(());
    }
    let now = app.clock.now();
    let due = store::channels_due(&mut app.store.read().await?, now, i64::try_from(room).unwrap_or(1)).await?;
    for row in due {
        let mut write = app.store.write().await?;
        let is_ours = store::take_notices(&mut write, &row, now, now.saturating_add(LEASE)).await?;
        write.commit_quietly().await?;
        if is_ours {
            let app = app.clone();
            flight.0.spawn(async move { serve(&app, row, now).await });
        }
    }
    Ok(())
}

/// Tells all that was taken at `taken_at`, and writes how that went.
async fn serve(app: &Arc<App>, row: ChannelRow, taken_at: i64) {
    let told = Box::pin(tell(app, &row, taken_at)).await;
    if let Err(error) = &told {
        tracing::warn!(channel.name = row.name, error.code = error.describe().1.as_str(), "a channel told nothing");
    }
    let problem = match told {
        Ok(None) => None,
        Ok(Some(problem)) => Some(problem),
        Err(error) => Some(why(&error)),
    };
    if let Err(error) = went(app, row, taken_at, problem).await {
        let cause = error.cause().map(|cause| format!("{cause:#}")).unwrap_or_default();
        tracing::error!(error.code = error.describe().1.as_str(), error.cause = cause, "how a channel told could not be kept");
    }
}

/// A refusal in a sentence.
fn why(error: &Error) -> String {
    match error {
        Error::Invalid(errors) => {
            errors.iter().map(|error| format!("{} {}.", error.field, error.message)).collect::<Vec<_>>().join(" ")
        }
        Error::NotFound(_) | Error::Deleted(_) => "The connection through which it tells is gone.".to_owned(),
        other => other.describe().2,
    }
}

/// Gives what went wrong; nothing if all was told, or if there was nothing to tell after all.
async fn tell(app: &Arc<App>, row: &ChannelRow, taken_at: i64) -> Result<Option<String>> {
    let Ok(row) = row.clone().checked(&app.vault) else { return Ok(Some(NOT_ITS_OWN.to_owned())) };
    let mut read = app.store.read().await?;
    let limit = i64::try_from(words::TOLD_ONE_BY_ONE).unwrap_or(i64::MAX);
    let (notices, count) = store::taken(&mut read, &row.id, taken_at, limit).await?;
    let workspace = store::workspace(&mut read, &row.workspace_id).await?.ok_or(Error::NotFound("workspace"))?;
    drop(read);
    if notices.is_empty() {
        return Ok(None);
    }
    let workspace = app.workspace(&workspace.name).await?.ok_or(Error::NotFound("workspace"))?;
    let count = usize::try_from(count).unwrap_or(notices.len());
    let message = words::message(app, &workspace.name, (&notices, count), app.clock.now());
    let (label, identity) = (format!("channel {} (set by {})", row.name, row.set_by), format!("channel {}", row.set_by_id));
    let caller = stand_in((&label, &identity), &workspace);
    let report = hand_over(app, &caller, &workspace, (&Channel::of(&row), message)).await?;
    Ok(report.error.map(|error| error.message))
}

/// Hands a message over through the connection of a channel.
async fn hand_over(
    app: &App,
    caller: &Caller,
    workspace: &Arc<Workspace>,
    (channel, message): (&Channel, Message),
) -> Result<TestReport> {
    let connection = servable(app, workspace, &channel.connection).await?;
    let to = channel.addresses.clone();
    let from = match addressing(&connection)? {
        Addressing::Mail => sender(&connection).ok_or_else(|| Error::Invalid(vec![channel::no_sender()]))?.to_owned(),
        Addressing::Chat | Addressing::Fixed => String::new(),
    };
    let fields = (connection.public.clone(), connection.open_secrets()?);
    // Each channel has places of its own beside those of tests.
    let lane = format!("messages of {}", workspace.id);
    let placed = app.tests.plan((&lane, workspace.id), connection.connector(), &app.clock, fields).await?;
    let planned = placed.within(settings::in_force(app).await?).with_message(Message { to, from, ..message });
    checks::audit_message(app, caller, workspace, (&connection.name, connection.version)).await?;
    // The report has every step.
    let (told, _) = steps(1);
    Ok(planned.run(told).await)
}

/// Writes how it went, and when the next message may go out.
async fn went(app: &App, row: ChannelRow, taken_at: i64, problem: Option<String>) -> Result<()> {
    let now = app.clock.now();
    let mut write = app.store.write().await?;
    let (next_at, in_a_row, tries, told_at) = if problem.is_none() {
        store::drop_told(&mut write, &row.id, taken_at).await?;
        let in_a_row = in_a_row(&row, now);
        (now.saturating_add(rest(in_a_row)), in_a_row, 0, Some(now))
    } else {
        let given_up = store::give_back(&mut write, &row.id, taken_at, now.saturating_sub(GIVEN_UP_AFTER)).await?;
        if given_up > 0 {
            tracing::error!(
                channel.name = row.name,
                notices.count = given_up,
                "what a channel could not tell for a day is not told"
            );
        }
        let tries = row.tries.saturating_add(1);
        (now.saturating_add(pause(tries)), row.in_a_row, tries, row.told_at)
    };
    store::channel_went(&mut write, &ChannelRow { next_at, in_a_row, tries, told_at, problem, ..row }).await?;
    Ok(write.commit_quietly().await?)
}

/// How many messages have followed each other closely, with the one that goes out now.
fn in_a_row(row: &ChannelRow, now: i64) -> i64 {
    let is_close = row.told_at.is_some_and(|at| now.saturating_sub(at) < LONGEST_REST + SHORTEST_REST);
    if is_close { row.in_a_row.saturating_add(1) } else { 1 }
}

fn doubled(shortest: i64, times: i64, longest: i64) -> i64 {
    let times = u32::try_from(times.clamp(0, 20)).unwrap_or_default();
    shortest.saturating_mul(1_i64 << times).min(longest)
}

fn rest(in_a_row: i64) -> i64 {
    doubled(SHORTEST_REST, in_a_row.saturating_sub(1), LONGEST_REST)
}

fn pause(tries: i64) -> i64 {
    doubled(SHORTEST_PAUSE, tries.saturating_sub(1), LONGEST_PAUSE)
}

/// Sends a message through a channel, to see whether it gets there; what came of each step.
pub async fn try_out(app: &App, caller: &Caller, workspace: &str, name: &str) -> Result<TestReport> {
    let workspace = authorise(app, caller, workspace, Action::SeeChannels).await?;
    let row = channel::found(&mut app.store.read().await?, &workspace, name).await?.checked(&app.vault)?;
    let channel = Channel::of(&row);
    servable(app, &workspace, &channel.connection).await?.admit(caller, &workspace, &channel.connection)?;
    app.throttle.take(crate::throttle::Kind::Tests, &*caller.identity(), app.clock.now())?;
    let message = words::trial(app, &workspace.name, (&row.name, &caller.label()));
    hand_over(app, caller, &workspace, (&channel, message)).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_that_follow_each_other_come_ever_less_often() {
        let rests: Vec<_> = (1..=6).map(|in_a_row| rest(in_a_row) / SECOND).collect();
        assert_eq!(rests, [60, 120, 240, 480, 900, 900]);
        let pauses: Vec<_> = (1..=8).map(|tries| pause(tries) / SECOND).collect();
        assert_eq!(pauses, [30, 60, 120, 240, 480, 960, 1_800, 1_800]);
        assert_eq!(rest(i64::MAX), LONGEST_REST);
    }
}
