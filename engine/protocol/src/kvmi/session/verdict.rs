//! A reply to an event on its way in. It owns what a reply must be to be taken; what it makes of
//! the event is the judging's business.

use super::{Intake, Session};
use crate::{
    EventKind,
    kvmi::{Close, EventReply, ReplyFlaw, bytes::Reader, frame::Header, reply},
};

impl Session {
    /// Whatever is wrong with a reply to an event ends the connection, and the grant is not asked:
    /// somebody waits for it.
    pub(super) fn event_reply(&self, header: Header, payload: &[u8]) -> Result<Intake, Close> {
        let vcpu = Reader::new(self.dialect, payload).u16();
        let seq = header.seq;
        match self.verdict(seq, payload) {
            Ok((kind, reply)) => Ok(Intake::Verdict {
                vcpu: vcpu.into(),
                seq,
                kind,
                reply,
            }),
            Err(flaw) => Err(Close::EventReply { seq, vcpu, flaw }),
        }
    }

    fn verdict(&self, seq: u32, payload: &[u8]) -> Result<(EventKind, EventReply), ReplyFlaw> {
        let had = payload.len();
        if had < reply::COMMON {
            return Err(ReplyFlaw::Short { had });
        }
        let mut from = Reader::new(self.dialect, payload);
        let vcpu = from.u16().into();
        from.padding(6).map_err(|_| ReplyFlaw::Padding)?;
        let kind = self
            .pending
            .take(vcpu, seq)
            .ok_or(ReplyFlaw::NothingPending)?;
        let reply = EventReply::take(&mut from, kind)?;
        Ok((kind, reply))
    }
}
