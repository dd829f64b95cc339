//! Secrets that were planted, and the search for them in whatever a program says or leaves behind.

use std::{
    collections::{HashMap, HashSet},
    fmt::Write as _,
    fs,
    path::Path,
};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE},
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

/// What a form begins with is looked up; a shorter form would be found everywhere.
const BEGINNING: usize = 8;

/// Every form in which a secret could come to light: as it is, escaped for JSON, HTML, URLs and forms, in hexadecimal, and in base64
/// wherever it stands in a longer text.
pub fn forms(secret: &str) -> Vec<Vec<u8>> {
    let json = serde_json::to_string(secret).unwrap_or_default();
    let html = secret.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;");
    let numbered =
        secret.replace('&', "&#38;").replace('<', "&#60;").replace('>', "&#62;").replace('"', "&#34;").replace('\'', "&#39;");
    let url = utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string();
    let mut digits = String::new();
    for byte in secret.bytes() {
        let _ = write!(digits, "{byte:02x}");
    }
    let mut all = vec![secret.to_owned(), json.trim_matches('"').to_owned(), html, numbered];
    all.extend([url.replace("%20", "+"), url.to_lowercase(), url, digits.to_uppercase(), digits]);
    for shift in 0..3 {
        let inside = ["x".repeat(shift).as_bytes(), secret.as_bytes()].concat();
        for encoded in [STANDARD.encode(&inside), URL_SAFE.encode(&inside)] {
            // Less the ends, which what stands beside it changes.
            all.push(encoded[4..encoded.len() - 4].to_owned());
        }
    }
    let unique: HashSet<_> = all.into_iter().map(String::into_bytes).collect();
    unique.into_iter().filter(|form| form.len() >= BEGINNING).collect()
}

/// The secrets of one test.
#[derive(Debug, Default)]
pub struct Planted {
    secrets: Vec<(String, Vec<&'static str>)>,
    forms: HashMap<[u8; BEGINNING], Vec<(usize, Vec<u8>)>>,
    first_bytes: HashSet<u8>,
    searched: usize,
}

impl Planted {
    /// Plants a secret, which is called `what`, and may be seen at the places `may`.
    ///
    /// # Panics
    /// If it is too short to be searched for.
    pub fn plant(&mut self, what: &str, secret: &str, may: &[&'static str]) {
        assert!(secret.len() >= 12, "{what} is too short to be found by no accident");
        let number = self.secrets.len();
        self.secrets.push((what.to_owned(), may.to_vec()));
        for form in forms(secret) {
            let beginning = *form.first_chunk().expect("none is shorter");
            self.first_bytes.insert(beginning[0]);
            self.forms.entry(beginning).or_default().push((number, form));
        }
    }

    pub fn count(&self) -> usize {
        self.secrets.len()
    }

    /// How many things were searched.
    pub fn searched(&self) -> usize {
        self.searched
    }

    /// The secrets in `bytes`, which were seen at `place`.
    ///
    /// # Panics
    /// If one of them may not be there.
    pub fn search(&mut self, place: &str, bytes: &[u8]) {
        self.searched += 1;
        let found = self.found_in(bytes);
        let leaked: Vec<_> = self
            .secrets
            .iter()
            .enumerate()
            .filter(|(number, (_, may))| found.contains(number) && !may.contains(&place))
            .map(|(_, (what, _))| what.as_str())
            .collect();
        assert!(leaked.is_empty(), "{place} has {}:\n{}", leaked.join(", "), String::from_utf8_lossy(bytes));
    }

    /// Searches each file below `folder`.
    ///
    /// # Panics
    /// As [`Planted::search`].
    pub fn search_files(&mut self, folder: &Path) {
        for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())).flatten() {
            let (path, kind) = (entry.path(), entry.file_type().expect("a kind"));
            if kind.is_dir() {
                self.search_files(&path);
            } else if kind.is_file() {
                let bytes = fs::read(&path).unwrap_or_default();
                let name = entry.file_name().to_string_lossy().into_owned();
                self.search(&format!("file {name}"), &bytes);
            }
        }
    }

    fn found_in(&self, bytes: &[u8]) -> HashSet<usize> {
        let mut found = HashSet::new();
        for (at, window) in bytes.windows(BEGINNING).enumerate() {
            if !self.first_bytes.contains(&window[0]) {
                continue;
            }
            let Some(forms) = window.first_chunk().and_then(|beginning| self.forms.get(beginning)) else { continue };
            found.extend(forms.iter().filter(|(_, form)| bytes[at..].starts_with(form)).map(|(number, _)| *number));
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "pla\"nt<ed>&'\\ %41+ one";

    #[test]
    fn a_secret_is_found_in_every_form_and_nothing_else_is() {
        let mut planted = Planted::default();
        planted.plant("one", SECRET, &["here"]);
        planted.plant("another", "another-secret", &[]);
        for form in forms(SECRET) {
            let bytes = [b"some ".as_slice(), &form, b" text"].concat();
            assert_eq!(planted.found_in(&bytes), HashSet::from([0]), "{}", String::from_utf8_lossy(&form));
        }
        assert_eq!(planted.found_in(STANDARD.encode(format!("user:{SECRET}@host")).as_bytes()), HashSet::from([0]));
        assert!(planted.found_in(b"some other text of no secret at all").is_empty());
        planted.search("here", SECRET.as_bytes());
    }

    #[test]
    #[should_panic(expected = "there has one")]
    fn a_secret_that_may_be_seen_at_one_place_may_not_at_another() {
        let mut planted = Planted::default();
        planted.plant("one", SECRET, &["here"]);
        planted.search("there", SECRET.as_bytes());
    }
}
