//! A workspace's own types: their list, and the question before one goes.

use askama::Template;

use super::{Glyph, Shell};

/// A type in the list.
#[derive(Debug)]
pub struct TypeLine {
    pub id: String,
    pub label: String,
    pub summary: String,
    pub glyph: Option<Glyph>,
    /// The label of the type that it extends.
    pub based_on: String,
    /// `8, of which 2 are its own`.
    pub fields: String,
    pub connections: i64,
    /// `3 days ago by ada@example.org`.
    pub saved: String,
    /// The instant, for `title`.
    pub saved_at: String,
    /// Why connections of it cannot be saved or tested.
    pub problem: Option<String>,
}

/// The types of a workspace, for everybody who sees its connections.
#[derive(Debug, Template)]
#[template(path = "own_types.html")]
pub struct OwnTypes {
    pub shell: Shell,
    pub lines: Vec<TypeLine>,
    pub may_define: bool,
}

/// The question before a type goes.
#[derive(Debug, Template)]
#[template(path = "own_type_remove.html")]
pub struct RemoveOwnType {
    pub shell: Shell,
    pub id: String,
    pub label: String,
    pub version: i64,
    /// How many connections are of it; while there are any, it stays.
    pub connections: i64,
    /// Why it was not removed.
    pub refusal: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            parts::Here,
            samples::{SHARP, keep, shell},
        },
        *,
    };

    fn line(id: &str) -> TypeLine {
        TypeLine {
            id: id.to_owned(),
            label: SHARP.into(),
            summary: SHARP.into(),
            glyph: Some(Glyph { text: "Ex".into(), color: "#155e75".into() }),
            based_on: "Generic".into(),
            fields: "8, of which 2 are its own".into(),
            connections: 3,
            saved: "3 days ago by ada@example.org".into(),
            saved_at: "2026-11-22T16:00:00Z".into(),
            problem: None,
        }
    }

    #[test]
    fn lists() {
        let bent = TypeLine { glyph: None, connections: 0, problem: Some(SHARP.into()), ..line("bent") };
        let page = OwnTypes { shell: shell("Own types", Here::Connections), lines: vec![line("exasol"), bent], may_define: true };
        keep("own-types", &page);
        let reader = OwnTypes { may_define: false, ..page };
        let html = reader.render().expect("it renders");
        assert!(html.contains("exasol") && !html.contains("/edit\"") && !html.contains("/types/new"), "{html}");
        let none = OwnTypes { lines: Vec::new(), may_define: true, ..reader };
        keep("own-types-none", &none);
        let html = OwnTypes { may_define: false, ..none }.render().expect("it renders");
        assert!(html.contains("An admin") && !html.contains("/types/new"), "{html}");
    }

    #[test]
    fn the_question_before_one_goes() {
        let page = RemoveOwnType {
            shell: shell("Remove exasol", Here::Connections),
            id: "exasol".into(),
            label: SHARP.into(),
            version: 7,
            connections: 0,
            refusal: Some(SHARP.into()),
        };
        keep("own-type-remove", &page);
        let used = RemoveOwnType { connections: 2, refusal: None, ..page };
        keep("own-type-remove-used", &used);
        assert!(
            !used.render().expect("it renders").contains("<button class=\"btn danger\""),
            "what would be refused is not offered"
        );
    }
}
