//! Debian's kernel in Debian's QEMU, for tests and the demo: starts it with what an observer needs,
//! types on its serial line and reads what it says. Nothing here watches it.
//!
//! The kernel and the initramfs are made by `cargo xtask guests` (`docs/guests.md`). The guest is
//! emulated by TCG, so no KVM is needed; its kernel is unpacked by itself, so its addresses are
//! random.

use std::{
    ffi::OsString,
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{Arc, Condvar, Mutex, PoisonError},
    time::Duration,
};

/// The program.
const QEMU: &str = "qemu-system-x86_64";

/// How long anything may take. Nothing but failure is decided by it: the shell is there after 8 s
/// where nothing else runs.
const LIMIT: Duration = Duration::from_secs(300);

/// What the shell says when it is there.
const UP: &str = "oriel: the guest is up";

/// How a guest is started.
#[derive(Clone, Debug)]
pub struct Linux {
    /// The folder of the guests: `bzImage` and `initramfs.cpio`.
    pub guests: PathBuf,
    /// An empty folder, for its sockets.
    pub folder: PathBuf,
    /// Where its RAM is.
    pub backend: Backend,
    /// How many vCPUs.
    pub vcpus: u32,
    /// Whether vCPUs take turns on one thread of QEMU's; else each has one. With threads of their own, QEMU 7.2 now and
    /// then runs an INT3 that the guest's kernel has put into its own code and taken away again: it dies, or hangs.
    pub in_turn: bool,
    /// Whether it may reboot; else its first reboot is its end.
    pub reboots: bool,
    /// Whether it stands before its first instruction until [`Running::order`] says `cont`.
    pub stands: bool,
}

/// What QEMU keeps a guest's RAM in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Backend {
    /// A sealed memfd.
    Memfd,
    /// A shared file at this path.
    File(PathBuf),
    /// Its own memory, which nobody else reads.
    Private,
}

/// A guest that runs. It is killed when this is dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    keys: ChildStdin,
    said: Arc<Said>,
    folder: PathBuf,
    asked: u32,
}

/// What came over the serial line.
#[derive(Debug, Default)]
struct Said {
    text: Mutex<(String, bool)>,
    more: Condvar,
}

/// Whether Debian's QEMU is installed here.
pub fn is_installed() -> bool {
    Command::new(QEMU)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

impl Linux {
    /// Two vCPUs, RAM in a memfd.
    pub fn new(guests: &Path, folder: &Path) -> Self {
        Self {
            guests: guests.to_owned(),
            folder: folder.to_owned(),
            backend: Backend::Memfd,
            vcpus: 2,
            in_turn: false,
            reboots: false,
            stands: false,
        }
    }

    /// Starts it, and waits for its shell.
    ///
    /// # Errors
    /// If QEMU does not start, or ends before there is a shell; with what it said.
    pub fn boot(&self) -> io::Result<Running> {
        let mut running = self.start()?;
        running.wait_for(0, UP)?;
        // The echo of what is typed would only be in the way.
        running.ask("stty -echo")?;
        Ok(running)
    }

    /// Starts it, and waits for nothing.
    ///
    /// # Errors
    /// If QEMU does not start.
    pub fn start(&self) -> io::Result<Running> {
        let mut child = Command::new(QEMU)
            .args(self.arguments())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let missing = || io::Error::other("QEMU's standard streams are not there");
        let keys = child.stdin.take().ok_or_else(missing)?;
        let mut out = child.stdout.take().ok_or_else(missing)?;
        let said = Arc::new(Said::default());
        let heard = Arc::clone(&said);
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = out.read(&mut bytes) {
                heard.add(&bytes[..count]);
            }
            heard.close();
        });
        Ok(Running {
            child,
            keys,
            said,
            folder: self.folder.clone(),
            asked: 0,
        })
    }

    fn arguments(&self) -> Vec<OsString> {
        let socket = |name: &str| self.folder.join(name).display().to_string();
        let size = "256M";
        let object = match &self.backend {
            Backend::Memfd => format!("memory-backend-memfd,id=mem0,size={size},share=on"),
            Backend::File(path) => format!(
                "memory-backend-file,id=mem0,size={size},share=on,mem-path={}",
                path.display()
            ),
            Backend::Private => format!("memory-backend-ram,id=mem0,size={size}"),
        };
        let threads = if self.in_turn { "single" } else { "multi" };
        let words = [
            ("-accel", format!("tcg,thread={threads}")),
            ("-machine", "pc,memory-backend=mem0".to_owned()),
            ("-object", object),
            ("-m", size.to_owned()),
            ("-smp", self.vcpus.to_string()),
            ("-kernel", self.guests.join("bzImage").display().to_string()),
            (
                "-initrd",
                self.guests.join("initramfs.cpio").display().to_string(),
            ),
            ("-append", "console=ttyS0 quiet panic=-1".to_owned()),
            ("-name", "debian".to_owned()),
            ("-gdb", format!("unix:{},server=on,wait=off", socket("gdb"))),
            ("-qmp", format!("unix:{},server=on,wait=off", socket("qmp"))),
            ("-display", "none".to_owned()),
            ("-serial", "stdio".to_owned()),
        ];
        let words = words
            .into_iter()
            .flat_map(|(flag, value)| [flag.to_owned(), value]);
        let plain = [
            ("-nodefaults", true),
            ("-no-reboot", !self.reboots),
            ("-S", self.stands),
        ];
        let plain = plain.into_iter().filter(|(_, is_meant)| *is_meant);
        words
            .chain(plain.map(|(flag, _)| flag.to_owned()))
            .map(OsString::from)
            .collect()
    }
}

