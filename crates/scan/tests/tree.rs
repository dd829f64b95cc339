//! Folders with all that lies in them in practice: what is read, what is left out, what is listed.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::{fs::symlink, net::UnixListener},
    path::Path,
    time::{Duration, Instant},
};

use dataflow_scan::{Report, scan};
use rustix::fs::{CWD, FileType, Mode};
use tempfile::TempDir;

const USE: &str = "from dataflow.dataflow import Dataflow\nDataflow().connection(\"sales\")\n";

fn write(root: &Path, files: &[(&str, &[u8])]) {
    for (name, bytes) in files {
        let path = root.join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        fs::write(path, bytes).expect("a file");
    }
}

fn found(report: &Report) -> Vec<&str> {
    report.findings.iter().map(|finding| finding.file.as_str()).collect()
}

fn unreadable(report: &Report) -> BTreeMap<&str, String> {
    report.unreadable.iter().map(|file| (file.file.as_str(), file.reason.to_string())).collect()
}

#[test]
fn what_others_wrote_and_what_git_leaves_out_is_not_read() {
    let root = TempDir::new().expect("a folder");
    let text = USE.as_bytes();
    write(
        root.path(),
        &[
            ("a.py", text),
            (".github/b.py", text),
            ("deep/er/c.py", text),
            ("ignored.py", text),
            ("build/d.py", text),
            ("kept/build/e.py", text),
            ("fixtures/f.py", text),
            (".gitignore", b"/ignored.py\n/build/\n*.env\n"),
            (".dataflowignore", b"fixtures/\n"),
            ("prod.env", b"SALES_CONN_ID=sales"),
            (".git/g.py", text),
            ("node_modules/h.py", text),
            ("__pycache__/i.py", text),
            ("my-environment/pyvenv.cfg", b"home = /usr"),
            ("my-environment/lib/j.py", text),
            ("lib/python3.11/site-packages/k.py", text),
            ("l.txt", text),
        ],
    );
    let report = scan(root.path()).expect("a folder");
    assert_eq!(found(&report), [".github/b.py", "a.py", "deep/er/c.py", "kept/build/e.py"]);
    assert_eq!((report.files, report.unreadable.len()), (4, 0));
    // A part of it: what is above still says what is left out.
    assert_eq!(found(&scan(&root.path().join("kept")).expect("a folder")), ["build/e.py"]);
}

#[test]
fn what_cannot_be_read_is_listed_and_stops_nothing() {
    let (root, outside) = (TempDir::new().expect("a folder"), TempDir::new().expect("a folder"));
    let (path, text) = (root.path(), USE.as_bytes());
    let mut latin = b"# coding: latin-1\n# \xe9\n".to_vec();
    latin.extend(text);
    write(outside.path(), &[("secret.py", text)]);
    write(
        path,
        &[
            ("good.py", text),
            ("latin.py", &latin),
            (
                "utf16.env",
                &[b"\xff\xfe".as_slice(), &"A_CONN_ID=wide".encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>()]
                    .concat(),
            ),
            ("not-utf8.py", &[text, b"# \xe9\n"].concat()),
            ("strange.py", &[b"# coding: shift_jis\n# \x83\x5c\n".as_slice(), text].concat()),
            ("binary.py", &[text, b"\x00"].concat()),
            ("not-utf8-and-nothing-in-it.py", b"# \xe9\n"),
            ("large.py", &[text, " ".repeat(3 << 20).as_bytes()].concat()),
            ("large-notebook.ipynb", &[b"{\"cells\": []}".as_slice(), " ".repeat(3 << 20).as_bytes()].concat()),
            ("broken.ipynb", b"{\"cells\": [dataflow.connection()"),
            ("broken.yaml", b"a_conn_id: first\nb: [\n  conn_id: }\n"),
            ("broken.py", &[text, b"def (:\n"].concat()),
        ],
    );
    for name in ["pipe.py", "pipe"] {
        rustix::fs::mknodat(CWD, path.join(name), FileType::Fifo, Mode::RUSR, 0).expect("a pipe");
    }
    let _socket = UnixListener::bind(path.join("socket.yml")).expect("a socket");
    symlink(outside.path(), path.join("out")).expect("a link");
    symlink(outside.path().join("secret.py"), path.join("out.py")).expect("a link");
    symlink("good.py", path.join("same.py")).expect("a link");
    symlink(".", path.join("loop")).expect("a link");
    symlink("self.py", path.join("self.py")).expect("a link");
    symlink("absent.py", path.join("dangling.py")).expect("a link");
    symlink("absent", path.join("dangling")).expect("a link");
    let begun = Instant::now();
    let report = scan(path).expect("a folder");
    assert!(begun.elapsed() < Duration::from_secs(10), "no pipe was waited for");
    assert_eq!(found(&report), ["broken.py", "broken.yaml", "good.py", "latin.py", "utf16.env"]);
    let listed = unreadable(&report);
    let wanted = [
        ("binary.py", "is not text"),
        ("broken.ipynb", "is not a notebook of version 4"),
        ("broken.py", "has a syntax error at line 3: names near it may be missing"),
        ("broken.yaml", "is not YAML from line 4 on"),
        ("dangling.py", "is a link that leads nowhere"),
        ("large.py", "is too large"),
        ("not-utf8.py", "is not UTF-8 and names no other encoding"),
        ("out", "is a link out of the folder"),
        ("out.py", "is a link out of the folder"),
        ("pipe.py", "is a pipe, a socket or a device"),
        ("self.py", "is a link that leads nowhere"),
        ("socket.yml", "is a pipe, a socket or a device"),
        ("strange.py", "is in an encoding that is not read"),
    ];
    assert_eq!(listed, wanted.map(|(file, reason)| (file, reason.to_owned())).into_iter().collect());
}

#[test]
fn a_folder_that_is_none_is_an_error() {
    let root = TempDir::new().expect("a folder");
    write(root.path(), &[("file", b"")]);
    assert!(scan(&root.path().join("file")).is_err() && scan(&root.path().join("absent")).is_err());
    let empty = TempDir::new().expect("a folder");
    assert_eq!(scan(empty.path()).expect("a folder").files, 0);
}

#[test]
fn names_of_files_need_not_be_text() {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _};
    let root = TempDir::new().expect("a folder");
    fs::create_dir(root.path().join(OsStr::from_bytes(b"\xe9"))).expect("a folder");
    fs::write(root.path().join(OsStr::from_bytes(b"\xe9/x\x1b[2J.py")), USE).expect("a file");
    assert_eq!(found(&scan(root.path()).expect("a folder")), ["\u{fffd}/x\u{fffd}[2J.py"]);
}
