//! Forbidden addresses in every spelling, through every door that leads to a test: nothing is dialled.

#![expect(clippy::indexing_slicing, reason = "answers are read by name; what is absent is null and fails the test")]

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    net::{Ipv4Addr, Ipv6Addr, TcpListener},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use dataflow_tests::{
    environment,
    http::Answer,
    server::{TestServer, TestServerOptions},
    session::Session,
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

/// Whoever comes to any address of this machine, by either family, is counted.
struct Trap {
    port: u16,
    came: Arc<AtomicUsize>,
}

impl Trap {
    fn set() -> Self {
        let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)).expect("a port, for both families");
        let (port, came) = (listener.local_addr().expect("bound").port(), Arc::new(AtomicUsize::new(0)));
        let counted = came.clone();
        thread::spawn(move || {
            for _ in listener.incoming() {
                counted.fetch_add(1, Ordering::SeqCst);
            }
        });
        Self { port, came }
    }

    fn came(&self) -> usize {
        self.came.load(Ordering::SeqCst)
    }
}

/// Every way to write an IPv4 address that some program somewhere reads as it.
fn of_v4(address: Ipv4Addr) -> Vec<String> {
    let [a, b, c, d] = address.octets();
    let number = address.to_bits();
    let (high, low) = (number >> 16, number & 0xffff);
    let mut all = vec![
        format!("{address}"),
        format!("{address}."),
        format!("[{address}]"),
        format!("{number}"),
        format!("{number:#x}"),
        format!("{number:#X}"),
        format!("0X{number:X}"),
        format!("0{number:o}"),
        format!("{a}.{b}.{low}"),
        format!("{a}.{}", number & 0x00ff_ffff),
        format!("{a:#x}.{b:#x}.{c:#x}.{d:#x}"),
        format!("{a:#04x}.{b:#06x}.{c:#x}.{d}"),
        format!("0{a:o}.0{b:o}.0{c:o}.0{d:o}"),
        format!("000{a:o}.{b}.{c}.{d:#x}"),
        format!("{a}.{b}.{c}.{d}:80"),
        format!("user@{address}"),
        format!("{address}/"),
        format!("{address}#x"),
        format!("{address}%00"),
        format!(" {address}"),
        format!("{address}\t"),
        utf8_percent_encode(&address.to_string(), NON_ALPHANUMERIC).to_string(),
        format!("%25{address}"),
        address.to_string().replace('.', "。"),
        address.to_string().replace('.', "．"),
        wide(&address.to_string()),
        wide(&number.to_string()),
        format!("{address}.nip.io.invalid"),
        // Inside IPv6: mapped, compatible, translated, NAT64, 6to4, ISATAP, Teredo as server and as client.
        format!("::ffff:{address}"),
        format!("[::ffff:{address}]"),
        format!("::FFFF:{high:X}:{low:X}"),
        format!("0:0:0:0:0:ffff:{high:x}:{low:x}"),
        format!("0000:0000:0000:0000:0000:FFFF:{high:04x}:{low:04x}"),
        format!("::ffff:{address}%lo"),
        format!("::{address}"),
        format!("::ffff:0:{address}"),
        format!("64:ff9b::{address}"),
        format!("[64:FF9B::{high:x}:{low:x}]"),
        format!("64:ff9b:1::{address}"),
        format!("2002:{high:x}:{low:x}::1"),
        format!("fe80::5efe:{address}"),
        format!("2001:db8::200:5efe:{address}"),
        format!("2001:0:{high:x}:{low:x}::1"),
    ];
    // A leading zero makes it octal: of another number it would be another address.
    if address.octets().iter().all(|octet| *octet < 8 || *octet > 99) {
        all.push(format!("{a:03}.{b:03}.{c:03}.{d:03}"));
    }
    let turned = !number;
    all.push(format!("2001:0:808:808:0:0:{:x}:{:x}", turned >> 16, turned & 0xffff));
    all
}

