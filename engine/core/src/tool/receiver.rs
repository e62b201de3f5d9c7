//! The thread that reads what a tool sends: runs its commands for the VM in order, and hands
//! those for a vCPU to that vCPU's thread.

use std::{
    fs::File,
    io::{BufReader, ErrorKind, Read},
    sync::Arc,
};

use oriel_protocol::{
    CommandId, Moment, Refusal, VcpuCall, VmCall,
    commands::{VcpuReply, VmReply, vm::PauseVcpu},
    kvmi::{
        Intake, Outgoing, Session, Snapshot, Ticket,
        frame::{HEADER, Header},
    },
};

use super::{
    link::{Letter, Link},
    release, rules,
    seat::{Place, Seat},
};
use crate::{
    absent::Absent,
    audit::Opened,
    desk::Desk,
    mail::Mail,
    record::{Record, Refused},
    resolve::{self, Resolved},
    shared::Shared,
    thread::EndsOnPanic,
};

/// How much is read at once: several commands of a batch.
const BUFFER: usize = 64 << 10;

/// What becomes of a command for a vCPU.
type Answer = Result<VcpuReply, Refusal>;

/// Reads what a tool sends.
pub(super) struct Receiver {
    pub(super) seat: Arc<Seat>,
    pub(super) link: Arc<Link>,
    pub(super) caller: usize,
    pub(super) desk: Box<Desk>,
    session: Session,
    /// The end of the connection was the tool's doing.
    is_its_doing: bool,
    input: BufReader<File>,
}

impl Receiver {
    pub(super) fn new(
        seat: &Arc<Seat>,
        link: &Arc<Link>,
        shared: &Arc<Shared>,
        place: Place,
    ) -> std::io::Result<Self> {
        let Place { caller, mailbox } = place;
        let settings = &seat.settings;
        Ok(Self {
            seat: seat.clone(),
            link: link.clone(),
            caller,
            desk: Desk::new(Box::new(Absent { index: mailbox }), shared.clone()),
            session: Session::new(
                settings.dialect,
                settings.grant.clone(),
                shared.vcpus,
                link.pending.clone(),
            ),
            is_its_doing: false,
            input: BufReader::with_capacity(BUFFER, link.reader()?.into()),
        })
    }

    /// Reads until the connection ends, then undoes what the tool did; answers why it ended.
    pub(super) fn run(mut self) -> String {
        let _guard = EndsOnPanic(self.shared().clone());
        let mut payload = Vec::new();
        while self.link.is_up() {
            if let Err(reason) = self.message(&mut payload) {
                self.is_its_doing = self.link.is_up();
                self.link.hang_up(reason);
            }
        }
        let reason = self.reason();
        release::release(&mut self, &reason);
        reason
    }

    /// Why the connection ended, and what may be behind it.
    fn reason(&self) -> String {
        let reason = self.link.reason().unwrap_or_default();
        let suspicion = self.session.suspicion();
        match suspicion.filter(|_| self.is_its_doing) {
            Some(suspicion) => format!("{reason}; {suspicion}"),
            None => reason.to_owned(),
        }
    }

    /// Reads one message and acts on it.
    fn message(&mut self, payload: &mut Vec<u8>) -> Result<(), String> {
        let header = self.read(payload)?;
        self.link.hear();
        let intake = self.session.receive(header, payload);
        self.act(intake.map_err(|close| close.to_string())?);
        Ok(())
    }

    fn read(&mut self, payload: &mut Vec<u8>) -> Result<Header, String> {
        let mut header = [0; HEADER];
        self.input.read_exact(&mut header).map_err(ended)?;
        let header = Header::read(header);
        let size = usize::from(header.size);
        payload.clear();
        // One that is too long is not waited for: the session refuses it by its header.
        if size <= self.seat.settings.dialect.max_received() {
            payload.resize(size, 0);
            self.input.read_exact(payload).map_err(ended)?;
        }
        Ok(header)
    }

    fn act(&mut self, intake: Intake) {
        match intake {
            Intake::Vm(ticket, VmCall::PauseVcpu(request)) => self.pause(ticket, request),
            Intake::Vm(ticket, call) => {
                let answer = self.vm(call);
                self.link.deliver(ticket.vm(answer));
            }
            Intake::Vcpu(ticket, vcpu, call) => self.vcpu(ticket, vcpu, call),
            Intake::Verdict {
                vcpu, seq, reply, ..
            } => {
                let caller = self.caller;
                // A vCPU that has ended meanwhile waits for nothing.
                let _ = self
                    .shared()
                    .post_to_vcpu(vcpu, Mail::Verdict { caller, seq, reply });
            }
            Intake::Refused { command, answer } => {
                self.refused(command);
                self.answer(answer);
            }
            Intake::Answered(answer) => self.answer(answer),
            Intake::Reported(error) => self.link.deliver(Outgoing::CommandError(error)),
        }
    }

    /// Of what the tool does outside of any vCPU.
    pub(super) fn moment(&self) -> Moment {
        self.shared().outside()
    }

    /// The session has let the command through; its arguments come to the gate here.
    fn vm(&mut self, call: VmCall) -> Result<VmReply, Refusal> {
        self.desk.open(self.caller, self.moment());
        let opened = self.desk.announce(None, &call)?;
        let arguments = self.desk.admit_vm_arguments(&call);
        let answer = arguments.and_then(|()| rules::run_for_vm(self, call));
        self.desk.account(opened, &answer);
        answer
    }

