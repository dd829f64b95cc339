//! Signing in with a provider: which account it opens, and what its claims give. On both stores.

use dataflow_tests::{
    fake_oidc::{FakeOidc, Mapping, Trip, now, oidc_file, session},
    folder::TempDir,
    http::Answer,
    port::ClosedPort,
    session::Session,
    shell::Shell,
    signer::Signer,
    stored::{Engine, Stored},
};
use rstest::rstest;
use serde_json::{Value, json};

const MAPPINGS: &[Mapping<'_>] = &[
    ("groups", "engineers", "default", &["editor", "user"]),
    ("groups", "heads", "default", &["admin"]),
    ("groups", "engineers", "theirs", &["viewer"]),
    ("groups", "engineers", "absent", &["admin"]),
];
const OWN_PASSWORD: &str = "provider_password=correct+horse+battery+staple";

fn start(engine: Engine) -> (FakeOidc, Stored) {
    let provider = FakeOidc::start();
    let stored = Stored::start_with(engine, &["--oidc", &provider.file(MAPPINGS)]);
    stored.create_workspace("theirs");
    (provider, stored)
}

fn refused(answer: &Answer, status: u16, says: &str) {
    assert!(answer.expect(status).text().contains(says), "{says}: {}", answer.text());
    assert!(!answer.header("set-cookie").lines().any(|line| line.starts_with("dataflow-80=")), "{:?}", answer.headers);
}

/// What somebody is in a workspace, as its admins see it: roles by hand, and those of claims.
fn roles(stored: &Stored, email: &str) -> Option<(Value, Value)> {
    let members = stored.admin("GET", "/members").send().expect(200).json();
    let member = members["items"].as_array().expect("a list").iter().find(|member| member["email"] == email)?.clone();
    Some((member["roles"].clone(), member["claimed_roles"].clone()))
}

#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
fn a_new_person_gets_what_his_claims_say_and_loses_it_with_them(#[case] engine: Engine) {
    let (provider, stored) = start(engine);
    let server = &stored.server;
    let before = stored.state();
    refused(&Trip::begin(server, "/").end(), 403, "nobody has given you access");
    provider.says(json!({"groups": ["others"]}));
    refused(&Trip::begin(server, "/").end(), 403, "nobody has given you access");
    assert_eq!(stored.state(), before, "nothing is stored of whom nobody let in");

    provider.says(json!({"groups": ["engineers"], "auth_time": now()}));
    let trip = Trip::begin(server, "/w/theirs/connections?q=a");
    let came = trip.end();
    // The session's cookie does not come along from another site, so the browser goes on from a page of this one.
    assert!(came.expect(200).text().contains("content=\"0;url=/w/theirs/connections?q=a\""), "{}", came.text());
    let set = came.header("set-cookie");
    assert!(
        set.contains("HttpOnly; SameSite=Strict") && set.contains("-flow=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0"),
        "{set}"
    );
    let grace = session(&came, server).expect("a session");
    grace.get("/w/theirs/connections").expect(200);
    grace.get("/w/default/new").expect(200);
    assert_eq!(roles(&stored, "grace@example.org"), Some((json!([]), json!(["user", "editor"]))));
    assert_eq!(stored.sql("SELECT count(*) FROM identities WHERE subject = 'u-1'"), "1");
    // There is no password to be guessed.
    let guess = Session::nobody(server).submit("/sign-in", "email=grace%40example.org&password=");
    guess.expect(401);

    // By hand he gets more, which no claim takes away.
    stored.admin("PUT", "/members/grace@example.org").json(&json!({"roles": ["viewer"]})).send().expect(200);
    let made = grace.submit("/w/default/tokens", "name=hers&role=user&days=30&connections=").expect(201).text();
    let token = made.split("dfc_user_").nth(1).and_then(|rest| rest.split('<').next()).expect("a token");
    let use_it =
        || stored.request(&format!("dfc_user_{token}"), "GET", "/workspaces/default/connections/sales/credentials").send();
    stored.create("sales", "planted");
    use_it().expect(200);
    provider.says(json!({"groups": "heads"}));
    session(&Trip::begin(server, "/").end(), server).expect("a session");
    assert_eq!(roles(&stored, "grace@example.org"), Some((json!(["viewer"]), json!(["admin"]))));
    grace.get("/w/theirs/connections").expect(404);
    grace.get("/w/default/access").expect(200);
    use_it().expect(200);
    provider.says(json!({}));
    session(&Trip::begin(server, "/").end(), server).expect("a session");
    assert_eq!(roles(&stored, "grace@example.org"), Some((json!(["viewer"]), json!([]))));
    use_it().refused(403, "forbidden");
    grace.get("/w/default/access").expect(403);

    // Without the last one he is let in no more.
    stored.admin("DELETE", "/members/grace@example.org").send().expect(204);
    refused(&Trip::begin(server, "/").end(), 403, "nobody has given you access");
    let events = stored.events("SELECT action, detail FROM audit_events WHERE object = 'grace@example.org' ORDER BY at, action");
    for event in [
        "person.create|{\"owner\":false}".to_owned(),
        format!("person.link_provider|{{\"issuer\":\"{}\",\"subject\":\"u-1\"}}", provider.issuer()),
        "member.claims|{\"roles\":\"user,editor\",\"before\":\"\"}".to_owned(),
        "member.claims|{\"roles\":\"admin\",\"before\":\"user,editor\"}".to_owned(),
        "member.claims|{\"roles\":\"\",\"before\":\"admin\"}".to_owned(),
        "person.sign_in|{}".to_owned(),
    ] {
        assert!(events.lines().any(|line| line == event), "{event} in {events}");
    }
}

