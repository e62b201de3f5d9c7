//! A VMM of its own around the kvm machine: two vCPUs that write LSTAR for ever, in 16 bits. Skipped
//! loudly without KVM; a failure there if `ORIEL_REQUIRE` names `kvm`.

#![expect(unsafe_code, reason = "a VMM tells KVM addresses of its memory")]
#![expect(clippy::unwrap_used, reason = "these are tests")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use kvm_bindings::{KVM_MAX_CPUID_ENTRIES, kvm_userspace_memory_region};
use kvm_ioctls::{Kvm, VcpuFd, VmFd};
use oriel_engine::{Candidate, Engine, Judge, Native, Station, VmHandle};
use oriel_machine::{
    End, Parts,
    kvm::{Bus, Effect, EmbeddedVcpu, Embedding, KickSignal, Ready, Seen, pending::Place},
};
use oriel_policy::{Host, HostSettings};
use oriel_protocol::{
    EventKind, EventSet, Filter, Grant, Identity, Refusal, Verdict, identity::Arch,
};
use vm_memory::{Bytes as _, FileOffset, GuestAddress, GuestMemoryBackend as _, GuestMemoryMmap};

const MEMORY: usize = 1 << 16;
const ENTRY: u64 = 0x1000;
/// `mov ecx, LSTAR; xor edx, edx; xor eax, eax; add eax, 0x1000; wrmsr; jmp` to the addition.
const GUEST: &[u8] = &[
    0x66, 0xb9, 0x82, 0x00, 0x00, 0xc0, 0x66, 0x31, 0xd2, 0x66, 0x31, 0xc0, 0x66, 0x05, 0x00, 0x10,
    0x00, 0x00, 0x0f, 0x30, 0xeb, 0xf6,
];
const VCPUS: usize = 2;
/// Long enough for any host; nothing but failure is decided by it.
const LIMIT: Duration = Duration::from_secs(60);

struct NoDevices;

impl Bus for NoDevices {
    fn read(&self, _: u32, _: Place, to: &mut [u8]) {
        to.fill(0xff);
    }

    fn write(&self, _: u32, _: Place, _: &[u8]) -> Effect {
        Effect::None
    }
}

/// The VMM's files and memory; dropped in this order.
struct Vmm {
    vcpus: Vec<VcpuFd>,
    vm: VmFd,
    memory: GuestMemoryMmap<()>,
    kvm: Kvm,
}

impl Vmm {
    /// None without KVM.
    fn new(with_file: bool) -> Option<Self> {
        let kvm = match Kvm::new() {
            Ok(kvm) => kvm,
            Err(error) => {
                let required = std::env::var("ORIEL_REQUIRE").unwrap_or_default();
                assert!(
                    !required.contains("kvm"),
                    "ORIEL_REQUIRE names kvm: {error}"
                );
                eprintln!("SKIPPED: /dev/kvm cannot be opened ({error})");
                return None;
            }
        };
        let memory = memory(with_file);
        let vm = kvm.create_vm().unwrap();
        let region = kvm_userspace_memory_region {
            memory_size: MEMORY as u64,
            userspace_addr: memory.get_host_address(GuestAddress(0)).unwrap() as u64,
            ..Default::default()
        };
        // SAFETY: the region is the whole mapping of `memory`, which `Vmm` keeps longer than the VM.
        unsafe { vm.set_user_memory_region(region) }.unwrap();
        let vcpus = (0..VCPUS)
            .map(|index| vcpu(&kvm, &vm, index as u64))
            .collect();
        Some(Self {
            vcpus,
            vm,
            memory,
            kvm,
        })
    }

