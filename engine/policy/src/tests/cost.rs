//! What a judgement costs. `cargo test -p oriel-policy -- --ignored --nocapture cost` prints it;
//! only the parts that do not depend on a machine's speed are asserted.

use std::time::Instant;

use allocation_counter::measure;
use oriel_protocol::Verdict;
use wasmtime::{Store, component::Linker};

use super::*;
use crate::bindings::exports::oriel::introspection::judge_msr::{Guest as JudgeMsr, GuestIndices};

#[test]
fn an_event_that_continues_allocates_nothing() {
    let (mut guard, slot) = instance(&Guest::judging(["msr"]));
    let event = msr();
    let mut desk: Option<Box<dyn Desk>> = Some(FakeDesk::new());
    let allocations = measure(|| {
        let (verdict, back) = guard.judge(&case(&event), &slot, desk.take().unwrap());
        assert_eq!(verdict, Ok(Verdict::Continue));
        desk = Some(back);
    });
    assert_eq!(allocations.count_total, 0);
}

#[test]
#[ignore = "measures, asserts nothing"]
fn cost_of_a_judgement() {
    let guest = Guest::judging(["msr"]);
    let (mut guard, slot) = instance(&guest);
    let (mut store, raw) = raw(&guest);
    let event = msr();
    let mut desk: Option<Box<dyn Desk>> = Some(FakeDesk::new());
    let mut best = [f64::MAX; 2];
    for _ in 0..25 {
        let case = case(&event);
        best[0] = best[0].min(nanoseconds(|| {
            let at = (&case).into();
            raw.call_judge(&mut store, at, 0xc000_0082, 1, 2, 2)
                .unwrap();
        }));
        best[1] = best[1].min(nanoseconds(|| {
            let (verdict, back) = guard.judge(&case, &slot, desk.take().unwrap());
            assert_eq!(verdict, Ok(Verdict::Continue));
            desk = Some(back);
        }));
    }
    println!("raw typed call {:.1} ns, judge {:.1} ns", best[0], best[1]);
}

/// The same component, called by nothing but wasmtime.
fn raw(guest: &Guest) -> (Store<()>, JudgeMsr) {
    let plugin = plugin(guest);
    let linker = Linker::<()>::new(plugin.engine());
    let component = linker.instantiate_pre(plugin.component()).unwrap();
    let mut store = Store::new(plugin.engine(), ());
    store.set_epoch_deadline(1 << 40);
    let instance = component.instantiate(&mut store).unwrap();
    let judge = GuestIndices::new(&component).unwrap();
    let judge = judge.load(&mut store, &instance).unwrap();
    (store, judge)
}

fn nanoseconds(mut run: impl FnMut()) -> f64 {
    const TIMES: u32 = 20_000;
    let start = Instant::now();
    (0..TIMES).for_each(|_| run());
    start.elapsed().as_secs_f64() * 1e9 / f64::from(TIMES)
}
