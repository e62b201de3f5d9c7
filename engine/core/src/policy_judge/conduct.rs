//! How a policy behaves on one VM: three strikes in a minute and it is not asked any more. It
//! stays subscribed, and its failure verdict answers, until an operator acts. What it failed with
//! is kept for him.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
    time::{Duration, Instant},
};

use oriel_protocol::Refusal;

use super::report::FailureReport;

const STRIKES: usize = 3;
const WINDOW: Duration = Duration::from_secs(60);

/// Whether a policy is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is.
    Asked,
    /// It has failed too often: its failure mode answers until an operator lets it out.
    Quarantined,
    /// It has failed where its failure mode is `detach`: it hears nothing any more.
    Detached,
}

const ASKED: u8 = 0;
const QUARANTINED: u8 = 1;
const DETACHED: u8 = 2;

/// A policy's failures on one VM, on all its vCPUs.
#[derive(Debug, Default)]
pub(crate) struct Conduct {
    standing: AtomicU8,
    record: Mutex<Past>,
}

#[derive(Debug, Default)]
struct Past {
    strikes: VecDeque<Instant>,
    reports: VecDeque<FailureReport>,
}

/// What became of a policy by a strike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sentence {
    /// Nothing new.
    None,
    /// It is in quarantine from now on.
    Quarantine,
}

impl Conduct {
    /// Whether it is asked; a load of what is hardly ever written.
    #[inline]
    pub(crate) fn is_asked(&self) -> bool {
        self.standing.load(Ordering::Relaxed) == ASKED
    }

    pub(crate) fn standing(&self) -> Standing {
        match self.standing.load(Ordering::Relaxed) {
            QUARANTINED => Standing::Quarantined,
            DETACHED => Standing::Detached,
            _ => Standing::Asked,
        }
    }

    /// Counts a strike.
    pub(crate) fn strike(&self) -> Sentence {
        self.strike_at(Instant::now())
    }

    fn strike_at(&self, now: Instant) -> Sentence {
        let strikes = &mut self.past().strikes;
        strikes.push_back(now);
        let passed = |first: &Instant| now.saturating_duration_since(*first) > WINDOW;
        while strikes.front().is_some_and(passed) {
            strikes.pop_front();
        }
        if strikes.len() >= STRIKES && self.quarantine() {
            return Sentence::Quarantine;
        }
        Sentence::None
    }

    /// It hears nothing any more; false if it did not before.
    pub(crate) fn detach(&self) -> bool {
        self.standing.swap(DETACHED, Ordering::Relaxed) != DETACHED
    }

    /// Lets it out of quarantine: it is asked again, and its strikes are forgotten.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] if it is not in quarantine.
    pub(crate) fn release(&self) -> Result<(), Refusal> {
        let mut past = self.past();
        let (from, to) = (QUARANTINED, ASKED);
        let order = Ordering::Relaxed;
        let released = self.standing.compare_exchange(from, to, order, order);
        released.map_err(|_| Refusal::Invalid)?;
        past.strikes.clear();
        Ok(())
    }

    /// Keeps a report, and forgets the oldest of more than `most`.
    pub(crate) fn keep(&self, report: FailureReport, most: usize) {
        let reports = &mut self.past().reports;
        reports.push_back(report);
        let too_many = reports.len().saturating_sub(most);
        reports.drain(..too_many);
    }

    /// Its last failures, oldest first.
    pub(crate) fn reports(&self) -> Vec<FailureReport> {
        self.past().reports.iter().cloned().collect()
    }

    /// Takes over the reports of another revision of the policy.
    fn adopt(&self, other: &Self) {
        let reports = std::mem::take(&mut other.past().reports);
        let mine = &mut self.past().reports;
        mine.extend(reports);
        mine.make_contiguous().sort_by_key(|report| report.time);
    }

    /// False if it is not asked any more already.
    fn quarantine(&self) -> bool {
        let (from, to) = (ASKED, QUARANTINED);
        let order = Ordering::Relaxed;
        let changed = self.standing.compare_exchange(from, to, order, order);
        changed.is_ok()
    }

    fn past(&self) -> MutexGuard<'_, Past> {
        // Each change is one push or one pop.
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The conduct of each policy of a VM, by its name.
#[derive(Debug, Default)]
pub(crate) struct Conducts(Mutex<BTreeMap<String, Arc<Conduct>>>);

impl Conducts {
    /// From now on it is found under this name, with the reports of the one before.
    pub(crate) fn enrol(&self, name: &str, conduct: &Arc<Conduct>) {
        let mut all = self.all();
        match all.get_mut(name) {
            Some(known) if Arc::ptr_eq(known, conduct) => {}
            Some(known) => {
                conduct.adopt(known);
                *known = conduct.clone();
            }
            None => drop(all.insert(name.to_owned(), conduct.clone())),
        }
    }

    /// The conduct of the policy of this name.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] if there is no such policy, or it has not begun yet.
    pub(crate) fn of(&self, name: &str) -> Result<Arc<Conduct>, Refusal> {
        self.all().get(name).cloned().ok_or(Refusal::NotFound)
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Conduct>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_third_strike_in_a_minute_is_the_last() {
        let conduct = Conduct::default();
        let start = Instant::now();
        for (second, sentence) in [
            (0, Sentence::None),
            (59, Sentence::None),
            (61, Sentence::None),
            (62, Sentence::Quarantine),
            (63, Sentence::None),
        ] {
            let told = conduct.strike_at(start + Duration::from_secs(second));
            assert_eq!(told, sentence, "after second {second}");
        }
        assert_eq!(conduct.standing(), Standing::Quarantined);
    }

    #[test]
    fn an_operator_lets_it_out_with_no_strike_left() {
        let (conduct, start) = (Conduct::default(), Instant::now());
        assert_eq!(conduct.release(), Err(Refusal::Invalid), "it is not in");
        for _ in 0..STRIKES {
            conduct.strike_at(start);
        }
        assert_eq!(conduct.release(), Ok(()));
        assert!(conduct.is_asked());
        assert_eq!(conduct.strike_at(start), Sentence::None);
    }

    #[test]
    fn who_is_detached_stays_so() {
        let (conduct, start) = (Conduct::default(), Instant::now());
        assert!(conduct.detach() && !conduct.detach());
        for _ in 0..2 * STRIKES {
            assert_ne!(conduct.strike_at(start), Sentence::Quarantine);
        }
        assert_eq!(conduct.release(), Err(Refusal::Invalid));
        assert_eq!(conduct.standing(), Standing::Detached);
    }

    #[test]
    fn who_is_found_under_a_name_has_the_reports_of_the_one_before() {
        let (all, first, second) = <(Conducts, Arc<Conduct>, Arc<Conduct>)>::default();
        all.enrol("guard", &first);
        first.keep(FailureReport::numbered(1), 4);
        second.keep(FailureReport::numbered(2), 4);
        all.enrol("guard", &second);
        assert_eq!(all.of("guard").unwrap().reports().len(), 2);
        all.enrol("guard", &first);
        assert_eq!(first.reports().len(), 2, "and back, none of them twice");
    }

    #[test]
    fn the_last_reports_are_kept() {
        let conduct = Conduct::default();
        for seq in 0..9 {
            conduct.keep(FailureReport::numbered(seq), 4);
        }
        let kept = conduct.reports().into_iter();
        let kept: Vec<_> = kept.map(|report| report.moment.seq).collect();
        assert_eq!(kept, [5, 6, 7, 8]);
    }
}
