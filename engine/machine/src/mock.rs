//! A machine that plays a script: every kind of event on any host, the same each time.
//!
//! It has memory, 4-level page tables and vCPUs in a consistent long mode, and verdicts and
//! commands really change them. A vCPU does what its [steps](Step) say, one after the other, on the
//! thread that enters it. A step is an event only if it is [wanted](crate::Wants); otherwise it
//! simply happens.
//!
//! | verdict | what becomes of the instruction |
//! |---|---|
//! | continue, step | it takes effect; RIP goes behind it |
//! | replace | it takes effect with the other value |
//! | emulate | a load gets these bytes |
//! | skip | no effect; RIP goes behind it |
//! | deny | no effect; #GP(0) is delivered at it, and the guest's handler goes on behind it |
//! | inject | the same with this exception, which is a `trap` event where wanted |
//! | retry | it is played again, and is an event again if that is still wanted |
//! | crash | the VM ends with [`End::Stopped`](crate::End) |
//!
//! What a breakpoint means: a *managed* one is not in memory but on a list, so that reads never see
//! it and writes go to the byte under it; `continue` runs the instruction that stands there. An
//! INT3 that is in memory, the guest's own or a tool's, is unmanaged: `continue` delivers #BP. A
//! hardware point is met before the instruction at its address, or behind an access by a linear
//! address, which stands then.
//!
//! What it leaves out: there is no code, only steps, so an instruction needs no bytes at its
//! address; privilege is not checked except in page tables; nothing takes time.
//!
//! | module | holds |
//! |---|---|
//! | [`Scenario`], [`Step`] | the script, as TOML or in Rust (`docs/scenarios.md`) |
//! | `instruction`, `effect` | what each kind of step does |
//! | `vcpu` | playing and obeying, on the vCPU's thread |
//! | `world`, `bell` | what vCPUs share: kicks, holds, barriers, the end |
//! | [`Alone`] | the same machine on one thread, for tests of policies |
//! | [`Check`] | what came of a step against what should |

mod alone;
mod armed;
mod bell;
mod builtin;
mod comparison;
mod cpu;
mod effect;
mod guest;
pub mod instruction;
mod machine;
mod probe;
mod scenario;
mod script;
mod step;
mod tables;
mod vcpu;
mod world;

pub use alone::{Alone, Idled};
pub use builtin::{BUILTINS, builtin, msr_storm};
pub use comparison::Check;
pub use instruction::Instruction;
pub use probe::{Fault, Outcome, Probe};
pub use scenario::{Map, Scenario, ScenarioError};
pub use step::{Action, Expect, Report, Stand, Step};

#[cfg(test)]
mod tests;
