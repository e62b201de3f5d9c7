//! `oriel attach qemu`

use std::{
    io,
    process::Command,
    sync::{Arc, atomic::AtomicBool},
};

use anyhow::{Context, anyhow};
use oriel_engine::Outcome;
use oriel_machine::{
    End, Machine as _,
    qemu::{self, Address, Attach, Attached, Leave, Repair},
};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::run;
use crate::{
    args::{MachineKind, QemuArgs, RunArgs},
    exit::Exit,
    output::{say, warn},
    plan::Plan,
};

/// Watches a VM until it ends or a signal comes, and leaves it running; or frees one that was left
/// in another way.
pub(crate) fn run(args: QemuArgs) -> anyhow::Result<Exit> {
    if args.guard {
        return guard(&args);
    }
    if args.repair {
        return repair(&args);
    }
    let attach = Attach {
        guard: Some(guard_command(&args.gdb, &args.qmp)?),
        gdb: args.gdb.clone(),
        qmp: args.qmp.clone(),
        ram: args.ram,
        name: args.name.clone(),
    };
    let plan = Plan::resolve(RunArgs {
        config: args.config,
        machine: Some(MachineKind::Qemu),
        guest: Some(args.gdb.to_string()),
        name: args.name,
        serial: Some("none".to_owned()),
        watch: args.watch,
        ..RunArgs::default()
    })?;
    let attached = attach.connect().context("the VM is not attached to")?;
    watch(&plan, attached)
}

fn watch(plan: &Plan, attached: Attached) -> anyhow::Result<Exit> {
    let Attached { parts, machine } = attached;
    let ended = run::under(plan, machine.identity(), |_| Ok(parts));
    let left = machine.leave(how(&ended));
    let (outcome, signal) = ended?;
    left.map_err(|reason| anyhow!(reason))
        .context("the VM is not known to run: `oriel attach qemu --repair` frees it")?;
    if outcome.end == End::Stopped {
        warn(format_args!(
            "oriel: the VM stands where it was stopped, without breakpoints; `cont` on its monitor, or `oriel attach qemu --repair`, lets it go on"
        ));
    }
    Ok(signal.map_or_else(|| Exit::of(&outcome.end), Exit::Signal))
}

/// A VM that a verdict has stopped does not run on because we go.
fn how(ended: &anyhow::Result<(Outcome, Option<u8>)>) -> Leave {
    match ended {
        Ok((outcome, _)) if outcome.end == End::Stopped => Leave::Standing,
        Ok(_) | Err(_) => Leave::Running,
    }
}

/// This program, as the guard of this VM.
pub(crate) fn guard_command(gdb: &Address, qmp: &Address) -> anyhow::Result<Command> {
    let program = std::env::current_exe().context("where this program is, is not known")?;
    let mut command = Command::new(program);
    command
        .args(["attach", "qemu", "--guard", "--gdb"])
        .arg(gdb.to_string())
        .arg("--qmp")
        .arg(qmp.to_string());
    Ok(command)
}

/// A session of its own, deaf to what ends its watcher.
fn guard(args: &QemuArgs) -> anyhow::Result<Exit> {
    // It leads one already if somebody has started it by hand.
    let _ = rustix::process::setsid();
    for signal in [SIGHUP, SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::new(AtomicBool::new(false)))
            .context("signals cannot be caught")?;
    }
    let outcome = qemu::watch(io::stdin().lock(), io::stdout(), &args.gdb, &args.qmp);
    match outcome.context("the VM is not known to run: `oriel attach qemu --repair` tries again")? {
        Repair::NotNeeded => {}
        Repair::Runs => warn(format_args!(
            "oriel: the watcher of the VM has died; its breakpoints are gone, and it runs"
        )),
        Repair::StaysPaused => warn(format_args!(
            "oriel: the watcher of the VM has died; its breakpoints are gone, and it is paused, as somebody wanted"
        )),
    }
    Ok(Exit::Success)
}

fn repair(args: &QemuArgs) -> anyhow::Result<Exit> {
    qemu::repair(&args.gdb, &args.qmp, false).context("the VM could not be freed")?;
    say(format_args!("the VM's breakpoints are gone, and it runs"));
    Ok(Exit::Success)
}
