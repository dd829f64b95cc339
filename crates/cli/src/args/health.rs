//! `dataflow health`

use clap::{ArgGroup, Args, Subcommand};

use super::Server;

#[derive(Debug, Args)]
pub struct Health {
    #[command(flatten)]
    pub server: Server,
    #[command(subcommand)]
    pub command: HealthCommand,
}

#[derive(Debug, Subcommand)]
pub enum HealthCommand {
    /// How the connections stand that are tested by themselves
    List {
        /// Only those that are healthy, unhealthy or unknown
        #[arg(long)]
        state: Option<String>,
    },
    /// The schedules that are for more than one connection
    Schedules,
    /// Show how often connections are tested by themselves, or change that
    Schedule(Schedule),
    /// Certificates and passwords that end within 30 days, or have ended
    Ends,
    /// Whom this workspace tells what becomes of its connections
    Channels,
    /// Show a channel, make, change, try or remove one
    Channel(Channel),
}

#[derive(Debug, Args)]
pub struct Channel {
    /// Its name
    pub name: String,
    /// The connection through which it tells: of a mail server, a webhook, or Slack
    #[arg(long, value_name = "CONNECTION")]
    pub through: Option<String>,
    /// An address of e-mail, or the channel of Slack; may be given more than once
    #[arg(long, value_name = "ADDRESS")]
    pub to: Vec<String>,
    /// Of connections with this tag alone
    #[arg(long, value_name = "TAG")]
    pub tag: Option<String>,
    /// Of all connections again
    #[arg(long, conflicts_with = "tag")]
    pub no_tag: bool,
    /// Of what: all, health or ends
    #[arg(long, value_name = "WHAT")]
    pub tells: Option<String>,
    /// Send a message through it, to see whether it gets there
    #[arg(long = "try", conflicts_with_all = ["through", "to", "tag", "no_tag", "tells"])]
    pub try_out: bool,
    /// Tell nobody through it any more
    #[arg(long, conflicts_with_all = ["through", "to", "tag", "no_tag", "tells", "try_out"])]
    pub remove: bool,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("scope").required(true).args(["all", "tag", "name"]))]
pub struct Schedule {
    /// Of this connection alone
    pub name: Option<String>,
    /// Of all connections of the workspace
    #[arg(long)]
    pub all: bool,
    /// Of those with this tag
    #[arg(long, value_name = "TAG")]
    pub tag: Option<String>,
    /// How long it is from one test to the next: 30s, 5m, 1h, 1d
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    pub every: Option<i64>,
    /// How much longer or shorter that is by chance, in percent
    #[arg(long, value_name = "PERCENT", allow_negative_numbers = true)]
    pub jitter: Option<i64>,
    /// How many failures in a row make a connection unhealthy
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    pub unhealthy_after: Option<i64>,
    /// How many successes in a row make it healthy again
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    pub healthy_after: Option<i64>,
    /// When nothing is tested, in UTC: 22:00-06:00
    #[arg(long, value_name = "FROM-TO", value_parser = hours)]
    pub quiet: Option<(String, String)>,
    /// Test around the clock
    #[arg(long, conflicts_with = "quiet")]
    pub no_quiet: bool,
    /// Take the schedule away
    #[arg(long, conflicts_with_all = ["every", "jitter", "unhealthy_after", "healthy_after", "quiet", "no_quiet"])]
    pub remove: bool,
}

/// Seconds of `90s`, `5m`, `1h` or `1d`.
fn seconds(text: &str) -> Result<i64, String> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let length = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err("a number with s, m, h or d after it, as 30s or 5m".to_owned()),
    };
    let number: i64 = number.parse().map_err(|_| "a number with s, m, h or d after it, as 30s or 5m".to_owned())?;
    number.checked_mul(length).ok_or_else(|| "a shorter time".to_owned())
}

fn hours(text: &str) -> Result<(String, String), String> {
    let (from, to) = text.split_once('-').ok_or("two times of the day with - between them, as 22:00-06:00")?;
    Ok((from.trim().to_owned(), to.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_their_unit() {
        let read: Vec<_> = ["30s", "5m", "1h", "2d"].map(seconds).into_iter().collect::<Result<_, _>>().expect("all are times");
        assert_eq!(read, [30, 300, 3_600, 172_800]);
        for wrong in ["", "5", "m", "5 m", "-5m", "5w", "99999999999999999999d", "9223372036854775807d"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
        assert_eq!(hours("22:00-06:00"), Ok(("22:00".into(), "06:00".into())));
        assert!(hours("22:00").is_err());
    }
}
