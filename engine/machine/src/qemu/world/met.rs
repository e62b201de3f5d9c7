//! Stop replies become events, or nothing.

use oriel_protocol::{
    Access, Event, EventData, EventKind, Gva, HardwarePoint, VerdictSet,
    events::{Breakpoint, ShutdownCause, Singlestep},
    x86::{Control, Special},
};

use super::{Run, World};
use crate::{
    End, Exit, paging,
    qemu::{link::Left, registers, stop::Stop},
};

/// What an instruction that has not run can take. A #GP cannot be raised over gdb, so there is no
/// `deny`.
pub(in crate::qemu) const BEFORE: VerdictSet = VerdictSet::CONTINUE
    .union(VerdictSet::RETRY)
    .union(VerdictSet::CRASH)
    .union(VerdictSet::SKIP);

/// What one can take that has.
pub(in crate::qemu) const BEHIND: VerdictSet = VerdictSet::CONTINUE.union(VerdictSet::CRASH);

/// The guest-physical address of what has none.
const UNKNOWN: u64 = u64::MAX;

/// Where a vCPU stands.
struct Here {
    registers: Vec<u8>,
    control: Control,
    ip: u64,
    gva: Gva,
}

impl World {
    /// The world stands. `asked`: we have interrupted it.
    pub(super) fn stopped(&mut self, stop: Stop, asked: bool) {
        let ran = std::mem::replace(&mut self.run, Run::Stands);
        match stop {
            Stop::Met { thread } => {
                if let Some(vcpu) = self.gdb.vcpu_of(thread) {
                    self.met(vcpu, ran);
                }
            }
            Stop::Watched {
                thread,
                access,
                gva,
            } => {
                if let Some(vcpu) = self.gdb.vcpu_of(thread) {
                    self.watched(vcpu, access, gva);
                }
            }
            Stop::Interrupted if asked => {}
            Stop::Interrupted | Stop::Other(_) => self.set_paused(true),
            Stop::ShutDown => self.end = Some(End::Shutdown(ShutdownCause::Request)),
            Stop::Broken => self.end = Some(End::Crashed(broken())),
            Stop::Exited => self.shutting_down = true,
        }
        if let Run::Steps { vcpu, ip, .. } = ran {
            self.tell_a_step(vcpu, ip, stop);
        }
    }

    /// A vCPU that was stepped beside the others has done its step if it is elsewhere now.
    fn tell_a_step(&mut self, vcpu: u32, from: u64, stop: Stop) {
        let told = matches!(stop, Stop::Met { thread } if self.gdb.vcpu_of(thread) == Some(vcpu));
        if !told && self.ip(vcpu).is_ok_and(|ip| ip != from) {
            self.stepped(vcpu);
        }
    }

    fn met(&mut self, vcpu: u32, ran: Run) {
        if matches!(ran, Run::Steps { vcpu: stepped, .. } if stepped == vcpu) {
            return self.stepped(vcpu);
        }
        let Some(here) = self.here(vcpu) else { return };
        if self.points.at(here.gva).is_empty() {
            // A stop of before that was told late, or of a breakpoint that is gone.
            return;
        }
        let heard = self.points.wants.kind(EventKind::Breakpoint);
        match self.breakpoint(&here).filter(|_| heard) {
            Some(data) => self.raise(vcpu, here, EventData::Breakpoint(data), BEFORE),
            None => {
                // Another address space has something else there, or nobody listens.
                let ip = here.ip;
                self.seat(vcpu)
                    .into_iter()
                    .for_each(|seat| seat.over = Some(ip));
            }
        }
    }

    /// The breakpoint that a vCPU stands at, if it is one of ours.
    fn breakpoint(&mut self, here: &Here) -> Option<Breakpoint> {
        let gpa = self.place_of(&here.control, here.gva);
        let managed = self.points.managed.contains_key(&gpa);
        let met = |point: &HardwarePoint| point.executes() && point.gva() == here.gva;
        let met = self.points.hardware.iter().any(met);
        (managed || met).then_some(Breakpoint {
            gva: here.gva,
            gpa,
            length: 1,
            managed: true,
            access: Access::EXECUTE,
        })
    }

    /// An access that was watched for has been made.
    fn watched(&mut self, vcpu: u32, access: Access, gva: Gva) {
        let point = self.points.hardware.iter().copied();
        let Some(point) = point
            .into_iter()
            .find(|point| !point.executes() && point.gva() == gva)
        else {
            return;
        };
        let Some(here) = self.here(vcpu) else { return };
        if !self.points.wants.kind(EventKind::Breakpoint) {
            return;
        }
        let data = EventData::Breakpoint(Breakpoint {
            gva,
            gpa: self.place_of(&here.control, gva),
            length: point.length(),
            managed: true,
            access: access.intersection(point.access()),
        });
        self.raise(vcpu, here, data, BEHIND);
    }

    /// A vCPU has been stepped: an event if somebody wants it.
    pub(super) fn stepped(&mut self, vcpu: u32) {
        if !self.points.wants.singlestep.contains(&vcpu) {
            return;
        }
        let data = EventData::Singlestep(Singlestep { failed: false });
        if let Some(here) = self.here(vcpu) {
            self.raise(vcpu, here, data, BEHIND);
        }
    }

    fn raise(&mut self, vcpu: u32, here: Here, data: EventData, allowed: VerdictSet) {
        let event = Event {
            data,
            ip: here.ip,
            cr3: here.control.cr3,
            cpl: registers::cpl(self.gdb.layout(), &here.registers),
            allowed,
            retired: allowed == BEHIND,
        };
        let registers = Some(here.registers);
        if let Some(seat) = self.seat(vcpu) {
            let exit = Exit::Event(event);
            seat.leave_or_later(Left { exit, registers });
        }
    }

    /// Where a vCPU stands. Outside long mode code has a segment, which the monitor knows.
    fn here(&mut self, vcpu: u32) -> Option<Here> {
        let registers = self.on_gdb(|gdb| gdb.registers(vcpu)).ok()?;
        let layout = self.gdb.layout();
        let ip = layout.value(&registers, "rip")?;
        let control = registers::control(layout, &registers)?;
        let gva = if registers::is_long(control.efer) {
            ip
        } else {
            let text = self.on_qmp(|qmp| qmp.monitor("info registers", Some(vcpu)));
            let mut special = Special::default();
            registers::with_segments(&text.ok()?, &mut special)?;
            special.cs.base.wrapping_add(ip)
        };
        Some(Here {
            registers,
            control,
            ip,
            gva,
        })
    }

    fn place_of(&mut self, control: &Control, gva: Gva) -> u64 {
        let memory = self.view();
        let mode = paging::Mode::by(control);
        let found = paging::translate(&memory, mode, control.cr3, gva);
        found.map_or(UNKNOWN, |found| found.gpa)
    }
}

fn broken() -> String {
    "QEMU cannot run the guest on (an internal error): its own log says why".to_owned()
}
