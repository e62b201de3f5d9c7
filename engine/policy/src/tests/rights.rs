//! Every right, and its *no* twins: not granted, and refused by the desk.

use oriel_protocol::{
    Access, Arch, Capabilities, Identity, Refusal, Support,
    commands::{VcpuReply, VmReply},
    x86::{CpuidLeaf, General},
};
use wit_parser::abi::AbiVariant;

use super::{
    guest::{RESULT, answer},
    *,
};
use crate::Failure;

/// Each function of each right, with the command that it becomes.
const FUNCTIONS: &[(&str, &str, &str)] = &[
    ("machine", "get-info", "GetIdentity"),
    ("machine", "capabilities", "GetCapabilities"),
    (
        "x86-registers-read",
        "get",
        "0 GetRegister(GetRegister { register: Rax })",
    ),
    ("x86-registers-read", "get-general", "0 GetGeneral"),
    (
        "x86-registers-read",
        "get-msr",
        "0 GetMsr(GetMsr { msr: 0 })",
    ),
    (
        "x86-registers-read",
        "get-xcr",
        "0 GetXcr(GetXcr { xcr: 0 })",
    ),
    ("x86-registers-read", "get-cpuid", "0 GetCpuid"),
    ("x86-registers-read", "get-xsave", "0 GetXsave"),
    ("x86-registers-read", "get-mtrr-type", "0 GetMtrrType"),
    (
        "x86-registers-write",
        "set",
        "0 SetRegister(SetRegister { register: Rax, value: 0 })",
    ),
    ("x86-registers-write", "set-general", "0 SetRegisters"),
    (
        "x86-registers-write",
        "set-msr",
        "0 SetMsr(SetMsr { msr: 0, value: 0 })",
    ),
    (
        "x86-registers-write",
        "set-xsave",
        "0 SetXsave(SetXsave { area: [] })",
    ),
    (
        "memory-read",
        "read",
        "ReadPhysical(ReadPhysical { gpa: 0, length: 0 })",
    ),
    (
        "memory-read",
        "read-u64",
        "ReadPhysical(ReadPhysical { gpa: 0, length: 8 })",
    ),
    (
        "memory-read",
        "read-virtual",
        "0 ReadVirtual(ReadVirtual { cr3: None, gva: 0, length: 0 })",
    ),
    (
        "memory-read",
        "read-virtual-in",
        "0 ReadVirtual(ReadVirtual { cr3: Some(0), gva: 0, length: 0 })",
    ),
    ("memory-read", "translate", "0 TranslateGva"),
    (
        "memory-read",
        "translate-in",
        "0 TranslateIn(TranslateIn { cr3: Some(0), gva: 0 })",
    ),
    (
        "memory-words",
        "covers",
        "CoversMemory(CoversMemory { gpa: 0, length: 0 })",
    ),
    (
        "memory-words",
        "read-u8",
        "ReadWord(ReadWord { gpa: 0, size: 1 })",
    ),
    (
        "memory-words",
        "read-u16",
        "ReadWord(ReadWord { gpa: 0, size: 2 })",
    ),
    (
        "memory-words",
        "read-u32",
        "ReadWord(ReadWord { gpa: 0, size: 4 })",
    ),
    (
        "memory-words",
        "read-u64",
        "ReadWord(ReadWord { gpa: 0, size: 8 })",
    ),
    (
        "memory-write",
        "write",
        "WritePhysical(WritePhysical { gpa: 0, bytes: [] })",
    ),
    (
        "memory-write",
        "write-virtual",
        "0 WriteVirtual(WriteVirtual { gva: 0, bytes: [] })",
    ),
    (
        "page-access",
        "get",
        "GetPageAccess(GetPageAccess { view: 0, gpas: [0] })",
    ),
    (
        "page-access",
        "set",
        "SetPageAccess(SetPageAccess { view: 0, entries: [PageRule { gpa: 0, allowed: {}, tag: 0 }] })",
    ),
    (
        "intercept",
        "cr",
        "0 ControlCr(ControlCr { cr: 0, enable: false })",
    ),
    (
        "intercept",
        "msr",
        "0 ControlMsr(ControlMsr { msr: 0, enable: false })",
    ),
    (
        "intercept",
        "singlestep",
        "0 ControlSinglestep(ControlSinglestep { enable: false })",
    ),
    (
        "intercept",
        "set-breakpoint",
        "0 SetBreakpoint(SetBreakpoint { place: Gva(0), tag: 0 })",
    ),
    (
        "intercept",
        "set-hardware-breakpoint",
        "SetHardwarePoint(SetHardwarePoint { gva: 0, length: 1, access: {\"execute\"}, tag: 0 })",
    ),
    (
        "intercept",
        "set-watchpoint",
        "SetHardwarePoint(SetHardwarePoint { gva: 0, length: 0, access: {}, tag: 0 })",
    ),
    (
        "intercept",
        "clear-breakpoint",
        "ClearBreakpoint(ClearBreakpoint { tag: 0 })",
    ),
    ("intercept", "breakpoints", "ListBreakpoints"),
    ("inject", "raise", "0 InjectException"),
    (
        "control",
        "pause",
        "PauseVcpu(PauseVcpu { vcpu: 0, wait: true })",
    ),
    ("control", "pause-others", "PauseOthers"),
    ("control", "resume", "Resume"),
    ("guest-os", "get-kernel", "GetKernel"),
    (
        "guest-os",
        "find-symbol",
        "FindSymbol(FindSymbol { name: \"\", module: None })",
    ),
    (
        "guest-os",
        "find-variants",
        "FindVariants(FindVariants { name: \"\" })",
    ),
    ("guest-os", "symbol-at", "SymbolAt(SymbolAt { gva: 0 })"),
    (
        "guest-os",
        "find-field",
        "FindField(FindField { path: \"\", module: None })",
    ),
    ("guest-os", "list-tasks", "ListTasks"),
    ("guest-os", "find-task", "FindTask(FindTask { pid: 0 })"),
    ("guest-os", "current-task", "0 CurrentTask"),
    ("guest-os", "hidden-tasks", "HiddenTasks"),
    ("guest-os", "list-modules", "ListModules"),
    (
        "guest-os",
        "system-calls",
        "SystemCalls(SystemCalls { compat: false })",
    ),
    ("guest-os", "interrupts", "0 GetInterrupts"),
    ("guest-os", "list-areas", "ListAreas"),
    (
        "guest-os",
        "locate",
        "LocateKernel(LocateKernel { gva: 0, length: 0 })",
    ),
];

