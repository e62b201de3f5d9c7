//! The state of a vCPU as events carry it, and the registers as GET_REGISTERS answers them. It
//! owns the layout of these big structs (`kvm_regs`, `kvm_sregs` of the x86 ABI); where the values
//! come from is the machine's business.

use super::bytes::{Reader, Writer};
use crate::{
    Dialect,
    x86::{DescriptorTable, General, Segment, Special, msr},
};

/// A vCPU's registers at an event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// General registers.
    pub general: General,
    /// Special registers.
    pub special: Special,
    /// The values of the MSRs in [`Snapshot::MSRS`], in that order.
    pub msrs: [u64; 9],
    /// The view in use; only v7 carries it.
    pub view: u16,
}

impl Snapshot {
    /// Which MSRs an event carries, by number.
    pub const MSRS: [u32; 9] = [
        msr::SYSENTER_CS,
        msr::SYSENTER_ESP,
        msr::SYSENTER_EIP,
        msr::EFER,
        msr::STAR,
        msr::LSTAR,
        msr::CSTAR,
        msr::PAT,
        msr::KERNEL_GS_BASE,
    ];

    /// Bytes on the wire.
    pub const SIZE: usize = 536;

    /// Writes the 536 bytes.
    pub fn put(&self, to: &mut Writer) {
        to.u8(mode(&self.special));
        to.padding(1);
        match to.dialect() {
            Dialect::V7 => to.u16(self.view),
            Dialect::Rfc6 | Dialect::V6 | Dialect::V12 => to.padding(2),
        }
        to.padding(4);
        put_general(to, &self.general);
        put_special(to, &self.special);
        to.words(&self.msrs);
    }

    /// Reads the 536 bytes, zeros where there are fewer.
    pub fn take(from: &mut Reader<'_>) -> Self {
        from.skip(2);
        let view = match (from.dialect(), from.u16()) {
            (Dialect::V7, view) => view,
            (Dialect::Rfc6 | Dialect::V6 | Dialect::V12, _) => 0,
        };
        from.skip(4);
        Self {
            general: take_general(from),
            special: take_special(from),
            msrs: std::array::from_fn(|_| from.u64()),
            view,
        }
    }
}

/// EFER.LME: long mode once paging is on (SDM vol. 4, table 2-2).
const LME: u64 = 1 << 8;
/// EFER.LMA: in long mode.
const LMA: u64 = 1 << 10;
/// CR0.PG: paging.
const PG: u64 = 1 << 31;

/// How many bytes an address of the code that runs has: 8, 4 or 2.
pub(super) const fn mode(special: &Special) -> u8 {
    let long = special.efer & LMA != 0 || special.efer & LME != 0 && special.cr0 & PG != 0;
    if long && special.cs.l {
        8
    } else if special.cs.db {
        4
    } else {
        2
    }
}

/// Writes 144 bytes.
pub(super) fn put_general(to: &mut Writer, general: &General) {
    let g = general;
    to.words(&[g.rax, g.rbx, g.rcx, g.rdx, g.rsi, g.rdi, g.rsp, g.rbp]);
    to.words(&[g.r8, g.r9, g.r10, g.r11, g.r12, g.r13, g.r14, g.r15]);
    to.words(&[g.rip, g.rflags]);
}

/// Reads 144 bytes.
pub(super) fn take_general(from: &mut Reader<'_>) -> General {
    General {
        rax: from.u64(),
        rbx: from.u64(),
        rcx: from.u64(),
        rdx: from.u64(),
        rsi: from.u64(),
        rdi: from.u64(),
        rsp: from.u64(),
        rbp: from.u64(),
        r8: from.u64(),
        r9: from.u64(),
        r10: from.u64(),
        r11: from.u64(),
        r12: from.u64(),
        r13: from.u64(),
        r14: from.u64(),
        r15: from.u64(),
        rip: from.u64(),
        rflags: from.u64(),
    }
}

/// Bytes of the bitmap of pending interrupts, which Oriel does not know.
const INTERRUPTS: usize = 32;

