//! What texts an expression may give: constants are followed through names, `+`, f-strings, loops over what is written down, and
//! defaults. Nothing is run.

use std::cell::Cell;

use tree_sitter::Node;

use super::{
    airflow::names_connection,
    scope::{At, Bound, Names},
};
use crate::pattern::Pattern;

/// How far a value is followed, from name to name and into an expression.
const DEPTH_MAX: usize = 40;
/// Steps for all values of one file: constants that are made of constants may double with each.
const STEPS_MAX: usize = 200_000;
/// More values than this are not told one by one.
const VALUES_MAX: usize = 128;

/// One text that an expression may give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    pub pattern: Pattern,
    /// It may as well give another.
    pub is_maybe: bool,
}

impl Value {
    fn certain(pattern: Pattern) -> Self {
        Self { pattern, is_maybe: false }
    }

    fn unknown() -> Vec<Self> {
        vec![Self::certain(Pattern::anything())]
    }
}

#[derive(Debug)]
pub struct Values<'n, 't> {
    pub names: &'n Names<'t>,
    steps: Cell<usize>,
}

impl<'n, 't> Values<'n, 't> {
    pub fn new(names: &'n Names<'t>) -> Self {
        Self { names, steps: Cell::new(0) }
    }

    /// The texts that an expression may give; none if it gives no text, such as `None`.
    pub fn of(&self, at: At<'t>) -> Vec<Value> {
        self.texts(at, DEPTH_MAX)
    }

    /// The text of an expression that gives always the same one.
    pub fn constant(&self, at: At<'t>) -> Option<String> {
        match self.of(at).as_slice() {
            [Value { pattern, is_maybe: false }] => pattern.whole().map(str::to_owned),
            _ => None,
        }
    }

    /// Takes so many steps; whether there were none left.
    fn is_exhausted(&self, steps: usize) -> bool {
        self.steps.set(self.steps.get().saturating_add(steps));
        self.steps.get() > STEPS_MAX
    }

    /// Each of `before` and then each of `after`.
    fn joined(&self, before: &[Value], after: &[Value]) -> Vec<Value> {
        if self.is_exhausted(before.len().saturating_mul(after.len())) {
            return Value::unknown();
        }
        let one = |first: &Value, second: &Value| Value {
            pattern: first.pattern.clone().then(&second.pattern),
            is_maybe: first.is_maybe || second.is_maybe,
        };
        capped(before.iter().flat_map(|first| after.iter().map(move |second| one(first, second))).take(VALUES_MAX + 1).collect())
    }

    fn texts(&self, at: At<'t>, depth: usize) -> Vec<Value> {
        let Some(depth) = depth.checked_sub(1).filter(|_| !self.is_exhausted(1)) else { return Value::unknown() };
        let At { node, scope } = at;
        let part = |name: &str| node.child_by_field_name(name).map(|node| At { node, scope });
        let child = |place| node.named_child(place).map(|node| At { node, scope });
        let texts = |at: Option<At<'t>>| at.map_or_else(Value::unknown, |at| self.texts(at, depth));
        match node.kind() {
            "string" => self.string(at, depth),
            "concatenated_string" => {
                let mut cursor = node.walk();
                let parts: Vec<_> = node.named_children(&mut cursor).filter(|part| part.kind() == "string").collect();
                parts.into_iter().fold(vec![Value::certain(Pattern::text(""))], |before, node| {
                    self.joined(&before, &self.texts(At { node, scope }, depth))
                })
            }
            "identifier" => self.bound(&self.names.look_up(self.names.text(node), at), depth),
            "attribute" => self.attribute(at, depth),
            "binary_operator" => match part("operator").map(|operator| self.names.text(operator.node)) {
                Some("+") => self.joined(&texts(part("left")), &texts(part("right"))),
                Some("%") => opened(texts(part("left")), '%'),
                _ => Value::unknown(),
            },
            "conditional_expression" => either([texts(child(0)), texts(child(2))].concat()),
            "boolean_operator" => either([texts(part("left")), texts(part("right"))].concat()),
            "parenthesized_expression" | "type" => texts(child(0)),
            "named_expression" => texts(part("value")),
            "call" => self.call(at, depth),
            "subscript" => self.subscript(at, depth),
            "none" | "true" | "false" | "integer" | "float" | "ellipsis" | "list" | "tuple" | "dictionary" | "set" | "lambda" => {
                Vec::new()
            }
            _ => Value::unknown(),
        }
    }

