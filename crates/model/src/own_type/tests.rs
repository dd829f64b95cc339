use proptest::prelude::*;
use rstest::rstest;

use super::*;
use crate::{Catalogue, Draft, PublicFields, catalogue::Tested};

/// The example of the docs: the first block of TOML there.
fn example() -> &'static str {
    let page = include_str!("../../../../docs/own-types.md");
    page.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("an example")
}

fn built_in() -> Catalogue {
    Catalogue::built_in().expect("sound")
}

fn refused(id: &str, text: &str) -> Vec<(String, String)> {
    let errors = read(id, text, &built_in()).expect_err("must be refused");
    errors.into_iter().map(|error| (error.field, error.code)).collect()
}

/// A definition over PostgreSQL with something more.
fn over_postgres(more: &str) -> String {
    format!("extends = \"postgres\"\nlabel = \"Ours\"\n{more}")
}

fn field(more: &str) -> String {
    over_postgres(&format!("[[fields]]\n{more}"))
}

#[test]
fn the_example_of_the_docs_is_a_type() {
    let text = example();
    let lines = text.lines().filter(|line| !line.is_empty()).count();
    assert!((10..=20).contains(&lines), "{lines} lines");
    let kind = read("exasol", text, &built_in()).expect("it follows the rules");
    assert_eq!((kind.connector.as_str(), kind.dialect.as_deref()), ("generic", Some("exa")));
    assert!(matches!(&kind.tested, Tested::Own(own) if own.reaches_only));
    assert_eq!(kind.field("port").and_then(|port| port.default.clone()), Some(FieldValue::Integer(8_563)));
    let url = serde_json::to_value(kind.url.as_ref().expect("a template")).expect("JSON");
    assert_eq!(
        url,
        serde_json::json!({
            "drivername": "exa+websocket", "username": "{username}", "password": "{password}", "host": "{host}", "port": "{port}",
            "database": "{database}", "query": {"ENCRYPTION": "{extra.encryption}"}
        })
    );
    let definition = OwnDefinition::from_toml(text).expect("readable");
    assert_eq!(OwnDefinition::from_toml(&definition.to_toml()).expect("readable"), definition);
}

#[test]
fn an_own_type_has_the_form_and_the_connector_of_its_base_and_claims_nothing_of_it() {
    let catalogue = built_in();
    let (base, kind) = (catalogue.get("postgres").expect("known"), read("ours", &over_postgres(""), &catalogue).expect("fine"));
    assert_eq!((&kind.connector, &kind.dialect, kind.fields.len()), (&base.connector, &base.dialect, base.fields.len()));
    assert_eq!((kind.rotates, &kind.airflow, kind.url_schemes.len(), kind.own), (false, &None, 0, Some(0)));
    assert!(kind.tested_words().contains("as if it were PostgreSQL"), "{}", kind.tested_words());
    for field in &kind.fields {
        assert_eq!(field.endpoint, !field.secret, "{}: every field of an own type is an endpoint but a secret", field.path);
        let of_base = base.field(field.path.as_str()).expect("inherited");
        assert_eq!((field.admin, field.secret, field.kind), (of_base.admin, of_base.secret, of_base.kind), "{}", field.path);
    }
    assert_eq!(kind.glyph.text, "Ou");
    assert!(kind.glyph.contrast().expect("a colour") >= 4.5);
}

/// Whatever is built in can be extended, unless its form is larger than any may be.
#[test]
fn every_built_in_type_is_a_base() {
    let catalogue = built_in();
    for base in catalogue.all() {
        let text = format!(
            "extends = \"{}\"\nlabel = \"Ours\"\n[[fields]]\npath = \"extra.zone_of_ours\"\nlabel = \"Zone\"\nkind = \"text\"\n",
            base.id
        );
        let kind = read("ours", &text, &catalogue).unwrap_or_else(|errors| panic!("{}: {errors:?}", base.id));
        assert_eq!(kind.fields.len(), base.fields.len() + 1, "{}", base.id);
        assert_eq!(matches!(&kind.tested, Tested::Own(own) if own.reaches_only), base.id == GENERIC, "{}", base.id);
    }
}

