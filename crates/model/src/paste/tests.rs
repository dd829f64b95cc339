use std::sync::LazyLock;

use proptest::prelude::*;
use rstest::rstest;

use super::*;

/// Read once: a catalogue is seventy files.
static BUILT_IN: LazyLock<Catalogue> = LazyLock::new(|| Catalogue::built_in().expect("sound"));

fn read(text: &str) -> Result<Pasted, PasteError> {
    super::read(text, &BUILT_IN)
}

/// `path=value` of every field, sorted, so that a case fits on a line.
fn shown(pasted: &Pasted) -> String {
    let fields = pasted.fields.iter().map(|(path, input)| match input {
        FieldInput::Text(text) => format!("{path}={}", text.expose_secret()),
        FieldInput::Integer(number) => format!("{path}={number}"),
        FieldInput::Boolean(value) => format!("{path}={value}"),
        other => format!("{path}={other:?}"),
    });
    fields.collect::<Vec<_>>().join(" ")
}

#[rstest]
#[case::libpq(
    "postgresql://u:p@db.example.org:5433/sales",
    "postgres",
    "database=sales host=db.example.org password=p port=5433 username=u"
)]
#[case::short("postgres://db", "postgres", "host=db")]
#[case::api(
    "https://u:p@api.example.org:8443/v1/x",
    "http",
    "extra.path=/v1/x host=api.example.org password=p port=8443 username=u"
)]
#[case::airflow("elasticsearch://u:p@h:9200/orders", "elasticsearch", "database=orders host=h password=p port=9200 username=u")]
#[case::escaped("postgresql://u%40x:p%3A%2F%25%41+@h/d%2Fe", "postgres", "database=d/e host=h password=p:/%A+ username=u@x")]
#[case::raw_password("postgresql://u:p@ss@h/d", "postgres", "database=d host=h password=p@ss username=u")]
#[case::raw_slash("postgresql+psycopg2://u:p/w?x#y@h/d", "postgres", "database=d host=h password=p/w?x#y username=u")]
#[case::ipv6("postgresql://u@[2001:db8::1]:5432/d", "postgres", "database=d host=2001:db8::1 port=5432 username=u")]
#[case::redshift("redshift+psycopg2://u:p@h:5439/d", "redshift", "database=d host=h password=p port=5439 username=u")]
#[case::sqlalchemy(
    "mysql+pymysql://u:p@h:3307/d?charset=utf8mb4",
    "mysql",
    "database=d extra.charset=utf8mb4 host=h password=p port=3307 username=u"
)]
#[case::mongo(
    "mongodb://u:p@h:27018/d?authSource=admin&tls=true&connectTimeoutMS=2500",
    "mongo",
    "database=d extra.auth_source=admin extra.connect_timeout=3 host=h password=p port=27018 tls.mode=verify-full username=u"
)]
#[case::mongo_of_its_database("mongodb://u:p@h/d", "mongo", "database=d extra.auth_source=d host=h password=p username=u")]
#[case::mariadb("mariadb+mariadbconnector://u:p@h/d", "mariadb", "database=d host=h password=p username=u")]
#[case::jdbc(
    "jdbc:postgresql://h:5432/d?user=u&password=p%26q+r&ssl=true",
    "postgres",
    "database=d host=h password=p&q r port=5432 tls.mode=verify-full username=u"
)]
#[case::jdbc_mode_wins("jdbc:postgresql://h/d?sslmode=require&ssl=true", "postgres", "database=d host=h tls.mode=require")]
#[case::jdbc_database_alone("jdbc:postgresql:d?user=u", "postgres", "database=d host=localhost username=u")]
#[case::jdbc_mysql(
    "jdbc:mysql://h/d?user=u&password=p&useSSL=false&connectTimeout=2500",
    "mysql",
    "database=d extra.connect_timeout=3 host=h password=p tls.mode=disable username=u"
)]
#[case::jdbc_mysql_mode(
    "jdbc:mysql://h/d?sslMode=VERIFY_IDENTITY&characterEncoding=UTF-8",
    "mysql",
    "database=d extra.charset=utf8mb4 host=h tls.mode=verify-full"
)]
#[case::jdbc_mariadb("jdbc:mariadb://h/d?sslMode=trust", "mariadb", "database=d host=h tls.mode=require")]
#[case::jdbc_redshift("jdbc:redshift://h:5439/d;UID=u;PWD=p", "redshift", "database=d host=h password=p port=5439 username=u")]
#[case::jdbc_sqlite("jdbc:sqlite:data/sales.db", "sqlite", "database=data/sales.db")]
#[case::key_value(
    r"host=h port=5433 dbname = 'my db' user=u password='it\'s \\ =' application_name=app",
    "postgres",
    r"database=my db extra.application_name=app host=h password=it's \ = port=5433 username=u"
)]
#[case::airflow(
    "postgres://login:p%40ss@host:5432/schema?sslmode=verify-ca&connect_timeout=7",
    "postgres",
    "database=schema extra.connect_timeout=7 host=host password=p@ss port=5432 tls.mode=verify-ca username=login"
)]
#[case::airflow_extra(
    "AIRFLOW_CONN_X='mysql://l:p@h/s?__extra__=%7B%22charset%22%3A+%22latin1%22%2C+%22connect_timeout%22%3A+5%7D'",
    "mysql",
    "database=s extra.charset=latin1 extra.connect_timeout=5 host=h password=p username=l"
)]
#[case::options(
    "postgresql://h/d?options=-c%20statement_timeout%3D5s%20-csearch_path%3Da",
    "postgres",
    "database=d extra.search_path=a extra.statement_timeout=5000 host=h"
)]
#[case::sqlite_relative("sqlite:///data/sales.db", "sqlite", "database=data/sales.db")]
#[case::sqlite_absolute("sqlite:////srv/data/sales.db?mode=ro", "sqlite", "database=sales.db")]
#[case::duckdb("duckdb:///data/sales.duckdb?access_mode=read_only", "duckdb", "database=data/sales.duckdb")]
#[case::jdbc_duckdb("jdbc:duckdb:/srv/sales.duckdb", "duckdb", "database=sales.duckdb")]
#[case::exported("export DATABASE_URL=\"postgres://u@h/d\";", "postgres", "database=d host=h username=u")]
fn each_form_is_read(#[case] text: &str, #[case] type_id: &str, #[case] fields: &str) {
    let pasted = read(text).expect("readable");
    assert_eq!((pasted.type_id.as_str(), shown(&pasted).as_str()), (type_id, fields));
}

