//! What the guest runs, in 64-bit kernel mode, and how a vCPU is put at its beginning.

use kvm_bindings::{KVM_MAX_CPUID_ENTRIES, kvm_regs, kvm_segment};
use kvm_ioctls::{Kvm, VcpuFd, VmFd};
use vm_memory::{Bytes as _, GuestAddress, GuestMemoryMmap};

/// How much memory it has.
pub(crate) const MEMORY: usize = 1 << 16;
/// Where it begins.
pub(crate) const ENTRY: u64 = 0x1000;
/// The addition to the vCPU's counter.
pub(crate) const COUNT: u64 = ENTRY + 0x19;
/// Where the vCPUs store, each to a line of its own.
pub(crate) const PAGE: u64 = 0x8000;
const LINE: u64 = 64;
/// Where they count, each in a word of its own.
pub(crate) const COUNTERS: u64 = 0x9000;
/// Where they say after each round whether the store stands: 1 or 0.
pub(crate) const PORT: u16 = 0x80;
/// What the first round writes to LSTAR, and each round adds.
pub(crate) const STEP: u64 = 0x1000;

/// Rounds without an end.
pub(crate) const ROUNDS: &[u8] = &[
    0xb9, 0x82, 0x00, 0x00, 0xc0, // mov ecx, LSTAR
    0x31, 0xd2, 0x31, 0xc0, // xor edx, edx; xor eax, eax
    0x05, 0x00, 0x10, 0x00, 0x00, // round: add eax, STEP
    0x0f, 0x30, // wrmsr
    0x48, 0x89, 0x03, // mov [rbx], rax
    0x48, 0x39, 0x03, // cmp [rbx], rax
    0x0f, 0x94, 0xc0, // sete al
    0x48, 0xff, 0x06, // inc qword [rsi]
    0xe6, 0x80, 0x30, 0xc0, // out PORT, al; xor al, al
    0xeb, 0xe7, // jmp round
];
/// Counts for ever, and never comes out by itself: `inc qword [rsi]; jmp` to it.
pub(crate) const SPIN: &[u8] = &[0x48, 0xff, 0x06, 0xeb, 0xfb];

const TABLES: [u64; 3] = [0x2000, 0x3000, 0x4000];
const PRESENT_WRITABLE: u64 = 0b11;
const LARGE: u64 = 1 << 7;
/// PE, MP, ET, NE, WP, PG; PAE, OSFXSR, OSXMMEXCPT; LME, LMA.
const CONTROL: (u64, u64, u64) = (0x8001_0033, 0x620, 0x500);

/// Puts the code in memory, and tables that map it where it is.
pub(crate) fn load(memory: &GuestMemoryMmap<()>, code: &[u8]) {
    let [pml4, pdpt, directory] = TABLES;
    let words = [
        (pml4, pdpt | PRESENT_WRITABLE),
        (pdpt, directory | PRESENT_WRITABLE),
        (directory, LARGE | PRESENT_WRITABLE),
    ];
    for (at, word) in words {
        memory.write_obj(word, GuestAddress(at)).unwrap();
    }
    memory.write_slice(code, GuestAddress(ENTRY)).unwrap();
}

/// A vCPU at the beginning.
pub(crate) fn vcpu(kvm: &Kvm, vm: &VmFd, index: u64) -> VcpuFd {
    let vcpu = vm.create_vcpu(index).unwrap();
    let features = kvm.get_supported_cpuid(KVM_MAX_CPUID_ENTRIES).unwrap();
    vcpu.set_cpuid2(&features).unwrap();
    let mut sregs = vcpu.get_sregs().unwrap();
    (sregs.cr0, sregs.cr4, sregs.efer) = CONTROL;
    sregs.cr3 = TABLES[0];
    sregs.cs = segment(0x08, 0xb);
    (sregs.ds, sregs.es, sregs.ss) = (segment(0x10, 3), segment(0x10, 3), segment(0x10, 3));
    vcpu.set_sregs(&sregs).unwrap();
    start(&vcpu, index);
    vcpu
}

/// Puts its general registers back to where it begins.
pub(crate) fn start(vcpu: &VcpuFd, index: u64) {
    let regs = kvm_regs {
        rip: ENTRY,
        rbx: PAGE + LINE * index,
        rsi: COUNTERS + 8 * index,
        rflags: 2,
        ..Default::default()
    };
    vcpu.set_regs(&regs).unwrap();
}

fn segment(selector: u16, type_: u8) -> kvm_segment {
    kvm_segment {
        limit: u32::MAX,
        selector,
        type_,
        present: 1,
        db: u8::from(type_ == 3),
        s: 1,
        l: u8::from(type_ == 0xb),
        g: 1,
        ..Default::default()
    }
}
