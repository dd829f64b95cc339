//! `dataflow people reset`: the admin who is locked out gets in again from a shell on the server's machine. On both stores, beside a running
//! server and without one.

use dataflow_tests::{
    http::Answer,
    server::{ADMIN_EMAIL, ADMIN_PASSWORD},
    session::Session,
    shell::{Ran, Shell, says},
    stored::{Engine, Stored},
};
use rstest::rstest;

fn reset(stored: &Stored, email: &str, more: &[&str], password: &str) -> Ran {
    let words = ["people", "reset", "--password-stdin", "--email", email];
    Shell::new(words).args(more).args(stored.data_arguments()).input(password).run()
}

fn sign_in(stored: &Stored, email: &str, password: &str) -> Answer {
    let body = format!("email={}&password={}", email.replace('@', "%40"), password.replace(' ', "+"));
    Session::nobody(&stored.server).submit("/sign-in", &body)
}

#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
fn the_admin_who_is_locked_out_gets_in_again(#[case] engine: Engine) {
    let mut stored = Stored::start(engine);
    let session = Session::start(&stored.server);
    session.get("/account").expect(200);
    let link = Shell::new(["sign-in-link", "--email", ADMIN_EMAIL]).args(stored.data_arguments()).run().stdout().to_owned();
    let code = link.rsplit('/').next().expect("a code").to_owned();

    // Somebody guesses, until not even the right password is looked at.
    let mut guesses = 0;
    while sign_in(&stored, ADMIN_EMAIL, "no idea at all").status != 429 {
        guesses += 1;
        assert!(guesses < 200, "nobody stops a guesser");
    }
    assert_eq!(sign_in(&stored, ADMIN_EMAIL, ADMIN_PASSWORD).status, 429);
    for (password, part) in [("", "Nothing came on standard input"), ("short", "password must have from 10 to 1000 characters")] {
        says(&reset(&stored, ADMIN_EMAIL, &[], password), &[part]);
    }
    for nobody in ["nobody@example.org", "no address", "a\u{1}b@example.org"] {
        says(&reset(&stored, nobody, &[], "a new long password"), &["person"]);
    }
    session.get("/account").expect(200);
    let ran = reset(&stored, &ADMIN_EMAIL.to_uppercase(), &[], "a new long password\n");
    assert_eq!(ran.stdout(), "");
    assert!(ran.stderr.contains("The new password is set") && !ran.stderr.contains("a new long password"), "{}", ran.stderr);
    sign_in(&stored, ADMIN_EMAIL, "a new long password").expect(303);
    let ended = session.get("/account");
    assert!(ended.expect(303).header("location").starts_with("/sign-in"), "his old session has ended");
    let followed = Session::nobody(&stored.server).submit("/link", &format!("code={code}&password="));
    assert_ne!(followed.status, 303, "his link has ended");
    assert_ne!(sign_in(&stored, ADMIN_EMAIL, ADMIN_PASSWORD).status, 303, "the old password");
    stored.show("absent").expect(404);

    stored.server.process().stop();
    reset(&stored, ADMIN_EMAIL, &[], "with no server running").stdout();
    stored.server.restart();
    sign_in(&stored, ADMIN_EMAIL, "with no server running").expect(303);
    let events = stored.sql("SELECT actor, object FROM audit_events WHERE action = 'person.password' ORDER BY at");
    assert_eq!(events, format!("shell|{ADMIN_EMAIL}\nshell|{ADMIN_EMAIL}"));
}

#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
fn who_was_disabled_is_let_in_only_if_that_is_asked(#[case] engine: Engine) {
    let stored = Stored::start(engine);
    stored.add_member("eve@example.org");
    stored.admin("POST", "/members/eve@example.org/disable").send().expect(204);
    let before = stored.sql("SELECT password_hash, disabled_at FROM people WHERE email = 'eve@example.org'");
    says(&reset(&stored, "eve@example.org", &[], "a new long password"), &["disabled", "nothing was changed", "--enable"]);
    assert_eq!(stored.sql("SELECT password_hash, disabled_at FROM people WHERE email = 'eve@example.org'"), before);
    assert_ne!(sign_in(&stored, "eve@example.org", "a new long password").status, 303);
    reset(&stored, "eve@example.org", &["--enable"], "a new long password").stdout();
    sign_in(&stored, "eve@example.org", "a new long password").expect(303);
    let events = stored.sql("SELECT actor, action FROM audit_events WHERE object = 'eve@example.org' ORDER BY at, action");
    for event in ["shell|person.password", "shell|person.enable"] {
        assert_eq!(events.matches(event).count(), 1, "{events}");
    }
}
