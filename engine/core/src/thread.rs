//! A vCPU's thread: enter the guest, judge what happened, enter again.
//!
//! The verdict on the last event is data that waits until the guest is entered; there is none once
//! it has been carried out.

use oriel_machine::{End, Exit};
use oriel_protocol::{Event, Verdict, events::EventClass};

use crate::station::Station;

/// Runs a vCPU until the VM ends.
pub(crate) fn run(mut station: Station) {
    station.ready();
    let mut verdict = None;
    let end = loop {
        if let Some(end) = station.board(verdict.as_ref()) {
            if verdict == Some(Verdict::Crash) {
                stop(&mut station);
            }
            break end;
        }
        let entered = verdict.take().unwrap_or_default();
        match station.desk().machine_vcpu().enter(entered) {
            Ok(Exit::Event(event)) => verdict = Some(answer(&mut station, &event)),
            Ok(Exit::Kicked) => {}
            Ok(Exit::Ended(end)) => break end,
            Err(error) => break End::Failed(chain(&error)),
        }
    };
    station.leave(&end);
}

/// The machine is told of the verdict that stops it, as of any other. Nothing is run by that, and
/// how the VM ends has been decided.
fn stop(station: &mut Station) {
    if let Err(error) = station.desk().machine_vcpu().enter(Verdict::Crash) {
        tracing::error!(error = chain(&error), "a machine could not be stopped");
    }
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

/// An error with its causes, on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
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