#[rstest]
#[case("", "id", "invalid")]
#[case("Exasol", "id", "invalid")]
#[case("1exasol", "id", "invalid")]
#[case("exa-sol", "id", "invalid")]
#[case("postgres", "id", "name_taken")]
fn an_id_is_a_word_that_no_built_in_type_has(#[case] id: &str, #[case] member: &str, #[case] code: &str) {
    assert_eq!(refused(id, example()), [(member.to_owned(), code.to_owned())]);
    let long = "a".repeat(ID_MAX + 1);
    assert_eq!(refused(&long, example()).len(), 1);
    assert!(read(&"a".repeat(ID_MAX), example(), &built_in()).is_ok());
}

#[rstest]
#[case("label = \"PostgreSQL\"", "label", "name_taken")]
#[case("label = \" \"", "label", "required")]
#[case("label = \"X\"\nsummary = \"a\\nb\"", "summary", "invalid")]
#[case("label = \"X\"\ncategory = \"cars\"", "category", "wrong_type")]
#[case("label = \"X\"\ntags = [\"Two words\"]", "tags", "invalid")]
#[case("label = \"X\"\ndocs = \"http://example.org\"", "docs", "invalid")]
#[case("label = \"X\"\ndocs = \"https://example.org/\\\"><script>\"", "docs", "invalid")]
#[case("label = \"X\"\nglyph = { text = \"Xyz\", color = \"#000000\" }", "glyph.text", "invalid")]
#[case("label = \"X\"\nglyph = { text = \"X\", color = \"red\" }", "glyph.color", "invalid")]
#[case("label = \"X\"\nglyph = { text = \"X\", color = \"#eeeeee\" }", "glyph.color", "invalid")]
#[case("label = \"X\"\nconnector = \"sqlite\"", "connector", "unknown_field")]
#[case("label = \"X\"\ntested.product = { name = \"X\", versions = [] }", "tested", "unknown_field")]
#[case("label = \"X\"\nrotates = true", "rotates", "unknown_field")]
#[case("label = \"X\"\nairflow = \"postgres\"", "airflow", "unknown_field")]
#[case("label = \"X\"\nurl_schemes = [\"postgresql\"]", "url_schemes", "unknown_field")]
#[case("label = \"X\"\ndialect = \"x\"", "dialect", "unknown_field")]
#[case("label = \"X\"\ncolour = \"red\"", "colour", "unknown_field")]
#[case("label = 7", "label", "wrong_type")]
#[case("", "label", "required")]
#[case("label = \"X\"\nremove = [\"host\"]", "remove", "invalid")]
#[case("label = \"X\"\nremove = [\"port\"]", "remove", "invalid")]
#[case("label = \"X\"\nremove = [\"password\"]", "remove", "invalid")]
#[case("label = \"X\"\nremove = [\"tls.mode\"]", "remove", "invalid")]
#[case("label = \"X\"\nremove = [\"extra.through_pin\"]", "remove", "invalid")]
#[case("label = \"X\"\n[[fields]]\npath = \"extra.through_pin\"\nlabel = \"X\"", "fields.extra.through_pin", "invalid")]
#[case("label = \"X\"\n[[fields]]\npath = \"extra.through\"\ndefault = \"bastion\"", "fields.extra.through.default", "invalid")]
#[case("label = \"X\"\nremove = [\"extra.colour\"]", "remove", "not_a_choice")]
fn what_a_definition_may_not_say_is_refused_by_member(#[case] text: &str, #[case] member: &str, #[case] code: &str) {
    let text = format!("extends = \"postgres\"\n{text}\n");
    assert_eq!(refused("ours", &text), [(member.to_owned(), code.to_owned())], "{text}");
}

