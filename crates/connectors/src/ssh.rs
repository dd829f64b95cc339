//! SSH (RFC 4251 to 4254), by russh over a stream of the guarded dialer, and what goes through it.
//!
//! A server is who its host key says. The connection has that key (`extra.host_key`); without one nothing is known of who would hear the password,
//! so that it goes to this machine alone, or where an admin allows it, and nothing is proven.

mod settings;
mod sftp;

use std::{
    borrow::Cow,
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use dataflow_model::{StepName, TestError, TestStatus};
use futures_util::future::BoxFuture;
use russh::{
    AlgorithmKind, Channel, ChannelMsg, ChannelOpenFailure, ChannelStream, Disconnect, MethodKind, MethodSet,
    client::{self, AuthResult, ChannelOpenHandle, Handle, KeyboardInteractiveAuthResponse, Session},
    keys::{Algorithm, EcdsaCurve, HashAlg, PrivateKeyWithHashAlg, PublicKey, PublicKeyOrCertificate},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::{
    Connector, Dialer, Outcome, Steps, Target, causes,
    connector::{CONNECT_TIMEOUT, Farewell, PASSWORD},
    dialer::Duplex,
    http::{First, Kind, Proof, Tap},
    scrub::{Scrubber, printable},
};

const PRODUCT: &str = "SSH";
const PORT: u16 = 22;
/// Most rounds of questions of one sign-in.
const ROUNDS: usize = 5;
/// How long before the deadline a server that says nothing is given up.
const MARGIN: Duration = Duration::from_millis(300);
/// What a server may be known by. RSA is not among them: the library for it is not built in, since its time tells keys (RUSTSEC-2023-0071).
const KINDS: [Algorithm; 4] = [
    Algorithm::Ed25519,
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 },
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP384 },
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP521 },
];
const NOTHING_SENT: &str =
    "No host key is set, so nothing was sent. If the key that the server showed is its own, paste it as the host key";
const SOMEBODYS_YES: &str = "No host key is set, so that anybody may have said yes";

/// The connectors `ssh` and `sftp`.
pub(crate) struct Ssh;
pub(crate) struct Sftp;

impl Connector for Ssh {
    fn name(&self) -> &'static str {
        "ssh"
    }

    fn test<'a, 't: 'a>(
        &'a self,
        target: &'t Target,
        dialer: &'a Dialer,
        steps: &'a mut Steps,
    ) -> BoxFuture<'a, Result<(Outcome, Farewell<'t>), TestError>> {
        Box::pin(test(What::Session, target, dialer, steps))
    }
}

impl Connector for Sftp {
    fn name(&self) -> &'static str {
        "sftp"
    }

    fn test<'a, 't: 'a>(
        &'a self,
        target: &'t Target,
        dialer: &'a Dialer,
        steps: &'a mut Steps,
    ) -> BoxFuture<'a, Result<(Outcome, Farewell<'t>), TestError>> {
        Box::pin(test(What::Files, target, dialer, steps))
    }
}

#[derive(Debug, Clone, Copy)]
enum What {
    Session,
    Files,
}

async fn test<'t>(
    what: What,
    target: &'t Target,
    dialer: &Dialer,
    steps: &mut Steps,
) -> Result<(Outcome, Farewell<'t>), TestError> {
    let scrubber = Scrubber::of(target);
    let entered = target.connect_in_time(enter(target, dialer, steps)).await;
    let (client, proof) = entered.map_err(|_| causes::timed_out_by(CONNECT_TIMEOUT, steps.current()))??;
    let server_version = Some(scrubber.clean(&client.software)).filter(|software| !software.is_empty());
    if proof.is_some() {
        steps.skip(StepName::OpenDatabase, None);
        steps.begin(StepName::Read);
        let read = client.open(what).await?;
        steps.done(read.map(|path| scrubber.clean(&path)));
    }
    // Of whom it is not known who he is, a “yes” proves nothing.
    let is_proven = client.is_known && proof == Some(Proof::Checked);
    let status = if is_proven { TestStatus::Ok } else { TestStatus::Unproven };
    Ok((Outcome { status, server_version }, Box::pin(client.leave())))
}

