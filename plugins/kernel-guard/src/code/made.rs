//! Code that the kernel has made while it runs, by its own lists: trampolines of tracers, and what
//! BPF was compiled to. Believes no link and no count.

use std::collections::BTreeSet;
use std::ops::Range;

use oriel_sdk::Fixed as _;
use oriel_sdk::GuestOs;
use oriel_sdk::linux::{Absence, ReadKernel};

use crate::sites::data;

/// The most entries that are read of one list in one call.
const MOST: usize = 128;
/// More bytes than one piece of such code has.
const LONGEST: u64 = 1 << 20;

type Ranges = Vec<Range<u64>>;

fn offset(path: &str, host: &mut impl GuestOs) -> Result<u64, Absence> {
    Ok(host.find_field(path, None)?.offset)
}

/// A structure that was read, with its members by their offsets.
fn word(bytes: &[u8], at: u64) -> u64 {
    usize::try_from(at)
        .ok()
        .and_then(|at| u64::at(bytes, at))
        .unwrap_or(0)
}

fn code(start: u64, length: u64) -> Option<Range<u64>> {
    let is_sound = start != 0 && (1..=LONGEST).contains(&length);
    is_sound.then(|| start..start.saturating_add(length))
}

/// Where the members of `struct ftrace_ops` are.
struct Ops {
    trampoline: u64,
    length: u64,
    size: u64,
}

/// The trampolines of `ftrace_ops`, each a copy of the tracers' own code: of those that are on, and since
/// 5.8 of all that have one, until it is freed.
pub(super) fn trampolines(host: &mut impl ReadKernel, to: &mut Ranges) -> Result<(), Absence> {
    let (trampoline, length) = (
        offset("ftrace_ops.trampoline", host)?,
        offset("ftrace_ops.trampoline_size", host)?,
    );
    let size = trampoline.max(length).saturating_add(8);
    let ops = Ops {
        trampoline,
        length,
        size,
    };
    if let Some(list) = data("ftrace_ops_list", host)? {
        let end = host.find_symbol("ftrace_list_end", None);
        let end = end.map_or(0, |symbol| symbol.address);
        let next = offset("ftrace_ops.next", host)?;
        let first = host.read_kernel_value::<u64>(list)?;
        ops.walk(first, (next, 0, end), host, to)?;
    }
    if let Some(list) = data("ftrace_ops_trampoline_list", host)? {
        let node = offset("ftrace_ops.list", host)?;
        let first = host.read_kernel_value::<u64>(list)?;
        ops.walk(first, (node, node, list), host, to)?;
    }
    Ok(())
}

impl Ops {
    /// Goes through a list: where the link to the next is, how far behind the structure a link points, and
    /// what the last one says.
    fn walk(
        &self,
        first: u64,
        (link, behind, end): (u64, u64, u64),
        host: &mut impl ReadKernel,
        to: &mut Ranges,
    ) -> Result<(), Absence> {
        let (mut at, mut met) = (first, BTreeSet::new());
        while at != 0 && at != end {
            bound(&mut met, at)?;
            let size = self.size.max(link.saturating_add(8)).min(4096);
            let ops = host.read_kernel(at.wrapping_sub(behind), size)?;
            to.extend(code(word(&ops, self.trampoline), word(&ops, self.length)));
            at = word(&ops, link);
        }
        Ok(())
    }
}

/// Programs, trampolines and dispatchers of BPF: the list from which kallsyms names them. Until 5.6
/// it is of programs alone, and is not read.
pub(super) fn programs(host: &mut impl ReadKernel, to: &mut Ranges) -> Result<(), Absence> {
    let Ok(head) = host.find_symbol("bpf_kallsyms", None) else {
        return Ok(());
    };
    let Ok(node) = offset("bpf_ksym.lnode", host) else {
        return Err(Absence::Unknown(
            "the kernel's types have no bpf_ksym".into(),
        ));
    };
    let (start, end) = (
        offset("bpf_ksym.start", host)?,
        offset("bpf_ksym.end", host)?,
    );
    let size = node.max(start).max(end).saturating_add(8);
    let mut at = host.read_kernel_value::<u64>(head.address)?;
    let mut met = BTreeSet::new();
    while at != 0 && at != head.address {
        bound(&mut met, at)?;
        let ksym = host.read_kernel(at.wrapping_sub(node), size.min(4096))?;
        let (first, last) = (word(&ksym, start), word(&ksym, end));
        to.extend(code(first, last.wrapping_sub(first)));
        at = word(&ksym, node);
    }
    Ok(())
}

fn bound(met: &mut BTreeSet<u64>, at: u64) -> Result<(), Absence> {
    if met.len() == MOST {
        return Err(Absence::Unknown(format!("it has more than {MOST} entries")));
    }
    let is_new = met.insert(at);
    is_new
        .then_some(())
        .ok_or_else(|| Absence::Unknown("it goes round in a circle".into()))
}
