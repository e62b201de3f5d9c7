//! `kernel-guard` over a Debian guest: quiet while the kernel patches its own code, loud when somebody
//! else does.

use std::{
    sync::{Arc, mpsc::Receiver},
    time::Duration,
};

use oriel_engine::{Engine, Record, Running, record};
use oriel_machine::{
    End, Machine as _, paging,
    qemu::{QemuMachine, RamChoice},
};
use oriel_policy::Setting;
use oriel_tests::{channel, ends_round, field, host, kernel_guard};

use super::{Guest, Leave, Linux, guests, stop};

/// Far longer than a round takes, on a host that does other things too.
const LIMIT: Duration = Duration::from_secs(240);
/// How often the clock calls.
const TICK: Duration = Duration::from_millis(50);

/// What the kernel does to itself, and what the guest says when it was done: modules come and go, tracers
/// and probes are switched on and off, a static key is flipped. A probe stands behind where its function
/// calls its tracer: at 5, or with ENDBR at 9.
const PATCHING: [(&str, &str); 11] = [
    (
        "for i in 1 2 3; do insmod /lib/modules/tun.ko; insmod /lib/modules/dummy.ko; rmmod dummy; rmmod tun; done; grep -c '^dummy' /proc/modules",
        "0",
    ),
    (
        "insmod /lib/modules/fat.ko; insmod /lib/modules/vfat.ko; grep -c '^v*fat' /proc/modules",
        "2",
    ),
    (
        "cd /sys/kernel/tracing; echo function > current_tracer; cat current_tracer",
        "function",
    ),
    (
        "ls -R /sys/class > /dev/null 2>&1; head -20 trace | grep -c entries-in-buffer",
        "1",
    ),
    (
        "echo nop > current_tracer; echo function_graph > current_tracer; cat current_tracer",
        "function_graph",
    ),
    ("echo nop > current_tracer; cat current_tracer", "nop"),
    (
        "for at in 5 9; do echo p:mine do_sys_openat2+$at > kprobe_events && break; done 2>/dev/null; echo 1 > events/kprobes/mine/enable; cat events/kprobes/mine/enable",
        "1",
    ),
    (
        "cat /proc/version /proc/meminfo > /dev/null; grep -c mine kprobe_profile",
        "1",
    ),
    (
        "echo 0 > events/kprobes/mine/enable; echo > kprobe_events; cd /; cat /sys/kernel/tracing/kprobe_events",
        "",
    ),
    (
        "for i in 1 0 1; do echo $i > /proc/sys/kernel/sched_schedstats; done; cat /proc/sys/kernel/sched_schedstats",
        "1",
    ),
    (
        "for i in 1 2 3 4 5 6 7 8; do ls / | sort > /dev/null; done; rmmod vfat; rmmod fat; cat /proc/modules",
        "",
    ),
];

/// The policy over a guest, and what is told of it.
struct Guarded {
    running: Running,
    machine: Arc<QemuMachine>,
    told: Receiver<Record>,
    alerts: Vec<record::Alert>,
}

impl Guarded {
    fn over(guest: &Guest) -> Self {
        let attached = guest.attach(RamChoice::Auto);
        let machine = Arc::clone(&attached.machine);
        // No gdbstub traps pages, and `oriel attach` leaves them out by itself.
        let policy = kernel_guard().hears(&[]).set("hidden", Setting::Flag(true));
        let mut candidate = policy.candidate(&host());
        candidate.tick = Some(TICK);
        let (sink, told) = channel();
        let engine = Engine::new(host(), attached.parts)
            .sink(sink)
            .judge(candidate);
        Self {
            running: engine.start().expect("a VM that can be watched"),
            machine,
            told,
            alerts: Vec::new(),
        }
    }

    /// Waits until all pages were looked at, twice from now on.
    fn look(&mut self) {
        // Rounds that were over before do not count.
        while let Ok(record) = self.told.try_recv() {
            self.take(record);
        }
        let mut rounds = 0;
        while rounds < 3 {
            let record = self.told.recv_timeout(LIMIT).expect("the clock goes on");
            rounds += u32::from(self.take(record));
        }
    }

    /// Takes note of what is told; says whether a round is over.
    fn take(&mut self, record: Record) -> bool {
        if ends_round(&record) {
            return true;
        }
        match record {
            Record::Alert(alert) => self.alerts.push(alert),
            Record::Failure(failed) => panic!("{failed:?}"),
            Record::Log(_)
            | Record::Start(_)
            | Record::Event(_)
            | Record::Refusal(_)
            | Record::Tool(_)
            | Record::Policy(_)
            | Record::Report { .. }
            | Record::End(_) => {}
        }
        false
    }

