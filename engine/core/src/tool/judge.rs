//! A tool's judge on one vCPU: sends the event, and waits for the answer.
//!
//! It waits in the vCPU's mailbox and serves that meanwhile, so commands are answered while an
//! event is open. The wait has a bound that counts from the tool's last message; past it the
//! connection ends, and with it all that the tool did.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use oriel_protocol::{
    Case, Event, EventData, EventKind, Moment, Verdict, VerdictSet,
    events::{Breakpoint, CreateVcpu, Page, Pause},
    kvmi::{Action, Body, EventReply},
    page::PAGE_SIZE,
};

use super::{
    link::{Lane, Letter, Link},
    question,
    seat::{CLEARING, Seat},
    settings::OnFailure,
    verdict,
};
use crate::{
    desk::Desk,
    judge::{Judge, Lapse, Ruling},
    mail::Mail,
};

/// A tool's judge on one vCPU.
pub(super) struct ToolJudge {
    seat: Arc<Seat>,
    vcpu: u32,
}

/// What became of a question.
enum Heard {
    Answer(EventReply),
    /// The connection has ended.
    HungUp,
    /// It was ended, because there was no answer in time.
    Overdue(Duration),
}

impl ToolJudge {
    pub(super) const fn new(seat: Arc<Seat>, vcpu: u32) -> Self {
        Self { seat, vcpu }
    }

    /// Puts an event to the tool.
    fn ask(&self, link: &Arc<Link>, data: EventData, desk: &mut Desk) -> Heard {
        let settings = &self.seat.settings;
        let pause = data.kind() == EventKind::Pause;
        let limit = if pause {
            settings.pause_limit
        } else {
            settings.deadline
        };
        let snapshot = desk.snapshot().unwrap_or_default();
        let letter = Letter {
            vcpu: self.vcpu,
            snapshot: &snapshot,
            data,
        };
        let heard = match link.send_event(&letter) {
            Some(seq) => {
                desk.set_answering(true);
                let heard = self.wait(link, seq, limit, desk);
                desk.set_answering(false);
                heard
            }
            None => Heard::HungUp,
        };
        if !matches!(heard, Heard::Answer(_)) {
            link.pending.withdraw(self.vcpu);
            desk.forget_writes();
            self.wait_until_undone(link, desk);
        }
        heard
    }

    fn wait(&self, link: &Arc<Link>, seq: u32, limit: Duration, desk: &mut Desk) -> Heard {
        let (asked, caller) = (Instant::now(), desk.caller());
        loop {
            let (by, up) = (asked.max(link.heard_at()) + limit, link.is_up());
            // What it said before it went is in the mailbox, and counts.
            let mail = if up {
                desk.mailbox().wait(Some(by))
            } else {
                desk.mailbox().take()
            };
            match mail {
                Some(Mail::Verdict {
                    caller: who,
                    seq: which,
                    reply,
                }) if (who, which) == (caller, seq) => return Heard::Answer(reply),
                Some(mail) => desk.serve(mail),
                None if !up => return Heard::HungUp,
                None if Instant::now() >= asked.max(link.heard_at()) + limit => {
                    link.hang_up(format!("it did not answer an event within {limit:?}"));
                    return Heard::Overdue(limit);
                }
                None => {}
            }
        }
    }

    /// What the tool did has to be undone before the guest goes on.
    fn wait_until_undone(&self, link: &Arc<Link>, desk: &mut Desk) {
        let by = Instant::now() + CLEARING;
        while self.seat.holds(link) {
            match desk.mailbox().wait(Some(by)) {
                Some(mail) => desk.serve(mail),
                None => return,
            }
        }
    }

    /// What answers for a tool that has gone: nothing changes, but that a breakpoint of its own
    /// is not there any more.
    fn without_it(&self, link: &Link, event: &Event) -> Verdict {
        let EventData::Breakpoint(Breakpoint { gpa, .. }) = event.data else {
            return Verdict::Continue;
        };
        let gone = link.planted().was_taken_back(gpa);
        if gone && event.allowed.contains(VerdictSet::RETRY) {
            Verdict::Retry
        } else {
            Verdict::Continue
        }
    }

    /// What answers for a tool that did not answer in time.
    fn overdue(&self, limit: Duration, otherwise: Verdict) -> Ruling {
        let verdict = match self.seat.settings.on_failure {
            OnFailure::Continue => otherwise,
            OnFailure::Crash => Verdict::Crash,
        };
        Ruling::lapsed(
            verdict,
            Lapse {
                reason: format!("it did not answer within {limit:?}, and was hung up on"),
                quarantined: false,
            },
        )
    }

