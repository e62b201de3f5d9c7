//! How the world goes on and comes to stand.

use std::time::{Duration, Instant};

use oriel_protocol::Refusal;

use super::{Place, Run, Seat, World};
use crate::qemu::{gdb::Point, stop::Stop};

/// How long QEMU has to stop the world. It waits for the end of a translated block, or of what a
/// device does on a vCPU's thread.
const STOP_DEADLINE: Duration = Duration::from_secs(10);

/// How long one instruction may take. One that halts never ends alone: it is done then.
const STEP_DEADLINE: Duration = Duration::from_millis(500);

/// How often a vCPU is stepped because another one's stop came in between.
const MOST_TRIES: u32 = 8;

impl World {
    /// Does what follows from the orders: lets the world go on, or has it stand.
    pub(in crate::qemu) fn settle(&mut self) {
        loop {
            self.heed();
            self.mend();
            if self.is_over() {
                return self.tell_the_end();
            }
            let may_run = self.may_run();
            match (may_run, self.run) {
                (true, Run::Stands) => self.go(),
                (false, Run::Runs | Run::Steps { .. }) => self.stand(),
                (true, Run::Runs | Run::Steps { .. }) | (false, Run::Stands) => {
                    if self.trouble.is_none() {
                        return;
                    }
                }
            }
        }
    }

    /// Whether nothing is open.
    fn may_run(&self) -> bool {
        let ready = |seat: &Seat| seat.place != Place::Outside && seat.next.is_empty();
        self.seats.iter().all(ready) && self.held.is_none() && !self.paused
    }

    /// Lets the world go on, once each vCPU is past the breakpoint that it stands at.
    fn go(&mut self) {
        let vcpus = 0..self.gdb.vcpus();
        for vcpu in vcpus {
            let over = self.seat(vcpu).and_then(|seat| seat.over.take());
            if let Some(ip) = over {
                self.pass(vcpu, ip);
            }
            if !self.may_run() || self.trouble.is_some() {
                return;
            }
        }
        let Some(vcpu) = self.next_stepped() else {
            if self.on_gdb(|gdb| gdb.go_on()).is_ok() {
                self.untold += 1;
                self.run = Run::Runs;
            }
            return;
        };
        let Ok(ip) = self.ip(vcpu) else { return };
        if self.on_gdb(|gdb| gdb.step_among(vcpu)).is_ok() {
            self.untold += 1;
            let until = Instant::now() + STEP_DEADLINE;
            self.run = Run::Steps { vcpu, ip, until };
        }
    }

    /// The next of the vCPUs that are stepped, in turns.
    fn next_stepped(&mut self) -> Option<u32> {
        let mut stepped = self.points.wants.singlestep.clone();
        stepped.retain(|vcpu| *vcpu < self.gdb.vcpus());
        stepped.sort_unstable();
        let later = stepped.iter().find(|vcpu| **vcpu > self.last_stepped);
        let next = later.or_else(|| stepped.first()).copied()?;
        self.last_stepped = next;
        Some(next)
    }

    pub(super) fn ip(&mut self, vcpu: u32) -> Result<u64, Refusal> {
        let ip = self.on_gdb(|gdb| gdb.register(vcpu, "rip"))?;
        ip.ok_or(Refusal::Unavailable)
    }

    /// A vCPU runs the instruction that it stands at, with nothing stopping it and nobody beside
    /// it; unless it was moved.
    fn pass(&mut self, vcpu: u32, over: u64) {
        if self.ip(vcpu) != Ok(over) {
            return;
        }
        let here = self.point_gvas(over);
        // TCG's own steps pass over breakpoints; KVM would run into the INT3.
        let lifted = self.kvm && self.lift(&here).is_ok();
        for _ in 0..MOST_TRIES {
            if self.step_alone(vcpu, over) {
                break;
            }
        }
        if lifted {
            let _ = self.lower(&here);
        }
    }

    /// The virtual addresses of what the stub stops at before the instruction there.
    fn point_gvas(&self, gva: u64) -> Vec<u64> {
        let all = self.points.at(gva).into_iter();
        let software = |point| match point {
            Point::Software(gva) => Some(gva),
            Point::Hardware(_) => None,
        };
        all.filter_map(software).collect()
    }

    /// One step; whether that is over. It is not if another vCPU's stop, of before, came in between.
    fn step_alone(&mut self, vcpu: u32, from: u64) -> bool {
        if self.on_gdb(|gdb| gdb.step(vcpu)).is_err() {
            return true;
        }
        self.untold += 1;
        let stop = match self.on_gdb(|gdb| gdb.stop_within(STEP_DEADLINE)) {
            Ok(Some(stop)) => stop,
            Ok(None) => return self.give_up_step(),
            Err(_) => return true,
        };
        match stop {
            // Its own stop can be of before the instruction still: what counts is where it stands.
            Stop::Met { .. } => {
                let done = self.ip(vcpu) != Ok(from);
                if done {
                    self.stepped(vcpu);
                }
                done
            }
            Stop::Watched { .. }
            | Stop::Interrupted
            | Stop::ShutDown
            | Stop::Broken
            | Stop::Other(_)
            | Stop::Exited => {
                self.stopped(stop, false);
                true
            }
        }
    }

    /// The instruction halts: the vCPU waits behind it for an interrupt.
    fn give_up_step(&mut self) -> bool {
        self.run = Run::Runs;
        self.stand();
        true
    }

    /// Stops the world, if it runs.
    pub(super) fn stand(&mut self) {
        if self.run == Run::Stands || self.on_gdb(|gdb| gdb.interrupt()).is_err() {
            return;
        }
        match self.on_gdb(|gdb| gdb.stop_within(STOP_DEADLINE)) {
            Ok(Some(stop)) => self.stopped(stop, true),
            Ok(None) => {
                let late = crate::qemu::gdb::GdbError::Silent("an interrupt".to_owned());
                self.trouble = Some(super::Trouble::Gdb(late));
                self.run = Run::Stands;
            }
            Err(_) => {}
        }
    }

    /// Something has come on the gdb connection by itself.
    pub(in crate::qemu) fn listen(&mut self) {
        match self.on_gdb(|gdb| gdb.stop_within(Duration::from_millis(1))) {
            Ok(Some(stop)) if self.run != Run::Stands => self.stopped(stop, false),
            Ok(_) | Err(_) => {}
        }
    }

    /// The time for a step is over, if there is one: it is an instruction that halts.
    pub(in crate::qemu) fn look_at_the_clock(&mut self) {
        if let Run::Steps { until, .. } = self.run
            && until <= Instant::now()
        {
            self.stand();
        }
    }
}
