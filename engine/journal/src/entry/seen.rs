//! An event as one judge saw it, in as few bytes as it takes: nearly all events say nothing but
//! what follows from their kind.

use bincode::{
    Decode, Encode,
    de::Decoder,
    enc::Encoder,
    error::{DecodeError, EncodeError},
};
use oriel_protocol::{Case, Decision, Event, EventData, Moment, Value, VerdictSet};

/// When: a [`Moment`], whose nanoseconds are two halves, since the upper one is small.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Stamp {
    vcpu: u32,
    seq: u64,
    high_ns: u32,
    low_ns: u32,
}

impl From<Moment> for Stamp {
    #[inline]
    fn from(at: Moment) -> Self {
        let [a, b, c, d, e, f, g, h] = at.time_ns.to_le_bytes();
        Self {
            vcpu: at.vcpu,
            seq: at.seq,
            high_ns: u32::from_le_bytes([e, f, g, h]),
            low_ns: u32::from_le_bytes([a, b, c, d]),
        }
    }
}

impl From<Stamp> for Moment {
    fn from(at: Stamp) -> Self {
        Self {
            vcpu: at.vcpu,
            seq: at.seq,
            time_ns: u64::from(at.high_ns) << 32 | u64::from(at.low_ns),
        }
    }
}

/// An event as one judge saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// What happened.
    pub event: Event,
    /// The value that the judges before it have left.
    pub proposed: Option<Value>,
    /// What they have decided.
    pub decided: Decision,
    /// Its own name for what was hit.
    pub tag: u64,
}

impl Seen {
    /// What a judge sees.
    #[inline]
    pub fn of(case: &Case<'_>) -> Self {
        Self {
            event: case.event.clone(),
            proposed: case.proposed,
            decided: case.decided,
            tag: case.tag,
        }
    }

    /// What a judge saw.
    pub const fn case(&self, moment: Moment) -> Case<'_> {
        Case {
            event: &self.event,
            moment,
            proposed: self.proposed,
            decided: self.decided,
            tag: self.tag,
        }
    }

    #[inline]
    fn flags(&self) -> u8 {
        let Event {
            data, cpl, retired, ..
        } = &self.event;
        let differs = [
            self.event.allowed != data.kind().verdicts(),
            self.proposed != data.proposed(),
            self.decided != Decision::Continue,
            self.tag != 0,
        ];
        let ours = (cpl & CPL) | if *retired { RETIRED } else { 0 };
        let differs = differs.iter().zip([ALLOWED, PROPOSED, DECIDED, TAG]);
        differs.fold(ours, |flags, (differs, bit)| {
            flags | if *differs { bit } else { 0 }
        })
    }
}

/// Bits of the flags: the privilege level, and what does not follow from the kind.
const CPL: u8 = 3;
const RETIRED: u8 = 1 << 2;
const ALLOWED: u8 = 1 << 3;
const PROPOSED: u8 = 1 << 4;
const DECIDED: u8 = 1 << 5;
const TAG: u8 = 1 << 6;

impl Encode for Seen {
    #[inline]
    fn encode<E: Encoder>(&self, to: &mut E) -> Result<(), EncodeError> {
        let flags = self.flags();
        let Event {
            data,
            ip,
            cr3,
            allowed,
            ..
        } = &self.event;
        // A kernel's addresses are small numbers below zero.
        (flags, ip.cast_signed(), cr3).encode(to)?;
        data.encode(to)?;
        if flags & ALLOWED != 0 {
            allowed.encode(to)?;
        }
        if flags & PROPOSED != 0 {
            self.proposed.encode(to)?;
        }
        if flags & DECIDED != 0 {
            self.decided.encode(to)?;
        }
        if flags & TAG != 0 {
            self.tag.encode(to)?;
        }
        Ok(())
    }
}

/// Reads what is there only where a flag says so.
fn optional<T: Decode<D::Context>, D: Decoder>(
    is_there: bool,
    from: &mut D,
    otherwise: impl FnOnce() -> T,
) -> Result<T, DecodeError> {
    if is_there {
        T::decode(from)
    } else {
        Ok(otherwise())
    }
}

impl<Context> Decode<Context> for Seen {
    fn decode<D: Decoder<Context = Context>>(from: &mut D) -> Result<Self, DecodeError> {
        let (flags, ip, cr3): (u8, i64, u64) = Decode::decode(from)?;
        let data = EventData::decode(from)?;
        let allowed: VerdictSet = optional(flags & ALLOWED != 0, from, || data.kind().verdicts())?;
        let proposed = optional(flags & PROPOSED != 0, from, || data.proposed())?;
        let decided = optional(flags & DECIDED != 0, from, Decision::default)?;
        let tag = optional(flags & TAG != 0, from, u64::default)?;
        Ok(Self {
            event: Event {
                data,
                ip: ip.cast_unsigned(),
                cr3,
                cpl: flags & CPL,
                allowed,
                retired: flags & RETIRED != 0,
            },
            proposed,
            decided,
            tag,
        })
    }
}

bincode::impl_borrow_decode!(Seen);
