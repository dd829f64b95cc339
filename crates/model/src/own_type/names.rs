//! Names that say of a value that it is a secret. Everybody in a workspace can read its definitions, and what is not marked as secret.

const SECRET_WORDS: &[&str] = &["password", "passwd", "pwd", "passphrase", "secret", "token", "credential", "credentials"];

/// Whether a field `extra.…` is called like a secret.
pub(super) fn is_secret_field(key: &str) -> bool {
    words(key).iter().any(|word| SECRET_WORDS.iter().any(|secret| word.ends_with(secret)))
}

/// Whether the name of a parameter says that its value is a secret: `client_secret`, `sslPassword`, `sas-token`, `apikey`. Of those there are many
/// drivers' worth, so it is strict: whoever means something else takes a field for it.
pub(super) fn is_secret_parameter(name: &str) -> bool {
    let is_it =
        |word: &String| word.ends_with("key") || ["passw", "pwd", "secret", "token"].iter().any(|part| word.contains(part));
    is_secret_field(name) || words(name).iter().any(is_it)
}

/// The words of a name in lower case: `sasToken`, `sas_token`, `sas-token2` and `SASToken` have “sas” and “token”.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut rest = name.chars().peekable();
    let mut before: Option<char> = None;
    while let Some(c) = rest.next() {
        let is_next_lower = rest.peek().is_some_and(char::is_ascii_lowercase);
        let begins = c.is_ascii_uppercase() && before.is_some_and(|before| !before.is_ascii_uppercase() || is_next_lower);
        if begins || !c.is_ascii_alphabetic() {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut().filter(|_| c.is_ascii_alphabetic()) {
            word.push(c.to_ascii_lowercase());
        }
        before = Some(c);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_words_however_it_is_written() {
        let told = |name: &str| words(name).into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>();
        for name in ["sasToken", "sas_token", "sas-token2", "SASToken", "sas.TOKEN"] {
            assert_eq!(told(name), ["sas", "token"], "{name}");
        }
        assert!(told("").is_empty());
    }
}
