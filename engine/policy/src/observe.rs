//! Seeing events without judging them: what a policy wants to see, and what it is shown.

use oriel_protocol::{
    Case, EventData, EventKind, EventSet, Observation, Rings, Scope, Value,
    events::{EventClass, Page},
};

use crate::{
    bindings::{
        exports::oriel::introspection::observe::Filter, oriel::introspection::types as wit,
    },
    judges::touch,
};

/// What a policy wants to see, of what it was granted; nothing named: all of that.
pub(crate) fn observations(filters: &[Filter], granted: EventSet) -> Vec<Observation> {
    if filters.is_empty() {
        return granted.iter().filter(is_shown).map(whole).collect();
    }
    let wanted = filters.iter().map(Observation::from);
    wanted
        .filter(|wanted| granted.contains(wanted.kind))
        .collect()
}

fn is_shown(kind: &EventKind) -> bool {
    kind.class() == EventClass::Vcpu
}

const fn whole(kind: EventKind) -> Observation {
    Observation {
        kind,
        one_in: 1,
        per_second: 0,
        scope: Scope {
            cr3: None,
            rings: Rings::NONE,
        },
    }
}

impl From<&Filter> for Observation {
    fn from(filter: &Filter) -> Self {
        Self {
            kind: filter.kind.into(),
            one_in: filter.one_in,
            per_second: filter.per_second,
            scope: filter.scope.into(),
        }
    }
}

/// The kind's name in WIT; none for what policies never see.
pub(crate) fn kind(kind: EventKind) -> Option<wit::EventKind> {
    use wit::EventKind as K;
    Some(match kind {
        EventKind::Cr => K::Cr,
        EventKind::Msr => K::Msr,
        EventKind::Xsetbv => K::Xsetbv,
        EventKind::Breakpoint => K::Breakpoint,
        EventKind::Hypercall => K::Hypercall,
        EventKind::Page => K::Page,
        EventKind::Trap => K::Trap,
        EventKind::Descriptor => K::Descriptor,
        EventKind::CreateVcpu => K::CreateVcpu,
        EventKind::Pause => K::Pause,
        EventKind::Singlestep => K::Singlestep,
        EventKind::CommandError => return None,
        EventKind::Cpuid => K::Cpuid,
        EventKind::Unhook => K::Unhook,
        EventKind::MsrRead => K::MsrRead,
        EventKind::Pio => K::Pio,
        EventKind::Mmio => K::Mmio,
        EventKind::Reset => K::Reset,
        EventKind::Shutdown => K::Shutdown,
    })
}

/// The first four numbers that the kind's judge would get behind the moment; what is missing
/// is 0.
pub(crate) fn numbers(case: &Case<'_>) -> [u64; 4] {
    let word = case.word();
    match case.event.data {
        EventData::Cr(e) => [e.cr.into(), e.old, e.new, word],
        EventData::Msr(e) => [e.msr.into(), e.old, e.new, word],
        EventData::Xsetbv(e) => [e.xcr.into(), e.old, e.new, word],
        EventData::Breakpoint(e) => [e.gva, e.gpa, e.length.into(), e.managed.into()],
        EventData::Hypercall(e) => [e.number, e.a, e.b, e.c],
        EventData::Page(e) => page(&e),
        EventData::Trap(e) => [
            e.vector.into(),
            e.error_code.unwrap_or(0).into(),
            e.address,
            0,
        ],
        EventData::Descriptor(e) => [e.table as u64 - 1, e.write.into(), 0, 0],
        EventData::Singlestep(e) => [e.failed.into(), 0, 0, 0],
        EventData::Cpuid(e) => [
            e.function.into(),
            e.index.into(),
            leaf(case)[0],
            leaf(case)[1],
        ],
        EventData::MsrRead(e) => [e.msr.into(), e.value, word, 0],
        EventData::Pio(e) => [e.port.into(), e.write.into(), e.size.into(), e.count.into()],
        EventData::Mmio(e) => [e.gpa, e.write.into(), e.size.into(), e.value],
        EventData::Shutdown(e) => [e.cause as u64, 0, 0, 0],
        EventData::CreateVcpu(_) | EventData::Pause(_) | EventData::Unhook(_) => [0; 4],
        EventData::CommandError(_) | EventData::Reset(_) => [0; 4],
    }
}

fn page(event: &Page) -> [u64; 4] {
    let [touch] = touch(event).as_array();
    [
        event.gva.unwrap_or(0),
        event.gpa,
        touch.into(),
        event.size.into(),
    ]
}

fn leaf(case: &Case<'_>) -> [u64; 2] {
    match case.proposed {
        Some(Value::Leaf(leaf)) => [leaf.eax.into(), leaf.ebx.into()],
        Some(Value::Word(_)) | None => [0; 2],
    }
}
