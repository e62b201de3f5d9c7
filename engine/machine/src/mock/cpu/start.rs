//! The state in which every vCPU begins: 64-bit kernel code with paging on, laid out as Linux
//! does, so that selectors and descriptors agree with each other.

use oriel_protocol::x86::{DescriptorTable, General, Segment, Special};

use super::{Cpu, XSAVE_SIZE, msrs::Msrs};

/// PG, AM, WP, NE, ET, MP, PE.
const CR0: u64 = 0x8005_0033;
/// OSXSAVE, OSXMMEXCPT, OSFXSR, PGE, PAE.
const CR4: u64 = 0x4_06a0;
/// NXE, LMA, LME, SCE.
const EFER: u64 = 0xd01;
/// Enabled, at its usual place.
const APIC_BASE: u64 = 0xfee0_0800;
const RIP: u64 = 0x1000;
const RSP: u64 = 0x8000;

const KERNEL_CODE: u16 = 0x10;
const KERNEL_DATA: u16 = 0x18;
const USER_DATA: u16 = 0x2b;
const USER_CODE: u16 = 0x33;
const TASK: u16 = 0x40;

impl Cpu {
    /// A vCPU whose page tables are at `cr3`, with its descriptor tables in the page before.
    pub(in crate::mock) fn new(cr3: u64) -> Self {
        Self {
            general: General {
                rip: RIP,
                rsp: RSP,
                rflags: 2,
                ..General::default()
            },
            special: special(cr3),
            pending: None,
            xcr0: 3,
            msrs: Msrs::new(),
            xsave: xsave(),
        }
    }
}

fn special(cr3: u64) -> Special {
    let (cs, ss) = segments_of(0);
    let gdt = cr3.wrapping_sub(0x1000);
    Special {
        cs,
        ss,
        ds: data(0, 0),
        es: data(0, 0),
        fs: data(0, 0),
        gs: data(0, 0),
        tr: task(gdt + 0x800),
        ldt: Segment {
            unusable: true,
            ..Segment::default()
        },
        gdt: DescriptorTable {
            base: gdt,
            limit: 0x4f,
        },
        idt: DescriptorTable {
            base: gdt + 0x400,
            limit: 0x1ff,
        },
        cr0: CR0,
        cr3,
        cr4: CR4,
        efer: EFER,
        apic_base: APIC_BASE,
        ..Special::default()
    }
}

/// CS and SS at a privilege level.
pub(super) fn segments_of(cpl: u8) -> (Segment, Segment) {
    let (code_at, data_at) = match cpl {
        0 => (KERNEL_CODE, KERNEL_DATA),
        _ => (USER_CODE & !3, USER_DATA & !3),
    };
    let code = Segment {
        l: true,
        db: false,
        kind: 0xb,
        ..data(code_at, cpl)
    };
    (code, data(data_at, cpl))
}

fn data(selector: u16, dpl: u8) -> Segment {
    Segment {
        limit: u32::MAX,
        selector: selector | u16::from(dpl),
        kind: 3,
        present: true,
        dpl,
        db: true,
        s: true,
        g: true,
        ..Segment::default()
    }
}

fn task(base: u64) -> Segment {
    Segment {
        base,
        limit: 0x67,
        selector: TASK,
        kind: 0xb,
        present: true,
        ..Segment::default()
    }
}

/// The descriptor table that the selectors above point into, for a task segment at `task`. Those
/// for 32-bit code are null.
pub(in crate::mock) const fn gdt(task: u64) -> [u64; 10] {
    let base = ((task & 0x00ff_ffff) << 16) | ((task & 0xff00_0000) << 32);
    [
        0,
        0,
        0x00af_9b00_0000_ffff,
        0x00cf_9300_0000_ffff,
        0,
        0x00cf_f300_0000_ffff,
        0x00af_fb00_0000_ffff,
        0,
        0x0000_8b00_0000_0067 | base,
        task >> 32,
    ]
}

/// An area as FNINIT and a reset MXCSR leave it.
fn xsave() -> Box<[u8]> {
    let mut area = vec![0; XSAVE_SIZE].into_boxed_slice();
    area[..2].copy_from_slice(&0x37f_u16.to_le_bytes());
    area[24..28].copy_from_slice(&0x1f80_u32.to_le_bytes());
    area
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paging::Mode;

    #[test]
    fn a_vcpu_begins_in_a_long_mode_that_is_consistent() {
        let mut cpu = Cpu::new(0x9000);
        let start = cpu.special;
        assert_eq!(Mode::of(&start), Mode::Long { levels: 4 });
        assert_eq!(cpu.set_special(&start), Ok(()));
        assert_eq!((start.cpl(), start.cs.selector & 3), (0, 0));
        let gdt = gdt(start.tr.base);
        let kind_of = |selector: u16| (gdt[usize::from(selector >> 3)] >> 40) & 0xff;
        assert_eq!(kind_of(start.cs.selector), 0x9b);
        assert_eq!(kind_of(start.tr.selector), 0x8b);
        cpu.set_cpl(3);
        assert_eq!((cpu.special.cpl(), cpu.special.cs.selector), (3, USER_CODE));
        assert_eq!(kind_of(cpu.special.cs.selector), 0xfb);
        assert_eq!(kind_of(cpu.special.ss.selector), 0xf3);
    }
}
