//! What CPUID answers: a plain 64-bit processor that says it runs under a hypervisor.

use oriel_protocol::x86::CpuidLeaf;

const fn registers(eax: u32, ebx: u32, ecx: u32, edx: u32) -> CpuidLeaf {
    CpuidLeaf { eax, ebx, ecx, edx }
}

/// The leaf; none if it does not exist. Leaves without sub-leaves ignore the index.
pub(super) const fn leaf(function: u32, index: u32) -> Option<CpuidLeaf> {
    Some(match (function, index) {
        // Highest leaf, "GenuineIntel".
        (0, _) => registers(0xd, 0x756e_6547, 0x6c65_746e, 0x4965_6e69),
        // Hypervisor, OSXSAVE, XSAVE, x2APIC, SSE4; SSE2, SSE, FXSR, PAT, PGE, PAE, MSR, TSC, FPU.
        (1, _) => registers(0x0000_06a0, 0x0000_0800, 0x8c38_0201, 0x0781_a171),
        (7 | 0xd, 1..) => registers(0, 0, 0, 0),
        (7, 0) => registers(0, 0, 0, 0),
        // x87 and SSE state: 576 bytes.
        (0xd, 0) => registers(3, 576, 576, 0),
        // "OrielOrielOr".
        (0x4000_0000, _) => registers(0x4000_0000, 0x6569_724f, 0x6972_4f6c, 0x724f_6c65),
        (0x8000_0000, _) => registers(0x8000_0008, 0, 0, 0),
        // LM, NX, SYSCALL.
        (0x8000_0001, _) => registers(0, 0, 0, 0x2010_0800),
        // 52 physical and 48 virtual address bits.
        (0x8000_0008, _) => registers(0x3034, 0, 0, 0),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vendors_are_words_and_unknown_leaves_do_not_exist() {
        let text = |words: [u32; 3]| {
            let bytes = words.iter().flat_map(|word| word.to_le_bytes());
            bytes.map(char::from).collect::<String>()
        };
        let cpu = leaf(0, 0).unwrap();
        assert_eq!(text([cpu.ebx, cpu.edx, cpu.ecx]), "GenuineIntel");
        let host = leaf(0x4000_0000, 0).unwrap();
        assert_eq!(text([host.ebx, host.ecx, host.edx]), "OrielOrielOr");
        assert_eq!(leaf(0x1234, 0), None);
    }
}
