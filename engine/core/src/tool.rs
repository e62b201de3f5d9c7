//! KVMI tools as judges: the place where a tool is hooked, and all that goes over its socket.
//!
//! ```text
//!              ┌── receiver, a thread ──┐  VM commands, in order
//!   socket ──► │ session: frames, gate  │ ──► desk without a vCPU ──► reply
//!              └──────────┬─────────────┘
//!                 letters │ vCPU commands, answers to events, pauses
//!                         ▼
//!   socket ◄── vCPU's thread: runs them, sends its own replies and events
//! ```
//!
//! A tool is one more judge: its seat is there from the start, like a policy's, and its holdings
//! are in the ledger. What comes and goes is the link, a connection that is hooked to the seat.
//! Dialling and shaking hands is somebody else's; what is handed over here is a connected socket
//! on which nothing but KVMI messages flow any more.
//!
//! | module | owns | never |
//! |---|---|---|
//! | `port` | hooking a connection, from outside | dials |
//! | `seat` | whether a tool is hooked, and what happens when it comes or goes | reads or writes messages |
//! | `link` | writing to the socket, and what both sides of it need to know | waits for an answer |
//! | `receiver` | reading from it, on a thread of its own | touches a vCPU |
//! | `judge` | asking the tool on a vCPU's thread, and waiting | waits without serving its mailbox |
//! | `question`, `verdict` | what is asked, and what an answer means | do anything |
//! | `rules` | where a tool's command is not quite a policy's | knows bytes |
//! | `planted` | breakpoint bytes that the tool wrote | stops vCPUs |
//! | `release` | undoing what a tool did | decides when |

mod judge;
mod link;
mod planted;
mod port;
mod question;
mod receiver;
mod release;
pub(crate) mod rules;
mod seat;
mod settings;
mod verdict;

pub use port::{HookError, Port, Quiet};
pub use seat::{Place, Seat};
pub use settings::{OnFailure, Settings};

use std::sync::Arc;

use oriel_protocol::EventSet;

use crate::{
    engine::Candidate,
    judge::{Bench, Judge},
};
use judge::ToolJudge;

/// A place for a tool of this name, as a judge of a VM.
pub fn candidate(name: impl Into<Arc<str>>, settings: Settings) -> Candidate {
    let seat = Arc::new(Seat::new(name.into(), settings));
    let mine = seat.clone();
    Candidate {
        name: seat.name.clone(),
        grant: seat.settings.grant.clone(),
        judges: EventSet::all(),
        filters: Vec::new(),
        observations: Vec::new(),
        store: Arc::default(),
        tick: None,
        tool: Some(seat),
        hosted: None,
        make: Box::new(move |place, _| -> Box<dyn Judge> {
            let vcpu = match place {
                Bench::Vcpu(vcpu) => vcpu,
                Bench::Clock => u32::MAX,
            };
            Box::new(ToolJudge::new(mine.clone(), vcpu))
        }),
    }
}
