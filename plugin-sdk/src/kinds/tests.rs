//! All kinds at once: what holds for each of them.

use std::fmt::Debug;

use super::*;
use crate::bindings::*;
use crate::verdict::{Answer, Fact, Instruction, Value};
use crate::{Access, CpuidLeaf, Event, Exception, Scope, Verdicts};

const EXCEPTION: Exception = Exception {
    vector: 13,
    error_code: Some(0),
    address: 0,
};

const LEAF: CpuidLeaf = CpuidLeaf {
    eax: 1,
    ebx: 2,
    ecx: 3,
    edx: 4,
};

fn values<V>(value: V) -> Vec<Value<V>> {
    vec![
        Value::Continue,
        Value::Retry,
        Value::Crash,
        Value::Replace(value),
        Value::Deny,
        Value::Skip,
        Value::Inject(EXCEPTION),
    ]
}

fn instructions() -> Vec<Instruction> {
    vec![
        Instruction::Continue,
        Instruction::Retry,
        Instruction::Crash,
        Instruction::Deny,
        Instruction::Skip,
        Instruction::Inject(EXCEPTION),
    ]
}

fn facts() -> Vec<Fact> {
    vec![Fact::Continue, Fact::Crash]
}

fn steps() -> Vec<singlestep::Verdict> {
    use singlestep::Verdict;
    vec![
        Verdict::Continue,
        Verdict::Crash,
        Verdict::Inject(EXCEPTION),
    ]
}

fn pages() -> Vec<page::Verdict> {
    use page::Verdict;
    vec![
        Verdict::Continue,
        Verdict::Retry,
        Verdict::Crash,
        Verdict::Replace(7),
        Verdict::Deny,
        Verdict::Skip,
        Verdict::Inject(EXCEPTION),
        Verdict::Emulate(vec![1, 2]),
        Verdict::Step,
    ]
}

/// Our verdicts and the WIT's have the same names and values.
fn goes_out_as_it_is<W: From<V> + Debug, V: Answer + Debug>(verdicts: Vec<V>) {
    let mut kinds = Verdicts::empty();
    for verdict in verdicts {
        kinds |= verdict.kind();
        let ours = format!("Verdict::{verdict:?}");
        assert_eq!(format!("{:?}", W::from(verdict)), ours);
    }
    assert_eq!(kinds, V::ALL);
}

#[test]
fn every_verdict_of_every_kind_goes_out_as_it_is() {
    use hears_breakpoint::exports::oriel::introspection::judge_breakpoint;
    use hears_cpuid::exports::oriel::introspection::judge_cpuid;
    use hears_cr::exports::oriel::introspection::judge_cr;
    use hears_descriptor::exports::oriel::introspection::judge_descriptor;
    use hears_hypercall::exports::oriel::introspection::judge_hypercall;
    use hears_mmio::exports::oriel::introspection::judge_mmio;
    use hears_msr::exports::oriel::introspection::judge_msr;
    use hears_msr_read::exports::oriel::introspection::judge_msr_read;
    use hears_page::exports::oriel::introspection::judge_page;
    use hears_pio::exports::oriel::introspection::judge_pio;
    use hears_reset::exports::oriel::introspection::judge_reset;
    use hears_shutdown::exports::oriel::introspection::judge_shutdown;
    use hears_singlestep::exports::oriel::introspection::judge_singlestep;
    use hears_trap::exports::oriel::introspection::judge_trap;
    use hears_xsetbv::exports::oriel::introspection::judge_xsetbv;

    goes_out_as_it_is::<judge_cr::Verdict, _>(values(7));
    goes_out_as_it_is::<judge_msr::Verdict, _>(values(7));
    goes_out_as_it_is::<judge_msr_read::Verdict, _>(values(7));
    goes_out_as_it_is::<judge_xsetbv::Verdict, _>(values(7));
    goes_out_as_it_is::<judge_breakpoint::Verdict, _>(instructions());
    goes_out_as_it_is::<judge_hypercall::Verdict, _>(values(7));
    goes_out_as_it_is::<judge_page::Verdict, _>(pages());
    goes_out_as_it_is::<judge_trap::Verdict, _>(facts());
    goes_out_as_it_is::<judge_descriptor::Verdict, _>(instructions());
    goes_out_as_it_is::<judge_singlestep::Verdict, _>(steps());
    goes_out_as_it_is::<judge_cpuid::Verdict, _>(values(LEAF));
    goes_out_as_it_is::<judge_pio::Verdict, _>(values(7));
    goes_out_as_it_is::<judge_mmio::Verdict, _>(values(7));
    goes_out_as_it_is::<judge_reset::Verdict, _>(facts());
    goes_out_as_it_is::<judge_shutdown::Verdict, _>(facts());
}

#[test]
fn a_range_includes_both_its_ends() {
    let filter = msr::Filter::range(0x174..=0x176);
    let meets = |msr| msr::Write::new(msr, 0, 1).meets(&filter);
    assert_eq!(
        [0x173, 0x174, 0x176, 0x177].map(meets),
        [false, true, true, false]
    );
}

#[test]
fn a_control_register_is_wanted_for_the_bits_that_change() {
    let smep = cr::Filter::bits(4, 1 << 20);
    assert!(cr::Write::new(4, 1 << 20, 0).meets(&smep));
    assert!(!cr::Write::new(4, 1 << 20, 1 << 20 | 1).meets(&smep));
    assert!(!cr::Write::new(0, 1 << 20, 0).meets(&smep));
    assert!(cr::Write::new(4, 0, 1).meets(&cr::Filter::one(4)));
}

#[test]
fn a_breakpoint_is_wanted_by_its_tag_or_because_it_is_nobodys() {
    let hit = |managed| breakpoint::Hit {
        gva: 0,
        gpa: 0,
        length: 1,
        managed,
        tag: 7,
    };
    let nobodys = breakpoint::Filter {
        unmanaged: true,
        ..breakpoint::Filter::tagged(1..=6)
    };
    assert_eq!(
        [true, false].map(|it| hit(it).meets(&nobodys)),
        [false, true]
    );
    let own = breakpoint::Filter::own();
    assert_eq!([true, false].map(|it| hit(it).meets(&own)), [true, false]);
}

#[test]
fn a_touch_is_wanted_for_one_of_its_kinds_of_access() {
    let touch = page::Touch {
        gva: None,
        gpa: 0x1000,
        access: Access::READ | Access::WRITE,
        size: 8,
        value: None,
        proposed: 0,
        tag: 0,
    };
    assert!(touch.meets(&page::Filter::any(Access::WRITE | Access::EXECUTE)));
    assert!(!touch.meets(&page::Filter::any(Access::EXECUTE)));
    assert!(!touch.meets(&page::Filter::range(0x2000..=0x2fff, Access::WRITE)));
}

#[test]
fn a_transfer_is_wanted_for_its_direction() {
    let mut transfer = pio::Transfer {
        port: 0x60,
        write: true,
        size: 1,
        count: 1,
        value: 0,
        proposed: 0,
    };
    let reads = pio::Filter {
        first: 0x60,
        last: 0x64,
        reads: true,
        writes: false,
        scope: Scope::ANYWHERE,
    };
    assert!(!transfer.meets(&reads));
    transfer.write = false;
    assert!(transfer.meets(&reads));
}
