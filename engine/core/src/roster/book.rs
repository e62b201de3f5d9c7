//! The book of a roster: which policies there are, in which revisions. It remembers, and does
//! nothing.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, TryLockError,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use oriel_policy::{Place, Saved, Store};

use super::{OnChange, Past, Posted, RosterError, Standing, change::schema, clock::Whereabouts};
use crate::{engine::Candidate, panel::Trial, policy_judge::Standing as Conduct};

/// How many revisions of a policy are kept to go back to.
const KEPT: usize = 8;

const MINUTE: Duration = Duration::from_secs(60);

/// The policies of a VM, and who is changing them.
#[derive(Default)]
pub(crate) struct Posts {
    /// Held by whoever makes a change, from its first to its last step.
    changing: Mutex<()>,
    pub(super) book: Mutex<Book>,
    watched: Mutex<Vec<(usize, Arc<Trial>)>>,
    ended: AtomicBool,
}

/// What is known of the policies.
#[derive(Default)]
pub(super) struct Book {
    pub(super) posts: Vec<Post>,
    pub(super) on_change: Option<OnChange>,
    /// The highest numbers that were given to policies which are gone.
    pub(super) gone: BTreeMap<String, u64>,
    /// Clocks and watches that were started for a change.
    pub(super) threads: Vec<JoinHandle<()>>,
}

/// The numbers that were given to revisions of a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numbered {
    /// The number of the one in force.
    pub current: u64,
    /// The highest that was given.
    pub newest: u64,
}

/// The numbers that were given to revisions, by the policy's name.
pub type Numbers = BTreeMap<String, Numbered>;

impl Default for Numbered {
    fn default() -> Self {
        Self {
            current: 1,
            newest: 1,
        }
    }
}

/// A policy's place among the judges.
pub(super) struct Post {
    pub(super) name: Arc<str>,
    /// The number of the revision in force at the gate and in the ledger.
    pub(super) owner: usize,
    /// The owner's number of its first revision.
    pub(super) first: usize,
    /// The revision in force.
    pub(super) current: u64,
    /// The highest number that was given.
    pub(super) newest: u64,
    pub(super) clock: Arc<Whereabouts>,
    /// The oldest first.
    pub(super) revisions: VecDeque<Revision>,
    /// When it was changed in the last minute.
    changes: VecDeque<Instant>,
}

/// A revision of a policy: code, configuration and grant.
pub(super) struct Revision {
    pub(super) number: u64,
    pub(super) candidate: Arc<Candidate>,
    pub(super) standing: Standing,
    pub(super) since_ns: u64,
    /// What its instances handed over when it was left.
    pub(super) saved: BTreeMap<Place, Saved>,
    pub(super) detail: String,
}

impl Posts {
    /// Enters the policies that a VM starts with, in their revisions. Clocks have the mailboxes
    /// behind those of vCPUs, in this order.
    pub(crate) fn enter(&self, candidates: Vec<Candidate>, mut numbers: Numbers, vcpus: u32) {
        let mut clocks = vcpus..;
        let mut book = self.book();
        for (owner, candidate) in candidates.into_iter().enumerate() {
            let clock = candidate.tick.and_then(|_| clocks.next());
            if candidate.hosted.is_some() {
                let known = numbers.remove(&*candidate.name).unwrap_or_default();
                let clock = Whereabouts::at(clock);
                let post = Post::new((owner, known), Arc::new(candidate), clock, 0);
                book.posts.push(post);
            }
        }
        let gone = numbers
            .into_iter()
            .map(|(name, known)| (name, known.newest));
        book.gone = gone.collect();
    }

    /// Begins a change.
    ///
    /// # Errors
    /// [`RosterError::Busy`] if somebody else has.
    pub(super) fn begin(&self) -> Result<MutexGuard<'_, ()>, RosterError> {
        match self.changing.try_lock() {
            Ok(guard) => Ok(guard),
            // A change that panicked has left the book as it was before.
            Err(TryLockError::Poisoned(guard)) => Ok(guard.into_inner()),
            Err(TryLockError::WouldBlock) => Err(RosterError::Busy),
        }
    }

    /// Waits for a change that is being made to be over, then begins one.
    pub(super) fn begin_in_turn(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn book(&self) -> MutexGuard<'_, Book> {
        // Each change to it is one assignment or one push.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on failures of this owner are told to the trial.
    pub(super) fn watch(&self, owner: usize, trial: &Arc<Trial>) {
        self.watched().push((owner, trial.clone()));
        if self.ended.load(Ordering::SeqCst) {
            trial.end();
        }
    }

    /// And no longer.
    pub(super) fn look_away(&self, trial: &Arc<Trial>) {
        self.watched().retain(|(_, one)| !Arc::ptr_eq(one, trial));
    }

    /// A judge has failed on some vCPU.
    #[cold]
    pub(crate) fn lapsed(&self, owner: usize, reason: &str) {
        let watched = self.watched();
        let trials = watched.iter().filter(|(watched, _)| *watched == owner);
        trials.for_each(|(_, trial)| trial.count_failure(reason));
    }

    /// The VM has ended: nobody waits for the end of a trial any more.
    pub(crate) fn call_off(&self) {
        self.ended.store(true, Ordering::SeqCst);
        self.watched().iter().for_each(|(_, trial)| trial.end());
    }

    /// Keeps a thread that a change has started, to be waited for at the end.
    pub(super) fn keep(&self, thread: JoinHandle<()>) {
        let mut book = self.book();
        book.threads.retain(|one| !one.is_finished());
        book.threads.push(thread);
    }

    /// Waits for the threads that changes have started.
    pub(crate) fn join(&self) {
        let threads = std::mem::take(&mut self.book().threads);
        // A panic there has been reported, and the VM has ended without it.
        threads.into_iter().for_each(|thread| drop(thread.join()));
    }

    fn watched(&self) -> MutexGuard<'_, Vec<(usize, Arc<Trial>)>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    /// The post of this name.
    ///
    /// # Errors
    /// [`RosterError::Unknown`].
    pub(super) fn post(&mut self, name: &str) -> Result<&mut Post, RosterError> {
        let mut posts = self.posts.iter_mut();
        let found = posts.find(|post| &*post.name == name);
        found.ok_or_else(|| RosterError::Unknown(name.to_owned()))
    }

    /// The number of the first revision of a policy that is to come: numbers of one that is gone are
    /// not given again.
    pub(super) fn first_number(&self, name: &str) -> u64 {
        self.gone.get(name).copied().unwrap_or(0) + 1
    }

    /// A policy is gone.
    pub(super) fn remove(&mut self, name: &str) {
        let at = self.posts.iter().position(|post| &*post.name == name);
        if let Some(post) = at.map(|at| self.posts.remove(at)) {
            self.gone.insert(name.to_owned(), post.newest);
        }
    }

    /// The policies in force.
    pub(super) fn in_force(&self) -> Vec<Posted> {
        self.posts.iter().filter_map(Post::posted).collect()
    }
}

