//! Who is who in a file: the names of each scope, and what they are bound to.
//!
//! One walk over the tree, without recursion: a file may nest as deep as it likes.

use std::collections::{HashMap, HashSet};

use tree_sitter::Node;

/// Python's own parser takes 100 blocks in one another (`MAXINDENT` in its tokenizer).
const SCOPES_MAX: usize = 100;
/// Bindings of one name that are told apart.
const BOUND_MAX: usize = 200;

/// A node and the scope that its names are looked up in.
#[derive(Debug, Clone, Copy)]
pub struct At<'t> {
    pub node: Node<'t>,
    pub scope: usize,
}

/// What a name is bound to.
#[derive(Debug, Clone, Copy)]
pub enum Bound<'t> {
    Value(At<'t>),
    /// Each element of an iterable in turn; of a tuple in it, one place.
    Element {
        of: At<'t>,
        place: Option<usize>,
    },
    /// A parameter's default: a caller may give another.
    Default(At<'t>),
    /// Its type alone is known.
    Typed(At<'t>),
    /// `import module`
    Module(&'t str),
    /// `from module import name`
    Member {
        module: &'t str,
        name: &'t str,
    },
    Class(At<'t>),
    Unknown,
}

/// A part of the file, in bytes.
#[derive(Debug, Clone, Copy, Default)]
struct Part {
    begin: usize,
    end: usize,
}

impl Part {
    fn of(node: Node<'_>) -> Self {
        Self { begin: node.start_byte(), end: node.end_byte() }
    }
}

/// What binds a name, from where on, and the block of statements that it stands in.
#[derive(Debug, Clone, Copy)]
struct Binding<'t> {
    bound: Bound<'t>,
    from: usize,
    block: Part,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Kind {
    /// A module, a function: what is inside runs at another time than what is around it.
    #[default]
    Later,
    Class,
    /// A comprehension.
    Inline,
}

#[derive(Debug, Default)]
struct Scope<'t> {
    parent: Option<usize>,
    kind: Kind,
    globals: HashSet<&'t str>,
    names: HashMap<&'t str, Vec<Binding<'t>>>,
}

/// What may name a connection, and where that stands.
#[derive(Debug, Clone, Copy)]
pub struct Site<'t> {
    pub at: At<'t>,
    /// It stands in what could not be understood as Python.
    pub is_broken: bool,
    block: Part,
}

/// A file's names, and all its calls, dictionaries, strings and functions with decorators.
#[derive(Debug, Default)]
pub struct Names<'t> {
    source: &'t str,
    scopes: Vec<Scope<'t>>,
    /// `self.name = …` and the names of classes, which are reached as attributes.
    attributes: HashMap<&'t str, Vec<Bound<'t>>>,
    /// Modules, as they are named in imports.
    pub modules: Vec<&'t str>,
    /// Modules of which everything is imported.
    pub stars: Vec<&'t str>,
    pub calls: Vec<Site<'t>>,
    pub dictionaries: Vec<Site<'t>>,
    pub strings: Vec<Site<'t>>,
    pub decorated: Vec<Site<'t>>,
    pub with_statements: Vec<Site<'t>>,
    /// The dictionaries that are `default_args`.
    pub defaults: HashSet<usize>,
    pub first_error: Option<Node<'t>>,
}

impl<'t> Names<'t> {
    pub fn collect(root: Node<'t>, source: &'t str) -> Self {
        let mut names = Self { source, scopes: vec![Scope::default()], ..Self::default() };
        let mut todo = vec![Site { at: At { node: root, scope: 0 }, is_broken: false, block: Part::of(root) }];
        let (mut children, mut cursor) = (Vec::new(), root.walk());
        while let Some(mut site) = todo.pop() {
            site.is_broken |= names.note_error(site.at.node);
            if site.at.node.kind() == "block" {
                site.block = Part::of(site.at.node);
            }
            let scope = names.visit(site);
            let inside = Site { at: At { scope, ..site.at }, ..site };
            children.extend(site.at.node.named_children(&mut cursor));
            todo.extend(children.drain(..).rev().map(|node| Site { at: At { node, ..inside.at }, ..inside }));
        }
        if names.first_error.is_none() {
            names.first_error = missing(root);
        }
        for (name, all) in names.scopes.iter().filter(|scope| scope.kind == Kind::Class).flat_map(|scope| &scope.names) {
            names.attributes.entry(name).or_default().extend(all.iter().map(|binding| binding.bound));
        }
        names
    }

    pub fn text(&self, node: Node<'t>) -> &'t str {
        self.source.get(node.byte_range()).unwrap_or_default()
    }

    /// What `name` may be bound to at a place; empty if nothing in the file binds it.
    pub fn look_up(&self, name: &str, at: At<'t>) -> Vec<Bound<'t>> {
        let (mut next, mut left, mut runs_here) = (Some(at.scope), SCOPES_MAX, true);
        while let Some(here) = next {
            // From too far inside, the module is looked at alone.
            let here = if left == 0 { 0 } else { here };
            left = left.saturating_sub(1);
            let Some(scope) = self.scopes.get(here) else { break };
            // The names of a class are not seen from inside its functions.
            if (scope.kind != Kind::Class || here == at.scope)
                && let Some(all) = scope.names.get(name)
            {
                return if runs_here { reaching(all, at.node.start_byte()) } else { bounds(all) };
            }
            runs_here &= scope.kind != Kind::Later;
            next = scope.parent;
        }
        Vec::new()
    }

    /// What some object's attribute `name` is bound to, anywhere in the file.
    pub fn attribute(&self, name: &str) -> &[Bound<'t>] {
        self.attributes.get(name).map(Vec::as_slice).unwrap_or_default()
    }

    fn note_error(&mut self, node: Node<'t>) -> bool {
        let is_broken = node.is_error() || node.is_missing();
        if is_broken && self.first_error.is_none() {
            self.first_error = Some(node);
        }
        is_broken
    }

    /// Takes note of one node; the scope that what is inside of it belongs to.
    fn visit(&mut self, site: Site<'t>) -> usize {
        let (at, here) = (site.at, Here { scope: site.at.scope, from: site.at.node.end_byte(), block: site.block });
        let At { node, scope } = at;
        let field = |name: &str| node.child_by_field_name(name);
        match node.kind() {
            "call" => self.calls.push(site),
            "dictionary" => self.dictionaries.push(site),
            "string" => self.strings.push(site),
            "decorated_definition" => self.decorated.push(site),
            "with_statement" => self.with_statements.push(site),
            "function_definition" => {
                self.bind_node(field("name"), here, Bound::Unknown);
                return self.open(scope, Kind::Later);
            }
            "class_definition" => {
                self.bind_node(field("name"), here, Bound::Class(at));
                return self.open(scope, Kind::Class);
            }
            "lambda" => return self.open(scope, Kind::Later),
            "list_comprehension" | "set_comprehension" | "dictionary_comprehension" | "generator_expression" => {
                return self.open(scope, Kind::Inline);
            }
            "assignment" => match (field("right"), field("type")) {
                (Some(right), _) => {
                    if field("left").is_some_and(|left| self.text(left) == "default_args") {
                        self.defaults.insert(right.id());
                    }
                    self.bind(field("left"), here, Bound::Value(At { node: right, scope }));
                }
                (None, Some(kind)) => self.bind(field("left"), here, Bound::Typed(At { node: kind, scope })),
                (None, None) => {}
            },
            "augmented_assignment" => self.bind(field("left"), here, Bound::Unknown),
            "named_expression" => {
                let bound = field("value").map_or(Bound::Unknown, |node| Bound::Value(At { node, scope }));
                self.bind(field("name"), here, bound);
            }
            "for_statement" | "for_in_clause" => {
                let right = field("right");
                let bound = right.map_or(Bound::Unknown, |node| Bound::Element { of: At { node, scope }, place: None });
                // Inside it is one of these and nothing else; a comprehension has its inside before this.
                let (from, block) = match node.kind() {
                    "for_statement" => (right.map_or(here.from, |right| right.end_byte()), Part::of(node)),
                    _ => (0, here.block),
                };
                self.bind(field("left"), Here { from, block, ..here }, bound);
            }
            "as_pattern" => {
                let value = node.named_child(0).map_or(Bound::Unknown, |node| Bound::Value(At { node, scope }));
                let target = field("alias").and_then(|target| target.named_child(0).or(Some(target)));
                self.bind(target, here, value);
            }
            "default_parameter" | "typed_default_parameter" => {
                let outside = self.scopes.get(scope).and_then(|scope| scope.parent).unwrap_or_default();
                let bound = field("value").map_or(Bound::Unknown, |node| Bound::Default(At { node, scope: outside }));
                self.bind(field("name"), Here { from: 0, ..here }, bound);
            }
            "typed_parameter" => {
                let bound = field("type").map_or(Bound::Unknown, |node| Bound::Typed(At { node, scope }));
                self.bind(node.named_child(0), Here { from: 0, ..here }, bound);
            }
            "parameters" | "lambda_parameters" => self.parameters(node, Here { from: 0, ..here }),
            "import_statement" => self.import(node, here),
            "import_from_statement" => self.import_from(node, here),
            "global_statement" => {
                let mut cursor = node.walk();
                let globals: Vec<_> = node.named_children(&mut cursor).map(|name| self.text(name)).collect();
                if let Some(scope) = self.scopes.get_mut(scope) {
                    scope.globals.extend(globals);
                }
            }
            _ => {}
        }
        scope
    }

    fn open(&mut self, parent: usize, kind: Kind) -> usize {
        self.scopes.push(Scope { parent: Some(parent), kind, ..Scope::default() });
        self.scopes.len() - 1
    }

    fn parameters(&mut self, node: Node<'t>, here: Here) {
        let mut cursor = node.walk();
        for child in node.named_children(&mut cursor).filter(|child| child.kind() == "identifier") {
            self.bind_node(Some(child), here, Bound::Unknown);
        }
    }

    fn import(&mut self, node: Node<'t>, here: Here) {
        let mut cursor = node.walk();
        for child in node.children_by_field_name("name", &mut cursor) {
            let (name, alias) = aliased(child);
            let module = name.map(|name| self.text(name)).unwrap_or_default();
            self.modules.push(module);
            if alias.is_some() {
                self.bind_node(alias, here, Bound::Module(module));
            } else {
                // `import a.b` binds `a`.
                let first = module.split('.').next().unwrap_or_default();
                self.put(first, here, Bound::Module(first));
            }
        }
    }

    fn import_from(&mut self, node: Node<'t>, here: Here) {
        let module = node.child_by_field_name("module_name").map(|module| self.text(module)).unwrap_or_default();
        self.modules.push(module);
        let mut cursor = node.walk();
        for child in node.children_by_field_name("name", &mut cursor) {
            let (name, alias) = aliased(child);
            if let Some(name) = name {
                self.bind_node(alias.or(Some(name)), here, Bound::Member { module, name: self.text(name) });
            }
        }
        if node.named_children(&mut node.walk()).any(|child| child.kind() == "wildcard_import") {
            self.stars.push(module);
        }
    }

    /// Binds a target of an assignment, a loop or a `with`: a name, an attribute, or many of them.
    fn bind(&mut self, target: Option<Node<'t>>, here: Here, bound: Bound<'t>) {
        let mut todo: Vec<_> = target.map(|target| (target, bound)).into_iter().collect();
        while let Some((target, bound)) = todo.pop() {
            match target.kind() {
                "identifier" => self.bind_node(Some(target), here, bound),
                "attribute" => {
                    let of_self = target.child_by_field_name("object").is_some_and(|of| matches!(self.text(of), "self" | "cls"));
                    if let (true, Some(name)) = (of_self, target.child_by_field_name("attribute")) {
                        self.attributes.entry(self.text(name)).or_default().push(bound);
                    }
                }
                "pattern_list" | "tuple_pattern" | "list_pattern" | "tuple" | "list" | "expression_list" => {
                    let mut cursor = target.walk();
                    let parts: Vec<_> = target.named_children(&mut cursor).collect();
                    let count = parts.len();
                    todo.extend(parts.into_iter().enumerate().map(|(place, part)| (part, part_of(bound, place, count))));
                }
                "list_splat_pattern" => todo.extend(target.named_child(0).map(|inner| (inner, Bound::Unknown))),
                _ => {}
            }
        }
    }

    fn bind_node(&mut self, name: Option<Node<'t>>, here: Here, bound: Bound<'t>) {
        if let Some(name) = name {
            self.put(self.text(name), here, bound);
        }
    }

    fn put(&mut self, name: &'t str, here: Here, bound: Bound<'t>) {
        let is_global = self.scopes.get(here.scope).is_some_and(|scope| scope.globals.contains(name));
        if let Some(scope) = self.scopes.get_mut(if is_global { 0 } else { here.scope }) {
            scope.names.entry(name).or_default().push(Binding { bound, from: here.from, block: here.block });
        }
    }
}

/// Where a name is bound.
#[derive(Debug, Clone, Copy)]
struct Here {
    scope: usize,
    from: usize,
    block: Part,
}

/// The bindings that a place can see of those before it: the last one whose block it stands in, and those that may have come after.
fn reaching<'t>(all: &[Binding<'t>], place: usize) -> Vec<Bound<'t>> {
    let before = all.partition_point(|binding| binding.from <= place);
    let mut found = Vec::new();
    for binding in all.get(..before).unwrap_or_default().iter().rev().take(BOUND_MAX) {
        found.push(binding.bound);
        if (binding.block.begin..binding.block.end).contains(&place) {
            return found;
        }
    }
    if found.is_empty() {
        // It comes from a later turn of a loop, or fails.
        found = bounds(all);
        found.push(Bound::Unknown);
    }
    found
}

