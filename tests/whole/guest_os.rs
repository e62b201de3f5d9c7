//! What a Linux guest's memory means, asked through the gate: a forged kernel in the mock machine's
//! memory, a judge that asks on the vCPU's thread, and the operator beside it.

mod guarded;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use oriel_engine::Desk;
use oriel_guest::{Guest, forge::Forged};
use oriel_machine::{
    End,
    mock::{Scenario, Step},
};
use oriel_protocol::{
    EventKind, Gpa, Refusal, Verdict,
    commands::{
        vcpu::{CurrentTask, GetInterrupts},
        vm::{
            FindField, FindSymbol, FindTask, FindVariants, GetKernel, HiddenTasks, ListAreas,
            ListModules, ListTasks, LocateKernel, ReadPhysical, SymbolAt, SystemCalls,
            WritePhysical,
        },
    },
    linux::{AreaKind, Ending, Task, Told},
    x86::{Register, msr},
};
use oriel_tests::{FOREVER, Vm, native, play};
use vm_memory::{Bytes as _, GuestAddress, GuestMemoryBackend as _};

const PAGE: usize = 4096;
/// What a kernel's banner begins with.
const LINUX: &[u8] = b"Linux version ";

/// A forged guest, and what is in it.
struct Linux {
    forged: Forged,
    shell: u64,
    hidden: u64,
}

fn linux(slide: u64) -> Linux {
    let mut forged = Forged::new(slide);
    let init = forged.init_task();
    let shell = forged.process(100, "sh", init);
    let hidden = forged.process(666, "rootkit", init);
    forged.give(shell, 1000);
    forged.hide(hidden);
    forged.module("dummy", None);
    Linux {
        forged,
        shell,
        hidden,
    }
}

/// Its memory, page by page, without what is zero.
fn pages(forged: &Forged) -> Vec<(Gpa, Vec<u8>)> {
    let memory = forged.memory();
    let end = memory.last_addr().0 + 1;
    let page = |gpa: Gpa| {
        let mut bytes = vec![0; PAGE];
        let read = memory.read_slice(&mut bytes, GuestAddress(gpa));
        read.expect("its own memory");
        bytes.iter().any(|byte| *byte != 0).then_some((gpa, bytes))
    };
    (0..end).step_by(PAGE).filter_map(page).collect()
}

/// A vCPU in that kernel, which writes an MSR so often.
fn scenario(forged: &Forged, writes: u64) -> Scenario {
    let sight = forged.sight();
    let guest = Scenario::new("linux")
        .register(None, Register::Cr3, sight.cr3)
        .register(
            None,
            Register::IdtBase,
            sight.idt.map_or(0, |(base, _)| base),
        )
        .msr(None, msr::LSTAR, sight.lstar.unwrap_or(0));
    let guest = pages(forged)
        .into_iter()
        .fold(guest, |guest, (gpa, bytes)| guest.memory(gpa, bytes));
    (1..=writes)
        .fold(guest, |guest, value| {
            guest.step(Step::write_msr(msr::STAR, value))
        })
        .step(Step::finish(0))
}

/// Has a judge look at the first event, and answers with what it found.
fn seen<T: Clone + Send + 'static>(
    scenario: &Scenario,
    look: impl Fn(&mut Desk) -> T + Clone + Send + Sync + 'static,
) -> T {
    let found = Arc::new(Mutex::new(None));
    let kept = Arc::clone(&found);
    let judge = native("looker", &[EventKind::Msr], move |_, desk| {
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get_or_insert_with(|| look(desk));
        Verdict::Continue
    });
    let ran = play(scenario, vec![judge]);
    assert_eq!(ran.outcome.end, End::Finished(0));
    let found = found.lock().unwrap_or_else(PoisonError::into_inner).clone();
    found.expect("an event that was judged")
}

fn told<T>(answer: Result<Told<T>, Refusal>) -> T {
    let answer = answer.expect("a command that is let through");
    answer.unwrap_or_else(|why| panic!("{why}"))
}

fn pids(tasks: &[Task]) -> Vec<u32> {
    tasks.iter().map(|task| task.pid).collect()
}

#[test]
fn tasks_are_listed_found_by_number_and_seen_where_they_hide() {
    let linux = linux(0);
    linux.forged.run(linux.shell);
    let (shell, hidden) = (linux.shell, linux.hidden);
    seen(&scenario(&linux.forged, 1), move |desk| {
        let list = told(desk.vm(ListTasks {}));
        assert_eq!((pids(&list.items), list.ending), (vec![100], Ending::Whole));
        assert_eq!(told(desk.vm(FindTask { pid: 666 })).address, hidden);
        assert_eq!(pids(&told(desk.vm(HiddenTasks {}))), [666]);
        let current = told(desk.on(0, CurrentTask {}));
        assert_eq!((current.address, &*current.comm), (shell, "sh"));
        assert_eq!(current.credentials.map(|who| who.uid), Some(1000));
        let nobody = desk.vm(FindTask { pid: 7 }).expect("let through");
        assert!(nobody.is_err_and(|why| why.contains("number 7")));
    });
}

