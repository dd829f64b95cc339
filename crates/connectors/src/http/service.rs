//! The shape of a service that is asked over HTTP, and the one way in which all of them are tested.

use dataflow_model::{StepName, TestError, TestStatus};
use futures_util::future::BoxFuture;

use super::{
    Access, Answer, Asked, Client, Credentials, Judged, Proof, Request, explain,
    place::check_paths,
    proof::{NOTHING_SET, prove},
    secret,
};
use crate::{
    Connector, Dialer, Outcome, Steps, Target, causes,
    connector::{CONNECT_TIMEOUT, Farewell, PASSWORD},
    message::{Addressing, Message, Messenger},
};

/// Signed in, as far as that goes.
#[derive(Debug)]
pub(crate) struct Entered {
    /// What goes along from now on.
    pub(crate) credentials: Credentials,
    pub(crate) proof: Proof,
    pub(crate) version: Option<String>,
}

/// One service: what is asked, and which answers are its own.
pub(crate) trait Service: Sync {
    /// As catalogue entries have it in `connector`.
    fn name(&self) -> &'static str;

    /// As people call it.
    fn product(&self) -> &'static str;

    /// Whether the connection has something to sign in with.
    fn has_sign_in(&self, target: &Target) -> bool {
        !target.expose_secret(PASSWORD).is_empty()
    }

    /// Whether it signs in by name and password; otherwise by a token.
    fn is_by_name(&self, target: &Target) -> bool {
        !target.text("username").is_empty()
    }

    /// Whether it is known that it looks at the password wherever it asks for one.
    fn checks_passwords(&self) -> bool {
        true
    }

    /// The scheme under which a token goes along, where it is one.
    fn scheme(&self) -> &'static str {
        "Bearer"
    }

    /// How the sign-in goes along: by name as Basic, else as a token.
    fn credentials(&self, target: &Target, access: Access) -> Result<Credentials, TestError> {
        match secret(target, access) {
            "" => Ok(Credentials::default()),
            password if self.is_by_name(target) => Credentials::basic(target.text("username"), password),
            token => Credentials::token(self.scheme(), token),
        }
    }

    /// The request with its sign-in, where that depends on what is asked: a signature.
    fn signed(&self, target: &Target, request: Request, access: Access) -> Result<Request, TestError> {
        Ok(request.with(self.credentials(target, access)?))
    }

    /// Where the service is if the connection names no host, with all else as the connection has it; `None` if it has to name one.
    fn place(&self, _target: &Target) -> Result<Option<Target>, TestError> {
        Ok(None)
    }

    /// The request whose answer tells whether the sign-in was taken. It changes nothing.
    fn question(&self, target: &Target) -> Result<Request, TestError>;

    /// Whether it is the answer of this service to what is asked in `step`.
    fn accepts(&self, step: StepName, answer: &Answer) -> bool;

    /// Whether an answer that is an error is one of this service: only then is told what it says.
    fn is_own(&self, _answer: &Answer) -> bool {
        false
    }

    /// What only this service says in this way.
    fn own_meaning(&self, _answer: &Answer, _asked: &Asked<'_>) -> Option<Judged> {
        None
    }

    /// The server's version, if the answer has it.
    fn version(&self, _answer: &Answer) -> Option<String> {
        None
    }

    /// Signs in, and finds out whether anybody looks at the password.
    fn enter(&self, client: &mut Client<'_>) -> impl Future<Output = Result<Entered, TestError>> + Send {
        async { self.enter_by(client, &|target| self.question(target)).await }
    }

    /// The same by another question.
    fn enter_by(
        &self,
        client: &mut Client<'_>,
        question: &(dyn Fn(&Target) -> Result<Request, TestError> + Sync),
    ) -> impl Future<Output = Result<Entered, TestError>> + Send {
        async move {
            let target = client.target;
            let ask = |access| self.signed(target, question(target)?, access);
            let (answer, proof) = if self.has_sign_in(target) {
                prove(client, self.checks_passwords(), &ask, &|client, answer, _| self.judge(client, answer)).await?
            } else {
                (self.asked(client, &ask(Access::Given)?).await?, Proof::Nothing(NOTHING_SET))
            };
            Ok(Entered { credentials: self.credentials(target, Access::Given)?, proof, version: self.version(&answer) })
        }
    }

    /// Opens what the connection names; its name, or `None` if it names nothing that is opened.
    fn open(
        &self,
        _client: &mut Client<'_>,
        _entered: &Entered,
    ) -> impl Future<Output = Result<Option<String>, TestError>> + Send {
        async { Ok(None) }
    }

    /// The harmless read; the version, if it is told there.
    fn read(&self, client: &mut Client<'_>, entered: &Entered) -> impl Future<Output = Result<Option<String>, TestError>> + Send {
        async {
            let request = self.question(client.target)?.with(entered.credentials.clone());
            let answer = self.asked(client, &request).await?;
            Ok(self.version(&answer))
        }
    }

    /// How messages are addressed that it takes, if it takes any.
    fn addressing(&self) -> Option<Addressing> {
        None
    }

    /// The request that hands a message over.
    fn handing(&self, _target: &Target, _message: &Message) -> Result<Request, TestError> {
        Err(causes::test_broken("this service takes no messages"))
    }

    /// Whether there is anything that can be read without a change.
    fn can_be_read(&self) -> bool {
        true
    }

    /// Gives back what the sign-in has made.
    fn leave(&self, _client: &mut Client<'_>, _entered: &Entered) -> impl Future<Output = ()> + Send {
        async {}
    }

    /// What the answer to what was asked last means.
    fn judge(&self, client: &Client<'_>, answer: &Answer) -> Judged {
        let asked = Asked {
            target: client.target,
            scrubber: &client.scrubber,
            product: self.product(),
            step: client.step,
            path: client.asked_path(),
            has_sign_in: self.has_sign_in(client.target),
            is_by_name: self.is_by_name(client.target),
            scheme: self.scheme(),
            is_own: self.is_own(answer),
        };
        self.meaning(answer, &asked)
    }

    fn meaning(&self, answer: &Answer, asked: &Asked<'_>) -> Judged {
        match self.own_meaning(answer, asked) {
            Some(judged) => judged,
            None if answer.status.is_success() && self.accepts(asked.step, answer) => Judged::LetIn,
            None => explain(answer, asked),
        }
    }

    /// Asks, and holds the answer against what it has to be.
    fn asked(&self, client: &mut Client<'_>, request: &Request) -> impl Future<Output = Result<Answer, TestError>> + Send {
        async {
            let answer = client.ask(request).await?;
            match self.judge(client, &answer) {
                Judged::LetIn => Ok(answer),
                Judged::Refused(error) | Judged::Failed(error) => Err(error),
            }
        }
    }
}

