//! The calls of the sign-in, and their answers.

use std::collections::BTreeMap;

use dataflow_model::TestError;
use zeroize::Zeroizing;

use super::{
    super::link::Link,
    bytes::{Bytes, Unread, write_announced, write_counted, write_number},
    packet::Session,
    proof::Answered,
};
use crate::causes;

/// Messages of TTC, and what is called by one.
const FUNCTION: u8 = 3;
const SESSION_KEY: u8 = 118;
const LOGON: u8 = 115;
const PING: u8 = 147;
/// The modes of a sign-in: to log on, and with a password.
const MODE_LOGON: u32 = 0x001;
const MODE_PASSWORD: u32 = 0x100;
/// The verifier by PBKDF2 and SHA-512, which every password has that was set at 12.1 or later.
const VERIFIER_12C: u32 = 0x4815;
/// The warning that a password will end.
const WILL_EXPIRE: u32 = 28_002;
/// Most times that a password is hashed here. Servers ask for 4,096.
const MOST_ROUNDS: u32 = 100_000;
/// As often as Oracle has a password hashed, and the key that follows from it.
const FEWEST_ROUNDS: u32 = 4_096;
const FEWEST_OF_THE_KEY: u32 = 3;
/// Most pairs of one answer.
const PAIRS: u64 = 256;

/// What is called.
pub(super) enum Phase<'a> {
    /// Asks for a challenge.
    One,
    Two(&'a Answered),
    Ping,
}

/// A server's error or warning.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) number: u32,
    pub(super) words: String,
}

#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) pairs: BTreeMap<String, String>,
    verifier: u32,
    pub(super) error: Option<Said>,
    pub(super) days_left: Option<u32>,
}

/// What has to be known to answer for the password.
#[derive(Debug)]
pub(super) struct Challenge {
    /// As the password's verifier has it.
    pub(super) salt: Vec<u8>,
    pub(super) rounds: u32,
    /// Half of the session's key, under what the verifier is.
    pub(super) half: Vec<u8>,
    pub(super) key_salt: Vec<u8>,
    pub(super) key_rounds: u32,
}

/// Why a challenge is not answered.
#[derive(Debug)]
pub(super) enum Unanswerable {
    Bent,
    OldVerifier,
    /// Fewer than are answered, and how many those are.
    FewRounds(u32, u32),
    Rounds(u32),
}

impl Unanswerable {
    pub(super) fn told(&self, wire: &Link<'_>) -> TestError {
        match self {
            Self::Bent => wire.foreign(),
            Self::OldVerifier => causes::oracle_old_password(wire.username()),
            Self::FewRounds(rounds, fewest) => causes::oracle_few_rounds(*rounds, *fewest),
            Self::Rounds(rounds) => causes::oracle_rounds(*rounds, MOST_ROUNDS),
        }
    }
}

impl Challenge {
    pub(super) fn of(answer: &Answer) -> Result<Self, Unanswerable> {
        if answer.verifier != VERIFIER_12C {
            return Err(if answer.verifier == 0 { Unanswerable::Bent } else { Unanswerable::OldVerifier });
        }
        let bytes = |name: &str| answer.pairs.get(name).and_then(|text| hex::decode(text).ok()).ok_or(Unanswerable::Bent);
        let rounds = |name: &str, fewest: u32| {
            let rounds = answer.pairs.get(name).and_then(|text| text.trim().parse().ok()).ok_or(Unanswerable::Bent)?;
            match rounds {
                _ if rounds < fewest => Err(Unanswerable::FewRounds(rounds, fewest)),
                _ if rounds > MOST_ROUNDS => Err(Unanswerable::Rounds(rounds)),
                _ => Ok(rounds),
            }
        };
        let challenge = Self {
            salt: bytes("AUTH_VFR_DATA")?,
            rounds: rounds("AUTH_PBKDF2_VGEN_COUNT", FEWEST_ROUNDS)?,
            half: bytes("AUTH_SESSKEY")?,
            key_salt: bytes("AUTH_PBKDF2_CSK_SALT")?,
            key_rounds: rounds("AUTH_PBKDF2_SDER_COUNT", FEWEST_OF_THE_KEY)?,
        };
        if challenge.half.len() == 32 { Ok(challenge) } else { Err(Unanswerable::Bent) }
    }
}

