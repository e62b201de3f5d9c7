use std::sync::{Arc, Mutex};

use super::*;

type Calls = Arc<Mutex<Vec<(Gpa, u64, Protection)>>>;

struct Noted(Calls);

impl Shield for Noted {
    fn protect(&self, gpa: Gpa, length: u64, protection: Protection) -> io::Result<()> {
        self.0.lock().unwrap().push((gpa, length, protection));
        Ok(())
    }
}

fn traps() -> (Traps, impl Fn() -> Vec<(Gpa, u64, Protection)>) {
    let calls = Calls::default();
    let noted = calls.clone();
    let taken = move || std::mem::take(&mut *noted.lock().unwrap());
    (Traps::new(Box::new(Noted(calls))), taken)
}

const NO_WRITE: Access = Access::READ.union(Access::EXECUTE);

#[test]
fn only_what_changes_is_protected_and_neighbours_at_once() {
    let (traps, calls) = traps();
    let three = [(5, NO_WRITE), (6, NO_WRITE), (8, Access::NONE)];
    traps.set(&three.into()).unwrap();
    let (no_write, closed) = (Protection::NoWrite, Protection::Closed);
    assert_eq!(
        calls(),
        [(0x5000, 0x2000, no_write), (0x8000, 0x1000, closed)]
    );
    traps.set(&three.into()).unwrap();
    assert_eq!(calls(), []);
    traps.set(&[(6, NO_WRITE)].into()).unwrap();
    let open = Protection::Open;
    assert_eq!(calls(), [(0x5000, 0x1000, open), (0x8000, 0x1000, open)]);
    assert_eq!(traps.allowed(0x6fff), Some(NO_WRITE));
    assert_eq!(traps.allowed(0x8000), None);
}

#[test]
fn of_all_pages_only_those_that_change_are_looked_at() {
    let (traps, calls) = traps();
    traps.set(&[(5, NO_WRITE), (9, NO_WRITE)].into()).unwrap();
    calls();
    let changes = [
        (5, None),
        (6, Some(NO_WRITE)),
        (7, Some(NO_WRITE)),
        (8, None),
    ];
    traps.change(&changes.into()).unwrap();
    let (open, no_write) = (Protection::Open, Protection::NoWrite);
    assert_eq!(
        calls(),
        [(0x5000, 0x1000, open), (0x6000, 0x2000, no_write)]
    );
    assert_eq!(traps.frames(), [6, 7, 9]);
}

#[test]
fn what_the_host_refuses_leaves_the_pages_as_they_were() {
    struct Once(AtomicU64);
    impl Shield for Once {
        fn protect(&self, _: Gpa, _: u64, _: Protection) -> io::Result<()> {
            match self.0.fetch_add(1, Relaxed) {
                1 => Err(io::ErrorKind::OutOfMemory.into()),
                _ => Ok(()),
            }
        }
    }
    let traps = Traps::new(Box::new(Once(AtomicU64::new(0))));
    traps.set(&[(5, NO_WRITE)].into()).unwrap();
    let refused = traps.change(&[(5, None), (6, Some(NO_WRITE))].into());
    assert!(refused.is_err());
    assert_eq!(traps.table(), [(5, NO_WRITE)].into());
}

#[test]
fn a_page_of_which_reading_or_executing_is_trapped_is_closed() {
    for allowed in [
        Access::READ | Access::WRITE,
        Access::EXECUTE,
        Access::WRITE | Access::EXECUTE,
    ] {
        assert_eq!(Protection::for_all_but(allowed), Protection::Closed);
    }
    assert_eq!(Protection::for_all_but(NO_WRITE), Protection::NoWrite);
    assert_eq!(Protection::for_all_but(Access::ALL), Protection::Open);
}

#[test]
fn a_frame_that_is_disarmed_while_it_is_lifted_stays_open() {
    let (traps, calls) = traps();
    traps.set(&[(5, NO_WRITE), (6, NO_WRITE)].into()).unwrap();
    traps.lift(&[5, 6]).unwrap();
    traps.set(&[(5, NO_WRITE)].into()).unwrap();
    calls();
    traps.lower(&[5, 6]).unwrap();
    assert_eq!(calls(), [(0x5000, 0x1000, Protection::NoWrite)]);
}
