//! Scenarios as text: what is read, and what is refused with its place and its key.

use std::{collections::BTreeSet, sync::Arc};

use oriel_protocol::{Access, Decision, commands::vcpu::Place};
use proptest::prelude::*;

use super::raised;
use crate::{
    mock::{
        Action, Expect, Instruction, Report, Scenario, Step,
        instruction::{Touch, WriteMsr},
    },
    outlet::Kept,
};

fn refused(text: &str) -> String {
    Scenario::parse(text, "a.toml").unwrap_err().to_string()
}

fn step(keys: &str) -> Step {
    let text = format!("vcpus = 2\n[[step]]\n{keys}\n");
    let scenario = Scenario::parse(&text, "a.toml").unwrap_or_else(|error| panic!("{error}"));
    scenario.steps()[0].clone()
}

#[test]
fn a_step_is_read_with_everything_that_it_can_have() {
    let read = step(
        "event = 'msr'\nmsr = 'lstar'\nvalue = 0xffffffffc0de0000\nvcpu = 1\nrepeat = 3\n\
         ip = '0xffff_ffff_8100_0000'\ncpl = 3\ncr3 = 0x2000\nlength = 4\n\
         expect = { verdict = 'deny', value = 7 }",
    );
    let mut written = Step::write_msr(0xc000_0082, 0xffff_ffff_c0de_0000)
        .on(1)
        .times(3)
        .at(0xffff_ffff_8100_0000)
        .in_ring(3)
        .in_space(0x2000)
        .expecting(Expect {
            verdict: Some(Decision::Deny),
            value: Some(7),
        });
    written.stand.length = Some(4);
    assert_eq!(read, written);
}

#[test]
fn numbers_are_integers_or_strings() {
    for value in ["4096", "0x1000", "'4096'", "'0x1000'", "'4_096'", "4_096"] {
        let read = step(&format!("event = 'msr'\nmsr = 0x10\nvalue = {value}"));
        let write = WriteMsr {
            msr: 0x10,
            value: 4096,
        };
        assert_eq!(read.action, Instruction::Msr(write).into(), "{value}");
    }
}

#[test]
fn memory_has_three_notations() {
    let text = "
        [[memory]]
        gpa = 0x1000
        hex = '0f 30 CC'
        [[memory]]
        gpa = 0x2000
        words = [1, '0xffffffffffffffff']
        [[memory]]
        gpa = 0x3000
        text = 'abc'
    ";
    let read = Scenario::parse(text, "a.toml").unwrap();
    let mut words = vec![1, 0, 0, 0, 0, 0, 0, 0];
    words.extend([0xff; 8]);
    let written = Scenario::new("a")
        .memory(0x1000, [0x0f, 0x30, 0xcc])
        .memory(0x2000, words)
        .memory(0x3000, "abc");
    assert_eq!(read, written);
}

#[test]
fn steps_that_are_no_event_are_read() {
    let actions = [
        ("serial = 'x'", Action::Serial("x".to_owned())),
        ("finish = 3", Action::Finish(3)),
        ("report = 'msr'\nmsr = 'pat'", Report::Msr(0x277).into()),
        ("report = 'faults'", Report::Faults(None).into()),
        (
            "report = 'faults'\nvector = 13",
            Report::Faults(Some(13)).into(),
        ),
        (
            "report = 'memory'\ngva = 8\nsize = 2",
            Report::Memory(Place::Gva(8), 2).into(),
        ),
        (
            "signal = 'x'\n[[step]]\nwait-for = 'x'",
            Action::Signal("x".to_owned()),
        ),
    ];
    for (keys, action) in actions {
        assert_eq!(step(keys).action, action, "{keys}");
    }
    let touch = Touch {
        access: Access::READ,
        place: Place::Gpa(0x2000),
        size: 8,
        value: None,
    };
    let read = step("event = 'page'\naccess = 'read'\ngpa = 0x2000");
    assert_eq!(read.action, Instruction::Page(touch).into());
}

