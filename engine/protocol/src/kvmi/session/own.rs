//! The commands that the session answers itself: what is known and granted, and whether commands
//! are answered at all.

use super::{Intake, Session};
use crate::{
    Dialect, EventKind, Request,
    commands::vm::{CheckCommand, CheckEvent, ControlCommandResponse},
    kvmi::{Close, Errno, Flaw, Layout, Ticket, bytes::Reader, ticket::Replies},
};

impl Session {
    /// Answers from the grant alone. Replies to events have a number but no row; they are always
    /// let through, which v12 does not count as a command.
    pub(super) fn check_command(&self, from: &mut Reader<'_>) -> Result<(), Flaw> {
        let number = from.clone().u16();
        if number == self.dialect.event_reply() && self.dialect != Dialect::V12 {
            from.skip(size_of::<u16>());
            return from.padding(6);
        }
        let CheckCommand { command } = CheckCommand::take(from)?;
        match self.is_granted(command) {
            true => Ok(()),
            false => Err(Errno::PERM.into()),
        }
    }

    pub(super) fn check_event(&self, from: &mut Reader<'_>) -> Result<(), Flaw> {
        let CheckEvent { event } = CheckEvent::take(from)?;
        match self.grant.events.contains(event) {
            true => Ok(()),
            false => Err(Errno::PERM.into()),
        }
    }

    /// With `now` the new rule holds for this command already, else from the next.
    pub(super) fn switch_replies(
        &mut self,
        ticket: Ticket,
        from: &mut Reader<'_>,
    ) -> Result<Intake, Close> {
        let request = match ControlCommandResponse::take(from) {
            Ok(request) => request,
            Err(flaw) => return answered(ticket, Err(flaw)),
        };
        let next = match (request.enable, request.report_errors) {
            (true, _) => Replies::On,
            (false, false) => Replies::Off,
            (false, true) => Replies::Errors,
        };
        if next == Replies::Errors && !self.grant.events.contains(EventKind::CommandError) {
            return Err(Close::EventDenied {
                command: ControlCommandResponse::ID.name(),
                event: EventKind::CommandError.name(),
            });
        }
        let before = std::mem::replace(&mut self.replies, next);
        let replies = if request.now { next } else { before };
        answered(Ticket { replies, ..ticket }, Ok(()))
    }
}

/// What becomes of a command that the session answers itself.
pub(super) fn answered(ticket: Ticket, result: Result<(), Flaw>) -> Result<Intake, Close> {
    match result {
        Ok(()) => Ok(ticket.done(|_| ()).into()),
        Err(Flaw::Errno(errno)) => Ok(ticket.error(errno).into()),
        Err(Flaw::Close(close)) => Err(close),
    }
}