    /// Writes somewhere in the kernel, as somebody who owns it would; answers what stood there.
    fn write(&self, gpa: u64, bytes: &[u8]) -> Vec<u8> {
        let mut old = vec![0; bytes.len()];
        self.machine.memory().read_at(gpa, &mut old).expect("RAM");
        self.machine.memory().write_at(gpa, bytes).expect("RAM");
        old
    }

    /// The alerts since this was last asked.
    fn said(&mut self) -> Vec<record::Alert> {
        std::mem::take(&mut self.alerts)
    }
}

/// Where kernel addresses lie.
fn places(guest: &Guest, addresses: &[u64]) -> Vec<u64> {
    let mut attached = guest.attach(RamChoice::Auto);
    let special = attached.parts.vcpus[0].special().expect("registers");
    let mode = paging::Mode::of(&special);
    let memory = attached.machine.memory();
    let place = |gva: &u64| {
        let found = paging::translate(memory, mode, special.cr3, *gva);
        found.expect("it is mapped").gpa
    };
    let places = addresses.iter().map(place).collect();
    attached.machine.leave(Leave::Running).expect("it runs");
    places
}

#[test]
fn a_kernel_that_patches_itself_is_no_alarm_and_one_that_is_patched_is() {
    let Some(folder) = guests() else { return };
    let mut guest = Guest::boot_as(&folder, |linux| Linux {
        in_turn: true,
        ..linux
    });
    let symbols = ["ksys_sync", "sys_call_table", "linux_banner"];
    let symbols = symbols.map(|name| guest.symbol(name));
    let [code, calls, banner] = places(&guest, &symbols)[..] else {
        panic!("not three places");
    };
    let mut guarded = Guarded::over(&guest);
    guarded.look();
    for (work, says) in PATCHING {
        let said = guest.running.ask(work).expect("the guest works");
        assert_eq!(said, says, "{work}");
        guarded.look();
        assert!(guarded.alerts.is_empty(), "{work}: {:?}", guarded.alerts);
    }
    code_is_changed(&mut guarded, code);
    entry_is_changed(&mut guarded, calls);
    // Who changes the banner has not booted another kernel.
    guarded.write(banner + 20, b"!");
    guarded.look();
    let said = guarded.said();
    let [constant] = &said[..] else {
        panic!("not one alert: {said:?}");
    };
    let place = field(constant, "where").unwrap_or_default();
    assert_eq!(place, "linux_banner+0x14", "{constant:?}");
    assert_eq!(field(constant, "new").unwrap_or_default(), "21");
    let outcome = stop(guarded.running);
    assert_eq!(outcome.end, End::Cancelled);
    guarded.machine.leave(Leave::Running).expect("it runs");
    guest.has_to_beat();
}

/// One byte, behind where the function calls its tracer.
fn code_is_changed(guarded: &mut Guarded, code: u64) {
    let old = guarded.write(code + 16, &[0x90 ^ 0xff]);
    guarded.look();
    let said = guarded.said();
    let [changed] = &said[..] else {
        panic!("not one alert: {said:?}");
    };
    assert_eq!(
        field(changed, "where").unwrap_or_default(),
        "ksys_sync+0x10"
    );
    assert_eq!(
        field(changed, "old").unwrap_or_default(),
        format!("{:02x}", old[0])
    );
    assert_eq!(
        (
            field(changed, "new").unwrap_or_default(),
            field(changed, "bytes").unwrap_or_default()
        ),
        ("6f", "1")
    );
    guarded.write(code + 16, &old);
    guarded.look();
    assert!(guarded.said().is_empty(), "it is as it was");
}

/// The system call with the number 162, which is `sync`.
fn entry_is_changed(guarded: &mut Guarded, calls: u64) {
    let old = guarded.write(calls + 162 * 8, &0xffff_ffff_c000_0000_u64.to_le_bytes());
    guarded.look();
    let said = guarded.said();
    let [entry, page] = &said[..] else {
        panic!("not two alerts: {said:?}");
    };
    assert_eq!(entry.message, "system calls: entry 162 was changed");
    // Several names lead there.
    assert!(
        field(entry, "old")
            .unwrap_or_default()
            .ends_with("_sys_sync"),
        "{entry:?}"
    );
    // Its lowest bytes may be the same.
    assert!(
        field(page, "where")
            .unwrap_or_default()
            .starts_with("sys_call_table+0x51"),
        "{page:?}"
    );
    guarded.write(calls + 162 * 8, &old);
    guarded.look();
    assert!(guarded.said().is_empty(), "it is as it was");
}