    /// Introspection with this judge; each vCPU goes to a thread with its station.
    fn run<T>(
        &mut self,
        judge: Candidate,
        each: impl Fn(Station, &mut VcpuFd) -> T + Sync,
        meanwhile: impl FnOnce(&VmHandle),
    ) -> (Vec<T>, VmHandle)
    where
        T: Send,
    {
        let parts = self.attach();
        let host = Arc::new(Host::new(HostSettings::default()).unwrap());
        let assembly = Engine::new(host, parts).judge(judge).assemble().unwrap();
        let each = &each;
        let ends = thread::scope(|scope| {
            let threads: Vec<_> = (assembly.stations.into_iter().zip(&mut self.vcpus))
                .map(|(station, fd)| scope.spawn(move || each(station, fd)))
                .collect();
            meanwhile(&assembly.handle);
            threads.into_iter().map(|one| one.join().unwrap()).collect()
        });
        (ends, assembly.handle)
    }

    fn attach(&self) -> Parts {
        let files: Vec<_> = self.vcpus.iter().collect();
        let embedding = Embedding {
            identity: Identity {
                uuid: uuid::Uuid::nil(),
                name: "embedded".to_owned(),
                arch: Arch::X86_64,
            },
            kvm: &self.kvm,
            vm: &self.vm,
            vcpus: &files,
            memory: &self.memory,
            signal: KickSignal::install(KickSignal::default_number()).unwrap(),
            shield: None,
        };
        embedding.attach().unwrap()
    }
}

fn memory(with_file: bool) -> GuestMemoryMmap<()> {
    let file = with_file.then(|| {
        let file = rustix::fs::memfd_create("guest", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        rustix::fs::ftruncate(&file, MEMORY as u64).unwrap();
        FileOffset::new(file.into(), 0)
    });
    let memory =
        GuestMemoryMmap::from_ranges_with_files([(GuestAddress(0), MEMORY, file)]).unwrap();
    memory.write_slice(GUEST, GuestAddress(ENTRY)).unwrap();
    memory
}

fn vcpu(kvm: &Kvm, vm: &VmFd, index: u64) -> VcpuFd {
    let vcpu = vm.create_vcpu(index).unwrap();
    let features = kvm.get_supported_cpuid(KVM_MAX_CPUID_ENTRIES).unwrap();
    vcpu.set_cpuid2(&features).unwrap();
    let mut sregs = vcpu.get_sregs().unwrap();
    (sregs.cs.base, sregs.cs.selector) = (0, 0);
    vcpu.set_sregs(&sregs).unwrap();
    let mut regs = vcpu.get_regs().unwrap();
    regs.rip = ENTRY;
    vcpu.set_regs(&regs).unwrap();
    vcpu
}

/// The VMM's loop, to the end.
fn to_the_end(mut station: Station, fd: &mut VcpuFd) -> End {
    station.ready();
    let end = turns(&mut station, fd, u64::MAX);
    station.leave(&end);
    end
}

/// At most so many rounds of the loop.
fn turns(station: &mut Station, fd: &mut VcpuFd, rounds: u64) -> End {
    let mut verdict = None;
    for _ in 0..rounds {
        if let Some(end) = station.board(verdict.as_ref()) {
            return end;
        }
        let vcpu: &mut EmbeddedVcpu = station.vcpu().unwrap();
        vcpu.apply(&NoDevices, verdict.take().unwrap_or_default())
            .unwrap();
        let next = match vcpu.ready().unwrap() {
            Ready::Run => vcpu.ran(fd.run().map(drop)).unwrap(),
            ready @ (Ready::Decode | Ready::Kicked) => ready,
        };
        if next == Ready::Kicked {
            continue;
        }
        match vcpu.decode(&NoDevices).unwrap() {
            Seen::Event(event) => verdict = Some(station.judge(&event)),
            Seen::Handled => {}
            Seen::NotOurs(exit) => panic!("{exit:?}"),
        }
    }
    End::Cancelled
}

/// A judge of MSR writes, made of a function that gets the vCPU's number.
fn judge(answer: impl Fn(u32) -> Verdict + Clone + Send + Sync + 'static) -> Candidate {
    Candidate {
        name: Arc::from("native"),
        grant: Grant::all(),
        judges: EventSet::all(),
        filters: vec![Filter::any(EventKind::Msr)],
        observations: vec![],
        store: Arc::default(),
        tick: None,
        tool: None,
        hosted: None,
        make: Box::new(move |_, _| -> Box<dyn Judge> {
            let answer = answer.clone();
            Box::new(Native(
                move |case: &oriel_protocol::Case<'_>, _: &mut oriel_engine::Desk| {
                    answer(case.moment.vcpu)
                },
            ))
        }),
    }
}

