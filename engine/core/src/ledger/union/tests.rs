use oriel_protocol::{
    EventKind, Filter, HardwarePoint, Only, Refusal, commands::vm::PageRule, page::PAGE_SIZE,
};
use proptest::prelude::*;

use super::{super::draft::Draft, *};
use crate::holdings::Placed;

const JUDGES: usize = 3;

/// What a command does to the holdings of a judge.
#[derive(Clone, Copy, Debug)]
enum Deed {
    Break(u64, Gpa),
    Watch(u64, u64),
    Clear(u64),
    Trap(u64, Access),
    Step(u32, bool),
    Switch(u32, bool),
    Leave,
}

fn access() -> impl Strategy<Value = Access> {
    let kinds = [Access::READ, Access::WRITE, Access::EXECUTE];
    proptest::sample::subsequence(kinds.to_vec(), 0..=3)
        .prop_map(|some| some.into_iter().fold(Access::NONE, Access::union))
}

/// Few places and tags, so that judges meet.
fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        8 => (0u64..6, 0u64..4).prop_map(|(tag, gpa)| Deed::Break(tag, gpa)),
        2 => (0u64..6, 0u64..4).prop_map(|(tag, gva)| Deed::Watch(tag, gva)),
        6 => (0u64..6).prop_map(Deed::Clear),
        8 => (0u64..4, access()).prop_map(|(frame, allowed)| Deed::Trap(frame, allowed)),
        1 => (0u32..2, any::<bool>()).prop_map(|(vcpu, on)| Deed::Step(vcpu, on)),
        1 => (0u32..3, any::<bool>()).prop_map(|(msr, on)| Deed::Switch(msr, on)),
        1 => Just(Deed::Leave),
    ]
}

fn act(deed: Deed, mine: &mut Draft) -> Result<(), Refusal> {
    match deed {
        Deed::Break(tag, gpa) => mine.set_breakpoint(tag, Placed::Int3(gpa))?,
        Deed::Watch(tag, gva) => {
            let point = HardwarePoint::execute(gva).expect("an address");
            mine.set_breakpoint(tag, Placed::Hardware(point))?;
        }
        Deed::Clear(tag) => drop(mine.clear_breakpoint(tag)),
        Deed::Trap(frame, allowed) => mine.set_page(PageRule {
            gpa: frame * PAGE_SIZE,
            allowed,
            tag: 0,
        })?,
        Deed::Step(vcpu, on) => mine.step(vcpu, on),
        Deed::Switch(msr, on) => {
            let (first, last) = (msr.into(), msr.into());
            let only = Only::Numbers { first, last };
            let filter = Filter {
                only,
                ..Filter::any(EventKind::Msr)
            };
            mine.switch(None, filter, on)?;
        }
        Deed::Leave => mine.replace(Holdings::default()),
    }
    Ok(())
}

/// What a machine that takes differences has armed.
fn applied(mut armed: Wants, wants: &Wants, changed: Option<&Changed>) -> Wants {
    let Some(changed) = changed else {
        return wants.clone();
    };
    for gpa in &changed.breakpoints {
        if !armed.breakpoints.remove(gpa) {
            armed.breakpoints.insert(*gpa);
        }
    }
    for frame in &changed.frames {
        match wants.pages.get(frame) {
            Some(allowed) => armed.pages.insert(*frame, *allowed),
            None => armed.pages.remove(frame),
        };
    }
    armed
}

proptest! {
    #[test]
    fn a_union_by_differences_is_the_union_from_the_start(
        rounds in proptest::collection::vec(
            (0..JUDGES, proptest::collection::vec(deed(), 1..5)),
            1..40,
        ),
    ) {
        let mut all = vec![Arc::<Holdings>::default(); JUDGES];
        let (mut union, mut armed) = (Union::of(&all), Wants::default());
        for (judge, deeds) in rounds {
            let mut draft = Draft::of(&all[judge]);
            // A command that is refused half way leaves no trace.
            if deeds.into_iter().try_for_each(|deed| act(deed, &mut draft)).is_err() {
                continue;
            }
            let (mine, trail) = draft.done();
            all[judge] = Arc::new(mine);
            let changed = union.take_in(&trail, &all);
            prop_assert_eq!(&union, &Union::of(&all));
            armed = applied(armed, union.wants(), changed.as_ref());
            prop_assert_eq!(&armed, union.wants());
        }
    }
}
