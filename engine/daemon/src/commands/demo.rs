//! `oriel demo`: an attack on a guest, stopped by a policy; and, unprotected, succeeding.

mod qemu;
mod timeline;

use std::{path::PathBuf, sync::Arc};

use anyhow::{Context, bail};
use oriel_engine::{Record, Sink, record::Kept};
use oriel_guests::{ATTACKER_ENTRY, KERNEL_ENTRY};
use oriel_machine::End;
use oriel_protocol::{EventData, Verdict, x86::msr};

use super::run;
use crate::output::say;
use crate::{
    args::{DemoArgs, DemoMachine, MachineKind, RunArgs, WatchArgs},
    exit::Exit,
    guest,
    output::Tee,
    plan::Plan,
    serial::Serial,
};

/// The policy of the demo.
const POLICY: &str = "msr-guard";

/// Shows it; success only if the outcome is the expected one.
pub(crate) fn run(args: &DemoArgs) -> anyhow::Result<Exit> {
    if args.machine == DemoMachine::Qemu {
        return qemu::run(args);
    }
    let machine = machine(args.machine);
    let policies = if args.unprotected {
        vec![]
    } else {
        vec![plugin(args, POLICY)?.display().to_string()]
    };
    let plan = Plan::resolve(RunArgs {
        machine: Some(machine),
        guest: Some("builtin:msr-attack".to_owned()),
        name: Some("demo".to_owned()),
        watch: WatchArgs {
            policies,
            ..WatchArgs::default()
        },
        serial: Some("none".to_owned()),
        ..RunArgs::default()
    })?;
    let kept = Arc::new(Kept::default());
    let serial = Serial::open(&plan.serial, Some(kept.clone()))?;
    let parts = guest::build(&plan, guest::identity(&plan)?, serial.clone())?;
    run::watch(
        parts,
        &plan,
        Arc::new(Tee(vec![serial, kept.clone() as Arc<dyn Sink>])),
        (None, None),
    )?;
    let records = kept.records();
    timeline::print(&title(machine, args.unprotected), &records);
    judge(args.unprotected, &records)
}

/// What is shown, in a line.
fn title(machine: MachineKind, unprotected: bool) -> String {
    let on = match machine {
        MachineKind::Kvm => "a KVM guest",
        MachineKind::Mock => "a mock guest",
        MachineKind::Qemu => "a QEMU guest",
    };
    let guard = if unprotected {
        "nothing protects it"
    } else {
        "the policy msr-guard protects it"
    };
    format!("An attack on {on}: {guard}.")
}

/// KVM if it can be used; if not, why not is said in one line.
fn machine(wanted: DemoMachine) -> MachineKind {
    match wanted {
        DemoMachine::Kvm => MachineKind::Kvm,
        DemoMachine::Mock => MachineKind::Mock,
        DemoMachine::Qemu => MachineKind::Qemu,
        DemoMachine::Auto => match guest::kvm_is_usable() {
            Ok(()) => MachineKind::Kvm,
            Err(reason) => {
                say(format_args!(
                    "No KVM here ({reason}); showing it on the mock machine."
                ));
                MachineKind::Mock
            }
        },
    }
}

/// The policy's file: where the flag says, else beside the program as `cargo xtask plugins` puts it.
fn plugin(args: &DemoArgs, policy: &str) -> anyhow::Result<PathBuf> {
    let directory = match &args.plugins {
        Some(directory) => directory.clone(),
        None => {
            let program = std::env::current_exe().context("where this program is, is not known")?;
            program
                .ancestors()
                .nth(2)
                .map(|above| above.join("plugins"))
                .unwrap_or_default()
        }
    };
    let file = directory.join(format!("{policy}.wasm"));
    if !file.is_file() {
        bail!(
            "{} is not there: run `cargo xtask plugins`, or name the directory with `--plugins`",
            file.display()
        );
    }
    Ok(file)
}

/// Whether it went as it should.
fn judge(unprotected: bool, records: &[Record]) -> anyhow::Result<Exit> {
    let finished = records
        .iter()
        .any(|record| matches!(record, Record::End(end) if end.end == End::Finished(0)));
    let stayed = reported(records);
    let denied = records.iter().any(denies_the_attack);
    let expected = if unprotected {
        finished && stayed == Some(ATTACKER_ENTRY) && !denied
    } else {
        finished && stayed == Some(KERNEL_ENTRY) && denied
    };
    if !expected {
        bail!(
            "this is not the expected outcome (LSTAR {stayed:x?}, denied: {denied}, guest finished: {finished})"
        );
    }
    Ok(Exit::Success)
}

/// What the guest reports first: LSTAR as it finds it after the attack.
fn reported(records: &[Record]) -> Option<u64> {
    records.iter().find_map(|record| {
        if let Record::Report { value, .. } = record {
            Some(*value)
        } else {
            None
        }
    })
}

fn denies_the_attack(record: &Record) -> bool {
    let Record::Event(judged) = record else {
        return false;
    };
    let EventData::Msr(write) = judged.event.data else {
        return false;
    };
    write.msr == msr::LSTAR && write.new == ATTACKER_ENTRY && judged.verdict == Verdict::Deny
}