/// The connector of a service.
pub(crate) struct Http<S>(pub(crate) S);

impl<S: Service> Connector for Http<S> {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn test<'a, 't: 'a>(
        &'a self,
        target: &'t Target,
        dialer: &'a Dialer,
        steps: &'a mut Steps,
    ) -> BoxFuture<'a, Result<(Outcome, Farewell<'t>), TestError>> {
        Box::pin(async move {
            let outcome = test(&self.0, target, dialer, steps).await?;
            let farewell: Farewell<'t> = Box::pin(async {});
            Ok((outcome, farewell))
        })
    }

    fn messenger(&self) -> Option<&dyn Messenger> {
        let messenger: &dyn Messenger = self;
        self.0.addressing().map(|_| messenger)
    }
}

impl<S: Service> Messenger for Http<S> {
    fn addressing(&self) -> Addressing {
        self.0.addressing().unwrap_or(Addressing::Fixed)
    }

    fn send<'a, 't: 'a>(
        &'a self,
        target: &'t Target,
        message: &'t Message,
        dialer: &'a Dialer,
        steps: &'a mut Steps,
    ) -> BoxFuture<'a, Result<(Outcome, Farewell<'t>), TestError>> {
        Box::pin(async move {
            send(&self.0, (target, message), dialer, steps).await?;
            let farewell: Farewell<'t> = Box::pin(async {});
            Ok((Outcome { status: TestStatus::Ok, server_version: None }, farewell))
        })
    }
}

/// The sign-in goes along with the message, so that it is no step of its own.
async fn send<S: Service>(
    service: &S,
    (target, message): (&Target, &Message),
    dialer: &Dialer,
    steps: &mut Steps,
) -> Result<(), TestError> {
    check_paths(target)?;
    let place = service.place(target)?;
    let target = place.as_ref().unwrap_or(target);
    let connected = target.connect_in_time(Client::connect(target, dialer, service.product(), steps)).await;
    let mut client = connected.map_err(|_| causes::timed_out_by(CONNECT_TIMEOUT, steps.current()))??;
    steps.skip(StepName::SignIn, "It goes along with the message".to_owned());
    client.begin(StepName::Send, steps);
    if !target.expose_secret(PASSWORD).is_empty() {
        client.require_unheard()?;
    }
    let request = service.handing(target, message)?;
    service.asked(&mut client, &request).await?;
    steps.done(None);
    Ok(())
}

async fn test<S: Service>(service: &S, target: &Target, dialer: &Dialer, steps: &mut Steps) -> Result<Outcome, TestError> {
    check_paths(target)?;
    let place = service.place(target)?;
    let target = place.as_ref().unwrap_or(target);
    let connected = target.connect_in_time(connect(service, target, dialer, steps)).await;
    let (mut client, entered) = connected.map_err(|_| causes::timed_out_by(CONNECT_TIMEOUT, steps.current()))??;
    let read = open_and_read(service, &mut client, &entered, steps).await;
    service.leave(&mut client, &entered).await;
    let version = read?;
    let status = if entered.proof == Proof::Checked { TestStatus::Ok } else { TestStatus::Unproven };
    let version = version.or(entered.version);
    let server_version = version.map(|version| client.scrubber.clean(&format!("{} {version}", service.product())));
    Ok(Outcome { status, server_version })
}

async fn open_and_read<S: Service>(
    service: &S,
    client: &mut Client<'_>,
    entered: &Entered,
    steps: &mut Steps,
) -> Result<Option<String>, TestError> {
    client.begin(StepName::OpenDatabase, steps);
    match service.open(client, entered).await? {
        Some(name) => steps.done(name),
        None => steps.leave_out(None),
    }
    if !service.can_be_read() {
        return Ok(None);
    }
    client.begin(StepName::Read, steps);
    let version = service.read(client, entered).await?;
    steps.done(None);
    Ok(version)
}

/// Up to and with the sign-in.
async fn connect<'a, S: Service>(
    service: &S,
    target: &'a Target,
    dialer: &'a Dialer,
    steps: &mut Steps,
) -> Result<(Client<'a>, Entered), TestError> {
    let mut client = Client::connect(target, dialer, service.product(), steps).await?;
    client.begin(StepName::SignIn, steps);
    if service.has_sign_in(target) {
        client.require_unheard()?;
    }
    let entered = service.enter(&mut client).await?;
    match entered.proof {
        Proof::Checked => steps.done(None),
        Proof::Unchecked(why) => steps.done(why.to_owned()),
        Proof::Nothing(why) => steps.leave_out(why.to_owned()),
    }
    Ok((client, entered))
}
