//! A server that does exactly what a test tells it, for what no real server can be made to do. It keeps every byte it is sent.

use std::{
    io::{self, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use rustls::{
    RootCertStore, ServerConfig, ServerConnection, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
};

use crate::tls::Identity;

/// No script waits longer for its client.
const LONGEST: Duration = Duration::from_secs(30);

/// A listening script. It ends with the test's process; a connection that is closed ends its script.
#[derive(Debug)]
pub struct Scripted {
    port: u16,
    heard: Arc<Mutex<Vec<u8>>>,
}

impl Scripted {
    /// Plays `script` with every client, one after the other's beginning.
    ///
    /// # Panics
    /// If no port is free.
    pub fn start(script: impl Fn(&mut Peer) -> io::Result<()> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let port = listener.local_addr().expect("it is bound").port();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let (all_heard, script) = (Arc::clone(&heard), Arc::new(script));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (heard, script) = (Arc::clone(&all_heard), Arc::clone(&script));
                thread::spawn(move || -> io::Result<()> {
                    stream.set_read_timeout(Some(LONGEST))?;
                    script(&mut Peer { stream: Box::new(stream.try_clone()?), plain: stream, heard })
                });
            }
        });
        Self { port, heard }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Every byte that any client has sent; inside TLS as it was before encryption.
    ///
    /// # Panics
    /// If a script has panicked.
    pub fn heard(&self) -> Vec<u8> {
        self.heard.lock().expect("not poisoned").clone()
    }

    /// Whether `text` was among the bytes.
    pub fn has_heard(&self, text: &str) -> bool {
        self.heard().windows(text.len()).any(|window| window == text.as_bytes())
    }
}

trait Stream: Read + Write + Send {}
impl<S: Read + Write + Send> Stream for S {}

/// One client, as its script sees it.
pub struct Peer {
    stream: Box<dyn Stream>,
    plain: TcpStream,
    heard: Arc<Mutex<Vec<u8>>>,
}

impl Peer {
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)?;
        self.stream.flush()
    }

    /// The next `N` bytes.
    pub fn receive<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    /// The next bytes, as many as `bytes` has room for.
    pub fn fill(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        self.stream.read_exact(bytes)?;
        self.keep(bytes);
        Ok(())
    }

    /// Listens until the client closes.
    pub fn listen(&mut self) -> io::Result<()> {
        let mut buffer = [0; 4096];
        loop {
            match self.stream.read(&mut buffer)? {
                0 => return Ok(()),
                count => self.keep(buffer.get(..count).unwrap_or_default()),
            }
        }
    }

    /// Goes on inside TLS, as the server that `identity` is for.
    ///
    /// # Panics
    /// If the identity cannot be used.
    pub fn begin_tls(&mut self, identity: &Identity) -> io::Result<()> {
        let plain = self.plain.try_clone()?;
        self.begin(&config(identity, WebPkiClientVerifier::no_client_auth(), rustls::DEFAULT_VERSIONS), plain).map(drop)
    }

    /// The same, and asks for a certificate of this authority: the one that is shown, in DER.
    ///
    /// # Panics
    /// If the identity or the authority cannot be used.
    pub fn begin_tls_asking(&mut self, identity: &Identity, authority: &str) -> io::Result<Option<Vec<u8>>> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(authority.as_bytes()).expect("made here")).expect("an authority");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        let verifier = verifier.allow_unauthenticated().build().expect("an authority");
        let plain = self.plain.try_clone()?;
        self.begin(&config(identity, verifier, rustls::DEFAULT_VERSIONS), plain).map(|agreed| agreed.certificate)
    }

    /// The same for who names this protocol (RFC 7301). Whoever names none is let go.
    ///
    /// # Panics
    /// If the identity cannot be used.
    pub fn begin_tls_of(&mut self, identity: &Identity, protocol: &[u8]) -> io::Result<()> {
        let mut config = config(identity, WebPkiClientVerifier::no_client_auth(), rustls::DEFAULT_VERSIONS);
        config.alpn_protocols = vec![protocol.to_vec()];
        let plain = self.plain.try_clone()?;
        let agreed = self.begin(&config, plain)?;
        if agreed.protocol.as_deref() == Some(protocol) { Ok(()) } else { Err(io::ErrorKind::InvalidData.into()) }
    }

    /// The same by TLS 1.2, whose bytes go through what `enclose` makes of the stream.
    ///
    /// # Panics
    /// If the identity cannot be used.
    pub fn begin_tls_within<S: Read + Write + Send + 'static>(
        &mut self,
        identity: &Identity,
        enclose: impl FnOnce(TcpStream) -> S,
    ) -> io::Result<()> {
        let enclosed = enclose(self.plain.try_clone()?);
        self.begin(&config(identity, WebPkiClientVerifier::no_client_auth(), &[&rustls::version::TLS12]), enclosed).map(drop)
    }

    fn begin<S: Read + Write + Send + 'static>(&mut self, config: &ServerConfig, mut stream: S) -> io::Result<Agreed> {
        let mut session = ServerConnection::new(Arc::new(config.clone())).expect("a sound configuration");
        while session.is_handshaking() {
            session.complete_io(&mut stream)?;
        }
        let certificate = session.peer_certificates().and_then(|chain| Some(chain.first()?.to_vec()));
        let protocol = session.alpn_protocol().map(<[u8]>::to_vec);
        self.stream = Box::new(StreamOwned::new(session, stream));
        Ok(Agreed { certificate, protocol })
    }

    fn keep(&self, bytes: &[u8]) {
        self.heard.lock().expect("not poisoned").extend_from_slice(bytes);
    }
}

/// What a client has shown and asked for.
struct Agreed {
    certificate: Option<Vec<u8>>,
    protocol: Option<Vec<u8>>,
}

fn config(
    identity: &Identity,
    clients: Arc<dyn ClientCertVerifier>,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> ServerConfig {
    let chain = CertificateDer::pem_slice_iter(identity.certificates.as_bytes()).collect::<Result<_, _>>().expect("made here");
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).expect("made here");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .expect("the provider has them")
        .with_client_cert_verifier(clients)
        .with_single_cert(chain, key)
        .expect("key and certificate belong together")
}
