//! Whether anybody looks at the password: the same request is asked without it, and if that is let in, with a wrong one.
//!
//! | the request with the sign-in | without | with a wrong one | verdict |
//! |---|---|---|---|
//! | refused | | | failed |
//! | let in | refused | | ok, of a service that is known to check passwords |
//! | let in | refused | refused | ok |
//! | let in | refused | let in | unproven: any password will do |
//! | let in | let in | refused | ok: who names himself is looked at, nobody has to |
//! | let in | let in | let in | unproven |
//! | let in | anything else | anything but a refusal | unproven |
//!
//! Of a service that is known to check passwords the wrong one is tried only where the first two tell nothing: if it counts them, it sees one, after a
//! right one.

use dataflow_model::TestError;

use super::{Access, Answer, Client, Request};

/// What an answer means for the one who asked.
#[derive(Debug)]
pub(crate) enum Judged {
    LetIn,
    /// The sign-in was not taken.
    Refused(TestError),
    /// Anything else that is not the answer.
    Failed(TestError),
}

/// What a sign-in has proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proof {
    Checked,
    /// Let in, and with any other password it would be the same, or may be; why, in words.
    Unchecked(&'static str),
    /// There is nothing to sign in with, or nothing to sign in to; why, in words.
    Nothing(&'static str),
}

pub(crate) const NOTHING_SET: &str = "No sign-in is set";
const SAME_WITHOUT: &str = "The server answers the same without the password";
const ANY_WILL_DO: &str = "The server takes any other password, too";
const NOT_FOUND_OUT: &str = "Whether the server checks the password could not be found out";

/// Asks what `ask` gives for each access that is needed, and has `judge` look at the answers. `is_known`: whoever asks for a password there checks it.
pub(crate) async fn prove(
    client: &mut Client<'_>,
    is_known: bool,
    ask: &(dyn Fn(Access) -> Result<Request, TestError> + Sync),
    judge: &(dyn Fn(&Client<'_>, &Answer, Access) -> Judged + Sync),
) -> Result<(Answer, Proof), TestError> {
    let answer = client.ask(&ask(Access::Given)?).await?;
    match judge(client, &answer, Access::Given) {
        Judged::LetIn => {}
        Judged::Refused(error) | Judged::Failed(error) => return Err(error),
    }
    let mut proof = SAME_WITHOUT;
    for access in [Access::Without, Access::Wrong] {
        // A server that lets go of who is not signed in has not said so.
        let judged = match client.ask(&ask(access)?).await {
            Ok(answer) => judge(client, &answer, access),
            Err(error) => Judged::Failed(error),
        };
        match judged {
            Judged::Refused(_) if access == Access::Without && !is_known => proof = ANY_WILL_DO,
            Judged::Refused(_) => return Ok((answer, Proof::Checked)),
            Judged::LetIn => {}
            Judged::Failed(_) => proof = NOT_FOUND_OUT,
        }
    }
    Ok((answer, Proof::Unchecked(proof)))
}
