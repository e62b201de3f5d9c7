//! Page traps where the host forbids userfaultfd(2), as the seccomp filters of containers and of VMMs
//! do: nothing of them depends on it (`docs/decisions/0007-page-traps.md`).

#![expect(
    unsafe_code,
    reason = "rustix has the system call as a function that is not safe"
)]

use std::{collections::BTreeMap, thread};

use oriel_guests::{PAGE, PAGE_BEFORE, PAGE_STORED};
use oriel_machine::End;
use oriel_policy::Setting;
use oriel_protocol::EventKind;
use rustix::{
    io::Errno,
    mm::{UserfaultfdFlags, userfaultfd},
};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch, apply_filter};

use crate::{
    kvm::{guest, kvm},
    table::{count, judged, policy},
};

/// Forbids it to this thread, and to those that it starts.
fn forbid_userfaultfd() {
    let refuse = SeccompAction::Errno(Errno::PERM.raw_os_error().unsigned_abs());
    let rules = BTreeMap::from([(libc::SYS_userfaultfd, vec![])]);
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refuse, TargetArch::x86_64);
    let program = BpfProgram::try_from(filter.expect("a filter of one rule"));
    apply_filter(&program.expect("it compiles")).expect("a kernel with seccomp");
}

fn try_userfaultfd() -> Option<Errno> {
    // SAFETY: the call makes a file and nothing else; no memory is registered with it, and the
    // file, if there is one, is closed here.
    unsafe { userfaultfd(UserfaultfdFlags::CLOEXEC) }.err()
}

#[test]
fn page_traps_do_not_depend_on_userfaultfd() {
    if !kvm() {
        return;
    }
    let ran = thread::spawn(|| {
        forbid_userfaultfd();
        assert_eq!(try_userfaultfd(), Some(Errno::PERM), "it is forbidden");
        let traps = policy(&[EventKind::Page], &["page read once = skip"]);
        // The threads of its vCPUs are started from here.
        judged(
            guest("pages", 1),
            &traps.set("pages", Setting::Numbers(vec![PAGE])),
        )
    })
    .join()
    .expect("a thread that does not panic");
    assert_eq!(ran.outcome.end, End::Finished(0));
    assert_eq!(ran.reports[..2], [PAGE_BEFORE, PAGE_STORED.into()]);
    assert!(count(&ran, EventKind::Page) >= 7, "every access is judged");
}
