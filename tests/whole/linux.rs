//! Debian's kernel on the kvm machine, as far as the KVM here gets. Takes up to two minutes, so it
//! runs only where `ORIEL_GUESTS` names the folder of the guests: `cargo xtask guests --test`.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};

use oriel_engine::Engine;
use oriel_machine::{
    GuestMemory, Outlet,
    kvm::{Config, Kernel},
};
use oriel_tests::host;

use crate::kvm::kvm;

/// What a kernel says first.
const BANNER: &str = "Linux version ";
/// How long it may take; nothing but failure is decided by it. An emulated kernel takes some 25 s.
const LIMIT: Duration = Duration::from_secs(120);
/// Speaks early, and without what an emulating KVM lacks.
const COMMAND_LINE: &str = "console=ttyS0 earlyprintk=serial,ttyS0,115200 nokaslr reboot=t panic=-1 clearcpuid=smap noxsave";

/// Tells when a text has been said.
struct Listener {
    said: Mutex<String>,
    heard: Mutex<Option<mpsc::Sender<String>>>,
}

impl Outlet for Listener {
    fn serial(&self, bytes: &[u8]) {
        let mut said = self.said.lock().expect("no listener panics");
        said.push_str(&String::from_utf8_lossy(bytes));
        let line = said.lines().find(|line| line.contains(BANNER));
        let Some(line) = line.filter(|_| said.ends_with('\n')) else {
            return;
        };
        if let Some(heard) = self.heard.lock().expect("no listener panics").take() {
            // Whoever asked may have stopped listening.
            let _ = heard.send(line.to_owned());
        }
    }

    fn report(&self, _: u32, _: u64) {}
}

/// The folder of the guests, if there is one.
fn guests() -> Option<PathBuf> {
    let folder = std::env::var_os("ORIEL_GUESTS").map(PathBuf::from);
    if folder.is_none() {
        eprintln!("SKIPPED: ORIEL_GUESTS is not set; `cargo xtask guests --test` runs this");
    }
    folder
}

/// Where a text lies in memory.
fn find(memory: &dyn GuestMemory, text: &str) -> Option<u64> {
    const CHUNK: u64 = 1 << 20;
    (16..128).find_map(|mib| {
        // A text that lies across two chunks is found in the longer one.
        let mut bytes = vec![0; usize::try_from(CHUNK).expect("64 bits") + text.len()];
        memory.read_at(mib * CHUNK, &mut bytes).ok()?;
        let at = bytes
            .windows(text.len())
            .position(|window| window == text.as_bytes())?;
        Some(mib * CHUNK + at as u64)
    })
}

#[test]
fn a_debian_kernel_says_the_banner_that_lies_in_its_memory() {
    let Some(folder) = guests().filter(|_| kvm()) else {
        return;
    };
    let initrd = folder.join("initramfs.cpio");
    let kernel = Kernel::read(&folder.join("vmlinux"), Some(&initrd), COMMAND_LINE).unwrap();
    let (heard, hear) = mpsc::channel();
    let listener = Arc::new(Listener {
        said: Mutex::default(),
        heard: Mutex::new(Some(heard)),
    });
    let parts = Config::new(kernel, listener.clone()).build().unwrap();
    let machine = parts.machine.clone();
    let running = Engine::new(host(), parts).start().unwrap();
    let line = hear.recv_timeout(LIMIT);
    running.handle().stop();
    let outcome = running.wait();
    let said = listener.said.lock().unwrap().clone();
    let line = line.unwrap_or_else(|_| panic!("{outcome:?}: it said {said:?}"));
    let banner = &line[line.find(BANNER).unwrap()..];
    let at = find(machine.memory(), banner.trim_end());
    println!("{banner}\n(in memory at {:#x})", at.unwrap_or_default());
    assert!(at.is_some(), "{banner}");
}

#[test]
fn a_machine_with_a_kernel_that_does_not_fit_is_not_made() {
    let Some(folder) = guests().filter(|_| kvm()) else {
        return;
    };
    let kernel = Kernel::read(&folder.join("vmlinux"), None, "").unwrap();
    let config = Config {
        memory_mib: 32,
        ..Config::new(kernel, Arc::new(oriel_machine::outlet::Kept::default()))
    };
    let error = config.build().unwrap_err().to_string();
    assert!(
        error.contains("vmlinux") && error.contains("--memory"),
        "{error}"
    );
}
