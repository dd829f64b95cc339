//! Lists, page by page.

use std::collections::BTreeSet;

use super::{Fixture, WORKSPACE, draft, sample};
use crate::{
    ops::{
        Caller, Role, Roles, connections,
        list::{ListQuery, list},
        tokens::{self, NewToken},
    },
    store::ListSort,
};

/// A token's caller, narrowed to these names.
async fn narrowed(fixture: &Fixture, names: &[&str]) -> Caller {
    let new = NewToken {
        name: "narrowed".to_owned(),
        roles: Roles::of(&[Role::Viewer]),
        expires_in_days: None,
        connections: Some(names.iter().map(ToString::to_string).collect()),
    };
    let token = tokens::create(&fixture.app, &Caller::shell(), WORKSPACE, new).await.expect("a token").0;
    fixture.by_token(&token).await.expect("it lives")
}

/// The names of a list, walked page by page.
async fn walk(fixture: &Fixture, caller: &Caller, query: &ListQuery) -> Vec<String> {
    let (mut names, mut query) = (Vec::new(), query.clone());
    loop {
        let page = list(&fixture.app, caller, WORKSPACE, &query).await.expect("a page");
        names.extend(page.rows.into_iter().map(|row| row.name));
        query.cursor = page.next;
        if query.cursor.is_none() {
            return names;
        }
    }
}

#[tokio::test]
async fn a_narrowed_token_lists_what_all_would_list_of_its_names() {
    let fixture = Fixture::new().await;
    let shell = Caller::shell();
    for number in 0..9 {
        let tag = if number % 2 == 0 { "even" } else { "odd" };
        let new = serde_json::json!({"name": format!("Sales_{number}"), "type": "sqlite", "tags": [tag], "database": "a.db"});
        connections::create(&fixture.app, &shell, WORKSPACE, draft(&new)).await.expect("created");
        fixture.app.clock.advance(1);
    }
    let own = ["Sales_7", "Sales_0", "Sales_2", "Sales_3", "Sales_8", "Sales_8", "absent", "sales_1"];
    let caller = narrowed(&fixture, &own).await;
    let (even, word) = (Some("even".to_owned()), Some("SALES 8".to_owned()));
    for sort in [ListSort::Name, ListSort::NameDescending, ListSort::Updated] {
        for query in [
            ListQuery { sort, ..ListQuery::default() },
            ListQuery { sort, tag: even.clone(), ..ListQuery::default() },
            ListQuery { sort, search: word.clone(), ..ListQuery::default() },
            ListQuery { sort, status: Some("failed".to_owned()), ..ListQuery::default() },
        ] {
            let of_all = walk(&fixture, &shell, &query).await;
            let expected: Vec<_> = of_all.into_iter().filter(|name| own.contains(&name.as_str())).collect();
            for limit in [1, 2, 50] {
                let query = ListQuery { limit: Some(limit), ..query.clone() };
                assert_eq!(walk(&fixture, &caller, &query).await, expected, "{query:?}");
            }
        }
    }
    let all = walk(&fixture, &caller, &ListQuery::default()).await;
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 5, "{all:?}");
}

#[tokio::test]
async fn a_narrowed_token_reads_its_names_and_no_other_row() {
    let fixture = Fixture::new().await;
    for name in ["own", "other"] {
        connections::create(&fixture.app, &Caller::shell(), WORKSPACE, sample(name)).await.expect("created");
    }
    // A row that cannot be read: whoever passes by it fails.
    fixture.bend("UPDATE connections SET version = 'x' WHERE name = 'other'").await;
    assert!(list(&fixture.app, &Caller::shell(), WORKSPACE, &ListQuery::default()).await.is_err());
    let caller = narrowed(&fixture, &["own"]).await;
    assert_eq!(walk(&fixture, &caller, &ListQuery::default()).await, ["own"]);
}