/// Calls, and reads what comes.
pub(super) async fn ask(session: &mut Session, wire: &mut Link<'_>, phase: &Phase<'_>) -> Result<Answer, TestError> {
    let call = call(session.next(), phase, wire.username());
    session.say(wire, &call).await?;
    session.hear(wire, read).await
}

fn call(sequence: u8, phase: &Phase<'_>, username: &str) -> Zeroizing<Vec<u8>> {
    let (function, mode, pairs) = match phase {
        Phase::Ping => return Zeroizing::new(vec![FUNCTION, PING, sequence]),
        Phase::One => (
            SESSION_KEY,
            MODE_LOGON,
            vec![
                ("AUTH_TERMINAL", "unknown", 0),
                ("AUTH_PROGRAM_NM", "dataflow", 0),
                ("AUTH_MACHINE", "dataflow", 0),
                ("AUTH_PID", "1", 0),
                ("AUTH_SID", "dataflow", 0),
            ],
        ),
        Phase::Two(answered) => (
            LOGON,
            MODE_LOGON | MODE_PASSWORD,
            vec![
                ("AUTH_SESSKEY", answered.half.as_str(), 1),
                ("AUTH_PBKDF2_SPEEDY_KEY", answered.speedy_key.as_str(), 0),
                ("AUTH_PASSWORD", answered.password.as_str(), 0),
                ("SESSION_CLIENT_CHARSET", "873", 0),
                ("SESSION_CLIENT_DRIVER_NAME", "dataflow", 0),
                ("SESSION_CLIENT_VERSION", "16777216", 0),
                ("AUTH_ALTER_SESSION", "ALTER SESSION SET TIME_ZONE='+00:00'\0", 1),
            ],
        ),
    };
    let mut out = Zeroizing::new(vec![FUNCTION, function, sequence, 1]);
    write_number(&mut out, u32::try_from(username.len()).unwrap_or_default());
    write_number(&mut out, mode);
    out.push(1);
    write_number(&mut out, u32::try_from(pairs.len()).unwrap_or_default());
    out.extend_from_slice(&[1, 1]);
    write_counted(&mut out, username.as_bytes());
    for (name, value, flags) in pairs {
        write_announced(&mut out, name.as_bytes());
        write_announced(&mut out, value.as_bytes());
        write_number(&mut out, flags);
    }
    out
}

/// Reads messages up to the one that ends an answer.
fn read(bytes: &[u8]) -> Result<Answer, Unread> {
    let (mut rest, mut answer) = (Bytes(bytes), Answer::default());
    loop {
        match rest.byte()? {
            // An error, or that there is none.
            4 => {
                let said = error(&mut rest)?;
                match said.number {
                    0 => {}
                    WILL_EXPIRE => answer.days_left = days(&said.words),
                    _ => answer.error = Some(said),
                }
                return Ok(answer);
            }
            8 => pairs(&mut rest, &mut answer)?,
            // The status of the call, and its number.
            9 => {
                rest.number(4)?;
                rest.number(2)?;
                return Ok(answer);
            }
            // A warning, with length and flags.
            15 => {
                let number = rest.number(2)?;
                let length = rest.number(2)?;
                rest.number(2)?;
                if number != 0 && length > 0 {
                    let words = rest.counted()?;
                    if number == u64::from(WILL_EXPIRE) {
                        answer.days_left = days(&String::from_utf8_lossy(&words));
                    }
                }
            }
            23 => beside(&mut rest)?,
            _ => return Err(Unread::Bent),
        }
    }
}

