//! Events and verdicts.

use oriel_protocol::Verdict;

use super::*;

#[test]
fn a_policy_that_says_nothing_lets_it_happen() {
    let (mut guard, slot) = instance(&Guest::judging(["msr"]));
    let event = msr();
    let (verdict, desk) = guard.judge(&case(&event), &slot, FakeDesk::new());
    assert_eq!(verdict, Ok(Verdict::Continue));
    FakeDesk::back(desk);
}