#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
fn roles_of_claims_are_not_taken_away_here(#[case] engine: Engine) {
    let (provider, mut stored) = start(engine);
    provider.says(json!({"groups": ["engineers"]}));
    session(&Trip::begin(&stored.server, "/").end(), &stored.server).expect("a session");
    stored.admin("DELETE", "/members/grace@example.org").send().refused(403, "forbidden");
    let page = Session::start(&stored.server).get("/w/default/access").expect(200).text();
    assert!(page.contains("Signs in with Example") && page.contains("From Example: user and editor."), "{page}");
    assert!(!page.contains("Remove grace@example.org") && !page.contains("No password chosen yet"), "{page}");
    assert_eq!(roles(&stored, "grace@example.org"), Some((json!([]), json!(["user", "editor"]))));
    // Who disables him keeps him out.
    let owner = Session::start(&stored.server);
    owner.submit("/w/default/access/disable", "email=grace%40example.org").expect(303);
    refused(&Trip::begin(&stored.server, "/").end(), 403, "Your account is disabled");
    // A role that is given by SQL opens nothing.
    owner.submit("/w/default/access/enable", "email=grace%40example.org").expect(303);
    let grace = session(&Trip::begin(&stored.server, "/").end(), &stored.server).expect("a session");
    stored.server.process().stop();
    stored.sql("UPDATE members SET claimed_roles = 'admin' WHERE claimed_roles <> ''");
    stored.server.restart();
    grace.get("/w/default/connections").expect(500);
    refused(&Trip::begin(&stored.server, "/").end(), 500, "");
}

#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
fn an_account_with_a_password_is_linked_by_its_owner_alone(#[case] engine: Engine) {
    let (provider, stored) = start(engine);
    let server = &stored.server;
    provider.says(json!({"email": "Admin@Example.org", "groups": ["engineers"]}));
    let before = stored.state();
    refused(&Trip::begin(server, "/").end(), 403, "and it has a password");
    let admin = Session::start(server);
    for password in ["", "provider_password=wrong+wrong+wrong"] {
        let refused = admin.submit("/account/link", password);
        assert!(refused.expect(422).text().contains("is not the one that you sign in with"), "{}", refused.text());
        assert_eq!(refused.header("set-cookie"), "");
    }
    assert_eq!(stored.sql("SELECT count(*) FROM identities"), "0");
    let trip = Trip::of(admin.submit("/account/link", OWN_PASSWORD).expect(200), Session::nobody(server));
    // Whoever sits at the browser by then is not linked to this account, and the provider is not asked who it is.
    let asked = provider.asked("/token");
    let page = admin.submit("/w/default/access", "email=eve%40example.org&roles=viewer").expect(201).text();
    let code = page.split("/link/").nth(1).and_then(|rest| rest.split('<').next()).expect("a link");
    let eve = Session::nobody(server).submit("/link", &format!("code={code}&password=another+long+password"));
    let eve = session(eve.expect(303), server).expect("a session");
    for (who, browser) in [("another", eve), ("nobody", Session::nobody(server)), ("he, anew", Session::start(server))] {
        let came = trip.end_in(&browser);
        assert!(came.expect(403).text().contains("Somebody else is signed in here"), "{who}: {}", came.text());
    }
    assert_eq!((stored.sql("SELECT count(*) FROM identities").as_str(), provider.asked("/token")), ("0", asked));
    assert!(trip.end_in(&admin).expect(200).text().contains("0;url=/account"), "it leads back to the account");
    let own = admin.get("/account").expect(200).text();
    assert!(own.contains("Your account is linked"), "{own}");
    // From here on both open it.
    let by_provider = session(&Trip::begin(server, "/").end(), server).expect("a session");
    by_provider.get("/settings").expect(200);
    // It is linked once, and to nobody else's.
    let again = Trip::of(admin.submit("/account/link", OWN_PASSWORD).expect(200), Session::nobody(server));
    refused(&again.end_in(&admin), 409, "linked already");
    provider.says(json!({"sub": "u-2", "email": "admin@example.org"}));
    refused(&again.end_in(&admin), 409, "linked already");
    refused(&Trip::begin(server, "/").end(), 403, "and it has a password");

    admin.submit("/account/unlink", "provider_password=wrong+wrong+wrong").expect(422);
    assert_eq!(admin.submit("/account/unlink", OWN_PASSWORD).expect(303).header("location"), "/account");
    provider.says(json!({"email": "admin@example.org"}));
    refused(&Trip::begin(server, "/").end(), 403, "and it has a password");
    let events = stored.sql("SELECT actor, action, object FROM audit_events WHERE action LIKE '%provider' ORDER BY at");
    let of_admin = |act: &str| format!("admin@example.org|person.{act}_provider|admin@example.org");
    assert_eq!(events.lines().collect::<Vec<_>>(), [of_admin("link"), of_admin("unlink")]);
    assert_ne!(stored.state(), before);
}

