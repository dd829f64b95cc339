//! Runs tests of connections: how many at a time, with what policy.
