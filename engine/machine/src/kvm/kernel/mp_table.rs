//! Tells a kernel without ACPI where its processors and interrupt controllers are (Intel,
//! "MultiProcessor Specification", version 1.4, chapter 4).

/// Where kernels look for it: in the firmware's last 64 KiB below 1 MiB.
pub(super) const PLACE: u64 = 0xf_0000;

/// The table follows the pointer to it.
const TABLE: u32 = 0xf_0010;
const SPECIFICATION: u8 = 4;
const LOCAL_APIC: u32 = 0xfee0_0000;
const IO_APIC: u32 = 0xfec0_0000;
/// The versions that KVM's APICs say they are.
const LOCAL_VERSION: u8 = 0x14;
const IO_VERSION: u8 = 0x11;
const ISA_INTERRUPTS: u8 = 16;
const EVERY_APIC: u8 = 0xff;

const ENABLED: u8 = 1;
const BOOTS: u8 = 1 << 1;

/// Kinds of interrupt: vectored, NMI, from an 8259.
const VECTORED: u8 = 0;
const NMI: u8 = 1;
const EXTERNAL: u8 = 3;

/// The pointer and the table for so many vCPUs, at most 64.
pub(super) fn bytes(vcpus: u32) -> Vec<u8> {
    let vcpus = u8::try_from(vcpus).unwrap_or(u8::MAX);
    let mut bytes = pointer().to_vec();
    bytes.extend(table(&entries(vcpus)));
    bytes
}

fn pointer() -> [u8; 16] {
    let mut pointer = [0; 16];
    pointer[..4].copy_from_slice(b"_MP_");
    pointer[4..8].copy_from_slice(&TABLE.to_le_bytes());
    // Paragraphs of 16 bytes.
    pointer[8] = 1;
    pointer[9] = SPECIFICATION;
    pointer[10] = checksum(&pointer);
    pointer
}

fn table(entries: &[Vec<u8>]) -> Vec<u8> {
    let body = entries.concat();
    let mut table = vec![0; 44];
    let length = u16::try_from(table.len() + body.len()).unwrap_or(u16::MAX);
    let count = u16::try_from(entries.len()).unwrap_or(u16::MAX);
    table[..4].copy_from_slice(b"PCMP");
    table[4..6].copy_from_slice(&length.to_le_bytes());
    table[6] = SPECIFICATION;
    table[8..16].copy_from_slice(b"ORIEL   ");
    table[16..28].copy_from_slice(b"REFERENCEVMM");
    table[34..36].copy_from_slice(&count.to_le_bytes());
    table[36..40].copy_from_slice(&LOCAL_APIC.to_le_bytes());
    table.extend(body);
    table[7] = checksum(&table);
    table
}

/// Processors, the bus, the IOAPIC behind them, and how interrupts come to it.
fn entries(vcpus: u8) -> Vec<Vec<u8>> {
    let mut entries: Vec<_> = (0..vcpus).map(processor).collect();
    entries.push([&[1, 0], &b"ISA   "[..]].concat());
    entries.push([&[2, vcpus, IO_VERSION, ENABLED], &IO_APIC.to_le_bytes()[..]].concat());
    entries.extend((0..ISA_INTERRUPTS).map(|irq| vec![3, VECTORED, 0, 0, 0, irq, vcpus, irq]));
    entries.push(vec![4, EXTERNAL, 0, 0, 0, 0, 0, 0]);
    entries.push(vec![4, NMI, 0, 0, 0, 0, EVERY_APIC, 1]);
    entries
}

fn processor(index: u8) -> Vec<u8> {
    let boots = if index == 0 { BOOTS } else { 0 };
    let mut entry = vec![0; 20];
    entry[1..4].copy_from_slice(&[index, LOCAL_VERSION, ENABLED | boots]);
    entry
}

/// What makes all bytes add up to 0.
fn checksum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0u8, |sum, byte| sum.wrapping_sub(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointer_and_table_add_up_to_nothing() {
        for vcpus in [1, 2, 64] {
            let bytes = bytes(vcpus);
            let (pointer, table) = bytes.split_at(16);
            assert_eq!(checksum(pointer), 0);
            assert_eq!(checksum(table), 0);
            let length = u16::from_le_bytes([table[4], table[5]]);
            assert_eq!(usize::from(length), table.len());
        }
    }

    #[test]
    fn every_vcpu_is_there_and_the_first_one_boots() {
        let entries = entries(3);
        let flags: Vec<_> = entries.iter().take(3).map(|entry| entry[3]).collect();
        assert_eq!(flags, [3, 1, 1]);
        assert_eq!(entries.len(), 3 + 1 + 1 + 16 + 2);
        let io_apic = &entries[4];
        assert_eq!((io_apic[0], io_apic[1]), (2, 3), "its id is behind theirs");
    }
}