#[rstest]
// Marks of the base stay.
#[case("path = \"password\"\nsecret = false", "fields.password.secret", "invalid")]
#[case("path = \"password\"\nkind = \"text\"", "fields.password.kind", "invalid")]
#[case("path = \"password\"\ndefault = \"x\"", "fields.password.default", "invalid")]
#[case("path = \"host\"\nendpoint = false", "fields.host.endpoint", "invalid")]
#[case("path = \"host\"\nrequired = false", "fields.host.required", "invalid")]
#[case("path = \"extra.insecure_auth\"\nadmin = false", "fields.extra.insecure_auth.admin", "invalid")]
// Nobody but an admin could create a connection: the server fills the default in.
#[case("path = \"port\"\nadmin = true", "fields.port.admin", "invalid")]
#[case("path = \"tls.mode\"\nadmin = true", "fields.tls.mode.admin", "invalid")]
#[case("path = \"password\"\nadmin = true", "fields.password.admin", "invalid")]
#[case("path = \"extra.insecure_auth\"\ndefault = \"md5\"", "fields.extra.insecure_auth.default", "invalid")]
#[case("path = \"tls.mode\"\ndefault = \"disable\"", "fields.tls.mode.default", "invalid")]
#[case("path = \"tls.mode\"\nchoices = [\"off\"]", "fields.tls.mode.choices", "not_a_choice")]
#[case("path = \"tls.mode\"\nchoices = [\"require\"]", "fields.tls.mode.choices", "invalid")]
#[case("path = \"port\"\ndefault = 70000", "fields.port.default", "out_of_range")]
#[case("path = \"port\"\ndefault = \"5432\"", "fields.port.default", "wrong_type")]
#[case("path = \"database\"\nmax_length = 64", "fields.database.max_length", "out_of_range")]
// Added fields are `extra.*`, and none that a connector acts on.
#[case("path = \"extra.Schema\"\nlabel = \"S\"\nkind = \"text\"", "fields.extra.Schema.path", "invalid")]
#[case("path = \"tls.extra\"\nlabel = \"S\"\nkind = \"text\"", "fields.tls.extra.path", "invalid")]
#[case("path = \"account\"\nlabel = \"S\"\nkind = \"text\"", "fields.account.path", "invalid")]
#[case("path = \"extra.through\"\nlabel = \"S\"\nkind = \"text\"", "fields.extra.through.kind", "invalid")]
#[case("label = \"S\"\nkind = \"text\"", "fields.1.path", "required")]
#[case("path = \"extra.zone\"\nkind = \"text\"", "fields.extra.zone.label", "required")]
#[case("path = \"extra.zone\"\nlabel = \"Z\"", "fields.extra.zone.kind", "required")]
#[case("path = \"extra.zone\"\nlabel = \"Z\"\nkind = \"color\"", "fields.extra.zone.kind", "wrong_type")]
#[case("path = \"extra.zone\"\nlabel = \"Z\"\nkind = \"choice\"", "fields.extra.zone.choices", "invalid")]
#[case(
    "path = \"extra.zone\"\nlabel = \"Z\"\nkind = \"choice\"\nchoices = [\"a\", \"a\"]",
    "fields.extra.zone.choices",
    "invalid"
)]
#[case(
    "path = \"extra.zone\"\nlabel = \"Z\"\nkind = \"choice\"\nchoices = [\"a\"]\ndefault = \"b\"",
    "fields.extra.zone.default",
    "not_a_choice"
)]
#[case("path = \"extra.zone\"\nlabel = \"Z\"\nkind = \"text\"\nsecret = true", "fields.extra.zone.secret", "invalid")]
#[case("path = \"extra.zone\"\nlabel = \"Z\"\nkind = \"text\"\nendpoint = false", "fields.extra.zone.endpoint", "invalid")]
#[case("path = \"extra.api_token\"\nlabel = \"T\"\nkind = \"text\"", "fields.extra.api_token.kind", "invalid")]
#[case("path = \"extra.sslpassword\"\nlabel = \"T\"\nkind = \"text\"", "fields.extra.sslpassword.kind", "invalid")]
#[case(
    "path = \"extra.api_token\"\nlabel = \"T\"\nkind = \"password\"\ndefault = \"x\"",
    "fields.extra.api_token.default",
    "invalid"
)]
#[case(
    "path = \"extra.api_token\"\nlabel = \"T\"\nkind = \"password\"\nrequired = true",
    "fields.extra.api_token.required",
    "invalid"
)]
#[case(
    "path = \"extra.zone\"\nlabel = \"Z\"\nkind = \"text\"\nadmin = true\ndefault = \"x\"",
    "fields.extra.zone.default",
    "invalid"
)]
#[case("path = \"extra.zone\"\nlabel = \"Z\"\nkind = \"password\"\nadmin = true", "fields.extra.zone.admin", "invalid")]
#[case("path = \"extra.zone\"\nlabel = \"Z\"\nkind = \"connection\"", "fields.extra.zone.kind", "invalid")]
#[case("path = \"extra.zone\"\nlabel = \"Z\"\nkind = \"text\"\nmin = 1", "fields.extra.zone.min", "invalid")]
#[case("path = \"extra.zone\"\nlabel = \"Z\"\nkind = \"integer\"\nmin = 2\nmax = 1", "fields.extra.zone.max", "out_of_range")]
#[case("path = \"extra.zone\"\nlabel = \"Z\"\nkind = \"text\"\nspan = 7", "fields.extra.zone.span", "out_of_range")]
#[case("path = \"extra.zone\"\nlabel = \"Z\"\nkind = \"text\"\nmax_length = 0", "fields.extra.zone.max_length", "out_of_range")]
#[case("path = \"extra.zone\"\nlabel = \"Z\"\nkind = \"text\"\nurgent = true", "fields.extra.zone.urgent", "unknown_field")]
fn what_a_field_may_not_be_is_refused_by_member(#[case] text: &str, #[case] member: &str, #[case] code: &str) {
    assert_eq!(refused("ours", &field(text)), [(member.to_owned(), code.to_owned())], "{text}");
}

