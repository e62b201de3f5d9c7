//! A revision on trial: it hears what the one in force hears, nobody obeys it, and what it would
//! have said is compared.

use std::{
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use oriel_protocol::{Event, Moment, Verdict};

use crate::judge::Ruling;

/// How a revision on trial does, on all vCPUs.
#[derive(Debug, Default)]
pub(crate) struct Trial {
    events: AtomicU64,
    disagreed: AtomicU64,
    failed: AtomicU64,
    /// How many disagreements it may have, and how many failures.
    bounds: [u64; 2],
    /// The VM has ended, and the trial with it.
    ended: AtomicBool,
    /// The first event that it judged otherwise, or its first failure.
    first: Mutex<Option<String>>,
    over: Condvar,
}

impl Trial {
    /// One that goes wrong with more disagreements than this, or more failures.
    pub(crate) fn bounded(disagreements: u64, failures: u64) -> Arc<Self> {
        Arc::new(Self {
            bounds: [disagreements, failures],
            ..Self::default()
        })
    }

    /// Events that both judged, those that it judged otherwise, and its failures.
    pub(crate) fn counts(&self) -> [u64; 3] {
        [&self.events, &self.disagreed, &self.failed].map(|count| count.load(Ordering::Relaxed))
    }

    /// What went wrong first.
    pub(crate) fn first(&self) -> String {
        self.lock().clone().unwrap_or_default()
    }

    /// Waits until it is over, or has gone wrong; whether it has gone well.
    pub(crate) fn wait(&self, lasts: Duration) -> bool {
        let until = Instant::now() + lasts;
        let mut first = self.lock();
        while self.goes_well() && !self.ended.load(Ordering::SeqCst) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            let waited = self.over.wait_timeout(first, left);
            first = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        self.goes_well()
    }

    /// One more event was for it.
    pub(super) fn count_event(&self) {
        self.events.fetch_add(1, Ordering::Relaxed);
    }

    /// It has failed once more.
    pub(crate) fn count_failure(&self, why: &str) {
        let mut first = self.lock();
        first.get_or_insert_with(|| why.to_owned());
        self.failed.fetch_add(1, Ordering::Relaxed);
        self.over.notify_all();
    }

    /// Nobody needs to know any more.
    pub(crate) fn end(&self) {
        let _first = self.lock();
        self.ended.store(true, Ordering::SeqCst);
        self.over.notify_all();
    }

    fn goes_well(&self) -> bool {
        let [_, disagreed, failed] = self.counts();
        disagreed <= self.bounds[0] && failed <= self.bounds[1]
    }

    /// What it said, beside what the one in force said of the same event.
    fn compare(&self, event: &Event, moment: Moment, said: &Verdict, force: &Verdict) {
        self.events.fetch_add(1, Ordering::Relaxed);
        if said == force {
            return;
        }
        let mut first = self.lock();
        self.disagreed.fetch_add(1, Ordering::Relaxed);
        first.get_or_insert_with(|| {
            let (vcpu, seq, kind) = (moment.vcpu, moment.seq, event.kind().name());
            let (said, force) = (said.kind().name(), force.kind().name());
            format!("vCPU {vcpu}, event {seq} ({kind}): `{said}` instead of `{force}`")
        });
        self.over.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Option<String>> {
        self.first.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a revision on trial has said of an event that the one in force has not judged yet. One
/// word, as hardly ever anybody is on trial.
#[derive(Debug, Default)]
pub(super) struct Overheard(Option<Box<Said>>);

#[derive(Debug)]
struct Said {
    trial: Arc<Trial>,
    verdict: Verdict,
}

impl Overheard {
    /// It has said this.
    pub(super) fn note(&mut self, trial: &Arc<Trial>, ruling: &Ruling) {
        match ruling.failure() {
            Some(lapse) => trial.count_failure(&lapse.reason),
            None => {
                let (trial, verdict) = (trial.clone(), ruling.verdict().clone());
                self.0 = Some(Box::new(Said { trial, verdict }));
            }
        }
    }

    /// The one in force has said that, and is being compared if it has this trial at its side.
    pub(super) fn compare(
        &mut self,
        trial: &Arc<Trial>,
        (event, moment): (&Event, Moment),
        force: &Verdict,
    ) {
        let said = self.0.take().filter(|said| Arc::ptr_eq(&said.trial, trial));
        // Else it did not listen to this one.
        let said = said.map_or(Verdict::Continue, |said| said.verdict);
        trial.compare(event, moment, &said, force);
    }

    /// Nobody is left to ask: the one in force did not listen to it.
    pub(super) fn close(self, event: &Event, moment: Moment) {
        if let Some(said) = self.0 {
            let Said { trial, verdict } = *said;
            trial.compare(event, moment, &verdict, &Verdict::Continue);
        }
    }
}

#[cfg(test)]
mod tests {
    use oriel_protocol::events::Reset;

    use super::*;

    const AT: Moment = Moment {
        vcpu: 1,
        seq: 7,
        time_ns: 0,
    };

    fn told(said: Option<Verdict>, force: &Verdict) -> Arc<Trial> {
        let (trial, event) = (Trial::bounded(0, 0), crate::test_event(Reset {}));
        let mut overheard = Overheard::default();
        if let Some(said) = said {
            overheard.note(&trial, &said.into());
        }
        overheard.compare(&trial, (&event, AT), force);
        overheard.close(&event, AT);
        trial
    }

    #[test]
    fn verdicts_are_compared_and_the_first_difference_is_told() {
        assert_eq!(
            told(Some(Verdict::Deny), &Verdict::Deny).counts(),
            [1, 0, 0]
        );
        assert_eq!(told(None, &Verdict::Continue).counts(), [1, 0, 0]);
        let trial = told(None, &Verdict::Deny);
        assert_eq!(trial.counts(), [1, 1, 0]);
        assert_eq!(
            trial.first(),
            "vCPU 1, event 7 (reset): `continue` instead of `deny`"
        );
        assert!(!trial.wait(Duration::from_secs(60)));
    }

    #[test]
    fn what_only_the_trial_hears_is_compared_with_nothing_said() {
        let (trial, event) = (Trial::bounded(1, 0), crate::test_event(Reset {}));
        let mut overheard = Overheard::default();
        overheard.note(&trial, &Verdict::Deny.into());
        overheard.close(&event, AT);
        assert_eq!(trial.counts(), [1, 1, 0]);
        assert!(trial.wait(Duration::ZERO), "one may differ");
    }
}
