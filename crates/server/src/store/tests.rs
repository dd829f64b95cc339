use super::{Location, Store};

async fn change(store: &Store) {
    store.write().await.expect("open").commit().await.expect("committed");
}

#[tokio::test]
async fn own_changes_are_told_from_those_of_another_node() {
    let folder = tempfile::tempdir().expect("a folder");
    let location = Location::Sqlite(folder.path().join("store.db"));
    let (own, other) = (Store::open(&location).await.expect("open"), Store::open(&location).await.expect("open"));
    let since = async |known| own.tick_since(known).await.expect("read");

    change(&own).await;
    let (tick, is_own) = since(None).await;
    assert!(!is_own, "what was before is not known");
    assert_eq!(since(Some(tick)).await, (tick, true), "nothing has changed");
    change(&own).await;
    change(&own).await;
    assert_eq!(since(Some(tick)).await, (tick + 2, true));
    change(&own).await;
    change(&other).await;
    change(&own).await;
    assert_eq!(since(Some(tick + 2)).await, (tick + 5, false), "one of the three is another's");
    change(&other).await;
    assert_eq!(since(Some(tick + 5)).await, (tick + 6, false));
    assert_eq!(since(Some(tick + 6)).await, (tick + 6, true));
}
