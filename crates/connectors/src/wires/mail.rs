//! A mail as it is handed in (RFC 5322, RFC 2045): plain text in base64, so that no line of it can be taken for an end of it, or be too long.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use time::{OffsetDateTime, format_description::well_known::Rfc2822};

use crate::message::Message;

/// Characters in base64 of a line of the text (RFC 2045, section 6.8).
const LINE: usize = 76;
/// Bytes of a word of a header, so that its line, with what goes around it, has no more than 76 characters (RFC 2047, section 2).
const WORD: usize = 39;

/// Headers and body, ended by the line that ends them.
pub(super) fn written(message: &Message) -> String {
    let at = OffsetDateTime::from_unix_timestamp(message.at).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let date = at.format(&Rfc2822).unwrap_or_default();
    let domain = message.from.rsplit_once('@').map_or("localhost", |(_, domain)| domain);
    let mut mail = format!(
        "Date: {date}\r\nFrom: Dataflow <{from}>\r\nTo: {to}\r\nSubject: {subject}\r\nMessage-ID: <{id}@{domain}>\r\n\
         Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\
         Content-Transfer-Encoding: base64\r\n\r\n",
        from = message.from,
        to = message.to.join(",\r\n "),
        subject = header(&message.subject),
        id = message.id,
    );
    let text = message.text.replace("\r\n", "\n").replace('\n', "\r\n");
    let encoded = STANDARD.encode(text);
    let mut rest = encoded.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(LINE));
        mail.push_str(line);
        mail.push_str("\r\n");
        rest = after;
    }
    mail.push('.');
    mail
}

/// A text as a header has it: as it is where it is plain, else in encoded words.
fn header(text: &str) -> String {
    let is_plain = text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) && text.len() <= LINE && !text.contains("=?");
    if is_plain {
        return text.to_owned();
    }
    let mut words = Vec::new();
    let mut word = String::new();
    for character in text.chars().filter(|character| !character.is_control()) {
        if word.len() + character.len_utf8() > WORD {
            words.push(std::mem::take(&mut word));
        }
        word.push(character);
    }
    words.push(word);
    let words: Vec<_> = words.iter().map(|word| format!("=?utf-8?B?{}?=", STANDARD.encode(word))).collect();
    words.join("\r\n ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(subject: &str, text: &str) -> Message {
        Message {
            id: "018f".into(),
            at: 1_793_610_000,
            to: vec!["ada@example.org".into(), "bo@example.org".into()],
            from: "alerts@example.org".into(),
            subject: subject.into(),
            text: text.into(),
            events: serde_json::Value::Null,
        }
    }

    #[test]
    fn nothing_in_a_text_is_a_header_or_an_end() {
        let text = format!("first\n.\nRCPT TO:<eve@example.org>\n{}", "long ".repeat(300));
        let subject = format!("“sales”\r\nBcc: eve@example.org {}", "é".repeat(100));
        let mail = written(&message(&subject, &text));
        let (headers, body) = mail.split_once("\r\n\r\n").expect("both");
        assert!(!headers.lines().any(|line| line.starts_with("Bcc")), "{headers}");
        assert!(mail.split("\r\n").all(|line| line.len() <= 76), "{mail}");
        let lines: Vec<_> = body.split("\r\n").collect();
        let (end, lines) = lines.split_last().expect("some");
        assert_eq!(*end, ".");
        assert!(lines.iter().all(|line| !line.starts_with('.')));
        let read = STANDARD.decode(lines.concat()).expect("base64");
        assert_eq!(String::from_utf8(read).expect("text"), text.replace('\n', "\r\n"));
        let words = headers.split("Subject: ").nth(1).expect("one").split("Message-ID").next().expect("its end");
        let words = words.trim_end().split("\r\n ").map(|word| {
            let bare = word.strip_prefix("=?utf-8?B?").and_then(|word| word.strip_suffix("?=")).expect("an encoded word");
            assert!(word.len() <= 75, "{word}");
            String::from_utf8(STANDARD.decode(bare).expect("base64")).expect("no character is torn apart")
        });
        assert_eq!(words.collect::<String>(), subject.replace("\r\n", ""));
    }

    #[test]
    fn what_is_plain_stays_plain() {
        let mail = written(&message("sales is unhealthy", "x"));
        assert!(mail.contains("\r\nSubject: sales is unhealthy\r\n"), "{mail}");
        assert!(mail.starts_with("Date: Mon, 02 Nov 2026 09:00:00 +0000\r\n"), "{mail}");
        assert!(mail.contains("\r\nTo: ada@example.org,\r\n bo@example.org\r\n"), "{mail}");
    }
}
