//! Policies that come and go.

use oriel_engine::roster::RosterError;
use oriel_tests::{host, zoo};

use super::{Stage, guard};

#[test]
fn a_policy_comes_and_goes_while_the_guest_runs() {
    let stage = Stage::with(super::endless, vec![]);
    let roster = stage.roster();
    assert_eq!(roster.list(), []);
    for number in 1..=20 {
        let loaded = roster.load(guard().candidate(&host())).expect("room");
        // A number names one thing, also when what it named is gone.
        assert_eq!((loaded.name.as_str(), loaded.revision), ("guard", number));
        stage.watch.more_events(2);
        let again = roster.load(guard().candidate(&host()));
        assert!(matches!(again, Err(RosterError::Taken(name)) if name == "guard"));
        roster.unload("guard").expect("it is there");
        let gone = roster.unload("guard");
        assert!(matches!(gone, Err(RosterError::Unknown(_))));
    }
    // Nobody listens any more: what was armed is undone.
    let before = stage.watch.seen().last.clone();
    roster
        .load(zoo("continue").named("late").hears(&[]).candidate(&host()))
        .expect("room");
    assert_eq!(stage.watch.seen().last, before);
    stage.vm().stop();
    stage.running.wait();
}

#[test]
fn whoever_asks_is_told_of_every_change() {
    let stage = Stage::of(&guard());
    let told = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let kept = told.clone();
    stage.roster().on_change(std::sync::Arc::new(move |posted| {
        let now: Vec<_> = posted
            .iter()
            .map(|one| (one.name.clone(), one.revision))
            .collect();
        kept.lock().expect("no panics").push(now);
    }));
    let roster = stage.roster();
    roster
        .load(guard().named("second").candidate(&host()))
        .expect("room");
    roster
        .swap(guard().candidate(&host()), &Default::default())
        .expect("a swap");
    roster.rollback("guard", None).expect("a way back");
    roster.unload("guard").expect("it is there");
    let name = |name: &str, revision| (name.to_owned(), revision);
    assert_eq!(
        *told.lock().expect("no panics"),
        [
            vec![name("guard", 1), name("second", 1)],
            vec![name("guard", 2), name("second", 1)],
            vec![name("guard", 1), name("second", 1)],
            vec![name("second", 1)],
        ]
    );
    stage.vm().stop();
    stage.running.wait();
}
