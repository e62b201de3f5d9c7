//! A vCPU's mailbox: how other threads reach the thread that owns a vCPU.
//!
//! Posting is one function: push, then kick. The owner acknowledges the kick, *then* drains, then
//! enters the guest; so a letter that comes after the drain has kicked again, and `enter` returns
//! at once. An owner that waits for anything waits here, and goes on serving letters meanwhile.

use std::{collections::VecDeque, sync::Arc};

use oriel_machine::Kicker;

use crate::sync::{AtomicBool, Condvar, Instant, Mutex, MutexGuard, Ordering, PoisonError};

/// Letters of type `T` for one vCPU.
pub struct Mailbox<T> {
    letters: Mutex<Letters<T>>,
    /// Whether there are any, for an owner that looks before each entry. A letter is in before its
    /// kick, so an owner that has seen the kick sees the letter.
    any: AtomicBool,
    arrived: Condvar,
    kicker: Arc<dyn Kicker>,
}

struct Letters<T> {
    queue: VecDeque<T>,
    /// Nobody will read again.
    closed: bool,
}

impl<T> Mailbox<T> {
    /// An empty mailbox of the vCPU that `kicker` kicks.
    pub fn new(kicker: Arc<dyn Kicker>) -> Self {
        let letters = Mutex::new(Letters {
            queue: VecDeque::new(),
            closed: false,
        });
        Self {
            letters,
            any: AtomicBool::new(false),
            arrived: Condvar::new(),
            kicker,
        }
    }

    /// Puts a letter in and makes its owner look.
    ///
    /// # Errors
    /// Gives the letter back if nobody will read it.
    pub fn post(&self, letter: T) -> Result<(), T> {
        let mut letters = self.lock();
        if letters.closed {
            return Err(letter);
        }
        letters.queue.push_back(letter);
        self.any.store(true, Ordering::SeqCst);
        drop(letters);
        self.arrived.notify_one();
        self.kicker.kick();
        Ok(())
    }

    /// Whether there is a letter.
    pub fn has_letters(&self) -> bool {
        self.any.load(Ordering::SeqCst)
    }

    /// The next letter, if there is one.
    pub fn take(&self) -> Option<T> {
        if !self.has_letters() {
            return None;
        }
        self.next(&mut self.lock())
    }

    fn next(&self, letters: &mut Letters<T>) -> Option<T> {
        let letter = letters.queue.pop_front();
        self.any.store(!letters.queue.is_empty(), Ordering::SeqCst);
        letter
    }

    /// The next letter, when it comes; none once the deadline has passed.
    pub fn wait(&self, deadline: Option<Instant>) -> Option<T> {
        let mut letters = self.lock();
        loop {
            if let Some(letter) = self.next(&mut letters) {
                return Some(letter);
            }
            letters = match deadline {
                None => self
                    .arrived
                    .wait(letters)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(deadline) => {
                    let left = deadline.checked_duration_since(Instant::now())?;
                    self.arrived
                        .wait_timeout(letters, left)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
            };
        }
    }

    /// Waits for the letter that `pick` makes something of, and hands it those that come before;
    /// none once the deadline has passed.
    pub fn wait_for<A>(
        &self,
        deadline: Instant,
        mut pick: impl FnMut(T) -> Option<A>,
    ) -> Option<A> {
        loop {
            if let Some(picked) = pick(self.wait(Some(deadline))?) {
                return Some(picked);
            }
        }
    }

    /// Refuses letters from now on, and gives back those that were not read.
    pub fn close(&self) -> Vec<T> {
        let mut letters = self.lock();
        letters.closed = true;
        self.any.store(false, Ordering::SeqCst);
        letters.queue.drain(..).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Letters<T>> {
        // A panic elsewhere leaves a queue of whole letters behind.
        self.letters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> std::fmt::Debug for Mailbox<T> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Mailbox({} letters)", self.lock().queue.len())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[derive(Default)]
    struct Kicks(AtomicU32);
    impl Kicker for Kicks {
        fn kick(&self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn every_letter_kicks_and_comes_in_order() {
        let kicks = Arc::new(Kicks::default());
        let mailbox = Mailbox::new(kicks.clone());
        assert_eq!(mailbox.post(1), Ok(()));
        assert_eq!(mailbox.post(2), Ok(()));
        assert_eq!(kicks.0.load(Ordering::SeqCst), 2);
        assert_eq!(
            (mailbox.take(), mailbox.take(), mailbox.take()),
            (Some(1), Some(2), None)
        );
    }

    #[test]
    fn a_closed_mailbox_gives_letters_back() {
        let mailbox = Mailbox::new(Arc::new(Kicks::default()));
        assert_eq!(mailbox.post(1), Ok(()));
        assert_eq!(mailbox.close(), vec![1]);
        assert_eq!(mailbox.post(2), Err(2));
    }

    #[test]
    fn waiting_ends_with_a_letter_from_another_thread() {
        let mailbox = Arc::new(Mailbox::new(Arc::new(Kicks::default())));
        let sender = mailbox.clone();
        let posting = std::thread::spawn(move || sender.post("come"));
        assert_eq!(mailbox.wait(None), Some("come"));
        assert_eq!(posting.join().unwrap(), Ok(()));
    }

    #[test]
    fn waiting_ends_at_the_deadline() {
        let mailbox = Mailbox::<()>::new(Arc::new(Kicks::default()));
        assert_eq!(mailbox.wait(Some(Instant::now())), None);
    }
}
