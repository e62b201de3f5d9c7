//! What a judgement must not cost. How long it takes is the bench's to say
//! (`cargo bench -p oriel-engine --bench event_path`).

use allocation_counter::measure;
use oriel_protocol::Verdict;

use super::*;

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