#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
fn whoever_was_invited_comes_in_with_a_verified_address(#[case] engine: Engine) {
    let (provider, stored) = start(engine);
    let server = &stored.server;
    let page = Session::start(server).submit("/w/default/access", "email=Grace%40example.org&roles=viewer").expect(201).text();
    let code = page.split("/link/").nth(1).and_then(|rest| rest.split('<').next()).expect("a link").to_owned();
    provider.says(json!({"email_verified": false}));
    refused(&Trip::begin(server, "/").end(), 403, "which e-mail address of yours it has verified");
    provider.is_honest();
    let grace = session(&Trip::begin(server, "/").end(), server).expect("a session");
    assert_eq!(grace.get("/").expect(303).header("location"), "/w/default/connections");
    assert_eq!(roles(&stored, "Grace@example.org"), Some((json!(["viewer"]), json!([]))));
    Session::nobody(server).submit("/link", &format!("code={code}&password=another+long+password")).expect(410);
    // Somebody else at the provider who is given her address later is not she.
    provider.says(json!({"sub": "u-2"}));
    refused(&Trip::begin(server, "/").end(), 403, "belongs to somebody else");
    // And she needs no address any more.
    provider.says(json!({"email": null, "email_verified": null}));
    session(&Trip::begin(server, "/").end(), server).expect("a session");
    assert_eq!(stored.sql("SELECT count(*) FROM people"), "2");
}

#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
fn a_sign_in_is_used_once_by_the_browser_that_began_it(#[case] engine: Engine) {
    let (provider, stored) = start(engine);
    let server = &stored.server;
    provider.says(json!({"groups": ["engineers"]}));
    let (first, second) = (Trip::begin(server, "/"), Trip::begin(server, "/"));
    let sessions = || stored.sql("SELECT count(*) FROM sessions");
    let gone = "begun in another browser";
    refused(&Session::nobody(server).get(&format!("/sign-in/callback?code={}&state={}", first.nonce, first.state)), 400, gone);
    refused(&first.end_with(&second.nonce, &second.state), 400, gone);
    refused(&first.end_with(&second.nonce, &first.state), 502, "not to be trusted");
    refused(&first.with(&format!("{}x", first.cookie)).end(), 400, gone);
    let bent = first.cookie.replacen("-flow=e", "-flow=f", 1);
    assert_ne!(bent, first.cookie, "JSON begins with a brace");
    refused(&first.with(&bent).end(), 400, gone);
    assert_eq!(sessions(), "0");
    session(&first.end(), server).expect("a session");
    refused(&first.end(), 400, gone);
    assert_eq!(sessions(), "1");
    // Where it leads is a path of this server.
    for elsewhere in ["https://evil.example.org", "//evil.example.org", "/\\evil.example.org"] {
        let came = Trip::begin(server, elsewhere).end();
        assert!(came.expect(200).text().contains("content=\"0;url=/\""), "{elsewhere}: {}", came.text());
    }
    // What the provider says went wrong is told in this server's words.
    let denied = Session::nobody(server).with(&second.cookie);
    let answer = denied.get(&format!("/sign-in/callback?error=access_denied&error_description=pl4nted&state={}", second.state));
    refused(&answer, 403, "nobody signed in there");
    assert!(!answer.text().contains("pl4nted"));
}