/// As far as the connection allows: signed in, or up to the key that an unknown server shows.
async fn enter(target: &Target, dialer: &Dialer, steps: &mut Steps) -> Result<(Client, Option<Proof>), TestError> {
    let mut client = Client::connect(target, dialer, steps).await?;
    steps.begin(StepName::SignIn);
    if !client.may_be_told(target) {
        steps.leave_out(NOTHING_SENT.to_owned());
        return Ok((client, None));
    }
    let proof = client.sign_in(target).await?;
    match proof {
        Proof::Unchecked(why) | Proof::Nothing(why) => steps.done(why.to_owned()),
        Proof::Checked if client.is_known => steps.done(None),
        Proof::Checked => steps.done(SOMEBODYS_YES.to_owned()),
    }
    Ok((client, Some(proof)))
}

/// A server that a connection goes through, called `name`: signed in to, if it is known who it is.
pub(crate) async fn enter_as_hop(name: &str, hop: &Target, dialer: &Dialer) -> Result<Client, TestError> {
    if settings::host_key(hop)?.is_none() {
        return Err(causes::hop_unknown(name));
    }
    let mut client = Client::connect(hop, dialer, &mut Steps::new(|_| {})).await?;
    client.sign_in(hop).await?;
    Ok(client)
}

/// A stream that goes through a client, which is let go of with it.
struct Through {
    stream: ChannelStream<client::Msg>,
    _client: Client,
}

impl AsyncRead for Through {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Through {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// A connection to a server whose host key was held against the pinned one, if there is one. What goes through it is up to who holds it.
pub(crate) struct Client {
    handle: Handle<Watch>,
    /// What the server calls itself: `OpenSSH_9.2p1`.
    software: String,
    /// Whether its host key is the pinned one.
    is_known: bool,
}

/// What is learnt while keys are exchanged.
#[derive(Debug, Default)]
struct Seen {
    key: Option<PublicKey>,
    software: String,
}

/// Looks at the host key, once the server has shown that it has the private half.
pub(crate) struct Watch {
    pinned: Option<PublicKey>,
    seen: Arc<Mutex<Seen>>,
}

impl Watch {
    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl client::Handler for Watch {
    type Error = russh::Error;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, Self::Error> {
        // Certificates are not asked for.
        let PublicKeyOrCertificate::PublicKey { key, .. } = shown else { return Ok(false) };
        self.seen().key = Some(key.clone());
        Ok(self.pinned.as_ref().is_none_or(|pinned| pinned.key_data() == key.key_data()))
    }

    // A server opens nothing here (RFC 4254, sections 6.3 and 7.2): what is let go of is refused.

    async fn server_channel_open_forwarded_tcpip(
        &mut self,
        _channel: Channel<client::Msg>,
        _connected_address: &str,
        _connected_port: u32,
        _originator_address: &str,
        _originator_port: u32,
        _reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        Ok(())
    }

    async fn server_channel_open_forwarded_streamlocal(
        &mut self,
        _channel: Channel<client::Msg>,
        _socket_path: &str,
        _reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        Ok(())
    }

    async fn server_channel_open_agent_forward(
        &mut self,
        _channel: Channel<client::Msg>,
        _reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        Ok(())
    }

    async fn server_channel_open_session(
        &mut self,
        _channel: Channel<client::Msg>,
        _reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        Ok(())
    }

    async fn server_channel_open_direct_tcpip(
        &mut self,
        _channel: Channel<client::Msg>,
        _host_to_connect: &str,
        _port_to_connect: u32,
        _originator_address: &str,
        _originator_port: u32,
        _reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        Ok(())
    }

    async fn server_channel_open_direct_streamlocal(
        &mut self,
        _channel: Channel<client::Msg>,
        _socket_path: &str,
        _reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        Ok(())
    }

    async fn server_channel_open_x11(
        &mut self,
        _channel: Channel<client::Msg>,
        _originator_address: &str,
        _originator_port: u32,
        _reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        Ok(())
    }

    async fn kex_done(
        &mut self,
        _secret: Option<&[u8]>,
        _names: &russh::Names,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        let id = String::from_utf8_lossy(session.remote_sshid()).into_owned();
        self.seen().software = id.trim_start_matches("SSH-2.0-").trim().replace('_', " ");
        Ok(())
    }
}

impl Client {
    /// A stream to somewhere else through it.
    pub(crate) async fn lead_to(self, host: &str, port: u16, name: &str) -> Result<Box<dyn Duplex>, TestError> {
        // RFC 4254, section 7.2. Where it comes from is not known here, and nobody's business there.
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let opened = self.handle.channel_open_direct_tcpip(bare, u32::from(port), "127.0.0.1", 0).await;
        let channel = opened.map_err(|error| match error {
            russh::Error::ChannelOpenFailure(ChannelOpenFailure::ConnectFailed) => causes::unreachable_beyond(host, name),
            russh::Error::ChannelOpenFailure(ChannelOpenFailure::ResourceShortage) => causes::hop_out_of_room(name),
            russh::Error::ChannelOpenFailure(_) => causes::prohibited_by_hop(host, port, name),
            error => causes::of_the_hop(name, fault(&error, StepName::Reach)),
        })?;
        Ok(Box::new(Through { stream: channel.into_stream(), _client: self }))
    }

