//! Where tests may run: a bounded number of places, of which hosts that do not answer never keep those that the next test begins in.

use std::{hash::Hash, pin::pin, sync::Arc, time::Duration};

use dataflow_model::{PublicFields, settle::THROUGH};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep, timeout_at},
};
use uuid::Uuid;

use crate::{
    config::TestBounds,
    error::{Error, Result},
    shares::Shares,
};

/// A test that is under way for longer is slow. One within reach takes 8 ms (`make bench`), across an ocean some 500 ms; a host that drops
/// what it is sent takes all of the ten seconds.
const SWIFT: Duration = Duration::from_secs(1);
/// How many may wait for each place. Every test before them leaves its own within [`SWIFT`], or it is known that it will not: so who is let
/// into a line has his place within [`WAIT`], and nobody waits only to be refused.
const WAITING: usize = 4;
const WAIT: Duration = Duration::from_secs(5);
/// How often one who waits looks whether he still may hope.
const LOOK: Duration = Duration::from_millis(50);

/// The places of this node.
pub struct Places {
    addresses: Bound<(Uuid, String)>,
    callers: Bound<String>,
    workspaces: Bound<Uuid>,
    node: Bound<()>,
    slow_workspaces: Shares<Uuid>,
    slow_node: Arc<Semaphore>,
}

/// A place for one test, free again once this is dropped.
pub struct Place {
    swift: [OwnedSemaphorePermit; 3],
    /// Caller, workspace and node, always taken in this order: whoever holds the last waits for nothing.
    lines: [InLine; 3],
    kept_at_address: Arc<Semaphore>,
    /// Workspace and node.
    slow: [Arc<Semaphore>; 2],
}

