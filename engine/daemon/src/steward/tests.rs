//! Orders, as the socket and the watched directory give them.

use super::{
    fake::{BROKEN, Fake},
    *,
};
use crate::{guest, state::Counts};

fn entry(name: &str, code: &[u8]) -> Entry {
    Entry {
        said: PolicyConfig::of(Some(name.to_owned()), format!("{name}.wasm").into()),
        code: code.into(),
    }
}

/// A steward of fake policies, with the set kept in this directory.
pub(super) fn steward(fake: Fake, state: Option<&std::path::Path>) -> Steward {
    let opening = fake.list();
    let opening = opening.iter().map(|one| entry(&one.name, b"one"));
    let opening = Committed {
        members: opening.map(Member::first).collect(),
        ..Committed::default()
    };
    let machine = guest::empty(crate::args::MachineKind::Mock).unwrap();
    let state = state.map(|path| StateDirectory::open(path, "test").unwrap());
    Steward::take_over(Box::new(fake), machine, opening, state)
}

fn by(steward: &Steward) -> Orders<'_> {
    steward.ordered_by(Orderer::Watch)
}

fn kept(path: &std::path::Path) -> Vec<(String, u64, Vec<u8>)> {
    let state = StateDirectory::open(path, "test").unwrap();
    let set = state.read().unwrap().unwrap().members;
    let one = |member: Member| {
        let Entry { said, code } = member.entry;
        (said.name.unwrap(), member.revision, code.to_vec())
    };
    set.into_iter().map(one).collect()
}

#[test]
fn every_change_is_kept_before_it_is_answered() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let steward = steward(Fake::with(&[("guard", b"one")]), Some(path));
    // The directory is this steward's as long as it lives, so what it holds is looked at raw.
    let set = || std::fs::read_to_string(path.join("set.json")).unwrap();
    assert!(set().contains("guard"), "the opening set is kept too");
    let change = by(&steward).load(entry("spy", b"spy")).unwrap();
    assert_eq!((change.kept, change.made.revision), (Some(true), 1));
    assert!(set().contains("spy.wasm"));
    by(&steward)
        .swap(entry("guard", b"two"), &SwapOptions::default())
        .unwrap();
    assert!(set().contains(&oriel_policy::Digest::of(b"two").to_string()));
    by(&steward).unload("spy").unwrap();
    assert!(!set().contains("spy.wasm"));
    drop(steward);
    assert_eq!(kept(path), [("guard".to_owned(), 2, b"two".to_vec())]);
}

#[test]
fn numbers_of_what_is_gone_are_kept() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let steward = steward(Fake::with(&[("guard", b"one")]), Some(path));
    let how = SwapOptions::default();
    by(&steward).swap(entry("guard", b"two"), &how).unwrap();
    by(&steward).rollback("guard", None).unwrap();
    by(&steward).load(entry("spy", b"spy")).unwrap();
    by(&steward).unload("spy").unwrap();
    drop(steward);
    let state = StateDirectory::open(path, "test").unwrap();
    let counts = state.read().unwrap().unwrap().counts;
    let counted = [("guard".to_owned(), 2), ("spy".to_owned(), 1)];
    assert_eq!(counts, Counts::from(counted));
}

#[test]
fn every_order_is_written_down_and_one_that_is_refused_early_as_well() {
    let fake = Fake::with(&[("guard", b"one")]);
    let orders = fake.orders.clone();
    let steward = steward(fake, None);
    let how = SwapOptions::default();
    by(&steward)
        .swap(entry("nobody", b"two"), &how)
        .unwrap_err();
    let mut said = entry("guard", b"two");
    said.said.grant = Some(crate::config::GrantConfig::typed("no-such-right"));
    by(&steward).swap(said, &how).unwrap_err();
    by(&steward).unload("guard").unwrap();
    let order = |verb, name: &str| (Orderer::Watch, verb, name.to_owned());
    let given = [
        order(Verb::Swap, "nobody"),
        order(Verb::Swap, "guard"),
        order(Verb::Unload, "guard"),
    ];
    assert_eq!(*orders.lock().unwrap(), given);
}

#[test]
fn a_rollback_brings_back_the_terms_and_the_code_of_then() {
    let directory = tempfile::tempdir().unwrap();
    let steward = steward(Fake::with(&[("guard", b"one")]), Some(directory.path()));
    let mut second = entry("guard", b"two");
    second.said.grant = Some(crate::config::GrantConfig::typed("all"));
    by(&steward).swap(second, &SwapOptions::default()).unwrap();
    let now = |steward: &Steward| steward.entry(&steward.get("guard").unwrap()).unwrap();
    assert_eq!(&*now(&steward).code, b"two");
    by(&steward).rollback("guard", None).unwrap();
    assert_eq!(now(&steward), entry("guard", b"one"));
    drop(steward);
    assert_eq!(
        kept(directory.path()),
        [("guard".to_owned(), 1, b"one".to_vec())]
    );
}

#[test]
fn a_change_that_is_not_kept_is_made_all_the_same_and_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let steward = steward(Fake::with(&[("guard", b"one")]), Some(path));
    std::fs::create_dir(path.join("set.new")).unwrap();
    let change = by(&steward).load(entry("spy", b"spy")).unwrap();
    assert_eq!(change.kept, Some(false));
    assert!(change.warning.unwrap().contains("set.new"));
    assert_eq!(steward.list().len(), 2);
    std::fs::remove_dir(path.join("set.new")).unwrap();
    assert_eq!(by(&steward).unload("spy").unwrap().kept, Some(true));
}

#[test]
fn what_is_refused_changes_nothing_and_can_be_tried_again() {
    let steward = steward(Fake::with(&[("guard", b"one")]), None);
    let refused = by(&steward).load(entry("bad", BROKEN)).unwrap_err();
    assert!(matches!(refused, ChangeError::Refused(_)), "{refused}");
    let taken = by(&steward).load(entry("guard", b"two")).unwrap_err();
    assert!(matches!(taken, ChangeError::Roster(RosterError::Taken(_))));
    let how = SwapOptions::default();
    let unknown = by(&steward)
        .swap(entry("nobody", BROKEN), &how)
        .unwrap_err();
    assert!(matches!(
        unknown,
        ChangeError::Roster(RosterError::Unknown(_))
    ));
    assert_eq!(steward.list().len(), 1);
    assert_eq!(by(&steward).load(entry("bad", b"good")).unwrap().kept, None);
}

#[test]
fn of_two_changes_of_a_policy_at_once_the_second_is_busy() {
    let steward = steward(Fake::with(&[("guard", b"one")]), None);
    let _first = steward.book.draft("guard", entry("guard", b"two")).unwrap();
    let second = by(&steward).swap(entry("guard", b"three"), &SwapOptions::default());
    let error = second.unwrap_err();
    assert!(matches!(error, ChangeError::Roster(RosterError::Busy)));
}
