//! How a service over a socket is tested, whichever protocol it speaks.

use std::{marker::PhantomData, time::Duration};

use dataflow_model::{Cause, Learned, Secret, StepName, TestError, TestStatus};
use futures_util::future::BoxFuture;

use super::link::{Link, Place, Protocol};
use crate::{
    Connector, Dialer, Outcome, Steps, Target, causes,
    connector::{CONNECT_TIMEOUT, Farewell, PASSWORD},
    http::{Access, Proof, secret},
    message::{Addressing, Message, Messenger},
    tls::{Agreed, TlsMode, TlsSettings},
};

const ANY_WILL_DO: &str = "The server takes any other password, too";
const NOT_FOUND_OUT: &str = "Whether the server checks the password could not be found out";
/// How long trying the wrong one may take: servers answer that with a delay, or not at all. Half of the time that is left stays for the rest.
const PROVING: Duration = Duration::from_secs(3);

/// One protocol; a value is one conversation in it, and what that has learnt.
pub(crate) trait Talk: Default + Send + Sync + 'static {
    const PROTOCOL: &'static Protocol;

    /// The port that is usual for such a connection.
    fn port(target: &Target) -> u16;

    /// Whether the server may let in whoever comes and say nothing of it: then a wrong password is tried after the right one.
    fn takes_anybody(_target: &Target) -> bool {
        false
    }

    /// Whether TLS begins within the conversation and not before it.
    fn begins_in_clear(_target: &Target) -> bool {
        false
    }

    /// Whether signing in tells the password to who hears it.
    fn tells_password(target: &Target) -> bool {
        !target.expose_secret(PASSWORD).is_empty()
    }

    /// What can be said of the fields before anybody is asked.
    fn check(_target: &Target) -> Result<(), TestError> {
        Ok(())
    }

    /// Has the other side begin TLS. Nothing that is secret may be said yet, and nothing that was heard counts afterwards.
    fn ask_for_tls(&mut self, _link: &mut Link<'_>) -> impl Future<Output = Result<(), TestError>> + Send {
        async { Ok(()) }
    }

    fn sign_in(&mut self, wire: &mut Link<'_>) -> impl Future<Output = Result<Proof, TestError>> + Send;

    /// Opens what the connection names; `None` if it names nothing.
    fn open(&mut self, _link: &mut Link<'_>) -> impl Future<Output = Result<Option<String>, TestError>> + Send {
        async { Ok(None) }
    }

    /// How messages are addressed that are handed over in this protocol, if any are.
    fn addressing() -> Option<Addressing> {
        None
    }

    /// Hands a message over; what is to be said of it.
    fn send(
        &mut self,
        _wire: &mut Link<'_>,
        _message: &Message,
    ) -> impl Future<Output = Result<Option<String>, TestError>> + Send {
        async { Err(causes::test_broken("this protocol hands no messages over")) }
    }

    /// Reads; gives what the server says that it is.
    fn read(&mut self, wire: &mut Link<'_>) -> impl Future<Output = Result<Option<String>, TestError>> + Send;

    /// What else was found out that whoever connects should see; it is cleaned before it is shown.
    fn found(&self) -> Option<String> {
        None
    }

    /// Finds out what the login may do and the like, once all else is done. It may be ended at any time.
    fn learn(&mut self, _link: &mut Link<'_>, _learned: &mut Learned) -> impl Future<Output = ()> + Send {
        async {}
    }
}

/// The connector of a protocol.
pub(crate) struct Wired<T>(PhantomData<fn() -> T>);

impl<T> Wired<T> {
    pub(crate) const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<T: Talk> Connector for Wired<T> {
    fn name(&self) -> &'static str {
        T::PROTOCOL.name
    }

    fn test<'a, 't: 'a>(
        &'a self,
        target: &'t Target,
        dialer: &'a Dialer,
        steps: &'a mut Steps,
    ) -> BoxFuture<'a, Result<(Outcome, Farewell<'t>), TestError>> {
        Box::pin(async move {
            let (outcome, wire) = test::<T>(target, dialer, steps).await?;
            Ok((outcome, wire.farewell()))
        })
    }

    fn messenger(&self) -> Option<&dyn Messenger> {
        let messenger: &dyn Messenger = self;
        T::addressing().map(|_| messenger)
    }
}

impl<T: Talk> Messenger for Wired<T> {
    fn addressing(&self) -> Addressing {
        T::addressing().unwrap_or(Addressing::Fixed)
    }

    fn send<'a, 't: 'a>(
        &'a self,
        target: &'t Target,
        message: &'t Message,
        dialer: &'a Dialer,
        steps: &'a mut Steps,
    ) -> BoxFuture<'a, Result<(Outcome, Farewell<'t>), TestError>> {
        Box::pin(async move {
            let connected = target.connect_in_time(connect::<T>(target, dialer, steps)).await;
            let (mut talk, mut wire, proof) = connected.map_err(|_| causes::timed_out_by(CONNECT_TIMEOUT, steps.current()))??;
            match proof {
                Proof::Nothing(why) => steps.leave_out(why.to_owned()),
                Proof::Checked | Proof::Unchecked(_) => steps.done(None),
            }
            wire.begin(StepName::Send, steps);
            let detail = talk.send(&mut wire, message).await?;
            steps.done(detail);
            Ok((Outcome { status: TestStatus::Ok, server_version: None }, wire.farewell()))
        })
    }
}

