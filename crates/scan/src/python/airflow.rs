//! Airflow: which DAG something belongs to, and what names a connection there.

use std::ops::Range;

use tree_sitter::Node;

use super::{
    File,
    scope::{At, Bound, Site},
    value::{Call, Values, pairs},
};
use crate::{
    jinja,
    python::{Named, line},
    report::Certainty,
};

/// What an argument that names a connection ends in: `conn_id`, `postgres_conn_id`, …
pub const CONN_ID: &str = "conn_id";
/// How the classes end whose arguments do that.
const CLASSES: [&str; 8] = ["Operator", "Sensor", "Hook", "Trigger", "Transfer", "Notifier", "ProfileMapping", "Decorator"];
/// Methods of hooks and of connections that take a name first.
const GETTERS: [&str; 4] = ["get_connection", "get_connections", "get_connection_from_secrets", "get_hook"];

/// Of a file with more DAGs than this none is told apart: each place would be held against each.
const DAGS_MAX: usize = 500;
/// How many names are looked at of `a.b(…).c(…)`, from its end.
const CHAIN_MAX: usize = 8;

/// One DAG of a file.
#[derive(Debug)]
struct Dag<'t> {
    /// `None` if it is computed.
    id: Option<String>,
    /// What belongs to it by where it stands.
    range: Option<Range<usize>>,
    call: Node<'t>,
}

/// The DAGs of a file.
#[derive(Debug, Default)]
pub struct Dags<'t> {
    all: Vec<Dag<'t>>,
}

impl<'t> Dags<'t> {
    pub fn find(values: &Values<'_, 't>) -> Self {
        let names = values.names;
        let mut all = Vec::new();
        for site in &names.calls {
            if let Some(call) = Call::read(names, site.at).filter(|call| is_dag(values, call)) {
                let id = call.keyword("dag_id").or_else(|| call.positional.first().copied());
                all.push(Dag { id: id.and_then(|id| values.constant(id)), range: None, call: site.at.node });
            }
        }
        if all.len() > DAGS_MAX {
            return Self::default();
        }
        for site in &names.with_statements {
            let (begin, end) =
                (site.at.node.start_byte(), site.at.node.child_by_field_name("body").map(|body| body.byte_range()));
            let Some(body) = end else { continue };
            // `with DAG(…) as dag:` has its call before its body.
            for dag in all.iter_mut().filter(|dag| dag.call.start_byte() >= begin && dag.call.end_byte() <= body.start) {
                dag.range = Some(begin..body.end);
            }
        }
        all.extend(names.decorated.iter().filter_map(|site| decorated(values, site.at)).take(DAGS_MAX));
        Self { all }
    }

    /// The id of the DAG that something belongs to: the innermost that it stands in, the one that `dag=` names, the only one.
    pub fn of(&self, values: &Values<'_, 't>, node: Node<'t>, call: Option<&Call<'t>>) -> Option<String> {
        let place = node.start_byte();
        let encloses = |dag: &&Dag<'t>| dag.range.as_ref().is_some_and(|range| range.contains(&place));
        let innermost = self.all.iter().filter(encloses).min_by_key(|dag| dag.range.as_ref().map(ExactSizeIterator::len));
        let named = || {
            let dag = call?.keyword("dag")?;
            let name = (dag.node.kind() == "identifier").then(|| values.names.text(dag.node))?;
            let [Bound::Value(bound)] = *values.names.look_up(name, dag) else { return None };
            self.all.iter().find(|dag| dag.call.id() == bound.node.id())
        };
        let only = || match self.all.as_slice() {
            [dag] => Some(dag),
            _ => None,
        };
        innermost.or_else(named).or_else(only)?.id.clone()
    }
}

/// Whether a call makes a DAG: `DAG(…)` under whatever name it was imported.
fn is_dag(values: &Values<'_, '_>, call: &Call<'_>) -> bool {
    call.method() == "DAG" || is_member(values, call.function, "DAG")
}

fn is_member(values: &Values<'_, '_>, at: At<'_>, wanted: &str) -> bool {
    if at.node.kind() != "identifier" {
        return false;
    }
    let bound = values.names.look_up(values.names.text(at.node), at);
    bound.iter().any(|bound| matches!(bound, Bound::Member { module, name } if *name == wanted && module.starts_with("airflow")))
}