    fn string(&self, at: At<'t>, depth: usize) -> Vec<Value> {
        let mut all = vec![Value::certain(Pattern::text(""))];
        let mut cursor = at.node.walk();
        let mut parts = Vec::new();
        for part in at.node.named_children(&mut cursor) {
            match part.kind() {
                // A byte string is no name.
                "string_start" if self.names.text(part).contains(['b', 'B']) => return Vec::new(),
                "string_content" | "interpolation" => parts.push(part),
                _ => {}
            }
        }
        for part in parts {
            let next = match part.kind() {
                // An escape stands for a letter that no name has, or is not worth reading.
                "string_content" if part.named_child_count() > 0 => Value::unknown(),
                "string_content" => vec![Value::certain(Pattern::text(self.names.text(part)))],
                _ => self.interpolation(part, at.scope, depth),
            };
            all = self.joined(&all, &next);
        }
        all
    }

    fn interpolation(&self, part: Node<'t>, scope: usize, depth: usize) -> Vec<Value> {
        let is_changed = ["type_conversion", "format_specifier"].iter().any(|field| part.child_by_field_name(field).is_some());
        match part.child_by_field_name("expression") {
            Some(node) if !is_changed => {
                let values = self.texts(At { node, scope }, depth);
                if values.is_empty() { Value::unknown() } else { values }
            }
            _ => Value::unknown(),
        }
    }

