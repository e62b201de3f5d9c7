//! Words for what KVM could not do.

use iced_x86::{Formatter as _, IntelFormatter};
use kvm_bindings::{KVM_SYSTEM_EVENT_CRASH, kvm_sregs};

use super::{
    code::Code,
    exit::{InternalError, RawExit},
};
use crate::{End, GuestMemory};

/// Where the vCPU stood, as far as the words need it.
pub(super) struct Scene<'a> {
    pub(super) memory: &'a dyn GuestMemory,
    pub(super) sregs: &'a kvm_sregs,
    pub(super) ip: u64,
    pub(super) vcpu: u32,
}

impl Scene<'_> {
    const fn code(&self) -> Code<'_> {
        Code {
            memory: self.memory,
            sregs: self.sregs,
        }
    }
}

/// How an exit that nobody expects ends the VM: by what the guest has done, or by a failure of
/// the machine. The text says what happened, and what to do.
pub(super) fn end(exit: &RawExit, scene: &Scene<'_>) -> End {
    let at = format!("{:#x} on vCPU {}", scene.ip, scene.vcpu);
    let failure = match exit {
        RawExit::Internal(error) if error.is_emulation() => {
            return End::Crashed(emulation(error, scene));
        }
        RawExit::System(KVM_SYSTEM_EVENT_CRASH) => {
            return End::Crashed(format!("the guest reported a crash at {at}"));
        }
        RawExit::Internal(error) => format!(
            "KVM failed at {at} with internal error {}: see the host's kernel log",
            error.suberror
        ),
        RawExit::FailEntry(reason) => format!(
            "the processor refused to enter the guest at {at} (reason {reason:#x}): its state is not one that hardware allows"
        ),
        RawExit::System(kind) => {
            format!("KVM reported system event {kind}, which Oriel does not know")
        }
        RawExit::Debug(_) => format!("a debug exit at {at} that nobody asked for"),
        RawExit::Other(reason) => {
            format!("KVM exit reason {reason} at {at}, which Oriel does not know")
        }
        RawExit::Msr(exit) => format!("an exit for MSR {:#x} that nobody asked for", exit.msr),
        RawExit::Port(_) | RawExit::Memory { .. } | RawExit::Halt | RawExit::Shutdown => {
            format!("an exit at {at} that has an owner: this is a bug in Oriel")
        }
        RawExit::Fault => return fault(scene),
        RawExit::Interrupted => format!("interrupted at {at}: this is a bug in Oriel"),
    };
    End::Failed(failure)
}

/// `KVM_RUN` answered EFAULT: KVM could not reach the memory behind a guest address, and no trap
/// is why.
fn fault(scene: &Scene<'_>) -> End {
    End::Failed(format!(
        "KVM could not reach guest memory for {}: the memory behind the guest is gone or protected",
        instruction(scene)
    ))
}

fn emulation(error: &InternalError, scene: &Scene<'_>) -> String {
    match error.instruction() {
        Some(bytes) => format!(
            "KVM cannot emulate {}: leave the instruction out of the guest, or use a host whose processor runs it",
            text(&bytes, scene)
        ),
        None => format!(
            "KVM cannot fetch an instruction for {}: the guest has jumped to where there is no memory",
            instruction(scene)
        ),
    }
}

/// The instruction at the instruction pointer, as far as memory says.
fn instruction(scene: &Scene<'_>) -> String {
    match scene.code().bytes(scene.ip) {
        Ok(bytes) => text(&bytes, scene),
        Err(_) => format!("the instruction at {:#x}, which is not in memory", scene.ip),
    }
}

/// The first instruction of these bytes, with its address and its own bytes.
fn text(bytes: &[u8], scene: &Scene<'_>) -> String {
    let instruction = scene.code().decode(bytes, scene.ip);
    let mut mnemonic = String::new();
    let mut formatter = IntelFormatter::new();
    formatter
        .options_mut()
        .set_space_after_operand_separator(true);
    formatter.format(&instruction, &mut mnemonic);
    let own = if instruction.is_invalid() {
        bytes
    } else {
        &bytes[..instruction.len().min(bytes.len())]
    };
    let hex: Vec<_> = own.iter().map(|byte| format!("{byte:02x}")).collect();
    let (ip, vcpu, hex) = (scene.ip, scene.vcpu, hex.join(" "));
    format!("`{mnemonic}` at {ip:#x} (bytes {hex}) on vCPU {vcpu}")
}

#[cfg(test)]
mod tests {
    use vm_memory::{GuestAddress, GuestMemoryMmap};

    use super::*;

    fn emulation_error(bytes: &[u8]) -> RawExit {
        let mut all = [0x90; 16];
        all[0] = 15;
        all[1..=bytes.len()].copy_from_slice(bytes);
        let mut data = [0; 3];
        data[0] = 1;
        data[1] = u64::from_le_bytes(all[..8].try_into().unwrap());
        data[2] = u64::from_le_bytes(all[8..].try_into().unwrap());
        RawExit::Internal(InternalError {
            suberror: 1,
            words: 8,
            data,
        })
    }

    fn crash(exit: &RawExit, ip: u64, long: bool) -> String {
        let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 0x2000)]).unwrap();
        memory.write_at(0x1ffe, &[0xf4, 0xf4]).unwrap();
        let mut sregs = kvm_sregs::default();
        if long {
            (sregs.efer, sregs.cs.l) = (1 << 10, 1);
        }
        let end = end(
            exit,
            &Scene {
                memory: &memory,
                sregs: &sregs,
                ip,
                vcpu: 1,
            },
        );
        let End::Crashed(text) = end else {
            panic!("{end:?}");
        };
        text
    }

    #[test]
    fn an_instruction_that_kvm_lacks_is_named_with_its_bytes() {
        let text = crash(
            &emulation_error(&[0xf3, 0x48, 0x0f, 0xb8, 0xc3]),
            0x10_0010,
            true,
        );
        assert!(
            text.starts_with(
                "KVM cannot emulate `popcnt rax, rbx` at 0x100010 (bytes f3 48 0f b8 c3) on vCPU 1:"
            ),
            "{text}"
        );
    }

    #[test]
    fn the_mode_of_the_code_segment_counts() {
        let text = crash(&emulation_error(&[0x0f, 0x01, 0xd0]), 0x10, false);
        assert!(text.contains("`xgetbv` at 0x10 (bytes 0f 01 d0)"), "{text}");
    }

    #[test]
    fn a_fetch_that_failed_names_the_address() {
        let error = RawExit::Internal(InternalError {
            suberror: 1,
            words: 6,
            data: [0; 3],
        });
        let text = crash(&error, 0xd000, false);
        assert!(text.contains("0xd000, which is not in memory"), "{text}");
        let text = crash(&error, 0x1ffe, false);
        assert!(text.contains("`hlt` at 0x1ffe (bytes f4)"), "{text}");
    }

    #[test]
    fn bytes_that_are_no_instruction_are_shown_as_they_are() {
        let text = crash(&emulation_error(&[0xff; 15]), 0, true);
        assert!(text.contains("ff ff ff"), "{text}");
    }
}