/// The same of an IPv6 address.
fn of_v6(address: Ipv6Addr) -> Vec<String> {
    let mut long = String::new();
    for segment in address.segments() {
        let _ = write!(long, ":{segment:04x}");
    }
    let long = long.trim_start_matches(':').to_owned();
    vec![
        format!("{address}"),
        format!("[{address}]"),
        address.to_string().to_uppercase(),
        long.to_uppercase(),
        format!("[{long}]"),
        format!("{address}%lo"),
        format!("{address}%1"),
        format!("[{address}%25lo]"),
        format!("{address}."),
        format!("[{address}]:80"),
        utf8_percent_encode(&address.to_string(), NON_ALPHANUMERIC).to_string(),
        long,
    ]
}

/// In full-width digits.
fn wide(text: &str) -> String {
    text.chars().map(|c| c.to_digit(10).and_then(|digit| char::from_u32(0xff10 + digit)).unwrap_or(c)).collect()
}

/// Spellings of this machine's own addresses, and names for it.
fn loopback() -> BTreeSet<String> {
    let v4 = [[127, 0, 0, 1], [127, 0, 0, 2], [127, 255, 255, 254], [127, 1, 2, 3]].map(Ipv4Addr::from);
    let names = ["localhost", "LocalHost", "localhost.", "LOCALHOST.", "a.localhost", "localhost.localdomain", "ip6-localhost"];
    let all = v4.into_iter().flat_map(of_v4).chain(of_v6(Ipv6Addr::LOCALHOST));
    all.chain(names.map(ToOwned::to_owned)).chain(["localhost\u{3002}".to_owned(), wide("localhost1")]).collect()
}

/// Spellings of what is refused whatever the operator allows.
fn always() -> BTreeSet<String> {
    let v4 = [[169, 254, 169, 254], [100, 100, 100, 200], [168, 63, 129, 16], [192, 0, 0, 192], [0, 0, 0, 0]].map(Ipv4Addr::from);
    let v6 = ["::", "fe80::1", "fe80::a9fe:a9fe", "fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254", "ff02::1"];
    let v6 = v6.into_iter().map(|text| text.parse().expect("an address"));
    let all = v4.into_iter().flat_map(of_v4).chain(v6.flat_map(of_v6));
    // Of nothing in that prefix nobody can tell whether it is an address or what comes behind one.
    all.filter(|text| text != "64:ff9b:1::0.0.0.0").collect()
}

/// A way by which somebody can have a host dialled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Door {
    Unsaved,
    Saved,
    Edited,
    Form,
    SavedInStudio,
    EditedInStudio,
    Pasted,
}

const DOORS: [Door; 7] =
    [Door::Unsaved, Door::Saved, Door::Edited, Door::Form, Door::SavedInStudio, Door::EditedInStudio, Door::Pasted];

struct House {
    server: TestServer,
    token: String,
    session: Session,
    port: u16,
}

impl House {
    fn open(arguments: &[&str], port: u16) -> Self {
        // More is asked than one account may in a time.
        let unlimited = ["--limit", "requests=off", "--limit", "changes=off", "--limit", "tests=off"];
        let arguments = arguments.iter().chain(&unlimited).map(ToString::to_string).collect();
        let server = TestServer::start(TestServerOptions { arguments, ..TestServerOptions::default() });
        let (token, session) = (server.token("default", "admin", "admin"), Session::start(&server));
        let house = Self { server, token, session, port };
        for kind in ["postgres", "mysql"] {
            let body = json!({"name": kind, "type": kind, "host": "db.invalid", "port": port, "username": "u", "password": "p", "tls": {"mode": "disable"}});
            house.api("POST", "", Some(&body)).expect(201);
        }
        house
    }

    fn api(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let path = format!("/api/v1/workspaces/default/connections{path}");
        let request = self.server.request(&self.token, method, &path);
        body.map_or_else(|| request.clone(), |body| request.clone().json(body)).send()
    }

    fn form(&self, path: &str, host: &str, more: &[(&str, &str)]) -> Answer {
        let port = self.port.to_string();
        let fields = [("host", host), ("port", &port), ("username", "u"), ("password", "p"), ("tls.mode", "disable")];
        let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let pairs = fields.iter().chain(more).map(|(name, value)| format!("{}={}", encode(name), encode(value)));
        self.session.submit(path, &pairs.collect::<Vec<_>>().join("&"))
    }

