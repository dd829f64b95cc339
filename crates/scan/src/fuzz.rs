//! Readers of files that anybody may have written.

use std::time::{Duration, Instant};

use dataflow_fuzz::fuzz;
use rstest::rstest;

use crate::{checkout, jinja, python::Reader, read, text, walk::Form};

const DAG: &[u8] = br#"# -*- coding: latin-1 -*-
from airflow import DAG
from airflow.decorators import dag, task
from dataflow.dataflow import Dataflow as D
NAMES = ["sales", "ops"]
with DAG("daily", default_args={"postgres_conn_id": "sales"}) as d:
    for n, (a, b) in enumerate([("x", "y")]):
        PostgresOperator(task_id=f"t{n}", postgres_conn_id=f"sales_{a!r:>{b}}" + NAMES[0], sql="{{ conn.ops.host }}")
@dag()
def other(conn=os.getenv("X", "sales"), *args, **kw):
    return [D().connection(x).execute("%s" % x) for x in NAMES if (y := x)]
class C:
    conn: str = "sales"
    def f(self): global G; G = self.conn or "{}_b".format(1); lambda z=G: D().connection(conn_id=z)
"#;
const NOTEBOOK: &[u8] = br#"{"cells": [{"cell_type": "code", "source": ["from dataflow.dataflow import Dataflow\n", "%%time\n", "!ls\n", "x = %sql --alias sales {Dataflow().connection(\"sales\")}"]}, {"cell_type": "code", "source": "%%sql ops\nSELECT 1"}, {"cell_type": "markdown", "source": []}], "metadata": {"kernelspec": {"language": "python"}}, "nbformat": 4}"#;
const YAML: &[u8] = b"a: &x {conn_id: sales, b: [ops, \"c\"]}\nenv:\n- name: SALES_CONN_ID\n  value: sales\n- A_CONN_ID=b\nc: *x\n? [k]\n: |\n  text {{ env_var('X_CONN_ID', 'y') }}\nconnection: !t 'sales'\n---\n%TAG ! x\n...\n";
const DOTENV: &[u8] = b"export SALES_CONN_ID=\"sales\" # x\nAIRFLOW_CONN_OPS=postgres://u:planted@h\n\xff\xfe";

#[rstest]
#[case::python(Form::Python, DAG)]
#[case::notebook(Form::Notebook, NOTEBOOK)]
#[case::yaml(Form::Yaml { is_dbt: false }, YAML)]
#[case::dotenv(Form::Dotenv, DOTENV)]
#[case::sql(Form::Sql, b"SELECT {{ conn.sales.host }} {{ env_var('AIRFLOW_CONN_X') }} {{ conn.get('a")]
fn files(#[case] form: Form, #[case] sound: &[u8]) {
    let reader = std::cell::RefCell::new(Reader::new());
    fuzz(&[sound, b"\xff\xfea\x00"], |bytes| {
        if let Ok(text) = text::decode(bytes, form == Form::Python) {
            let found = read(&mut reader.borrow_mut(), &text, form);
            let lines = u32::try_from(text.lines().count()).expect("few") + 1;
            assert!(found.named.iter().all(|named| (1..=lines).contains(&named.line)), "a line that is there");
        }
    });
}

#[test]
fn checkouts_and_templates() {
    fuzz(
        &[b"[remote \"origin\"]\n url = https://a@b:1/c/d.git\n", b"0123456789abcdef0123456789abcdef01234567 refs/heads/main\n"],
        |bytes| {
            let text = String::from_utf8_lossy(bytes);
            checkout::read_foreign(&text);
            jinja::connections(&text);
        },
    );
}

/// What is large or deep: each ends, in a time that grows no faster than the file, on a thread's usual stack.
#[rstest]
#[case::brackets("x = ", "(", "")]
#[case::closed("conn_id = ", "[", "]")]
#[case::lambdas("x = ", "lambda: ", "")]
#[case::calls("from airflow import DAG\nx = ", "FooOperator(conn_id=", "")]
#[case::chains("from airflow import DAG\nx", ".connection('a')", "")]
#[case::sums("from dataflow import Dataflow\nDataflow().connection(a", " + a", ")")]
#[case::formats("x = ", "f'{", "")]
#[case::loops("from dataflow import Dataflow\n", "for x in x: Dataflow().connection(x)\n", "")]
#[case::dictionaries("from airflow import DAG\n", "default_args = {'conn_id': 'a'}\n", "")]
#[case::dags("from airflow import DAG\n", "with DAG('a', dag=d) as d: FooHook('b', dag=d)\n", "")]
#[case::indents("", "if x:\n ", "")]
#[case::functions("from dataflow import Dataflow\nx = 1\n", "lambda y=Dataflow().connection(x): ", "1")]
fn python_without_end(#[case] before: &str, #[case] each: &str, #[case] after: &str) {
    // As deep as it may be, and as long as is parsed in the time of a file also where nothing is optimised.
    let count = if each.len() == 1 { 100_000 } else { 150_000 / each.len() };
    ends(&format!("{before}{}{after}", each.repeat(count)), Form::Python);
}

#[rstest]
#[case::brackets("conn_id: ", "[")]
#[case::mappings("conn_id: ", "{a: ")]
#[case::closed("conn_id: [", "[],")]
#[case::dashes("", "- ")]
#[case::questions("", "? ")]
#[case::anchors("", "- &a conn_id\n- *a\n")]
#[case::templates("", "{{ env_var('A_CONN_ID', 'b') }}\n")]
#[case::opened("", "{{ conn.")]
#[case::tags("%TAG ! x\n", "--- !a\n")]
fn yaml_without_end(#[case] before: &str, #[case] each: &str) {
    ends(&format!("{before}{}", each.repeat(100_000.min(200_000 / each.len()))), Form::Yaml { is_dbt: false });
    let deep: Vec<_> = (0..1_500).map(|depth| format!("{}a:", " ".repeat(depth))).collect();
    ends(&deep.join("\n"), Form::Yaml { is_dbt: false });
}

#[test]
fn notebooks_without_end() {
    ends(&"[".repeat(100_000), Form::Notebook);
    ends(&format!("{{\"cells\": [], \"x\": {}", "[".repeat(100_000)), Form::Notebook);
    let cell = "{\"cell_type\": \"code\", \"source\": [\"a = 1\\n\"]},";
    ends(&format!("{{\"cells\": [{}{{}}]}}", cell.repeat(20_000)), Form::Notebook);
}

fn ends(text: &str, form: Form) {
    let text = text.to_owned();
    let begun = Instant::now();
    // As large as a thread of the walk has it.
    let thread = std::thread::Builder::new().stack_size(2 * 1024 * 1024);
    let done = thread.spawn(move || drop(read(&mut Reader::new(), &text, form))).expect("a thread").join();
    assert!(done.is_ok(), "it panicked");
    assert!(begun.elapsed() < Duration::from_secs(20), "it took {:?}", begun.elapsed());
}
