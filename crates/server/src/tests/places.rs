//! Where tests may run: a bounded number of places, of which hosts that do not answer never keep those that the next test begins in.

use std::{pin::pin, sync::Arc, time::Duration};

use dataflow_model::PublicFields;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use uuid::Uuid;

use crate::{config::TestBounds, shares::Shares};

/// A test that is under way for longer is slow. One within reach takes 8 ms (`make bench`), across an ocean some 500 ms; a host that drops
/// what it is sent takes all of the ten seconds.
const SWIFT: Duration = Duration::from_secs(1);

/// The places of this node.
pub struct Places {
    node: Arc<Semaphore>,
    slow_node: Arc<Semaphore>,
    workspaces: Shares<Uuid>,
    slow_workspaces: Shares<Uuid>,
    addresses: Shares<(Uuid, String)>,
}

/// A place for one test, free again once this is dropped.
pub struct Place {
    swift: [OwnedSemaphorePermit; 2],
    /// Workspace and node, always taken in this order: whoever holds the second waits for nothing.
    slow: [Arc<Semaphore>; 2],
}

/// A place at what a test dials, to be kept as long as it may be connected.
pub type AtAddress = OwnedSemaphorePermit;

impl Places {
    pub fn new(bounds: &TestBounds) -> Self {
        Self {
            node: Arc::new(Semaphore::new(bounds.per_node)),
            slow_node: Arc::new(Semaphore::new(bounds.slow_per_node)),
            workspaces: Shares::of(bounds.per_workspace),
            slow_workspaces: Shares::of(bounds.slow_per_workspace),
            addresses: Shares::of(bounds.per_address),
        }
    }

    /// Waits until a test of `public` may begin, first come first served. Those that wait for their address wait in nobody else's way.
    pub async fn take(&self, workspace: Uuid, public: &PublicFields) -> (Place, AtAddress) {
        let slow = [self.slow_workspaces.of_key(workspace), self.slow_node.clone()];
        let at_address = permit(self.addresses.of_key((workspace, address(public)))).await;
        let swift = both([self.workspaces.of_key(workspace), self.node.clone()]).await;
        (Place { swift, slow }, at_address)
    }
}

impl Place {
    /// Runs `test` to its end. A slow one moves to a slow place as soon as one is free, and leaves its own to the next test.
    pub async fn hold<F: Future>(self, test: F) -> F::Output {
        let Self { swift, slow } = self;
        let mut test = pin!(test);
        let move_aside = async {
            tokio::time::sleep(SWIFT).await;
            both(slow).await
        };
        let _slow = tokio::select! {
            biased;
            done = &mut test => return done,
            slow = move_aside => slow,
        };
        drop(swift);
        test.await
    }
}

async fn both([first, second]: [Arc<Semaphore>; 2]) -> [OwnedSemaphorePermit; 2] {
    [permit(first).await, permit(second).await]
}

async fn permit(semaphore: Arc<Semaphore>) -> OwnedSemaphorePermit {
    semaphore.acquire_owned().await.expect("no semaphore of this module is ever closed")
}

/// What a test dials: host and port, or the file.
fn address(public: &PublicFields) -> String {
    match (public.text("host"), public.integer("port")) {
        (Some(host), Some(port)) => format!("{}:{port}", host.to_ascii_lowercase()),
        (Some(host), None) => host.to_ascii_lowercase(),
        (None, _) => public.text("database").unwrap_or_default().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds() -> TestBounds {
        TestBounds { per_workspace: 2, per_node: 3, slow_per_workspace: 2, slow_per_node: 2, per_address: 1 }
    }

    fn at(host: &str) -> PublicFields {
        PublicFields([("host".into(), dataflow_model::FieldValue::Text(host.to_owned()))].into())
    }

    /// Whether a place is free at once.
    async fn is_free(places: &Places, workspace: Uuid, host: &str) -> bool {
        tokio::time::timeout(Duration::from_millis(50), places.take(workspace, &at(host))).await.is_ok()
    }

    #[tokio::test]
    async fn each_bound_holds_by_itself() {
        let (places, ours, theirs) = (Places::new(&bounds()), Uuid::from_u128(1), Uuid::from_u128(2));
        let first = places.take(ours, &at("a")).await;
        assert!(!is_free(&places, ours, "A").await, "one at an address");
        assert!(is_free(&places, theirs, "a").await, "another workspace has its own share of it");
        let second = places.take(ours, &at("b")).await;
        assert!(!is_free(&places, ours, "c").await, "two in a workspace");
        let third = places.take(theirs, &at("c")).await;
        assert!(!is_free(&places, theirs, "d").await, "three on the node");
        drop((first, second, third));
        assert!(is_free(&places, theirs, "d").await);
        assert!(is_free(&places, ours, "a").await, "what was given back is free");
        let known = places.addresses.known();
        assert!(known <= 1, "{known} addresses are remembered though nobody is there");
    }

    #[tokio::test]
    async fn slow_tests_give_way_until_there_are_too_many_of_them() {
        let (places, ours) = (Places::new(&bounds()), Uuid::from_u128(1));
        let hang = |(place, at_address): (Place, AtAddress)| {
            tokio::spawn(async move {
                let _at_address = at_address;
                place.hold(std::future::pending::<()>()).await;
            })
        };
        let take = async |host: &str| places.take(ours, &at(host)).await;
        let wait = || tokio::time::sleep(SWIFT + Duration::from_millis(300));
        let dead = [hang(take("a").await), hang(take("b").await)];
        assert!(!is_free(&places, ours, "c").await, "both have just begun");
        wait().await;
        assert!(is_free(&places, ours, "c").await, "both have moved aside");
        assert!(!is_free(&places, ours, "a").await, "where they hang, nobody else begins");
        let more = [hang(take("c").await), hang(take("d").await)];
        wait().await;
        assert!(!is_free(&places, ours, "e").await, "there is nowhere to move to");
        dead.iter().for_each(tokio::task::JoinHandle::abort);
        wait().await;
        assert!(is_free(&places, ours, "e").await, "there is again");
        more.iter().for_each(tokio::task::JoinHandle::abort);
    }
}