/// A type that has fewer fields than others of its connector does not get one of theirs under another mark.
#[test]
fn a_field_that_is_for_admins_somewhere_cannot_be_added_for_all() {
    let catalogue = built_in();
    assert!(catalogue.get(GENERIC).and_then(|generic| generic.field("extra.insecure_auth")).is_none());
    let text =
        "extends = \"generic\"\nlabel = \"X\"\n[[fields]]\npath = \"extra.insecure_auth\"\nlabel = \"A\"\nkind = \"text\"\n";
    assert_eq!(refused("ours", text), [("fields.extra.insecure_auth.path".to_owned(), "name_taken".to_owned())]);
    let text = "extends = \"http_proxy\"\nlabel = \"X\"\n[[fields]]\npath = \"extra.through\"\nlabel = \"A\"\nkind = \"text\"\n";
    assert_eq!(refused("ours", text), [("fields.extra.through.path".to_owned(), "name_taken".to_owned())]);
    let both = over_postgres(
        "remove = [\"extra.timezone\"]\n[[fields]]\npath = \"extra.timezone\"\nlabel = \"T\"\nkind = \"integer\"\n",
    );
    assert_eq!(refused("ours", &both), [("fields.extra.timezone".to_owned(), "invalid".to_owned())]);
}

#[test]
fn a_base_is_a_built_in_type() {
    let catalogue = built_in();
    let own = read("ours", &over_postgres(""), &catalogue).expect("fine");
    let all = catalogue.with_own([own]);
    for base in ["ours", "no_such_type", ""] {
        let text = format!("extends = \"{base}\"\nlabel = \"X\"\n");
        let errors = read("theirs", &text, &all).expect_err("must be refused");
        assert_eq!(errors.iter().map(|error| error.field.as_str()).collect::<Vec<_>>(), ["extends"], "{base}");
    }
}

#[rstest]
#[case("postgresql://{username}@{host}?a={extra.nothing}", "names “{extra.nothing}”")]
#[case("postgresql://{username}:hunter2@{host}", "holds a password")]
#[case("postgresql://{username}:{database}@{host}", "no secret")]
#[case("postgresql://{password}@{host}", "shows the secret")]
#[case("postgresql://{host}/{password}", "shows the secret")]
#[case("postgresql://{host}?token=abc", "holds a secret")]
#[case("postgresql://{host}?client_secret=abc", "holds a secret in “client_secret”")]
#[case("postgresql://{host}?sslpassword=abc", "holds a secret in “sslpassword”")]
#[case("postgresql://{host}?private_key=abc", "holds a secret in “private_key”")]
#[case("postgresql://{host}?sas_token=abc", "holds a secret in “sas_token”")]
#[case("postgresql://{host}?sasToken=abc", "holds a secret in “sasToken”")]
#[case("postgresql://{host}?APIKey=abc", "holds a secret in “APIKey”")]
#[case("postgresql://{host}?PWD=abc", "holds a secret in “PWD”")]
#[case("postgresql://{host}?password=abc", "holds a secret in “password”")]
#[case("postgresql://{host}?aws-secret-access-key=abc{username}", "holds a secret in “aws-secret-access-key”")]
#[case("postgresql://{host}?odbc_connect=DSN%3Dx%3BPWD%3Dabc", "holds a secret in “PWD”")]
#[case("postgresql://{host}/x;password=abc", "holds a secret in “password”")]
#[case("postgresql://{host}:{database}", "no number")]
#[case("postgresql://{host}:http", "no number")]
#[case("{host}", "must begin with a driver")]
#[case("Postgres SQL://{host}", "no blanks")]
#[case("POSTGRES://{host}", "name of the driver")]
#[case("x+://{host}", "name of the driver")]
#[case("x://{host", "not closed")]
#[case("x://host}", "too many")]
#[case("x://{Host}", "name of a field")]
#[case("x://{host}?a=1&a=2", "twice")]
#[case("x://{host}?a", "behind each parameter")]
#[case("x://{host}?a%20b=1", "letters")]
#[case("x://{host}/a%00b", "control")]
#[case("x://{host}/%ff", "UTF-8")]
#[case("x://{host}#a", "%23")]
fn a_template_that_could_not_be_filled_safely_is_refused(#[case] url: &str, #[case] why: &str) {
    let errors = read("ours", &over_postgres(&format!("url = \"{url}\"\n")), &built_in()).expect_err("must be refused");
    let told: Vec<_> = errors.iter().map(|error| (error.field.as_str(), error.message.as_str())).collect();
    assert!(matches!(told.as_slice(), [("url", message)] if message.contains(why)), "{url}: {told:?}");
}

