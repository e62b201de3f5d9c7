//! A complete VMM that runs a policy: its own files of KVM, its own memory, devices and loop.
//!
//! ```sh
//! cargo xtask plugins
//! cargo run -p oriel-engine --example embed -- target/plugins/msr-guard.wasm
//! ```
//! The guest, a few instructions of 16-bit code, sets LSTAR as a kernel does, and then as an
//! attacker would. `docs/embedding.md` goes through this file.

#![expect(unsafe_code, reason = "a VMM tells KVM addresses of its memory")]

use std::{env, path::Path, path::PathBuf, process::ExitCode, sync::Arc};

use anyhow::{Context, Result, bail};
use kvm_bindings::{KVM_MAX_CPUID_ENTRIES, kvm_userspace_memory_region};
use kvm_ioctls::{Kvm, VcpuFd, VmFd};
use oriel_engine::{Candidate, Engine, Station, policies};
use oriel_machine::{
    End, Machine,
    kvm::{
        Bus, Effect, EmbeddedVcpu, Embedding, KickSignal, Ready, Seen, Then, exit::RawExit,
        pending::Place,
    },
};
use oriel_policy::{Host, HostSettings, Terms};
use oriel_protocol::{Identity, Right, Verdict, identity::Arch};
use vm_memory::{Bytes as _, FileOffset, GuestAddress, GuestMemoryBackend as _, GuestMemoryMmap};

const MEMORY: usize = 1 << 20;
const ENTRY: u64 = 0x1000;
const CONSOLE: u16 = 0x3f8;
const END: u16 = 0xf4;

/// Ends with 1 after the second write, or with 0 in the handler of #GP.
const GUEST: &[u8] = &[
    0xc7, 0x06, 0x34, 0x00, 0x37, 0x10, // mov word [13 * 4], handler
    0xc7, 0x06, 0x36, 0x00, 0x00, 0x00, // mov word [13 * 4 + 2], 0
    0x66, 0xb9, 0x82, 0x00, 0x00, 0xc0, // mov ecx, LSTAR
    0x66, 0x31, 0xd2, // xor edx, edx
    0x66, 0xb8, 0x00, 0x10, 0x00, 0x00, 0x0f, 0x30, // mov eax, 0x1000; wrmsr
    0x66, 0xb8, 0x00, 0x20, 0x00, 0x00, 0x0f, 0x30, // mov eax, 0x2000; wrmsr
    0xba, 0xf8, 0x03, 0xb0, b'!', 0xee, // mov dx, CONSOLE; mov al, '!'; out dx, al
    0xb0, 0x01, 0xe6, 0xf4, // mov al, 1; out END, al
    0xf4, 0xeb, 0xfd, 0x90, 0x90, 0x90, 0x90, 0x90, // hlt; jmp to it; handler:
    0xba, 0xf8, 0x03, 0xb0, b'.', 0xee, // mov dx, CONSOLE; mov al, '.'; out dx, al
    0xb0, 0x00, 0xe6, 0xf4, 0xf4, // mov al, 0; out END, al; hlt
];

/// The VMM's devices: a console, and a port that ends the guest.
struct Devices;

impl Bus for Devices {
    fn read(&self, _vcpu: u32, _place: Place, to: &mut [u8]) {
        to.fill(0xff);
    }

    fn write(&self, _vcpu: u32, place: Place, from: &[u8]) -> Effect {
        match (place, from) {
            (Place::Port(CONSOLE), &[byte, ..]) => println!("guest: {}", char::from(byte)),
            (Place::Port(END), &[status, ..]) => return Effect::End(status.into()),
            (Place::Port(_) | Place::Memory(_), _) => {}
        }
        Effect::None
    }
}

fn main() -> Result<ExitCode> {
    let file = plugin().context("usage: embed FILE.wasm, or ORIEL_PLUGINS=DIR embed")?;
    let kvm = Kvm::new().context("/dev/kvm")?;
    // Dropped in reverse: the VM before its memory.
    let (memory, vm) = make_vm(&kvm)?;
    let mut fd = make_vcpu(&kvm, &vm)?;
    let parts = Embedding {
        identity: Identity {
            uuid: uuid::Uuid::new_v4(),
            name: "embedded".to_owned(),
            arch: Arch::X86_64,
        },
        kvm: &kvm,
        vm: &vm,
        vcpus: &[&fd],
        memory: &memory,
        signal: KickSignal::install(KickSignal::default_number())?,
        shield: None,
    }
    .attach()?;
    let host = Arc::new(Host::new(HostSettings::default())?);
    let judge = policy(&host, &file, &*parts.machine)?;
    let mut assembly = Engine::new(host, parts).judge(judge).assemble()?;
    // A thread for each vCPU, with its station; here there is one.
    let end = run(assembly.stations.remove(0), &mut fd)?;
    let outcome = assembly.handle.finish();
    println!("vmm: {end}, after {} events", outcome.events);
    Ok(ExitCode::from(u8::from(end != End::Finished(0))))
}

