//! State that belongs to one process and must not be shared with a forked child.

use std::{ops::Deref, process, sync::OnceLock};

/// A value that each process has for itself.
///
/// A child that is forked while another thread holds a lock would wait for that lock for ever, and a socket that both use would
/// mix up their answers. So the value is looked up under the process's id, and a child gets a new one. No lock is taken on the
/// way, and nothing of the parent's is dropped in the child: it may have been half way through a change when it was copied.
#[derive(Debug)]
pub(crate) struct PerProcess<T> {
    own: Owned<T>,
    child: OnceLock<Box<Self>>,
}

impl<T: Default> PerProcess<T> {
    pub(crate) fn new() -> Self {
        Self { own: Owned::new(T::default()), child: OnceLock::new() }
    }

    /// The value of the calling process.
    pub(crate) fn get(&self) -> &T {
        let mut generation = self;
        while !generation.own.is_of_this_process() {
            generation = generation.child.get_or_init(|| Box::new(Self::new()));
        }
        &generation.own
    }
}

/// A value that is dropped only by the process that made it; a forked child forgets it.
#[derive(Debug)]
pub(crate) struct Owned<T> {
    process: u32,
    value: Option<T>,
}

impl<T> Owned<T> {
    pub(crate) fn new(value: T) -> Self {
        Self { process: process::id(), value: Some(value) }
    }

    pub(crate) fn is_of_this_process(&self) -> bool {
        self.process == process::id()
    }
}

impl<T> Deref for Owned<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.value.as_ref().expect("the value is taken only by drop")
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        if !self.is_of_this_process() {
            std::mem::forget(self.value.take());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// As it looks in a child: made by another process.
    fn inherited<T>(value: T) -> Owned<T> {
        Owned { process: process::id().wrapping_add(1), value: Some(value) }
    }

    #[test]
    fn a_child_gets_a_value_of_its_own_even_while_the_parents_lock_is_held() {
        let state = PerProcess { own: inherited(Mutex::new(7)), child: OnceLock::new() };
        let _held = state.own.lock().expect("not poisoned");
        assert_eq!(*state.get().lock().expect("not poisoned"), 0);
        *state.get().lock().expect("not poisoned") = 3;
        assert_eq!(*state.get().lock().expect("not poisoned"), 3);
    }

    #[test]
    fn what_the_parent_made_is_forgotten_and_not_dropped() {
        let (own, parents) = (Arc::new(()), Arc::new(()));
        drop(Owned::new(Arc::clone(&own)));
        drop(inherited(Arc::clone(&parents)));
        assert_eq!((Arc::strong_count(&own), Arc::strong_count(&parents)), (1, 2));
    }
}
