//! Jupyter notebooks of version 4: their code cells as one piece of Python, and their SQL magics.
//!
//! Lines are those of the file, not of a cell: there an editor or a web page of a repository can go to, and Jupyter writes each line of a
//! cell as a line of the file.

use memchr::memmem;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    python::{self, Found, Named},
    report::{Certainty, Reason},
};
use dataflow_model::ConnectionName;

#[derive(Deserialize)]
struct Notebook<'a> {
    #[serde(borrow)]
    cells: Vec<Cell<'a>>,
    #[serde(default)]
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Cell<'a> {
    cell_type: String,
    #[serde(borrow)]
    source: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
struct Metadata {
    kernelspec: Option<Kernel>,
}

#[derive(Deserialize)]
struct Kernel {
    language: Option<String>,
    name: Option<String>,
}

impl Metadata {
    fn is_python(&self) -> bool {
        let Some(kernel) = &self.kernelspec else { return true };
        let word = kernel.language.as_deref().or(kernel.name.as_deref()).unwrap_or("python").to_ascii_lowercase();
        word.contains("python") || word.contains("pyspark") || word.contains("conda")
    }
}

/// Cells whose first line is one of these magics hold Python.
const PYTHON_CELLS: [&str; 7] = ["time", "timeit", "capture", "prun", "python", "python3", "memit"];
/// Magics of a line that run Python.
const PYTHON_LINES: [&str; 6] = ["time", "timeit", "prun", "memit", "mprun", "lprun"];

/// The code as Python, with the line of the file that each of its lines stands in.
#[derive(Default)]
struct Code {
    text: String,
    lines: Vec<u32>,
    /// Names that SQL magics take: aliases of connections, or variables.
    magics: Vec<(u32, String)>,
}

pub fn read(reader: &mut python::Reader, text: &str) -> Found {
    let Ok(notebook) = serde_json::from_str::<Notebook<'_>>(text) else {
        return Found { problem: Some(Reason::NotANotebook), ..Found::default() };
    };
    let mut code = Code::default();
    let place = Place { text, newlines: memchr::memchr_iter(b'\n', text.as_bytes()).collect() };
    let is_python = notebook.metadata.is_python();
    for source in notebook.cells.iter().filter(|cell| cell.cell_type == "code").filter_map(|cell| cell.source) {
        code.cell(&lines(source, &place), is_python);
    }
    let mut found = reader.read(&code.text);
    let line = |row: u32| usize::try_from(row).ok().and_then(|row| code.lines.get(row.checked_sub(1)?)).copied().unwrap_or(1);
    found.named.iter_mut().for_each(|named| named.line = line(named.line));
    found.open.iter_mut().for_each(|open| open.line = line(open.line));
    if let Some(Reason::Syntax { line: row }) = &mut found.problem {
        *row = line(*row);
    }
    if memmem::find(text.as_bytes(), b"ataflow").is_some() {
        let named = code.magics.iter().filter(|(_, name)| !binds(&code.text, name));
        found.named.extend(named.filter_map(|(line, name)| {
            let connection = ConnectionName::new(name.as_str()).ok()?;
            Some(Named { connection, line: *line, certainty: Certainty::Maybe, dag: None })
        }));
    }
    found
}

/// Where the pieces of a file's text stand in it.
struct Place<'a> {
    text: &'a str,
    newlines: Vec<usize>,
}

impl Place<'_> {
    fn line(&self, piece: &RawValue) -> u32 {
        let offset = piece.get().as_ptr().addr().saturating_sub(self.text.as_ptr().addr());
        let row = self.newlines.partition_point(|newline| *newline < offset);
        u32::try_from(row).unwrap_or(u32::MAX).saturating_add(1)
    }
}

/// The lines of a cell, each with its line of the file.
fn lines(source: &RawValue, place: &Place<'_>) -> Vec<(u32, String)> {
    let pieces: Vec<&RawValue> = serde_json::from_str(source.get()).unwrap_or_else(|_| vec![source]);
    let texts =
        pieces.into_iter().filter_map(|piece| Some((place.line(piece), serde_json::from_str::<String>(piece.get()).ok()?)));
    texts.flat_map(|(line, text)| text.lines().map(|part| (line, part.to_owned())).collect::<Vec<_>>()).collect()
}

