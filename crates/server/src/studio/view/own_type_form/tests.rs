use super::{
    super::{
        parts::Here,
        samples::{SHARP, catalogue, keep, shell},
    },
    *,
};

fn page() -> OwnTypeForm {
    let catalogue = catalogue();
    let kind = catalogue.get("generic").expect("known");
    let removed = BTreeSet::from(["extra.extra".to_owned()]);
    let row = Row { path: "encryption".into(), label: SHARP.into(), kind: "choice".into(), ..Row::default() };
    let typed = Typed {
        label: SHARP.into(),
        extends: "generic".into(),
        category: "warehouses".into(),
        url: "exa://{host}".into(),
        removed: removed.clone(),
        rows: vec![Row { choices: "yes = On\nno".into(), help: SHARP.into(), ..row }, Row::default()],
        ..Typed::default()
    };
    OwnTypeForm {
        shell: shell("Edit exasol", Here::Connections),
        id: "exasol".into(),
        saved: Some(Saved { version: 7, words: "Saved 3 days ago by ada@example.org.".into(), connections: 3 }),
        is_unsaved: true,
        has_comments: true,
        // Some of them: a new type is one file, and not this page's snapshot.
        types: bases(&catalogue)
            .into_iter()
            .filter(|(id, _)| ["generic", "postgres", "redshift"].contains(&id.as_str()))
            .collect(),
        base: Some(Base::of(kind, &removed)),
        preview: Preview {
            is_read: true,
            parts: vec![("Driver".into(), "exa+websocket".into()), ("?ENCRYPTION".into(), SHARP.into())],
            dialect: Some("exa".into()),
            names: vec!["{host}".into(), "{extra.encryption}".into()],
        },
        errors: vec![
            FieldError::new("label", "required", "is needed"),
            FieldError::new("fields.0.choices", "invalid", "must each have a value"),
            FieldError::new("remove", "invalid", SHARP),
            FieldError::new("elsewhere", "invalid", SHARP),
        ],
        refusal: Some(SHARP.into()),
        written: Written::Form(Box::new(typed)),
    }
}

#[test]
fn forms() {
    keep("own-type", &page());
    let typed = Typed { extends: "generic".into(), ..Typed::default() };
    let new = OwnTypeForm {
        saved: None,
        id: String::new(),
        written: Written::Form(Box::new(typed)),
        is_unsaved: false,
        has_comments: false,
        preview: Preview::default(),
        errors: Vec::new(),
        refusal: None,
        ..page()
    };
    keep("own-type-new", &new);
    let alone = Some("It says more of a field than the form has room for.");
    let toml = OwnTypeForm {
        written: Written::Toml { text: SHARP.into(), alone },
        errors: vec![
            FieldError::new("definition", "invalid", SHARP),
            FieldError::new("fields.extra.a.kind", "required", "is needed"),
        ],
        preview: Preview { is_read: true, dialect: Some("postgresql".into()), ..Preview::default() },
        ..page()
    };
    keep("own-type-toml", &toml);
    let html = toml.render().expect("it renders");
    assert!(!html.contains("As a form"), "what the form cannot show is not offered: {html}");
}

#[test]
fn the_first_button_saves_since_that_is_what_the_enter_key_does() {
    let html = page().render().expect("it renders");
    let form = html.split("<form id=\"own-type\"").nth(1).expect("a form");
    let first = form.split("<button ").nth(1).and_then(|rest| rest.split('>').next());
    assert_eq!(first, Some("name=\"act\" value=\"save\" hidden"));
}

#[test]
fn what_is_refused_leads_to_its_control() {
    let page = page();
    let html = page.render().expect("it renders");
    let mut places = Vec::new();
    for error in &page.errors {
        let (label, target) = page.place(error);
        assert!(target.as_ref().is_none_or(|id| html.contains(&format!("id=\"{id}\""))), "{target:?}");
        places.push((label, target.is_some()));
    }
    let labels: Vec<_> = places.iter().map(|(label, leads)| (label.as_str(), *leads)).collect();
    assert_eq!(labels, [("Label", true), ("Field 1, Choices", true), ("Leave out", true), ("elsewhere", false)]);
}

#[test]
fn what_tests_a_type_stands_beside_it() {
    let all = bases(&catalogue());
    let words = |id: &str| all.iter().find(|(known, _)| known == id).map(|(_, words)| words.as_str());
    assert_eq!(all.first().map(|(id, _)| id.as_str()), Some("generic"));
    assert_eq!(words("postgres"), Some("PostgreSQL"));
    assert_eq!(words("redshift"), Some("Amazon Redshift (tested as PostgreSQL)"));
}
