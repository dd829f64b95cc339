//! The table by itself, and the page of the docs that is written from it.

use super::{
    super::owners::{OWNERS, OwnersAct},
    *,
};

#[test]
fn the_table_says_what_the_roles_are_for() {
    let may = |role: Role| -> Vec<Action> {
        TABLE.iter().filter(|(_, roles, _)| roles.contains(&role)).map(|(action, ..)| *action).collect()
    };
    assert_eq!(may(Viewer), [Action::SeeConnections, Action::HaveTokens, Action::CreateOwnTokens]);
    let user =
        [Action::UseCredentials, Action::TestConnections, Action::HaveTokens, Action::CreateOwnTokens, Action::ReportScans];
    assert_eq!(may(User), [&[Action::SeeConnections][..], &user].concat());
    assert!(!may(Editor).contains(&Action::UseCredentials), "an editor cannot read a stored secret");
    assert_eq!(may(Admin).len(), TABLE.len(), "an admin has all");
}

/// How the page says when an act takes a second look.
fn look_words(look: Look) -> &'static str {
    match look {
        Look::None => "",
        Look::Lately => "after ten minutes",
        Look::EachTime => "each time",
    }
}

/// The page about rights, out of the tables.
fn page() -> String {
    let mut page = "# Who may do what\n\nWritten from the tables that every rule asks (`ops::access::TABLE`, `ops::owners::OWNERS`), and held \
                    against them by a test. A person has one or more of these roles\nin a workspace, and a token has those that it was made \
                    with, as far as the person behind it has them still. An owner of the server, and a shell on\nits machine, are admins \
                    everywhere.\n\n| to | viewer | user | editor | admin | token for some connections | second look |\n\
                    |---|---|---|---|---|---|---|\n"
        .to_owned();
    for (action, roles, look) in TABLE {
        let cells = Role::ALL.map(|role| if roles.contains(&role) { "yes" } else { "" });
        let narrowed = if action.is_over_workspace() { "never" } else { "as its roles" };
        let row = [action.words(), &cells.join(" | "), narrowed, look_words(*look)].join(" | ");
        page.extend(["| ", &row, " |\n"]);
    }
    page += "\nAn owner of the server alone, and a shell on its machine:\n\n| to | second look |\n|---|---|\n";
    for (act, look) in OWNERS {
        page.extend(["| ", OwnersAct::words(*act), " | ", look_words(*look), " |\n"]);
    }
    page + "\nBesides, everybody lists the workspaces that he is in and the connection types, and changes his own password (a second look \
            each time).\n\n\
            - A second look asks the person of a session for his own password again, since whoever comes by an open browser or its cookie \
            has the session:\n  after ten minutes without it before what grants or directs something, ends a workspace or purges a version, and each time where a \
            stored secret goes elsewhere. Nobody is asked to take\n  rights away from himself, to revoke a token or to sign out. Tokens and shells have no \
            session and are not asked: a token was made after such\n  a look, or by one that was, and ends by itself; and who is in a shell \
            is for the operating system to say.\n\
            - Whoever may not see something gets the answer of what is not there: 404, with the same bytes. What he sees and may not do is \
            403.\n- An admin can narrow a connection to some people, tokens and groups: others with the role see it, and do not use \
            it.\n- Nobody grants a role that he does not have, and no token outlives or outdoes the one that made it.\n\
            - Every route of the API is tried by nobody, by tokens that are revoked, expired or of another workspace, by each role and \
            by a narrowed\n  token, over what is theirs, what is others' and what is absent (`tests/tests/api_access.rs`); a route that \
            is not in its table fails the\n  build. So does an act that leaves an event and is neither asked about nor said to need no second \
            look\n  (`crates/server/src/ops/tests/second_look.rs`).\n"
}

#[test]
fn the_page_about_rights_is_the_table() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/authorisation.md");
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    if kept != page() {
        std::fs::write(path, page()).expect("the sources can be written");
        panic!("docs/authorisation.md was not what the table says; it is written anew, look at it and commit it");
    }
}

#[test]
fn nobody_grants_more_than_he_has() {
    let [viewer, user, editor, admin] = Role::ALL.map(|role| Roles::of(&[role]));
    assert!(admin.cover(user) && admin.cover(editor) && user.cover(viewer) && editor.cover(viewer));
    assert!(!editor.cover(user) && !user.cover(editor) && !Roles::of(&[User, Editor]).cover(admin) && !viewer.cover(user));
    assert!(Roles::of(&[User, Editor]).cover(user));
}

#[test]
fn capped_roles_may_do_nothing_that_one_of_the_two_may_not() {
    let sets = (0..16).map(Roles);
    for (own, cap) in sets.clone().flat_map(|own| sets.clone().map(move |cap| (own, cap))) {
        let capped = own.capped_by(cap);
        assert!(own.cover(capped) && cap.cover(capped) && capped == cap.capped_by(own), "{own} {cap}");
        assert_eq!(cap.cover(own), capped.cover(own), "{own} {cap}");
    }
    let [viewer, user, editor, admin] = Role::ALL.map(|role| Roles::of(&[role]));
    assert_eq!((editor.capped_by(viewer), user.capped_by(editor)), (viewer, viewer));
    assert_eq!(admin.capped_by(Roles::of(&[User, Editor])), Roles::of(&[Viewer, User, Editor]));
    assert!(user.capped_by(admin).cover(user) && editor.capped_by(Roles::NONE).is_empty());
}

#[test]
fn roles_read_what_they_write() {
    let roles = Roles::of(&[User, Editor]);
    assert_eq!(Roles::parse(&roles.to_string()), roles);
    assert_eq!(Roles::parse("root,admin "), Roles::NONE);
}
