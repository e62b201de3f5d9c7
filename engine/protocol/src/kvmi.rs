//! KVMI on the wire.

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
