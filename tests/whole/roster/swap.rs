//! One swap, what can go wrong with it, and the way back.

use std::sync::Arc;

use oriel_engine::roster::{OnRefusal, RosterError, Share, Standing, SwapOptions};
use oriel_policy::Store;
use oriel_tests::{Load, host, zoo};

use super::{Stage, carried, guard};

fn fresh() -> SwapOptions {
    SwapOptions {
        state: OnRefusal::Fresh,
        ..SwapOptions::default()
    }
}

/// A candidate that does this at this stage.
fn bad(at: &str, act: &str) -> Load {
    zoo(act).named("guard").text("at", at)
}

#[test]
fn a_candidate_that_fails_at_any_stage_leaves_the_old_one_in_force() {
    let stage = Stage::of(&guard());
    for (at, act) in [
        ("init", "deny"),
        ("init", "trap"),
        ("init", "loop"),
        ("init", "memory-bomb"),
        ("restore", "deny"),
        ("restore", "trap"),
        ("restore", "recurse"),
        ("restore", "loop"),
    ] {
        stage.watch.more_events(3);
        // What fails in `init` fails already when it is asked for its filters.
        let Ok(policy) = bad(at, act).prepare(&host()) else {
            assert_eq!(at, "init");
            continue;
        };
        let candidate =
            oriel_engine::policies::candidate(&host(), &policy.into(), Default::default());
        let refused = stage.roster().swap(candidate, &SwapOptions::default());
        let error = refused.expect_err("a candidate that fails");
        assert!(
            matches!(error, RosterError::State { .. }),
            "{at} {act}: {error}"
        );
        assert_eq!(stage.roster().list()[0].revision, 1);
    }
    stage.watch.more_events(3);
    let seen = stage.end();
    assert!(seen.last.values().all(|(_, revision)| *revision == 1));
    assert_eq!(seen.denied, 0);
}

#[test]
fn a_state_that_is_not_taken_is_a_fresh_start_where_that_is_wanted() {
    let stage = Stage::of(&guard());
    stage.watch.more_events(3);
    let swapped = stage
        .roster()
        .swap(bad("restore", "deny").candidate(&host()), &fresh())
        .expect("a fresh start");
    assert_eq!(swapped.fresh, ["vCPU 0", "vCPU 1", "the clock"]);
    stage.watch.more_events(3);
    let seen = stage.end();
    assert!(seen.last.values().all(|(_, revision)| *revision == 2));
}

#[test]
fn a_rollback_brings_back_the_state_that_was_left_and_swapping_goes_on() {
    let stage = Stage::of(&guard());
    let swap = || {
        stage
            .roster()
            .swap(guard().candidate(&host()), &SwapOptions::default())
    };
    stage.watch.more_events(5);
    swap().expect("the first swap");
    stage.watch.more_events(5);
    let back = stage.roster().rollback("guard", None).expect("a way back");
    assert_eq!((back.from, back.to), (2, 1));
    let history = stage.roster().history("guard").expect("it is known");
    let standing: Vec<_> = history
        .iter()
        .map(|one| (one.revision, one.standing))
        .collect();
    assert_eq!(
        standing,
        [(2, Standing::RolledBack), (1, Standing::InForce)]
    );
    assert!(history[0].saved_bytes >= 3, "two vCPUs and the clock");
    stage.watch.more_events(5);
    assert_eq!(swap().expect("a swap after a rollback").to, 3);
    let none = stage.roster().rollback("guard", Some(9));
    assert!(matches!(
        none,
        Err(RosterError::NoRevision { wanted: 9, .. })
    ));
    stage.watch.more_events(5);
    let seen = {
        stage.vm().stop();
        stage.running.wait();
        std::mem::take(&mut *stage.watch.seen())
    };
    // The rehearsals speak too, but on no vCPU. At the rollback less has been seen than there was.
    let carried = carried(&seen);
    let behind = carried.iter().filter(|(counted, events)| counted < events);
    assert_eq!(
        (carried.len(), behind.count() >= 2),
        (6, true),
        "{carried:?}"
    );
}