/// Functions of rights that do not touch the guest; they have tests of their own.
const SERVICES: [&str; 4] = ["alert", "log", "metrics", "store"];

/// A policy that calls one function with zeros on each event, and repeats the first byte of what
/// it got, and the byte at the place of a refusal in it.
fn calling(interface: &str, function: &str, refusal_at: u32) -> Guest {
    let guest = Guest::judging(["msr"])
        .importing(interface, function)
        .importing("metrics", "add");
    let (params, results) = guest.core_signature(AbiVariant::GuestImport, interface, function);
    let given_back = !results.is_empty();
    let mut arguments: Vec<_> = params.iter().map(|ty| format!("({ty}.const 0)")).collect();
    if !given_back {
        // The last parameter says where the result goes.
        arguments.pop();
        arguments.push(format!("(i32.const {RESULT})"));
    }
    let call = format!("(call ${interface}.{function} {})", arguments.join(" "));
    let metric = |value: String| format!("(call $metrics.add (i32.const 0) (i32.const 0) {value})");
    let byte = |at: u32| metric(format!("(i64.load8_u (i32.const {at}))"));
    let body = match results.first().copied() {
        Some("i32") => metric(format!("(i64.extend_i32_u {call})")),
        Some(_) => metric(call),
        None => call + &byte(RESULT) + &byte(RESULT + refusal_at),
    };
    guest.with("judge-msr", "judge", &body)
}

fn heard_from(guest: &Guest, desk: Box<FakeDesk>) -> (Vec<u64>, Vec<String>) {
    let (mut policy, slot) = instance(guest);
    let event = msr();
    let (verdict, desk) = policy.judge(&case(&event), &slot, desk);
    assert_eq!(verdict, Ok(oriel_protocol::Verdict::Continue));
    let desk = FakeDesk::back(desk);
    (super::echo::heard(&desk), desk.asked)
}

#[test]
fn every_function_asks_the_desk_for_its_command() {
    for (interface, function, command) in FUNCTIONS {
        let (_, asked) = heard_from(&calling(interface, function, 0), FakeDesk::new());
        assert!(
            asked[0].starts_with(command),
            "{interface}.{function}: {}",
            asked[0]
        );
    }
}