    /// Has `host` tested; the answer of the test, or of what refused to save it.
    fn through(&self, door: Door, kind: &str, host: &str, name: &str) -> Answer {
        let body =
            json!({"type": kind, "host": host, "port": self.port, "username": "u", "password": "p", "tls": {"mode": "disable"}});
        let mut named = body.clone();
        named["name"] = json!(name);
        match door {
            Door::Unsaved => self.api("POST", "/test", Some(&body)),
            Door::Edited => self.api("POST", &format!("/{kind}/test"), Some(&json!({"host": host, "password": "p"}))),
            Door::Saved | Door::SavedInStudio => {
                let saved = self.api("POST", "", Some(&named));
                if saved.status == 422 {
                    return saved;
                }
                saved.expect(201);
                match door {
                    Door::Saved => self.api("POST", &format!("/{name}/test"), None),
                    _ => self.session.submit(&format!("/w/default/connections/{name}/test"), ""),
                }
            }
            Door::Form => self.form(&format!("/w/default/new/{kind}/test"), host, &[]),
            Door::EditedInStudio => self.form(&format!("/w/default/connections/{kind}/try"), host, &[("keep:password", "set")]),
            Door::Pasted => self.pasted(kind, host),
        }
    }

    /// What a pasted URL fills into the form, tested from there.
    fn pasted(&self, kind: &str, host: &str) -> Answer {
        let scheme = if kind == "mysql" { "mysql" } else { "postgresql" };
        let bracketed = if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host.to_owned() };
        let url = format!("{scheme}://u:p@{bracketed}:{}/d", self.port);
        let page = self.session.submit("/w/default/paste", &format!("pasted={}", utf8_percent_encode(&url, NON_ALPHANUMERIC)));
        let text = page.text();
        let filled = text
            .split("name=\"host\"")
            .nth(1)
            .and_then(|rest| rest.split('>').next())
            .and_then(|tag| tag.split("value=\"").nth(1));
        match filled.and_then(|rest| rest.split('"').next()).filter(|host| !host.is_empty()) {
            Some(host) => self.form(&format!("/w/default/new/{kind}/test"), host, &[]),
            None => page,
        }
    }

    /// Whether `host` was kept from being dialled: refused as a host, or before the step that reaches for it.
    fn is_refused(answer: &Answer) -> bool {
        if answer.status == 422 {
            return true;
        }
        let report = answer.expect(200).json();
        let step = |name: &str| {
            let steps = report["steps"].as_array().into_iter().flatten();
            steps.filter(|step| step["step"] == name).map(|step| step["status"].as_str().unwrap_or_default().to_owned()).next()
        };
        report["status"] == "failed"
            && matches!(report["error"]["code"].as_str(), Some("address_not_allowed" | "name_not_found"))
            && step("resolve").as_deref() == Some("failed")
            && step("reach").is_none_or(|reach| reach == "skipped")
    }
}

/// Tries every spelling, each through the doors that `doors` gives for its place; gives how many were tried.
fn try_all(house: &House, spellings: &BTreeSet<String>, doors: impl Fn(usize) -> Vec<Door> + Sync) -> usize {
    let tried = AtomicUsize::new(0);
    let places: Vec<_> = spellings.iter().enumerate().collect();
    thread::scope(|scope| {
        for part in 0..4 {
            let (places, doors, tried) = (&places, &doors, &tried);
            scope.spawn(move || {
                for (place, host) in places.iter().skip(part).step_by(4) {
                    for door in doors(*place) {
                        let kind = if (place + tried.load(Ordering::SeqCst)) % 2 == 0 { "postgres" } else { "mysql" };
                        let name = format!("c{}", tried.fetch_add(1, Ordering::SeqCst));
                        let answer = house.through(door, kind, host, &name);
                        assert!(House::is_refused(&answer), "“{host}” through {door:?} by {kind}: {}", answer.text());
                    }
                }
            });
        }
    });
    tried.into_inner()
}

