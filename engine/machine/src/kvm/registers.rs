//! Registers as KVM has them, and as the engine does.

use kvm_bindings::{kvm_dtable, kvm_regs, kvm_segment, kvm_sregs};
use oriel_protocol::x86::{DescriptorTable, General, Segment, Special};

pub(super) fn general(regs: &kvm_regs) -> General {
    General {
        rax: regs.rax,
        rbx: regs.rbx,
        rcx: regs.rcx,
        rdx: regs.rdx,
        rsi: regs.rsi,
        rdi: regs.rdi,
        rsp: regs.rsp,
        rbp: regs.rbp,
        r8: regs.r8,
        r9: regs.r9,
        r10: regs.r10,
        r11: regs.r11,
        r12: regs.r12,
        r13: regs.r13,
        r14: regs.r14,
        r15: regs.r15,
        rip: regs.rip,
        rflags: regs.rflags,
    }
}

pub(super) fn from_general(general: &General) -> kvm_regs {
    kvm_regs {
        rax: general.rax,
        rbx: general.rbx,
        rcx: general.rcx,
        rdx: general.rdx,
        rsi: general.rsi,
        rdi: general.rdi,
        rsp: general.rsp,
        rbp: general.rbp,
        r8: general.r8,
        r9: general.r9,
        r10: general.r10,
        r11: general.r11,
        r12: general.r12,
        r13: general.r13,
        r14: general.r14,
        r15: general.r15,
        rip: general.rip,
        rflags: general.rflags,
    }
}

pub(super) fn special(sregs: &kvm_sregs) -> Special {
    Special {
        cs: segment(&sregs.cs),
        ds: segment(&sregs.ds),
        es: segment(&sregs.es),
        fs: segment(&sregs.fs),
        gs: segment(&sregs.gs),
        ss: segment(&sregs.ss),
        tr: segment(&sregs.tr),
        ldt: segment(&sregs.ldt),
        gdt: DescriptorTable {
            base: sregs.gdt.base,
            limit: sregs.gdt.limit,
        },
        idt: DescriptorTable {
            base: sregs.idt.base,
            limit: sregs.idt.limit,
        },
        cr0: sregs.cr0,
        cr2: sregs.cr2,
        cr3: sregs.cr3,
        cr4: sregs.cr4,
        cr8: sregs.cr8,
        efer: sregs.efer,
        apic_base: sregs.apic_base,
    }
}

/// The system registers with these in place of theirs; pending interrupts stay as they are.
pub(super) fn with_special(special: &Special, sregs: &kvm_sregs) -> kvm_sregs {
    kvm_sregs {
        cs: from_segment(&special.cs),
        ds: from_segment(&special.ds),
        es: from_segment(&special.es),
        fs: from_segment(&special.fs),
        gs: from_segment(&special.gs),
        ss: from_segment(&special.ss),
        tr: from_segment(&special.tr),
        ldt: from_segment(&special.ldt),
        gdt: from_table(&special.gdt),
        idt: from_table(&special.idt),
        cr0: special.cr0,
        cr2: special.cr2,
        cr3: special.cr3,
        cr4: special.cr4,
        cr8: special.cr8,
        efer: special.efer,
        apic_base: special.apic_base,
        interrupt_bitmap: sregs.interrupt_bitmap,
    }
}

fn segment(segment: &kvm_segment) -> Segment {
    Segment {
        base: segment.base,
        limit: segment.limit,
        selector: segment.selector,
        kind: segment.type_,
        present: segment.present != 0,
        dpl: segment.dpl,
        db: segment.db != 0,
        s: segment.s != 0,
        l: segment.l != 0,
        g: segment.g != 0,
        avl: segment.avl != 0,
        unusable: segment.unusable != 0,
    }
}

fn from_segment(segment: &Segment) -> kvm_segment {
    kvm_segment {
        base: segment.base,
        limit: segment.limit,
        selector: segment.selector,
        type_: segment.kind & 0xf,
        present: u8::from(segment.present),
        dpl: segment.dpl & 3,
        db: u8::from(segment.db),
        s: u8::from(segment.s),
        l: u8::from(segment.l),
        g: u8::from(segment.g),
        avl: u8::from(segment.avl),
        unusable: u8::from(segment.unusable),
        padding: 0,
    }
}

fn from_table(table: &DescriptorTable) -> kvm_dtable {
    kvm_dtable {
        base: table.base,
        limit: table.limit,
        padding: [0; 3],
    }
}

#[cfg(test)]
mod tests {
    use oriel_protocol::x86::Register;

    use super::*;

    #[test]
    fn general_registers_come_back_as_they_went() {
        let mut there = General::default();
        for (number, register) in (1..).zip(Register::GENERAL) {
            *there.field(register).unwrap() = number;
        }
        assert_eq!(general(&from_general(&there)), there);
    }

    #[test]
    fn system_registers_come_back_as_they_went() {
        let mut next = 0;
        let mut segment = || {
            next += 1;
            Segment {
                base: next,
                selector: 8,
                kind: 3,
                dpl: 3,
                present: true,
                l: true,
                ..Default::default()
            }
        };
        let there = Special {
            cs: segment(),
            ds: segment(),
            es: segment(),
            fs: segment(),
            gs: segment(),
            ss: segment(),
            tr: segment(),
            ldt: segment(),
            gdt: DescriptorTable {
                base: 0x1000,
                limit: 0x17,
            },
            idt: DescriptorTable {
                base: 0x2000,
                limit: 0xfff,
            },
            cr0: 1,
            cr2: 2,
            cr3: 3,
            cr4: 4,
            cr8: 8,
            efer: 5,
            apic_base: 6,
        };
        let sregs = kvm_sregs {
            interrupt_bitmap: [7; 4],
            ..Default::default()
        };
        let back = with_special(&there, &sregs);
        assert_eq!(special(&back), there);
        assert_eq!(back.interrupt_bitmap, [7; 4]);
    }
}
