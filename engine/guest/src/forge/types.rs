//! The types of the forged kernel, and where their members are. Owns these numbers; no kernel has
//! them, so that nothing that is built in can be right by accident.

use super::Blob;
use crate::btf::TypeId;

/// Bytes of each structure, with room behind it.
pub(super) const TASK: u64 = 320;
pub(super) const CRED: u64 = 96;
pub(super) const MM: u64 = 32;
pub(super) const SIGNAL: u64 = 32;
pub(super) const PID: u64 = 96;
pub(super) const NODE: u64 = 40 + 64 * 8;
pub(super) const MODULE: u64 = 256;

/// Members of `task_struct`.
pub(super) const STATE: u64 = 0;
pub(super) const FLAGS: u64 = 4;
pub(super) const TASKS: u64 = 16;
pub(super) const TASK_MM: u64 = 48;
pub(super) const EXIT_STATE: u64 = 60;
pub(super) const TASK_PID: u64 = 64;
pub(super) const TGID: u64 = 68;
pub(super) const REAL_PARENT: u64 = 72;
pub(super) const PID_LINKS: u64 = 96;
pub(super) const THREAD_NODE: u64 = 160;
pub(super) const TASK_CRED: u64 = 184;
pub(super) const COMM: u64 = 192;
pub(super) const TASK_SIGNAL: u64 = 216;
/// Of others.
pub(super) const PGD: u64 = 8;
pub(super) const THREAD_HEAD: u64 = 8;
pub(super) const UID: u64 = 8;
pub(super) const PERMITTED: u64 = 56;
pub(super) const ROOT: u64 = 16;
pub(super) const PID_TASKS: u64 = 16;
pub(super) const SLOTS: u64 = 40;
pub(super) const MODULE_STATE: u64 = 0;
pub(super) const MODULE_LIST: u64 = 8;
pub(super) const MODULE_NAME: u64 = 24;
pub(super) const MODULE_MEM: u64 = 96;
/// Of one part of a module's memory.
pub(super) const PART: u64 = 16;
/// Of a description that came with a module.
pub(super) const DESCRIPTION: u64 = 32;
pub(super) const DESCRIPTION_MODULE: u64 = 16;
pub(super) const DESCRIPTION_BTF: u64 = 24;

/// What everything is made of.
struct Basic {
    int: TypeId,
    long: TypeId,
    byte: TypeId,
    pointer: TypeId,
    list: TypeId,
}

/// All of them.
pub(super) fn types() -> Blob {
    let mut blob = Blob::default();
    let basic = basic(&mut blob);
    tasks(&mut blob, &basic);
    pids(&mut blob, &basic);
    modules(&mut blob, &basic);
    // The kernel's own are never small: what fills them up is a type that nothing asks for.
    while blob.bytes().len() < 80 << 10 {
        let members = [("a", basic.int, 0), ("b", basic.int, 4)].repeat(200);
        blob.structure("filler", 8, &members);
    }
    blob
}

fn basic(blob: &mut Blob) -> Basic {
    let (int, long) = (blob.int("int", 4), blob.int("long unsigned int", 8));
    let byte = blob.int("char", 1);
    let pointer = blob.pointer(0);
    let list = blob.structure(
        "list_head",
        16,
        &[("next", pointer, 0), ("prev", pointer, 8)],
    );
    Basic {
        int,
        long,
        byte,
        pointer,
        list,
    }
}

/// An offset as BTF has it.
fn at(offset: u64) -> u32 {
    u32::try_from(offset).expect("a small structure")
}

fn tasks(blob: &mut Blob, basic: &Basic) {
    let Basic {
        int,
        long,
        byte,
        pointer,
        list,
    } = *basic;
    let comm = blob.array(byte, 16);
    let pgd = blob.structure("mm_struct", at(MM), &[("pgd", pointer, at(PGD))]);
    let mm = blob.pointer(pgd);
    let signal = blob.structure(
        "signal_struct",
        at(SIGNAL),
        &[("thread_head", list, at(THREAD_HEAD))],
    );
    let signal = blob.pointer(signal);
    let cred = blob.structure(
        "cred",
        at(CRED),
        &[
            ("uid", int, at(UID)),
            ("gid", int, at(UID + 4)),
            ("euid", int, at(UID + 16)),
            ("egid", int, at(UID + 20)),
            ("cap_permitted", long, at(PERMITTED)),
            ("cap_effective", long, at(PERMITTED + 8)),
        ],
    );
    let cred = blob.pointer(cred);
    let link = blob.array(list, 4);
    blob.structure(
        "task_struct",
        at(TASK),
        &[
            ("__state", int, at(STATE)),
            ("flags", int, at(FLAGS)),
            ("tasks", list, at(TASKS)),
            ("mm", mm, at(TASK_MM)),
            ("exit_state", int, at(EXIT_STATE)),
            ("pid", int, at(TASK_PID)),
            ("tgid", int, at(TGID)),
            ("real_parent", pointer, at(REAL_PARENT)),
            ("pid_links", link, at(PID_LINKS)),
            ("thread_node", list, at(THREAD_NODE)),
            ("cred", cred, at(TASK_CRED)),
            ("comm", comm, at(COMM)),
            ("signal", signal, at(TASK_SIGNAL)),
        ],
    );
}

fn pids(blob: &mut Blob, basic: &Basic) {
    let Basic { byte, pointer, .. } = *basic;
    let array = blob.structure("xarray", 16, &[("xa_head", pointer, 8)]);
    let idr = blob.structure("idr", 24, &[("idr_rt", array, 0)]);
    // `pid_namespace.idr.idr_rt.xa_head` is at ROOT.
    blob.structure("pid_namespace", 64, &[("idr", idr, at(ROOT - 8))]);
    let slots = blob.array(pointer, 64);
    blob.structure(
        "xa_node",
        at(NODE),
        &[("shift", byte, 0), ("slots", slots, at(SLOTS))],
    );
    let tasks = blob.array(pointer, 4);
    blob.structure("pid", at(PID), &[("tasks", tasks, at(PID_TASKS))]);
}

fn modules(blob: &mut Blob, basic: &Basic) {
    let Basic {
        int,
        byte,
        pointer,
        list,
        ..
    } = *basic;
    let part = blob.structure(
        "module_memory",
        at(PART),
        &[("base", pointer, 0), ("size", int, 8)],
    );
    let parts = blob.array(part, 7);
    let name = blob.array(byte, 56);
    blob.structure(
        "module",
        at(MODULE),
        &[
            ("state", int, at(MODULE_STATE)),
            ("list", list, at(MODULE_LIST)),
            ("name", name, at(MODULE_NAME)),
            ("mem", parts, at(MODULE_MEM)),
        ],
    );
    let btf = blob.structure("btf", 32, &[("data", pointer, 0), ("data_size", int, 24)]);
    let btf = blob.pointer(btf);
    blob.structure(
        "btf_module",
        at(DESCRIPTION),
        &[
            ("list", list, 0),
            ("module", pointer, at(DESCRIPTION_MODULE)),
            ("btf", btf, at(DESCRIPTION_BTF)),
        ],
    );
}
