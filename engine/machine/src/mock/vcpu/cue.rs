//! Steps that are no event: reports, the serial line, barriers, and the end.

use std::time::{Duration, Instant};

use oriel_protocol::{Access, Event, commands::vcpu::Place, events, x86::Exception};

use super::MockVcpu;
use crate::{
    Unjudged, Unseen,
    machine::End,
    mock::{
        step::{Action, Passing, Report},
        world::{Barriers, Parked, Standing},
    },
};

impl MockVcpu {
    /// Does what is not an event.
    pub(super) fn cue(&mut self, action: Action) {
        match action {
            Action::WaitFor(name) => return self.wait_for(&name),
            Action::Idle(ms) => return self.idle(ms),
            Action::Report(report) => self.report(report),
            Action::Serial(text) => self.outlet.serial(text.as_bytes()),
            Action::Signal(name) => self.world.signal(&name),
            Action::Unjudged(it) => self.pass(it),
            Action::Finish(status) => self.world.end(End::Finished(status)),
            Action::Event(_) => {}
        }
        self.finish();
    }

    fn wait_for(&mut self, name: &str) {
        let count = self.waits.get(name).map_or(1, |waited| waited + 1);
        let standing = Standing::Waiting(name.to_owned(), count);
        match self.world.park(self.index, standing) {
            Parked::Over => {
                self.waits.insert(name.to_owned(), count);
                self.finish();
            }
            Parked::Rest | Parked::AllHalted => {
                let over = |barriers: &_| Barriers::signalled(barriers, name, count);
                self.world.rest(&self.bell, over);
            }
            Parked::Stuck(who) => self.stuck(&who),
        }
    }

    /// An access that nobody is asked about: where somebody wanted to be, that is told.
    fn pass(&mut self, it: Passing) {
        if !self.armed.traps(it.gpa, it.access) {
            return;
        }
        let ip = self.guest.cpu.general.rip;
        let one = Unjudged::one(Some(ip), Some(it.gpa), Unseen::Unknown);
        self.unjudged = Some(one.after(self.unjudged.take()));
        self.world.kick(&self.bell);
    }

    /// Rests until its time is over; whoever wants the thread meanwhile gets it.
    fn idle(&mut self, ms: u32) {
        if self.world.skip(&self.bell, ms) {
            return self.finish();
        }
        let now = Instant::now();
        let wanted = Duration::from_millis(ms.into());
        let until = *self.idle_until.get_or_insert(now + wanted);
        if until <= now {
            self.idle_until = None;
            self.finish();
        } else {
            self.world.rest_until(&self.bell, until);
        }
    }

    /// The script is over. The last vCPU to halt takes the VM with it, and that can be an event.
    pub(super) fn halt(&mut self) -> Option<Event> {
        match self.world.park(self.index, Standing::Halted) {
            Parked::AllHalted => {
                let cause = events::ShutdownCause::Halted;
                self.length = 0;
                return self.tell_or_do(events::Shutdown { cause }.into());
            }
            Parked::Over | Parked::Rest => self.world.rest(&self.bell, |_| false),
            Parked::Stuck(who) => self.stuck(&who),
        }
        None
    }

    fn stuck(&self, who: &str) {
        let reason = format!("every vCPU waits for another one: {who}");
        self.world.end(End::Crashed(reason));
    }

    /// A report that cannot be read says nothing: the guest faults.
    fn report(&mut self, report: Report) {
        match self.read_back(report) {
            Ok(value) => {
                self.course.report(value);
                self.outlet.report(self.index, value);
            }
            Err(exception) => self.guest.deliver(exception),
        }
    }

    fn read_back(&mut self, report: Report) -> Result<u64, Exception> {
        let cpu = &mut self.guest.cpu;
        match report {
            Report::Msr(msr) => cpu.msr(msr).ok_or(Exception::GP0),
            Report::Register(register) => {
                let field = cpu
                    .general
                    .field(register)
                    .or_else(|| cpu.special.field(register));
                field.map(|value| *value).ok_or(Exception::GP0)
            }
            Report::Memory(Place::Gpa(gpa), size) => Ok(self.guest.load(gpa, size)),
            Report::Memory(Place::Gva(gva), size) => {
                let gpa = self.guest.translate(gva, Access::READ)?;
                Ok(self.guest.load(gpa, size))
            }
            Report::Faults(vector) => Ok(self.guest.faults(vector)),
        }
    }
}