impl Post {
    /// A policy in its first revision here, which is in force.
    pub(super) fn new(
        (owner, numbered): (usize, Numbered),
        candidate: Arc<Candidate>,
        clock: Arc<Whereabouts>,
        now_ns: u64,
    ) -> Self {
        let name = candidate.name.clone();
        let mut post = Self {
            name,
            owner,
            first: owner,
            current: numbered.current,
            newest: numbered.newest.max(numbered.current),
            clock,
            revisions: VecDeque::new(),
            changes: VecDeque::new(),
        };
        post.revisions.push_back(Revision {
            number: numbered.current,
            candidate,
            standing: Standing::InForce,
            since_ns: now_ns,
            saved: BTreeMap::new(),
            detail: "loaded".to_owned(),
        });
        post
    }

    /// The revision of this number.
    pub(super) fn revision(&mut self, number: u64) -> Option<&mut Revision> {
        self.revisions.iter_mut().find(|one| one.number == number)
    }

    /// One that a rollback goes back to if nobody names one: the newest that is past.
    pub(super) fn earlier(&self) -> Option<u64> {
        let past = self.revisions.iter().rev();
        let mut past = past.filter(|one| one.standing == Standing::Past);
        past.find(|one| one.number < self.current)
            .map(|one| one.number)
    }

    /// The store of the last revision that had the schema of this one.
    pub(super) fn store_of(&self, candidate: &Candidate) -> Option<Arc<Store>> {
        let mut known = self.revisions.iter().rev();
        let alike = known.find(|one| schema(&one.candidate) == schema(candidate))?;
        Some(alike.candidate.store.clone())
    }

    /// Forgets the oldest revisions.
    pub(super) fn trim(&mut self) {
        while self.revisions.len() > KEPT + 1 {
            let current = self.current;
            let old = self.revisions.iter().position(|one| one.number != current);
            old.map(|at| self.revisions.remove(at));
        }
    }

    /// Counts a change; too many in a minute are refused.
    pub(super) fn pace(&mut self, most: usize) -> Result<(), RosterError> {
        let now = Instant::now();
        while let Some(first) = self.changes.front()
            && now.duration_since(*first) > MINUTE
        {
            self.changes.pop_front();
        }
        if self.changes.len() < most {
            self.changes.push_back(now);
            return Ok(());
        }
        let first = self.changes.front().copied().unwrap_or(now);
        Err(RosterError::TooSoon {
            name: self.name.to_string(),
            wait: MINUTE.saturating_sub(now.duration_since(first)),
        })
    }

    fn posted(&self) -> Option<Posted> {
        let revision = self
            .revisions
            .iter()
            .find(|one| one.number == self.current)?;
        let hosted = revision.candidate.hosted.as_ref()?;
        Some(Posted {
            name: self.name.to_string(),
            revision: self.current,
            digest: hosted.policy.plugin().inspection().digest,
            version: hosted.policy.manifest().version.clone(),
            quarantined: hosted.conduct.standing() == Conduct::Quarantined,
            detached: hosted.conduct.standing() == Conduct::Detached,
        })
    }
}

impl Revision {
    /// As it is shown.
    pub(super) fn past(&self) -> Option<Past> {
        let hosted = self.candidate.hosted.as_ref()?;
        Some(Past {
            revision: self.number,
            digest: hosted.policy.plugin().inspection().digest,
            version: hosted.policy.manifest().version.clone(),
            standing: self.standing,
            since_ns: self.since_ns,
            saved_bytes: self.saved.values().map(|saved| saved.data.len()).sum(),
            detail: self.detail.clone(),
        })
    }
}