    /// What the bindings of one name give.
    fn bound(&self, all: &[Bound<'t>], depth: usize) -> Vec<Value> {
        match all {
            [] => Value::unknown(),
            [one] => self.binding(*one, depth),
            many => either(many.iter().take(VALUES_MAX).flat_map(|one| self.binding(*one, depth)).collect()),
        }
    }

    fn binding(&self, bound: Bound<'t>, depth: usize) -> Vec<Value> {
        match bound {
            Bound::Value(at) => self.texts(at, depth),
            Bound::Default(at) => maybe(self.texts(at, depth)),
            Bound::Element { of, place } => match self.elements(of, place, depth) {
                Some(elements) => capped(elements.into_iter().take(VALUES_MAX).flat_map(|at| self.texts(at, depth)).collect()),
                None => Value::unknown(),
            },
            _ => Value::unknown(),
        }
    }

    /// `self.NAME`, `Names.SALES`, `Names.SALES.value`
    fn attribute(&self, at: At<'t>, depth: usize) -> Vec<Value> {
        let field = |name: &str| at.node.child_by_field_name(name);
        let (Some(object), Some(name)) = (field("object"), field("attribute")) else { return Value::unknown() };
        let name = self.names.text(name);
        match self.names.attribute(name) {
            // The value of an enum's member.
            [] if name == "value" => self.texts(At { node: object, scope: at.scope }, depth),
            all => self.bound(all, depth),
        }
    }

    /// `os.getenv("X", "sales")`, `Variable.get("x", default_var="sales")`, `"sales_{}".format(region)`
    fn call(&self, at: At<'t>, depth: usize) -> Vec<Value> {
        let Some(call) = Call::read(self.names, at) else { return Value::unknown() };
        match call.method() {
            "format" => call.object().map_or_else(Value::unknown, |object| opened(self.texts(object, depth), '{')),
            "getenv" | "get" | "config" => {
                let keyword = call.keywords.iter().find(|(name, _)| name.starts_with("default")).map(|(_, at)| *at);
                let default = keyword.or_else(|| call.positional.get(1).copied());
                let values = default.map_or_else(Value::unknown, |default| maybe(self.texts(default, depth)));
                // `settings.get("section", "sales_conn_id")` has a key there.
                let is_key = |value: &Value| value.pattern.whole().is_some_and(|text| names_connection(&text.to_lowercase()));
                if values.iter().any(is_key) { Value::unknown() } else { values }
            }
            "str" => call.positional.first().map_or_else(Value::unknown, |first| self.texts(*first, depth)),
            _ => Value::unknown(),
        }
    }

    /// `NAMES["sales"]` and `NAMES[region]`, where the dictionary is written down.
    fn subscript(&self, at: At<'t>, depth: usize) -> Vec<Value> {
        let field = |name: &str| at.node.child_by_field_name(name).map(|node| At { node, ..at });
        let (Some(object), Some(key)) = (field("value"), field("subscript")) else { return Value::unknown() };
        let Some(dictionary) = self.written(object, depth).filter(|at| at.node.kind() == "dictionary") else {
            return Value::unknown();
        };
        let wanted = self.texts(key, depth);
        let wanted = match wanted.as_slice() {
            [Value { pattern, is_maybe: false }] => pattern.whole(),
            _ => None,
        };
        if self.is_exhausted(dictionary.node.named_child_count()) {
            return Value::unknown();
        }
        let mut all = Vec::new();
        for (key, value) in pairs(dictionary).into_iter().take(VALUES_MAX) {
            match wanted {
                None => all.extend(self.texts(value, depth)),
                Some(wanted) if self.texts(key, depth).iter().any(|key| key.pattern.whole() == Some(wanted)) => {
                    return self.texts(value, depth);
                }
                Some(_) => {}
            }
        }
        if all.is_empty() { Value::unknown() } else { either(all) }
    }

    /// The expression that a name was bound to, if it was bound once.
    fn written(&self, at: At<'t>, depth: usize) -> Option<At<'t>> {
        let depth = depth.checked_sub(1).filter(|_| !self.is_exhausted(1))?;
        let bound = match at.node.kind() {
            "identifier" => self.names.look_up(self.names.text(at.node), at),
            "attribute" => self.names.attribute(self.names.text(at.node.child_by_field_name("attribute")?)).to_vec(),
            "parenthesized_expression" => return self.written(At { node: at.node.named_child(0)?, ..at }, depth),
            _ => return Some(at),
        };
        match bound.as_slice() {
            [Bound::Value(value) | Bound::Default(value)] => self.written(*value, depth),
            _ => None,
        }
    }

    /// What a loop over an iterable goes through, if it is written down; of tuples, what stands at one place.
    fn elements(&self, of: At<'t>, place: Option<usize>, depth: usize) -> Option<Vec<At<'t>>> {
        let depth = depth.checked_sub(1).filter(|_| !self.is_exhausted(1))?;
        let of = self.written(of, depth)?;
        if self.is_exhausted(of.node.named_child_count()) {
            return None;
        }
        match (of.node.kind(), place) {
            ("list" | "tuple" | "set" | "expression_list", None) => Some(children(of)),
            ("list" | "tuple" | "set" | "expression_list", Some(place)) => children(of)
                .into_iter()
                .map(|element| {
                    let element = self.written(element, depth)?;
                    matches!(element.node.kind(), "tuple" | "list").then(|| children(element).get(place).copied())?
                })
                .collect(),
            ("dictionary", None) => Some(pairs(of).into_iter().map(|(key, _)| key).collect()),
            ("call", _) => self.elements_of_call(&Call::read(self.names, of)?, place, depth),
            _ => None,
        }
    }

    fn elements_of_call(&self, call: &Call<'t>, place: Option<usize>, depth: usize) -> Option<Vec<At<'t>>> {
        let first = || call.positional.first().copied();
        match (call.method(), place) {
            ("sorted" | "list" | "tuple" | "set" | "frozenset" | "reversed", place) => self.elements(first()?, place, depth),
            ("enumerate", Some(1)) => self.elements(first()?, None, depth),
            ("zip", Some(place)) => self.elements(*call.positional.get(place)?, None, depth),
            ("keys", None) | ("items", Some(0)) => self.elements(call.object()?, None, depth),
            ("values", None) | ("items", Some(1)) => {
                let dictionary = self.written(call.object()?, depth).filter(|at| at.node.kind() == "dictionary")?;
                Some(pairs(dictionary).into_iter().map(|(_, value)| value).collect())
            }
            _ => None,
        }
    }
}

/// A call with its arguments.
#[derive(Debug)]
pub struct Call<'t> {
    pub function: At<'t>,
    pub positional: Vec<At<'t>>,
    pub keywords: Vec<(&'t str, At<'t>)>,
    /// The name that is called, without what stands before its last point.
    method: &'t str,
}

impl<'t> Call<'t> {
    pub fn read(names: &Names<'t>, at: At<'t>) -> Option<Self> {
        let function = At { node: at.node.child_by_field_name("function")?, ..at };
        let arguments = at.node.child_by_field_name("arguments")?;
        let method = match function.node.kind() {
            "attribute" => names.text(function.node.child_by_field_name("attribute")?),
            "identifier" => names.text(function.node),
            _ => "",
        };
        let mut call = Self { function, positional: Vec::new(), keywords: Vec::new(), method };
        let mut is_open = false;
        let mut cursor = arguments.walk();
        for node in arguments.named_children(&mut cursor) {
            match node.kind() {
                "comment" => {}
                "keyword_argument" => {
                    if let (Some(name), Some(value)) = (node.child_by_field_name("name"), node.child_by_field_name("value")) {
                        call.keywords.push((names.text(name), At { node: value, ..at }));
                    }
                }
                "list_splat" | "dictionary_splat" => is_open = true,
                // Behind `*more` nobody knows which one it is.
                _ if is_open => {}
                _ => call.positional.push(At { node, ..at }),
            }
        }
        Some(call)
    }

    pub fn method(&self) -> &'t str {
        self.method
    }

    /// What stands before the last point.
    pub fn object(&self) -> Option<At<'t>> {
        Some(At { node: self.function.node.child_by_field_name("object")?, ..self.function })
    }

    pub fn keyword(&self, name: &str) -> Option<At<'t>> {
        self.keywords.iter().find(|(keyword, _)| *keyword == name).map(|(_, at)| *at)
    }
}

