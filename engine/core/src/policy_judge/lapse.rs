//! What comes of a failure: a strike, a report, and what answers in the policy's place.

use std::time::{Instant, SystemTime};

use oriel_policy::{Failure, FailureMode};
use oriel_protocol::{Case, Event, EventKind, Verdict, commands::service::Severity};

use super::{
    PolicyJudge,
    conduct::{Sentence, Standing},
    report::FailureReport,
};
use crate::{
    desk::Desk,
    failure,
    holdings::Holdings,
    judge::{Lapse, Ruling},
    ledger::Draft,
    record::{Alert, Record},
};

/// In what a policy failed.
#[derive(Clone, Copy, Default)]
pub(super) struct Occasion<'a> {
    /// Of this kind; none: as an instance began, or in a call by the clock.
    pub(super) kind: Option<EventKind>,
    pub(super) event: Option<&'a Event>,
}

impl<'a> Occasion<'a> {
    pub(super) fn of(case: &Case<'a>) -> Self {
        Self {
            kind: Some(case.event.kind()),
            event: Some(case.event),
        }
    }
}

impl PolicyJudge {
    /// What stands in for the verdict of a policy that failed.
    #[cold]
    pub(super) fn failed(
        &self,
        case: &Case<'_>,
        failure: &Failure,
        mut desk: Box<Desk>,
    ) -> (Ruling, Box<Desk>) {
        let mode = self.policy.failure_mode(case.event.kind());
        let quarantined = self.convict(Occasion::of(case), failure, Some(mode), &mut desk);
        let verdict = match mode {
            FailureMode::Pause if !quarantined => self.pause(case.event, failure, &mut desk),
            FailureMode::Pause | FailureMode::Open => failure::verdict(mode, case.event),
            FailureMode::Closed | FailureMode::Detach => failure::verdict(mode, case.event),
        };
        (lapsed(verdict, failure, quarantined), desk)
    }

    /// Where no verdict was asked for: the guest goes on, whatever becomes of the policy.
    #[cold]
    pub(super) fn failed_untold(
        &self,
        occasion: Occasion<'_>,
        failure: &Failure,
        desk: &mut Desk,
    ) -> Ruling {
        let quarantined = self.convict(occasion, failure, None, desk);
        lapsed(Verdict::Continue, failure, quarantined)
    }

    /// What answers for a policy that is not asked.
    #[cold]
    pub(super) fn unasked(&self, event: &Event) -> Ruling {
        if self.conduct.standing() == Standing::Detached {
            return Ruling::CONTINUE;
        }
        // Nobody is kept waiting for a policy that the operator has been told of long ago.
        failure::verdict(self.policy.failure_mode(event.kind()), event).into()
    }

    /// Takes back what it has done in the call, counts the strike, keeps the report, tells the
    /// operator. Whether it is in quarantine now.
    fn convict(
        &self,
        occasion: Occasion<'_>,
        failure: &Failure,
        answered: Option<FailureMode>,
        desk: &mut Desk,
    ) -> bool {
        desk.forget_writes();
        self.keep(occasion, failure, answered, desk);
        if failure.is_strike() {
            self.strike(occasion, failure, desk);
        }
        self.conduct.standing() == Standing::Quarantined
    }

    fn strike(&self, occasion: Occasion<'_>, failure: &Failure, desk: &Desk) {
        let mode = occasion.kind.map(|kind| self.policy.failure_mode(kind));
        if mode == Some(FailureMode::Detach) {
            self.detach(failure, desk);
        } else if self.conduct.strike() == Sentence::Quarantine {
            let message = format!("in quarantine, its failure mode answers: {failure}");
            self.alarm(Severity::High, message, desk);
        }
    }

    fn keep(
        &self,
        occasion: Occasion<'_>,
        failure: &Failure,
        answered: Option<FailureMode>,
        desk: &Desk,
    ) {
        self.enrol(desk);
        let report = FailureReport {
            time: SystemTime::now(),
            moment: desk.moment(),
            kind: occasion.kind,
            event: occasion.event.cloned(),
            reason: failure.to_string(),
            trace: failure.trace().to_vec(),
            is_strike: failure.is_strike(),
            answered,
            digest: self.policy.plugin().inspection().digest,
            revision: desk.revision(),
        };
        let most = desk.shared().settings.failures_kept;
        self.conduct.keep(report, most);
    }

    /// It can be found by its name from now on.
    pub(super) fn enrol(&self, desk: &Desk) {
        if desk.is_on_trial() {
            return;
        }
        let conducts = &desk.shared().conducts;
        conducts.enrol(self.policy.name(), &self.conduct);
    }

    /// It hears nothing any more, and what it has armed is undone.
    fn detach(&self, failure: &Failure, desk: &Desk) {
        if !self.conduct.detach() {
            return;
        }
        let nothing = |held: &mut Draft| {
            held.replace(Holdings::default());
            Ok(())
        };
        if let Err(refusal) = desk.shared().ledger.change(desk.caller(), nothing) {
            // It is not asked all the same.
            tracing::error!(policy = self.policy.name(), %refusal, "what it has armed stays armed");
        }
        let message = format!("detached, the guest goes on without it: {failure}");
        self.alarm(Severity::High, message, desk);
    }

    /// Keeps the vCPU out of the guest until the operator resumes it, which lets the event happen,
    /// or has not in time, and then the policy's no stands.
    fn pause(&self, event: &Event, failure: &Failure, desk: &mut Desk) -> Verdict {
        let limit = self.policy.pause_limit();
        let Some(limit) = limit.filter(|_| !desk.is_on_trial()) else {
            return failure::closed(event);
        };
        let vcpu = desk.index();
        let message = format!(
            "vCPU {vcpu} waits for the operator, for {} s at most: {failure}",
            limit.as_secs_f64()
        );
        self.alarm(Severity::Critical, message, desk);
        if desk.wait_for_operator(Instant::now() + limit) {
            return Verdict::Continue;
        }
        let message = format!("nobody has resumed vCPU {vcpu}: `closed` answers");
        self.alarm(Severity::High, message, desk);
        failure::closed(event)
    }

    /// Tells of lines and alerts that were dropped, once in a while.
    #[inline]
    pub(super) fn tell_dropped(&self, desk: &Desk) {
        let Some(lost) = self.policy.news() else {
            return;
        };
        let message = format!(
            "over its limits: {} log lines, {} alerts and {} measurements were dropped",
            lost.logs, lost.alerts, lost.metrics
        );
        self.alarm(Severity::Low, message, desk);
    }

    /// Tells the operator about the policy.
    #[cold]
    fn alarm(&self, severity: Severity, message: String, desk: &Desk) {
        if desk.is_on_trial() {
            return;
        }
        let judge = self.policy.name();
        desk.shared().tell(|| {
            Record::Alert(Alert {
                judge: Some(judge.into()),
                moment: desk.moment(),
                severity,
                message,
                fields: Vec::new(),
                by_engine: true,
            })
        });
    }
}

fn lapsed(verdict: Verdict, failure: &Failure, quarantined: bool) -> Ruling {
    let reason = failure.to_string();
    Ruling::lapsed(
        verdict,
        Lapse {
            reason,
            quarantined,
        },
    )
}
