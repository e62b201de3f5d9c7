//! From what a machine tells to what a policy judges, and from what it answers to what a machine
//! carries out. One row a kind; decides nothing.

mod words;

use oriel_protocol::{Event, EventData, Value, Verdict};

use crate::verdict::{self, Fact, Instruction};
use crate::{
    CpuidLeaf, breakpoint, cpuid, cr, descriptor, hypercall, mmio, msr, msr_read, page, pio, reset,
    shutdown, singlestep, trap, xsetbv,
};

/// An event as a machine tells it, and the policy's own name for what was hit.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    /// What happened.
    pub event: &'a Event,
    /// The tag; 0 where there is none.
    pub tag: u64,
}

/// An event that a machine can tell.
pub trait Native: Sized {
    /// The event, if it is of this kind.
    fn of(case: &Case<'_>) -> Option<Self>;
}

/// A verdict that a machine can carry out.
pub trait Spoken: Sized {
    /// The verdict in the machine's words.
    fn spoken(self) -> Verdict;
}

/// A kind's row: the machine's event and what the policy is told of it.
macro_rules! kind {
    ($kind:ty, $row:ident($it:ident, $case:ident) => $event:expr) => {
        impl Native for $kind {
            fn of($case: &Case<'_>) -> Option<Self> {
                let EventData::$row($it) = $case.event.data else {
                    return None;
                };
                Some($event)
            }
        }
    };
}

kind!(cr::Write, Cr(it, _case) => Self::new(it.cr, it.old, it.new));
kind!(msr::Write, Msr(it, _case) => Self::new(it.msr, it.old, it.new));
kind!(xsetbv::Write, Xsetbv(it, _case) => Self::new(it.xcr, it.old, it.new));
kind!(msr_read::Read, MsrRead(it, _case) => Self::new(it.msr, it.value));
kind!(hypercall::Call, Hypercall(it, _case) => Self { number: it.number, a: it.a, b: it.b, c: it.c });
kind!(breakpoint::Hit, Breakpoint(it, case) => Self {
    gva: it.gva,
    gpa: it.gpa,
    length: it.length,
    managed: it.managed,
    tag: case.tag,
});
kind!(page::Touch, Page(it, case) => Self {
    gva: it.gva,
    gpa: it.gpa,
    access: it.access.into(),
    size: it.size,
    value: it.value,
    proposed: it.value.unwrap_or(0),
    tag: case.tag,
});
kind!(trap::Delivery, Trap(it, _case) => Self {
    vector: it.vector,
    error_code: it.error_code,
    address: it.address,
});
kind!(descriptor::Use, Descriptor(it, _case) => Self { table: it.table.into(), write: it.write });
kind!(singlestep::Step, Singlestep(it, _case) => Self { failed: it.failed });
kind!(cpuid::Query, Cpuid(it, _case) => Self {
    function: it.function,
    index: it.index,
    proposed: it.leaf.into(),
});
kind!(pio::Transfer, Pio(it, _case) => Self {
    port: it.port,
    write: it.write,
    size: it.size,
    count: it.count,
    value: it.value,
    proposed: it.value,
});
kind!(mmio::Transfer, Mmio(it, _case) => Self {
    gpa: it.gpa,
    write: it.write,
    size: it.size,
    value: it.value,
    proposed: it.value,
});
kind!(reset::Reset, Reset(_it, _case) => Self);
kind!(shutdown::Shutdown, Shutdown(it, _case) => Self { cause: it.cause.into() });

/// What a `replace` carries.
trait Carried {
    fn carried(self) -> Value;
}

impl Carried for u64 {
    fn carried(self) -> Value {
        Value::Word(self)
    }
}

impl Carried for CpuidLeaf {
    fn carried(self) -> Value {
        Value::Leaf(self.into())
    }
}

impl<V: Carried> Spoken for verdict::Value<V> {
    fn spoken(self) -> Verdict {
        match self {
            Self::Continue => Verdict::Continue,
            Self::Retry => Verdict::Retry,
            Self::Crash => Verdict::Crash,
            Self::Replace(value) => Verdict::Replace(value.carried()),
            Self::Deny => Verdict::Deny,
            Self::Skip => Verdict::Skip,
            Self::Inject(exception) => Verdict::Inject(exception.into()),
        }
    }
}

impl Spoken for Instruction {
    fn spoken(self) -> Verdict {
        match self {
            Self::Continue => Verdict::Continue,
            Self::Retry => Verdict::Retry,
            Self::Crash => Verdict::Crash,
            Self::Deny => Verdict::Deny,
            Self::Skip => Verdict::Skip,
            Self::Inject(exception) => Verdict::Inject(exception.into()),
        }
    }
}

impl Spoken for Fact {
    fn spoken(self) -> Verdict {
        match self {
            Self::Continue => Verdict::Continue,
            Self::Crash => Verdict::Crash,
        }
    }
}

impl Spoken for singlestep::Verdict {
    fn spoken(self) -> Verdict {
        match self {
            Self::Continue => Verdict::Continue,
            Self::Crash => Verdict::Crash,
            Self::Inject(exception) => Verdict::Inject(exception.into()),
        }
    }
}

impl Spoken for page::Verdict {
    fn spoken(self) -> Verdict {
        match self {
            Self::Continue => Verdict::Continue,
            Self::Retry => Verdict::Retry,
            Self::Crash => Verdict::Crash,
            Self::Replace(value) => Verdict::Replace(value.carried()),
            Self::Deny => Verdict::Deny,
            Self::Skip => Verdict::Skip,
            Self::Inject(exception) => Verdict::Inject(exception.into()),
            Self::Emulate(bytes) => Verdict::Emulate(bytes.into()),
            Self::Step => Verdict::Step,
        }
    }
}