/// Only a value can be a secret, and a parameter is not judged as the part of the same name is.
#[rstest]
#[case("?client_secret={password}")]
#[case("?allowPublicKeyRetrieval=true&useSecrets=NO")]
#[case("?keyspace=sales&keymap=x&monkeys=2&author=me")]
#[case("?port=auto&host={password}&database={password}&username={password}")]
#[case("?password={password}")]
#[case("?odbc_connect=DSN%3D{database}%3BPWD%3D{password}")]
fn a_template_may_have_parameters_of_any_name(#[case] query: &str) {
    let url = format!("url = \"postgresql://{{host}}{query}\"\n");
    read("ours", &over_postgres(&url), &built_in()).unwrap_or_else(|errors| panic!("{query}: {errors:?}"));
}

#[test]
fn a_template_is_taken_apart_as_a_url_is() {
    let url = UrlTemplate::parse("x+y://a{{b:{password}@[::1]:{port}/a%2Fb%7B{database}?c=d+e&f={{&g=%26{host}").expect("fine");
    let json = serde_json::to_value(&url).expect("JSON");
    let expected = serde_json::json!({
        "drivername": "x+y", "username": "a{{b", "password": "{password}", "host": "[::1]", "port": "{port}", "database": "a/b{{{database}",
        "query": {"c": "d e", "f": "{{", "g": "&{host}"}
    });
    assert_eq!(json, expected);
    let short = UrlTemplate::parse("sqlite:///{database}").expect("fine");
    assert_eq!(
        serde_json::to_value(&short).expect("JSON"),
        serde_json::json!({"drivername": "sqlite", "database": "{database}"})
    );
    assert_eq!(url.dialect(), "x");
}

#[test]
fn a_url_for_people_has_no_secret_and_escapes_every_value() {
    let url = UrlTemplate::parse("x://{username}:{password}@{host}:{port}/{database}?a={extra.a}&b={extra.b}&k={password}")
        .expect("fine");
    let text = |text: &str| FieldValue::Text(text.to_owned());
    let values = [
        ("username", text("a@b:c")),
        ("host", text("::1")),
        ("port", FieldValue::Integer(5)),
        ("database", text("d?e#f")),
        ("extra.a", text("&=%")),
    ];
    let public = PublicFields(values.into_iter().map(|(path, value)| (path.into(), value)).collect());
    assert_eq!(url.shown(&public), "x://a%40b%3Ac@[::1]:5/d%3Fe%23f?a=%26%3D%25");
    assert_eq!(url.shown(&PublicFields::default()), "x://");
    // What is no host cannot be taken for another part.
    let url = UrlTemplate::parse("x://{extra.account}.example.org:{port}/d").expect("fine");
    for (account, host) in [
        ("ours", "ours.example.org"),
        ("u:p@evil/?", "u%3Ap%40evil%2F%3F.example.org"),
        ("[::1]", "%5B%3A%3A1%5D.example.org"),
        ("a b", "a%20b.example.org"),
    ] {
        let values = [("extra.account", text(account)), ("port", text("1/x"))];
        let public = PublicFields(values.into_iter().map(|(path, value)| (path.into(), value)).collect());
        assert_eq!(url.shown(&public), format!("x://{host}:1%2Fx/d"), "{account}");
    }
    let bare = UrlTemplate::parse("x://{host}").expect("fine");
    for (host, shown) in [("::1", "[::1]"), ("[::1]", "[::1]"), ("10.0.0.1", "10.0.0.1"), ("a:b", "a%3Ab"), ("[x]", "%5Bx%5D")] {
        let public = PublicFields([("host".into(), text(host))].into_iter().collect());
        assert_eq!(bare.shown(&public), format!("x://{shown}"), "{host}");
    }
}