    /// The steps up to `secure`: dialled, keys exchanged, and the host key looked at.
    pub(crate) async fn connect(target: &Target, dialer: &Dialer, steps: &mut Steps) -> Result<Self, TestError> {
        let pinned = settings::host_key(target)?;
        let stream = dialer.dial(target.text("host"), target.port(PORT), steps).await?;
        steps.begin(StepName::Secure);
        let (first, seen) = (First::default(), Arc::<Mutex<Seen>>::default());
        let watch = Watch { pinned: pinned.clone(), seen: Arc::clone(&seen) };
        let mut config = client::Config::default();
        // The server has several keys: it shows one of the kind that it is asked for first.
        config.preferred.key = match &pinned {
            Some(pinned) => Cow::Owned(vec![pinned.algorithm()]),
            None => Cow::Borrowed(&KINDS),
        };
        let connecting = client::connect_stream(Arc::new(config), Tap::new(stream, first.clone()), watch);
        let connected = tokio::time::timeout(dialer.left().saturating_sub(MARGIN), connecting).await;
        let connected = connected.map_err(|_| causes::ssh_silent())?;
        let seen = std::mem::take(&mut *seen.lock().unwrap_or_else(PoisonError::into_inner));
        let handle = match (connected, &seen.key) {
            (Ok(handle), _) => handle,
            (Err(russh::Error::UnknownKey), Some(shown)) => return Err(causes::host_key_other(&fingerprint(shown))),
            (Err(error), _) => return Err(not_secured(&error, &first, pinned.is_some())),
        };
        let shown = seen.key.as_ref().ok_or_else(|| causes::not_that_database(PRODUCT))?;
        // What somebody may paste, where nothing is pinned.
        let line = || shown.to_openssh().map(|line| printable(&line)).unwrap_or_default();
        steps.done(if pinned.is_some() { fingerprint(shown) } else { line() });
        Ok(Self { handle, software: printable(&seen.software), is_known: pinned.is_some() })
    }

    /// Whether the password may be told to whoever it is.
    pub(crate) fn may_be_told(&self, target: &Target) -> bool {
        target.is_unheard(self.is_known) || target.text("extra.insecure_auth") == "password"
    }

    /// Signs in with the private key if there is one, else with the password.
    pub(crate) async fn sign_in(&mut self, target: &Target) -> Result<Proof, TestError> {
        let username = target.text("username");
        let key = settings::private_key(target)?;
        let methods = match self.handle.authenticate_none(username).await.map_err(|error| fault(&error, StepName::SignIn))? {
            AuthResult::Success => return Ok(Proof::Unchecked("The server lets this user in without a sign-in")),
            AuthResult::Failure { remaining_methods, .. } => remaining_methods,
        };
        let offered: Vec<&'static str> = methods.iter().map(Into::into).collect();
        let takes = |method: MethodKind| methods.contains(&method);
        let password = target.expose_secret(PASSWORD);
        let entered = match key {
            Some(_) if !takes(MethodKind::PublicKey) => return Err(causes::method_not_taken("key", &offered)),
            Some(key) => {
                let key = PrivateKeyWithHashAlg::new(Arc::new(key), None);
                self.handle.authenticate_publickey(username, key).await
            }
            None if password.is_empty() => return Err(causes::password_missing(username)),
            None if takes(MethodKind::Password) => self.handle.authenticate_password(username, password).await,
            None if takes(MethodKind::KeyboardInteractive) => self.answer_questions(username, password).await,
            None => return Err(causes::method_not_taken("password", &offered)),
        };
        match entered.map_err(|error| fault(&error, StepName::SignIn))? {
            AuthResult::Success => Ok(Proof::Checked),
            AuthResult::Failure { partial_success: true, .. } => {
                Err(causes::authentication_unsupported("a second factor beside the first"))
            }
            AuthResult::Failure { .. } if target.expose_secret(settings::PRIVATE_KEY).is_empty() => {
                Err(causes::credentials_refused(username))
            }
            AuthResult::Failure { .. } => Err(causes::user_key_refused(username)),
        }
    }