#[test]
fn a_mistake_is_told_with_file_line_and_key() {
    let told = [
        (
            "name = 1",
            "a.toml:1: invalid type: integer `1`, expected a string in `name`",
        ),
        (
            "\nvcpus = 'two'",
            "a.toml:2: `two` is not a number of up to 64 bits in `vcpus`",
        ),
        (
            "vcpus = 0x1ffffffff",
            "a.toml:1: 0x1ffffffff is too large here in `vcpus`",
        ),
        ("vcpus = -1", "a.toml:1: -1 is negative in `vcpus`"),
        ("[registers]\nrex = 1", "a.toml:2: `rex` is none of `rax`"),
        (
            "[[memory]]\ngpa = 0\nhex = '0g'",
            "a.toml:1: `0g` is not pairs of hexadecimal digits (`hex`)",
        ),
        (
            "\n[[step]]\nevent = 'msr'\nmsr = 1\nvalue = 1\nvalve = 2",
            "a.toml:6: step 1: unknown field `valve`, expected `msr` or `value`",
        ),
        (
            "[[step]]\nevent = 'msr'\nmsr = 1",
            "a.toml:1: step 1: missing field `value`",
        ),
        (
            "[[step]]\nserial = ''\n[[step]]\nevent = 'msg'",
            "a.toml:3: step 2: there is no event `msg`",
        ),
        (
            "[[step]]\nevent = 'msr'\nserial = 'x'",
            "a.toml:1: step 1: a step has exactly one of `event`",
        ),
        (
            "[[step]]\nserial = 'x'\nip = 1",
            "a.toml:3: step 1: unknown field `ip`",
        ),
        (
            "[[step]]\nevent = 'command-error'",
            "a.toml:1: step 1: `command-error` is not raised",
        ),
        (
            "[[step]]\nevent = 'page'\naccess = 'read'",
            "a.toml:1: step 1: exactly one of `gva` and `gpa`",
        ),
        (
            "[[step]]\nfinish = 0\nexpect = { verdict = 'no' }",
            "a.toml:1: step 1: `no` is none of `continue`",
        ),
        ("step = 1", "a.toml:1: steps are a list: write `[[step]]`"),
        ("[[step", "a.toml:1: "),
        ("memory-mb = 1", "a.toml:1: unknown field `memory-mb`"),
    ];
    for (text, start) in told {
        let error = refused(text);
        assert!(error.starts_with(start), "{text:?} gave {error:?}");
        assert!(!error.contains('\n'), "on one line: {error:?}");
    }
}