/// The VMM's loop: its own `KVM_RUN` and its own exits, with introspection around them.
fn run(mut station: Station, fd: &mut VcpuFd) -> Result<End> {
    station.ready();
    let mut verdict: Option<Verdict> = None;
    let end = loop {
        if let Some(end) = station.board(verdict.as_ref()) {
            break end;
        }
        let vcpu: &mut EmbeddedVcpu = station.vcpu().context("an embedder's vCPU")?;
        let then = vcpu.apply(&Devices, verdict.take().unwrap_or_default())?;
        if let Some(end) = ends(then)? {
            break end;
        }
        let next = match vcpu.ready()? {
            Ready::Run => vcpu.ran(fd.run().map(drop))?,
            ready @ (Ready::Decode | Ready::Kicked) => ready,
        };
        if next == Ready::Kicked {
            continue;
        }
        match vcpu.decode(&Devices)? {
            Seen::Event(event) => verdict = Some(station.judge(&event)),
            Seen::Handled => {}
            Seen::NotOurs(exit @ (RawExit::Port(_) | RawExit::Memory { .. })) => {
                let effect = vcpu.serve(&Devices, &exit);
                if let Some(end) = ends(Then::Asked(effect))? {
                    break end;
                }
            }
            Seen::NotOurs(exit) => break End::Crashed(format!("the guest did {exit:?}")),
        }
    };
    station.leave(&end);
    Ok(end)
}

/// Whether that is the end.
fn ends(then: Then) -> Result<Option<End>> {
    Ok(match then {
        Then::Enter | Then::Asked(Effect::None) => None,
        Then::End(end) => Some(end),
        Then::Asked(Effect::End(status)) => Some(End::Finished(status)),
        Then::Reset | Then::Asked(Effect::Reset) => bail!("this VMM does not reset"),
    })
}

/// A VM with memory that has a file behind it: then introspection maps it a second time.
fn make_vm(kvm: &Kvm) -> Result<(GuestMemoryMmap<()>, VmFd)> {
    let file = rustix::fs::memfd_create("guest", rustix::fs::MemfdFlags::CLOEXEC)?;
    rustix::fs::ftruncate(&file, MEMORY as u64)?;
    let range = (
        GuestAddress(0),
        MEMORY,
        Some(FileOffset::new(file.into(), 0)),
    );
    let memory = GuestMemoryMmap::from_ranges_with_files([range])?;
    memory.write_slice(GUEST, GuestAddress(ENTRY))?;
    let vm = kvm.create_vm()?;
    let region = kvm_userspace_memory_region {
        memory_size: MEMORY as u64,
        userspace_addr: memory.get_host_address(GuestAddress(0))? as u64,
        ..Default::default()
    };
    // SAFETY: the region is the whole mapping of `memory`, which whoever calls keeps longer than
    // the VM; introspection has files of its own, and does not run the guest with them.
    unsafe { vm.set_user_memory_region(region) }?;
    Ok((memory, vm))
}

fn make_vcpu(kvm: &Kvm, vm: &VmFd) -> Result<VcpuFd> {
    let vcpu = vm.create_vcpu(0)?;
    vcpu.set_cpuid2(&kvm.get_supported_cpuid(KVM_MAX_CPUID_ENTRIES)?)?;
    let mut sregs = vcpu.get_sregs()?;
    (sregs.cs.base, sregs.cs.selector) = (0, 0);
    vcpu.set_sregs(&sregs)?;
    let mut regs = vcpu.get_regs()?;
    (regs.rip, regs.rsp) = (ENTRY, 0x8000);
    vcpu.set_regs(&regs)?;
    Ok(vcpu)
}

/// Loads the policy, with all that it asks for and this machine can report.
fn policy(host: &Arc<Host>, file: &Path, machine: &dyn Machine) -> Result<Candidate> {
    let bytes = std::fs::read(file).with_context(|| file.display().to_string())?;
    let plugin = host.load("policy", &bytes)?;
    let hears = plugin.inspection().hears.iter();
    let terms = Terms {
        name: "policy".to_owned(),
        rights: Right::ALL.iter().copied().collect(),
        events: hears
            .filter(|&kind| machine.capabilities().reports(kind))
            .collect(),
        ..Terms::default()
    };
    let policy = Arc::new(host.prepare(&plugin, terms)?);
    Ok(policies::candidate(host, &policy, Arc::default()))
}

/// The plugin: the argument, or msr-guard where `ORIEL_PLUGINS` says.
fn plugin() -> Option<PathBuf> {
    let built = || Some(PathBuf::from(env::var_os("ORIEL_PLUGINS")?).join("msr-guard.wasm"));
    env::args_os().nth(1).map(PathBuf::from).or_else(built)
}
