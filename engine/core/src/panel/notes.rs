//! What is told of one event: who said what, who disagreed, who failed, and who stopped the VM.

use oriel_protocol::{Event, Moment, commands::service::Severity};

use super::Seat;
use crate::{
    judge::Ruling,
    record::{Alert, Dispute, Failed, Judged, Opinion, Record, Sink},
    round::Conflict,
};

/// What is told of one event.
#[derive(Default)]
pub(super) struct Notes {
    pub(super) opinions: Vec<Opinion>,
    pub(super) conflicts: Vec<Conflict>,
    pub(super) failures: Vec<Failed>,
}

impl Notes {
    /// Tells whoever listens.
    #[inline(never)]
    pub(super) fn publish(self, sink: &dyn Sink, said: (&Event, Moment, &Ruling), seats: &[Seat]) {
        let failures = self.failures.into_iter();
        failures.for_each(|failed| sink.put(Record::Failure(failed)));
        if !sink.wants_events() {
            return;
        }
        let (event, moment, ruling) = said;
        let conflicts = self.conflicts.iter().filter_map(|one| dispute(one, seats));
        sink.put(Record::Event(Box::new(Judged {
            moment,
            event: event.clone(),
            judges: self.opinions,
            verdict: ruling.verdict().clone(),
            conflicts: conflicts.collect(),
        })));
    }
}

/// Who stops the VM, and where it stands.
#[cold]
pub(super) fn stopped(seat: Option<&Seat>, event: &Event, moment: Moment) -> Record {
    let (kind, vcpu, ip) = (event.kind().name(), moment.vcpu, event.ip);
    let fields = [("kind", kind.to_owned()), ("ip", format!("{ip:#x}"))];
    Record::Alert(Alert {
        judge: seat.map(|seat| seat.name.clone()),
        moment,
        severity: Severity::High,
        message: format!("stopped the VM at an event `{kind}` of vCPU {vcpu}, at {ip:#x}"),
        fields: fields.map(|(name, text)| (name.to_owned(), text)).into(),
        by_engine: true,
    })
}

/// Both judges of a conflict, by their names.
fn dispute(conflict: &Conflict, seats: &[Seat]) -> Option<Dispute> {
    let name = |judge: usize| seats.get(judge).map(|seat| seat.name.clone());
    Some(Dispute {
        standing: name(conflict.standing)?,
        lost: name(conflict.lost)?,
    })
}