#[test]
fn symbols_fields_modules_and_tables_are_those_of_the_kernel() {
    let linux = linux(0x40_0000);
    let (start, table) = (linux.forged.at(0), linux.forged.init_task());
    seen(&scenario(&linux.forged, 1), move |desk| {
        let kernel = told(desk.vm(GetKernel {}));
        assert!(kernel.banner.starts_with("Linux version"));
        assert_eq!((kernel.start, kernel.slide), (start, Some(0x40_0000)));
        let (name, module) = ("init_task".to_owned(), None);
        let symbol = told(desk.vm(FindSymbol { name, module }));
        assert_eq!(symbol.address, table);
        let there = told(desk.vm(SymbolAt { gva: table + 8 }));
        assert_eq!(there.address, table, "several have it");
        let name = "init_task".to_owned();
        assert_eq!(told(desk.vm(FindVariants { name })), [symbol]);
        let field = |path: &str| FindField {
            path: path.to_owned(),
            module: None,
        };
        assert_eq!(told(desk.vm(field("task_struct.pid"))).size, 4);
        assert!(
            desk.vm(field("task_struct.nothing"))
                .is_ok_and(|no| no.is_err())
        );
        let modules = told(desk.vm(ListModules {}));
        let names: Vec<_> = modules.items.iter().map(|module| &*module.name).collect();
        assert_eq!(names, ["dummy"]);
        let missing = FindSymbol {
            name: "x".to_owned(),
            module: Some("missing".to_owned()),
        };
        let missing = desk.vm(missing).expect("let through");
        assert!(missing.is_err_and(|why| why.contains("no module missing")));
        let calls = told(desk.vm(SystemCalls { compat: false }));
        assert!(!calls.entries.is_empty() && calls.entries.iter().all(|call| call.in_text));
        let gates = told(desk.on(0, GetInterrupts {}));
        assert_eq!(gates.entries.first().map(|gate| gate.in_text), Some(true));
        let areas = told(desk.vm(ListAreas {}));
        assert_eq!(areas[0].kind, AreaKind::Text);
    });
}

#[test]
fn kernel_memory_is_located_and_read_by_the_right_for_memory() {
    let linux = linux(0);
    seen(&scenario(&linux.forged, 1), move |desk| {
        let start = told(desk.vm(GetKernel {})).start;
        let pieces = told(desk.vm(LocateKernel {
            gva: start,
            length: 65536,
        }));
        let total: u32 = pieces.iter().map(|(_, length)| length).sum();
        assert_eq!((total, pieces.len()), (65536, 1), "one large page");
        let nowhere = desk.vm(LocateKernel {
            gva: 0x1000,
            length: 8,
        });
        assert!(nowhere.is_ok_and(|no| no.is_err_and(|why| why.contains("0x1000"))));
        let none = desk.vm(LocateKernel {
            gva: start,
            length: 0,
        });
        assert_eq!(none, Err(Refusal::Invalid));
    });
}

#[test]
fn a_guest_without_a_linux_is_told_so_in_words() {
    let bare = Scenario::new("bare")
        .step(Step::write_msr(msr::STAR, 1))
        .step(Step::finish(0));
    let answer = seen(&bare, |desk| desk.vm(ListTasks {}));
    let why = answer.expect("let through").expect_err("no Linux");
    assert!(why.contains("no Linux kernel"), "{why}");
}

#[test]
fn a_kernel_that_is_gone_is_looked_for_anew() {
    let linux = linux(0);
    seen(&scenario(&linux.forged, 1), |desk| {
        let kernel = told(desk.vm(GetKernel {}));
        let banner = locate(desk, &kernel.banner);
        let other = kernel.banner.replacen("9.9.9", "9.9.8", 1);
        assert_ne!(other, kernel.banner);
        let bytes = other.clone().into_bytes();
        assert_eq!(desk.vm(WritePhysical { gpa: banner, bytes }), Ok(()));
        assert_eq!(
            told(desk.vm(GetKernel {})).banner,
            other,
            "as after a reboot"
        );
    });
}

/// Where a text lies in the guest's RAM.
fn locate(desk: &mut Desk, text: &str) -> Gpa {
    let mut chunks = (0..16 << 20).step_by(65536);
    let found = chunks.find_map(|gpa: Gpa| {
        let length = 65536;
        let bytes = desk.vm(ReadPhysical { gpa, length }).expect("RAM");
        let mut windows = bytes.windows(text.len());
        let at = windows.position(|window| window == text.as_bytes())?;
        assert!(text.as_bytes().starts_with(LINUX));
        Some(gpa + at as u64)
    });
    found.expect("the banner is in RAM")
}

#[test]
fn the_operator_asks_while_the_guest_runs_or_stands() {
    let linux = linux(0);
    linux.forged.run(linux.shell);
    let vm = Vm::of(&scenario(&linux.forged, 3), vec![]);
    let ask = |guest: &Guest<'_>, sights: &[oriel_guest::Sight]| {
        let view = guest.cross_view(sights)?;
        let hidden = view.hidden().map(|seen| seen.task.pid).collect::<Vec<_>>();
        Ok((hidden, sights.len(), guest.tasks()?.items.len()))
    };
    let answer = vm.handle().ask_guest(FOREVER, ask);
    assert_eq!(
        answer,
        Ok((vec![666], 1, 1)),
        "it is held before its first step"
    );
    vm.go(1);
    let handle = vm.handle();
    assert_eq!(vm.wait().outcome.end, End::Finished(0));
    // A vCPU that has ended shows nothing; the index is there, and so is the memory.
    let after = handle.ask_guest(Duration::from_millis(1), |guest, sights| {
        Ok((guest.tasks()?.items.len(), sights.len()))
    });
    assert_eq!(after, Ok((1, 0)));
}