#[rstest]
#[case("", PasteError::Empty)]
#[case("sales", PasteError::NotAUrl)]
#[case("the password is hunter2 = yes", PasteError::NotAUrl)]
#[case("teradata://u:p@h/d", PasteError::UnknownScheme)]
#[case("postgresql://u:p@h:70000/d", PasteError::Port)]
#[case("postgresql://u:p@h:x/d", PasteError::Port)]
#[case("postgresql://u@[::1/d", PasteError::Brackets)]
#[case("postgresql://u:p@ss/w@h/d", PasteError::Unescaped)]
#[case("postgresql://u:%C3%28@h/d", PasteError::Encoding)]
#[case("jdbc:mysql:loadbalance://h1,h2/d", PasteError::SeveralServers)]
#[case("jdbc:mysql://(host=h,port=1)/d", PasteError::SeveralServers)]
#[case("host=h password='open", PasteError::Quoting)]
#[case("sqlite:///:memory:", PasteError::InMemory)]
fn what_cannot_be_read_is_refused_by_its_rule(#[case] text: &str, #[case] error: PasteError) {
    assert_eq!(read(text).map(|_| ()), Err(error));
    assert_eq!(read(&"x".repeat(PASTE_MAX + 1)).map(|_| ()), Err(PasteError::TooLong));
}

#[rstest]
#[case("postgresql://h/d?sslmode=prefer", "sslmode", Outcome::Hardened)]
#[case("mysql://h/d?ssl-mode=PREFERRED", "ssl-mode", Outcome::Hardened)]
#[case("postgresql://h/d?sslrootcert=/etc/ca.pem", "sslrootcert", Outcome::NamesAFile)]
#[case("postgresql://h/d?keepalives=1", "keepalives", Outcome::LeftOut)]
#[case("jdbc:postgresql://h/d?ssl=false", "ssl", Outcome::LeftOut)]
#[case("redshift://h/d?readOnly=true", "readOnly", Outcome::LeftOut)]
#[case("mysql://h/d?charset=koi8r", "charset", Outcome::ValueNotUsable)]
#[case("postgresql://h/d?connect_timeout=soon", "connect_timeout", Outcome::ValueNotUsable)]
#[case("postgresql://h/d?application_name=a", "application_name", Outcome::Understood("Application name".to_owned()))]
fn what_became_of_a_parameter_is_said_by_its_name(#[case] text: &str, #[case] name: &str, #[case] outcome: Outcome) {
    let pasted = read(text).expect("readable");
    assert_eq!(pasted.notes, [Note { parameter: Some(name.to_owned()), outcome }]);
}