fn bounds<'t>(all: &[Binding<'t>]) -> Vec<Bound<'t>> {
    all.iter().take(BOUND_MAX).map(|binding| binding.bound).collect()
}

/// The first word that the grammar had to put in.
fn missing(root: Node<'_>) -> Option<Node<'_>> {
    let (mut node, mut cursor) = (Some(root).filter(Node::has_error)?, root.walk());
    loop {
        match node.children(&mut cursor).find(|child| child.has_error() || child.is_missing()) {
            Some(child) => node = child,
            None => return Some(node),
        }
    }
}

/// The name that is imported, and the one it gets here.
fn aliased(node: Node<'_>) -> (Option<Node<'_>>, Option<Node<'_>>) {
    if node.kind() == "aliased_import" {
        return (node.child_by_field_name("name"), node.child_by_field_name("alias"));
    }
    (Some(node), None)
}

/// What one of `count` targets side by side is bound to.
fn part_of(bound: Bound<'_>, place: usize, count: usize) -> Bound<'_> {
    match bound {
        Bound::Value(at) if matches!(at.node.kind(), "tuple" | "list" | "expression_list") => {
            let mut cursor = at.node.walk();
            let part = at.node.named_children(&mut cursor).nth(place).filter(|_| at.node.named_child_count() == count);
            part.map_or(Bound::Unknown, |node| Bound::Value(At { node, ..at }))
        }
        Bound::Element { of, place: None } => Bound::Element { of, place: Some(place) },
        _ => Bound::Unknown,
    }
}
