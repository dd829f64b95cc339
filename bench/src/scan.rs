//! `dataflow scan` over 10,000 files, beside `grep -rE` and Python's own parser over the same.

use std::{
    fmt::Write as _,
    fs,
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context, ensure};
use tempfile::TempDir;

use crate::{
    report::{Line, Promise, median},
    server::binary,
};

/// Files that are read, of all forms.
const FILES: u32 = 10_000;
const ROUNDS: usize = 5;
/// Seconds.
const LONGEST: f64 = 5.0;

pub fn measure(python: &Path) -> anyhow::Result<Vec<Line>> {
    let folder = TempDir::new()?;
    let tree = fill(folder.path())?;
    let (mut ours, mut grep, mut ast) = (Vec::new(), Vec::new(), Vec::new());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scan.py");
    for round in 0..=ROUNDS {
        let scan = seconds(Command::new(binary()?).args(["scan", "--no-report", "--output", "json"]).arg(folder.path()))?;
        let found: serde_json::Value = serde_json::from_slice(&scan.output).context("read what was found")?;
        let places = found.get("findings").and_then(|found| found.as_array()).map_or(0, Vec::len);
        ensure!(
            found.get("files") == Some(&FILES.into()) && places == tree.places,
            "{places} places of {} were found",
            tree.places
        );
        let greps = seconds(Command::new("grep").args(["-rE", r"\.connection\(|conn_id"]).arg(folder.path()))?;
        // Python's takes long, and is told once.
        let parse = if round == 0 { Some(seconds(Command::new(python).arg(script).arg(folder.path()))?) } else { None };
        // The first round reads the disk.
        if round > 0 {
            ours.push(scan.seconds);
            grep.push(greps.seconds);
        }
        ast.extend(parse.map(|parse| parse.seconds));
    }
    let beside = format!("grep -rE {:.2} s; Python's ast, its {} files alone {:.1} s", median(grep), tree.python, median(ast));
    let what = format!("dataflow scan, {FILES} files, {} MB, {} places", tree.bytes / 1_000_000, tree.places);
    Ok(vec![Line::new(what, median(ours), "s", beside).promise(Promise::Below(LONGEST))])
}

struct Ran {
    output: Vec<u8>,
    seconds: f64,
}

fn seconds(command: &mut Command) -> anyhow::Result<Ran> {
    let begun = Instant::now();
    let ran = command.stdin(Stdio::null()).output().with_context(|| format!("run {command:?}"))?;
    let seconds = begun.elapsed().as_secs_f64();
    ensure!(ran.status.success(), "{command:?}: {}", String::from_utf8_lossy(&ran.stderr));
    Ok(Ran { output: ran.stdout, seconds })
}

/// What lies in the folder.
#[derive(Default)]
struct Tree {
    bytes: usize,
    python: u32,
    places: usize,
}

/// A repository of a data team as large ones are: seven of ten files are Python, of 40 to 700 lines; one of twenty names a connection,
/// and one of ten more uses words that a search without a parser finds.
fn fill(root: &Path) -> anyhow::Result<Tree> {
    let mut tree = Tree::default();
    for number in 0..FILES {
        let folder = root.join(format!("team_{}", number % 23)).join(format!("part_{}", number % 211));
        fs::create_dir_all(&folder)?;
        // Most files are short, and some long.
        let size = 2 + (number * 7919 % 97) * (number * 104_729 % 89) / 130;
        let (end, text, places) = match number % 20 {
            0..=12 => ("py", module(number, size), 0),
            13 => ("py", uses(number, size), 3),
            14 | 15 => ("yaml", manifest(number, size), 0),
            16 => ("yaml", format!("{}default_args:\n  postgres_conn_id: sales_{number}\n", manifest(number, size)), 1),
            17 => (
                "sql",
                format!("SELECT id, amount FROM orders_{number} WHERE day = '{{{{ ds }}}}';\n").repeat(usize::try_from(size)?),
                0,
            ),
            18 => ("ipynb", notebook(number, size), usize::from(number % 40 == 18)),
            _ => ("env", format!("HOST=db.example.org\nPORT={number}\nSALES_CONN_ID=sales\n"), 1),
        };
        tree.bytes += text.len();
        tree.python += u32::from(end == "py");
        tree.places += places;
        fs::write(folder.join(format!("file_{number}.{end}")), text)?;
    }
    Ok(tree)
}

/// Code that names none; in some of it are the words.
fn module(number: u32, size: u32) -> String {
    let mut text = format!(
        "\"\"\"Part {number}.\"\"\"\n\nimport json\nimport logging\nfrom dataclasses import dataclass\n\nlog = logging.getLogger(__name__)\n\n\n"
    );
    for part in 0..size {
        let _ = write!(
            text,
            "@dataclass\nclass Record{part}:\n    key: str\n    amount: float = 0.0\n\n    def total(self, rate: float = {part}.5) -> float:\n        \
             \"\"\"What it comes to.\"\"\"\n        values = [amount * rate for amount in range({part}) if amount % 2]\n        \
             return sum(values) + self.amount\n\n\ndef load_{part}(path: str, limit: int = 100) -> dict:\n    with open(path) as lines:\n        \
             rows = [json.loads(line) for line in lines]\n    log.info(\"%d rows of %s\", len(rows), path)\n    return {{row[\"key\"]: row for row in rows[:limit]}}\n\n\n"
        );
    }
    if number.is_multiple_of(7) {
        text.push_str("def ping(pool):\n    return pool.connection.cursor().execute(\"SELECT 1\")\n");
    }
    text
}

fn uses(number: u32, size: u32) -> String {
    format!(
        "{}\nfrom airflow import DAG\nfrom dataflow.dataflow import Dataflow\n\nNAME = \"warehouse_{number}\"\ndataflow = Dataflow()\n\n\nwith DAG(\"dag_{number}\"):\n    \
         PostgresOperator(task_id=\"load\", postgres_conn_id=NAME)\n    db = dataflow.connection(\"sales\")\n    \
         ops = dataflow.connection(f\"ops_{{NAME}}\", mode=\"engine\")\n",
        module(number, size)
    )
}

fn manifest(number: u32, size: u32) -> String {
    let each = "  - name: worker\n    image: registry.example.org/worker:1.2\n    resources: {limits: {cpu: 1, memory: 512Mi}}\n    command: [\"run\", \"--all\"]\n";
    format!(
        "apiVersion: v1\nkind: List\nmetadata:\n  name: list-{number}\nitems:\n{}",
        each.repeat(usize::try_from(size).unwrap_or_default())
    )
}

/// One in two opens a connection; each has a picture in its output.
fn notebook(number: u32, size: u32) -> String {
    let name = if number % 40 == 18 { "    \"db = Dataflow().connection(\\\"sales\\\")\\n\",\n" } else { "" };
    let picture = "iVBORw0KGgoAAAANSUhEUgAAAoAAAAHgCAYAAAA10dzk".repeat(usize::try_from(size).unwrap_or_default() * 40);
    format!(
        "{{\n \"cells\": [\n  {{\n   \"cell_type\": \"code\",\n   \"outputs\": [{{\"data\": {{\"image/png\": \"{picture}\"}}}}],\n   \"source\": [\n    \"from dataflow.dataflow import Dataflow\\n\",\n{name}    \
         \"rows = [1, 2, 3]\\n\"\n   ]\n  }}\n ],\n \"metadata\": {{}},\n \"nbformat\": 4\n}}\n"
    )
}
