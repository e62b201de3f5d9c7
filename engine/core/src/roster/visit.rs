//! A visit to another thread: something that it does between two events, and whether it has. One
//! that is called off in time is never begun; one that has begun is waited for.
//!
//! ```text
//!            begin             done
//!   Open ───────────► Begun ─────────► Done(answer)
//!     │ call off        │ dropped
//!     ▼                 ▼
//!   CalledOff          Gone
//! ```

use std::sync::Arc;

use crate::sync::{Condvar, Duration, Instant, Mutex, MutexGuard, PoisonError};

/// Whoever waits for a visit.
pub(crate) struct Visit<T>(Arc<Appointment<T>>);

/// Whoever makes it: it goes where the thread will find it.
pub(crate) struct Visitor<T>(Option<Arc<Appointment<T>>>);

struct Appointment<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
    /// Rung when it is settled.
    bell: Mutex<Option<Arc<Bell>>>,
}

/// Rings when the last of several visits is settled. Whoever waits for all of them is woken once:
/// waking it takes a processor from those that are still at it.
struct Bell {
    left: Mutex<usize>,
    rung: Condvar,
}

enum State<T> {
    Open,
    Begun,
    CalledOff,
    Done(T),
    Gone,
}

/// Arranges a visit.
pub(crate) fn arrange<T>() -> (Visit<T>, Visitor<T>) {
    let appointment = Arc::new(Appointment {
        state: Mutex::new(State::Open),
        changed: Condvar::new(),
        bell: Mutex::new(None),
    });
    (Visit(appointment.clone()), Visitor(Some(appointment)))
}

impl<T> Visit<T> {
    /// Waits for the answer; none if the thread has gone, or has not begun within this time and
    /// will not any more.
    pub(crate) fn wait(self, within: Duration) -> Option<T> {
        self.wait_until(Some(Instant::now() + within))
    }

    /// Waits for the answer however long it takes; none if the thread has gone.
    pub(crate) fn see_through(self) -> Option<T> {
        self.wait_until(None)
    }

    fn wait_until(self, deadline: Option<Instant>) -> Option<T> {
        let mut state = self.0.lock();
        loop {
            match std::mem::replace(&mut *state, State::CalledOff) {
                State::Done(answer) => return Some(answer),
                State::Gone | State::CalledOff => return None,
                State::Begun => {
                    *state = State::Begun;
                    state = self.0.wait(state);
                }
                State::Open => {
                    let left = match deadline {
                        Some(deadline) => Some(deadline.checked_duration_since(Instant::now())?),
                        None => None,
                    };
                    *state = State::Open;
                    state = self.0.wait_for(state, left);
                }
            }
        }
    }
}

/// Waits for all of these; where one fails, or does not come, it says so and gives back what the
/// others have brought.
pub(crate) fn gather<T, E>(
    visits: Vec<(u32, Visit<Result<T, E>>)>,
    within: Duration,
    stuck: impl Fn(u32) -> E,
) -> Result<Vec<T>, (E, Vec<T>)> {
    let until = Instant::now() + within;
    let bell = Arc::new(Bell {
        left: Mutex::new(0),
        rung: Condvar::new(),
    });
    visits.iter().for_each(|(_, visit)| visit.0.hang(&bell));
    bell.wait(until);
    let (mut brought, mut trouble) = (Vec::new(), None);
    for (who, visit) in visits {
        let answer = visit.wait_until(Some(until));
        match answer.unwrap_or_else(|| Err(stuck(who))) {
            Ok(one) => brought.push(one),
            Err(error) => trouble = trouble.or(Some(error)),
        }
    }
    match trouble {
        None => Ok(brought),
        Some(error) => Err((error, brought)),
    }
}

impl<T> Visitor<T> {
    /// Begins; false if it has been called off.
    pub(crate) fn begin(&mut self) -> bool {
        let Some(appointment) = &self.0 else {
            return false;
        };
        let mut state = appointment.lock();
        let open = matches!(*state, State::Open);
        if open {
            *state = State::Begun;
        }
        open
    }

    /// It is done, with this answer.
    pub(crate) fn done(mut self, answer: T) {
        if let Some(appointment) = self.0.take() {
            appointment.settle(State::Done(answer));
        }
    }
}