/// A place at what a test dials, to be kept as long as it may be connected.
pub struct AtAddress(#[expect(dead_code, reason = "held, not read")] (OwnedSemaphorePermit, InLine));

/// Places of each key, and the line of those who have one, have moved aside or wait.
struct Bound<K> {
    line: Shares<K>,
    places: Shares<K>,
    /// As many as places: those that a slow test keeps.
    kept: Shares<K>,
}

/// One in a line, until this is dropped.
struct InLine {
    _line: OwnedSemaphorePermit,
    places: Arc<Semaphore>,
    kept: Arc<Semaphore>,
}

impl<K: Eq + Hash + Clone> Bound<K> {
    /// `aside` may be in line besides those in the places and those who wait for them.
    fn of(places: usize, aside: usize) -> Self {
        Self { line: Shares::of(places * (1 + WAITING) + aside), places: Shares::of(places), kept: Shares::of(places) }
    }

    /// Joins the line, if it is not full.
    fn join(&self, key: K) -> Option<InLine> {
        let line = self.line.of_key(key.clone()).try_acquire_owned().ok()?;
        Some(InLine { _line: line, places: self.places.of_key(key.clone()), kept: self.kept.of_key(key) })
    }
}

impl InLine {
    /// Waits for a place, as long as one is to be hoped for.
    async fn place(&self, until: Instant) -> Option<OwnedSemaphorePermit> {
        let mut place = pin!(permit(self.places.clone()));
        loop {
            // With places that are all kept, only what is free this very moment is taken.
            let look = if self.is_stuck() { Instant::now() } else { until.min(Instant::now() + LOOK) };
            match timeout_at(look, &mut place).await {
                Ok(place) => return Some(place),
                Err(_) if self.is_stuck() || Instant::now() >= until => return None,
                Err(_) => {}
            }
        }
    }

    /// Whether slow tests keep every place: then none is free until one of them ends.
    fn is_stuck(&self) -> bool {
        self.kept.available_permits() == 0
    }
}

impl Places {
    pub fn new(bounds: &TestBounds) -> Self {
        Self {
            addresses: Bound::of(bounds.per_address, 0),
            callers: Bound { line: Shares::of(bounds.line_per_caller), ..Bound::of(bounds.per_caller, 0) },
            workspaces: Bound::of(bounds.per_workspace, bounds.slow_per_workspace),
            node: Bound::of(bounds.per_node, bounds.slow_per_node),
            slow_workspaces: Shares::of(bounds.slow_per_workspace),
            slow_node: Arc::new(Semaphore::new(bounds.slow_per_node)),
        }
    }

    /// Waits until a test of `public` may begin, first come first served. Those that wait for their address or for their caller wait in
    /// nobody else's way.
    ///
    /// # Errors
    /// `TooManyRequests`: at once where a line is full or slow tests keep every place, and for who waits as soon as they do.
    pub async fn take(&self, caller: &str, workspace: Uuid, public: &PublicFields) -> Result<(Place, AtAddress)> {
        const AT_ADDRESS: &str = "Too many tests of this host and port are under way.";
        const OWN: &str = "Too many tests of this token or account are under way.";
        const ALL: &str = "Too many tests of connections are under way.";
        let refuse = |what: &'static str| move || Error::TooManyRequests(what);
        let here = self.addresses.join((workspace, address(public))).ok_or_else(refuse(AT_ADDRESS))?;
        let own = self.callers.join(caller.to_owned()).ok_or_else(refuse(OWN))?;
        let ours = self.workspaces.join(workspace).ok_or_else(refuse(ALL))?;
        let all = self.node.join(()).ok_or_else(refuse(ALL))?;
        let until = Instant::now() + WAIT;
        let at_address = here.place(until).await.ok_or_else(refuse(AT_ADDRESS))?;
        let swift = [
            own.place(until).await.ok_or_else(refuse(OWN))?,
            ours.place(until).await.ok_or_else(refuse(ALL))?,
            all.place(until).await.ok_or_else(refuse(ALL))?,
        ];
        let slow = [self.slow_workspaces.of_key(workspace), self.slow_node.clone()];
        let place = Place { swift, lines: [own, ours, all], kept_at_address: here.kept.clone(), slow };
        Ok((place, AtAddress((at_address, here))))
    }
}

impl Place {
    /// Runs `test` to its end. A slow one moves to a slow place as soon as one is free, and leaves its own to the next test.
    pub async fn hold<F: Future>(self, test: F) -> F::Output {
        let Self { swift, lines, kept_at_address, slow } = self;
        let mut test = pin!(test);
        tokio::select! {
            biased;
            done = &mut test => return done,
            () = sleep(SWIFT) => {}
        }
        let _at_address = kept_at_address.try_acquire_owned();
        let kept = lines.each_ref().map(|line| line.kept.clone().try_acquire_owned());
        let [in_workspace, on_node] = slow;
        let move_aside = async { [permit(in_workspace).await, permit(on_node).await] };
        let _slow = tokio::select! {
            biased;
            done = &mut test => return done,
            slow = move_aside => slow,
        };
        drop((kept, swift));
        test.await
    }
}

async fn permit(semaphore: Arc<Semaphore>) -> OwnedSemaphorePermit {
    semaphore.acquire_owned().await.expect("no semaphore of this module is ever closed")
}

/// What a test dials: host and port, or the file.
fn address(public: &PublicFields) -> String {
    let address = match (public.text("host"), public.integer("port")) {
        (Some(host), Some(port)) => format!("{}:{port}", host.to_ascii_lowercase()),
        (Some(host), None) => host.to_ascii_lowercase(),
        (None, _) => public.text("database").unwrap_or_default().to_owned(),
    };
    // The same words mean another place beyond a hop.
    public.text(THROUGH).map_or_else(|| address.clone(), |hop| format!("{address} through {}", hop.to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds() -> TestBounds {
        TestBounds {
            per_caller: 3,
            line_per_caller: 20,
            per_workspace: 2,
            per_node: 3,
            slow_per_workspace: 2,
            slow_per_node: 2,
            per_address: 1,
        }
    }

    fn at(host: &str) -> PublicFields {
        PublicFields([("host".into(), dataflow_model::FieldValue::Text(host.to_owned()))].into())
    }

    /// Whether a place is free at once.
    async fn is_free(places: &Places, workspace: Uuid, host: &str) -> bool {
        let at = at(host);
        let taken = tokio::time::timeout(Duration::from_millis(30), places.take("ada", workspace, &at));
        taken.await.is_ok_and(|taken| taken.is_ok())
    }

    /// Begins a test that never ends by itself.
    fn hang((place, at_address): (Place, AtAddress)) -> tokio::task::JoinHandle<()> {
        tokio::spawn(async move {
            let _at_address = at_address;
            place.hold(std::future::pending::<()>()).await;
        })
    }

    /// Long enough for every test under way to be slow.
    async fn wait() {
        sleep(SWIFT + Duration::from_millis(300)).await;
    }

    #[tokio::test]
    async fn each_bound_holds_by_itself() {
        let places = Places::new(&TestBounds { per_caller: 9, ..bounds() });
        let (ours, theirs) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let take = async |workspace, host: &str| places.take("ada", workspace, &at(host)).await.expect("a place");
        let first = take(ours, "a").await;
        assert!(!is_free(&places, ours, "A").await, "one at an address");
        assert!(is_free(&places, theirs, "a").await, "another workspace has its own share of it");
        let second = take(ours, "b").await;
        assert!(!is_free(&places, ours, "c").await, "two in a workspace");
        let third = take(theirs, "c").await;
        assert!(!is_free(&places, theirs, "d").await, "three on the node");
        drop((first, second, third));
        assert!(is_free(&places, theirs, "d").await);
        assert!(is_free(&places, ours, "a").await, "what was given back is free");
        let known = places.addresses.places.known();
        assert!(known <= 1, "{known} addresses are remembered though nobody is there");
    }

    #[tokio::test]
    async fn slow_tests_give_way_until_there_are_too_many_of_them() {
        let (places, ours) = (Places::new(&bounds()), Uuid::from_u128(1));
        let take = async |host: &str| places.take("ada", ours, &at(host)).await.expect("a place");
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

    /// Whoever is refused is so at once; whoever waits is so as soon as it is known that he waits in vain.
    #[tokio::test]
    async fn nobody_waits_only_to_be_refused() {
        let places = Arc::new(Places::new(&bounds()));
        let take = |caller: &'static str, workspace: u128, host: &'static str| {
            let places = places.clone();
            async move {
                let asked = Instant::now();
                let taken = places.take(caller, Uuid::from_u128(workspace), &at(host)).await;
                (taken, asked.elapsed())
            }
        };
        let refused = |(taken, after): (Result<(Place, AtAddress)>, Duration)| match taken {
            Err(Error::TooManyRequests(what)) => (what, after),
            _ => panic!("not refused after {after:?}"),
        };
        // An address: one place, and four who wait for it.
        let dead = hang(take("ada", 1, "a").await.0.expect("a place"));
        let waiting: Vec<_> = (0..WAITING).map(|_| tokio::spawn(take("ada", 1, "a"))).collect();
        sleep(Duration::from_millis(20)).await;
        let (what, after) = refused(take("ada", 1, "a").await);
        assert!(what.contains("host and port") && after < LOOK, "the line is full: {what} {after:?}");
        for waits in waiting {
            let (what, after) = refused(waits.await.expect("no panic"));
            assert!(
                what.contains("host and port") && (SWIFT / 2..2 * SWIFT).contains(&after),
                "its host hangs: {what} {after:?}"
            );
        }
        let (_, after) = refused(take("ada", 1, "a").await);
        assert!(after < LOOK, "it hangs still: {after:?}");
        dead.abort();
        wait().await;

        // A caller's own share, which leaves the others theirs.
        let own = Places::new(&TestBounds { per_caller: 1, line_per_caller: 2, per_workspace: 9, per_node: 9, ..bounds() });
        let _first = own.take("eve", Uuid::from_u128(1), &at("a")).await.expect("a place");
        let place = at("b");
        let mut second = Box::pin(own.take("eve", Uuid::from_u128(2), &place));
        assert!(timeout_at(Instant::now() + LOOK, &mut second).await.is_err(), "it waits for the first");
        let third = own.take("eve", Uuid::from_u128(3), &at("c")).await;
        assert!(matches!(third, Err(Error::TooManyRequests(what)) if what.contains("token or account")));
        assert!(is_free(&own, Uuid::from_u128(1), "c").await);

        // A workspace whose places slow tests keep; another one has its own.
        let mut dead: Vec<_> = Vec::new();
        for hosts in [["a", "b"], ["c", "d"]] {
            for host in hosts {
                dead.push(hang(take("ada", 1, host).await.0.expect("a place")));
            }
            wait().await;
        }
        let (what, after) = refused(take("bob", 1, "e").await);
        assert!(what.contains("of connections") && after < LOOK, "{what} {after:?}");
        assert!(take("bob", 2, "e").await.0.is_ok());
        dead.iter().for_each(tokio::task::JoinHandle::abort);
    }

    /// Everybody in a full line gets his place, even if each test before takes all of its second.
    #[test]
    fn who_is_let_into_a_line_has_his_place_in_time() {
        assert!(SWIFT * u32::try_from(WAITING).expect("small") < WAIT);
        let TestBounds { per_caller, line_per_caller, .. } = TestBounds::default();
        assert!(line_per_caller <= per_caller * (1 + WAITING));
    }
}
