//! What a folder is a checkout of, read from git's files: on a build server there may be no git.

use std::path::{Path, PathBuf};

use crate::walk::contents_below;

/// Longest name of a project that a server takes.
const PROJECT_MAX: usize = 250;
/// `packed-refs` has a line for each branch and tag.
const REFS_MAX: u64 = 16 * 1024 * 1024;
const SMALL_MAX: u64 = 64 * 1024;

/// What a folder is called by default, and at which commit it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkout {
    /// The repository's name as its origin has it, else that of its folder; of a folder inside of it with its path: `etl.dags`. So
    /// two clones are one project, and two parts of one repository are two.
    pub project: String,
    pub commit: Option<String>,
}

impl Checkout {
    pub fn of(folder: &Path) -> Self {
        let folder = std::fs::canonicalize(folder).unwrap_or_else(|_| folder.to_path_buf());
        let Some((top, git)) = folder.ancestors().find_map(|top| Some((top, Git::find(top)?))) else {
            return Self { project: project(&[&name_of(&folder)]), commit: None };
        };
        let repository = git.origin().unwrap_or_else(|| name_of(top));
        let inside = folder.strip_prefix(top).unwrap_or(Path::new(""));
        let mut parts = vec![repository];
        parts.extend(inside.components().map(|part| part.as_os_str().to_string_lossy().into_owned()));
        let parts: Vec<_> = parts.iter().map(String::as_str).collect();
        Self { project: project(&parts), commit: git.commit() }
    }
}