#[test]
fn what_does_not_fit_together_is_told_with_its_place() {
    let told = [
        ("vcpus = 0", "a.toml: `vcpus` is 1 to 256"),
        ("memory-mib = 5000", "a.toml: `memory-mib` is 1 to 4096"),
        (
            "[[vcpu]]\nindex = 1\nregisters = { rax = 1 }",
            "a.toml:1: vcpu 1: there are 1 (`vcpus`)",
        ),
        (
            "[registers]\ncr0 = 0x80000000",
            "a.toml: vcpu 0: `registers`: no processor",
        ),
        (
            "[msrs]\nlstar = '0x800000000000'",
            "a.toml: vcpu 0: MSR 0xc0000082 does not take",
        ),
        (
            "[[memory]]\ngpa = 0xffffff\nhex = '0000'",
            "a.toml:1: memory 1: `gpa`: not all of it is in RAM",
        ),
        (
            "[[map]]\ngva = 1\ngpa = 0",
            "a.toml:1: map 1: `gva`, `gpa` and `size` are whole pages",
        ),
        (
            "[[map]]\ngva = '0x7ffffffff000'\ngpa = 0\nsize = 0x2000",
            "a.toml:1: map 1: `gva`: the range",
        ),
        (
            "[[map]]\ngva = 0\ngpa = 0\nsize = 0x80000000",
            "a.toml:1: map 1: `size` is at most 1 GiB",
        ),
        (
            "[[step]]\nwait-for = 'x'",
            "a.toml:1: step 1: `wait-for`: nobody signals `x`",
        ),
        (
            "[[step]]\nserial = ''\nvcpu = 1",
            "a.toml:1: step 1: `vcpu`: there are 1",
        ),
        (
            "[[step]]\nserial = ''\nrepeat = 0",
            "a.toml:1: step 1: `repeat` is at least 1",
        ),
        (
            "[[step]]\nevent = 'cr'\ncr = 2\nvalue = 0",
            "a.toml:1: step 1: `cr` is 0, 3 or 4",
        ),
        (
            "[[step]]\nevent = 'trap'\nvector = 13",
            "a.toml:1: step 1: vector 13 has an `error-code`",
        ),
        (
            "[[step]]\nevent = 'mmio'\ngpa = 0\nwrite = true\nvalue = 0",
            "a.toml:1: step 1: `gpa` is in RAM",
        ),
        (
            "[[step]]\nevent = 'page'\naccess = 'read'\ngva = 0xfff",
            "a.toml:1: step 1: an access stays",
        ),
        (
            "[[step]]\nevent = 'pio'\nport = 1\nwrite = true\nvalue = 0\nsize = 8",
            "a.toml:1: step 1: `size` is 1, 2 or 4",
        ),
        (
            "[[step]]\nevent = 'singlestep'\ncpl = 4",
            "a.toml:1: step 1: `cpl` is 0 to 3",
        ),
        (
            "[[step]]\nevent = 'singlestep'\nlength = 16",
            "a.toml:1: step 1: `length` is 1 to 15",
        ),
    ];
    for (text, start) in told {
        let error = refused(text);
        assert!(error.starts_with(start), "{text:?} gave {error:?}");
    }
}

#[test]
fn scenarios_in_rust_are_checked_when_they_are_built() {
    let outlet = Arc::new(Kept::default());
    let wrong = Scenario::new("wrong").step(Step::serial("x").on(1));
    let error = wrong.build(outlet.clone()).unwrap_err().to_string();
    assert_eq!(error, "wrong: step 1: `vcpu`: there are 1 (`vcpus`)");
    let over_tables = Scenario::new("wrong").memory(0xff_f000, [0; 8]);
    let error = over_tables.build(outlet).unwrap_err().to_string();
    assert_eq!(
        error,
        "wrong: memory 1: `gpa`: page tables lie from 0xffc000 on"
    );
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let missing = std::path::Path::new("no/such.toml");
    let error = Scenario::load(missing).unwrap_err();
    assert_eq!(error.to_string(), "no/such.toml cannot be read");
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(
        at in any::<prop::sample::Index>(),
        length in 0usize..12,
        word in "[0-9a-fx\"'={}.\\[\\]\n -]{0,12}|18446744073709551615|event|vcpu|gva|cr3",
    ) {
        let mut text = include_str!("../builtin/every-kind.toml").to_owned();
        let from = at.index(text.len());
        let to = text.len().min(from + length);
        text.replace_range(from..to, &word);
        if let Ok(scenario) = Scenario::parse(&text, "a.toml") {
            let _ = scenario.build(Arc::new(Kept::default()));
        }
    }
}

#[test]
fn the_examples_of_the_book_are_scenarios_and_show_every_kind() {
    let book = include_str!("../../../../../docs/scenarios.md");
    let mut shown = BTreeSet::new();
    for block in book.split("```toml\n").skip(1) {
        let text = block.split("```").next().unwrap();
        let read = Scenario::parse(text, "scenarios.md");
        let scenario = read.unwrap_or_else(|error| panic!("{error} in\n{text}"));
        for step in scenario.steps() {
            if let Action::Event(instruction) = &step.action {
                shown.insert(instruction.kind());
            }
        }
    }
    assert!(shown.into_iter().eq(raised()), "an example for each kind");
}
