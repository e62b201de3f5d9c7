//! The rows that switch something on or off, pause, or raise an exception.

use super::{Layout, argument, no_data};
use crate::{
    Dialect, EventKind, Numbers, Request,
    commands::{
        vcpu::{ControlCr, ControlEvents, ControlMsr, ControlSinglestep, InjectException},
        vm::{ControlCleanup, ControlCommandResponse, ControlVmEvents, PauseVcpu},
    },
    kvmi::{
        Close, Errno, Flaw,
        bytes::{Reader, Writer},
        frame,
    },
    x86::Exception,
};

/// On the wire a header for the vCPU comes first, as with vCPU commands, but the receiving thread
/// does the work, and refuses padding in that header; padding of the command itself closes in v7.
/// In v12 the vCPU is a field.
impl Layout for PauseVcpu {
    no_data!();

    fn take(from: &mut Reader<'_>) -> Result<Self, Flaw> {
        match from.dialect() {
            Dialect::Rfc6 | Dialect::V6 | Dialect::V7 => {
                let vcpu = from.u16().into();
                let header = from.padding(frame::VCPU_HEADER - size_of::<u16>());
                let wait = from.u8() == 1;
                from.padding(7).map_err(|flaw| match from.dialect() {
                    Dialect::V7 => padded(Self::ID.name()),
                    Dialect::Rfc6 | Dialect::V6 | Dialect::V12 => flaw,
                })?;
                header?;
                Ok(Self { vcpu, wait })
            }
            Dialect::V12 => {
                let vcpu = from.u16().into();
                let wait = from.switch()?;
                from.padding(5)?;
                Ok(Self { vcpu, wait })
            }
        }
    }

    fn put(&self, to: &mut Writer) {
        let vcpu = u16::try_from(self.vcpu).unwrap_or(u16::MAX);
        match to.dialect() {
            Dialect::Rfc6 | Dialect::V6 | Dialect::V7 => {
                frame::put_vcpu(to, vcpu);
                to.switch(self.wait);
                to.padding(7);
            }
            Dialect::V12 => {
                to.u16(vcpu);
                to.switch(self.wait);
                to.padding(5);
            }
        }
    }
}

/// Padding that is not zero, where that closes the connection.
const fn padded(command: &'static str) -> Flaw {
    Flaw::Close(Close::Padding { command })
}

/// The fields that both commands for events have. An event that the dialect does not know is
/// EINVAL here, in v12 too.
fn take_event(from: &mut Reader<'_>) -> Result<(EventKind, bool), Flaw> {
    let number = from.u16();
    let enable = from.switch()?;
    from.padding(5)?;
    let event = EventKind::of(from.dialect(), number).ok_or(Errno::INVAL)?;
    Ok((event, enable))
}

fn put_event(to: &mut Writer, numbers: Numbers, enable: bool) {
    to.u16(argument(to.dialect(), numbers));
    to.switch(enable);
    to.padding(5);
}

impl Layout for ControlVmEvents {
    no_data!();

    fn take(from: &mut Reader<'_>) -> Result<Self, Flaw> {
        let (event, enable) = take_event(from)?;
        Ok(Self { event, enable })
    }

    fn put(&self, to: &mut Writer) {
        put_event(to, self.event.numbers(), self.enable);
    }
}

impl Layout for ControlEvents {
    no_data!();

    fn take(from: &mut Reader<'_>) -> Result<Self, Flaw> {
        let (event, enable) = take_event(from)?;
        Ok(Self { event, enable })
    }

    fn put(&self, to: &mut Writer) {
        put_event(to, self.event.numbers(), self.enable);
    }
}

impl Layout for ControlCr {
    no_data!();

    fn take(from: &mut Reader<'_>) -> Result<Self, Flaw> {
        if from.dialect() == Dialect::V12 {
            let cr = from.u8().into();
            let enable = from.switch()?;
            from.padding(6)?;
            return Ok(Self { cr, enable });
        }
        let enable = from.switch()?;
        from.padding(3)?;
        let cr = from.u32();
        Ok(Self { cr, enable })
    }

