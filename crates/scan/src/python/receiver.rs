//! Whose method `connection` is called.

use super::{
    scope::{At, Bound},
    value::{Call, Values},
};

const METHOD: &str = "connection";
/// Modules that have the class, and the class.
const MODULES: [&str; 2] = ["dataflow", "dataflow.dataflow"];
const CLASS: &str = "Dataflow";
/// Packages with a `connection` of their own.
const OTHERS: [&str; 20] = [
    "airflow",
    "asyncpg",
    "boto3",
    "celery",
    "django",
    "elasticsearch",
    "flask",
    "http",
    "kombu",
    "ldap3",
    "pika",
    "psycopg",
    "psycopg2",
    "psycopg_pool",
    "pymysql",
    "socket",
    "sqlalchemy",
    "sqlite3",
    "streamlit",
    "urllib3",
];
/// From name to name.
const DEPTH_MAX: usize = 12;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Receiver {
    Dataflow,
    /// It may be one.
    Unknown,
    Other,
}

/// What a call asks for a connection, if it does.
pub fn of_call(values: &Values<'_, '_>, call: &Call<'_>) -> Receiver {
    match (call.method(), call.object()) {
        (METHOD, Some(object)) => of(values, object, DEPTH_MAX),
        // `connect = dataflow.connection`
        (name, None) => match values.names.look_up(name, call.function).as_slice() {
            [Bound::Value(at)] => method(values, *at).unwrap_or(Receiver::Other),
            _ => Receiver::Other,
        },
        _ => Receiver::Other,
    }
}

fn method(values: &Values<'_, '_>, at: At<'_>) -> Option<Receiver> {
    let field = |name: &str| (at.node.kind() == "attribute").then(|| at.node.child_by_field_name(name))?;
    (values.names.text(field("attribute")?) == METHOD).then_some(())?;
    Some(of(values, At { node: field("object")?, ..at }, DEPTH_MAX))
}

fn of(values: &Values<'_, '_>, at: At<'_>, depth: usize) -> Receiver {
    let Some(depth) = depth.checked_sub(1) else { return Receiver::Unknown };
    let names = values.names;
    match at.node.kind() {
        "identifier" => of_bound(values, &names.look_up(names.text(at.node), at), depth),
        "attribute" => match at.node.child_by_field_name("attribute") {
            Some(name) => match of_bound(values, names.attribute(names.text(name)), depth) {
                // `django.db.connection(…)`
                Receiver::Unknown => of_root(values, at),
                known => known,
            },
            None => Receiver::Unknown,
        },
        "call" => match Call::read(names, at) {
            Some(call) if is_class(values, call.function, depth) => Receiver::Dataflow,
            // `ConnectionPool(…)`
            Some(call) => of_root(values, call.function),
            None => Receiver::Unknown,
        },
        "parenthesized_expression" | "await" => {
            at.node.named_child(0).map_or(Receiver::Unknown, |node| of(values, At { node, ..at }, depth))
        }
        "named_expression" => {
            at.node.child_by_field_name("value").map_or(Receiver::Unknown, |node| of(values, At { node, ..at }, depth))
        }
        "string" | "concatenated_string" | "list" | "tuple" | "dictionary" | "integer" => Receiver::Other,
        _ => Receiver::Unknown,
    }
}

fn of_bound(values: &Values<'_, '_>, all: &[Bound<'_>], depth: usize) -> Receiver {
    let each = |bound: &Bound<'_>| match bound {
        Bound::Value(at) | Bound::Default(at) => of(values, *at, depth),
        Bound::Typed(at) if is_class(values, *at, depth) => Receiver::Dataflow,
        Bound::Module(module) | Bound::Member { module, .. } if is_other(module) => Receiver::Other,
        _ => Receiver::Unknown,
    };
    // A name that is bound to several things may be any of them.
    let mut found = all.iter().take(DEPTH_MAX).map(each);
    let first = found.next().unwrap_or(Receiver::Unknown);
    if found.all(|other| other == first) { first } else { Receiver::Unknown }
}

fn of_root(values: &Values<'_, '_>, at: At<'_>) -> Receiver {
    let mut node = at.node;
    for _ in 0..DEPTH_MAX {
        match (node.kind() == "attribute").then(|| node.child_by_field_name("object")).flatten() {
            Some(object) => node = object,
            None => break,
        }
    }
    if node.kind() != "identifier" {
        return Receiver::Unknown;
    }
    let is_module = |bound: &Bound<'_>| matches!(bound, Bound::Module(module) | Bound::Member { module, .. } if is_other(module));
    let bound = values.names.look_up(values.names.text(node), At { node, ..at });
    if !bound.is_empty() && bound.iter().all(is_module) { Receiver::Other } else { Receiver::Unknown }
}

fn is_other(module: &str) -> bool {
    module.split('.').next().is_some_and(|package| OTHERS.contains(&package))
}

/// Whether an expression is the class `Dataflow`, or one that is made of it.
fn is_class(values: &Values<'_, '_>, at: At<'_>, depth: usize) -> bool {
    let Some(depth) = depth.checked_sub(1) else { return false };
    let names = values.names;
    let field = |name: &str| at.node.child_by_field_name(name);
    match at.node.kind() {
        "identifier" => {
            let name = names.text(at.node);
            let bound = names.look_up(name, at);
            let is = |bound: &Bound<'_>| match bound {
                Bound::Member { module, name } => MODULES.contains(module) && *name == CLASS,
                Bound::Value(at) => is_class(values, *at, depth),
                Bound::Class(at) => is_made_of(values, *at, depth),
                _ => false,
            };
            if bound.is_empty() {
                return name == CLASS && names.stars.iter().any(|module| MODULES.contains(module));
            }
            bound.iter().take(DEPTH_MAX).all(is)
        }
        "attribute" => {
            let (Some(object), Some(name)) = (field("object"), field("attribute")) else { return false };
            names.text(name) == CLASS && is_module(values, At { node: object, ..at })
        }
        // An annotation, also as a string.
        "type" | "parenthesized_expression" => {
            at.node.named_child(0).is_some_and(|node| is_class(values, At { node, ..at }, depth))
        }
        "string" => values.constant(at).is_some_and(|name| {
            let is =
                |bound: &Bound<'_>| matches!(bound, Bound::Member { module, name } if MODULES.contains(module) && *name == CLASS);
            names.look_up(&name, at).first().is_some_and(is)
        }),
        _ => false,
    }
}

/// `dataflow`, `dataflow.dataflow`, or another name that an import gave them.
fn is_module(values: &Values<'_, '_>, at: At<'_>) -> bool {
    let names = values.names;
    let root = if at.node.kind() == "attribute" { at.node.child_by_field_name("object") } else { Some(at.node) };
    let Some(root) = root.filter(|root| root.kind() == "identifier") else { return false };
    names.look_up(names.text(root), at).iter().any(|bound| match bound {
        Bound::Module(module) => MODULES.contains(module),
        Bound::Member { module, name } => *module == "dataflow" && *name == "dataflow",
        _ => false,
    })
}

fn is_made_of(values: &Values<'_, '_>, class: At<'_>, depth: usize) -> bool {
    let Some(bases) = class.node.child_by_field_name("superclasses") else { return false };
    let mut cursor = bases.walk();
    bases.named_children(&mut cursor).take(DEPTH_MAX).any(|node| is_class(values, At { node, ..class }, depth))
}
