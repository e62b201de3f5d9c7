//! Where the tests run guests: every vCPU on its thread, under a kick timer.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
        mpsc,
    },
    thread,
    time::Duration,
};

use iced_x86::{IcedError, code_asm::CodeAssembler};
use oriel_guests::Guest;
use oriel_protocol::{Event, EventKind, Verdict};

use crate::{
    End, Exit, Kicker, Parts, Ranges, Vcpu, Wants,
    kvm::{Config, Image},
    outlet::Kept,
};

/// How long a guest may take before it counts as hung. Nothing is decided by it but failure.
const LIMIT: Duration = Duration::from_secs(120);

/// Whether there is a KVM to test with.
///
/// Panics where there is none and `ORIEL_REQUIRE` asks for one.
pub(super) fn has_kvm() -> bool {
    let Err(error) = kvm_ioctls::Kvm::new() else {
        return true;
    };
    let required = std::env::var("ORIEL_REQUIRE").unwrap_or_default();
    assert!(
        !required.split(',').any(|word| word.trim() == "kvm"),
        "ORIEL_REQUIRE asks for KVM, and /dev/kvm cannot be opened: {error}"
    );
    eprintln!("SKIPPED: /dev/kvm cannot be opened ({error})");
    false
}

/// A guest by name, with its machine.
pub(super) fn machine(name: &str, vcpus: u32) -> (Parts, Arc<Kept>) {
    build(oriel_guests::by_name(name, vcpus).unwrap())
}

pub(super) fn build(guest: Guest) -> (Parts, Arc<Kept>) {
    let kept = Arc::new(Kept::default());
    let image = Image {
        bytes: guest.image,
        load: guest.load,
        entry: guest.entry,
    };
    let config = Config {
        vcpus: guest.vcpus,
        interrupts: guest.interrupts,
        ..Config::new(image, kept.clone())
    };
    (config.build().unwrap(), kept)
}

/// What came of a guest.
pub(super) struct Play {
    /// How each vCPU ended.
    pub(super) ends: Vec<End>,
    /// What was judged.
    pub(super) events: Vec<(u32, Event)>,
    /// What the guest printed.
    pub(super) serial: String,
    /// What the guest reported.
    pub(super) reports: Vec<(u32, u64)>,
}

impl Play {
    /// What the guest reported, whoever did.
    pub(super) fn values(&self) -> Vec<u64> {
        self.reports.iter().map(|(_, value)| *value).collect()
    }

    /// The end, which is one for all vCPUs.
    pub(super) fn end(&self) -> &End {
        assert!(
            self.ends.iter().all(|end| *end == self.ends[0]),
            "{:?}",
            self.ends
        );
        &self.ends[0]
    }

    pub(super) fn kinds(&self) -> Vec<EventKind> {
        self.events.iter().map(|(_, event)| event.kind()).collect()
    }
}

/// Runs a guest by name; every event is judged by `judge`, which has the vCPU at hand.
pub(super) fn play(
    name: &str,
    vcpus: u32,
    wants: &Wants,
    judge: impl Fn(&Event, &mut dyn Vcpu) -> Verdict + Sync,
) -> Play {
    let (parts, kept) = machine(name, vcpus);
    parts.machine.arm(wants).unwrap();
    run(parts, &kept, judge)
}

