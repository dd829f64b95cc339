use super::*;

#[test]
fn the_built_in_catalogue_is_sound() {
    let catalogue = Catalogue::built_in().expect("every file follows the rules");
    assert!(catalogue.get("postgres").is_some());
    for kind in catalogue.all() {
        assert!(kind.docs.starts_with("https://"), "{}", kind.id);
        for path in ["host", "port", "database", "username", "tls.mode"] {
            assert!(kind.field(path).is_none_or(|field| field.endpoint), "{}: `{path}` is an endpoint", kind.id);
        }
        assert!(kind.tested.source().is_none_or(|source| source.starts_with("https://")), "{}", kind.id);
        assert!(!kind.tags.is_empty(), "{}: who does not know its name finds it by a tag", kind.id);
        assert!((1..=2).contains(&kind.glyph.text.chars().count()), "{}: there is room for two letters", kind.id);
        let contrast = kind.glyph.contrast().expect("a colour");
        assert!(contrast >= 4.5, "{}: white on {} has {contrast:.2}:1", kind.id, kind.glyph.color);
    }
}

/// What leads to a type leads to one: its label, its glyph, a URL's scheme.
#[test]
fn no_two_types_are_taken_for_each_other() {
    let catalogue = Catalogue::built_in().expect("sound");
    let all = catalogue.all();
    let mut seen = std::collections::BTreeMap::new();
    for kind in &all {
        let glyph = format!("glyph {} on {}", kind.glyph.text, kind.glyph.color);
        let schemes = kind.url_schemes.iter().map(|scheme| format!("scheme {scheme}"));
        for mark in schemes.chain([format!("label {}", kind.label.to_lowercase()), glyph]) {
            if let Some(other) = seen.insert(mark.clone(), &kind.id) {
                panic!("{other} and {} have one {mark}", kind.id);
            }
        }
        assert!(kind.is_found_by(&kind.id) && kind.is_found_by(&kind.label), "{}", kind.id);
    }
    let places: Vec<_> = all.iter().map(|kind| kind.category).collect();
    assert!(places.is_sorted() && Category::ALL.is_sorted(), "{places:?}");
}

/// Airflow's connections lead to a type, and what several types share leads to the one that is Airflow's own.
#[test]
fn airflows_words_lead_to_a_type() {
    let catalogue = Catalogue::built_in().expect("sound");
    for kind in catalogue.all() {
        let Some(conn_type) = &kind.airflow else { continue };
        let found = catalogue.of_airflow(conn_type).expect("at least this one");
        assert!(found.id == *conn_type || found.id == kind.id || found.airflow == kind.airflow, "{conn_type}: {}", found.id);
        assert_eq!(found.connector, kind.connector, "{conn_type}: {} and {}", found.id, kind.id);
    }
    assert_eq!(catalogue.of_airflow("postgres").map(|kind| kind.id.as_str()), Some("postgres"));
    assert!(catalogue.of_airflow("no_such_type").is_none());
}

#[test]
fn a_type_says_how_honestly_it_is_tested() {
    let server = |versions: &[&str]| Server {
        name: "PostgreSQL".to_owned(),
        versions: versions.iter().map(|version| (*version).to_owned()).collect(),
    };
    let fake =
        Source { follows: "section 4 of its manual".to_owned(), source: "https://example.org".to_owned(), protocol: false };
    let protocol = Source { protocol: true, ..fake.clone() };
    let own_test = |reaches_only| OwnTest { like: "PostgreSQL".to_owned(), reaches_only };
    for (tested, said) in [
        (Tested::Product(server(&[])), "Tested against PostgreSQL."),
        (Tested::Product(server(&["14", "15", "18"])), "Tested against PostgreSQL 14, 15 and 18."),
        (Tested::StandIn(server(&["15"])), "Tested against PostgreSQL 15, whose protocol it speaks; not against X itself."),
        (Tested::Fake(fake), "Tested against a fake that follows section 4 of its manual; not against X itself."),
        (Tested::Fake(protocol), "Tested against a fake that follows section 4 of its manual."),
        (
            Tested::Own(own_test(false)),
            "A type of this workspace’s own. It is tested as if it were PostgreSQL: no test looks at whether it is one, nor at what its form has besides.",
        ),
        (
            Tested::Own(own_test(true)),
            "A type of this workspace’s own. A test reaches it and sets up TLS, and nothing there looks at the password: it stays unproven.",
        ),
    ] {
        assert_eq!(tested.sentence("X"), said);
    }
}

