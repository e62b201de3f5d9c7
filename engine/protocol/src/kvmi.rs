//! KVMI on the wire.

pub mod bytes;
mod close;
mod errno;
pub mod event;
pub mod frame;
pub mod handshake;
mod pending;
mod reply;
mod session;
mod snapshot;
mod ticket;
pub mod tool;

pub use close::{Close, Flaw, Malformed, ReplyFlaw};
pub use errno::Errno;
pub use pending::Pending;
pub use reply::{Action, Body, EventReply, PageReply};
pub use session::{Intake, Session};
pub use snapshot::Snapshot;
pub use ticket::{Outgoing, Ticket};