/// Nobody will come any more.
impl<T> Drop for Visitor<T> {
    fn drop(&mut self) {
        if let Some(appointment) = self.0.take() {
            appointment.settle(State::Gone);
        }
    }
}

impl Bell {
    /// Changes how many are left; rings when none is.
    fn count(&self, change: impl FnOnce(usize) -> usize) {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        *left = change(*left);
        if *left == 0 {
            self.rung.notify_one();
        }
    }

    /// Waits until none is left, or until then.
    fn wait(&self, until: Instant) {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        while *left > 0 {
            let Some(time) = until.checked_duration_since(Instant::now()) else {
                return;
            };
            let waited = self.rung.wait_timeout(left, time);
            left = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl<T> Appointment<T> {
    fn settle(&self, how: State<T>) {
        let mut state = self.lock();
        if !matches!(*state, State::CalledOff) {
            *state = how;
        }
        drop(state);
        self.changed.notify_one();
        self.ring();
    }

    /// Has this bell rung for it, unless it is settled already.
    fn hang(&self, bell: &Arc<Bell>) {
        bell.count(|left| left + 1);
        *self.bell.lock().unwrap_or_else(PoisonError::into_inner) = Some(bell.clone());
        // Whoever settles it looks for the bell afterwards: one of both sees the other.
        let settled = !matches!(*self.lock(), State::Open | State::Begun);
        if settled {
            self.ring();
        }
    }

    fn ring(&self) {
        let mut bell = self.bell.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bell) = bell.take() {
            bell.count(|left| left.saturating_sub(1));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // Each change is one assignment.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State<T>>) -> MutexGuard<'a, State<T>> {
        let waited = self.changed.wait(state);
        waited.unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_for<'a>(
        &self,
        state: MutexGuard<'a, State<T>>,
        left: Option<Duration>,
    ) -> MutexGuard<'a, State<T>> {
        let Some(left) = left else {
            return self.wait(state);
        };
        let waited = self.changed.wait_timeout(state, left);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_is_called_off_is_never_begun() {
        let (visit, mut visitor) = arrange::<u32>();
        assert_eq!(visit.wait(Duration::ZERO), None);
        assert!(!visitor.begin());
    }

    #[test]
    fn one_that_has_begun_is_waited_for_and_one_that_nobody_makes_is_over() {
        let (visit, mut visitor) = arrange();
        assert!(visitor.begin());
        let making = std::thread::spawn(move || visitor.done(7));
        assert_eq!(visit.wait(Duration::ZERO), Some(7));
        making.join().unwrap();
        let (visit, visitor) = arrange::<u32>();
        drop(visitor);
        assert_eq!(visit.wait(Duration::from_secs(3600)), None);
    }

    #[test]
    fn several_are_waited_for_together_and_what_some_bring_is_given_back() {
        let hour = Duration::from_secs(3600);
        let some = |answers: [Option<u32>; 3]| {
            let pairs = answers.iter().map(|_| arrange());
            let (visits, visitors): (Vec<_>, Vec<_>) = pairs.unzip();
            let making = std::thread::spawn(move || {
                // The last first, and the first perhaps before anybody waits.
                let made = visitors.into_iter().zip(answers).rev();
                made.for_each(|(visitor, answer): (Visitor<Result<u32, u32>>, _)| {
                    if let Some(answer) = answer {
                        visitor.done(Ok(answer));
                    }
                });
            });
            let gathered = gather((0..).zip(visits).collect(), hour, |who| who);
            making.join().unwrap();
            gathered
        };
        assert_eq!(some([Some(5), Some(6), Some(7)]), Ok(vec![5, 6, 7]));
        assert_eq!(some([Some(5), None, Some(7)]), Err((1, vec![5, 7])));
    }

    #[test]
    fn those_that_do_not_come_in_time_are_called_off() {
        let (visit, mut late) = arrange::<Result<u32, u32>>();
        let gathered = gather(vec![(3, visit)], Duration::ZERO, |who| who);
        assert_eq!((gathered, late.begin()), (Err((3, vec![])), false));
    }
}
