//! A line to a server on this machine that can be cut: it stays open, and nothing comes through, as when a network parts.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

/// A running forwarder, whole at first.
#[derive(Debug)]
pub struct Cable {
    address: SocketAddr,
    cut: Arc<AtomicBool>,
    taken: Arc<AtomicUsize>,
}

impl Cable {
    /// Forwards a free port of loopback's to another one.
    ///
    /// # Panics
    /// If there is no free port.
    pub fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let cut = Arc::new(AtomicBool::new(false));
        let taken = Arc::new(AtomicUsize::new(0));
        let (state, count) = (cut.clone(), taken.clone());
        thread::spawn(move || {
            for near in listener.incoming().flatten() {
                count.fetch_add(1, Ordering::SeqCst);
                let state = state.clone();
                thread::spawn(move || forward(&near, port, &state));
            }
        });
        Self { address, cut, taken }
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// How many connections it has taken, cut or whole.
    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::SeqCst)
    }

    /// From now on nothing comes through, in either direction, on old connections and on new ones.
    pub fn cut(&self) {
        self.cut.store(true, Ordering::SeqCst);
    }

    /// Everything comes through again, also what was sent meanwhile.
    pub fn mend(&self) {
        self.cut.store(false, Ordering::SeqCst);
    }
}

#[expect(clippy::disallowed_methods, reason = "dials a server that this test started")]
fn forward(near: &TcpStream, port: u16, cut: &AtomicBool) {
    wait_until_whole(cut);
    let Ok(far) = TcpStream::connect(("127.0.0.1", port)) else { return };
    thread::scope(|both| {
        both.spawn(|| carry(near, &far, cut));
        carry(&far, near, cut);
    });
}

fn carry(mut from: &TcpStream, mut to: &TcpStream, cut: &AtomicBool) {
    let mut bytes = [0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        wait_until_whole(cut);
        if to.write_all(&bytes[..count]).is_err() {
            break;
        }
    }
    wait_until_whole(cut);
    let _ = to.shutdown(std::net::Shutdown::Both);
    let _ = from.shutdown(std::net::Shutdown::Both);
}

fn wait_until_whole(cut: &AtomicBool) {
    while cut.load(Ordering::SeqCst) {
        thread::sleep(Duration::from_millis(10));
    }
}
