//! The kinds of event that a policy can judge, one file each: what its `judge` is called with,
//! what its filters mean, and what its verdicts are.
//!
//! Functions are looked up when an instance is made, by index; an event finds its function in a
//! field.

mod breakpoint;
mod cpuid;
mod cr;
mod descriptor;
mod hypercall;
mod kind;
mod mmio;
mod msr;
mod msr_read;
mod page;
mod pio;
mod reset;
mod shutdown;
mod singlestep;
mod trap;
mod xsetbv;

use oriel_protocol::{Case, EventData, EventKind, EventSet, Filter, Verdict};
use wasmtime::{
    Result,
    component::{Instance, InstancePre},
    error::Context as _,
};

use self::kind::Judge;
pub(crate) use self::{kind::Store, page::touch};
use crate::{
    bindings::{exports::oriel::introspection as wit, oriel::introspection::types::Moment},
    state::State,
};

/// Reads the table of kinds: the field, the row and the interface of each.
macro_rules! judges {
    ($( $field:ident: $row:ident = $interface:ident, )*) => {
        /// Where a component's judges are.
        #[derive(Clone, Default)]
        pub(crate) struct Indices { $( $field: Option<wit::$interface::GuestIndices>, )* }

        /// The judges of an instance.
        #[derive(Default)]
        pub(crate) struct Judges { $( $field: Option<wit::$interface::Guest>, )* }

        impl Indices {
            /// Finds the judges of these kinds.
            pub(crate) fn find(component: &InstancePre<State>, kinds: EventSet) -> Result<Self> {
                let mut found = Self::default();
                $( if kinds.contains(EventKind::$row) {
                    found.$field = Some(wit::$interface::GuestIndices::new(component)?);
                } )*
                Ok(found)
            }

            /// Takes them out of an instance, checking their types.
            pub(crate) fn load(&self, store: &mut Store, instance: &Instance) -> Result<Judges> {
                let mut judges = Judges::default();
                $( if let Some(indices) = &self.$field {
                    let found = indices.load(&mut *store, instance);
                    judges.$field = Some(found.with_context(|| format!("judge-{}", EventKind::$row.name()))?);
                } )*
                Ok(judges)
            }
        }

        impl Judges {
            /// Has an event judged. The verdict is written where it is wanted: to hand it on
            /// through results within results costs as much as the rest of this crate. None:
            /// nobody here judges its kind.
            pub(crate) fn judge(
                &self,
                store: &mut Store,
                case: &Case<'_>,
                verdict: &mut Option<Verdict>,
            ) -> Result<()> {
                match &case.event.data {
                    $( EventData::$row(row) => if let Some(judge) = &self.$field {
                        *verdict = Some(judge.judge(store, row, case)?);
                    } )*
                    EventData::CreateVcpu(_) | EventData::Pause(_) | EventData::Unhook(_) => {}
                    EventData::CommandError(_) => {}
                }
                Ok(())
            }

            /// Asks for the filters of these kinds.
            pub(crate) fn filters(&self, store: &mut Store, kinds: EventSet) -> Result<Vec<Filter>> {
                let mut filters = Vec::new();
                $( if let Some(judge) = &self.$field && kinds.contains(EventKind::$row) {
                    filters.extend(judge.filters(store)?);
                } )*
                Ok(filters)
            }
        }
    };
}

judges! {
    cr: Cr = judge_cr,
    msr: Msr = judge_msr,
    xsetbv: Xsetbv = judge_xsetbv,
    breakpoint: Breakpoint = judge_breakpoint,
    hypercall: Hypercall = judge_hypercall,
    page: Page = judge_page,
    trap: Trap = judge_trap,
    descriptor: Descriptor = judge_descriptor,
    singlestep: Singlestep = judge_singlestep,
    cpuid: Cpuid = judge_cpuid,
    msr_read: MsrRead = judge_msr_read,
    pio: Pio = judge_pio,
    mmio: Mmio = judge_mmio,
    reset: Reset = judge_reset,
    shutdown: Shutdown = judge_shutdown,
}
