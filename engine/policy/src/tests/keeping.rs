//! What outlives a call: saved state, and the store.

use super::{
    echo,
    guest::{ANSWER, TEXT, error},
    *,
};
use crate::{Failure, Saved};

#[test]
fn state_is_carried_over() {
    // Saves schema 2 and the three bytes at TEXT.
    let save = format!(
        "(i32.store offset=4 (i32.const {ANSWER}) (i32.const 2))
         (i32.store offset=8 (i32.const {ANSWER}) (i32.const {TEXT}))
         (i32.store offset=12 (i32.const {ANSWER}) (i32.const 3))"
    );
    // Repeats the schema, the length and the revision.
    let restore = format!(
        "{}(call $metrics.add (i32.const 0) (i32.const 0) (local.get $p3))",
        echo::repeat(&["i32", "i32", "i32"])
    );
    let guest = Guest::new()
        .importing("metrics", "add")
        .exporting("state")
        .with("state", "save", &save)
        .with("state", "restore", &restore)
        .text(TEXT, "abc");
    let (mut old, slot) = instance(&guest);
    let (saved, _) = old.save(&slot, FakeDesk::new());
    let data = b"abc".to_vec();
    assert_eq!(saved, Ok(Saved { schema: 2, data }));
    let (mut new, _) = instance(&guest);
    let (answer, desk) = new.restore(saved.unwrap(), 41, &slot, FakeDesk::new());
    assert_eq!(answer, Ok(()));
    let heard = echo::heard(&FakeDesk::back(desk));
    assert_eq!((heard[0], heard[2], heard[3]), (2, 3, 41));
}

#[test]
fn state_that_is_declined_or_too_large_is_no_trap() {
    let guest = Guest::new()
        .exporting("state")
        .with("state", "save", &error("later"))
        .text(TEXT, "later");
    let (mut policy, slot) = instance(&guest);
    let (saved, _) = policy.save(&slot, FakeDesk::new());
    assert_eq!(saved, Err(Failure::Declined("later".into())));
    assert!(!policy.is_dead());

    let large = format!(
        "(i32.store offset=12 (i32.const {ANSWER}) (i32.const {}))",
        (1 << 20) + 1
    );
    let guest = Guest::new()
        .exporting("state")
        .with("state", "save", &large)
        .pages(32);
    let (mut policy, slot) = instance(&guest);
    let (saved, _) = policy.save(&slot, FakeDesk::new());
    assert!(saved.unwrap_err().to_string().contains("1048577 bytes"));
}

#[test]
fn the_store_is_reached_through_the_desk() {
    let guest = Guest::judging(["msr"])
        .importing("store", "add")
        .importing("store", "get-number")
        .importing("metrics", "add")
        .text(TEXT, "n")
        .with(
            "judge-msr",
            "judge",
            &format!(
                "(call $store.add (i32.const {TEXT}) (i32.const 1) (i64.const 5) (i32.const 1280))
             (call $store.get-number (i32.const {TEXT}) (i32.const 1) (i32.const 1280))
             (call $metrics.add (i32.const 0) (i32.const 0) (i64.load8_u (i32.const 1280)))
             (call $metrics.add (i32.const 0) (i32.const 0) (i64.load8_u (i32.const 1288)))
             (call $metrics.add (i32.const 0) (i32.const 0) (i64.load (i32.const 1296)))"
            ),
        );
    let (mut policy, slot) = instance(&guest);
    let event = msr();
    let (_, desk) = policy.judge(&case(&event), &slot, FakeDesk::new());
    let (_, desk) = policy.judge(&case(&event), &slot, desk);
    let heard = echo::heard(&FakeDesk::back(desk));
    assert_eq!(heard, [0, 1, 5, 0, 1, 10]);
}

#[test]
fn a_value_that_is_no_number_is_invalid() {
    let guest = Guest::judging(["msr"]).importing("store", "set").importing("store", "get-number").importing("metrics", "add").text(TEXT, "n").with(
        "judge-msr",
        "judge",
        &format!(
            "(call $store.set (i32.const {TEXT}) (i32.const 1) (i32.const 0) (i32.const 3) (i32.const 1280))
             (call $store.get-number (i32.const {TEXT}) (i32.const 1) (i32.const 1280))
             (call $metrics.add (i32.const 0) (i32.const 0) (i64.load8_u (i32.const 1280)))
             (call $metrics.add (i32.const 0) (i32.const 0) (i64.load8_u (i32.const 1288)))"
        ),
    );
    let (mut policy, slot) = instance(&guest);
    let event = msr();
    let (_, desk) = policy.judge(&case(&event), &slot, FakeDesk::new());
    assert_eq!(echo::heard(&FakeDesk::back(desk)), [1, 4]);
}
