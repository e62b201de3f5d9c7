//! The reply of a tool to an event. It owns the fields; what they make of the event is the
//! judging's business.

use super::{
    ReplyFlaw,
    bytes::{Reader, Writer},
};
use crate::{Dialect, EventKind};

/// What a tool wants done with an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Go on with it.
    Continue,
    /// Enter the guest at the same instruction again.
    Retry,
    /// Stop the VM.
    Crash,
    /// A number that means nothing: not continue.
    Other(u8),
}

/// A reply to an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventReply {
    /// What to do.
    pub action: Action,
    /// What the kind of event takes besides.
    pub body: Body,
}

/// What a reply says besides the action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// Nothing.
    None,
    /// To a write of a control register or an MSR: the value to write.
    Value(u64),
    /// To a page event, except in v12.
    Page(PageReply),
}

/// What a reply to a page event says besides the action.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PageReply {
    /// Where the bytes for the emulator belong, guest-virtual.
    pub ctx_addr: u64,
    /// How many there are, at most [`PageReply::CONTEXT`]; 0: read what is in memory.
    pub ctx_size: u32,
    /// Execute one instruction without the trap (rfc6 and v6).
    pub singlestep: bool,
    /// No more events of the same repeated instruction.
    pub rep_complete: bool,
    /// The bytes, `ctx_size` of them.
    pub ctx_data: Box<[u8]>,
}

impl PageReply {
    /// The most bytes for the emulator.
    pub const CONTEXT: usize = 256;

    /// Bytes on the wire.
    const SIZE: usize = 16 + Self::CONTEXT;
}

impl Action {
    /// Its number on the wire.
    pub const fn number(self) -> u8 {
        match self {
            Self::Continue => 0,
            Self::Retry => 1,
            Self::Crash => 2,
            Self::Other(number) => number,
        }
    }
}

impl From<u8> for Action {
    fn from(number: u8) -> Self {
        match number {
            0 => Self::Continue,
            1 => Self::Retry,
            2 => Self::Crash,
            3.. => Self::Other(number),
        }
    }
}

/// Which body a reply to this kind has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    None,
    Value,
    Page,
}

impl Shape {
    const fn of(dialect: Dialect, kind: EventKind) -> Self {
        use EventKind as K;
        match (kind, dialect) {
            (K::Cr | K::Msr, _) => Self::Value,
            (K::Page, Dialect::Rfc6 | Dialect::V6 | Dialect::V7) => Self::Page,
            (K::Page, Dialect::V12) => Self::None,
            (K::Xsetbv | K::Breakpoint | K::Hypercall | K::Trap | K::Descriptor, _) => Self::None,
            (K::CreateVcpu | K::Pause | K::Singlestep | K::CommandError | K::Cpuid, _) => {
                Self::None
            }
            (K::Unhook | K::MsrRead | K::Pio | K::Mmio | K::Reset | K::Shutdown, _) => Self::None,
        }
    }

    const fn size(self) -> usize {
        match self {
            Self::None => 0,
            Self::Value => 8,
            Self::Page => PageReply::SIZE,
        }
    }
}

/// Bytes of every reply: the vCPU header and the action.
pub(super) const COMMON: usize = 16;

impl EventReply {
    /// Reads what stands behind the vCPU header of a reply to an event of this kind. What is
    /// missing at its end is zero.
    ///
    /// # Errors
    /// [`ReplyFlaw`], which closes the connection.
    pub(super) fn take(from: &mut Reader<'_>, kind: EventKind) -> Result<Self, ReplyFlaw> {
        let action = from.u8().into();
        let named = from.u8();
        from.padding(6).map_err(|_| ReplyFlaw::Padding)?;
        same_event(from.dialect(), named, kind)?;
        let shape = Shape::of(from.dialect(), kind);
        if from.remaining() > shape.size() {
            return Err(ReplyFlaw::Long {
                had: COMMON + from.remaining(),
                limit: COMMON + shape.size(),
            });
        }
        let body = match shape {
            Shape::None => Body::None,
            Shape::Value => Body::Value(from.u64()),
            Shape::Page => Body::Page(PageReply::take(from)?),
        };
        Ok(Self { action, body })
    }

    /// Writes the same. A body that the kind does not take is left out, one that it lacks is zero.
    pub(super) fn put(&self, to: &mut Writer, kind: EventKind) {
        let number = kind.numbers().of(to.dialect()).unwrap_or_default();
        to.u8(self.action.number());
        to.u8(u8::try_from(number).unwrap_or(u8::MAX));
        to.padding(6);
        match (Shape::of(to.dialect(), kind), &self.body) {
            (Shape::None, _) => {}
            (Shape::Value, Body::Value(value)) => to.u64(*value),
            (Shape::Page, Body::Page(page)) => page.put(to),
            (shape @ (Shape::Value | Shape::Page), _) => to.padding(shape.size()),
        }
    }
}

/// v12 compares the event that a reply names; the others do not look at it.
fn same_event(dialect: Dialect, named: u8, kind: EventKind) -> Result<(), ReplyFlaw> {
    let expected = kind.numbers().of(dialect).unwrap_or_default();
    match dialect {
        Dialect::V12 if expected != u16::from(named) => {
            Err(ReplyFlaw::AnotherEvent { named, expected })
        }
        Dialect::Rfc6 | Dialect::V6 | Dialect::V7 | Dialect::V12 => Ok(()),
    }
}

impl PageReply {
    fn take(from: &mut Reader<'_>) -> Result<Self, ReplyFlaw> {
        let ctx_addr = from.u64();
        let ctx_size = from.u32();
        let singlestep = match from.dialect() {
            Dialect::Rfc6 | Dialect::V6 => from.u8() != 0,
            Dialect::V7 | Dialect::V12 => {
                from.padding(1).map_err(|_| ReplyFlaw::Padding)?;
                false
            }
        };
        let rep_complete = from.u8() != 0;
        from.padding(2).map_err(|_| ReplyFlaw::Padding)?;
        let data = from.array::<{ Self::CONTEXT }>();
        let given = usize::try_from(ctx_size).ok().and_then(|n| data.get(..n));
        let ctx_data = given.ok_or(ReplyFlaw::Context { size: ctx_size })?.into();
        Ok(Self {
            ctx_addr,
            ctx_size,
            singlestep,
            rep_complete,
            ctx_data,
        })
    }

    fn put(&self, to: &mut Writer) {
        to.u64(self.ctx_addr);
        to.u32(self.ctx_size);
        match to.dialect() {
            Dialect::Rfc6 | Dialect::V6 => to.switch(self.singlestep),
            Dialect::V7 | Dialect::V12 => to.padding(1),
        }
        to.switch(self.rep_complete);
        to.padding(2);
        to.field(&self.ctx_data, Self::CONTEXT);
    }
}