/// Runs a machine to its end.
pub(super) fn run(
    parts: Parts,
    kept: &Kept,
    judge: impl Fn(&Event, &mut dyn Vcpu) -> Verdict + Sync,
) -> Play {
    let events = Mutex::new(Vec::new());
    let timer = Timer::of(&parts);
    let (events_of, judge, timer_of) = (&events, &judge, &timer);
    let ends = thread::scope(|scope| {
        let start = |mut vcpu: Box<dyn Vcpu>| {
            scope.spawn(move || {
                to_the_end(vcpu.as_mut(), timer_of, |event, vcpu| {
                    events_of
                        .lock()
                        .unwrap()
                        .push((vcpu.index(), event.clone()));
                    judge(event, vcpu)
                })
            })
        };
        let threads: Vec<_> = parts.vcpus.into_iter().map(start).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    drop(timer);
    Play {
        ends,
        events: events.into_inner().unwrap(),
        serial: kept.serial_text(),
        reports: kept.reports(),
    }
}

/// Runs one vCPU to its end on this thread.
pub(super) fn to_the_end(
    vcpu: &mut dyn Vcpu,
    timer: &Timer,
    judge: impl Fn(&Event, &mut dyn Vcpu) -> Verdict,
) -> End {
    let mut verdict = Verdict::Continue;
    loop {
        vcpu.acknowledge_kick();
        timer.check();
        verdict = match vcpu.enter(verdict).unwrap() {
            Exit::Event(event) => judge(&event, vcpu),
            Exit::Kicked => Verdict::Continue,
            Exit::Ended(end) => return end,
        };
    }
}

/// Kicks every vCPU when the time is over, so that no test hangs.
pub(super) struct Timer {
    late: Arc<AtomicBool>,
    /// Dropped to say that the guest has ended.
    _running: mpsc::Sender<()>,
}

impl Timer {
    pub(super) fn of(parts: &Parts) -> Self {
        let kickers: Vec<Arc<dyn Kicker>> = parts.vcpus.iter().map(|vcpu| vcpu.kicker()).collect();
        let (running, ended) = mpsc::channel();
        let late = Arc::new(AtomicBool::new(false));
        let flag = late.clone();
        thread::spawn(move || {
            if ended.recv_timeout(LIMIT) == Err(mpsc::RecvTimeoutError::Timeout) {
                flag.store(true, SeqCst);
                kickers.iter().for_each(|kicker| kicker.kick());
            }
        });
        Self {
            late,
            _running: running,
        }
    }

    pub(super) fn check(&self) {
        assert!(
            !self.late.load(SeqCst),
            "the guest did not end in {LIMIT:?}"
        );
    }
}

/// Wants nothing.
pub(super) fn nothing() -> Wants {
    Wants::default()
}

/// Wants these kinds, as widely as they go.
pub(super) fn all_of(kinds: &[EventKind]) -> Wants {
    Wants {
        events: kinds.iter().copied().collect(),
        msr_writes: Ranges::all(),
        msr_reads: Ranges::all(),
        pio_reads: Ranges::all(),
        pio_writes: Ranges::all(),
        mmio_reads: Ranges::all(),
        mmio_writes: Ranges::all(),
        ..Wants::default()
    }
}

/// Wants the writes of this MSR.
pub(super) fn writes_of(msr: u32) -> Wants {
    let number = u64::from(msr);
    Wants {
        events: [EventKind::Msr].into_iter().collect(),
        msr_writes: [number..=number].into_iter().collect(),
        ..Wants::default()
    }
}

/// Wants the reads of this MSR.
pub(super) fn reads_of(msr: u32) -> Wants {
    let number = u64::from(msr);
    Wants {
        events: [EventKind::MsrRead].into_iter().collect(),
        msr_reads: [number..=number].into_iter().collect(),
        ..Wants::default()
    }
}

/// A judge that lets everything happen.
pub(super) fn continues(_: &Event, _: &mut dyn Vcpu) -> Verdict {
    Verdict::Continue
}

/// A guest of one vCPU out of these instructions, in long mode.
pub(super) fn assembled(write: impl FnOnce(&mut CodeAssembler) -> Result<(), IcedError>) -> Guest {
    let mut asm = CodeAssembler::new(64).unwrap();
    write(&mut asm).unwrap();
    let image = asm.assemble(oriel_guests::abi::LOAD).unwrap();
    Guest {
        code: image.len(),
        image,
        marks: Vec::new(),
        ..oriel_guests::by_name("halt", 1).unwrap()
    }
}
