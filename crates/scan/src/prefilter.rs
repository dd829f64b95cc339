//! Whether a file may name a connection at all: most do not, and are not parsed.

use std::sync::LazyLock;

use memchr::memmem::Finder;

use crate::walk::Form;

struct Words {
    method: Finder<'static>,
    conn_id: Finder<'static>,
    conn_id_upper: Finder<'static>,
    getter: Finder<'static>,
    hook: Finder<'static>,
    product: Finder<'static>,
    product_upper: Finder<'static>,
    airflow: Finder<'static>,
    airflow_variable: Finder<'static>,
    getter_of_tasks: Finder<'static>,
    template: Finder<'static>,
    key: Finder<'static>,
    magic: Finder<'static>,
}

static WORDS: LazyLock<Words> = LazyLock::new(|| Words {
    method: Finder::new(".connection"),
    conn_id: Finder::new("conn_id"),
    conn_id_upper: Finder::new("CONN_ID"),
    getter: Finder::new("get_connection"),
    hook: Finder::new("Hook("),
    product: Finder::new("ataflow"),
    product_upper: Finder::new("DATAFLOW_CONNECTION"),
    airflow: Finder::new("airflow"),
    airflow_variable: Finder::new("AIRFLOW_CONN_"),
    getter_of_tasks: Finder::new("Connection.get"),
    template: Finder::new("conn."),
    key: Finder::new("connection"),
    magic: Finder::new("%sql"),
});

pub fn may_name(bytes: &[u8], form: Form) -> bool {
    // UTF-16 is not looked into.
    if matches!(bytes, [0xff, 0xfe, ..] | [0xfe, 0xff, ..]) {
        return true;
    }
    let words = &*WORDS;
    let has = |word: &Finder<'_>| word.find(bytes).is_some();
    match form {
        Form::Python | Form::Notebook => {
            let is_ours = || has(&words.product);
            let is_airflow = || has(&words.airflow);
            has(&words.conn_id)
                || (has(&words.method) && (is_ours() || words.method.find_iter(bytes).any(|at| is_called(bytes, at + 11))))
                || ([&words.getter, &words.hook, &words.getter_of_tasks, &words.template].into_iter().any(has) && is_airflow())
                || (form == Form::Notebook && has(&words.magic) && is_ours())
        }
        Form::Yaml { .. } | Form::Dotenv => {
            let all = [
                &words.conn_id,
                &words.conn_id_upper,
                &words.airflow_variable,
                &words.product_upper,
                &words.key,
                &words.template,
            ];
            all.into_iter().any(has) || (form == Form::Dotenv && memchr::memmem::find(bytes, b"CONNECTION").is_some())
        }
        Form::Sql => has(&words.template) || has(&words.conn_id_upper) || has(&words.airflow_variable),
    }
}

fn is_called(bytes: &[u8], from: usize) -> bool {
    let rest = bytes.get(from..).unwrap_or_default();
    rest.iter().find(|byte| !matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b'\\')) == Some(&b'(')
}