/// The DAG of a function under `@dag` or `@dag(…)`: named after it unless that is said.
fn decorated<'t>(values: &Values<'_, 't>, at: At<'t>) -> Option<Dag<'t>> {
    let names = values.names;
    let function = at.node.child_by_field_name("definition").filter(|node| node.kind() == "function_definition")?;
    let mut cursor = at.node.walk();
    let decorators: Vec<_> = at.node.named_children(&mut cursor).filter(|node| node.kind() == "decorator").collect();
    decorators.into_iter().filter_map(|decorator| decorator.named_child(0)).find_map(|node| {
        let at = At { node, ..at };
        let call = (node.kind() == "call").then(|| Call::read(names, at)).flatten();
        let decorating = call.as_ref().map_or(at, |call| call.function);
        let name = names.text(decorating.node);
        if name.rsplit('.').next() != Some("dag") && !is_member(values, decorating, "dag") {
            return None;
        }
        let id = call.and_then(|call| call.keyword("dag_id").or_else(|| call.positional.first().copied()));
        let own = || function.child_by_field_name("name").map(|name| names.text(name).to_owned());
        let id = id.map_or_else(own, |id| values.constant(id));
        Some(Dag { id, range: Some(at.node.start_byte()..function.end_byte()), call: node })
    })
}

impl<'t> File<'_, 't> {
    /// `PostgresOperator(postgres_conn_id="sales")`, `BaseHook.get_connection("sales")`
    pub(super) fn airflow_call(&mut self, site: Site<'t>, call: &Call<'t>) {
        let (is_airflow, is_ours) = (self.imports("airflow"), looks_like_one(self, call.function));
        for (_, value) in call.keywords.iter().filter(|(name, _)| names_connection(name)) {
            if is_ours {
                self.tell(site, *value, Certainty::Certain, Some(call));
            } else if call.method() != "connection" && (is_airflow || self.imports("dataflow")) {
                self.tell_known(site, *value, Certainty::Maybe, Some(call));
            }
        }
        let Some(first) = call.positional.first().copied() else { return };
        let class = call.object().map(|object| self.names.text(object.node)).unwrap_or_default();
        if GETTERS.contains(&call.method()) && is_airflow {
            let is_airflows = CLASSES.iter().any(|end| class.ends_with(end)) || class.ends_with("Connection");
            let certainty = if is_airflows { Certainty::Certain } else { Certainty::Maybe };
            self.tell_known(site, first, certainty, Some(call));
        } else if is_airflow && call.method() == "get" && class.ends_with("Connection") {
            self.tell(site, first, Certainty::Certain, Some(call));
        } else if is_airflow && call.method().ends_with("Hook") && !call.method().starts_with("Http") {
            // Nearly all hooks take the name first; those for HTTP take the method.
            self.tell_known(site, first, Certainty::Maybe, Some(call));
        }
    }

    /// `default_args = {"postgres_conn_id": "sales"}`
    pub(super) fn airflow_dictionary(&mut self, site: Site<'t>) {
        let is_default = self.names.defaults.contains(&site.at.node.id()) || self.defaults.contains(&site.at.node.id());
        let certainty = if is_default { Certainty::Certain } else { Certainty::Maybe };
        for (key, value) in pairs(site.at) {
            if self.values.constant(key).is_some_and(|key| names_connection(&key)) {
                self.tell_known(site, value, certainty, None);
            }
        }
    }

    /// `"{{ conn.sales.host }}"`
    pub(super) fn airflow_template(&mut self, site: Site<'t>) {
        let node = site.at.node;
        for (row, connection) in jinja::connections(self.names.text(node)) {
            let line = line(node.start_position().row.saturating_add(row));
            let certainty = if site.is_broken { Certainty::Maybe } else { Certainty::Certain };
            let dag = self.dags.of(self.values, node, None);
            self.found.named.push(Named { connection, line, certainty, dag });
        }
    }
}

/// Whether an argument or a key of that name says which connection.
pub fn names_connection(name: &str) -> bool {
    name.strip_suffix(CONN_ID).is_some_and(|before| before.is_empty() || before.ends_with('_'))
}

/// Whether what is called looks like an operator, a sensor, a hook or a task: `PostgresOperator`, `pg.PostgresHook`,
/// `PostgresOperator.partial`, `task.sql`.
fn looks_like_one(file: &File<'_, '_>, function: At<'_>) -> bool {
    let names = file.names;
    let mut node = function.node;
    for _ in 0..CHAIN_MAX {
        let (name, object) = match node.kind() {
            "attribute" => (node.child_by_field_name("attribute"), node.child_by_field_name("object")),
            "identifier" => (Some(node), None),
            // `PostgresOperator.partial(…).expand(…)`
            "call" => (None, node.child_by_field_name("function")),
            _ => return false,
        };
        let name = name.map(|name| names.text(name)).unwrap_or_default();
        let is_task = object.is_none() && name == "task" && file.imports("airflow");
        if is_task || CLASSES.iter().any(|end| name.ends_with(end)) {
            return true;
        }
        let Some(object) = object else { return false };
        node = object;
    }
    false
}
