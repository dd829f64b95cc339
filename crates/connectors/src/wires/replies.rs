//! Replies of three digits and one or more lines, as SMTP (RFC 5321, section 4.2) and FTP (RFC 959, section 4.2) have them.

use dataflow_model::TestError;

use super::link::{LONGEST_LINE, Link};

/// Most lines of one reply.
const MOST: usize = 100;

#[derive(Debug)]
pub(super) struct Reply {
    pub(super) code: u16,
    /// Without the code, where a line has one.
    pub(super) lines: Vec<String>,
}

impl Reply {
    pub(super) fn text(&self) -> String {
        self.lines.join(" ")
    }

    pub(super) fn has(&self, word: &str) -> bool {
        self.text().to_ascii_lowercase().contains(word)
    }
}

/// Says a line, and reads what is replied.
pub(super) async fn say(wire: &mut Link<'_>, line: &str) -> Result<Reply, TestError> {
    let line = zeroize::Zeroizing::new(format!("{line}\r\n"));
    wire.send(line.as_bytes()).await?;
    reply(wire).await
}

pub(super) async fn reply(wire: &mut Link<'_>) -> Result<Reply, TestError> {
    let first = wire.line().await?;
    rest(wire, &first).await
}

/// The first one, which comes unasked.
pub(super) async fn greeting(wire: &mut Link<'_>) -> Result<Reply, TestError> {
    let first = wire.greeting(LONGEST_LINE).await?;
    rest(wire, &first).await
}

async fn rest(wire: &mut Link<'_>, first: &str) -> Result<Reply, TestError> {
    let (code, is_last, text) = split(first).ok_or_else(|| wire.foreign())?;
    let mut reply = Reply { code, lines: vec![text.to_owned()] };
    let mut is_over = is_last;
    while !is_over {
        if reply.lines.len() == MOST {
            return Err(wire.foreign());
        }
        let line = wire.line().await?;
        match split(&line) {
            Some((same, is_last, text)) if same == code => {
                is_over = is_last;
                reply.lines.push(text.to_owned());
            }
            _ => reply.lines.push(line),
        }
    }
    Ok(reply)
}

/// The code, whether it is the last line, and its text.
fn split(line: &str) -> Option<(u16, bool, &str)> {
    let (digits, rest) = line.split_at_checked(3)?;
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let code = digits.parse().ok().filter(|code| (200..600).contains(code) || *code / 100 == 1)?;
    match rest.as_bytes() {
        [] => Some((code, true, "")),
        [b' ', ..] => Some((code, true, rest.split_at_checked(1)?.1)),
        [b'-', ..] => Some((code, false, rest.split_at_checked(1)?.1)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn a_line_has_a_code_and_may_be_the_last() {
        for (line, parts) in [
            ("220 mail ready", Some((220, true, "mail ready"))),
            ("250-SIZE 1", Some((250, false, "SIZE 1"))),
            ("250", Some((250, true, ""))),
            ("2500", None),
            ("25", None),
            ("é00 x", None),
            ("-ERR unknown", None),
        ] {
            assert_eq!(split(line), parts, "{line}");
        }
    }
}
