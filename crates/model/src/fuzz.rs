//! Readers of what people and programs send, given what is nearly right. A new reader of foreign text gets a test here.

use dataflow_fuzz::fuzz;

use crate::{Catalogue, ConnectionName, Draft, Workflow, paste};

fn read_as_text(corpus: &[&str], reader: impl Fn(&str)) {
    let corpus: Vec<&[u8]> = corpus.iter().map(|text| text.as_bytes()).collect();
    fuzz(&corpus, |bytes| reader(&String::from_utf8_lossy(bytes)));
}

#[test]
fn pasted_urls_and_settings() {
    let catalogue = Catalogue::built_in().expect("sound");
    let corpus = [
        "postgresql://ann:p%40ss@db.example.org:5433/sales?sslmode=verify-full&application_name=x#y",
        "jdbc:mysql://h1:3306,h2/shop?useSSL=true&serverTimezone=UTC&user=u&password=p",
        "mysql+pymysql://u:p@[::1]:3306/d?ssl_ca=/etc/ca.pem&charset=utf8mb4",
        "postgres:///d?host=/var/run/postgresql",
        "host=db port=5432 dbname='s a' user=u password='it\\'s' sslmode=require",
        "sqlite:////srv/data/shop.db?mode=ro",
        "DATABASE_URL=\"postgres://u:p@h/d\"\nexport OTHER='x' # a comment\n",
        "redshift://u@cluster.example.com:5439/dev?TCPKeepAlive=true",
    ];
    read_as_text(&corpus, |text| {
        // What is refused is refused without a word of it.
        if let Err(error) = paste::read(text, &catalogue) {
            let _ = error.to_string();
        }
    });
}

#[test]
fn drafts_of_connections() {
    let catalogue = Catalogue::built_in().expect("sound");
    let corpus = [
        r#"{"name":"sales","type":"postgres","description":"d","tags":["a","b"],"host":"db","port":5432,"username":"u","password":"p"}"#,
        r#"{"tls":{"mode":"verify-full","ca":null,"key":{"set":true}},"extra":{"connect_timeout":5,"read_only":true}}"#,
        r#"{"type":"sqlite","database":"in/sales.db","extra":{"busy_timeout":1e3,"foreign_keys":"true"}}"#,
        r#"{"password":{"set":false},"port":-1.5,"host":["a"],"tags":[[]],"name":"\ud83d\ude00","password":"twice"}"#,
    ];
    read_as_text(&corpus, |text| {
        let Ok(draft) = serde_json::from_str::<Draft>(text) else { return };
        for kind in catalogue.all() {
            let again: Draft = serde_json::from_str(text).expect("as before");
            for error in kind.settle(again.fields, None, false).err().into_iter().flatten() {
                assert!(!error.code.is_empty() && !error.message.is_empty());
            }
        }
        drop(draft);
    });
}

#[test]
fn names_and_workflows() {
    read_as_text(&["sales", "a.b-c_D", "A0"], |text| {
        if let Ok(name) = ConnectionName::new(text) {
            assert_eq!(name.as_str(), text);
        }
    });
    let corpus = [
        r#"kind=notebook; name="churn.ipynb"; run="42"; host="worker-1""#,
        r#"kind=script; name="a %22b%22 %E6%BC%A2""#,
        "kind=cli",
    ];
    read_as_text(&corpus, |text| {
        if let Some(workflow) = Workflow::parse(text) {
            assert_eq!(Workflow::parse(&workflow.header()).as_ref(), Some(&workflow), "what is read is written as it was read");
        }
    });
}
