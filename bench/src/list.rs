//! The list page of a large workspace: the API's and the Studio's, with searches for beginnings of words.

use std::{
    io::Write as _,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::ensure;
use serde_json::{Value, json};

use crate::{
    http::Client,
    report::{Line, Promise, quantile},
    rest,
    server::{CONNECTIONS, Server, create},
};

/// Connections of the workspace.
const NAMES: u32 = 100_000;
/// Clients that create them at the same time.
const WRITERS: u32 = 4;
/// Requests of each search.
const ROUNDS: usize = 40;

const TEAMS: [&str; 8] = ["sales", "billing", "marketing", "finance", "logistics", "support", "research", "platform"];
const STAGES: [&str; 3] = ["prod", "staging", "dev"];
const REGIONS: [&str; 5] = ["eu", "us", "apac", "latam", "africa"];
const TAGS: [&str; 7] = ["gold", "silver", "nightly", "pii", "critical", "legacy", "shared"];
const TYPES: [&str; 4] = ["postgres", "mysql", "mariadb", "redshift"];

/// Searches as people type them, as they stand in an address.
const SEARCHES: [&str; 14] = [
    "s",                // many words of every connection
    "sales",            // one in eight
    "ware",             // all
    "prod+sales",       // one in 24
    "eu+prod+fin+gold", // one in 840
    "db77",             // two hundred
    "db77+prod",        // a rare word and a frequent one
    "nightly+042",      // a thousand and a seventh
    "012345",           // one
    "ware+prod+099999", // frequent ones and one that one connection has
    "zebra",            // none
    "ware+zebra",       // one that all have, and one that none has
    "sales&type=redshift&tag=gold",
    "mark&status=untested&sort=-updated",
];

/// What both words of which many connections have, and none has both: every candidate is looked at. Apart from the others, since nobody
/// searches so on purpose.
const NEVER_TOGETHER: &str = "sales+billing";

fn pick<'n>(names: &[&'n str], number: u32) -> &'n str {
    usize::try_from(number).ok().and_then(|number| names.get(number % names.len())).copied().unwrap_or_default()
}

fn connection(number: u32) -> Value {
    let (team, stage, region) = (pick(&TEAMS, number), pick(&STAGES, number), pick(&REGIONS, number));
    json!({
        "name": format!("{team}_{stage}_{number:06}"), "type": pick(&TYPES, number / 8), "host": format!("db{}.{region}.example.org", number % 500),
        "database": team, "username": "analytics", "password": format!("not-a-secret-{number}"),
        "description": format!("The {team} warehouse in {}", region.to_uppercase()), "tags": [pick(&TAGS, number)]
    })
}

/// A million pairs of a connection and a workflow that was seen using it: ten of each connection, and as many as are kept of one, [`BUSY`].
const PAIRS: &str = "
    CREATE TEMP TABLE n AS WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 9999) SELECT i FROM n;
    INSERT INTO sightings (workspace_id, name_key, kind, workflow, first_at, last_at, uses, connection_id, version, used_by, used_by_id)
    SELECT c.workspace_id, c.name_key, 'pipeline', 'nightly_' || n.i || '.load', 1, 1000000 + (n.i * 7919) % 10000, 5, c.id, 1, 'token etl', 'token 1'
    FROM connections c JOIN n ON n.i < CASE WHEN c.name = 'sales_prod_000000' THEN 10000 ELSE 10 END;
    INSERT INTO sighting_versions (workspace_id, name_key, kind, workflow, connection_id, version)
    SELECT workspace_id, name_key, kind, workflow, connection_id, version FROM sightings;
    INSERT INTO dependents (workspace_id, name_key, seen, found, changes)
    SELECT workspace_id, name_key, count(*), 0, 1 FROM sightings GROUP BY workspace_id, name_key;
    SELECT count(*) FROM sightings;
";
const BUSY: &str = "sales_prod_000000";

/// The list, and starts and memory with as many connections.
pub fn measure() -> anyhow::Result<Vec<Line>> {
    let mut server = Server::start()?;
    let begun = Instant::now();
    populate(&server)?;
    let took = begun.elapsed().as_secs_f64();
    let mut lines = vec![Line::new(
        "creating connections through the API",
        f64::from(NAMES) / took,
        "/s",
        format!("{NAMES} by {WRITERS} clients, {:.1} KiB each in the store", stored(&server)? / f64::from(NAMES) / 1024.0),
    )];
    let pairs = depend(&server)?;
    let (studio, api) = ("/w/default/connections?q=", format!("{CONNECTIONS}?limit=50&search="));
    lines.push(searches("list page of 50 out of 100,000, Studio", &mut server.browser()?, studio)?);
    lines.push(worst(&mut server.browser()?, studio)?);
    lines.push(after_a_change(&server, &mut server.browser()?)?);
    lines.push(searches("list page of 50 out of 100,000, API", &mut server.client("viewer", "viewer")?, &api)?);
    lines.extend(dependents(&mut server.client("editor", "of dependents")?, pairs)?);
    lines.extend(rest::measure(&mut server, "100,000 connections", 1_000.0)?);
    Ok(lines)
}