impl Running {
    /// Where its gdbstub listens.
    pub fn gdb(&self) -> PathBuf {
        self.folder.join("gdb")
    }

    /// Where its monitor listens.
    pub fn qmp(&self) -> PathBuf {
        self.folder.join("qmp")
    }

    /// QEMU's process.
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// Types a line.
    ///
    /// # Errors
    /// If QEMU is gone.
    pub fn say(&mut self, line: &str) -> io::Result<()> {
        writeln!(self.keys, "{line}")
    }

    /// Has the shell run a command, and answers what that prints.
    ///
    /// # Errors
    /// If QEMU is gone, or the answer does not come.
    pub fn ask(&mut self, command: &str) -> io::Result<String> {
        self.asked += 1;
        let number = self.asked;
        let (begin, end) = (format!("<{number}<"), format!(">{number}>"));
        let from = self.said_so_far();
        // Typed in two pieces, as the line may be echoed.
        self.say(&format!(
            "echo '<''{number}<'; {command}; echo '>''{number}>'"
        ))?;
        let text = self.wait_for(from, &end)?;
        let (_, text) = text.split_once(&begin).unwrap_or(("", &text));
        let (text, _) = text.split_once(&end).unwrap_or((text, ""));
        Ok(text.replace('\r', "").trim().to_owned())
    }

    /// Gives the monitor an order without arguments, such as `cont`, and waits until it is done.
    /// Nobody else may be connected there.
    ///
    /// # Errors
    /// If QEMU does not listen, or refuses.
    pub fn order(&self, order: &str) -> io::Result<()> {
        let mut stream = UnixStream::connect(self.qmp())?;
        let mut lines = BufReader::new(stream.try_clone()?).lines();
        for order in ["qmp_capabilities", order] {
            writeln!(stream, "{{\"execute\": \"{order}\"}}")?;
            let mut answers = lines.by_ref().map_while(Result::ok);
            let answer =
                answers.find(|line| line.contains("\"return\"") || line.contains("\"error\""));
            let answer = answer.filter(|line| line.contains("\"return\""));
            answer.ok_or_else(|| io::Error::other(format!("QEMU has not done {order}")))?;
        }
        Ok(())
    }

    /// Waits until QEMU has ended.
    ///
    /// # Errors
    /// If its process cannot be waited for.
    pub fn wait_for_end(&mut self) -> io::Result<()> {
        self.child.wait().map(drop)
    }

    /// How much it has said.
    pub fn said_so_far(&self) -> usize {
        self.said.lock().0.len()
    }

    /// Whether it has said this, behind so much.
    pub fn has_said(&self, from: usize, text: &str) -> bool {
        let said = self.said.lock();
        said.0.get(from..).is_some_and(|said| said.contains(text))
    }

    /// Waits until it says this, behind so much; answers all that it has said since.
    ///
    /// # Errors
    /// If QEMU is gone, or it takes too long; with the last that it said.
    pub fn wait_for(&self, from: usize, text: &str) -> io::Result<String> {
        let since = |said: &str| said.get(from..).unwrap_or_default().to_owned();
        let waits = |said: &mut (String, bool)| !said.1 && !since(&said.0).contains(text);
        let guard = self.said.lock();
        let waited = self.said.more.wait_timeout_while(guard, LIMIT, waits);
        let (said, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let said = since(&said.0);
        if said.contains(text) {
            return Ok(said);
        }
        Err(io::Error::other(format!(
            "the guest did not say {text:?}; it said {said:?}"
        )))
    }
}

impl Said {
    fn lock(&self) -> std::sync::MutexGuard<'_, (String, bool)> {
        self.text.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, bytes: &[u8]) {
        self.lock().0.push_str(&String::from_utf8_lossy(bytes));
        self.more.notify_all();
    }

    fn close(&self) {
        self.lock().1 = true;
        self.more.notify_all();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