#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
fn who_has_no_password_shows_again_at_the_provider_who_he_is(#[case] engine: Engine) {
    let (provider, stored) = start(engine);
    let server = &stored.server;
    let says = |more: Value| {
        let mut claims = json!({"groups": ["engineers"]});
        claims.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        provider.says(claims);
    };
    says(json!({}));
    let grace = session(&Trip::begin(server, "/").end(), server).expect("a session");
    let token = |name: &str| grace.submit("/w/default/tokens", &format!("name={name}&role=user&days=30&connections="));
    // That he is signed in there does not say that it was he who sat down here.
    refused(&token("first"), 403, "href=\"/sign-in/again\"");
    let leads = grace.get("/sign-in/again");
    assert!(leads.expect(303).header("location").ends_with("&prompt=login&max_age=0"), "{:?}", leads.headers);
    let again = || Trip::of(&grace.get("/sign-in/again"), Session::nobody(server)).end();
    for (claims, says_then) in [
        (json!({}), "did not ask you again"),
        (json!({"auth_time": now() - 120}), "did not ask you again"),
        (json!({"auth_time": now() + 3600}), "did not ask you again"),
        (json!({"auth_time": "now"}), "did not ask you again"),
        (json!({"auth_time": now(), "sub": "u-2"}), "that you are somebody else"),
    ] {
        says(claims);
        refused(&again(), 403, says_then);
        refused(&token("first"), 403, "href=\"/sign-in/again\"");
    }
    says(json!({"auth_time": now()}));
    assert!(again().expect(200).text().contains("It is you"));
    token("first").expect(201);
    let confirmed = "SELECT count(*) FROM audit_events WHERE action = 'person.confirm' AND actor = 'grace@example.org'";
    assert_eq!(stored.sql(confirmed), "1");
    // Whoever shows it as he signs in, has shown it.
    let fresh = session(&Trip::begin(server, "/").end(), server).expect("a session");
    fresh.submit("/w/default/tokens", "name=second&role=user&days=30&connections=").expect(201);
    // What takes a password each time takes a sign-in each time.
    stored.create("sales", "planted");
    stored.admin("PUT", "/members/grace@example.org").json(&json!({"roles": ["admin"]})).send().expect(200);
    let carry = |host: &str| {
        let etag = stored.show("sales").header("etag").replace('"', "%22");
        let same = "name=sales&port=5432&database=sales&username=analytics&tls.mode=verify-full&password=&keep%3Apassword=carry";
        grace.submit("/w/default/connections/sales/edit", &format!("etag={etag}&host={host}&{same}"))
    };
    again().expect(200);
    carry("replica.example.org").expect(303);
    let page = carry("elsewhere.example.org").expect(422).text();
    assert!(page.contains("has to be shown again at the sign-in provider") && page.contains("href=\"/sign-in/again\""), "{page}");
    assert!(!page.contains("type=\"password\" autocomplete=\"current-password\""), "she has none: {page}");
    again().expect(200);
    carry("elsewhere.example.org").expect(303);
    let fields = stored.credentials("sales").json()["fields"].clone();
    assert_eq!((&fields["host"], &fields["password"]), (&json!("elsewhere.example.org"), &json!("planted")));
    // A password is what is asked for where there is one.
    refused(&Session::start(server).get("/sign-in/again"), 403, "You have a password");
    assert!(Session::nobody(server).get("/sign-in/again").expect(303).header("location").starts_with("/sign-in?"));
}

#[test]
fn a_new_key_of_the_provider_is_asked_for_once_in_a_minute() {
    let (provider, stored) = start(Engine::Sqlite);
    let server = &stored.server;
    provider.says(json!({"groups": ["engineers"]}));
    session(&Trip::begin(server, "/").end(), server).expect("a session");
    session(&Trip::begin(server, "/").end(), server).expect("a session");
    assert_eq!((provider.asked("/.well-known/openid-configuration"), provider.asked("/keys")), (1, 1));
    provider.signs_with(Signer::new("RS256", "second"));
    for _ in 0..3 {
        refused(&Trip::begin(server, "/").end(), 502, "not to be trusted");
    }
    assert_eq!(provider.asked("/keys"), 1, "it was asked within this minute");
    let log = stored.server.log();
    assert!(log.contains("does not publish"), "{log}");
    assert!(!log.contains("pl4nted"), "{log}");
}

