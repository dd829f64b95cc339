//! The list: the way to a page is chosen by how many match, which takes thousands; here each is taken by itself.

use super::{Fixture, WORKSPACE};
use crate::{
    ops::{
        Caller, connections,
        list::{ListQuery, Search, place_of, query_terms},
    },
    store::{ListSort, Way},
};

const SORTS: [ListSort; 3] = [ListSort::Name, ListSort::NameDescending, ListSort::Updated];

/// The names of every page of `rows`, one page after the other.
async fn pages(fixture: &Fixture, search: &Search, sort: ListSort, rows: i64) -> Vec<Vec<String>> {
    let mut read = fixture.app.store.read().await.expect("a session");
    let (mut pages, mut place) = (Vec::new(), None);
    loop {
        let page = search.page(&mut read, place.as_ref(), rows).await.expect("a page");
        let Some(last) = page.last() else { return pages };
        place = Some(place_of(last, sort));
        pages.push(page.iter().map(|row| row.name.clone()).collect());
    }
}

#[tokio::test]
async fn every_way_leads_to_the_same_pages() {
    let fixture = Fixture::new().await;
    for number in 0..40 {
        let team = ["sales", "salmon", "billing"][number % 3];
        let body = serde_json::json!({
            "name": format!("{team}_{number}"), "type": "postgres", "host": format!("db{}.example.org", number % 4), "database": "sales",
            "username": "analytics", "tags": ["gold"]
        });
        let draft = serde_json::from_value(body).expect("a draft");
        connections::create(&fixture.app, &Caller::shell(), WORKSPACE, draft).await.expect("created");
    }
    let workspace = fixture.app.workspace(WORKSPACE).await.expect("read").expect("made by set-up").id.to_string();
    for (words, matches) in
        [("sal", 40), ("salm", 13), ("db1", 10), ("sal db1", 10), ("bill db0 gold", 3), ("zebra", 0), ("stat", 0)]
    {
        let query = ListQuery { search: Some(words.to_owned()), tag: Some("gold".to_owned()), ..ListQuery::default() };
        for sort in SORTS {
            let mut read = fixture.app.store.read().await.expect("a session");
            let terms = query_terms(&query).expect("terms");
            let mut sorted = Search::new(&mut read, workspace.clone(), sort, terms).await.expect("a search");
            let (mut walked, chosen) = (sorted.clone(), sorted.clone());
            (sorted.way, walked.way) = (Way::Sort, Way::Walk);
            let expected = pages(&fixture, &sorted, sort, 7).await;
            assert_eq!(expected.concat().len(), matches, "{words}");
            assert_eq!(pages(&fixture, &walked, sort, 7).await, expected, "{words}, {sort:?}");
            assert_eq!(chosen.way, if sort == ListSort::Updated { Way::Sort } else { Way::Word });
            assert_eq!(pages(&fixture, &chosen, sort, 7).await, expected, "{words}, {sort:?}");
        }
    }
}
