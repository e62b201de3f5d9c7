//! KVMI on the wire: the tables as bytes, and the VM's side of a connection to a tool.
//!
//! Everything here is bytes in, values out. Sockets, threads, deadlines and what a command does
//! are the engine's; who a tool is and how it is reached is the daemon's.
//!
//! ```text
//!            tool                                        VM
//!     ┌───────────────┐    handshake::Hello      ┌──────────────────┐
//!     │               │ ◄──────────────────────  │                  │
//!     │               │    handshake::Answer     │                  │
//!     │               │  ──────────────────────► │                  │
//!     │ tool::command │    frame: id size seq    │ Session::receive │──► VmCall, VcpuCall
//!     │               │  ──────────────────────► │        │ Ticket  │    + Ticket
//!     │ tool::incoming│    error code, data      │        ▼         │
//!     │               │ ◄──────────────────────  │ Outgoing         │◄── reply or Refusal
//!     │               │    state, own fields     │                  │
//!     │               │ ◄──────────────────────  │ event::encode    │◄── EventData, Snapshot
//!     │ tool::answer  │    action, body          │ Session::receive │
//!     │               │  ──────────────────────► │   (Pending)      │──► EventReply
//!     └───────────────┘                          └──────────────────┘
//! ```
//!
//! | module | owns |
//! |---|---|
//! | [`bytes`] | little-endian fields, one after another |
//! | [`frame`] | the header around every message, and the limits |
//! | [`handshake`] | what is said before the first message |
//! | [`Layout`] | the bytes of each command and its answer, per dialect |
//! | [`event`] | the bytes of each event, per dialect |
//! | [`EventReply`] | the bytes of a tool's reply to an event |
//! | [`Snapshot`] | a vCPU's registers, as events and GET_REGISTERS carry them |
//! | `checks` | what is wrong with a request whose bytes are in order |
//! | [`Session`] | what is answered, what is passed on, what closes |
//! | [`Ticket`] | how one command is answered, once |
//! | [`Pending`] | which events wait for a reply |
//! | [`tool`] | the other side: commands out, events and replies in |
//! | [`suspicion`] | which dialect a tool seems to speak, in words |
//!
//! A row gets its bytes by an `impl Layout` (an event by an `impl event::Specific`) in the file of
//! its topic; a row with a number in any dialect does not compile without. Golden bytes for every
//! row and dialect are in `tests/data/kvmi/`.
//!
//! Where a dialect's rules differ, the match over [`Dialect`](crate::Dialect) names all four.

pub mod bytes;
mod checks;
mod close;
mod errno;
pub mod event;
pub mod frame;
pub mod handshake;
mod layout;
mod pending;
mod reply;
mod session;
mod snapshot;
pub mod suspicion;
mod ticket;
pub mod tool;

pub use close::{Close, Flaw, Malformed, ReplyFlaw};
pub use errno::Errno;
pub use layout::Layout;
pub use pending::Pending;
pub use reply::{Action, Body, EventReply, PageReply};
pub use session::{Intake, Session};
pub use snapshot::Snapshot;
pub use ticket::{Outgoing, Ticket};
