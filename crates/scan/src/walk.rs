//! The files of a folder: which are read, as what, and how without waiting for one that never ends.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    path::{Component, Path},
};

use ignore::{DirEntry, WalkBuilder, WalkParallel};
use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
};

use crate::report::Reason;

/// Largest file that is read; notebooks keep pictures in themselves.
const SIZE_MAX: u64 = 2 * 1024 * 1024;
const NOTEBOOK_MAX: u64 = 64 * 1024 * 1024;
/// Folders of what others wrote, or a tool.
const SKIPPED: [&str; 17] = [
    ".git",
    ".hg",
    ".svn",
    ".ipynb_checkpoints",
    ".mypy_cache",
    ".nox",
    ".pytest_cache",
    ".ruff_cache",
    ".terraform",
    ".tox",
    ".venv",
    "__pycache__",
    "__pypackages__",
    "dbt_packages",
    "node_modules",
    "site-packages",
    "dist-packages",
];
/// A file of rules as in `.gitignore`, for this scan alone.
const RULES: &str = ".dataflowignore";

/// What is read of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Python,
    Notebook,
    Yaml { is_dbt: bool },
    Dotenv,
    Sql,
}

impl Form {
    pub fn of(name: &str) -> Option<Self> {
        let lower = name.to_ascii_lowercase();
        if lower == ".env" || lower.starts_with(".env.") || lower == ".flaskenv" {
            return Some(Self::Dotenv);
        }
        let (_, end) = lower.rsplit_once('.')?;
        match end {
            "py" | "pyw" => Some(Self::Python),
            "ipynb" => Some(Self::Notebook),
            "yml" | "yaml" => {
                Some(Self::Yaml { is_dbt: matches!(lower.as_str(), "profiles.yml" | "dbt_project.yml" | "profiles.yaml") })
            }
            "env" => Some(Self::Dotenv),
            "sql" => Some(Self::Sql),
            _ => None,
        }
    }

    fn size_max(self) -> u64 {
        if self == Self::Notebook { NOTEBOOK_MAX } else { SIZE_MAX }
    }
}

pub fn walker(root: &Path) -> WalkParallel {
    WalkBuilder::new(root)
        // `.env` and `.github` are hidden, too.
        .hidden(false)
        .ignore(false)
        .git_ignore(true)
        .parents(true)
        .require_git(false)
        // What is found is the same on every machine.
        .git_global(false)
        .git_exclude(false)
        .add_custom_ignore_filename(RULES)
        .follow_links(false)
        .filter_entry(is_entered)
        .build_parallel()
}

fn is_entered(entry: &DirEntry) -> bool {
    if entry.depth() == 0 || !entry.file_type().is_some_and(|kind| kind.is_dir()) {
        return true;
    }
    // A virtual environment may have any name.
    !entry.file_name().to_str().is_some_and(|name| SKIPPED.contains(&name)) && !entry.path().join("pyvenv.cfg").is_file()
}

/// The path below `root`, with `/`, without letters that would move a terminal's cursor.
pub fn relative(root: &Path, path: &Path) -> String {
    let below = path.strip_prefix(root).unwrap_or(path);
    let parts = below.components().filter_map(|part| match part {
        Component::Normal(part) => Some(part.to_string_lossy()),
        _ => None,
    });
    let joined = parts.collect::<Vec<_>>().join("/");
    joined.chars().map(|letter| if letter.is_control() { char::REPLACEMENT_CHARACTER } else { letter }).collect()
}

/// Why a link is not read: what it leads to is read where it stands, unless that is elsewhere. `None` if nothing is missed.
pub fn missed_behind_link(root: &Path, path: &Path) -> Option<Reason> {
    let is_wanted = || path.file_name().and_then(|name| Form::of(name.to_str()?)).is_some();
    match fs::canonicalize(path) {
        Ok(target) if target.starts_with(root) => None,
        Ok(target) => (target.is_dir() || is_wanted()).then_some(Reason::LinkOutside),
        Err(_) => is_wanted().then_some(Reason::LinkNowhere),
    }
}

/// The bytes of a file.
///
/// # Errors
/// Why it is not read.
pub fn contents(path: &Path, form: Form) -> Result<Vec<u8>, Reason> {
    contents_below(path, form.size_max())
}

/// The bytes of a file of at most `limit`.
///
/// # Errors
/// Why it is not read.
pub fn contents_below(path: &Path, limit: u64) -> Result<Vec<u8>, Reason> {
    // A pipe that was put in the file's place since it was seen would be waited for at its opening.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NOCTTY;
    let opened = rustix::fs::open(path, flags, Mode::empty()).map_err(|error| reason(&error.into()))?;
    let mut file = File::from(opened);
    let metadata = file.metadata().map_err(|error| reason(&error))?;
    if !metadata.is_file() {
        return Err(Reason::NotAFile);
    }
    if metadata.len() > limit {
        return Err(Reason::TooLarge);
    }
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or_default().saturating_add(1));
    // It may grow meanwhile.
    file.by_ref().take(limit + 1).read_to_end(&mut bytes).map_err(|error| reason(&error))?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > limit) {
        return Err(Reason::TooLarge);
    }
    Ok(bytes)
}

pub fn reason(error: &io::Error) -> Reason {
    match error.kind() {
        io::ErrorKind::PermissionDenied => Reason::Forbidden,
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Reason::Gone,
        // A link was put in its place since it was seen.
        _ if Errno::from_io_error(error) == Some(Errno::LOOP) => Reason::LinkNowhere,
        _ => Reason::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_known_by_their_names() {
        for (name, form) in [
            ("a.py", Some(Form::Python)),
            ("A.PY", Some(Form::Python)),
            ("a.ipynb", Some(Form::Notebook)),
            ("profiles.yml", Some(Form::Yaml { is_dbt: true })),
            ("values.yaml", Some(Form::Yaml { is_dbt: false })),
            (".env", Some(Form::Dotenv)),
            (".env.example", Some(Form::Dotenv)),
            ("prod.env", Some(Form::Dotenv)),
            ("q.sql", Some(Form::Sql)),
            ("environment", None),
            ("a.pyc", None),
            ("py", None),
        ] {
            assert_eq!(Form::of(name), form, "{name}");
        }
    }

    #[test]
    fn a_path_is_told_without_what_moves_a_cursor() {
        assert_eq!(relative(Path::new("/a"), Path::new("/a/b\x1b[2J/c.py")), "b\u{fffd}[2J/c.py");
    }
}
