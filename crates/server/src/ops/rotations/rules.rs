//! What a new password is made of.

use dataflow_model::{FieldError, Secret};
use dataflow_vault::random_bytes;
use zeroize::Zeroizing;

pub const LENGTH_MIN: i64 = 16;
/// PostgreSQL and MariaDB take more, and so does MySQL, whose SHA-256 plugins end at 256 bytes.
pub const LENGTH_MAX: i64 = 128;
/// Symbols that a password may hold. None means anything in a URL (RFC 3986, the userinfo of section 3.2.1), in the middle of a shell's word, in a
/// `.env` file, in a connection string of `key=value` pairs, or in a literal of SQL. Two that RFC 3986 lets stand in a query are missing: `+` is read as
/// a space there, and PostgreSQL's library refuses a second `=`.
pub const SYMBOLS: &str = "-_.~,";
/// What 16 letters and digits have, whichever they are. That there has to be one of each kind takes some of it away.
const BITS_MIN: f64 = 95.0;

/// What a password is made of: letters, digits and these symbols, of each kind at least one, and first a letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// In characters.
    pub length: i64,
    pub symbols: String,
}

impl Default for Rules {
    /// 190 bits, of which nothing is escaped anywhere.
    fn default() -> Self {
        Self { length: 32, symbols: "-_".to_owned() }
    }
}

impl Rules {
    /// What of it is refused.
    pub fn errors(&self) -> Vec<FieldError> {
        let mut errors = Vec::new();
        if !(LENGTH_MIN..=LENGTH_MAX).contains(&self.length) {
            errors.push(FieldError::new("length", "out_of_range", format!("must be from {LENGTH_MIN} to {LENGTH_MAX}")));
        }
        if self.symbols.chars().any(|symbol| !SYMBOLS.contains(symbol)) {
            let text = format!("may hold these and no others: {SYMBOLS}");
            errors.push(FieldError::new("symbols", "invalid", text));
        } else if self.symbols.chars().enumerate().any(|(at, symbol)| self.symbols.chars().take(at).any(|other| other == symbol))
        {
            errors.push(FieldError::new("symbols", "invalid", "has a character twice"));
        }
        if errors.is_empty() && self.bits() < BITS_MIN {
            let longer = |length: &i64| Self { length: *length, ..self.clone() }.bits() >= BITS_MIN;
            let enough = (self.length..=LENGTH_MAX).find(longer).unwrap_or(LENGTH_MAX);
            let text = format!("is too short for these symbols: with them it must be at least {enough}");
            errors.push(FieldError::new("length", "too_weak", text));
        }
        errors
    }

    /// The binary logarithm of how many passwords there are, each as likely as the others.
    fn bits(&self) -> f64 {
        let symbols = u32::try_from(self.symbols.len()).unwrap_or_default();
        let rest = i32::try_from(self.length).unwrap_or_default().saturating_sub(1);
        // How many characters each kind has, and with how many of them a password may begin.
        let kinds = [(26, 26), (26, 26), (10, 0), (symbols, 0)];
        let kinds: Vec<(u32, u32)> = kinds.into_iter().filter(|(size, _)| *size > 0).collect();
        // By inclusion and exclusion, over the kinds that are missing.
        let missing_some = (0_u32..1 << kinds.len()).map(|missing| {
            let there = kinds.iter().enumerate().filter(|(at, _)| missing >> at & 1 == 0);
            let (all, first) = there.fold((0, 0), |(all, first), (_, (size, begin))| (all + size, first + begin));
            let count = f64::from(first) * f64::from(all).powi(rest);
            if missing.count_ones() % 2 == 0 { count } else { -count }
        });
        missing_some.sum::<f64>().log2()
    }

    fn characters(&self) -> Vec<u8> {
        let letters = (b'A'..=b'Z').chain(b'a'..=b'z').chain(b'0'..=b'9');
        letters.chain(self.symbols.bytes()).collect()
    }

    /// A password by these rules, whose errors were looked at: any, and each as likely as the others.
    pub fn make(&self) -> Secret {
        let characters = self.characters();
        let length = usize::try_from(self.length).unwrap_or_default();
        loop {
            let mut text = Zeroizing::new(String::with_capacity(length));
            while text.len() < length {
                text.extend(random_character(&characters));
            }
            if self.holds(&text) {
                return Secret::new(std::mem::take(&mut *text));
            }
        }
    }

    fn holds(&self, text: &str) -> bool {
        let has = |kind: fn(char) -> bool| text.chars().any(kind);
        text.starts_with(|first: char| first.is_ascii_alphabetic())
            && has(|c| c.is_ascii_uppercase())
            && has(|c| c.is_ascii_lowercase())
            && has(|c| c.is_ascii_digit())
            && (self.symbols.is_empty() || has(|c| c.is_ascii_punctuation()))
    }
}

