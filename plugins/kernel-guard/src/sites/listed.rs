//! Sites that the image's own tables list: jump labels, static calls and their trampolines, and a few
//! that only their names tell. The tables are constants once the boot is over, and guarded themselves.

use std::ops::Range;

use oriel_sdk::GuestOs;
use oriel_sdk::linux::{Absence, ReadKernel};

use super::{Kind, Site};
use crate::image::Image;

/// More bytes than any of the tables has: some 300,000 entries.
const MOST: u64 = 4 << 20;
/// Bytes of an entry: `struct jump_entry` and `struct static_call_site`, whose members are distances
/// from themselves (since 4.19 and 5.10).
const LABEL: usize = 16;
const CALL: usize = 8;
/// Bytes of a trampoline, and the endings that one had in turn (`asm/static_call.h`): UD1, "SCT", and
/// in 5.10 a NOP.
const TRAMPOLINE: usize = 8;
const ENDINGS: [[u8; 3]; 3] = [[0x0f, 0xb9, 0xcc], *b"SCT", [0x0f, 0x1f, 0x00]];

/// Where the tracers' own code calls the tracer that is on (`ftrace_64.S`); the last until 5.16.
const TRACERS: [&str; 3] = ["ftrace_call", "ftrace_regs_call", "ftrace_graph_call"];
/// The dispatcher of BPF programs, patched at its entry until 6.2.
const DISPATCHER: &str = "bpf_dispatcher_xdp_func";
const ENDBR: [u8; 4] = [0xf3, 0x0f, 0x1e, 0xfa];

/// The address of a symbol of data. None: the kernel was built without it, as it lists others.
pub(crate) fn data(name: &str, host: &mut impl GuestOs) -> Result<Option<u64>, Absence> {
    match host.find_symbol(name, None) {
        Ok(symbol) => Ok(Some(symbol.address)),
        Err(Absence::Unknown(_)) if host.find_symbol("init_task", None).is_ok() => Ok(None),
        Err(absence) => Err(absence),
    }
}

/// Where a table is, between two symbols; empty where the kernel has none.
fn between(start: &str, stop: &str, host: &mut impl GuestOs) -> Result<Range<u64>, Absence> {
    let (Some(start), Some(end)) = (data(start, host)?, data(stop, host)?) else {
        return Ok(0..0);
    };
    let length = end.checked_sub(start).filter(|length| *length <= MOST);
    let absurd = || Absence::Unknown(format!("a table from {start:#x} to {end:#x} is absurd"));
    length.map(|_| start..end).ok_or_else(absurd)
}

fn read(table: &Range<u64>, host: &mut impl ReadKernel) -> Result<Vec<u8>, Absence> {
    host.read_kernel(table.start, table.end - table.start)
}

/// What a member that says a distance from itself leads to.
fn leads(at: u64, entry: &[u8], member: usize) -> Option<u64> {
    let distance = entry.get(member..)?.first_chunk::<4>()?;
    let own = at.wrapping_add(member as u64);
    Some(own.wrapping_add_signed(i32::from_le_bytes(*distance).into()))
}

/// The jump labels. Those of code that is gone since the boot lead elsewhere, and are none.
pub(super) fn labels(image: &Image, host: &mut impl ReadKernel) -> Result<Vec<Site>, Absence> {
    let table = between("__start___jump_table", "__stop___jump_table", host)?;
    let bytes = read(&table, host)?;
    let entries = (table.start..)
        .step_by(LABEL)
        .zip(bytes.chunks_exact(LABEL));
    let site = |(at, entry): (u64, &[u8])| {
        let (code, target) = (leads(at, entry, 0)?, leads(at, entry, 4)?);
        (image.is_code(code) && image.is_code(target)).then_some(Site {
            at: code,
            length: 0,
            kind: Kind::Label(target),
        })
    };
    Ok(entries.filter_map(site).collect())
}

/// The static calls.
pub(super) fn calls(image: &Image, host: &mut impl ReadKernel) -> Result<Vec<Site>, Absence> {
    let table = between(
        "__start_static_call_sites",
        "__stop_static_call_sites",
        host,
    )?;
    let bytes = read(&table, host)?;
    let entries = (table.start..).step_by(CALL).zip(bytes.chunks_exact(CALL));
    let site = |(at, entry): (u64, &[u8])| {
        let at = leads(at, entry, 0).filter(|at| image.is_code(*at))?;
        let (length, kind) = (0, Kind::Call);
        Some(Site { at, length, kind })
    };
    Ok(entries.filter_map(site).collect())
}

/// The trampolines of static calls, each by its ending.
pub(super) fn trampolines(host: &mut impl ReadKernel) -> Result<Vec<Site>, Absence> {
    let table = between("__static_call_text_start", "__static_call_text_end", host)?;
    let bytes = read(&table, host)?;
    let starts = (table.start..)
        .step_by(4)
        .zip(bytes.windows(TRAMPOLINE).step_by(4));
    let is_one = |bytes: &[u8]| ENDINGS.iter().any(|ending| bytes.ends_with(ending));
    let found = starts.filter(|(_, bytes)| is_one(bytes));
    let site = |(at, _)| Site {
        at,
        length: 5,
        kind: Kind::Trampoline,
    };
    Ok(found.map(site).collect())
}

/// Those that a name tells, where the kernel has them.
pub(super) fn named(host: &mut impl ReadKernel) -> Vec<Site> {
    let mut found = Vec::new();
    let length = 5;
    for name in TRACERS {
        if let Ok(symbol) = host.find_symbol(name, None) {
            let (at, kind) = (symbol.address, Kind::Tracer);
            found.push(Site { at, length, kind });
        }
    }
    if let Ok(symbol) = host.find_symbol(DISPATCHER, None) {
        let start = host.read_kernel(symbol.address, 4).unwrap_or_default();
        let skipped = if start == ENDBR { 4 } else { 0 };
        let (at, kind) = (symbol.address.wrapping_add(skipped), Kind::Dispatcher);
        found.push(Site { at, length, kind });
    }
    found
}