impl Code {
    fn cell(&mut self, lines: &[(u32, String)], is_python: bool) {
        let first = lines.iter().position(|(_, text)| !text.trim().is_empty()).unwrap_or_default();
        let magic = lines.get(first).and_then(|(_, text)| text.trim_start().strip_prefix("%%"));
        let (name, arguments) = split(magic.unwrap_or_default());
        if name == "sql" {
            self.sql(lines.get(first).map_or(1, |(line, _)| *line), arguments, true);
            return;
        }
        if !(magic.map_or(is_python, |_| PYTHON_CELLS.contains(&name))) {
            return;
        }
        let body = lines.get(if magic.is_some() { first + 1 } else { 0 }..).unwrap_or_default();
        for (line, text) in body {
            let python = self.python(*line, text);
            self.text.push_str(&python);
            self.text.push('\n');
            self.lines.push(*line);
        }
    }

    /// A line as Python: what a magic runs of it, or nothing.
    fn python(&mut self, line: u32, text: &str) -> String {
        let code = text.trim_start();
        let indent = text.get(..text.len() - code.len()).unwrap_or_default();
        if let Some((target, right)) = code.split_once('=')
            && let Some(magic) = right.trim_start().strip_prefix(['%', '!'])
            && target.trim().chars().all(|letter| letter.is_alphanumeric() || matches!(letter, '_' | ',' | ' '))
        {
            let run = self.magic(line, magic).unwrap_or_else(|| "None".to_owned());
            return format!("{indent}{target}= {run}");
        }
        if code.starts_with(['!', '?']) || code.trim_end().ends_with('?') {
            return format!("{indent}pass");
        }
        match code.strip_prefix('%') {
            Some(magic) => format!("{indent}{}", self.magic(line, magic).unwrap_or_else(|| "pass".to_owned())),
            None => text.to_owned(),
        }
    }

    /// The Python that a line's magic runs.
    fn magic(&mut self, line: u32, magic: &str) -> Option<String> {
        let (name, arguments) = split(magic);
        if name == "sql" {
            self.sql(line, arguments, false);
            // IPython puts the value of `{…}` into a magic's line before it runs.
            let (_, inside) = arguments.split_once('{')?;
            return inside.rsplit_once('}').map(|(inside, _)| format!("({inside})"));
        }
        let mut code = PYTHON_LINES.contains(&name).then_some(arguments)?.trim_start();
        while let Some(option) = code.strip_prefix('-') {
            let option = option.trim_start_matches(char::is_alphabetic).trim_start();
            code = option.trim_start_matches(|letter: char| letter.is_ascii_digit()).trim_start();
        }
        (!code.is_empty()).then(|| code.to_owned())
    }

    /// `%sql --alias sales`, `%sql --section sales`, `%%sql sales`: <https://jupysql.ploomber.io/en/latest/api/magic-sql.html>
    fn sql(&mut self, line: u32, arguments: &str, is_cell: bool) {
        let words: Vec<_> = arguments.split_whitespace().collect();
        let mut free = Vec::new();
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            match word {
                "--alias" | "-A" | "--section" | "-s" => self.magics.extend(words.next().map(|name| (line, name.to_owned()))),
                _ if word.starts_with('-') => {}
                _ => free.push(word),
            }
        }
        if let ([name], true) = (free.as_slice(), is_cell) {
            self.magics.push((line, (*name).to_owned()));
        }
    }
}

fn split(magic: &str) -> (&str, &str) {
    magic.split_once(char::is_whitespace).unwrap_or((magic, ""))
}

/// Whether Python gives `name` a value: then a magic takes that, and not what is called so.
fn binds(text: &str, name: &str) -> bool {
    text.lines().any(|line| {
        let assigned = line.trim_start().strip_prefix(name).is_some_and(|rest| rest.trim_start().starts_with('='));
        assigned || line.trim_end().trim_end_matches(':').ends_with(&format!(" as {name}"))
    })
}
