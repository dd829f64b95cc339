//! Python, by its syntax tree.

mod airflow;
mod receiver;
mod scope;
mod value;

use std::{
    collections::HashSet,
    ops::ControlFlow,
    time::{Duration, Instant},
};

use dataflow_model::{ConnectionName, WorkflowKind};
use tree_sitter::{ParseOptions, ParseState, Parser};

pub use self::airflow::names_connection;
use self::{
    receiver::Receiver,
    scope::{At, Names, Site},
    value::{Call, Values},
};
use crate::{
    pattern::Pattern,
    report::{Certainty, Reason},
};

/// No file of the size that is read takes a tenth of this.
const LONGEST: Duration = Duration::from_secs(2);

/// A place that names a connection.
#[derive(Debug)]
pub struct Named {
    pub connection: ConnectionName,
    pub line: u32,
    pub certainty: Certainty,
    pub dag: Option<String>,
}

/// A place that asks for a connection by a computed name.
#[derive(Debug)]
pub struct Open {
    pub pattern: Pattern,
    pub line: u32,
    pub dag: Option<String>,
}

/// What one file names.
#[derive(Debug, Default)]
pub struct Found {
    pub named: Vec<Named>,
    pub open: Vec<Open>,
    /// What the file's imports say that it is.
    pub kind: Option<WorkflowKind>,
    pub problem: Option<Reason>,
}

/// Reads Python, one file after another.
pub struct Reader {
    parser: Parser,
}

impl Reader {
    pub fn new() -> Self {
        let mut parser = Parser::new();
        parser.set_language(&tree_sitter_python::LANGUAGE.into()).expect("the grammar is of the parser's version");
        Self { parser }
    }

    pub fn read(&mut self, source: &str) -> Found {
        let begun = Instant::now();
        let mut watch = |_: &ParseState| {
            if begun.elapsed() > LONGEST { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let bytes = source.as_bytes();
        let options = ParseOptions::new().progress_callback(&mut watch);
        let tree = self.parser.parse_with_options(&mut |at, _| bytes.get(at..).unwrap_or_default(), None, Some(options));
        let Some(tree) = tree else {
            self.parser.reset();
            return Found { problem: Some(Reason::TooSlow), ..Found::default() };
        };
        let names = Names::collect(tree.root_node(), source);
        let values = Values::new(&names);
        let imports = names.modules.iter().filter_map(|module| module.split('.').next()).collect();
        let dags = airflow::Dags::find(&values);
        let (defaults, found) = (HashSet::new(), Found::default());
        let mut file = File { names: &names, values: &values, dags, defaults, imports, found };
        file.read();
        file.found.problem = names.first_error.map(|node| Reason::Syntax { line: line(node.start_position().row) });
        file.found
    }
}

/// One file while it is read.
struct File<'n, 't> {
    names: &'n Names<'t>,
    values: &'n Values<'n, 't>,
    dags: airflow::Dags<'t>,
    /// The dictionaries that calls take as `default_args`.
    defaults: HashSet<usize>,
    imports: HashSet<&'t str>,
    found: Found,
}

impl<'t> File<'_, 't> {
    fn read(&mut self) {
        self.found.kind = self.kind();
        let names = self.names;
        for site in &names.calls {
            if let Some(call) = Call::read(names, site.at) {
                self.connection_of(*site, &call);
                self.airflow_call(*site, &call);
                self.defaults.extend(call.keyword("default_args").map(|at| at.node.id()));
            }
        }
        if self.imports("airflow") {
            names.dictionaries.iter().for_each(|site| self.airflow_dictionary(*site));
            names.strings.iter().for_each(|site| self.airflow_template(*site));
        }
    }

    fn imports(&self, package: &str) -> bool {
        self.imports.contains(package)
    }

    fn kind(&self) -> Option<WorkflowKind> {
        let any = |packages: &[&str]| packages.iter().any(|package| self.imports(package));
        if any(&["airflow", "celery"]) {
            return Some(WorkflowKind::Pipeline);
        }
        any(&["streamlit", "dash", "fastapi", "flask"]).then_some(WorkflowKind::App)
    }

    /// `dataflow.connection("sales")`
    fn connection_of(&mut self, site: Site<'t>, call: &Call<'t>) {
        let receiver = receiver::of_call(self.values, call);
        let Some(name) = call.keyword("conn_id").or_else(|| call.positional.first().copied()) else { return };
        match receiver {
            Receiver::Dataflow => self.tell(site, name, Certainty::Certain, Some(call)),
            Receiver::Unknown => {
                self.tell_known(site, name, Certainty::Maybe, Some(call));
            }
            Receiver::Other => {}
        }
    }

    /// Tells what an expression names, and where that cannot be known.
    fn tell(&mut self, site: Site<'t>, name: At<'t>, certainty: Certainty, call: Option<&Call<'t>>) {
        if self.tell_known(site, name, certainty, call) {
            return;
        }
        let (line, dag) = (line(name.node.start_position().row), self.dags.of(self.values, name.node, call));
        for value in self.values.of(name).into_iter().filter(|value| value.pattern.whole().is_none()) {
            self.found.open.push(Open { pattern: value.pattern, line, dag: dag.clone() });
        }
    }

    /// Tells what an expression names, as far as that can be known; whether it can at all.
    fn tell_known(&mut self, site: Site<'t>, name: At<'t>, certainty: Certainty, call: Option<&Call<'t>>) -> bool {
        let (line, dag) = (line(name.node.start_position().row), self.dags.of(self.values, name.node, call));
        let mut is_known = false;
        for value in self.values.of(name) {
            is_known |= value.pattern.whole().is_some();
            let certainty = if value.is_maybe || site.is_broken { Certainty::Maybe } else { certainty };
            if let Some(connection) = value.pattern.name() {
                self.found.named.push(Named { connection, line, certainty, dag: dag.clone() });
            }
        }
        is_known
    }
}

/// As people count, from 1.
pub fn line(row: usize) -> u32 {
    u32::try_from(row).unwrap_or(u32::MAX).saturating_add(1)
}
