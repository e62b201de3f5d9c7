//! The loop and its station: verdicts that end it, pauses, loops that go away.

use oriel_engine::Station;
use oriel_machine::End;
use oriel_protocol::{EventKind, Refusal, Verdict};

use crate::{
    guest::{ENTRY, ROUNDS},
    judges::{Counts, judge},
    seat::{Seat, to_the_end},
    vmm::{LIMIT, Setup, Vmm},
};

#[test]
fn a_crash_verdict_on_one_vcpu_ends_all_loops() {
    let Some(mut vmm) = Vmm::new(Setup::plain()) else {
        return;
    };
    let seen = Counts::default();
    let counted = seen.clone();
    let judge = judge(&[EventKind::Msr], move |vcpu, _| {
        counted.add(vcpu);
        match (counted.of(0), counted.of(1)) {
            (50.., 50..) => Verdict::Crash,
            _ => Verdict::Continue,
        }
    });
    let (ends, handle) = vmm.run(judge, to_the_end, |_, _| {});
    assert_eq!(ends, [End::Stopped, End::Stopped]);
    let outcome = handle.finish();
    assert_eq!(outcome.end, End::Stopped);
    assert_eq!(outcome.events, seen.of(0) + seen.of(1));
}

#[test]
fn a_paused_vcpu_stays_in_its_mailbox_while_the_other_runs() {
    let Some(mut vmm) = Vmm::new(Setup::plain()) else {
        return;
    };
    let counts = Counts::default();
    let (ends, _) = vmm.run(counts.judge(), to_the_end, |handle, _| {
        for _ in 0..20 {
            counts.await_more(0);
            assert_eq!(handle.pause(0, LIMIT), Ok(()));
            let held = counts.of(0);
            counts.await_more(1);
            assert_eq!(counts.of(0), held);
            assert_eq!(handle.resume(0), Ok(()));
        }
        handle.stop();
        assert_eq!(handle.pause(7, LIMIT), Err(Refusal::NotFound));
    });
    assert_eq!(ends, [End::Cancelled, End::Cancelled]);
}

#[test]
fn a_loop_that_goes_away_without_a_word_ends_the_others() {
    let Some(mut vmm) = Vmm::new(Setup::plain()) else {
        return;
    };
    let each = |mut station: Station, mut seat: Seat<'_>| match station.desk().index() {
        0 => seat.turns(&mut station, 10),
        _ => to_the_end(station, seat),
    };
    let (ends, handle) = vmm.run(Counts::default().judge(), each, |_, _| {});
    assert!(
        matches!(&ends[1], End::Failed(why) if why.contains("without a word")),
        "{ends:?}"
    );
    assert_eq!(handle.pause(0, LIMIT), Err(Refusal::Gone));
}

#[test]
fn memory_without_a_file_behind_it_is_said_to_be_the_vmms_own() {
    for (file, how) in [(true, "a second mapping"), (false, "own mapping")] {
        let Some(vmm) = Vmm::new(Setup {
            file,
            ..Setup::plain()
        }) else {
            return;
        };
        let parts = vmm.attach();
        let row = parts.machine.capabilities().get("memory").cloned().unwrap();
        assert!(row.mechanism.contains(how), "{row:?}");
        let page = parts.machine.capabilities().get("page").cloned().unwrap();
        let lacks = if file {
            "nobody who protects"
        } else {
            "no file"
        };
        assert!(page.reason.contains(lacks), "{page:?}");
        let word = parts.machine.memory().read_u64(ENTRY).unwrap();
        assert_eq!(word.to_le_bytes(), ROUNDS[..8]);
    }
}