fn name_of(folder: &Path) -> String {
    folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// A name that a server takes: 1 to 250 of `A-Z a-z 0-9 _ . -`, first a letter or digit.
fn project(parts: &[&str]) -> String {
    let allowed = |letter: char| if letter.is_ascii_alphanumeric() || "_.-".contains(letter) { letter } else { '-' };
    let name: String = parts.join(".").chars().map(allowed).collect();
    let name: String = name.trim_start_matches(['_', '.', '-']).chars().take(PROJECT_MAX).collect();
    if name.is_empty() { "project".to_owned() } else { name }
}

/// A repository's own folder, and the one that all its work trees share.
struct Git {
    own: PathBuf,
    common: PathBuf,
}

impl Git {
    fn find(top: &Path) -> Option<Self> {
        let dot = top.join(".git");
        let own = if dot.is_dir() {
            dot
        } else {
            // A work tree or a submodule: `gitdir: PATH`.
            let text = text(&dot, SMALL_MAX)?;
            top.join(text.strip_prefix("gitdir:")?.trim())
        };
        own.join("HEAD").is_file().then_some(())?;
        let common = text(&own.join("commondir"), SMALL_MAX).map_or_else(|| own.clone(), |path| own.join(path.trim()));
        Some(Self { own, common })
    }

    /// What `HEAD` stands for; `None` before the first commit, and where refs are kept in a form that is not read here.
    fn commit(&self) -> Option<String> {
        let head = text(&self.own.join("HEAD"), SMALL_MAX)?;
        let Some(name) = head.strip_prefix("ref:").map(str::trim) else { return commit(&head) };
        if !name.starts_with("refs/") || name.split('/').any(|part| part.is_empty() || part == "..") {
            return None;
        }
        let loose = [&self.own, &self.common].into_iter().find_map(|folder| text(&folder.join(name), SMALL_MAX));
        if let Some(found) = loose.as_deref().and_then(commit) {
            return Some(found);
        }
        packed(&text(&self.common.join("packed-refs"), REFS_MAX)?, name)
    }

    fn origin(&self) -> Option<String> {
        origin(&text(&self.common.join("config"), SMALL_MAX)?)
    }
}

fn text(path: &Path, limit: u64) -> Option<String> {
    String::from_utf8(contents_below(path, limit).ok()?).ok()
}

fn commit(text: &str) -> Option<String> {
    let hash = text.trim();
    let is_one = matches!(hash.len(), 40 | 64) && hash.bytes().all(|digit| digit.is_ascii_hexdigit());
    is_one.then(|| hash.to_ascii_lowercase())
}

fn packed(text: &str, wanted: &str) -> Option<String> {
    text.lines().find_map(|line| line.split_once(' ').filter(|(_, name)| *name == wanted).and_then(|(hash, _)| commit(hash)))
}

/// The last part of the path of `origin`'s URL, which may have a token before it.
fn origin(config: &str) -> Option<String> {
    let mut is_origin = false;
    for line in config.lines().map(str::trim) {
        if line.starts_with('[') {
            is_origin = line.replace(' ', "") == "[remote\"origin\"]";
        } else if let Some(url) =
            line.split_once('=').filter(|(key, _)| is_origin && key.trim() == "url").map(|(_, url)| url.trim())
        {
            let path = match url.split_once("://") {
                Some((_, rest)) => rest.split_once('/')?.1,
                // `git@host:group/etl.git`, or a path.
                None => url.split_once(':').map_or(url, |(_, path)| path),
            };
            let path = path.split(['?', '#']).next()?.trim_end_matches('/');
            let name = path.rsplit('/').next()?;
            let name = name.strip_suffix(".git").unwrap_or(name);
            return Some(name.to_owned()).filter(|name| !name.is_empty());
        }
    }
    None
}

#[cfg(test)]
pub(crate) fn read_foreign(text: &str) {
    let _ = (packed(text, "refs/heads/main"), commit(text), origin(text), project(&[text]));
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rstest::rstest;
    use tempfile::TempDir;

    use super::*;

    const ONE: &str = "0123456789abcdef0123456789abcdef01234567";
    const OTHER: &str = "89abcdef0123456789abcdef0123456789abcdef";

    fn write(folder: &Path, files: &[(&str, &str)]) {
        for (name, text) in files {
            let path = folder.join(name);
            fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            fs::write(path, text).expect("a file");
        }
    }

    #[test]
    fn a_clone_a_branch_that_is_packed_and_a_work_tree() {
        let folder = TempDir::new().expect("a folder");
        let top = folder.path().join("my clone");
        write(
            &top,
            &[(".git/HEAD", "ref: refs/heads/main\n"), (".git/refs/heads/main", &format!("{ONE}\n")), ("dags/x/a.py", "")],
        );
        let of = |path: &Path| {
            let Checkout { project, commit } = Checkout::of(path);
            (project, commit)
        };
        assert_eq!(of(&top), ("my-clone".to_owned(), Some(ONE.to_owned())));
        assert_eq!(of(&top.join("dags/x")).0, "my-clone.dags.x");
        let config =
            "[core]\n\tbare = false\n[remote \"origin\"]\n\turl = https://ci:planted-token@git.example.org/data/etl.git\n";
        write(&top, &[(".git/config", config)]);
        assert_eq!(of(&top).0, "etl");
        fs::remove_file(top.join(".git/refs/heads/main")).expect("own file");
        assert_eq!(of(&top).1, None, "before the first commit");
        write(
            &top,
            &[(
                ".git/packed-refs",
                &format!("# pack-refs with: peeled\n{OTHER} refs/heads/main2\n{ONE} refs/heads/main\n^{OTHER}\n"),
            )],
        );
        assert_eq!(of(&top).1.as_deref(), Some(ONE));
        write(&top, &[(".git/HEAD", OTHER)]);
        assert_eq!(of(&top).1.as_deref(), Some(OTHER), "a detached head");

        let tree = folder.path().join("tree");
        let own = top.join(".git/worktrees/tree");
        write(&own, &[("HEAD", "ref: refs/heads/side"), ("commondir", "../..\n")]);
        write(&top, &[(".git/refs/heads/side", OTHER)]);
        write(&tree, &[(".git", &format!("gitdir: {}\n", own.display()))]);
        assert_eq!(of(&tree), ("etl".to_owned(), Some(OTHER.to_owned())));
    }

    #[test]
    fn no_repository_and_broken_ones() {
        let folder = TempDir::new().expect("a folder");
        let path = folder.path().join("..etl job");
        fs::create_dir(&path).expect("a folder");
        assert_eq!(Checkout::of(&path).project, "etl-job");
        for head in ["", "ref: ../../etc/passwd", "ref: refs/../../x", "ref: refs/heads/.invalid", "nonsense"] {
            write(&path, &[(".git/HEAD", head)]);
            assert_eq!(Checkout::of(&path).commit, None, "{head}");
        }
    }

    #[rstest]
    #[case("git@host:group/etl.git", Some("etl"))]
    #[case("ssh://git@host:22/group/etl/", Some("etl"))]
    #[case("/srv/git/etl.git", Some("etl"))]
    #[case("https://planted-token@host", None)]
    #[case("https://host/", None)]
    #[case("https://host/etl?token=planted", Some("etl"))]
    fn origins(#[case] url: &str, #[case] name: Option<&str>) {
        assert_eq!(origin(&format!("[remote \"fork\"]\nurl = x/other\n[remote \"origin\"]\n\turl = {url}\n")).as_deref(), name);
    }
}
