//! Who sits on a panel: judges come, go, and take each other's places between two events.

use std::sync::Arc;

use super::{Pair, Panel, Seat, Sharing, Trial};

impl Panel {
    /// Seats a judge after all others.
    pub(crate) fn seat(&mut self, seat: Seat) {
        self.seats.push(seat);
        self.refresh();
    }

    /// Seats a judge just before this one, which it is to be compared with.
    pub(crate) fn seat_before(&mut self, owner: usize, seat: Seat) {
        let at = self.position(owner).unwrap_or(self.seats.len());
        self.seats.insert(at, seat);
        self.refresh();
    }

    /// Seats a judge just before this one, to share its events: one in so many is the new one's.
    pub(crate) fn share(&mut self, old: usize, seat: Seat, one_in: u32, trial: &Arc<Trial>) {
        let new = seat.owner;
        self.seat_before(old, seat);
        let sharing = Sharing::new(Pair { old, new }, one_in, trial.clone());
        self.sharing = Some(Box::new(sharing));
    }

    /// Lets a judge take the place of another, which is answered; none if it is not there.
    pub(crate) fn replace(&mut self, owner: usize, seat: Seat) -> Option<Seat> {
        let at = self.position(owner)?;
        let old = std::mem::replace(self.seats.get_mut(at)?, seat);
        self.refresh();
        Some(old)
    }

    /// Takes a judge away.
    pub(crate) fn unseat(&mut self, owner: usize) -> Option<Seat> {
        let at = self.position(owner)?;
        let seat = self.seats.remove(at);
        // Whoever is left hears everything again.
        self.sharing.take_if(|sharing| sharing.has(owner));
        self.refresh();
        Some(seat)
    }

    /// The seat of this owner.
    pub(crate) fn seat_of(&mut self, owner: usize) -> Option<&mut Seat> {
        self.seats.iter_mut().find(|seat| seat.owner == owner)
    }

    fn position(&self, owner: usize) -> Option<usize> {
        self.seats.iter().position(|seat| seat.owner == owner)
    }
}
