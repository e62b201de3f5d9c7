//! The demo on a real kernel: Debian boots in QEMU, somebody in it renames the machine, and a policy
//! that was attached makes the kernel refuse.

use std::{
    path::Path,
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread::{self, JoinHandle},
};

use anyhow::{Context, anyhow, bail};
use oriel_engine::{Record, Sink, record::Kept};
use oriel_guests::qemu::{self as debian, Linux, Running};
use oriel_machine::qemu::{Address, Attach, Leave, RamChoice};

use super::{plugin, timeline};
use crate::{
    args::{DemoArgs, MachineKind, RunArgs, WatchArgs},
    commands::run,
    exit::Exit,
    output::{Tee, say},
    plan::Plan,
};

/// The policy of this demo.
const POLICY: &str = "call-guard";
/// The function of the kernel that a machine is renamed by.
const FUNCTION: &str = "__x64_sys_sethostname";
/// What the guest is called, and is to be called.
const NAME: &str = "debian";
const ATTACKER: &str = "owned";

/// Shows it; success only if the outcome is the expected one.
pub(super) fn run(args: &DemoArgs) -> anyhow::Result<Exit> {
    let guests = args.guests.as_deref().ok_or_else(|| {
        anyhow!("no guest: `cargo xtask demo --machine qemu` makes it, or name its folder with `--guests`")
    })?;
    if !debian::is_installed() {
        bail!("qemu-system-x86_64 is not installed: `cargo xtask setup` does that on Debian");
    }
    let folder = tempfile::tempdir().context("no temporary folder")?;
    say(format_args!(
        "Debian boots in QEMU, emulated: this takes ten seconds or more."
    ));
    let mut guest = Linux::new(guests, folder.path())
        .boot()
        .context("the guest does not boot")?;
    guest.ask(&format!("hostname {NAME}"))?;
    if args.unprotected {
        let (said, name) = attack(&mut guest)?;
        say(format_args!("Nothing protects it.\n"));
        return judge(&said, &name, ATTACKER);
    }
    protected(args, guest, folder.path())
}

fn protected(args: &DemoArgs, mut guest: Running, folder: &Path) -> anyhow::Result<Exit> {
    let address = symbol(&mut guest)?;
    let config = folder.join("calls.toml");
    std::fs::write(&config, format!("refuse = [\"{address}\"]\n"))?;
    let plan = Plan::resolve(RunArgs {
        machine: Some(MachineKind::Qemu),
        guest: Some(NAME.to_owned()),
        serial: Some("none".to_owned()),
        watch: WatchArgs {
            policies: vec![plugin(args, POLICY)?.display().to_string()],
            grants: vec![format!("{POLICY}=all")],
            policy_configs: vec![format!("{POLICY}={}", config.display())],
            ..WatchArgs::default()
        },
        ..RunArgs::default()
    })?;
    let attach = Attach {
        gdb: Address::Unix(guest.gdb()),
        qmp: Address::Unix(guest.qmp()),
        ram: RamChoice::Auto,
        name: None,
        // The VM ends with this process.
        guard: None,
    };
    let attached = attach.connect()?;
    let (kept, armed) = (Arc::new(Kept::default()), Arc::new(Armed::default()));
    let story = tell(guest, Arc::clone(&armed))?;
    let sinks: Vec<Arc<dyn Sink>> = vec![kept.clone() as Arc<dyn Sink>, armed.clone()];
    let ended = run::watch(attached.parts, &plan, Arc::new(Tee(sinks)), (None, None));
    armed.now();
    let left = attached.machine.leave(Leave::Running);
    let told = story
        .join()
        .map_err(|_| anyhow!("the story has come to no end"))?;
    ended?;
    left.map_err(|reason| anyhow!(reason))?;
    let (said, name) = told?;
    timeline::print(
        "A Debian guest in QEMU: the policy call-guard protects it.",
        &kept.records(),
    );
    judge(&said, &name, NAME)
}

/// Where the function is in this boot: its kernel lies at a random address.
fn symbol(guest: &mut Running) -> anyhow::Result<String> {
    let line = guest.ask(&format!("grep ' {FUNCTION}$' /proc/kallsyms"))?;
    let address = line.split_whitespace().next();
    let address = address.with_context(|| format!("the kernel has no {FUNCTION}"))?;
    Ok(format!("0x{address}"))
}

/// What the attacker sees, and what the machine is called then.
fn attack(guest: &mut Running) -> anyhow::Result<(String, String)> {
    let said = guest.ask(&format!("hostname {ATTACKER} 2>&1"))?;
    Ok((said, guest.ask("hostname")?))
}

type Story = JoinHandle<anyhow::Result<(String, String)>>;

/// Attacks once the policy has armed, and then switches the guest off.
fn tell(mut guest: Running, armed: Arc<Armed>) -> anyhow::Result<Story> {
    let body = move || {
        armed.wait();
        let outcome = attack(&mut guest);
        // It does not answer any more: that is how it ends.
        let _ = guest.say("poweroff -f");
        outcome.inspect(|_| drop(guest.wait_for_end()))
    };
    Ok(thread::Builder::new()
        .name("story".to_owned())
        .spawn(body)?)
}

fn judge(said: &str, name: &str, expected: &str) -> anyhow::Result<Exit> {
    let answer = if said.is_empty() { "nothing" } else { said };
    say(format_args!(
        "The attacker runs `hostname {ATTACKER}`, and is told: {answer}"
    ));
    say(format_args!("The machine is called: {name}\n"));
    if name != expected {
        bail!("this is not the expected outcome: it should be called {expected}");
    }
    Ok(Exit::Success)
}

/// Waits until the policy says that it watches, or that there is nothing to wait for.
#[derive(Debug, Default)]
struct Armed {
    is_so: Mutex<bool>,
    changed: Condvar,
}

impl Armed {
    fn now(&self) {
        *self.is_so.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_all();
    }

    fn wait(&self) {
        let is_so = self.is_so.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_while(is_so, |is_so| !*is_so);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}

impl Sink for Armed {
    fn put(&self, record: Record) {
        if matches!(record, Record::Log(_)) {
            self.now();
        }
    }
}