    fn put(&self, to: &mut Writer) {
        if to.dialect() == Dialect::V12 {
            to.u8(u8::try_from(self.cr).unwrap_or(u8::MAX));
            to.switch(self.enable);
            to.padding(6);
            return;
        }
        to.switch(self.enable);
        to.padding(3);
        to.u32(self.cr);
    }
}

impl Layout for ControlMsr {
    no_data!();

    fn take(from: &mut Reader<'_>) -> Result<Self, Flaw> {
        let enable = from.switch()?;
        from.padding(3)?;
        let msr = from.u32();
        Ok(Self { msr, enable })
    }

    fn put(&self, to: &mut Writer) {
        to.switch(self.enable);
        to.padding(3);
        to.u32(self.msr);
    }
}

impl Layout for ControlSinglestep {
    no_data!();

    fn take(from: &mut Reader<'_>) -> Result<Self, Flaw> {
        let enable = from.switch()?;
        from.padding(7)?;
        Ok(Self { enable })
    }

    fn put(&self, to: &mut Writer) {
        to.switch(self.enable);
        to.padding(7);
    }
}

impl Layout for ControlCleanup {
    no_data!();

    fn take(from: &mut Reader<'_>) -> Result<Self, Flaw> {
        let enable = from.switch()?;
        from.padding(7)?;
        Ok(Self { enable })
    }

    fn put(&self, to: &mut Writer) {
        to.switch(self.enable);
        to.padding(7);
    }
}

/// Its padding is the one that closes the connection: what is answered from here on would be
/// anybody's guess. v7 has flags where the others have padding.
impl Layout for ControlCommandResponse {
    no_data!();

    fn take(from: &mut Reader<'_>) -> Result<Self, Flaw> {
        let close = |_| padded(Self::ID.name());
        let enable = from.u8() != 0;
        let now = from.u8() == 1;
        let flags = match from.dialect() {
            Dialect::V7 => from.u8(),
            Dialect::Rfc6 | Dialect::V6 | Dialect::V12 => {
                from.padding(1).map_err(close)?;
                0
            }
        };
        from.padding(5).map_err(close)?;
        let report_errors = flags & REPORT_ERRORS != 0;
        Ok(Self {
            enable,
            now,
            report_errors,
        })
    }

    fn put(&self, to: &mut Writer) {
        to.switch(self.enable);
        to.switch(self.now);
        let flags = match (to.dialect(), self.report_errors) {
            (Dialect::V7, true) => REPORT_ERRORS,
            (Dialect::V7, false) | (Dialect::Rfc6 | Dialect::V6 | Dialect::V12, _) => 0,
        };
        to.u8(flags);
        to.padding(5);
    }
}

/// Errors of unanswered commands come as events.
const REPORT_ERRORS: u8 = 1;

/// The error code counts for the vectors that have one, whatever v6's `has_error` says: its own
/// tool never sets it.
impl Layout for InjectException {
    no_data!();

    fn take(from: &mut Reader<'_>) -> Result<Self, Flaw> {
        let vector = from.u8();
        match from.dialect() {
            Dialect::Rfc6 | Dialect::V6 => from.skip(1),
            Dialect::V7 | Dialect::V12 => from.padding(1)?,
        }
        from.padding(2)?;
        let code = from.u32();
        let exception = Exception {
            vector,
            error_code: Exception::vector_has_error_code(vector).then_some(code),
            address: from.u64(),
        };
        Ok(Self { exception })
    }

    fn put(&self, to: &mut Writer) {
        to.u8(self.exception.vector);
        match to.dialect() {
            Dialect::Rfc6 | Dialect::V6 => to.switch(self.exception.error_code.is_some()),
            Dialect::V7 | Dialect::V12 => to.padding(1),
        }
        to.padding(2);
        to.u32(self.exception.error_code.unwrap_or(0));
        to.u64(self.exception.address);
    }
}