/// How often each vCPU was judged.
#[derive(Clone, Default)]
struct Counts(Arc<[AtomicU64; VCPUS]>);

impl Counts {
    fn judge(&self) -> Candidate {
        let counts = self.clone();
        judge(move |vcpu| {
            counts.0[vcpu as usize].fetch_add(1, SeqCst);
            Verdict::Continue
        })
    }

    fn of(&self, vcpu: usize) -> u64 {
        self.0[vcpu].load(SeqCst)
    }

    /// Waits until a vCPU has been judged again.
    fn await_more(&self, vcpu: usize) {
        let before = self.of(vcpu);
        while self.of(vcpu) == before {
            thread::yield_now();
        }
    }
}

#[test]
fn a_crash_verdict_on_one_vcpu_ends_all_loops() {
    let Some(mut vmm) = Vmm::new(true) else {
        return;
    };
    let seen = Counts::default();
    let counted = seen.clone();
    let judge = judge(move |vcpu| {
        counted.0[vcpu as usize].fetch_add(1, SeqCst);
        match (counted.of(0), counted.of(1)) {
            (50.., 50..) => Verdict::Crash,
            _ => Verdict::Continue,
        }
    });
    let (ends, handle) = vmm.run(judge, to_the_end, |_| {});
    assert_eq!(ends, [End::Stopped, End::Stopped]);
    let outcome = handle.finish();
    assert_eq!(outcome.end, End::Stopped);
    assert_eq!(outcome.events, seen.of(0) + seen.of(1));
}

#[test]
fn a_paused_vcpu_stays_in_its_mailbox_while_the_other_runs() {
    let Some(mut vmm) = Vmm::new(true) else {
        return;
    };
    let counts = Counts::default();
    let (ends, _) = vmm.run(counts.judge(), to_the_end, |handle| {
        for _ in 0..20 {
            counts.await_more(0);
            assert_eq!(handle.pause(0, LIMIT), Ok(()));
            let held = counts.of(0);
            counts.await_more(1);
            assert_eq!(counts.of(0), held);
            assert_eq!(handle.resume(0), Ok(()));
        }
        handle.stop();
        assert_eq!(handle.pause(7, LIMIT), Err(Refusal::NotFound));
    });
    assert_eq!(ends, [End::Cancelled, End::Cancelled]);
}

#[test]
fn a_loop_that_goes_away_without_a_word_ends_the_others() {
    let Some(mut vmm) = Vmm::new(true) else {
        return;
    };
    let each = |mut station: Station, fd: &mut VcpuFd| match station.desk().index() {
        0 => turns(&mut station, fd, 10),
        _ => to_the_end(station, fd),
    };
    let (ends, _) = vmm.run(Counts::default().judge(), each, |_| {});
    assert!(
        matches!(&ends[1], End::Failed(why) if why.contains("without a word")),
        "{ends:?}"
    );
}

#[test]
fn memory_without_a_file_behind_it_is_said_to_be_the_vmms_own() {
    for (with_file, how) in [(true, "a second mapping"), (false, "own mapping")] {
        let Some(vmm) = Vmm::new(with_file) else {
            return;
        };
        let parts = vmm.attach();
        let row = parts.machine.capabilities().get("memory").cloned().unwrap();
        assert!(row.mechanism.contains(how), "{row:?}");
        let page = parts.machine.capabilities().get("page").cloned().unwrap();
        let lacks = if with_file {
            "nobody who protects"
        } else {
            "no file"
        };
        assert!(page.reason.contains(lacks), "{page:?}");
        let word = parts.machine.memory().read_u64(ENTRY).unwrap();
        assert_eq!(word.to_le_bytes(), GUEST[..8]);
    }
}