/// Airflow writes its `conn_type` where a URL has its scheme, with `-` for `_`.
#[test]
fn a_scheme_may_be_airflows_word() {
    let file = r##"
        label = "X"
        summary = "x"
        category = "clouds"
        connector = "x"
        airflow = "google_cloud_x"
        docs = "https://example.org"
        tested.fake = { follows = "nothing", source = "https://example.org" }
        glyph = { text = "X", color = "#000000" }
        [[fields]]
        path = "host"
        label = "Host"
        kind = "host"
        section = "main"
        endpoint = true
    "##;
    let catalogue = Catalogue::read(&[("ours", file)]).expect("sound");
    let pasted = super::read("AIRFLOW_CONN_X='google-cloud-x://db.example.org'", &catalogue).expect("readable");
    assert_eq!((pasted.type_id.as_str(), shown(&pasted).as_str()), ("ours", "host=db.example.org"));
}

#[test]
fn hosts_beyond_the_first_and_sockets_are_left_out() {
    let pasted = read("postgresql://u@a:5432,b:5433/d").expect("readable");
    assert_eq!(shown(&pasted), "database=d host=a port=5432 username=u");
    assert_eq!(pasted.notes.first().map(|note| &note.outcome), Some(&Outcome::OtherHosts));
    let pasted = read("postgresql://%2Fvar%2Frun%2Fpostgresql/d").expect("readable");
    assert_eq!(shown(&pasted), "database=d");
    assert_eq!(pasted.notes.first().map(|note| &note.outcome), Some(&Outcome::Socket));
}

fn escape(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\\', r"\\").replace('\'', r"\'"))
}

proptest! {
    #[test]
    fn whatever_the_fields_hold_comes_back(
        user in "\\PC{1,20}", password in "\\PC{0,60}", database in "[^/;?#:\\\\]{1,20}", port in 1u16..,
        host in "[a-z][a-z0-9]{0,8}(\\.[a-z]{2,5}){0,2}",
    ) {
        let wanted = |type_id: &str| {
            let mut fields = BTreeMap::from([("database", database.clone()), ("host", host.clone()), ("username", user.clone())]);
            fields.insert("password", password.clone());
            (type_id.to_owned(), fields, Some(i64::from(port)))
        };
        let (u, p, d) = (escape(&user), escape(&password), escape(&database));
        for (text, type_id) in [
            (format!("postgresql+psycopg://{u}:{p}@{host}:{port}/{d}"), "postgres"),
            (format!("mysql://{u}:{p}@{host}:{port}/{d}"), "mysql"),
            (format!("jdbc:mariadb://{host}:{port}/{d}?user={u}&password={p}"), "mariadb"),
            (format!("host={host} port={port} dbname={} user={} password={}", quote(&database), quote(&user), quote(&password)), "postgres"),
        ] {
            let pasted = read(&text).expect("readable");
            let texts = pasted.fields.iter().filter_map(|(path, input)| match input {
                FieldInput::Text(text) => Some((path.as_str(), text.expose_secret().to_owned())),
                _ => None,
            });
            let found_port = match pasted.fields.get("port") { Some(FieldInput::Integer(port)) => Some(*port), _ => None };
            prop_assert_eq!((pasted.type_id.clone(), texts.collect(), found_port), wanted(type_id));
        }
    }

    #[test]
    fn no_text_makes_it_panic_or_repeat_a_secret(
        head in "(postgres|postgresql|mysql\\+x|jdbc:postgresql|jdbc:mysql|jdbc:redshift|sqlite|host)(://|=|:)", tail in "\\PC{0,40}",
        marks in "[:/@?#&;=%\\[\\]'\\\\ ,]{0,20}",
    ) {
        let secret = "hunter2hunter2";
        for text in [format!("{head}{tail}{marks}"), format!("{head}{marks}{secret}{tail}"), format!("{head}u:{secret}@{marks}{tail}")] {
            let said = match read(&text) {
                Ok(pasted) => format!("{pasted:?} {:?}", pasted.notes.iter().map(Note::text).collect::<Vec<_>>()),
                Err(error) => format!("{error:?} {error}"),
            };
            // Text that stands before an “=” is a parameter's name, and names are told.
            let is_in_a_name = text.split_once(secret).is_some_and(|(_, rest)| rest.contains('='));
            prop_assert!(!said.contains(secret) || is_in_a_name, "{}", said);
        }
    }
}
