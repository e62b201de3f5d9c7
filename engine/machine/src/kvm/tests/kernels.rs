//! Kernels of our own, started as a vmlinux and as a bzImage: what they find when they look at what
//! they were told, interrupts and the other vCPUs included, and how they end.

use std::{
    fs,
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering::SeqCst},
};

use oriel_guests::{
    PROCESSOR_HERE, TICKS,
    kernels::{self, Ending, START_INFO_MAGIC, Told, ZERO_PAGE_MAGIC},
};
use oriel_protocol::{Event, EventKind, Verdict, events::ShutdownCause};

use super::theatre::{Play, all_of, continues, has_kvm, nothing, run};
use crate::{
    End, Vcpu, Wants,
    kvm::{Config, Kernel},
    outlet::Kept,
};

const MIB: u64 = 1 << 20;
/// Where firmware would have its tables, up to 1 MiB.
const FIRMWARE: u64 = 0x9_fc00;
const RAM: u64 = 1;

/// The two ways in which a kernel is started.
#[derive(Clone, Copy, Debug)]
enum Way {
    Pvh,
    BzImage,
}

const WAYS: [Way; 2] = [Way::Pvh, Way::BzImage];

impl Way {
    fn file(self, ending: Ending) -> Vec<u8> {
        match self {
            Self::Pvh => kernels::vmlinux(ending),
            Self::BzImage => kernels::bzimage(ending),
        }
    }

    const fn magic(self) -> u64 {
        match self {
            Self::Pvh => START_INFO_MAGIC,
            Self::BzImage => ZERO_PAGE_MAGIC,
        }
    }
}

/// What a kernel is given.
struct Given<'a> {
    initrd: Option<&'a [u8]>,
    command_line: &'a str,
    vcpus: u32,
    memory_mib: u64,
}

const USUAL: Given<'static> = Given {
    initrd: Some(&[7; 5000]),
    command_line: "console=ttyS0 and=more",
    vcpus: 3,
    memory_mib: 64,
};

/// A file of these bytes, gone with the test.
struct Written(PathBuf);

impl Written {
    fn new(bytes: &[u8]) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, SeqCst);
        let name = format!("oriel-kernel-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::write(&path, bytes).unwrap();
        Self(path)
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        // It may be gone already; nobody minds.
        let _ = fs::remove_file(&self.0);
    }
}

/// Runs a kernel to its end.
fn play(
    (way, ending): (Way, Ending),
    given: &Given<'_>,
    wants: &Wants,
    judge: impl Fn(&Event, &mut dyn Vcpu) -> Verdict + Sync,
) -> Play {
    let file = Written::new(&way.file(ending));
    let initrd = given.initrd.map(Written::new);
    let initrd = initrd.as_ref().map(|file| file.0.as_path());
    let kernel = Kernel::read(&file.0, initrd, given.command_line).unwrap();
    let kept = std::sync::Arc::new(Kept::default());
    let config = Config {
        vcpus: given.vcpus,
        memory_mib: given.memory_mib,
        ..Config::new(kernel, kept.clone())
    };
    let parts = config.build().unwrap();
    parts.machine.arm(wants).unwrap();
    run(parts, &kept, judge)
}

/// What the first vCPU reported.
fn told(play: &Play) -> Vec<u64> {
    let first = play.reports.iter().filter(|(vcpu, _)| *vcpu == 0);
    first.map(|(_, value)| *value).collect()
}

/// What it has to find.
fn expected(way: Way, given: &Given<'_>) -> Told {
    let low = given.memory_mib.min(3072) * MIB;
    let mut ranges = vec![(0, FIRMWARE, RAM), (MIB, low - MIB, RAM)];
    if given.memory_mib > 3072 {
        ranges.push((1 << 32, (given.memory_mib - 3072) * MIB, RAM));
    }
    let initrd = given.initrd.unwrap_or_default();
    Told {
        boots: 1,
        magic: way.magic(),
        ranges,
        initrd: (
            initrd.len() as u64,
            initrd.iter().copied().map(u64::from).sum(),
        ),
        processors: given.vcpus.into(),
        ticks: TICKS,
    }
}

/// Runs a kernel to its end, and looks whether it was told everything.
fn check(way: Way, given: &Given<'_>) {
    let play = play((way, Ending::Finished), given, &nothing(), continues);
    assert_eq!(play.end(), &End::Finished(0), "{way:?}");
    assert_eq!(play.serial, format!("{}\n", given.command_line), "{way:?}");
    let told = Told::read(&told(&play));
    assert_eq!(told, Some(expected(way, given)), "{way:?}");
    let mut others: Vec<_> = play
        .reports
        .into_iter()
        .filter(|(vcpu, _)| *vcpu > 0)
        .collect();
    others.sort_unstable();
    let all: Vec<_> = (1..given.vcpus)
        .map(|vcpu| (vcpu, PROCESSOR_HERE))
        .collect();
    assert_eq!(others, all, "{way:?}");
}

#[test]
fn a_kernel_finds_its_memory_initramfs_command_line_and_processors() {
    if !has_kvm() {
        return;
    }
    for way in WAYS {
        check(way, &USUAL);
    }
}

#[test]
fn a_kernel_finds_that_it_has_no_initramfs_and_nothing_on_its_command_line() {
    if !has_kvm() {
        return;
    }
    for way in WAYS {
        let given = Given {
            initrd: None,
            command_line: "",
            vcpus: 1,
            ..USUAL
        };
        check(way, &given);
    }
}

#[test]
fn a_kernel_finds_memory_behind_the_hole_and_the_longest_command_line() {
    if !has_kvm() {
        return;
    }
    for way in WAYS {
        let given = Given {
            command_line: &"x".repeat(2047),
            memory_mib: 3584,
            ..USUAL
        };
        check(way, &given);
    }
}

#[test]
fn a_kernel_that_resets_is_told_everything_again() {
    if !has_kvm() {
        return;
    }
    let resets = [Ending::Reset, Ending::ResetControl];
    for (way, ending) in WAYS
        .into_iter()
        .flat_map(|way| resets.map(|ending| (way, ending)))
    {
        let resets = AtomicU32::new(0);
        let wants = all_of(&[EventKind::Reset]);
        let play = play((way, ending), &USUAL, &wants, |_, _| {
            match resets.fetch_add(1, SeqCst) {
                0..2 => Verdict::Continue,
                _ => Verdict::Crash,
            }
        });
        assert_eq!(play.end(), &End::Stopped, "{way:?}");
        let told = told(&play);
        let boots: Vec<_> = told.chunks(told.len() / 3).map(Told::read).collect();
        let one = Some(expected(way, &USUAL));
        assert_eq!(boots, [one.clone(), one.clone(), one], "{way:?}");
        let others = play.reports.iter().filter(|(vcpu, _)| *vcpu > 0).count();
        assert_eq!(others, 3 * 2, "each time each of them, {way:?}");
        let line = format!("{}\n", USUAL.command_line);
        assert_eq!(play.serial, line.repeat(3), "{way:?}");
    }
}

#[test]
fn a_kernel_that_triple_faults_shuts_its_vm_down() {
    if !has_kvm() {
        return;
    }
    for way in WAYS {
        let wants = all_of(&[EventKind::Shutdown]);
        let play = play((way, Ending::TripleFault), &USUAL, &wants, continues);
        assert_eq!(play.end(), &End::Shutdown(ShutdownCause::TripleFault));
        assert_eq!(play.kinds(), [EventKind::Shutdown], "{way:?}");
        assert_eq!(Told::read(&told(&play)), Some(expected(way, &USUAL)));
    }
}