#[test]
fn one_instance_for_all_vcpus_is_swapped_with_all_of_them_parked() {
    let stage = Stage::of(&guard().per_vm());
    for _ in 0..20 {
        stage.watch.more_events(3);
        let swapped = stage
            .roster()
            .swap(guard().per_vm().candidate(&host()), &SwapOptions::default());
        assert_eq!(swapped.expect("a swap").fresh, Vec::<String>::new());
    }
    let together = SwapOptions {
        together: true,
        ..SwapOptions::default()
    };
    let apart = stage.roster().swap(guard().candidate(&host()), &together);
    let error = apart.expect_err("one state does not do for two");
    assert!(matches!(error, RosterError::State { .. }), "{error}");
    stage.end();
}

#[test]
fn what_is_not_there_cannot_be_changed_and_nothing_is_after_the_end() {
    let stage = Stage::of(&guard());
    let roster = stage.roster();
    let other = || guard().named("other").candidate(&host());
    let unknown = roster.swap(other(), &SwapOptions::default());
    assert!(matches!(unknown, Err(RosterError::Unknown(name)) if name == "other"));
    let earlier = roster.rollback("guard", None);
    assert!(matches!(earlier, Err(RosterError::NoEarlier(_))));
    let canary = oriel_engine::roster::Canary {
        share: Share::Vcpus(vec![7]),
        lasts: std::time::Duration::ZERO,
    };
    let canary = SwapOptions {
        canary: Some(canary),
        ..SwapOptions::default()
    };
    let missing = roster.swap(guard().candidate(&host()), &canary);
    assert!(matches!(missing, Err(RosterError::NoVcpu(7))));
    stage.end();
    let late = roster.swap(guard().candidate(&host()), &SwapOptions::default());
    assert!(matches!(late, Err(RosterError::Ended)), "{late:?}");
    assert!(matches!(roster.load(other()), Err(RosterError::Ended)));
}

#[test]
fn a_swap_that_meets_the_end_of_the_vm_comes_back() {
    for _ in 0..20 {
        let stage = Stage::of(&guard());
        stage.watch.more_events(1);
        let roster = stage.roster();
        let swapping = std::thread::spawn(move || {
            loop {
                let swapped = roster.swap(guard().candidate(&host()), &SwapOptions::default());
                if let Err(error) = swapped {
                    return error;
                }
            }
        });
        stage.watch.more_events(1);
        stage.end();
        let error = swapping.join().expect("no panic");
        assert!(matches!(error, RosterError::Ended), "{error}");
    }
}

/// What a policy that counts has counted.
fn counted(store: &oriel_policy::Store) -> u64 {
    let key = "count".to_owned();
    let bytes = store.apply(oriel_protocol::commands::service::StoreGet { key });
    let bytes = bytes.expect("a store answers").unwrap_or_default();
    bytes.try_into().map_or(0, u64::from_le_bytes)
}

#[test]
fn a_store_goes_with_its_schema_over_swaps_and_rollbacks() {
    let counts = |schema| zoo("count").named("guard").schema(schema);
    let (first, second, third) = <(Arc<Store>, Arc<Store>, Arc<Store>)>::default();
    let stage = Stage::of(&counts(1).store(&first));
    stage.watch.more_events(3);
    let swap = |next: Load, together| {
        let how = SwapOptions {
            together,
            ..SwapOptions::default()
        };
        let swapped = stage.roster().swap(next.candidate(&host()), &how);
        stage.watch.more_events(3);
        swapped
    };
    let before = counted(&first);
    swap(counts(1).store(&second), false).expect("a swap");
    assert!(counted(&first) > before, "it goes on with what there was");
    assert_eq!(counted(&second), 0, "its own store is not needed");
    let alone = swap(counts(2).store(&third), false);
    assert!(matches!(
        alone,
        Err(RosterError::StoreSchema { old: 1, new: 2 })
    ));
    swap(counts(2).store(&third), true).expect("a swap of all at once");
    let (old, new) = (counted(&first), counted(&third));
    assert!(new > 0, "another schema begins anew");
    stage.roster().rollback("guard", None).expect("a way back");
    stage.watch.more_events(3);
    assert!(
        counted(&first) > old,
        "what the old schema had is there again"
    );
    swap(counts(2), true).expect("forth again");
    assert!(counted(&third) > new, "and so is what the new one had");
    stage.vm().stop();
    stage.running.wait();
}
