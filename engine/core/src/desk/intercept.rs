//! Commands that arm events. Each changes only what the asking judge holds.

use oriel_protocol::{
    Access, EventKind, Filter, Handle, HardwarePoint, Only, Refusal, Request,
    commands::{
        vcpu::{
            ControlCr, ControlEvents, ControlMsr, ControlSinglestep, InjectException, Place,
            SetBreakpoint,
        },
        vm::{
            ClearBreakpoint, ControlVmEvents, GetPageAccess, ListBreakpoints, SetHardwarePoint,
            SetPageAccess,
        },
    },
    events::EventClass,
};

use super::Desk;
use crate::holdings::{Placed, Switches};

impl Desk {
    /// Switches a filter of this judge, on this vCPU.
    fn switch<R: Request>(&self, filter: Filter, on: bool) -> Result<(), Refusal> {
        self.admit_arming(R::ID, filter.kind)?;
        let vcpu = self.index();
        self.shared.ledger.change(self.caller, |holdings| {
            holdings.switch(Some(vcpu), filter, on)
        })
    }
}

impl Desk {
    /// Changes the switches of this judge, which has some if it is a tool.
    fn switches(&self, change: impl FnOnce(&mut Switches)) -> Result<(), Refusal> {
        self.shared.ledger.change(self.caller, |holdings| {
            change(holdings.switches().ok_or(Refusal::Denied)?);
            Ok(())
        })
    }
}

/// Only tools have switches; a policy's exports are what it hears.
impl Handle<ControlVmEvents> for Desk {
    fn handle(&mut self, request: ControlVmEvents) -> Result<(), Refusal> {
        if !matches!(request.event, EventKind::Unhook | EventKind::CreateVcpu) {
            return Err(Refusal::Invalid);
        }
        self.admit_arming(ControlVmEvents::ID, request.event)?;
        self.switches(|mine| mine.set_everywhere(request.event, request.enable))
    }
}

/// What the machine cannot report is switched all the same, as on a KVMI kernel: the command that
/// arms it says no, and tools rely on that.
impl Handle<ControlEvents> for Desk {
    fn handle(&mut self, request: ControlEvents) -> Result<(), Refusal> {
        let kind = request.event;
        let here = [EventKind::Pause, EventKind::CommandError].contains(&kind);
        if kind.class() != EventClass::Vcpu && !here {
            return Err(Refusal::Invalid);
        }
        self.admit_arming(ControlEvents::ID, kind)?;
        let vcpu = self.index();
        self.switches(|mine| mine.set(vcpu, kind, request.enable))
    }
}

impl Handle<ControlCr> for Desk {
    fn handle(&mut self, request: ControlCr) -> Result<(), Refusal> {
        let cr = match request.cr {
            0 => 0,
            3 => 3,
            4 => 4,
            _ => return Err(Refusal::Invalid),
        };
        self.switch::<ControlCr>(
            Filter {
                only: Only::Cr { cr, changed: 0 },
                ..Filter::any(EventKind::Cr)
            },
            request.enable,
        )
    }
}

impl Handle<ControlMsr> for Desk {
    fn handle(&mut self, request: ControlMsr) -> Result<(), Refusal> {
        let number = u64::from(request.msr);
        let only = Only::Numbers {
            first: number,
            last: number,
        };
        self.switch::<ControlMsr>(
            Filter {
                only,
                ..Filter::any(EventKind::Msr)
            },
            request.enable,
        )
    }
}

impl Handle<ControlSinglestep> for Desk {
    fn handle(&mut self, request: ControlSinglestep) -> Result<(), Refusal> {
        self.admit_arming(ControlSinglestep::ID, EventKind::Singlestep)?;
        let vcpu = self.index();
        self.shared.ledger.change(self.caller, |holdings| {
            holdings.step(vcpu, request.enable);
            Ok(())
        })
    }
}

/// What a tool's judge arms by itself.
impl Desk {
    /// Expects the `trap` that an injection brings about, or no longer.
    pub(crate) fn await_trap(&self, on: bool) -> Result<(), Refusal> {
        let vcpu = self.index();
        self.switches(|mine| mine.await_trap(vcpu, on))
    }