fn populate(server: &Server) -> anyhow::Result<()> {
    let mut clients = Vec::new();
    let token = server.token("editor", "writers")?;
    for _ in 0..WRITERS {
        clients.push(Client::with_token(server.port, &token)?);
    }
    std::thread::scope(|scope| {
        let writers: Vec<_> = clients
            .into_iter()
            .zip(0..)
            .map(|(mut client, first)| {
                scope.spawn(move || {
                    for number in (first..NAMES).step_by(usize::try_from(WRITERS)?) {
                        create(&mut client, &connection(number))?;
                        if number % 10_000 == 0 {
                            let _ = writeln!(std::io::stderr(), "    {number} of {NAMES} connections");
                        }
                    }
                    anyhow::Ok(())
                })
            })
            .collect();
        writers.into_iter().try_for_each(|writer| writer.join().map_err(|_| anyhow::anyhow!("a writer panicked"))?)
    })
}

/// Has workflows depend on every connection; gives how many pairs there are.
fn depend(server: &Server) -> anyhow::Result<u64> {
    let store = server.folder.path().join("data/store.db");
    let done = Command::new("sqlite3").args(["-bail", "-cmd", ".timeout 5000"]).arg(store).arg(PAIRS).output()?;
    ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    Ok(String::from_utf8_lossy(&done.stdout).trim().parse()?)
}

/// A page of dependents: of a connection with ten of them, and of one with as many as are kept.
fn dependents(client: &mut Client, pairs: u64) -> anyhow::Result<Vec<Line>> {
    let page = |name: &str| format!("{CONNECTIONS}/{name}/dependents?limit=50");
    let (mut few, mut many) = (times(client, &page("billing_staging_000001"))?, times(client, &page(BUSY))?);
    let beside = format!("{pairs} pairs of a connection and a workflow in the store");
    let line = |what: &str, times: &mut Vec<f64>, beside: &str| {
        Line::new(what, quantile(times, 0.5), "ms", beside).p99(quantile(times, 0.99)).promise(Promise::Below(5.0))
    };
    Ok(vec![
        line("dependents of a connection that has 10", &mut few, &beside),
        line("the same, of one that has 10,000", &mut many, "50 on a page"),
    ])
}

/// Bytes of the store.
fn stored(server: &Server) -> anyhow::Result<f64> {
    let bytes = std::fs::metadata(server.folder.path().join("data/store.db"))?.len();
    Ok(f64::from(u32::try_from(bytes / 1024)?) * 1024.0)
}

fn searches(what: &str, client: &mut Client, page: &str) -> anyhow::Result<Line> {
    let mut all = Vec::new();
    let mut slowest = (0.0, "");
    for search in SEARCHES {
        let mut times = times(client, &format!("{page}{search}"))?;
        let p50 = quantile(&mut times, 0.5);
        if p50 > slowest.0 {
            slowest = (p50, search);
        }
        all.extend(times);
    }
    let beside = format!("{} searches in turn; slowest “{}” {:.2} ms", SEARCHES.len(), slowest.1, slowest.0);
    Ok(Line::new(what, quantile(&mut all, 0.5), "ms", beside).p99(quantile(&mut all, 0.99)).promise(Promise::Below(3.0)))
}

fn worst(client: &mut Client, page: &str) -> anyhow::Result<Line> {
    let mut times = times(client, &format!("{page}{NEVER_TOGETHER}"))?;
    let beside = format!("“{NEVER_TOGETHER}”: 12,500 have each");
    Ok(Line::new("the same, two frequent words that never meet", quantile(&mut times, 0.5), "ms", beside)
        .p99(quantile(&mut times, 0.99)))
}

fn times(client: &mut Client, address: &str) -> anyhow::Result<Vec<f64>> {
    let mut times = Vec::with_capacity(ROUNDS);
    for round in 0..=ROUNDS {
        let took = time(client, address)?;
        if round > 0 {
            times.push(took);
        }
    }
    Ok(times)
}

fn time(client: &mut Client, address: &str) -> anyhow::Result<f64> {
    let begun = Instant::now();
    let answer = client.get(address)?;
    let took = begun.elapsed().as_secs_f64() * 1000.0;
    ensure!(answer.status == 200, "{address} answered {}", answer.status);
    Ok(took)
}

/// The Studio's page after a connection was created: its filters are counted anew.
fn after_a_change(server: &Server, browser: &mut Client) -> anyhow::Result<Line> {
    let mut editor = server.client("editor", "editor")?;
    let mut times = Vec::new();
    for number in 0..20 {
        create(&mut editor, &connection(NAMES + number))?;
        times.push(time(browser, "/w/default/connections")?);
        // What follows a change on its own is over before the next.
        std::thread::sleep(Duration::from_millis(20));
    }
    let shown = browser.get("/w/default/connections")?;
    let count = format!("data-count=\"\">{}<", NAMES + 20);
    ensure!(String::from_utf8_lossy(&shown.body).contains(&count), "the page does not show {}", NAMES + 20);
    Ok(Line::new(
        "the same, without a search, right after a change",
        quantile(&mut times, 0.5),
        "ms",
        "the filters are counted anew",
    )
    .p99(quantile(&mut times, 0.99)))
}