/// A file that extends another has its connector, and neither its servers nor what is known of them.
#[test]
fn no_type_claims_what_is_true_of_another() {
    let catalogue = Catalogue::built_in().expect("sound");
    let (postgres, redshift) = (catalogue.get("postgres").expect("there"), catalogue.get("redshift").expect("there"));
    let (Tested::Product(server), Tested::StandIn(stand_in)) = (&postgres.tested, &redshift.tested) else {
        panic!("{:?}, {:?}", postgres.tested, redshift.tested);
    };
    assert_eq!(server, stand_in);
    let (mysql, mariadb) = (catalogue.get("mysql").expect("there"), catalogue.get("mariadb").expect("there"));
    assert!(postgres.rotates && mysql.rotates && mariadb.rotates && !redshift.rotates);
    assert!(redshift.tested_words().ends_with("not against Amazon Redshift itself."), "{}", redshift.tested_words());
}

/// What a field is marked as protects the secret, of whichever type.
#[test]
fn no_type_loosens_what_it_extends() {
    let catalogue = Catalogue::built_in().expect("sound");
    let mut compared = 0;
    for kind in catalogue.all() {
        let Some(parent) = kind.extends.as_deref().and_then(|parent| catalogue.get(parent)) else { continue };
        for (field, inherited) in kind.fields.iter().filter_map(|field| Some((field, parent.field(field.path.as_str())?))) {
            let marks = |field: &Field| (field.kind, field.secret, field.endpoint, field.admin);
            assert_eq!(marks(field), marks(inherited), "{}: {}", kind.id, field.path);
            let is_weak = |field: &Field, value: &str| field.choices.iter().any(|choice| choice.value == value && choice.weak);
            for choice in &field.choices {
                assert_eq!(choice.weak, is_weak(inherited, &choice.value), "{}: {} {}", kind.id, field.path, choice.value);
            }
            compared += 1;
        }
    }
    assert!(compared > 100, "{compared} fields");
}

/// The page of the docs, out of the catalogue.
fn page() -> String {
    let catalogue = Catalogue::built_in().expect("sound");
    let all = catalogue.all();
    let mut page = format!(
        "# Connection types\n\nWritten from `catalog/` and held against it by a test. {} types. “Airflow” is the `conn_type` that Airflow has \
         for it; “SQLAlchemy” the dialect\nthat the SDK opens it with: where there is none, code takes the connection as values \
         (`mode=\"dict\"`).\n`dataflow types ID` lists the fields of one.\n",
        all.len()
    );
    for category in Category::ALL {
        let types: Vec<_> = all.iter().filter(|kind| kind.category == category).collect();
        if types.is_empty() {
            continue;
        }
        let head = "| type | id | port | Airflow | SQLAlchemy | how it is tested |\n|---|---|---|---|---|---|";
        page.extend(["\n## ", category.label(), "\n\n", head, "\n"]);
        for kind in types {
            let code = |word: Option<&str>| word.map(|word| format!("`{word}`")).unwrap_or_default();
            let port = kind.field("port").and_then(|field| field.default.as_ref()).map(ToString::to_string).unwrap_or_default();
            let tested = kind.tested_words();
            let tested = kind.tested.source().map_or(tested.clone(), |source| format!("{tested} ([source]({source}))"));
            let name = format!("[{}]({})", kind.label, kind.docs);
            let row =
                [&name, &code(Some(&kind.id)), &port, &code(kind.airflow.as_deref()), &code(kind.dialect.as_deref()), &tested];
            page.extend(["| ", &row.map(String::as_str).join(" | "), " |\n"]);
        }
    }
    page
}

#[test]
fn the_page_about_types_is_the_catalogue() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/types.md");
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    if kept != page() {
        std::fs::write(path, page()).expect("the sources can be written");
        panic!("docs/types.md was not what the catalogue says; it is written anew, look at it and commit it");
    }
}

#[test]
fn a_type_that_extends_another_changes_only_what_it_says() {
    let catalogue = Catalogue::built_in().expect("sound");
    let (postgres, redshift) = (catalogue.get("postgres").expect("there"), catalogue.get("redshift").expect("there"));
    assert_eq!(redshift.connector, postgres.connector);
    assert_eq!(redshift.field("port").and_then(|f| f.default.clone()), Some(FieldValue::Integer(5439)));
    assert_eq!(redshift.field("password").map(|f| f.secret), Some(true));
}

#[test]
fn an_unmarked_secret_is_refused() {
    let text = r#"
        label = "X"
        summary = "x"
        category = "databases"
        connector = "x"
        docs = "https://example.org"
        tested.fake = { follows = "nothing", source = "https://example.org" }
        glyph = { text = "X", color = "\#000000" }
        [[fields]]
        path = "password"
        label = "Password"
        kind = "password"
        section = "main"
    "#
    .replace("\\#", "#");
    assert!(matches!(Catalogue::read(&[("x", &text)]), Err(CatalogueError::Rule { .. })));
}
