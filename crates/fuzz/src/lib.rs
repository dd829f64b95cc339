//! Feeds a reader of foreign bytes with what begins as something sound and is then bent: a reader that is given random bytes refuses the
//! first of them, and is never seen beyond.
//!
//! What belongs here is the bending. What does not: corpora and readers, which stand in the module `fuzz` of each crate that reads
//! foreign bytes. A reader is given bent inputs for [`SPAN`], other ones each time; all of them together are fed for more than a minute of
//! each change's checks. `PROPTEST_CASES` says how many cases instead (`make fuzz` tries many). Proptest makes a failing one small.
//!
//! Not guided by coverage: libFuzzer's instrumentation has to be in everything that is linked, so that aws-lc and SQLite were built a second
//! time, for ten minutes of each change's checks.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{TestError, TestRunner},
};

/// How long a reader is fed unless `PROPTEST_CASES` says how often.
pub const SPAN: Duration = Duration::from_secs(3);
/// What proptest tries where nothing is said.
const PROPTESTS_OWN: u32 = 256;
/// Cases between two looks at the clock.
const ROUND: u32 = 100;
/// No reader takes longer for an input of a few hundred bytes, on whatever machine.
const LONGEST: Duration = Duration::from_secs(5);

/// One thing that is done to the bytes.
#[derive(Debug, Clone)]
enum Bend {
    Flip(usize, u8),
    Insert(usize, Vec<u8>),
    Remove(usize, usize),
    Repeat(usize, usize),
    Number(usize, u64, usize, bool),
    Cut(usize),
    /// Goes on as another of the sound inputs does.
    Splice(usize, usize, usize),
}

/// Numbers that have been wrong before: the edges of signed and unsigned integers.
const NUMBERS: [u64; 11] = [0, 1, 2, 3, 4, 0x7f, 0x80, 0xff, 0x7fff_ffff, 0x8000_0000, u64::MAX];

fn bend() -> impl Strategy<Value = Bend> {
    let place = any::<usize>();
    prop_oneof![
        4 => (place, any::<u8>()).prop_map(|(at, mask)| Bend::Flip(at, mask)),
        2 => (place, vec(any::<u8>(), 1..6)).prop_map(|(at, bytes)| Bend::Insert(at, bytes)),
        2 => (place, 1_usize..20).prop_map(|(at, count)| Bend::Remove(at, count)),
        1 => (place, 1_usize..60).prop_map(|(at, count)| Bend::Repeat(at, count)),
        3 => (place, prop::sample::select(&NUMBERS[..]), 1_usize..=8, any::<bool>())
            .prop_map(|(at, number, width, big)| Bend::Number(at, number, width, big)),
        1 => place.prop_map(Bend::Cut),
        1 => (place, any::<usize>(), any::<usize>()).prop_map(|(at, other, from)| Bend::Splice(at, other, from)),
    ]
}

fn bent(corpus: &[&[u8]], begin: usize, bends: &[Bend]) -> Vec<u8> {
    let sound = |index: usize| corpus.get(index.checked_rem(corpus.len()).unwrap_or_default()).copied().unwrap_or_default();
    let mut bytes = sound(begin).to_vec();
    for bend in bends {
        let room = bytes.len() + 1;
        let place = |at: usize| at % room;
        match bend {
            Bend::Flip(at, mask) => {
                let at = place(*at);
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= mask;
                }
            }
            Bend::Insert(at, more) => drop(bytes.splice(place(*at)..place(*at), more.iter().copied())),
            Bend::Remove(at, count) => drop(bytes.drain(place(*at)..(room - 1).min(place(*at) + count))),
            Bend::Repeat(at, count) => {
                let from = place(*at);
                let part = bytes.get(from..bytes.len().min(from + count)).unwrap_or_default().to_vec();
                drop(bytes.splice(from..from, part));
            }
            Bend::Number(at, number, width, big) => {
                let from = place(*at);
                let all = if *big { number.to_be_bytes() } else { number.to_le_bytes() };
                let (first, last) = (all.get(..*width), all.get(all.len() - width..));
                let written = if *big { last } else { first }.unwrap_or_default();
                drop(bytes.splice(from..bytes.len().min(from + width), written.iter().copied()));
            }
            Bend::Cut(at) => bytes.truncate(place(*at)),
            Bend::Splice(at, other, from) => {
                bytes.truncate(place(*at));
                let other = sound(*other);
                bytes.extend_from_slice(other.get(from % (other.len() + 1)..).unwrap_or_default());
            }
        }
    }
    bytes
}

/// Gives `reader` each of `corpus` as it is, and then bent.
///
/// # Panics
/// If the reader does, or takes too long: with the shortest input that was found to do it. That belongs into the corpus.
#[expect(clippy::print_stdout, reason = "a test says what it tried")]
pub fn fuzz(corpus: &[&[u8]], reader: impl Fn(&[u8])) {
    for sound in corpus {
        reader(sound);
    }
    let mut config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    let wanted = Some(config.cases).filter(|cases| *cases != PROPTESTS_OWN);
    config.cases = wanted.unwrap_or(ROUND);
    let inputs = (any::<usize>(), vec(bend(), 0..8)).prop_map(|(begin, bends)| bent(corpus, begin, &bends));
    let cases = Cell::new(0_u32);
    let fed_since = Instant::now();
    let outcome = loop {
        let outcome = TestRunner::new(config.clone()).run(&inputs, |bytes| {
            cases.set(cases.get() + 1);
            let begun = Instant::now();
            reader(&bytes);
            prop_assert!(begun.elapsed() < LONGEST, "it took {:?}", begun.elapsed());
            Ok(())
        });
        if outcome.is_err() || wanted.is_some() || fed_since.elapsed() >= SPAN {
            break outcome;
        }
    };
    let cases = cases.get();
    println!("promise: a reader of foreign bytes: {cases} bent inputs in {:.1} s", fed_since.elapsed().as_secs_f32());
    if let Err(failure) = outcome {
        let input = match &failure {
            TestError::Fail(_, bytes) => bytes.escape_ascii().to_string(),
            TestError::Abort(_) => String::new(),
        };
        let words = failure.to_string();
        let words: String = words.lines().next().unwrap_or_default().chars().take(300).collect();
        std::panic::resume_unwind(Box::new(format!("b\"{input}\": {words} ({cases} cases)")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CORPUS: &[&[u8]] = &[b"length=5:abcde", b"length=2:xy"];

    #[test]
    fn a_reader_that_breaks_is_found_out_and_its_input_made_small() {
        let reader = |bytes: &[u8]| {
            let length = bytes.get(7).map(|digit| usize::from(digit.saturating_sub(b'0'))).unwrap_or_default();
            assert!(!bytes.starts_with(b"length=") || bytes.len() >= 9 + length, "it is shorter than it says");
        };
        let caught = std::panic::catch_unwind(|| fuzz(CORPUS, reader)).expect_err("it was found");
        let text = caught.downcast_ref::<String>().expect("words");
        assert!(text.contains("shorter than it says") && text.starts_with("b\"length="), "{text}");
    }

    #[test]
    fn a_sound_reader_is_left_alone() {
        fuzz(CORPUS, |bytes| {
            let _ = std::str::from_utf8(bytes);
        });
        fuzz(&[], |bytes| drop(bytes.to_vec()));
    }
}