#[test]
fn no_spelling_of_a_forbidden_address_is_dialled() {
    let trap = Trap::set();
    // A public address closes loopback although the server listens there.
    let closed = House::open(&["--public-url", "https://dataflow.example.org"], trap.port);
    let everything =
        ["0.0.0.0/0", "::/0", "127.0.0.0/8", "::1/128", "169.254.0.0/16", "100.100.100.200", "fe80::/10", "fd00:ec2::254"];
    let arguments: Vec<_> = everything.into_iter().flat_map(|range| ["--test-allow", range]).collect();
    let open = House::open(&arguments, trap.port);
    let (loopback, always) = (loopback(), always());
    assert!(loopback.len() >= 150 && always.len() >= 250, "{} {}", loopback.len(), always.len());

    let soak = environment::soak();
    let doors = |place: usize| match place % 5 {
        _ if soak => DOORS.to_vec(),
        0..3 => vec![DOORS[place % DOORS.len()]],
        _ => Vec::new(),
    };
    let tried = try_all(&closed, &loopback, doors) + try_all(&open, &always, doors);
    assert_eq!(trap.came(), 0, "somebody came to where nobody may go");

    // What is looked for is seen: the same doors lead there where they may.
    for (place, door) in DOORS.into_iter().enumerate() {
        for (number, host) in ["127.0.0.1", "::1", "::ffff:127.0.0.2", "localhost"].into_iter().enumerate() {
            let before = trap.came();
            let answer = open.through(door, "postgres", host, &format!("seen-{place}-{number}"));
            assert!(!House::is_refused(&answer) && trap.came() > before, "“{host}” through {door:?}: {}", answer.text());
        }
    }
    println!(
        "promise: forbidden addresses: {} spellings, {tried} tests through {} doors: 0 connections",
        if soak { loopback.len() + always.len() } else { tried },
        DOORS.len()
    );
}

/// Settings count at once, on the node where they are saved and on others that share the store.
#[test]
fn what_an_owner_sets_holds_from_the_next_test_on() {
    let trap = Trap::set();
    let house = House::open(&["--test-deny", "127.0.0.3"], trap.port);
    let settings = || house.server.request(&house.token, "GET", "/api/v1/settings").send().expect(200).json();
    let reaches = |host: &str| {
        let before = trap.came();
        let answer = house.through(Door::Unsaved, "postgres", host, "");
        let came = trap.came() > before;
        assert_ne!(came, House::is_refused(&answer), "{host}: {}", answer.text());
        came
    };
    assert!(reaches("127.0.0.1") && reaches("127.0.0.2") && !reaches("127.0.0.3"));
    let save = |etag: &str, allow: &str, deny: &str| {
        let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let form = format!("etag={}&allow={}&deny={}", encode(etag), encode(allow), encode(deny));
        house.session.submit("/settings/addresses", &form)
    };
    save("\"addresses.1\"", "127.0.0.0/28\n127.0.1.0/24", "127.0.0.2").expect(303);
    assert!(reaches("127.0.0.1") && !reaches("127.0.0.2") && !reaches("127.0.0.3") && !reaches("127.0.0.16") && !reaches("::1"));
    let expected = json!({"configured": {"allow": [], "deny": ["127.0.0.3/32"]}, "loopback": true, "set_is_sound": true,
        "set": {"allow": ["127.0.0.0/28", "127.0.1.0/24"], "deny": ["127.0.0.2/32"]}});
    assert_eq!(settings()["addresses"], expected);

    // Saved over what somebody else saved meanwhile, nothing changes and both are shown.
    let late = save("\"addresses.1\"", "", "10.0.0.0/8").expect(412).text();
    assert!(
        late.contains("Somebody saved other settings") && late.contains("127.0.1.0/24") && late.contains("10.0.0.0/8"),
        "{late}"
    );
    let wrong = save("\"addresses.2\"", "10.0.0.0/8\n10.0.0.300\n\n11.0.0.0/99", "").expect(422).text();
    assert!(wrong.contains("“10.0.0.300” on line 2") && wrong.contains("“11.0.0.0/99” on line 4"), "{wrong}");
    let useless = save("\"addresses.2\"", "169.254.169.254", "").expect(422).text();
    assert!(useless.contains("169.254.169.254/32, which is refused whatever stands here"), "{useless}");
    assert_eq!(settings()["addresses"], expected);
    save("\"addresses.2\"", "", "").expect(303);
    assert!(reaches("127.0.0.2") && !reaches("127.0.0.3"), "what the server was started with stays");
}
