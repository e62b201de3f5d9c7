//! What a session does, rule by rule: tests are named after the rules.

mod anything;
mod order;
mod refusals;
mod seed;
mod silence;
mod verdicts;

use std::sync::Arc;

use crate::{
    CommandId, CommandSet, Dialect, EventKind, Grant, Refusal, Request, VcpuCall, VmCall,
    commands::{Vcpu, Vm},
    kvmi::{
        Close, Errno, Intake, Outgoing, Pending, Session,
        bytes::Reader,
        frame::{HEADER, Header},
        tool,
    },
};

/// A session with two vCPUs, and who waits in it.
struct Wire {
    session: Session,
    pending: Arc<Pending>,
    dialect: Dialect,
}

impl Wire {
    fn new(dialect: Dialect) -> Self {
        Self::granted(dialect, Grant::all())
    }

    fn granted(dialect: Dialect, grant: Grant) -> Self {
        let pending = Arc::new(Pending::new(2));
        Self {
            session: Session::new(dialect, grant, 2, Arc::clone(&pending)),
            pending,
            dialect,
        }
    }

    fn without_commands(dialect: Dialect) -> Self {
        let grant = Grant {
            commands: CommandSet::NONE,
            ..Grant::all()
        };
        Self::granted(dialect, grant)
    }

    fn without_event(dialect: Dialect, kind: EventKind) -> Self {
        let mut grant = Grant::all();
        grant.events.remove(kind);
        Self::granted(dialect, grant)
    }

    /// Sends a message of this id and payload, under sequence number 7.
    fn send(&mut self, id: u16, payload: &[u8]) -> Result<Intake, Close> {
        let size = u16::try_from(payload.len()).unwrap();
        let header = Header { id, size, seq: 7 };
        self.session.receive(header, payload)
    }

    /// Sends a whole message.
    fn message(&mut self, message: &[u8]) -> Result<Intake, Close> {
        let (header, payload) = message.split_first_chunk::<HEADER>().unwrap();
        self.session.receive(Header::read(*header), payload)
    }

    fn vm(&mut self, request: impl Request<Scope = Vm>) -> Result<Intake, Close> {
        self.message(&tool::command_vm(self.dialect, 7, &request.into_call()).unwrap())
    }

    fn vcpu(&mut self, request: impl Request<Scope = Vcpu>) -> Result<Intake, Close> {
        self.message(&tool::command_vcpu(self.dialect, 7, 1, &request.into_call()).unwrap())
    }

    /// The number of a row here.
    fn number(&self, command: &str) -> u16 {
        let id = CommandId::by_name(command).unwrap();
        id.numbers().of(self.dialect).unwrap()
    }
}

/// The error number of a message that answers, and its data.
fn read(dialect: Dialect, message: &[u8]) -> (i32, Vec<u8>) {
    let (header, payload) = message.split_first_chunk::<HEADER>().unwrap();
    let header = Header::read(*header);
    assert_eq!(usize::from(header.size), payload.len());
    assert_eq!(header.seq, 7, "a reply repeats the command's number");
    let mut from = Reader::new(dialect, payload);
    let error = from.i32();
    assert_eq!(from.padding(4), Ok(()));
    (error, from.rest().to_vec())
}

/// The error number that an intake is answered with by the session itself, no data with it.
fn errno(dialect: Dialect, intake: Result<Intake, Close>) -> i32 {
    let message = match intake {
        Ok(Intake::Answered(Some(message))) => message,
        Ok(Intake::Refused {
            answer: Some(message),
            ..
        }) => message,
        other => panic!("{other:?}"),
    };
    let (error, data) = read(dialect, &message);
    assert!(data.is_empty(), "an error carries no data");
    error
}

/// The error number that a ticket puts a refusal into.
fn refused(dialect: Dialect, intake: Result<Intake, Close>, refusal: Refusal) -> i32 {
    let outgoing = match intake {
        Ok(Intake::Vm(ticket, _)) => ticket.vm(Err(refusal)),
        Ok(Intake::Vcpu(ticket, ..)) => ticket.vcpu(Err(refusal)),
        other => panic!("{other:?}"),
    };
    let Outgoing::Message(message) = outgoing else {
        panic!("{outgoing:?}");
    };
    let (error, data) = read(dialect, &message);
    assert!(data.is_empty(), "an error carries no data");
    error
}

const OK: i32 = 0;
const PERM: i32 = Errno::PERM.0;
const NOENT: i32 = Errno::NOENT.0;
const INVAL: i32 = Errno::INVAL.0;
const NOMEM: i32 = Errno::NOMEM.0;
const OPNOTSUPP: i32 = Errno::OPNOTSUPP.0;
const NOSYS: i32 = Errno::NOSYS.0;