#[test]
fn where_the_text_is_no_toml_is_said_by_line() {
    let errors = read("ours", "extends = \"postgres\"\nlabel = \"X\"\n\n[[fields]\n", &built_in()).expect_err("no TOML");
    let [error] = errors.as_slice() else { panic!("{errors:?}") };
    assert_eq!(error.field, "definition");
    assert!(error.message.starts_with("line 4: this is no TOML: "), "{}", error.message);
    let long = format!("# {}\n", "x".repeat(DEFINITION_MAX));
    assert_eq!(refused("ours", &long), [("definition".to_owned(), "too_long".to_owned())]);
}

#[test]
fn a_form_has_sixty_fields_at_most() {
    let base = built_in().get("postgres").expect("known").fields.len();
    let fields = |count: usize| -> String {
        (0..count)
            .map(|n| format!("[[fields]]\npath = \"extra.zone{n}\"\nlabel = \"Z\"\nkind = \"text\"\n"))
            .collect::<Vec<_>>()
            .concat()
    };
    assert!(read("ours", &over_postgres(&fields(FIELDS_MAX - base)), &built_in()).is_ok());
    assert_eq!(refused("ours", &over_postgres(&fields(FIELDS_MAX - base + 1))), [("fields".to_owned(), "too_many".to_owned())]);
}

/// What was stored while the definition was another one is held against that of now.
#[test]
fn a_stored_value_that_no_longer_fits_is_refused_by_its_field() {
    let catalogue = built_in();
    let kind = |kind: &str| {
        read("ours", &field(&format!("path = \"extra.zone\"\nlabel = \"Z\"\nkind = \"{kind}\"")), &catalogue).expect("fine")
    };
    let draft = |json: &str| serde_json::from_str::<Draft>(json).expect("JSON").fields;
    let before = kind("text")
        .settle(draft(r#"{"host": "h", "username": "u", "extra": {"zone": "north"}}"#), None, false)
        .expect("fine")
        .public;
    let errors = kind("integer").settle(draft("{}"), Some(&before), false).expect_err("no number");
    assert_eq!(
        errors.iter().map(|error| (error.field.as_str(), error.code.as_str())).collect::<Vec<_>>(),
        [("extra.zone", "wrong_type")]
    );
    let mended = kind("integer").settle(draft(r#"{"extra": {"zone": 7}}"#), Some(&before), false).expect("fine").public;
    assert_eq!(mended.integer("extra.zone"), Some(7));
    let secret = kind("password").settle(draft("{}"), Some(&before), false).expect("fine").public;
    assert!(secret.get("extra.zone").is_none(), "what is a secret now is not among what is public");
}

proptest! {
    /// Whatever a definition holds, it is read as it was written.
    #[test]
    fn a_definition_comes_back_as_it_was(label in ".{0,40}", help in "\\PC{0,40}", value in ".{1,20}", required: bool, min in any::<i64>()) {
        let definition = OwnDefinition {
            extends: "postgres".to_owned(),
            label,
            category: Some(Category::SearchAndNosql),
            tags: vec!["a".to_owned()],
            glyph: Some(Glyph { text: "X".to_owned(), color: "#000000".to_owned() }),
            remove: vec!["extra.timezone".to_owned()],
            fields: vec![
                OwnField {
                    path: "extra.zone".to_owned(),
                    kind: Some(FieldKind::Choice),
                    section: Some(Section::Security),
                    required: Some(required),
                    default: Some(FieldValue::Text(value.clone())),
                    choices: vec![Choice { label: value.clone(), value, weak: required }],
                    help: Some(help),
                    ..OwnField::default()
                },
                OwnField { path: "extra.many".to_owned(), min: Some(min), default: Some(FieldValue::Integer(min)), ..OwnField::default() },
            ],
            ..OwnDefinition::default()
        };
        prop_assert_eq!(OwnDefinition::from_toml(&definition.to_toml()), Ok(definition));
    }
}

#[test]
fn fuzz_definitions() {
    let catalogue = built_in();
    let corpus =
        [example().as_bytes(), b"extends = \"postgres\"\nlabel = \"X\"\nurl = \"x://{username}:{password}@{host}/{{?a=%7B\"\n"];
    dataflow_fuzz::fuzz(&corpus, |bytes| {
        if let Ok(text) = str::from_utf8(bytes) {
            let _ = read("ours", text, &catalogue);
            let _ = UrlTemplate::parse(text);
        }
    });
}