/// Writes 312 bytes.
pub(super) fn put_special(to: &mut Writer, special: &Special) {
    let s = special;
    for segment in [&s.cs, &s.ds, &s.es, &s.fs, &s.gs, &s.ss, &s.tr, &s.ldt] {
        put_segment(to, segment);
    }
    put_table(to, s.gdt);
    put_table(to, s.idt);
    to.words(&[s.cr0, s.cr2, s.cr3, s.cr4, s.cr8, s.efer, s.apic_base]);
    to.padding(INTERRUPTS);
}

/// Reads 312 bytes.
pub(super) fn take_special(from: &mut Reader<'_>) -> Special {
    let special = Special {
        cs: take_segment(from),
        ds: take_segment(from),
        es: take_segment(from),
        fs: take_segment(from),
        gs: take_segment(from),
        ss: take_segment(from),
        tr: take_segment(from),
        ldt: take_segment(from),
        gdt: take_table(from),
        idt: take_table(from),
        cr0: from.u64(),
        cr2: from.u64(),
        cr3: from.u64(),
        cr4: from.u64(),
        cr8: from.u64(),
        efer: from.u64(),
        apic_base: from.u64(),
    };
    from.skip(INTERRUPTS);
    special
}

fn put_segment(to: &mut Writer, segment: &Segment) {
    to.u64(segment.base);
    to.u32(segment.limit);
    to.u16(segment.selector);
    to.u8(segment.kind);
    to.switch(segment.present);
    to.u8(segment.dpl);
    to.switch(segment.db);
    to.switch(segment.s);
    to.switch(segment.l);
    to.switch(segment.g);
    to.switch(segment.avl);
    to.switch(segment.unusable);
    to.padding(1);
}

fn take_segment(from: &mut Reader<'_>) -> Segment {
    let segment = Segment {
        base: from.u64(),
        limit: from.u32(),
        selector: from.u16(),
        kind: from.u8(),
        present: from.u8() != 0,
        dpl: from.u8(),
        db: from.u8() != 0,
        s: from.u8() != 0,
        l: from.u8() != 0,
        g: from.u8() != 0,
        avl: from.u8() != 0,
        unusable: from.u8() != 0,
    };
    from.skip(1);
    segment
}

fn put_table(to: &mut Writer, table: DescriptorTable) {
    to.u64(table.base);
    to.u16(table.limit);
    to.padding(6);
}

fn take_table(from: &mut Reader<'_>) -> DescriptorTable {
    let table = DescriptorTable {
        base: from.u64(),
        limit: from.u16(),
    };
    from.skip(6);
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(view: u16) -> Snapshot {
        Snapshot {
            general: General {
                rax: 1,
                rip: 0xffff_ffff_8100_0000,
                rflags: 2,
                ..General::default()
            },
            special: Special {
                cs: Segment {
                    selector: 0x10,
                    l: true,
                    ..Segment::default()
                },
                efer: LMA,
                ..Special::default()
            },
            msrs: [1, 2, 3, 4, 5, 6, 7, 8, 9],
            view,
        }
    }

    #[test]
    fn it_has_536_bytes_and_only_v7_has_a_view() {
        for dialect in Dialect::ALL {
            let mut to = Writer::new(dialect);
            snapshot(3).put(&mut to);
            let bytes = to.into_bytes();
            assert_eq!(bytes.len(), Snapshot::SIZE);
            let view = if dialect == Dialect::V7 { 3 } else { 0 };
            assert_eq!(bytes[2..4], u16::to_le_bytes(view));
            let taken = Snapshot::take(&mut Reader::new(dialect, &bytes));
            assert_eq!(taken, snapshot(view));
        }
    }

    #[test]
    fn the_mode_follows_the_code_segment() {
        let special = |efer, cr0, l, db| Special {
            cs: Segment {
                l,
                db,
                ..Segment::default()
            },
            efer,
            cr0,
            ..Special::default()
        };
        let cases = [
            (special(LMA, PG, true, false), 8),
            (special(LME, PG, true, false), 8),
            (special(LME, 0, true, true), 4),
            (special(LMA, PG, false, true), 4),
            (special(LMA, PG, false, false), 2),
            (special(0, 1, false, true), 4),
            (special(0, 0, false, false), 2),
        ];
        for (special, expected) in cases {
            assert_eq!(mode(&special), expected, "{special:?}");
        }
    }
}