    /// The session has said no.
    fn refused(&mut self, command: CommandId) {
        let moment = self.moment();
        self.desk.open(self.caller, moment);
        self.desk.account_for_refused(command);
        let refused = Refused {
            judge: self.seat.name.clone(),
            moment,
            command,
            refusal: Refusal::Denied,
            with: None,
        };
        self.shared().tell(|| Record::Refusal(refused));
    }

    fn answer(&self, message: Option<Vec<u8>>) {
        if let Some(message) = message {
            self.link.send(&message);
        }
    }

    /// A command for a vCPU: its arguments come to the gate here.
    fn vcpu(&mut self, ticket: Ticket, vcpu: u32, call: VcpuCall) {
        self.desk.open(self.caller, self.moment());
        let opened = match self.desk.announce(Some(vcpu), &call) {
            Ok(opened) => opened,
            Err(refusal) => return self.link.deliver(ticket.vcpu(Err(refusal))),
        };
        match self.arguments(vcpu, call) {
            Resolved::Instead(call) => self.post(ticket, vcpu, call, opened),
            Resolved::Answered(answer) => {
                self.desk.account(opened, &answer);
                self.link.deliver(ticket.vcpu(answer));
            }
        }
    }

    fn arguments(&mut self, vcpu: u32, call: VcpuCall) -> Resolved {
        let (shared, caller) = (self.shared().clone(), self.caller);
        // Not by the mailbox of this desk: a letter there is the end of the VM.
        let control = || shared.control_of(caller, vcpu, shared.settings.other_vcpu);
        match self.desk.admit_vcpu_arguments(&call, control) {
            Ok(None) => Resolved::Instead(call),
            Ok(Some(pieces)) => resolve::resolve(shared.machine.memory(), call, &pieces),
            Err(refusal) => Resolved::Answered(Err(refusal)),
        }
    }

    /// It is run, and answered, on that vCPU's thread.
    fn post(&self, ticket: Ticket, vcpu: u32, call: VcpuCall, opened: Option<Opened>) {
        let link = self.link.clone();
        let Some(lane) = link.lane(vcpu) else {
            return link.deliver(ticket.vcpu(Err(Refusal::Invalid)));
        };
        lane.enter();
        let home = link.clone();
        let reply = Box::new(move |answer: Answer| {
            if let Some(lane) = home.lane(vcpu) {
                lane.leave();
            }
            if let Some(opened) = opened {
                // No command that a tool has for a vCPU is a read that is counted.
                opened.answered(answer.as_ref().map(drop).map_err(|&no| no), &mut None);
            }
            home.deliver(ticket.vcpu(answer));
        });
        let caller = self.caller;
        // If the vCPU has ended, the letter has been answered with that.
        let _ = self.shared().post_to_vcpu(
            vcpu,
            Mail::Call {
                caller,
                call,
                reply,
            },
        );
    }

    /// A pause is an event of its own, which the vCPU sends as soon as it is out of the guest.
    fn pause(&mut self, ticket: Ticket, request: PauseVcpu) {
        self.desk.open(self.caller, self.moment());
        let announced = self
            .desk
            .announce(None, &VmCall::PauseVcpu(request.clone()));
        let opened = match announced {
            Ok(opened) => opened,
            Err(refusal) => return self.link.deliver(ticket.vm(Err(refusal))),
        };
        let lane = self.link.lane(request.vcpu);
        let answer = if lane.is_some_and(|lane| lane.add_pause()) {
            self.attend(ticket, &request)
        } else {
            self.link.deliver(ticket.vm(Err(Refusal::Busy)));
            Err(Refusal::Busy)
        };
        self.desk.account(opened, &answer);
    }

    /// Asks the vCPU to come out; whether it will.
    fn attend(&self, ticket: Ticket, request: &PauseVcpu) -> Result<(), Refusal> {
        let PauseVcpu { vcpu, wait } = *request;
        let link = self.link.clone();
        let answer = |answer: Result<(), Refusal>| answer.map(VmReply::PauseVcpu);
        let caller = self.caller;
        let (reply, rest): (Box<dyn FnOnce(_) + Send>, _) = if wait {
            let home = link.clone();
            let told = move |out| home.deliver(ticket.vm(answer(out)));
            (Box::new(told), None)
        } else {
            (Box::new(|_| ()), Some(ticket))
        };
        let posted = self
            .shared()
            .post_to_vcpu(vcpu, Mail::Attend { caller, reply });
        if let Some(ticket) = rest {
            link.deliver(ticket.vm(answer(posted)));
        }
        posted
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        self.desk.shared()
    }
}

fn ended(error: std::io::Error) -> String {
    let closed = [ErrorKind::UnexpectedEof, ErrorKind::ConnectionReset];
    if closed.contains(&error.kind()) {
        "it has closed the connection".to_owned()
    } else {
        format!("reading from it failed: {error}")
    }
}

impl Link {
    /// Sends what answers a command.
    pub(super) fn deliver(&self, answer: Outgoing) {
        match answer {
            Outgoing::Message(message) => self.send(&message),
            Outgoing::CommandError(error) => {
                let letter = Letter {
                    vcpu: 0,
                    snapshot: &Snapshot::default(),
                    data: error.into(),
                };
                // Where the connection is down, nobody waits for it.
                let _ = self.send_event(&letter);
            }
            Outgoing::Nothing => {}
        }
    }
}
