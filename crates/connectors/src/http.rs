//! HTTP/1.1 (RFC 9112) as a client, and how a service that is asked over it is tested.
//!
//! What belongs here is true of each such service: one connection to a checked address, bounds on all that comes back, the sign-in
//! that goes along with a request, and the proof that somebody looks at it. What one service says, and how, stands in
//! [`crate::services`].
//!
//! Nothing is followed: a redirect would take the sign-in along. No proxy of the environment is used; a test has no environment.

mod answer;
mod client;
mod credentials;
mod explain;
#[cfg(test)]
mod fuzz;
mod line;
mod place;
mod proof;
mod service;
mod tap;

pub(crate) use answer::Answer;
pub(crate) use client::{Client, Request, authority};
pub(crate) use credentials::{Access, Credentials, WRONG, secret};
pub(crate) use explain::{Asked, explain};
pub(crate) use place::{Place, at, form, joined};
pub(crate) use proof::{Judged, Proof, prove};
pub(crate) use service::{Entered, Http, Service};
pub(crate) use tap::{First, Kind, Tap};
