//! A vCPU's thread: enter the guest, judge what happened, enter again.
//!
//! ```text
//!            mail says stop
//!   Running ───────────────► Ended
//!     │  ▲                     ▲
//!     │  └── last pause over   │
//!     └────► Paused ───────────┘
//!        mail says pause
//! ```
//!
//! The verdict on the last event is data that waits in the state until the guest is entered.

use oriel_machine::{End, Exit};
use oriel_protocol::{Event, EventKind, Verdict, events::EventClass};

use crate::station::Station;

/// What a vCPU is doing. The verdict is none once it has been carried out.
#[derive(Debug)]
enum State {
    /// On its way into the guest, or in it.
    Running(Option<Verdict>),
    /// Kept out of it.
    Paused(Option<Verdict>),
    /// It will not run again.
    Ended(End),
}

/// Runs a vCPU until the VM ends; answers how many events were judged.
pub(crate) fn run(mut station: Station) -> u64 {
    let _guard = EndsOnPanic(station.desk().shared().clone());
    station.ready();
    let mut state = begin(&mut station);
    let end = loop {
        state = match state {
            State::Running(verdict) => running(&mut station, verdict),
            State::Paused(verdict) => paused(&mut station, verdict),
            State::Ended(end) => break end,
        };
    };
    finish(&mut station, &end);
    station.events()
}

/// A vCPU that is held at the start is not told of until it is released: tools hook meanwhile.
fn begin(station: &mut Station) -> State {
    let state = kept_out(station, None);
    if matches!(state, State::Running(_)) {
        station.notice(EventKind::CreateVcpu);
    }
    state
}

fn running(station: &mut Station, verdict: Option<Verdict>) -> State {
    let desk = station.desk();
    // This order loses no letter: one that comes after the drain has kicked again.
    desk.machine_vcpu().acknowledge_kick();
    desk.drain();
    if let Some(end) = desk.take_ending() {
        return State::Ended(end);
    }
    if desk.is_paused() {
        return State::Paused(verdict);
    }
    if verdict == Some(Verdict::Crash) {
        return State::Ended(End::Stopped);
    }
    if desk.wants_attention() {
        if verdict.is_none() {
            return attend(station).unwrap_or(State::Running(None));
        }
        // The verdict is carried out first, and nothing further is run.
        desk.machine_vcpu().kicker().kick();
    }
    enter(station, verdict.unwrap_or_default())
}

fn enter(station: &mut Station, verdict: Verdict) -> State {
    let desk = station.desk();
    desk.settle();
    match desk.machine_vcpu().enter(verdict) {
        Ok(Exit::Event(event)) => State::Running(Some(answer(station, &event))),
        Ok(Exit::Kicked) => State::Running(None),
        Ok(Exit::Ended(end)) => State::Ended(end),
        Err(error) => State::Ended(End::Failed(chain(&error))),
    }
}

/// Lets judges act that asked for it; the state that follows, if one of them wants the VM stopped.
fn attend(station: &mut Station) -> Option<State> {
    (station.attend() == Verdict::Crash).then_some(State::Ended(End::Stopped))
}

/// What takes no answer is only told.
fn answer(station: &mut Station, event: &Event) -> Verdict {
    match event.kind().class() {
        EventClass::Vcpu => station.judge(event),
        EventClass::Notice | EventClass::Wire => {
            station.notice(event.kind());
            Verdict::Continue
        }
    }
}

fn paused(station: &mut Station, verdict: Option<Verdict>) -> State {
    station.notice(EventKind::Pause);
    kept_out(station, verdict)
}

/// Stays out of the guest until the last pause is over.
fn kept_out(station: &mut Station, verdict: Option<Verdict>) -> State {
    loop {
        // The notice may have read the mailbox, so this comes before any waiting.
        let desk = station.desk();
        if let Some(end) = desk.take_ending() {
            return State::Ended(end);
        }
        if !desk.is_paused() {
            break;
        }
        if desk.wants_attention() {
            if let Some(stopped) = attend(station) {
                return stopped;
            }
        } else if let Some(mail) = desk.mailbox().wait(None) {
            desk.serve(mail);
        }
    }
    State::Running(verdict)
}

/// Ends the VM with this vCPU, which goes on answering as long as a tool undoes what it did.
fn finish(station: &mut Station, end: &End) {
    station.desk().shared().end(end);
    station.notice(EventKind::Unhook);
    station.desk().linger();
    station.close();
}

/// An error with its causes, on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

/// A bug on one thread of a VM must not leave the others running without it.
pub(crate) struct EndsOnPanic(pub(crate) std::sync::Arc<crate::shared::Shared>);

impl Drop for EndsOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.end(&End::Failed(
                "a thread of the VM panicked: this is a bug in Oriel".to_owned(),
            ));
        }
    }
}