    /// Steps this vCPU for one instruction, or no longer; whether that is new.
    pub(crate) fn step_once(&self, on: bool) -> bool {
        let vcpu = self.index();
        let changed = self.shared.ledger.change(self.caller, |holdings| {
            if !holdings.is_on(vcpu, EventKind::Singlestep) || holdings.steps(vcpu) == on {
                return Err(Refusal::Conflict);
            }
            holdings.step(vcpu, on);
            Ok(())
        });
        changed.is_ok()
    }
}

impl Handle<SetBreakpoint> for Desk {
    fn handle(&mut self, request: SetBreakpoint) -> Result<(), Refusal> {
        self.admit_arming(SetBreakpoint::ID, EventKind::Breakpoint)?;
        let placed = self.placed(request.place)?;
        self.shared.ledger.change(self.caller, |holdings| {
            holdings.set_breakpoint(request.tag, placed)
        })
    }
}

impl Desk {
    /// How a breakpoint is placed there. Where a guest-virtual address leads to what is no RAM
    /// (ROM, a device, a hole), no INT3 can be, and a debug register watches for it.
    fn placed(&mut self, place: Place) -> Result<Placed, Refusal> {
        let gpa = match place {
            Place::Gpa(gpa) => gpa,
            Place::Gva(gva) => self.translate(None, gva)?,
        };
        if self.shared.machine.memory().covers(gpa, 1) {
            return Ok(Placed::Int3(gpa));
        }
        match place {
            Place::Gva(gva) => HardwarePoint::execute(gva)
                .map(Placed::Hardware)
                .ok_or(Refusal::Invalid),
            Place::Gpa(_) => Err(Refusal::NotFound),
        }
    }
}

impl Handle<SetHardwarePoint> for Desk {
    fn handle(&mut self, request: SetHardwarePoint) -> Result<(), Refusal> {
        self.admit_arming(SetHardwarePoint::ID, EventKind::Breakpoint)?;
        let point = HardwarePoint::new(request.gva, request.length, request.access);
        let placed = Placed::Hardware(point.ok_or(Refusal::Invalid)?);
        self.shared.ledger.change(self.caller, |holdings| {
            holdings.set_breakpoint(request.tag, placed)
        })
    }
}

impl Handle<ClearBreakpoint> for Desk {
    fn handle(&mut self, request: ClearBreakpoint) -> Result<(), Refusal> {
        self.shared.ledger.change(self.caller, |holdings| {
            holdings
                .clear_breakpoint(request.tag)
                .map(drop)
                .ok_or(Refusal::NotFound)
        })
    }
}

impl Handle<ListBreakpoints> for Desk {
    fn handle(&mut self, _: ListBreakpoints) -> Result<Vec<u64>, Refusal> {
        Ok(self.shared.ledger.of(self.caller)?.breakpoints())
    }
}

impl Handle<GetPageAccess> for Desk {
    fn handle(&mut self, request: GetPageAccess) -> Result<Vec<Access>, Refusal> {
        check_view(request.view)?;
        let holdings = self.shared.ledger.of(self.caller)?;
        Ok(request
            .gpas
            .into_iter()
            .map(|gpa| holdings.page(gpa))
            .collect())
    }
}

impl Handle<SetPageAccess> for Desk {
    fn handle(&mut self, request: SetPageAccess) -> Result<(), Refusal> {
        self.admit_arming(SetPageAccess::ID, EventKind::Page)?;
        check_view(request.view)?;
        let memory = self.shared.machine.memory();
        if !request
            .entries
            .iter()
            .all(|rule| memory.covers(rule.gpa, 1))
        {
            return Err(Refusal::NotFound);
        }
        self.shared.ledger.change(self.caller, |holdings| {
            request
                .entries
                .into_iter()
                .try_for_each(|rule| holdings.set_page(rule))
        })
    }
}

impl Handle<InjectException> for Desk {
    fn handle(&mut self, request: InjectException) -> Result<(), Refusal> {
        if request.exception.vector > 31 || request.exception.vector == 2 {
            return Err(Refusal::Invalid);
        }
        self.vcpu.inject(request.exception)
    }
}

/// No machine of today has more than one view.
const fn check_view(view: u16) -> Result<(), Refusal> {
    if view == 0 {
        Ok(())
    } else {
        Err(Refusal::Unsupported)
    }
}
