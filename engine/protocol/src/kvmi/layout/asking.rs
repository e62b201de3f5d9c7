//! The rows that ask what there is: version, what is known and allowed, how many vCPUs.

use super::{Layout, argument, at_least, no_request, word_data};
use crate::{
    CommandId, Dialect, EventKind, Request,
    commands::{
        vcpu::GetVcpuInfo,
        vm::{CheckCommand, CheckEvent, GetGuestInfo, GetVersion, Version},
    },
    kvmi::{
        Errno, Flaw, Malformed,
        bytes::{Reader, Writer},
    },
};

impl Layout for GetVersion {
    const RETURNS_DATA: bool = true;
    no_request!(GetVersion);

    /// The limit that v12 names is the codec's own: nobody else knows it.
    fn put_reply(answer: &Version, to: &mut Writer) {
        to.u32(answer.version);
        match to.dialect() {
            Dialect::Rfc6 | Dialect::V6 => to.padding(4),
            Dialect::V7 => {
                to.padding(4);
                to.switch(answer.spp);
                to.switch(answer.vmfunc);
                to.switch(answer.eptp);
                to.switch(answer.ve);
                to.switch(answer.singlestep);
                to.padding(3);
            }
            Dialect::V12 => {
                to.u32(u32::try_from(Dialect::V12.max_received()).unwrap_or(u32::MAX));
                to.switch(answer.singlestep);
                to.padding(7);
            }
        }
    }

    fn take_reply(from: &mut Reader<'_>) -> Result<Version, Malformed> {
        at_least(from, Self::ID.name(), 8)?;
        let version = from.u32();
        let second = from.u32();
        let flags: [bool; 5] = std::array::from_fn(|_| from.u8() != 0);
        Ok(match from.dialect() {
            Dialect::Rfc6 | Dialect::V6 => Version {
                version,
                ..Version::default()
            },
            Dialect::V7 => Version {
                version,
                max_message: 0,
                spp: flags[0],
                vmfunc: flags[1],
                eptp: flags[2],
                ve: flags[3],
                singlestep: flags[4],
            },
            Dialect::V12 => Version {
                version,
                max_message: second,
                singlestep: flags[0],
                ..Version::default()
            },
        })
    }
}

impl Layout for CheckCommand {
    super::no_data!();

    fn take(from: &mut Reader<'_>) -> Result<Self, Flaw> {
        let number = from.u16();
        from.padding(6)?;
        let command = CommandId::of(from.dialect(), number);
        let command = command.ok_or(unknown(from.dialect()))?;
        Ok(Self { command })
    }

    fn put(&self, to: &mut Writer) {
        to.u16(argument(to.dialect(), self.command.numbers()));
        to.padding(6);
    }
}

impl Layout for CheckEvent {
    super::no_data!();

    fn take(from: &mut Reader<'_>) -> Result<Self, Flaw> {
        let number = from.u16();
        from.padding(6)?;
        let event = EventKind::of(from.dialect(), number);
        let event = event.ok_or(unknown(from.dialect()))?;
        Ok(Self { event })
    }

    fn put(&self, to: &mut Writer) {
        to.u16(argument(to.dialect(), self.event.numbers()));
        to.padding(6);
    }
}

/// What a question about something unknown is answered with.
const fn unknown(dialect: Dialect) -> Errno {
    match dialect {
        Dialect::Rfc6 | Dialect::V6 | Dialect::V7 => Errno::INVAL,
        Dialect::V12 => Errno::NOENT,
    }
}

impl Layout for GetGuestInfo {
    const RETURNS_DATA: bool = true;
    no_request!(GetGuestInfo);

    fn put_reply(vcpus: &u32, to: &mut Writer) {
        to.u32(*vcpus);
        to.padding(12);
    }

    fn take_reply(from: &mut Reader<'_>) -> Result<u32, Malformed> {
        at_least(from, Self::ID.name(), 4)?;
        Ok(from.u32())
    }
}

impl Layout for GetVcpuInfo {
    no_request!(GetVcpuInfo);
    word_data!();
}