#[test]
fn a_no_of_the_desk_is_a_refusal_and_never_a_trap() {
    for (interface, function, _) in FUNCTIONS {
        for (number, refusal) in Refusal::ALL.into_iter().enumerate() {
            if number != 0 && *interface != "control" {
                continue;
            }
            let mut desk = FakeDesk::new();
            desk.refusal = refusal;
            let at = calling(interface, function, 0).refusal_offset(interface, function);
            let (heard, _) = heard_from(&calling(interface, function, at), desk);
            match *interface {
                "memory-words" => assert_eq!(heard, [0], "{function}"),
                _ => assert_eq!(heard, [1, number as u64], "{interface}.{function}"),
            }
        }
    }
}

#[test]
fn the_table_of_this_test_has_every_function() {
    let guest = Guest::new();
    for right in Right::ALL
        .iter()
        .filter(|right| !SERVICES.contains(&right.name()))
    {
        for function in guest.functions(right.name()) {
            // Many ranges at once: tested with the limits.
            if function == "read-scattered" {
                continue;
            }
            let tested = |(interface, name, _): &(&str, &str, &str)| {
                *interface == right.name() && *name == function
            };
            assert!(FUNCTIONS.iter().any(tested), "{}.{function}", right.name());
        }
    }
}

#[test]
fn a_right_that_was_not_granted_is_named_with_the_line_that_grants_it() {
    for right in Right::ALL.iter().filter(|right| **right != Right::Log) {
        let guest = Guest::new();
        let function = guest.functions(right.name()).remove(0);
        let guest = Guest::judging(["msr"])
            .importing(right.name(), &function)
            .importing("log", "write");
        let terms = Terms {
            rights: Right::ALL
                .iter()
                .copied()
                .filter(|other| other != right)
                .collect(),
            ..all()
        };
        let error = prepare(&guest, terms).unwrap_err();
        let PrepareError::NotGranted { missing, .. } = &error else {
            panic!("{error}");
        };
        assert_eq!(missing, &[*right]);
        assert!(
            error
                .to_string()
                .contains(&format!("not granted: {};", right.name())),
            "{error}"
        );
        prepare(&guest, all()).unwrap();
    }
}

