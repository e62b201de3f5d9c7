//! Segments and descriptor tables, which the gdbstub does not show: read from what QEMU's monitor
//! answers to `info registers`. General and control registers are the stub's to say.

use oriel_protocol::x86::{DescriptorTable, Segment, Special};

/// Sets what the text says of; none: it says not everything, or makes no sense.
pub(super) fn read(text: &str, special: &mut Special) -> Option<()> {
    let segments = [
        ("ES", &mut special.es),
        ("CS", &mut special.cs),
        ("SS", &mut special.ss),
        ("DS", &mut special.ds),
        ("FS", &mut special.fs),
        ("GS", &mut special.gs),
        ("LDT", &mut special.ldt),
        ("TR", &mut special.tr),
    ];
    for (name, segment) in segments {
        *segment = self::segment(after(text, name)?)?;
    }
    special.gdt = table(after(text, "GDT")?)?;
    special.idt = table(after(text, "IDT")?)?;
    Some(())
}

/// The rest of the line that begins with `NAME =` or `NAME=`.
fn after<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let rest = line.strip_prefix(name)?.trim_start_matches(' ');
        rest.strip_prefix('=')
    })
}

/// `SELECTOR BASE LIMIT FLAGS …`: the flags are the second word of the descriptor.
fn segment(rest: &str) -> Option<Segment> {
    let mut words = rest.split_whitespace();
    let selector = u16::from_str_radix(words.next()?, 16).ok()?;
    let base = u64::from_str_radix(words.next()?, 16).ok()?;
    let limit = u32::from_str_radix(words.next()?, 16).ok()?;
    let flags = u32::from_str_radix(words.next()?, 16).ok()?;
    let bit = |bit: u32| flags >> bit & 1 != 0;
    let low = |shift: u32, mask: u32| u8::try_from(flags >> shift & mask).unwrap_or_default();
    Some(Segment {
        base,
        limit,
        selector,
        kind: low(8, 0xf),
        present: bit(15),
        dpl: low(13, 3),
        db: bit(22),
        s: bit(12),
        l: bit(21),
        g: bit(23),
        avl: bit(20),
        unusable: !bit(15),
    })
}

/// `BASE LIMIT`
fn table(rest: &str) -> Option<DescriptorTable> {
    let mut words = rest.split_whitespace();
    let base = u64::from_str_radix(words.next()?, 16).ok()?;
    let limit = u32::from_str_radix(words.next()?, 16).ok()?;
    Some(DescriptorTable {
        base,
        limit: u16::try_from(limit).ok()?,
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::qemu) const TEXT: &str = "\r
CPU#0\r
RIP=ffffffff8b217a0b RFL=00000246 [---Z-P-] CPL=0 II=0 A20=1 SMM=0 HLT=1\r
ES =0000 0000000000000000 00000000 00000000\r
CS =0010 0000000000000000 ffffffff 00af9b00 DPL=0 CS64 [-RA]\r
SS =0018 0000000000000000 ffffffff 00cf9300 DPL=0 DS   [-WA]\r
DS =0000 0000000000000000 00000000 00000000\r
FS =0000 0000000000000000 00000000 00000000\r
GS =0000 ffff8f220f600000 00000000 00000000\r
LDT=0000 0000000000000000 00000000 00008200 DPL=0 LDT\r
TR =0040 fffffe0000003000 00004087 00008900 DPL=0 TSS64-avl\r
GDT=     fffffe0000001000 0000007f\r
IDT=     fffffe0000000000 00000fff\r
CR0=80050033 CR2=000000000042ee70 CR3=000000000a810000 CR4=000006b0\r
";

    #[test]
    fn segments_and_tables_are_read() {
        let mut special = Special::default();
        read(TEXT, &mut special).unwrap();
        let cs = special.cs;
        assert_eq!((cs.selector, cs.limit, cs.kind), (0x10, u32::MAX, 0xb));
        assert!(cs.present && cs.s && cs.l && cs.g && !cs.db && !cs.unusable);
        assert!(special.ss.db && special.ss.dpl == 0 && special.es.unusable);
        assert_eq!(special.gs.base, 0xffff_8f22_0f60_0000);
        assert_eq!((special.tr.limit, special.tr.kind), (0x4087, 9));
        assert_eq!(special.idt.base, 0xffff_fe00_0000_0000);
        assert_eq!((special.gdt.limit, special.idt.limit), (0x7f, 0xfff));
    }

    #[test]
    fn what_is_cut_short_is_nothing() {
        let lines: Vec<_> = TEXT.lines().collect();
        for end in 0..lines.len() - 1 {
            let mut special = Special::default();
            assert_eq!(read(&lines[..end].join("\n"), &mut special), None, "{end}");
        }
        let damaged = TEXT.replace("IDT=     fffffe", "IDT=     xffffe");
        assert_eq!(read(&damaged, &mut Special::default()), None);
    }
}
