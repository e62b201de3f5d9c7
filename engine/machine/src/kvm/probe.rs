//! What this KVM does in its own way, found out by trying, in a VM of its own.

use std::{io, sync::Arc};

use kvm_ioctls::Kvm;

use super::{
    decode::Habits,
    error::KvmError,
    exit::RawExit,
    loader::{self, FIRST_IMAGE, Image},
    ram::Ram,
    sys::{page::RunPage, vm::MappedVm},
};

/// `out 0x80, al`, and a halt that is never reached.
const OUT: [u8; 3] = [0xe6, 0x80, 0xf4];

/// `mov ecx, IA32_MISC_ENABLE; rdmsr; xor eax, 1 << 11; wrmsr; hlt`. A fault ends in a triple
/// fault, as there is no interrupt table.
const MISC_ENABLE: [u8; 15] = [
    0xb9, 0xa0, 0x01, 0x00, 0x00, 0x0f, 0x32, 0x35, 0x00, 0x08, 0x00, 0x00, 0x0f, 0x30, 0xf4,
];

/// Finds out.
///
/// # Errors
/// [`KvmError`] if there is no KVM to ask.
pub fn habits(kvm: &Kvm) -> Result<Habits, KvmError> {
    let output = first_exit(kvm, &OUT)?;
    let misc_enable = first_exit(kvm, &MISC_ENABLE)?;
    Ok(Habits {
        output_retires: matches!(output, (RawExit::Port(_), ip) if ip != FIRST_IMAGE),
        guarded_misc_enable: misc_enable.0 != RawExit::Halt,
    })
}

/// Runs code in long mode; its first exit, and where the instruction pointer is then.
fn first_exit(kvm: &Kvm, code: &[u8]) -> Result<(RawExit, u64), KvmError> {
    let image = Image {
        bytes: code.to_vec(),
        load: FIRST_IMAGE,
        entry: FIRST_IMAGE,
    };
    let ram = Ram::new(2)?;
    let vm = kvm.create_vm().map_err(KvmError::host("KVM_CREATE_VM"))?;
    let vm = MappedVm::new(vm, ram.map()?).map_err(KvmError::host("KVM_SET_USER_MEMORY_REGION"))?;
    image
        .load(&ram.alias)
        .map_err(io::Error::other)
        .map_err(KvmError::host("loading the probe"))?;
    run(kvm, &vm, &image).map_err(KvmError::host("probing a vCPU"))
}

fn run(kvm: &Kvm, vm: &Arc<MappedVm>, image: &Image) -> io::Result<(RawExit, u64)> {
    let mut vcpu = vm.create_vcpu(0)?;
    loader::prepare(kvm, &vcpu.fd, image, 0, 1)?;
    let page = RunPage::map(&vcpu.fd, vm.fd().run_size())?;
    vcpu.fd.run().map(drop)?;
    Ok((page.exit(), vcpu.fd.get_regs()?.rip))
}
