//! Stands between Oriel and the stub, and kills Oriel at a packet.

use std::{
    io::{Read as _, Write as _},
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex},
    thread,
};

use rustix::process::Signal;

use super::signal;

/// Whether the other side has the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    Before,
    After,
}

/// At which packet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cut {
    begins: &'static str,
    nth: usize,
    when: When,
}

impl Cut {
    pub(super) const fn new(begins: &'static str, nth: usize, when: When) -> Self {
        Self { begins, nth, when }
    }
}

/// A proxy. Its threads end with the test.
pub(super) struct Proxy(Arc<Shared>);

struct Shared {
    cut: Cut,
    seen: Mutex<usize>,
    /// Oriel's process.
    victim: Mutex<Option<u32>>,
    named: Condvar,
}

impl Proxy {
    pub(super) fn start(path: &Path, stub: &Path, cut: Cut) -> Self {
        let listener = UnixListener::bind(path).expect("a socket");
        let shared = Arc::new(Shared {
            cut,
            seen: Mutex::new(0),
            victim: Mutex::new(None),
            named: Condvar::new(),
        });
        let (serves, stub): (_, PathBuf) = (Arc::clone(&shared), stub.to_owned());
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let stub = UnixStream::connect(&stub).expect("a stub");
                let pair = |stream: &UnixStream| stream.try_clone().expect("a descriptor");
                let (there, back) = ((pair(&client), pair(&stub)), (stub, client));
                let (first, second) = (Arc::clone(&serves), Arc::clone(&serves));
                thread::spawn(move || first.pump(there));
                thread::spawn(move || second.pump(back));
            }
        });
        Self(shared)
    }

    /// Says whom to kill.
    pub(super) fn victim(&self, process: u32) {
        *self.0.victim.lock().expect("no proxy panics") = Some(process);
        self.0.named.notify_all();
    }
}

impl Shared {
    fn pump(&self, (mut from, mut to): (UnixStream, UnixStream)) {
        let mut bytes = [0; 65536];
        while let Ok(count @ 1..) = from.read(&mut bytes) {
            let piece = &bytes[..count];
            let cut = self.is_cut(piece);
            if cut && self.cut.when == When::Before {
                self.kill();
                break;
            }
            if to.write_all(piece).is_err() {
                break;
            }
            if cut {
                self.kill();
            }
        }
        // Whoever still talks hears that the other one is gone.
        for stream in [from, to] {
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
    }

    /// Whether the packet that everything waits for is in this piece.
    fn is_cut(&self, piece: &[u8]) -> bool {
        let begins = self.cut.begins.as_bytes();
        let found = piece.windows(begins.len()).filter(|part| *part == begins);
        let mut seen = self.seen.lock().expect("no proxy panics");
        let before = *seen;
        *seen += found.count();
        before < self.cut.nth && self.cut.nth <= *seen
    }

    fn kill(&self) {
        let victim = self.victim.lock().expect("no proxy panics");
        let victim = self.named.wait_while(victim, |victim| victim.is_none());
        let victim = victim.expect("no proxy panics").take();
        signal(victim.expect("it was named"), Signal::KILL);
    }
}