#[test]
fn the_line_that_grants_keeps_what_was_granted() {
    let guest = Guest::judging(["msr"])
        .importing("alert", "raise")
        .importing("memory-read", "read-u64");
    let terms = Terms {
        name: "msr-guard".into(),
        rights: [Right::Alert, Right::Store].into(),
        ..all()
    };
    let error = prepare(&guest, terms).unwrap_err().to_string();
    assert!(
        error.contains("`--grant msr-guard=memory-read,alert,store`"),
        "{error}"
    );
    assert!(
        error.contains(r#"`grant = ["memory-read", "alert", "store"]`"#),
        "{error}"
    );
}

#[test]
fn the_log_is_everybodys() {
    let guest = Guest::judging(["msr"]).importing("log", "write");
    let terms = Terms {
        rights: [].into(),
        ..all()
    };
    let policy = prepare(&guest, terms).unwrap();
    assert_eq!(policy.rights(), &[Right::Log].into());
}

#[test]
fn events_that_were_not_granted_are_not_heard() {
    let terms = Terms {
        events: [oriel_protocol::EventKind::Msr].into_iter().collect(),
        ..all()
    };
    let policy = prepare(&Guest::judging(["msr", "page"]), terms).unwrap();
    let heard: Vec<_> = policy.hears().iter().map(|kind| kind.name()).collect();
    assert_eq!(heard, ["msr"]);
    assert_eq!(policy.filters().len(), 1);
}

#[test]
fn the_probe_is_refused_everything_but_the_log() {
    // Says `no` to being begun if the desk says yes.
    let body = format!(
        "(call $control.resume (i32.const {RESULT}))
         (call $log.write (i32.const 2) (i32.const 0) (i32.const 0))
         (if (i32.eqz (i32.load8_u (i32.const {RESULT}))) (then {}))",
        answer(1)
    );
    let guest = Guest::judging(["msr"])
        .importing("control", "resume")
        .importing("log", "write")
        .with("lifecycle", "init", &body);
    let policy = prepare(&guest, all()).expect("the probe was refused");
    let mut desk = FakeDesk::new();
    desk.vm = Some(VmReply::Resume(()));
    let (instance, _) = policy.instantiate(Place::Vcpu(0), &HOST.slot(), desk);
    assert_eq!(
        instance.unwrap_err(),
        Failure::Init(String::new()),
        "others are not"
    );
}

#[test]
fn another_rows_reply_is_no_answer() {
    let mut desk = FakeDesk::new();
    desk.vm = Some(VmReply::GetMaxGfn(1));
    let (heard, _) = heard_from(&calling("control", "resume", 1), desk);
    assert_eq!(heard, [1, 1], "unsupported");
}

#[test]
fn what_the_machine_is_comes_over() {
    let identity = Identity {
        uuid: uuid(),
        name: "vm".into(),
        arch: Arch::X86_64,
    };
    let mut desk = FakeDesk::new();
    desk.vm = Some(VmReply::GetIdentity(identity));
    let (heard, asked) = heard_from(&calling("machine", "get-info", 8), desk);
    assert_eq!(asked[1], "GetGuestInfo(GetGuestInfo)");
    assert_eq!(heard[0], 1, "the second question was refused");

    let capabilities = Capabilities::default().limited("memory-write", Support::Partly, "not MMIO");
    let mut desk = FakeDesk::new();
    desk.vm = Some(VmReply::GetCapabilities(capabilities));
    let (heard, _) = heard_from(&calling("machine", "capabilities", 8), desk);
    assert_eq!(heard, [0, 1], "one capability");
}

fn uuid() -> uuid::Uuid {
    uuid::Uuid::from_u128(1)
}

#[test]
fn values_come_over_whole() {
    let word = |value: u64| VmReply::ReadPhysical(value.to_le_bytes().to_vec());
    let general = General {
        rax: 0x77,
        ..General::default()
    };
    let leaf = CpuidLeaf {
        eax: 0x66,
        ..CpuidLeaf::default()
    };
    let vm = [
        ("memory-read", "read-u64", 8, word(0x55), [0, 0x55]),
        (
            "page-access",
            "get",
            1,
            VmReply::GetPageAccess(vec![Access::READ | Access::EXECUTE]),
            [0, 0b101],
        ),
        (
            "intercept",
            "breakpoints",
            8,
            VmReply::ListBreakpoints(vec![1, 2, 3]),
            [0, 3],
        ),
    ];
    for (interface, function, at, reply, expected) in vm {
        let mut desk = FakeDesk::new();
        desk.vm = Some(reply);
        assert_eq!(
            heard_from(&calling(interface, function, at), desk).0,
            expected,
            "{function}"
        );
    }
    let vcpu = [
        (
            "x86-registers-read",
            "get",
            8,
            VcpuReply::GetRegister(0x44),
            [0, 0x44],
        ),
        (
            "x86-registers-read",
            "get-general",
            8,
            VcpuReply::GetGeneral(general),
            [0, 0x77],
        ),
        (
            "x86-registers-read",
            "get-cpuid",
            4,
            VcpuReply::GetCpuid(leaf),
            [0, 0x66],
        ),
        (
            "x86-registers-read",
            "get-mtrr-type",
            1,
            VcpuReply::GetMtrrType(6),
            [0, 6],
        ),
        (
            "memory-read",
            "translate",
            8,
            VcpuReply::TranslateGva(0x33),
            [0, 0x33],
        ),
    ];
    for (interface, function, at, reply, expected) in vcpu {
        let mut desk = FakeDesk::new();
        desk.vcpu = Some(reply);
        assert_eq!(
            heard_from(&calling(interface, function, at), desk).0,
            expected,
            "{function}"
        );
    }
}

#[test]
fn words_are_bare() {
    let words = [
        ("read-u8", 0xf0),
        ("read-u16", 0xdef0),
        ("read-u32", 0x9abc_def0),
        ("read-u64", 0x1234_5678_9abc_def0),
    ];
    for (function, expected) in words {
        let mut desk = FakeDesk::new();
        desk.vm = Some(VmReply::ReadWord(0x1234_5678_9abc_def0));
        assert_eq!(
            heard_from(&calling("memory-words", function, 0), desk).0,
            [expected]
        );
    }
    let mut desk = FakeDesk::new();
    desk.vm = Some(VmReply::CoversMemory(true));
    assert_eq!(
        heard_from(&calling("memory-words", "covers", 0), desk).0,
        [1]
    );
}
