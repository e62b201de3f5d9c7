//! The reply of a tool to an event. It owns the fields; what they make of the event is the
//! judging's business.

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
}
