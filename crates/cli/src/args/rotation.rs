//! `dataflow connections rotate`, `rotation-policy`, `second-login` and `retire`

use clap::Args;

#[derive(Debug, Args)]
pub struct Rotate {
    pub name: String,
    /// Give up a rotation that cannot be settled: the new password is forgotten, and the connection can be changed again
    #[arg(long)]
    pub give_up: bool,
}

#[derive(Debug, Args)]
pub struct SecondLogin {
    pub name: String,
    /// Give this login of the same server; its password is asked for, and tested first
    #[arg(long, value_name = "USER", conflicts_with = "remove")]
    pub username: Option<String>,
    /// Read its password from standard input instead of a prompt
    #[arg(long, requires = "username")]
    pub password_stdin: bool,
    /// Forget it; at the database it stays
    #[arg(long)]
    pub remove: bool,
    /// Forget one that is not retired yet, too: whoever has its password still gets in
    #[arg(long, requires = "remove")]
    pub anyway: bool,
}

#[derive(Debug, Args)]
pub struct Retire {
    pub name: String,
    /// Wait for nobody: who still signs in as it fails until he asks for the connection again
    #[arg(long)]
    pub anyway: bool,
}

#[derive(Debug, Args)]
pub struct RotationPolicy {
    pub name: String,
    /// Rotate by itself, so many days after the last time
    #[arg(long, value_name = "DAYS", allow_negative_numbers = true)]
    pub every_days: Option<i64>,
    /// At this hour of the day in UTC, from 0 to 23
    #[arg(long, value_name = "HOUR", allow_negative_numbers = true)]
    pub at_hour: Option<i64>,
    /// Rotate when somebody asks for it, and only then
    #[arg(long, conflicts_with_all = ["every_days", "at_hour"])]
    pub on_request: bool,
    /// Characters of a new password, from 16 to 128
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    pub length: Option<i64>,
    /// What it holds besides letters and digits: of -_.~, each once, or nothing
    #[arg(long, allow_hyphen_values = true)]
    pub symbols: Option<String>,
    /// Take the policy away: then passwords are made of 32 characters, when somebody asks for one
    #[arg(long, conflicts_with_all = ["every_days", "at_hour", "on_request", "length", "symbols"])]
    pub remove: bool,
}