    fn rule(&self, link: &Link, heard: Heard, event: &Event, answer: Verdict) -> Ruling {
        match heard {
            Heard::Answer(_) => answer.into(),
            Heard::HungUp => self.without_it(link, event).into(),
            Heard::Overdue(limit) => self.overdue(limit, self.without_it(link, event)),
        }
    }

    /// Asks about something that takes no answer but `crash`.
    fn tell(&self, data: EventData, desk: &mut Desk) -> Ruling {
        let Some(link) = self.seat.link() else {
            return Ruling::CONTINUE;
        };
        match self.ask(&link, data, desk) {
            Heard::Answer(reply) if reply.action == Action::Crash => Verdict::Crash.into(),
            Heard::Answer(_) | Heard::HungUp => Ruling::CONTINUE,
            Heard::Overdue(limit) => self.overdue(limit, Verdict::Continue),
        }
    }

    /// Whether a `trap` is to be told, which ends the waiting for it. The v6 kernels tell of one
    /// that took the place of the tool's own; later ones of whichever came.
    fn is_told(&self, link: &Link, data: &EventData, desk: &Desk) -> bool {
        let EventData::Trap(trap) = data else {
            return true;
        };
        let injected = link.lane(self.vcpu).and_then(|lane| lane.take_injected());
        if !self.seat.settings.tells_every_trap() {
            return injected != Some(trap.vector);
        }
        // It is told, and not awaited any more.
        let _ = desk.await_trap(false);
        true
    }

    /// One instruction is stepped, or has been.
    fn step(&self, link: &Link, reply: &EventReply, desk: &Desk) {
        let wants = matches!(&reply.body, Body::Page(page) if page.singlestep);
        let Some(lane) = link.lane(self.vcpu).filter(|_| wants) else {
            return;
        };
        if desk.step_once(true) {
            lane.begin_step();
        }
    }

    fn stepped(&self, link: &Link, kind: EventKind, desk: &Desk) {
        let ended = |lane: &Lane| lane.end_step();
        if kind == EventKind::Singlestep && link.lane(self.vcpu).is_some_and(ended) {
            desk.step_once(false);
        }
    }
}

impl Judge for ToolJudge {
    fn judge(&mut self, case: &Case<'_>, mut desk: Box<Desk>) -> (Ruling, Box<Desk>) {
        let Some(link) = self.seat.link() else {
            return (Ruling::CONTINUE, desk);
        };
        self.stepped(&link, case.event.kind(), &desk);
        let asked = question::put(case, self.seat.settings.dialect);
        let asked = asked.filter(|data| self.is_told(&link, data, &desk));
        let Some(asked) = asked else {
            return (Ruling::CONTINUE, desk);
        };
        let heard = self.ask(&link, asked, &mut desk);
        let mut answer = Verdict::Continue;
        if let Heard::Answer(reply) = &heard {
            answer = verdict::verdict(case, &asked, reply, |page| loaded(page, &desk));
            self.step(&link, reply, &desk);
        }
        (self.rule(&link, heard, case.event, answer), desk)
    }

    fn attend(&mut self, mut desk: Box<Desk>) -> (Ruling, Box<Desk>) {
        let wanted = self.seat.link().is_some_and(|link| {
            let lane = link.lane(self.vcpu);
            lane.is_some_and(|lane| lane.take_pause())
        });
        let ruling = if wanted {
            self.tell(Pause {}.into(), &mut desk)
        } else {
            Ruling::CONTINUE
        };
        (ruling, desk)
    }

    fn is_patient(&self) -> bool {
        true
    }

    /// `pause` is told by [`attend`](Self::attend) alone, and `unhook` by the seat.
    fn notice(&mut self, kind: EventKind, _: Moment, mut desk: Box<Desk>) -> (Ruling, Box<Desk>) {
        let exists = kind.numbers().of(self.seat.settings.dialect).is_some();
        let ruling = if kind == EventKind::CreateVcpu && exists {
            self.tell(CreateVcpu {}.into(), &mut desk)
        } else {
            Ruling::CONTINUE
        };
        (ruling, desk)
    }
}

/// The bytes that a load gets.
fn loaded(page: &Page, desk: &Desk) -> Option<Vec<u8>> {
    // Of unknown size: as much as an instruction may load, within the page.
    let size = match page.size {
        0 => 8,
        size => u64::from(size),
    };
    let left = PAGE_SIZE - page.gpa % PAGE_SIZE;
    let mut bytes = vec![0; usize::try_from(size.min(left)).ok()?];
    let memory = desk.shared().machine.memory();
    memory.read_at(page.gpa, &mut bytes).ok()?;
    Some(bytes)
}
