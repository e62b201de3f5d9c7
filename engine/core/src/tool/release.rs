//! Undoing what a tool did, when it has gone.
//!
//! Its last commands are run before anything is undone, or one of them could arm something
//! afterwards. Then goes what it armed, then the breakpoint bytes that it wrote, with the vCPUs
//! held; only then are those told that wait for it. So a vCPU that goes on meets nothing of the
//! tool's.

use std::time::Instant;

use oriel_machine::Hold;
use oriel_protocol::Refusal;

use super::{receiver::Receiver, seat::CLEARING};

/// How long another hold is waited for before this one is tried again.
const RETRY: std::time::Duration = std::time::Duration::from_millis(10);

/// Undoes what the tool did, and tells everybody who waits for it.
pub(super) fn release(receiver: &mut Receiver, reason: &str) {
    if !receiver.link.wait_idle(Instant::now() + CLEARING) {
        tracing::warn!(tool = %receiver.seat.name, "a vCPU does not come to the tool's last commands");
    }
    disarm(receiver);
    if receiver.seat.settings.restore_breakpoints {
        take_back(receiver);
    }
    let shared = receiver.shared().clone();
    let gone = || receiver.seat.visit(false, shared.now(), reason.to_owned());
    shared.tell(gone);
    receiver.seat.vacate();
    shared.tell_hung_up();
}

fn disarm(receiver: &Receiver) {
    let keeps = !receiver.link.cleans_up();
    let undone = receiver.shared().ledger.change(receiver.caller, |mine| {
        mine.replace(if keeps { mine.kept() } else { mine.blank() });
        Ok(())
    });
    // At the end of introspection everything has been undone.
    if let Err(refusal) = undone
        && refusal != Refusal::Gone
    {
        tracing::error!(tool = %receiver.seat.name, %refusal, "what the tool armed is not undone");
    }
}

fn take_back(receiver: &mut Receiver) {
    if receiver.link.planted().is_empty() {
        return;
    }
    let hold = hold_all(receiver);
    if hold.is_none() {
        tracing::warn!(tool = %receiver.seat.name, "breakpoints are taken back while vCPUs run");
    }
    let machine = receiver.shared().machine.clone();
    receiver.link.planted().take_back(machine.memory());
}

/// Holds every vCPU; of two that hold the world at once the second has to come again.
fn hold_all(receiver: &mut Receiver) -> Option<Hold> {
    let deadline = Instant::now() + CLEARING;
    let desk = &mut receiver.desk;
    while Instant::now() < deadline {
        match desk.shared().machine.hold_others(desk.index()) {
            Ok(hold) => return Some(hold),
            Err(Refusal::Busy) => {}
            Err(_) => return None,
        }
        if let Some(mail) = desk.mailbox().wait(Some(Instant::now() + RETRY)) {
            desk.serve(mail);
        }
    }
    None
}