#[test]
fn what_a_token_lacks_is_asked_for_beside_it() {
    let (provider, stored) = start(Engine::Sqlite);
    let server = &stored.server;
    let bare = json!({"email": null, "email_verified": null});
    provider.says(bare.clone());
    let told = json!({"sub": "u-1", "email": "grace@example.org", "email_verified": true, "groups": ["engineers"]});
    for (name, value) in [("sub", json!("u-2")), ("sub", json!(null)), ("email_verified", json!("true"))] {
        let mut other = told.clone();
        other[name] = value;
        provider.says_of_user(Some(other));
        let answer = Trip::begin(server, "/").end();
        assert!(matches!(answer.status, 403 | 502), "{}", answer.text());
    }
    // That another address is verified says nothing of the one that was signed.
    provider.says(json!({"email": "ada@example.org", "email_verified": null}));
    provider.says_of_user(Some(told.clone()));
    refused(&Trip::begin(server, "/").end(), 403, "which e-mail address of yours it has verified");
    assert_eq!(stored.sql("SELECT count(*) FROM people"), "1");
    provider.says(bare);
    session(&Trip::begin(server, "/").end(), server).expect("a session");
    assert_eq!(roles(&stored, "grace@example.org"), Some((json!([]), json!(["user", "editor"]))));
}

#[test]
fn without_the_provider_the_password_works_and_the_operator_learns_why() {
    let (folder, nobody) = (TempDir::new(), ClosedPort::new());
    let file = folder.join("oidc.toml");
    let issuer = format!("http://127.0.0.1:{}", nobody.number());
    std::fs::write(&file, oidc_file(&issuer, "dataflow", None, &[])).expect("own folder");
    let file = file.display().to_string();
    let stored = Stored::start_with(Engine::Sqlite, &["--oidc", &file]);
    let ask = Session::nobody(&stored.server).get("/sign-in?next=%2Faccount").expect(200).text();
    assert!(ask.contains("Sign in with Example") && ask.contains("/sign-in/provider?next=%2Faccount"), "{ask}");
    let away = Session::nobody(&stored.server).get("/sign-in/provider");
    refused(&away, 503, "does not answer");
    let id = away.header("request-id");
    assert!(!id.is_empty() && away.text().contains(id) && stored.server.log().contains(id), "{}", stored.server.log());
    Session::start(&stored.server).get("/account").expect(200);
    let doctor = || {
        let ran = Shell::new(["doctor", "--output", "json"]).args(stored.data_arguments()).run();
        let findings: Value = serde_json::from_str(&ran.stdout).expect("JSON");
        let found = findings.as_array().expect("a list").iter().find(|finding| finding["check"] == "sign-in provider");
        found.cloned().expect("it is looked at")
    };
    let found = doctor();
    assert!(
        found["status"] == "problem" && found["found"].as_str().is_some_and(|text| text.contains("cannot be reached")),
        "{found}"
    );
    let provider = FakeOidc::start();
    std::fs::copy(provider.file(&[]), &file).expect("own folder");
    assert_eq!(doctor()["status"], "ok");
    provider.describes_itself(json!({"issuer": format!("{}/", provider.issuer())}));
    let found = doctor();
    assert!(found["found"].as_str().is_some_and(|text| text.contains("calls itself by another issuer")), "{found}");
    provider.is_honest();
    provider.publishes(Some(json!({"keys": []})));
    assert!(doctor()["found"].as_str().is_some_and(|text| text.contains("has no key")), "{found}");
}

#[test]
fn a_server_starts_only_where_the_provider_can_lead_back_to() {
    let provider = FakeOidc::start();
    let folder = TempDir::new();
    let data = folder.join("data").display().to_string();
    let file = provider.file(&[]);
    let serve = |more: &[&str]| {
        let words = ["serve", "--data", &data, "--oidc", &file, "--listen"];
        Shell::new(words).args(more.iter().copied()).run()
    };
    let nowhere = serve(&["127.0.0.1:0"]);
    assert!(nowhere.failure().contains("Give --public-url"), "{}", nowhere.stderr);
    std::fs::write(&file, "label = 1").expect("own file");
    assert!(serve(&["127.0.0.1:0"]).failure().contains("has to say label"));
    let by_variable = Shell::new(["serve", "--data", &data, "--listen", "127.0.0.1:0"]).variable("DATAFLOW_OIDC", &file).run();
    assert!(by_variable.failure().contains("has to say label"), "{}", by_variable.stderr);
}
