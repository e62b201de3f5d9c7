//! Who has armed what. The machine gets the union of all holdings; a judge changes only its own.
//!
//! The ledger never judges and never delivers: panels look at its generation between two events
//! and take what they need.

mod draft;
mod union;

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use oriel_machine::{ArmError, Machine, Wants};
use oriel_protocol::Refusal;

use crate::holdings::Holdings;
pub use draft::Draft;
use draft::Trail;
use union::Union;

/// The holdings of all judges of one VM, in the operator's order.
pub struct Ledger {
    machine: Arc<dyn Machine>,
    books: Mutex<Books>,
    /// Grows with every change.
    generation: AtomicU64,
}

/// What the judges hold, each and together.
struct Books {
    holdings: Vec<Arc<Holdings>>,
    union: Union,
    stage: Stage,
}

/// How far introspection is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// It goes on.
    Open,
    /// It is over: nothing is armed any more, but the machine would not disarm what was.
    Over,
    /// It is over, and everything is undone.
    Undone,
}

impl Ledger {
    /// Arms what the judges declare.
    ///
    /// # Errors
    /// [`ArmError`] names what the machine cannot report.
    pub fn new(machine: Arc<dyn Machine>, holdings: Vec<Holdings>) -> Result<Self, ArmError> {
        let holdings: Vec<_> = holdings.into_iter().map(Arc::new).collect();
        let union = Union::of(&holdings);
        machine.arm(union.wants())?;
        Ok(Self {
            machine,
            books: Mutex::new(Books {
                holdings,
                union,
                stage: Stage::Open,
            }),
            generation: AtomicU64::new(1),
        })
    }

    /// Whether anything has changed is seen by comparing this with an earlier answer.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// The holdings of all judges as they are now, with their generation.
    pub fn snapshot(&self) -> (u64, Vec<Arc<Holdings>>) {
        let books = self.lock();
        (self.generation(), books.holdings.clone())
    }

    /// The holdings of one judge.
    ///
    /// # Errors
    /// [`Refusal::Gone`] if there is no such judge.
    pub fn of(&self, judge: usize) -> Result<Arc<Holdings>, Refusal> {
        let books = self.lock();
        books.holdings.get(judge).cloned().ok_or(Refusal::Gone)
    }

    /// Changes the holdings of one judge and arms the difference. What the machine cannot do
    /// leaves everything as it was.
    ///
    /// # Errors
    /// [`Refusal::Gone`] once everything is [`clear`](Self::clear)ed; what `change` refuses with; else
    /// [`Refusal::Unsupported`], [`Refusal::Limit`] or [`Refusal::Unavailable`] as the machine says.
    pub fn change<T>(
        &self,
        judge: usize,
        change: impl FnOnce(&mut Draft) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let mut books = self.lock();
        let mine = books.holdings.get(judge).filter(|_| books.is_open());
        let mut draft = Draft::of(mine.ok_or(Refusal::Gone)?);
        let answer = change(&mut draft)?;
        self.enter(&mut books, judge, draft).map_err(|error| {
            tracing::debug!(judge, error = %error, "not armed");
            Refusal::from(&error)
        })?;
        Ok(answer)
    }

    /// A place for the holdings of one more judge, which holds nothing yet; answers its number.
    pub fn add(&self) -> usize {
        let holdings = &mut self.lock().holdings;
        holdings.push(Arc::default());
        holdings.len() - 1
    }

    /// Adds to the holdings of a judge what it declares, and arms the new union. Of one that has gone,
    /// or comes too late, nothing is armed.
    ///
    /// # Errors
    /// [`ArmError`] names what the machine cannot report; then nothing has changed.
    pub fn declare(&self, judge: usize, declared: &Holdings) -> Result<(), ArmError> {
        let mut books = self.lock();
        let mine = books.holdings.get(judge).filter(|_| books.is_open());
        let Some(mine) = mine else {
            return Ok(());
        };
        let mut draft = Draft::of(mine);
        draft.declare(declared);
        self.enter(&mut books, judge, draft)
    }

    /// Disarms what one judge has armed: it has gone.
    pub fn close(&self, judge: usize) {
        let mut books = self.lock();
        if !books.is_open() {
            return;
        }
        if let Some(mine) = books.holdings.get_mut(judge) {
            *mine = Arc::default();
        }
        books.union = Union::of(&books.holdings);
        if let Err(error) = self.machine.arm(books.union.wants()) {
            tracing::warn!(judge, error = %error, "disarming what a judge has left failed");
        }
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// Disarms everything, for the end of introspection; from then on nobody can arm anything. Tries
    /// again where the machine would not, and does nothing where it has.
    pub fn clear(&self) {
        let mut books = self.lock();
        if books.stage == Stage::Undone {
            return;
        }
        books
            .holdings
            .iter_mut()
            .for_each(|one| *one = Arc::default());
        books.union = Union::default();
        books.stage = match self.machine.arm(&Wants::default()) {
            Ok(()) => Stage::Undone,
            Err(error) => {
                tracing::warn!(error = %error, "disarming at the end failed");
                Stage::Over
            }
        };
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// Takes a judge's new holdings in, and arms what that changes; if the machine cannot, all is as
    /// before.
    fn enter(&self, books: &mut Books, judge: usize, draft: Draft) -> Result<(), ArmError> {
        let (mine, trail) = draft.done();
        let before = std::mem::replace(&mut books.holdings[judge], Arc::new(mine));
        let armed = self.arm(books, &trail);
        if armed.is_err() {
            books.holdings[judge] = before;
            books.union = Union::of(&books.holdings);
        }
        armed?;
        self.generation.fetch_add(1, Ordering::Release);
        Ok(())
    }

    fn arm(&self, books: &mut Books, trail: &Trail) -> Result<(), ArmError> {
        let changed = books.union.take_in(trail, &books.holdings);
        let wants = books.union.wants();
        match changed {
            Some(changed) => self.machine.arm_changed(wants, &changed),
            None => self.machine.arm(wants),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Books> {
        // Every change is made on a copy, so a panic leaves whole holdings behind.
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Books {
    fn is_open(&self) -> bool {
        self.stage == Stage::Open
    }
}

/// The last resort: a VM that was put together in part, for instance because a judge panicked when it
/// was made.
impl Drop for Ledger {
    fn drop(&mut self) {
        if self.lock().is_open() {
            self.clear();
        }
    }
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Ledger(generation {})", self.generation())
    }
}

/// What these hold together.
#[cfg(test)]
pub(crate) fn union(holdings: &[Arc<Holdings>]) -> Wants {
    Union::of(holdings).wants().clone()
}

#[cfg(test)]
mod tests;