    /// RFC 4256. What is asked for once and unseen is the password; nothing else is answered.
    async fn answer_questions(&mut self, username: &str, password: &str) -> Result<AuthResult, russh::Error> {
        let mut said = self.handle.authenticate_keyboard_interactive_start(username, None::<String>).await?;
        let mut answered = None;
        for _ in 0..ROUNDS {
            let prompts = match said {
                KeyboardInteractiveAuthResponse::Success => return Ok(AuthResult::Success),
                KeyboardInteractiveAuthResponse::Failure { remaining_methods, partial_success } => {
                    return Ok(AuthResult::Failure { remaining_methods, partial_success });
                }
                KeyboardInteractiveAuthResponse::InfoRequest { prompts, .. } => prompts,
            };
            let answers = match (prompts.as_slice(), &answered) {
                ([], _) => Vec::new(),
                ([one], None) if !one.echo => {
                    answered = Some(one.prompt.clone());
                    vec![password.to_owned()]
                }
                // Asked for the same again: it was wrong.
                ([one], Some(before)) if one.prompt == *before => {
                    return Ok(AuthResult::Failure { remaining_methods: MethodSet::empty(), partial_success: false });
                }
                _ => return Err(russh::Error::NoAuthMethod),
            };
            said = self.handle.authenticate_keyboard_interactive_respond(answers).await?;
        }
        Err(russh::Error::NoAuthMethod)
    }

    /// Opens a session, in which nothing is run; of the type for files, asks it where it is.
    async fn open(&self, what: What) -> Result<Option<String>, TestError> {
        let opened = self.handle.channel_open_session().await;
        let mut channel = opened.map_err(|error| match error {
            russh::Error::ChannelOpenFailure(_) => causes::read_refused("it opens no session for this user"),
            error => fault(&error, StepName::Read),
        })?;
        if matches!(what, What::Session) {
            let _ = channel.close().await;
            return Ok(None);
        }
        channel.request_subsystem(true, "sftp").await.map_err(|error| fault(&error, StepName::Read))?;
        loop {
            match channel.wait().await {
                Some(ChannelMsg::Success) => break,
                Some(ChannelMsg::WindowAdjusted { .. }) => {}
                Some(ChannelMsg::Failure) => return Err(causes::read_refused("it has no SFTP for this user")),
                _ => return Err(causes::connection_lost(StepName::Read)),
            }
        }
        sftp::look(&mut channel.into_stream()).await.map(Some)
    }

    async fn leave(self) {
        let _ = self.handle.disconnect(Disconnect::ByApplication, "", "en").await;
    }
}

/// `SHA256:…`, as OpenSSH shows it.
fn fingerprint(key: &PublicKey) -> String {
    format!("{} ({})", key.fingerprint(HashAlg::Sha256), key.algorithm())
}

fn not_secured(error: &russh::Error, first: &First, is_pinned: bool) -> TestError {
    let words = first.bytes();
    if !words.is_empty() && !words.starts_with(b"SSH-") {
        return match Kind::of(&words) {
            Kind::Http => causes::another_service(PRODUCT, "a web server"),
            Kind::Named(what) => causes::another_service(PRODUCT, what),
            _ => causes::not_that_database(PRODUCT),
        };
    }
    match error {
        russh::Error::NoCommonAlgo { kind: AlgorithmKind::Key, .. } if is_pinned => causes::host_key_of_another_kind(),
        russh::Error::NoCommonAlgo { kind: AlgorithmKind::Key, .. } => causes::host_keys_of_no_known_kind(),
        russh::Error::NoCommonAlgo { .. } | russh::Error::Version => causes::protocol_too_old(PRODUCT),
        error => fault(error, StepName::Secure),
    }
}

fn fault(error: &russh::Error, step: StepName) -> TestError {
    match error {
        russh::Error::IO(_)
        | russh::Error::Disconnect
        | russh::Error::HUP
        | russh::Error::SendError
        | russh::Error::RecvError
        | russh::Error::Join(_) => causes::connection_lost(step),
        russh::Error::NoAuthMethod => causes::authentication_unsupported("more questions than one"),
        _ => causes::unexpected_answer(PRODUCT, step),
    }
}
