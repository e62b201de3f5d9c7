//! The VM whose guest is asked: one that an Oriel watches, by its control socket; else by its monitor and its memory's file, and through its gdbstub only
//! where that is allowed and there is no other way.

use anyhow::{Context, anyhow};
use oriel_guest::{Index, Sight};
use oriel_machine::{
    GuestMemory, Machine as _,
    qemu::{Address, Attach, Attached, Leave, Look, LookError, Onlooker, RamChoice},
};
use serde_json::Value as Json;

use crate::{
    args::GuestArgs,
    client,
    commands::attach,
    linux::{self, Question},
    output::warn,
    plan::Usage,
};

/// Asks the VM that the flags name.
pub(super) fn ask(args: &GuestArgs, question: &Question) -> anyhow::Result<Json> {
    match (&args.qmp, &args.control) {
        (Some(qmp), _) => look(args, qmp.clone(), question),
        (None, Some(socket)) => {
            client::ask(socket, "POST", "/v1/guest", Some(&serde_json::to_value(question)?))
        }
        (None, None) => Err(Usage::new("which VM? Add `--qmp unix:PATH`, its QEMU's monitor, or `--control PATH`, the control socket of the Oriel that watches it").into()),
    }
}

fn look(args: &GuestArgs, qmp: Address, question: &Question) -> anyhow::Result<Json> {
    let ram = args.ram.clone().unwrap_or_default();
    let is_named = matches!(ram, RamChoice::File(_));
    let look = Look {
        qmp: qmp.clone(),
        ram,
    };
    match look.connect() {
        Ok(seen) => looked_at(seen, question),
        Err(error @ LookError::Ram(_)) if !is_named => by_stub(args, qmp, error, question),
        Err(error) => Err(error).context("the VM cannot be looked at"),
    }
}

fn looked_at(mut seen: Onlooker, question: &Question) -> anyhow::Result<Json> {
    let registers = seen.registers()?;
    let sights = registers.iter();
    let sights: Vec<_> = sights.map(|(vcpu, all)| Sight::of(*vcpu, all)).collect();
    asked(question, seen.memory(), &sights)
}

fn asked(question: &Question, memory: &dyn GuestMemory, sights: &[Sight]) -> anyhow::Result<Json> {
    let index = Index::build(memory, sights)?;
    Ok(linux::answer(question, &index.guest(memory), sights)?)
}

/// Attaches for as long as the question takes.
fn by_stub(
    args: &GuestArgs,
    qmp: Address,
    why: LookError,
    question: &Question,
) -> anyhow::Result<Json> {
    let Some(gdb) = args.gdb.clone() else {
        return Err(anyhow!(why).context(
            "the VM's memory could be read through its gdbstub alone, which stops the VM for each read: `--gdb unix:PATH` allows that",
        ));
    };
    warn(format_args!(
        "oriel: memory is read through the gdbstub, which stops the VM for each read"
    ));
    let attach = Attach {
        guard: Some(attach::guard_command(&gdb, &qmp)?),
        gdb,
        qmp,
        ram: RamChoice::Gdb,
        name: None,
    };
    let attached = attach.connect().context("the VM is not attached to")?;
    let machine = std::sync::Arc::clone(&attached.machine);
    let answer = attached_to(attached, question);
    let left = machine.leave(Leave::Running);
    left.map_err(|reason| anyhow!(reason))
        .context("the VM is not known to run: `oriel attach qemu --repair` frees it")?;
    answer
}

fn attached_to(attached: Attached, question: &Question) -> anyhow::Result<Json> {
    let Attached { mut parts, machine } = attached;
    let vcpus = (0..).zip(&mut parts.vcpus);
    let sights = vcpus.filter_map(|(index, vcpu)| Sight::ask(index, &mut **vcpu));
    let sights: Vec<_> = sights.collect();
    asked(question, machine.memory(), &sights)
}
