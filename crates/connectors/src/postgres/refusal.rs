//! What the server's errors mean: <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
//!
//! Decided by the code, and by the server's routine, which is not translated; by words only where PostgreSQL gives nothing
//! else, and only in the direction of saying more.

use dataflow_model::{StepName, TestError};

use super::{PRODUCT, Session, settings};
use crate::causes;

/// The fields of an error message that matter here.
#[derive(Debug, Default, PartialEq, Eq)]
struct Said<'a> {
    code: &'a str,
    message: &'a str,
    routine: &'a str,
    /// `ERROR` undoes the transaction; what ends the session may come after its end.
    severity: &'a str,
}

impl<'a> Said<'a> {
    fn read(body: &'a [u8]) -> Self {
        let mut said = Self::default();
        for field in body.split(|byte| *byte == 0) {
            let Some((kind, text)) = field.split_first() else { break };
            let text = std::str::from_utf8(text).unwrap_or_default();
            match kind {
                b'C' => said.code = text,
                b'M' => said.message = text,
                b'R' => said.routine = text,
                b'V' => said.severity = text,
                _ => {}
            }
        }
        said
    }

    fn has(&self, words: &str) -> bool {
        self.message.contains(words)
    }
}

impl Session<'_> {
    /// The cause of an error message that ended the current step.
    pub(super) fn refusal(&self, body: &[u8]) -> TestError {
        let said = Said::read(body);
        let words = || self.scrubber.clean(said.message);
        if self.step == StepName::SetPassword {
            return if said.severity == "ERROR" { not_set(&said, &words()) } else { causes::connection_lost(self.step) };
        }
        if let Some(field) = settings::blamed_field(&self.target.public, said.message).filter(|_| said.code != "28P01") {
            return causes::invalid_settings(Some(field), &words());
        }
        match said.code {
            "28P01" => causes::credentials_refused(self.username()),
            "28000" => self.not_authorised(&said),
            "3D000" => causes::database_missing(self.database()),
            "42501" if self.step != StepName::Read => causes::no_right_to_connect(self.username(), self.database()),
            "53300" => causes::too_many_connections(),
            // starting or stopping; stopped by an administrator; stopped by a crash of another session
            "57P03" | "57P01" | "57P02" => causes::server_starting(),
            "0A000" if self.step == StepName::SignIn => causes::protocol_too_old(PRODUCT),
            // PgBouncer has this one code for most of its refusals.
            "08P01" if said.has("no such database") => causes::database_missing(self.database()),
            "08P01" if said.has("no such user") || said.has("authentication failed") => {
                causes::credentials_refused(self.username())
            }
            _ if self.step == StepName::Read => causes::read_refused(&words()),
            _ => causes::server_error(&words()),
        }
    }

    fn not_authorised(&self, said: &Said<'_>) -> TestError {
        if said.has("valid client certificate") || said.has("certificate authentication failed") {
            return if self.tls.has_client_certificate() {
                causes::client_certificate_refused()
            } else {
                causes::client_certificate_missing()
            };
        }
        // The routine that reads pg_hba.conf.
        match said.routine == "ClientAuthentication" || said.has("pg_hba.conf") {
            true if self.is_plain() => causes::address_not_permitted_without_tls(self.username()),
            true => causes::address_not_permitted(self.username()),
            // The role does not exist or may not log in, and no password was asked for.
            false => causes::user_refused(self.username()),
        }
    }
}

/// Why the server did not set a password.
fn not_set(said: &Said<'_>, words: &str) -> TestError {
    match said.code {
        // insufficient_privilege
        "42501" => {
            causes::password_refused(words, "Ask the database's administrator whether this user may set its own password.")
        }
        // query_canceled, by the statement's timeout, and lock_not_available
        "57014" | "55P03" => causes::password_not_set_in_time(words),
        // read_only_sql_transaction, and what a server that recovers says
        "25006" | "0A000" => causes::only_follows(),
        // invalid_password, invalid_parameter_value: modules that check passwords
        "28P01" | "22023" => causes::password_refused(
            words,
            "The server's rules for passwords refuse the one that was made, or take none that is hashed. Ask its administrator which rules it has.",
        ),
        _ => causes::password_not_set(words, causes::SERVERS_OWN_WORDS),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_read_field_by_field_and_what_is_broken_is_left_out() {
        let said = Said::read(b"SFATAL\0C28000\0Mno entry\0RClientAuthentication\0\0Cxxxxx\0");
        assert_eq!(said, Said { code: "28000", message: "no entry", routine: "ClientAuthentication", severity: "" });
        assert_eq!(Said::read(b""), Said::default());
        assert_eq!(Said::read(b"C\xff\xfe\0M"), Said::default());
    }

    proptest::proptest! {
        #[test]
        fn whatever_an_error_holds_is_read(body: Vec<u8>) {
            let _ = Said::read(&body);
        }
    }
}
