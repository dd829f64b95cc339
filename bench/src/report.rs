//! What was measured, as a table for people and as JSON for programs.

use std::io::Write as _;

use serde::Serialize;

/// One measured number beside its comparison.
#[derive(Debug, Serialize)]
pub struct Line {
    pub what: String,
    /// The median, where there are many.
    pub measured: f64,
    pub unit: &'static str,
    /// Of single measurements, where the slowest matter.
    pub p99: Option<f64>,
    /// What it is held against, or stands beside, measured in the same run.
    pub beside: String,
    pub ratio: Option<f64>,
    /// `None` where nothing is promised: the number explains another.
    pub promise: Option<Promise>,
    pub holds: Option<bool>,
}

/// A bound of the measured number, or of the ratio where there is one.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Promise {
    Below(f64),
    AtMost(f64),
    AtLeast(f64),
}

impl Promise {
    fn holds(self, number: f64) -> bool {
        match self {
            Self::Below(bound) => number < bound,
            Self::AtMost(bound) => number <= bound,
            Self::AtLeast(bound) => number >= bound,
        }
    }

    fn words(self) -> String {
        match self {
            Self::Below(bound) => format!("< {bound}"),
            Self::AtMost(bound) => format!("<= {}", (bound * 100.0).round() / 100.0),
            Self::AtLeast(bound) => format!(">= {bound}"),
        }
    }
}

impl Line {
    pub fn new(what: impl Into<String>, measured: f64, unit: &'static str, beside: impl Into<String>) -> Self {
        let (what, beside) = (what.into(), beside.into());
        Self { what, measured, unit, p99: None, beside, ratio: None, promise: None, holds: None }
    }

    #[must_use]
    pub fn p99(self, p99: f64) -> Self {
        Self { p99: Some(p99), ..self }
    }

    /// Holds the measured number to a bound.
    #[must_use]
    pub fn promise(self, promise: Promise) -> Self {
        Self { promise: Some(promise), holds: Some(promise.holds(self.measured)), ..self }
    }

    /// Holds the measured number's ratio to `comparison` to a bound.
    #[must_use]
    pub fn promise_beside(self, comparison: f64, promise: Promise) -> Self {
        let ratio = self.measured / comparison;
        Self { ratio: Some(ratio), promise: Some(promise), holds: Some(promise.holds(ratio)), ..self }
    }
}

/// The number below which `share` of all lie; sorts them.
pub fn quantile(numbers: &mut [f64], share: f64) -> f64 {
    numbers.sort_by(f64::total_cmp);
    let below = numbers.iter().zip(1_u32..).find(|(_, rank)| f64::from(*rank) >= share * count(numbers));
    below.map(|(number, _)| *number).unwrap_or_default()
}

fn count(numbers: &[f64]) -> f64 {
    u32::try_from(numbers.len()).map_or(f64::MAX, f64::from)
}

pub fn median(mut numbers: Vec<f64>) -> f64 {
    quantile(&mut numbers, 0.5)
}

/// Prints the table on standard output.
pub fn print(lines: &[Line]) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{:<62} {:>10} {:<4} {:>9}  {:<58} {:>6}  promise", "what", "measured", "", "p99", "beside", "ratio")?;
    for line in lines {
        let number = |number: Option<f64>, digits: usize| number.map(|number| format!("{number:.digits$}")).unwrap_or_default();
        let verdict = match (line.promise, line.holds) {
            (Some(promise), Some(true)) => format!("{} holds", promise.words()),
            (Some(promise), _) => format!("{} MISSED", promise.words()),
            (None, _) => String::new(),
        };
        let digits = usize::from(line.measured < 10_000.0) + usize::from(line.measured < 10.0);
        writeln!(
            out,
            "{:<62} {:>10} {:<4} {:>9}  {:<58} {:>6}  {verdict}",
            line.what,
            number(Some(line.measured), digits),
            line.unit,
            number(line.p99, 2),
            line.beside,
            number(line.ratio, 2),
        )?;
    }
    Ok(())
}