fn pairs(rest: &mut Bytes<'_>, answer: &mut Answer) -> Result<(), Unread> {
    let count = rest.number(2)?;
    if count > PAIRS {
        return Err(Unread::Bent);
    }
    for _ in 0..count {
        let (name, value, flags) = (rest.text()?, rest.text()?, rest.ub4()?);
        if name == "AUTH_VFR_DATA" {
            answer.verifier = flags;
        }
        answer.pairs.insert(name, value);
    }
    Ok(())
}

fn error(rest: &mut Bytes<'_>) -> Result<Said, Unread> {
    // Status and number of the call, row, error, errors of arrays, cursor, place.
    for most in [4, 2, 4, 2, 2, 2, 2, 2] {
        rest.number(most)?;
    }
    // Kind of SQL, whether it is fatal, flags and options.
    rest.take(6)?;
    // The row's address.
    rest.number(4)?;
    rest.number(2)?;
    rest.byte()?;
    rest.number(4)?;
    rest.number(2)?;
    // The operating system's error, numbers of statement and call, filling, successes.
    rest.number(4)?;
    rest.take(2)?;
    rest.number(2)?;
    rest.number(4)?;
    rest.announced()?;
    // Errors, places and words of batches, of which there are none.
    for most in [2, 4, 2] {
        if rest.number(most)? != 0 {
            return Err(Unread::Bent);
        }
    }
    let number = rest.ub4()?;
    rest.number(8)?;
    let words = if number == 0 { Vec::new() } else { rest.counted()? };
    Ok(Said { number, words: String::from_utf8_lossy(&words).trim_end().to_owned() })
}

/// What a server tells of the session along with an answer, of which nothing is needed.
fn beside(rest: &mut Bytes<'_>) -> Result<(), Unread> {
    match rest.byte()? {
        // That caches are void, or what is traced.
        1 | 3 => {}
        // The process that serves.
        2 => {
            rest.number(2)?;
            rest.counted()?;
        }
        // Parameters of the session, and which one it is.
        4 => {
            rest.number(2)?;
            rest.byte()?;
            let count = rest.number(2)?;
            if count > PAIRS {
                return Err(Unread::Bent);
            }
            if count > 0 {
                rest.byte()?;
            }
            for _ in 0..count {
                counted_if(rest)?;
                counted_if(rest)?;
                rest.number(2)?;
            }
            for most in [4, 4, 2] {
                rest.number(most)?;
            }
        }
        // What has changed of the session.
        5 => {
            rest.number(2)?;
            rest.byte()?;
            let count = rest.number(2)?;
            rest.byte()?;
            if count > PAIRS {
                return Err(Unread::Bent);
            }
            for _ in 0..count {
                counted_if(rest)?;
                counted_if(rest)?;
                rest.number(2)?;
            }
            rest.number(4)?;
        }
        // The transaction's number.
        7 => drop(rest.announced()?),
        // What a replay needs.
        8 => {
            rest.number(2)?;
            rest.byte()?;
            rest.number(4)?;
            rest.number(4)?;
            rest.byte()?;
            rest.announced()?;
        }
        9 => {
            rest.number(2)?;
            rest.byte()?;
        }
        // Signatures of the session.
        10 => {
            rest.number(2)?;
            rest.byte()?;
            for _ in 0..3 {
                rest.number(8)?;
            }
        }
        _ => return Err(Unread::Bent),
    }
    Ok(())
}

fn counted_if(rest: &mut Bytes<'_>) -> Result<(), Unread> {
    if rest.number(2)? > 0 {
        rest.counted()?;
    }
    Ok(())
}

/// The number in `ORA-28002: the password will expire within 7 days`.
fn days(words: &str) -> Option<u32> {
    let (_, words) = words.split_once(':')?;
    words.split(' ').find_map(|word| word.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_days_that_a_password_has_are_read() {
        assert_eq!(days("ORA-28002: the password will expire within 7 days"), Some(7));
        assert_eq!(days("ORA-28002: le mot de passe"), None);
    }
}
