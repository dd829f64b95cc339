//! Finds where code names a connection: Python by its syntax tree, notebooks, SQL with templates, `.env`, YAML. Reads files and nothing
//! else: runs no code, opens no socket, follows no link, and tells of a file nothing but names and lines.
//!
//! A finding says what would be seen running. Of a DAG that is its id and not that of a task: the SDK tells `dag.task`, or
//! `dag.group.task` where the task stands in a group, which the call that makes the task does not show; so whoever holds findings
//! against what was seen takes `dag` for all that begins with `dag.`. Of everything else it is the file.
//!
//! What does not belong here: the report to a server, and anything that prints.

mod checkout;
#[cfg(test)]
mod fuzz;
mod jinja;
mod notebook;
mod pattern;
mod prefilter;
mod python;
mod report;
mod settings;
mod text;
mod walk;
mod yaml;

use std::{
    io,
    path::Path,
    sync::{Mutex, PoisonError},
};

use dataflow_model::WorkflowKind;
use ignore::{DirEntry, WalkState};

pub use self::{
    checkout::Checkout,
    report::{Certainty, Finding, Reason, Report, Unreadable, Unresolved},
};
use self::{
    python::Found,
    walk::{Form, relative},
};

/// Reads all that is below `root`.
///
/// # Errors
/// If `root` is no folder that can be listed; whatever is wrong inside of it is in the report.
pub fn scan(root: &Path) -> io::Result<Report> {
    let root = std::fs::canonicalize(root)?;
    std::fs::read_dir(&root)?;
    let report = Mutex::new(Report::default());
    walk::walker(&root).run(|| {
        let mut worker = Worker { root: &root, python: python::Reader::new(), report: Report::default(), into: &report };
        Box::new(move |entry| {
            worker.take(entry);
            WalkState::Continue
        })
    });
    let mut report = report.into_inner().unwrap_or_else(PoisonError::into_inner);
    report.settle();
    Ok(report)
}

/// One thread's share; it is put to the others' when the thread is done.
struct Worker<'a> {
    root: &'a Path,
    python: python::Reader,
    report: Report,
    into: &'a Mutex<Report>,
}

impl Drop for Worker<'_> {
    fn drop(&mut self) {
        let mut into = self.into.lock().unwrap_or_else(PoisonError::into_inner);
        let Report { files, findings, unresolved, unreadable } = std::mem::take(&mut self.report);
        into.files += files;
        into.findings.extend(findings);
        into.unresolved.extend(unresolved);
        into.unreadable.extend(unreadable);
    }
}

impl Worker<'_> {
    fn take(&mut self, entry: Result<DirEntry, ignore::Error>) {
        match entry {
            Ok(entry) => self.entry(&entry),
            Err(error) => {
                let file = place_of(&error).map(|path| relative(self.root, path)).unwrap_or_default();
                let reason = error.io_error().map_or(Reason::Failed, walk::reason);
                self.report.unreadable.push(Unreadable { file, reason });
            }
        }
    }

    fn entry(&mut self, entry: &DirEntry) {
        let (path, Some(kind)) = (entry.path(), entry.file_type()) else { return };
        let form = entry.file_name().to_str().and_then(Form::of);
        let missed = if kind.is_symlink() {
            walk::missed_behind_link(self.root, path)
        } else if let (false, Some(form)) = (kind.is_dir(), form) {
            if kind.is_file() { self.file(path, form).err() } else { Some(Reason::NotAFile) }
        } else {
            None
        };
        if let Some(reason) = missed {
            self.report.unreadable.push(Unreadable { file: relative(self.root, path), reason });
        }
    }

    fn file(&mut self, path: &Path, form: Form) -> Result<(), Reason> {
        let bytes = walk::contents(path, form)?;
        self.report.files += 1;
        if !prefilter::may_name(&bytes, form) {
            return Ok(());
        }
        let text = text::decode(&bytes, form == Form::Python)?;
        let found = read(&mut self.python, &text, form);
        let file = relative(self.root, path);
        let kind = match form {
            Form::Notebook => WorkflowKind::Notebook,
            Form::Yaml { is_dbt: true } => WorkflowKind::Pipeline,
            _ => found.kind.unwrap_or(WorkflowKind::Script),
        };
        let workflow = |dag: Option<String>| dag.filter(|dag| !dag.is_empty()).unwrap_or_else(|| file.clone());
        self.report.findings.extend(found.named.into_iter().map(|named| Finding {
            connection: named.connection,
            kind,
            workflow: workflow(named.dag),
            file: file.clone(),
            line: named.line,
            certainty: named.certainty,
        }));
        self.report.unresolved.extend(found.open.into_iter().map(|open| Unresolved {
            kind,
            workflow: workflow(open.dag),
            file: file.clone(),
            line: open.line,
            patterns: vec![open.pattern],
        }));
        found.problem.map_or(Ok(()), Err)
    }
}

/// What a text of that form names.
fn read(python: &mut python::Reader, text: &str, form: Form) -> Found {
    let (named, problem) = match form {
        Form::Python => return python.read(text),
        Form::Notebook => return notebook::read(python, text),
        Form::Yaml { .. } => yaml::read(text),
        Form::Dotenv => (settings::dotenv(text), None),
        Form::Sql => (settings::templates(text), None),
    };
    let named = named.into_iter().map(|(row, connection, certainty)| python::Named {
        connection,
        line: python::line(row),
        certainty,
        dag: None,
    });
    Found { named: named.collect(), problem, ..Found::default() }
}

/// What an error of the walk is about.
fn place_of(error: &ignore::Error) -> Option<&Path> {
    match error {
        ignore::Error::WithPath { path, .. } => Some(path),
        ignore::Error::Loop { child, .. } => Some(child),
        ignore::Error::WithDepth { err, .. } | ignore::Error::WithLineNumber { err, .. } => place_of(err),
        ignore::Error::Partial(all) => all.iter().find_map(place_of),
        _ => None,
    }
}
