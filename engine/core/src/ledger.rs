//! Who has armed what. The machine gets the union of all holdings; a judge changes only its own.
//!
//! The ledger never judges and never delivers: panels look at its generation between two events
//! and take what they need.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use oriel_machine::{ArmError, Machine, Wants};
use oriel_protocol::Refusal;

use crate::holdings::Holdings;

/// The holdings of all judges of one VM, in the operator's order.
pub struct Ledger {
    machine: Arc<dyn Machine>,
    holdings: Mutex<Vec<Arc<Holdings>>>,
    /// Grows with every change.
    generation: AtomicU64,
}

impl Ledger {
    /// Arms what the judges declare.
    ///
    /// # Errors
    /// [`ArmError`] names what the machine cannot report.
    pub fn new(machine: Arc<dyn Machine>, holdings: Vec<Holdings>) -> Result<Self, ArmError> {
        let holdings: Vec<_> = holdings.into_iter().map(Arc::new).collect();
        machine.arm(&union(&holdings))?;
        Ok(Self {
            machine,
            holdings: Mutex::new(holdings),
            generation: AtomicU64::new(1),
        })
    }

    /// Whether anything has changed is seen by comparing this with an earlier answer.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// The holdings of all judges as they are now, with their generation.
    pub fn snapshot(&self) -> (u64, Vec<Arc<Holdings>>) {
        let holdings = self.lock();
        (self.generation(), holdings.clone())
    }

    /// The holdings of one judge.
    ///
    /// # Errors
    /// [`Refusal::Gone`] if there is no such judge.
    pub fn of(&self, judge: usize) -> Result<Arc<Holdings>, Refusal> {
        self.lock().get(judge).cloned().ok_or(Refusal::Gone)
    }

    /// Changes the holdings of one judge and arms the new union. What the machine cannot do
    /// leaves everything as it was.
    ///
    /// # Errors
    /// What `change` refuses with; else [`Refusal::Unsupported`], [`Refusal::Limit`] or
    /// [`Refusal::Unavailable`] as the machine says.
    pub fn change<T>(
        &self,
        judge: usize,
        change: impl FnOnce(&mut Holdings) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let mut holdings = self.lock();
        let mut changed = Holdings::clone(holdings.get(judge).ok_or(Refusal::Gone)?);
        let answer = change(&mut changed)?;
        let before = std::mem::replace(&mut holdings[judge], Arc::new(changed));
        if let Err(error) = self.machine.arm(&union(&holdings)) {
            tracing::debug!(judge, error = %error, "not armed");
            holdings[judge] = before;
            return Err(Refusal::from(&error));
        }
        self.generation.fetch_add(1, Ordering::Release);
        Ok(answer)
    }

    /// A place for the holdings of one more judge, which holds nothing yet; answers its number.
    pub fn add(&self) -> usize {
        let mut holdings = self.lock();
        holdings.push(Arc::default());
        holdings.len() - 1
    }

    /// Adds to the holdings of a judge what it declares, and arms the new union.
    ///
    /// # Errors
    /// [`ArmError`] names what the machine cannot report; then nothing has changed.
    pub fn declare(&self, judge: usize, declared: &Holdings) -> Result<(), ArmError> {
        let mut holdings = self.lock();
        let Some(mine) = holdings.get_mut(judge) else {
            return Ok(());
        };
        let mut changed = Holdings::clone(mine);
        changed.declare(declared);
        let before = std::mem::replace(mine, Arc::new(changed));
        if let Err(error) = self.machine.arm(&union(&holdings)) {
            holdings[judge] = before;
            return Err(error);
        }
        self.generation.fetch_add(1, Ordering::Release);
        Ok(())
    }

    /// Disarms what one judge has armed: it has gone.
    pub fn close(&self, judge: usize) {
        let mut holdings = self.lock();
        if let Some(mine) = holdings.get_mut(judge) {
            *mine = Arc::default();
        }
        if let Err(error) = self.machine.arm(&union(&holdings)) {
            tracing::warn!(judge, error = %error, "disarming what a judge has left failed");
        }
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// Disarms everything, for the end of introspection.
    pub fn clear(&self) {
        let mut holdings = self.lock();
        holdings.iter_mut().for_each(|one| *one = Arc::default());
        if let Err(error) = self.machine.arm(&Wants::default()) {
            tracing::warn!(error = %error, "disarming at the end failed");
        }
        self.generation.fetch_add(1, Ordering::Release);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Holdings>>> {
        // Every change is made on a copy, so a panic leaves whole holdings behind.
        self.holdings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Ledger(generation {})", self.generation())
    }
}

fn union(holdings: &[Arc<Holdings>]) -> Wants {
    let mut wants = Wants::default();
    holdings.iter().for_each(|one| one.add_to(&mut wants));
    wants.breakpoints.sort_unstable();
    wants.breakpoints.dedup();
    wants.singlestep.sort_unstable();
    wants.singlestep.dedup();
    wants
}

#[cfg(test)]
mod tests {
    use oriel_machine::{mock::Scenario, outlet};
    use oriel_protocol::HardwarePoint;

    use super::*;
    use crate::holdings::Placed;

    fn ledger(judges: usize) -> Ledger {
        let parts = Scenario::new("ledger").build(Arc::new(outlet::Kept::default()));
        Ledger::new(parts.unwrap().machine, vec![Holdings::default(); judges]).unwrap()
    }

    fn point(gva: u64) -> Placed {
        Placed::Hardware(HardwarePoint::execute(gva).unwrap())
    }

    /// Points at four addresses from here on.
    fn take_four(ledger: &Ledger, judge: usize, first: u64) -> Result<(), Refusal> {
        (first..first + 4)
            .try_for_each(|gva| ledger.change(judge, |mine| mine.set_breakpoint(gva, point(gva))))
    }

    #[test]
    fn what_the_machine_has_no_room_for_leaves_everything_as_it_was() {
        let ledger = ledger(2);
        assert_eq!(take_four(&ledger, 0, 0x10), Ok(()));
        let generation = ledger.generation();
        let fifth = ledger.change(1, |mine| mine.set_breakpoint(1, point(0x20)));
        assert_eq!(fifth, Err(Refusal::Limit));
        assert_eq!(ledger.generation(), generation);
        assert!(ledger.of(1).unwrap().breakpoints().is_empty());
        let cleared = ledger.change(0, |mine| Ok(mine.clear_breakpoint(0x10)));
        assert_eq!(cleared, Ok(Some(point(0x10))));
        let now = ledger.change(1, |mine| mine.set_breakpoint(1, point(0x20)));
        assert_eq!(now, Ok(()));
    }

    #[test]
    fn an_owner_that_goes_leaves_the_debug_registers_free() {
        let ledger = ledger(2);
        assert_eq!(take_four(&ledger, 0, 0x10), Ok(()));
        assert_eq!(take_four(&ledger, 1, 0x20), Err(Refusal::Limit));
        // A tool that hangs up, whether it wants to be undone or not.
        for gone in [Holdings::blank, Holdings::kept] {
            let left = ledger.change(0, |mine| {
                *mine = gone(mine);
                Ok(())
            });
            assert_eq!(left, Ok(()));
            assert_eq!(take_four(&ledger, 0, 0x30), Ok(()));
        }
        // The end of introspection.
        ledger.clear();
        assert_eq!(take_four(&ledger, 1, 0x20), Ok(()));
    }
}