/// One of them; nothing for a byte beyond the last multiple of their number, by which the first of them would come up more often.
fn random_character(characters: &[u8]) -> Option<char> {
    let [byte] = random_bytes();
    let (byte, count) = (usize::from(byte), characters.len().max(1));
    let character = characters.get(byte % count).filter(|_| byte < 256 - 256 % count);
    character.copied().map(char::from)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn rules(length: i64, symbols: &str) -> Rules {
        Rules { length, symbols: symbols.to_owned() }
    }

    /// Every set of symbols, the empty one too.
    fn sets() -> impl Iterator<Item = String> {
        (0_u32..1 << SYMBOLS.len())
            .map(|set| SYMBOLS.chars().enumerate().filter(|(at, _)| set >> at & 1 == 1).map(|(_, c)| c).collect())
    }

    #[test]
    fn a_password_by_any_rules_is_what_they_say() {
        let (mut made, mut weakest) = (0, f64::MAX);
        for symbols in sets() {
            for length in LENGTH_MIN..=LENGTH_MAX {
                let rules = rules(length, &symbols);
                if !rules.errors().is_empty() {
                    assert!(length < 20, "{rules:?}: {:?}", rules.errors());
                    continue;
                }
                let password = rules.make();
                let text = password.expose_secret();
                assert_eq!(i64::try_from(text.len()).ok(), Some(length), "{rules:?}");
                assert!(text.starts_with(|c: char| c.is_ascii_alphabetic()), "{rules:?}");
                assert!(text.chars().all(|c| c.is_ascii_alphanumeric() || symbols.contains(c)), "{rules:?}");
                for kind in [|c: char| c.is_ascii_uppercase(), |c: char| c.is_ascii_lowercase(), |c: char| c.is_ascii_digit()] {
                    assert!(text.contains(kind), "{rules:?}");
                }
                assert_eq!(text.contains(|c: char| !c.is_ascii_alphanumeric()), !symbols.is_empty(), "{rules:?}");
                weakest = weakest.min(rules.bits());
                made += 1;
            }
        }
        assert!(weakest >= BITS_MIN);
        println!("promise: passwords by each of {made} rules: as they say; the weakest of {weakest:.1} bits");
    }

    /// Of 67 characters a byte's remainder would bring up the first 55 a third more often than the others.
    #[test]
    fn each_character_is_as_likely_as_the_others() {
        let rules = rules(LENGTH_MAX, SYMBOLS);
        let characters = rules.characters();
        let mut counts = vec![0_u32; characters.len()];
        let passwords = 1_000;
        for _ in 0..passwords {
            let password = rules.make();
            // The first is a letter.
            for byte in password.expose_secret().bytes().skip(1) {
                let place = characters.iter().position(|character| *character == byte).expect("one of them");
                counts[place] += 1;
            }
        }
        let drawn = f64::from(counts.iter().sum::<u32>());
        let expected = drawn / f64::from(u32::try_from(characters.len()).expect("few"));
        let squares: f64 = counts.iter().map(|count| (f64::from(*count) - expected).powi(2) / expected).sum();
        // Chi-squared of 66 degrees of freedom is beyond 150 once in thirty million times; with the remainders it is about 1,300.
        assert!(squares < 150.0, "{squares}: {counts:?}");
    }

    #[test]
    fn how_many_bits_are_counted_exactly() {
        // By hand, with 2 characters: a letter, then one of another kind; none has three.
        let counted = |length, symbols: &str| rules(length, symbols).bits().exp2();
        assert!(counted(2, "") < 1e-6, "three kinds are not in two characters");
        // A capital first, then a small letter and a digit in either order, and the same with a small one first.
        assert!((counted(3, "") - f64::from(2 * 2 * 26 * 26 * 10)).abs() < 1e-3, "{}", counted(3, ""));
        assert!((counted(4, "-") - f64::from(2 * 6 * 26 * 26 * 10)).abs() < 1e-3, "{}", counted(4, "-"));
    }

    #[test]
    fn what_is_refused_is_named() {
        let codes = |rules: Rules| -> Vec<_> {
            rules.errors().into_iter().map(|error| format!("{} {}", error.field, error.code)).collect()
        };
        assert_eq!(codes(Rules::default()), [""; 0]);
        assert_eq!(codes(rules(16, SYMBOLS)), [""; 0]);
        assert_eq!(codes(rules(16, "-")), ["length too_weak"]);
        assert_eq!(codes(rules(16, "")), ["length too_weak"]);
        assert_eq!(codes(rules(17, "")), [""; 0]);
        assert!(rules(16, "-").errors()[0].message.contains("at least 17"), "{:?}", rules(16, "-").errors());
        assert_eq!(codes(rules(15, "--")), ["length out_of_range", "symbols invalid"]);
        assert_eq!(codes(rules(129, "")), ["length out_of_range"]);
        let told: BTreeSet<_> =
            "'\"\\`$@:/?#[]%+&;|<>(){}*! \n\u{e9}a1".chars().map(|c| codes(rules(32, &c.to_string()))).collect();
        assert_eq!(told, BTreeSet::from([vec!["symbols invalid".to_owned()]]));
    }
}
