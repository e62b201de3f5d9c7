//! The clock of one judge: calls it every so often, on a thread of its own.
//!
//! It has a desk without a vCPU: memory is at hand, vCPUs answer over their mailboxes, and between
//! two calls the thread waits in a mailbox of its own.

use std::{sync::Arc, time::Duration, time::Instant};

use oriel_protocol::Moment;

use crate::{
    absent::Absent, desk::Desk, judge::Judge, mail::Retirement, record::CLOCK, shared::Shared,
    thread::EndsOnPanic,
};

/// Calls a judge every so often.
pub struct Clock {
    desk: Option<Box<Desk>>,
    caller: usize,
    name: Arc<str>,
    judge: Box<dyn Judge>,
    period: Duration,
    ticks: u64,
    /// Who gets the judge that is called no more.
    retiring: Option<Retirement>,
}

/// Whom a clock calls.
pub(crate) struct Called {
    pub(crate) name: Arc<str>,
    pub(crate) judge: Box<dyn Judge>,
    pub(crate) period: Duration,
}

impl Clock {
    /// The clock of the judge of this number; `mailbox` is behind those of all vCPUs.
    pub(crate) fn new(shared: &Arc<Shared>, mailbox: u32, caller: usize, called: Called) -> Self {
        let desk = Desk::new(Box::new(Absent { index: mailbox }), shared.clone());
        let Called {
            name,
            judge,
            period,
        } = called;
        Self {
            desk: Some(desk),
            caller,
            name,
            judge,
            period,
            ticks: 0,
            retiring: None,
        }
    }

    /// Calls until the VM ends. Runs on a thread of its own.
    pub fn run(mut self) {
        let Some(mut desk) = self.desk.take() else {
            return;
        };
        let _guard = EndsOnPanic(desk.shared().clone());
        let mut due = Instant::now() + self.period;
        while self.wait(&mut desk, due) {
            let late = Instant::now().saturating_duration_since(due);
            let missed =
                u32::try_from(late.as_nanos() / self.period.as_nanos().max(1)).unwrap_or(u32::MAX);
            desk = self.tick(missed, desk);
            due += self.period.saturating_mul(missed.saturating_add(1));
        }
        desk.shut();
        if let Some(reply) = self.retiring.take() {
            desk.shared().mailboxes.free_up(desk.index());
            reply(self.judge);
        }
    }

    /// Serves the mailbox until the next call is due; whether there will be one.
    fn wait(&mut self, desk: &mut Desk, due: Instant) -> bool {
        loop {
            // The letter may have come while the judge was being called.
            if desk.take_ending().is_some() || self.retiring.is_some() {
                return false;
            }
            self.retiring = desk.take_retiring();
            if self.retiring.is_some() {
                return false;
            }
            match desk.mailbox().wait(Some(due)) {
                Some(mail) => desk.serve(mail),
                None => return true,
            }
        }
    }

    fn tick(&mut self, missed: u32, mut desk: Box<Desk>) -> Box<Desk> {
        self.ticks += 1;
        let time_ns = desk.shared().now();
        let moment = Moment {
            vcpu: CLOCK,
            seq: self.ticks,
            time_ns,
        };
        desk.open(self.caller, moment);
        let (ruling, mut desk) = self.judge.tick(time_ns, missed, desk);
        desk.close();
        let who = (self.caller, self.name.clone());
        desk.shared().tell_lapse(who, moment, None, &ruling);
        desk
    }
}

impl std::fmt::Debug for Clock {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Clock({:?}, {} ticks)", self.period, self.ticks)
    }
}
