//! What a list costs the store: as many statements for a thousand connections as for one.

use dataflow_tests::{
    postgres::{Postgres, PostgresOptions},
    server::{TestServer, TestServerOptions},
    session::Session,
    stored::sample,
    studio::LIST,
};

/// Copies of the one connection, in all that a list reads.
const PLANT: &str = "
    INSERT INTO connections SELECT r.* FROM connections c, generate_series(1, 999) n, jsonb_populate_record(c,
      jsonb_build_object('id', c.id || n, 'name', c.name || n, 'name_key', c.name_key || n)) r;
    INSERT INTO search_words SELECT r.* FROM search_words w, generate_series(1, 999) n, jsonb_populate_record(w,
      jsonb_build_object('name_key', w.name_key || n)) r;
    UPDATE change_clock SET tick = tick + 1;
";

/// What PostgreSQL was asked while `act` ran, in order, less what the server asks on its own: the clock of changes and
/// the key ring, its jobs, the chains of its audit, that it lives, and the transactions of those.
fn statements(database: &Postgres, act: impl FnOnce()) -> Vec<String> {
    let before = database.log().len();
    act();
    let log = database.log();
    let said = log[before..].lines().filter_map(|line| line.split_once("LOG:  ").map(|(_, said)| said));
    let asked = said.filter(|said| said.starts_with("execute ") || said.starts_with("statement: "));
    let text = asked.filter_map(|said| said.split_once(": ").map(|(_, text)| text.trim().to_owned()));
    let own = ["change_clock", "key_ring", "jobs", "nodes", "uses", "audit_", "last_used_at", "next_at <=", "BEGIN", "COMMIT"];
    text.filter(|text| !own.iter().any(|own| text.contains(own))).collect()
}

#[test]
fn the_first_page_takes_one_statement_however_many_there_are() {
    let settings = vec![("log_statement".to_owned(), "'all'".to_owned())];
    let database = Postgres::start(&PostgresOptions { settings, ..PostgresOptions::default() });
    let database_url = Some(database.url("postgres"));
    let server = TestServer::start(TestServerOptions { database_url, ..TestServerOptions::default() });
    let (token, session) = (server.token("default", "editor", "editor"), Session::start(&server));
    let ask = |method: &str| server.request(&token, method, "/api/v1/workspaces/default/connections");
    ask("POST").json(&sample("sales", "planted")).send().expect(201);

    let list = || ask("GET").send().expect(200).json()["items"].as_array().map(Vec::len);
    let page = || session.get(LIST).expect(200).text().matches("data-test-row").count();
    let both = |shown: usize| {
        // What a cache holds, it holds from the first time on.
        assert_eq!((list(), page()), (Some(shown), shown));
        let asked =
            [statements(&database, || assert_eq!(list(), Some(shown))), statements(&database, || assert_eq!(page(), shown))];
        for asked in &asked {
            assert_eq!(asked.iter().filter(|text| text.contains("FROM connections")).count(), 1, "{asked:#?}");
        }
        asked
    };
    let of_one = both(1);
    database.psql(PLANT);
    // Twice a second the server looks whether another node has moved the clock, and then forgets what it knew.
    std::thread::sleep(std::time::Duration::from_millis(1_500));
    let of_thousand = both(50);
    assert_eq!(of_one, of_thousand);
    assert_eq!(of_one[0].len(), 1, "the API asks for nothing else: {:#?}", of_one[0]);
}
