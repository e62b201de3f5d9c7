//! Revisions that are tried before they are trusted.

use std::time::Duration;

use oriel_engine::{
    Record,
    record::Action,
    roster::{Canary, Probation, RosterError, Shadow, Share, Standing, SwapOptions},
};
use oriel_tests::{FOREVER, host, zoo};

use super::{Stage, guard};

fn shadow(lasts: Duration, disagreements: u64) -> SwapOptions {
    SwapOptions {
        shadow: Some(Shadow {
            lasts,
            disagreements,
        }),
        ..SwapOptions::default()
    }
}

#[test]
fn a_shadow_that_agrees_comes_into_force() {
    let stage = Stage::of(&guard());
    let lasts = Duration::from_millis(20);
    let swapped = stage
        .roster()
        .swap(guard().candidate(&host()), &shadow(lasts, 0));
    let report = swapped.expect("it agrees").shadow.expect("there was one");
    assert_eq!((report.disagreed, report.failed), (0, 0));
    stage.watch.more_events(3);
    assert!(
        stage
            .end()
            .last
            .values()
            .all(|(_, revision)| *revision == 2)
    );
}

#[test]
fn a_shadow_that_disagrees_is_not_obeyed_and_does_not_come_into_force() {
    let stage = Stage::of(&guard());
    let strict = zoo("deny").named("guard");
    let refused = stage
        .roster()
        .swap(strict.candidate(&host()), &shadow(FOREVER, 3));
    let Err(RosterError::Disagreed {
        disagreed, first, ..
    }) = refused
    else {
        panic!("{refused:?}");
    };
    assert!(disagreed > 3);
    assert!(
        first.ends_with("(msr): `deny` instead of `continue`"),
        "{first}"
    );
    stage.watch.more_events(3);
    let seen = stage.end();
    assert_eq!(seen.denied, 0);
    assert!(seen.last.values().all(|(_, revision)| *revision == 1));
}

#[test]
fn a_shadow_keeps_nothing_tells_nobody_and_a_failure_is_its_own() {
    let store = std::sync::Arc::new(oriel_policy::Store::default());
    let stage = Stage::of(&guard().store(&store));
    let counts = zoo("count").named("guard").store(&store);
    let lasts = Duration::from_millis(20);
    let key = || oriel_protocol::commands::service::StoreGet {
        key: "count".to_owned(),
    };
    let mut options = shadow(lasts, 0);
    // It does not go on from the shadow: there is no such vCPU to go on with.
    options.canary = None;
    let alerts = zoo("alert").named("guard");
    stage
        .roster()
        .swap(alerts.candidate(&host()), &options)
        .expect("it agrees");
    assert_eq!(store.apply(key()), Ok(None));
    drop(counts);
    let traps = zoo("trap").named("guard");
    let refused = stage
        .roster()
        .swap(traps.candidate(&host()), &shadow(FOREVER, 0));
    assert!(
        matches!(refused, Err(RosterError::Failed(_))),
        "{refused:?}"
    );
    let seen = stage.end();
    let failures = seen
        .told
        .iter()
        .filter(|record| matches!(record, Record::Failure(_)));
    assert_eq!((failures.count(), seen.denied), (0, 0));
}

#[test]
fn a_canary_that_fails_takes_its_vcpu_back_and_the_other_never_moves() {
    let stage = Stage::of(&guard());
    let canary = |lasts| SwapOptions {
        canary: Some(Canary {
            share: Share::Vcpus(vec![1]),
            lasts,
        }),
        ..SwapOptions::default()
    };
    let traps = zoo("trap").named("guard");
    let refused = stage
        .roster()
        .swap(traps.candidate(&host()), &canary(FOREVER));
    assert!(
        matches!(refused, Err(RosterError::Failed(_))),
        "{refused:?}"
    );
    stage.watch.more_events(3);
    assert_eq!(stage.watch.seen().last[&0].1, 1);
    let lasts = Duration::from_millis(20);
    let swapped = stage
        .roster()
        .swap(guard().candidate(&host()), &canary(lasts));
    assert_eq!(swapped.expect("it does well").to, 2);
    stage.watch.more_events(3);
    stage.vm().stop();
    stage.running.wait();
    let seen = stage.watch.seen();
    assert!(seen.last.values().all(|(_, revision)| *revision == 2));
}

#[test]
fn a_revision_that_fails_on_probation_is_rolled_back_by_itself() {
    let stage = Stage::of(&guard());
    let probation = SwapOptions {
        probation: Some(Probation {
            lasts: FOREVER,
            failures: 0,
        }),
        ..SwapOptions::default()
    };
    let traps = zoo("trap").named("guard");
    stage
        .roster()
        .swap(traps.candidate(&host()), &probation)
        .expect("nobody knows yet");
    let until = std::time::Instant::now() + FOREVER;
    while stage.roster().list()[0].revision != 1 {
        assert!(std::time::Instant::now() < until, "it is rolled back");
        std::thread::yield_now();
    }
    let history = stage.roster().history("guard").expect("it is known");
    let failed = history
        .iter()
        .find(|one| one.revision == 2)
        .expect("it is kept");
    assert_eq!(failed.standing, Standing::RolledBack);
    assert!(
        failed.detail.starts_with("it failed on probation: "),
        "{}",
        failed.detail
    );
    stage.watch.more_events(3);
    stage.vm().stop();
    stage.running.wait();
    let seen = stage.watch.seen();
    let rollbacks = seen.told.iter().filter(
        |record| matches!(record, Record::Policy(turnover) if turnover.action == Action::Rollback),
    );
    assert_eq!(rollbacks.count(), 1);
}

#[test]
fn of_two_changes_at_once_the_second_is_busy_and_the_end_of_the_vm_ends_a_trial() {
    let stage = Stage::of(&guard());
    let roster = stage.roster();
    let trying = std::thread::spawn(move || {
        roster.swap(guard().candidate(&host()), &shadow(10 * FOREVER, 0))
    });
    let busy = loop {
        let second = stage.roster().rollback("guard", None);
        let error = second.expect_err("there is nothing to go back to");
        if !matches!(error, RosterError::NoEarlier(_)) {
            break error;
        }
        std::thread::yield_now();
    };
    assert!(matches!(busy, RosterError::Busy), "{busy}");
    stage.end();
    let ended = trying.join().expect("no panic");
    assert!(matches!(ended, Err(RosterError::Ended)), "{ended:?}");
}