fn children(at: At<'_>) -> Vec<At<'_>> {
    let mut cursor = at.node.walk();
    at.node.named_children(&mut cursor).filter(|node| node.kind() != "comment").map(|node| At { node, ..at }).collect()
}

/// Keys and values of a dictionary that is written down.
pub fn pairs(at: At<'_>) -> Vec<(At<'_>, At<'_>)> {
    let mut cursor = at.node.walk();
    let pairs = at.node.named_children(&mut cursor).filter(|node| node.kind() == "pair");
    pairs
        .filter_map(|node| {
            let field = |name| node.child_by_field_name(name).map(|node| At { node, ..at });
            field("key").zip(field("value"))
        })
        .collect()
}

fn maybe(values: Vec<Value>) -> Vec<Value> {
    values.into_iter().map(|value| Value { is_maybe: true, ..value }).collect()
}

/// One of these; if they are all the same, that one.
fn either(values: Vec<Value>) -> Vec<Value> {
    match values.split_first() {
        Some((first, rest)) if rest.iter().all(|other| other == first) => vec![first.clone()],
        _ => maybe(capped(values)),
    }
}

fn capped(mut values: Vec<Value>) -> Vec<Value> {
    if values.len() > VALUES_MAX {
        values.truncate(VALUES_MAX);
        values.push(Value { pattern: Pattern::anything(), is_maybe: true });
    }
    values
}

/// A format, with something unknown for each of its fields.
fn opened(formats: Vec<Value>, sign: char) -> Vec<Value> {
    formats
        .into_iter()
        .map(|format| {
            let Some(text) = format.pattern.whole() else { return Value { pattern: Pattern::anything(), ..format } };
            let mut pattern = Pattern::text("");
            let mut rest = text;
            while let Some((before, field)) = rest.split_once(sign) {
                let end = if sign == '{' {
                    field.find('}').map(|end| end + 1)
                } else {
                    field.find(char::is_alphabetic).map(|end| end + 1)
                };
                pattern = pattern.then(&Pattern::text(before)).then(&Pattern::anything());
                rest = end.and_then(|end| field.get(end..)).unwrap_or_default();
            }
            Value { pattern: pattern.then(&Pattern::text(rest)), ..format }
        })
        .collect()
}
