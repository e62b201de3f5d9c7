use super::{
    foreign::{APIC_BASE, IA32_TSC},
    *,
};

const PLAIN: Features = Features {
    long_mode: true,
    no_execute: true,
    svm: false,
    fast_fxsave: false,
    automatic_ibrs: false,
    rdtscp_or_rdpid: false,
    five_level_paging: false,
    guarded_misc_enable: true,
};
/// SCE, LME, LMA and NXE, under paging.
const LONG: Now = Now {
    old: 0xd01,
    paging: true,
};

fn write(number: u32, value: u64, has: Features, now: Now) -> Result<u64, Faults> {
    host_value(class(number).unwrap(), value, has, now)
}

#[test]
fn efer_bits_need_their_feature() {
    let bits = [
        (EFER_SVME, Features { svm: true, ..PLAIN }),
        (
            EFER_FFXSR,
            Features {
                fast_fxsave: true,
                ..PLAIN
            },
        ),
        (
            EFER_AUTOIBRS,
            Features {
                automatic_ibrs: true,
                ..PLAIN
            },
        ),
    ];
    for (bit, with) in bits {
        assert_eq!(
            write(msr::EFER, 0xd01 | bit, PLAIN, LONG),
            Err(Faults),
            "{bit:#x}"
        );
        assert_eq!(write(msr::EFER, 0xd01 | bit, with, LONG), Ok(0xd01 | bit));
    }
    let without = Features {
        no_execute: false,
        ..PLAIN
    };
    assert_eq!(write(msr::EFER, 0xd01, without, LONG), Err(Faults));
}

#[test]
fn long_mode_cannot_be_left_under_paging() {
    assert_eq!(write(msr::EFER, 0xc01, PLAIN, LONG), Err(Faults));
    let off = Now {
        old: 0x100,
        paging: false,
    };
    assert_eq!(write(msr::EFER, 0, PLAIN, off), Ok(0));
}

#[test]
fn lma_is_neither_set_nor_cleared_by_a_write() {
    assert_eq!(write(msr::EFER, 0x901, PLAIN, LONG), Ok(0x901));
    assert_eq!(efer_after(0x901, 0xd01), 0xd01);
    assert_eq!(efer_after(0xd01, 0x901), 0x901);
}

#[test]
fn addresses_are_canonical_for_the_widest_paging() {
    let five = Features {
        five_level_paging: true,
        ..PLAIN
    };
    for number in [
        msr::LSTAR,
        msr::CSTAR,
        msr::FS_BASE,
        msr::GS_BASE,
        msr::KERNEL_GS_BASE,
    ] {
        let write = |value, has| write(number, value, has, Now::default());
        assert_eq!(
            write(0xffff_ffff_8100_0000, PLAIN),
            Ok(0xffff_ffff_8100_0000)
        );
        assert_eq!(write(0x7fff_ffff_ffff, PLAIN), Ok(0x7fff_ffff_ffff));
        assert_eq!(write(0x8000_0000_0000, PLAIN), Err(Faults));
        assert_eq!(write(0x8000_0000_0000, five), Ok(0x8000_0000_0000));
        assert_eq!(write(0x1234_0000_0000_0000, five), Err(Faults));
    }
}

#[test]
fn sysenter_takes_any_address_as_kvm_makes_it_canonical() {
    let wild = 0x1234_0000_0000_0000;
    for number in [msr::SYSENTER_ESP, msr::SYSENTER_EIP] {
        assert_eq!(write(number, wild, PLAIN, Now::default()), Ok(wild));
    }
}

#[test]
fn misc_enable_has_bits_that_fault_and_bits_that_are_ignored() {
    let now = Now {
        old: 1 << 11,
        paging: true,
    };
    assert_eq!(write(MISC_ENABLE, 1 << 11 | 1, PLAIN, now), Ok(1 << 11 | 1));
    assert_eq!(write(MISC_ENABLE, 1, PLAIN, now), Err(Faults));
    assert_eq!(
        write(MISC_ENABLE, 1 << 11 | 1 << 12, PLAIN, now),
        Err(Faults)
    );
    assert_eq!(
        write(MISC_ENABLE, 1 << 11 | 1 << 7, PLAIN, now),
        Ok(1 << 11)
    );
}

#[test]
fn misc_enable_is_plain_where_kvm_does_not_guard_it() {
    let has = Features {
        guarded_misc_enable: false,
        ..PLAIN
    };
    assert_eq!(
        write(MISC_ENABLE, u64::MAX, has, Now::default()),
        Ok(u64::MAX)
    );
}

#[test]
fn tsc_aux_needs_an_instruction_that_reads_it() {
    let has = Features {
        rdtscp_or_rdpid: true,
        ..PLAIN
    };
    assert_eq!(write(msr::TSC_AUX, 7, PLAIN, Now::default()), Err(Faults));
    assert_eq!(write(msr::TSC_AUX, 7, has, Now::default()), Ok(7));
    assert!(is_readable(Class::TscAux, has) && !is_readable(Class::TscAux, PLAIN));
    assert!(is_readable(Class::Exact, PLAIN));
}

#[test]
fn what_a_hosts_write_would_mean_otherwise_is_not_filtered() {
    for number in [
        IA32_TSC,
        APIC_BASE,
        0x808,
        0x10a,
        0x4b56_4d01,
        0xc1,
        0x401,
        0xc001_0000,
    ] {
        assert!(class(number).is_err(), "{number:#x}");
    }
}

#[test]
fn features_are_read_from_cpuid() {
    let entry = |function, ecx, edx| kvm_cpuid_entry2 {
        function,
        ecx,
        edx,
        ..Default::default()
    };
    let has = Features::of(&[
        entry(7, 1 << 16, 0),
        entry(0x8000_0001, 1 << 2, 1 << 29 | 1 << 20),
    ]);
    let expected = Features {
        five_level_paging: true,
        svm: true,
        ..PLAIN
    };
    assert_eq!(has, expected);
    let nothing = Features {
        guarded_misc_enable: true,
        ..Features::default()
    };
    assert_eq!(Features::of(&[]), nothing);
}
