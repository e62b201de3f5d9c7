//! Where letters go: the mailboxes of a VM by number. Those of vCPUs come first, by the vCPU's own
//! number; behind them are those of clocks, tools and the roster, which come and go.

use std::sync::{Arc, Mutex, PoisonError, RwLock};

use oriel_machine::Kicker;
use oriel_protocol::Refusal;

use crate::{absent::Nobody, mail::Mail, mailbox::Mailbox};

/// The mailboxes of a VM.
pub(crate) struct Mailboxes {
    all: RwLock<Vec<Arc<Mailbox<Mail>>>>,
    /// Numbers whose owners are gone.
    free: Mutex<Vec<u32>>,
}

impl Mailboxes {
    /// One for each of these.
    pub(crate) fn new(kickers: impl Iterator<Item = Arc<dyn Kicker>>) -> Self {
        Self {
            all: RwLock::new(kickers.map(Mailbox::new).map(Arc::new).collect()),
            free: Mutex::default(),
        }
    }

    /// The one of this number.
    pub(crate) fn get(&self, number: u32) -> Option<Arc<Mailbox<Mail>>> {
        let all = self.all.read().unwrap_or_else(PoisonError::into_inner);
        let at = usize::try_from(number).ok()?;
        all.get(at).cloned()
    }

    /// All that there are.
    pub(crate) fn all(&self) -> Vec<Arc<Mailbox<Mail>>> {
        let all = self.all.read().unwrap_or_else(PoisonError::into_inner);
        all.clone()
    }

    /// One more, for somebody who is always to be found at it; answers its number.
    pub(crate) fn add(&self) -> u32 {
        let mailbox = Arc::new(Mailbox::new(Arc::new(Nobody)));
        let mut all = self.all.write().unwrap_or_else(PoisonError::into_inner);
        let free = self.free().pop();
        if let Some(at) = free
            && let Some(place) = usize::try_from(at).ok().and_then(|at| all.get_mut(at))
        {
            *place = mailbox;
            return at;
        }
        all.push(mailbox);
        u32::try_from(all.len() - 1).unwrap_or(u32::MAX)
    }

    /// Nobody reads this one any more: letters that came too late are answered, and later ones go back.
    pub(crate) fn close(&self, number: u32) {
        let unread = self.get(number).map(|mailbox| mailbox.close());
        let unread = unread.into_iter().flatten();
        unread.for_each(|mail| mail.refuse(Refusal::Gone));
    }

    /// Nobody reads this one any more, which is closed. Another may get its number: an answer that
    /// comes too late has a ticket that nobody there waits for.
    pub(crate) fn free_up(&self, number: u32) {
        self.free().push(number);
    }

    /// Puts a letter into one.
    pub(crate) fn post(&self, number: u32, mail: Mail) -> Result<(), Refusal> {
        let mailbox = self.get(number).ok_or(Refusal::NotFound)?;
        mailbox.post(mail).map_err(|unread| {
            unread.refuse(Refusal::Gone);
            Refusal::Gone
        })
    }

    fn free(&self) -> std::sync::MutexGuard<'_, Vec<u32>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_was_given_up_is_given_again() {
        let mailboxes = Mailboxes::new(std::iter::empty());
        assert_eq!((mailboxes.add(), mailboxes.add()), (0, 1));
        mailboxes.free_up(0);
        assert_eq!((mailboxes.add(), mailboxes.add()), (0, 2));
        assert!(mailboxes.get(3).is_none());
    }
}
