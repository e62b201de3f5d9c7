//! Kprobes: places of code where somebody has had the kernel put an INT3, or a jump instead of it. The
//! kernel's own list says where, and what stood there before. Owns how that is undone in a copy.

use std::ops::Range;

use oriel_sdk::Fixed as _;
use oriel_sdk::linux::{Absence, ReadKernel};

use crate::form::Form;
use crate::sites::data;

/// Heads of the kernel's table (`KPROBE_HASH_BITS`), and the most probes that are read in a call.
const HEADS: u64 = 64;
const PROBES: usize = 128;
/// Its code is a jump now (`KPROBE_FLAG_OPTIMIZED`).
const OPTIMIZED: u32 = 4;
/// Bytes of that jump.
const JUMP: usize = 5;

/// A probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Probe {
    at: u64,
    /// The first byte that stood there.
    opcode: u8,
    /// The four behind it, and where the jump leads, if it is one.
    jump: Option<([u8; JUMP - 1], u64)>,
}

/// Those of the kernel, as they were when it was last asked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Probes {
    layout: Option<Layout>,
    all: Vec<Probe>,
}

/// Where the table and the members of its structures are.
#[derive(Clone, Copy, Debug)]
struct Layout {
    table: u64,
    node: usize,
    addr: usize,
    opcode: usize,
    flags: usize,
    size: u64,
    /// The bytes that a jump has replaced, the address it leads to, and the bytes of it all; a kernel
    /// may be built without.
    jump: Option<(usize, usize, u64)>,
}

impl Layout {
    /// None: the kernel has no probes.
    fn find(host: &mut impl ReadKernel) -> Result<Option<Self>, Absence> {
        let Some(table) = data("kprobe_table", host)? else {
            return Ok(None);
        };
        Ok(Some(Self {
            table,
            node: offset("kprobe.hlist", host)?,
            addr: offset("kprobe.addr", host)?,
            opcode: offset("kprobe.opcode", host)?,
            flags: offset("kprobe.flags", host)?,
            size: size("kprobe", host)?,
            jump: Self::find_jump(host).ok(),
        }))
    }

    fn find_jump(host: &mut impl ReadKernel) -> Result<(usize, usize, u64), Absence> {
        Ok((
            offset("optimized_kprobe.optinsn.copied_insn", host)?,
            offset("optimized_kprobe.optinsn.insn", host)?,
            size("optimized_kprobe", host)?,
        ))
    }
}

fn offset(path: &str, host: &mut impl ReadKernel) -> Result<usize, Absence> {
    let offset = host.find_field(path, None)?.offset;
    usize::try_from(offset).map_err(|_| Absence::Unknown(format!("{path} is absurd")))
}

fn size(name: &str, host: &mut impl ReadKernel) -> Result<u64, Absence> {
    let size = host.find_field(name, None)?.size;
    let sound = (16..=4096).contains(&size);
    sound
        .then_some(size)
        .ok_or_else(|| Absence::Unknown(format!("{name} is absurd")))
}

impl Probes {
    /// Asks the kernel anew. What it cannot say leaves no probe known.
    pub(crate) fn look(&mut self, host: &mut impl ReadKernel) -> Result<(), Absence> {
        self.all.clear();
        if self.layout.is_none() {
            self.layout = Layout::find(host)?;
        }
        let Some(layout) = self.layout else {
            return Ok(());
        };
        let heads = host.read_kernel(layout.table, HEADS * 8)?;
        let heads = heads.chunks_exact(8).filter_map(|head| u64::at(head, 0));
        for first in heads.filter(|first| *first != 0) {
            self.chain(first, layout, host)?;
        }
        Ok(())
    }

    fn chain(
        &mut self,
        first: u64,
        layout: Layout,
        host: &mut impl ReadKernel,
    ) -> Result<(), Absence> {
        let mut next = first;
        while next != 0 {
            if self.all.len() == PROBES {
                return Err(Absence::Unknown(format!(
                    "there are more than {PROBES} kprobes"
                )));
            }
            let start = next.wrapping_sub(layout.node as u64);
            let bytes = host.read_kernel(start, layout.size)?;
            next = u64::at(&bytes, layout.node).unwrap_or(0);
            self.all.extend(read(start, &bytes, layout, host));
        }
        Ok(())
    }

    /// Whether a probe has its code there.
    pub(crate) fn cover(&self, range: &Range<u64>) -> bool {
        let is_in = |probe: &Probe| {
            probe.at <= range.start && range.end <= probe.at.saturating_add(JUMP as u64)
        };
        self.all.iter().any(is_in)
    }

    /// Puts what stood there before into a copy of memory from `start` on, where a probe stands.
    /// `whole` goes on behind it.
    pub(crate) fn undo(&self, start: u64, whole: &[u8], copy: &mut [u8]) {
        for probe in &self.all {
            match (probe.stands(start, whole), probe.jump) {
                (Form::Breakpoint, _) => put(copy, start, probe.at, &[probe.opcode]),
                (Form::Jump(to), Some((rest, own))) if to == own => {
                    put(copy, start, probe.at, &[probe.opcode]);
                    put(copy, start, probe.at.wrapping_add(1), &rest);
                }
                // It began on the page before, whose look judges the jump.
                (_, Some((rest, _))) if probe.at < start => {
                    put(copy, start, probe.at.wrapping_add(1), &rest);
                }
                (_, _) => {}
            }
        }
    }
}

impl Probe {
    fn stands(&self, start: u64, whole: &[u8]) -> Form {
        let offset = self
            .at
            .checked_sub(start)
            .and_then(|at| usize::try_from(at).ok());
        let bytes = offset.and_then(|at| whole.get(at..)).unwrap_or_default();
        Form::of(self.at, bytes.get(..JUMP).unwrap_or(bytes))
    }
}

fn read(start: u64, bytes: &[u8], layout: Layout, host: &mut impl ReadKernel) -> Option<Probe> {
    let at = u64::at(bytes, layout.addr)?;
    let opcode = *bytes.get(layout.opcode)?;
    let is_jump = u32::at(bytes, layout.flags)? & OPTIMIZED != 0;
    let jump = layout.jump.filter(|_| is_jump).and_then(|(old, to, size)| {
        let bytes = host.read_kernel(start, size).ok()?;
        let old = bytes.get(old..)?.first_chunk()?;
        Some((*old, u64::at(&bytes, to)?))
    });
    Some(Probe { at, opcode, jump })
}

/// Puts bytes at an address into what begins at another, as far as they lie in it.
fn put(copy: &mut [u8], start: u64, at: u64, bytes: &[u8]) {
    for (at, byte) in (at..).zip(bytes) {
        let offset = at
            .checked_sub(start)
            .and_then(|at| usize::try_from(at).ok());
        if let Some(place) = offset.and_then(|at| copy.get_mut(at)) {
            *place = *byte;
        }
    }
}
