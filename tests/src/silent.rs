//! A host that takes connections and never says a word: what a test of a connection waits for until its deadline.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use crate::scripted::Scripted;

/// How long the end of a connection may stay unseen on a busy machine.
const UNSEEN: Duration = Duration::from_millis(500);

/// A silent host.
#[derive(Debug)]
pub struct Silent {
    server: Scripted,
}

/// Counts the connections that silent hosts hold open.
#[derive(Debug, Clone, Default)]
pub struct OpenConnections(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    now: AtomicUsize,
    most: AtomicUsize,
    ever: AtomicUsize,
}

impl OpenConnections {
    pub fn now(&self) -> usize {
        self.0.now.load(Ordering::SeqCst)
    }

    /// The most that there were at a time.
    pub fn most(&self) -> usize {
        self.0.most.load(Ordering::SeqCst)
    }

    /// All that there ever were.
    pub fn ever(&self) -> usize {
        self.0.ever.load(Ordering::SeqCst)
    }
}

impl Silent {
    /// # Panics
    /// If no port is free.
    pub fn start(open: &OpenConnections) -> Self {
        let open = open.clone();
        let server = Scripted::start(move |peer| {
            let counts = &open.0;
            counts.ever.fetch_add(1, Ordering::SeqCst);
            counts.now.fetch_add(1, Ordering::SeqCst);
            // One that has hung up is counted until its own thread gets to see that.
            thread::sleep(UNSEEN);
            counts.most.fetch_max(counts.now.load(Ordering::SeqCst), Ordering::SeqCst);
            let listened = peer.listen();
            counts.now.fetch_sub(1, Ordering::SeqCst);
            listened
        });
        Self { server }
    }

    pub fn port(&self) -> u16 {
        self.server.port()
    }
}
