//! The middle: filters, the gate, judging, and the thread of each vCPU.
//!
//! ```text
//!  machine ──► panel: who listens, whose filter accepts? ──► judges, in order
//!     ▲                                                        │ commands
//!     └── round: the strictest verdict stands ◄── desk: the gate, state, memory
//! ```
//!
//! A value goes through once: an [`Event`](oriel_protocol::Event) comes from
//! [`Vcpu::enter`](oriel_machine::Vcpu::enter), is judged on that same thread, and its verdict is
//! the argument of the next `enter`. Start at [`engine`], then `thread`, [`panel`], [`desk`].
//!
//! | module | owns | never |
//! |---|---|---|
//! | [`engine`] | a VM from start to end | judges |
//! | [`handle`] | reaching a running VM from other threads | touches a vCPU |
//! | [`panel`] | who hears what on one vCPU | shares anything with another vCPU |
//! | [`round`] | how verdicts add up | asks anybody |
//! | [`clock`] | calling a judge every so often | touches a vCPU |
//! | [`desk`] | one vCPU's state while it is out of the guest; the gate | waits without serving its mailbox |
//! | `kernel` | the index of the guest's kernel, made once a boot for all who ask | knows what it means |
//! | [`ledger`] | who has armed what | delivers events |
//! | [`judge`] | what a judge is | knows Wasm |
//! | [`roster`] | the revisions of policies, and moving from one to the next | judges, touches a vCPU |
//! | [`policies`] | policies as judges | merges verdicts |
//! | [`tool`] | KVMI tools as judges: a session over a socket | dials |
//! | [`audit`] | the trail of every command, chained so that a change shows | decides what is granted |
//! | [`journal`] | what policies were asked, told and answered, to be replayed | judges, holds up a vCPU unasked |
//! | [`record`], [`lines`] | what is told about all this | holds up a vCPU |

pub mod audit;
pub mod clock;
pub mod desk;
pub mod effect;
pub mod engine;
pub mod handle;
pub mod holdings;
pub mod journal;
pub mod judge;
pub mod ledger;
pub mod lines;
pub mod mailbox;
pub mod metrics;
pub mod owners;
pub mod panel;
pub mod policies;
pub mod record;
pub mod roster;
pub mod round;
pub mod shared;
pub mod station;
pub mod tool;

mod absent;
mod failure;
mod kernel;
mod mail;
mod mailboxes;
mod policy_judge;
mod resolve;
mod sync;
mod thread;
mod time;
mod turn;
mod unjudged;

pub use audit::Audit;
pub use clock::Clock;
pub use desk::Desk;
pub use engine::{Assembly, Candidate, Engine, Outcome, Running, StartError};
pub use handle::VmHandle;
pub use journal::Journal;
pub use judge::{Judge, Native, Ruling};
pub use policy_judge::{FailureReport, Standing};
pub use record::{Record, Sink};
pub use roster::Roster;
pub use shared::Settings;
pub use station::Station;

/// An event with nothing special about it.
#[cfg(test)]
fn test_event(data: impl Into<oriel_protocol::EventData>) -> oriel_protocol::Event {
    let data = data.into();
    oriel_protocol::Event {
        data,
        ip: 0x1000,
        cr3: 0x2000,
        cpl: 0,
        allowed: data.kind().verdicts(),
        retired: false,
    }
}