async fn test<'a, T: Talk>(target: &'a Target, dialer: &'a Dialer, steps: &mut Steps) -> Result<(Outcome, Link<'a>), TestError> {
    let connected = target.connect_in_time(connect::<T>(target, dialer, steps)).await;
    let (mut talk, mut wire, mut proof) = connected.map_err(|_| causes::timed_out_by(CONNECT_TIMEOUT, steps.current()))??;
    // Programs that connect try no wrong one: the time that they have for it is not used for that.
    if proof == Proof::Checked && T::takes_anybody(target) {
        proof = prove::<T>(wire.place(), target).await;
    }
    match proof {
        Proof::Checked => steps.done(None),
        Proof::Unchecked(why) => steps.done(why.to_owned()),
        Proof::Nothing(why) => steps.leave_out(why.to_owned()),
    }
    wire.begin(StepName::OpenDatabase, steps);
    match talk.open(&mut wire).await? {
        Some(name) => steps.done(name),
        None => steps.leave_out(None),
    }
    wire.begin(StepName::Read, steps);
    let version = talk.read(&mut wire).await?;
    steps.done(talk.found().map(|found| wire.clean(&found)));
    let _ = tokio::time::timeout(steps.spare(), talk.learn(&mut wire, &mut steps.learned)).await;
    let status = if proof == Proof::Checked { TestStatus::Ok } else { TestStatus::Unproven };
    let server_version = version.map(|version| wire.clean(&version)).filter(|version| !version.is_empty());
    Ok((Outcome { status, server_version }, wire))
}

/// Up to and with the sign-in, which is the step that is left running.
async fn connect<'a, T: Talk>(
    target: &'a Target,
    dialer: &'a Dialer,
    steps: &mut Steps,
) -> Result<(T, Link<'a>, Proof), TestError> {
    T::check(target)?;
    let mut wire = Link::dial(target, dialer, T::PROTOCOL, T::port(target), steps).await?;
    let mut talk = T::default();
    if TlsSettings::of(target).mode() == TlsMode::Disable {
        steps.skip(StepName::Secure, "no TLS".to_owned());
    } else {
        wire.begin(StepName::Secure, steps);
        steps.secured(secure(&mut talk, &mut wire).await?);
    }
    wire.begin(StepName::SignIn, steps);
    let proof = enter(&mut talk, &mut wire).await?;
    Ok((talk, wire, proof))
}

/// Up to where the sign-in begins, on the way to somewhere else.
pub(super) async fn reach<'a, T: Talk>(target: &'a Target, dialer: &'a Dialer) -> Result<Link<'a>, TestError> {
    T::check(target)?;
    let mut wire = Link::dial(target, dialer, T::PROTOCOL, T::port(target), &mut Steps::new(|_| {})).await?;
    if wire.wants_tls() {
        wire.step = StepName::Secure;
        secure(&mut T::default(), &mut wire).await?;
    }
    wire.step = StepName::SignIn;
    Ok(wire)
}

async fn secure<T: Talk>(talk: &mut T, wire: &mut Link<'_>) -> Result<Agreed, TestError> {
    if T::begins_in_clear(wire.target) {
        talk.ask_for_tls(wire).await?;
    }
    let agreed = wire.secure().await?;
    // What was told in the clear may have been anybody's word.
    *talk = T::default();
    Ok(agreed)
}

pub(super) async fn enter<T: Talk>(talk: &mut T, wire: &mut Link<'_>) -> Result<Proof, TestError> {
    if T::tells_password(wire.target) {
        wire.require_unheard()?;
    }
    talk.sign_in(wire).await
}

/// Whether the server refuses a password of which everybody knows that it is wrong. Asked after the right one, so that a server that counts
/// wrong ones counts one.
async fn prove<T: Talk>(place: Place<'_>, target: &Target) -> Proof {
    let limit = PROVING.min(place.dialer.left() / 2);
    let wrong = target.with_password(&Secret::new(secret(target, Access::Wrong).to_owned()));
    let entered = async {
        let mut wire = Link::again(place, &wrong).await?;
        let mut talk = T::default();
        if wire.wants_tls() {
            secure(&mut talk, &mut wire).await?;
        }
        wire.step = StepName::SignIn;
        enter(&mut talk, &mut wire).await
    };
    match tokio::time::timeout(limit, entered).await {
        Ok(Ok(_)) => Proof::Unchecked(ANY_WILL_DO),
        Ok(Err(error)) if error.code == Cause::CredentialsRefused => Proof::Checked,
        Ok(Err(_)) | Err(_) => Proof::Unchecked(NOT_FOUND_OUT),
    }
}
