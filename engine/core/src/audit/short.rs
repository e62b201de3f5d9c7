//! The arguments of every command, in short. A table: who adds a command says here what of it
//! belongs into the trail. Never holds what was read or written, but how much and where.

use oriel_protocol::{
    Access, CommandId, ServiceCall, VcpuCall, VmCall,
    commands::{service::Sample, vcpu::Place, vm::PageRule},
    x86::Register,
};
use serde_json::{Value as Json, json};

use super::line::Fields;

/// How much of a text or of a list is kept.
const SHORT: usize = 200;
/// How many entries of a list are kept.
const FEW: usize = 16;

/// A read of memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Read {
    /// A single word; else in bulk.
    pub(super) word: bool,
    pub(super) at: u64,
    /// Bytes.
    pub(super) length: u64,
}

/// What the trail wants to know of a command.
pub(crate) trait Audited {
    /// Which row it is.
    fn id(&self) -> CommandId;
    /// Its arguments, in short.
    fn arguments(&self) -> Fields;
    /// What it reads, if it is one of those that are counted.
    fn read(&self) -> Option<Read>;
}

fn of<const N: usize>(pairs: [(&str, Json); N]) -> Fields {
    let pairs = pairs.into_iter();
    pairs
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

fn hex(word: u64) -> Json {
    json!(format!("{word:#x}"))
}

fn msr(number: u32) -> Json {
    hex(number.into())
}

fn register(register: Register) -> Json {
    json!(format!("{register:?}").to_lowercase())
}

fn text(text: &str) -> Json {
    let end = text.char_indices().nth(SHORT).map(|(at, _)| at);
    match end.and_then(|end| text.get(..end)) {
        Some(start) => json!(format!("{start}…")),
        None => json!(text),
    }
}

/// The first few of a list; how many there are is said beside.
fn few(list: impl Iterator<Item = Json>) -> Json {
    list.take(FEW).collect()
}

fn place(place: Place) -> (&'static str, Json) {
    match place {
        Place::Gva(gva) => ("gva", hex(gva)),
        Place::Gpa(gpa) => ("gpa", hex(gpa)),
    }
}

/// A name, and whose.
fn named(name: &str, module: Option<&str>) -> Fields {
    of([
        ("name", text(name)),
        ("module", module.map_or(Json::Null, text)),
    ])
}

fn rule(rule: &PageRule) -> Json {
    let access: Access = rule.allowed;
    json!({ "gpa": hex(rule.gpa), "allowed": access })
}

impl Audited for VmCall {
    fn id(&self) -> CommandId {
        CommandId::Vm(self.id())
    }

    fn arguments(&self) -> Fields {
        match self {
            Self::CheckCommand(it) => of([("command", json!(it.command))]),
            Self::CheckEvent(it) => of([("event", json!(it.event))]),
            Self::PauseVcpu(it) => of([("of", json!(it.vcpu)), ("wait", json!(it.wait))]),
            Self::ControlVmEvents(it) => {
                of([("event", json!(it.event)), ("enable", json!(it.enable))])
            }
            Self::ReadPhysical(it) => of([("gpa", hex(it.gpa)), ("length", json!(it.length))]),
            Self::WritePhysical(it) => {
                of([("gpa", hex(it.gpa)), ("length", json!(it.bytes.len()))])
            }
            Self::GetPageAccess(it) => of([
                ("count", json!(it.gpas.len())),
                ("first", few(it.gpas.iter().map(|&gpa| hex(gpa)))),
            ]),
            Self::SetPageAccess(it) => of([
                ("view", json!(it.view)),
                ("count", json!(it.entries.len())),
                ("first", few(it.entries.iter().map(rule))),
            ]),
            Self::ControlSpp(it) => of([("enable", json!(it.enable))]),
            Self::GetPageWriteBitmap(it) => of([("count", json!(it.gpas.len()))]),
            Self::SetPageWriteBitmap(it) => of([
                ("count", json!(it.entries.len())),
                ("first", few(it.entries.iter().map(|&(gpa, _)| hex(gpa)))),
            ]),
            Self::ControlCommandResponse(it) => of([("enable", json!(it.enable))]),
            Self::SetPageSve(it) => of([("gpa", hex(it.gpa)), ("suppress", json!(it.suppress))]),
            Self::QueryPhysical(it) => of([("gfn", hex(it.gfn))]),
            Self::DestroyView(it) => of([("view", json!(it.view))]),
            Self::ControlCleanup(it) => of([("enable", json!(it.enable))]),
            Self::ReadWord(it) => of([("gpa", hex(it.gpa)), ("size", json!(it.size))]),
            Self::ReadScattered(it) => of([("count", json!(it.ranges.len()))]),
            Self::CoversMemory(it) => of([("gpa", hex(it.gpa)), ("length", json!(it.length))]),
            Self::SetHardwarePoint(it) => of([
                ("gva", hex(it.gva)),
                ("length", json!(it.length)),
                ("access", json!(it.access)),
                ("tag", json!(it.tag)),
            ]),
            Self::ClearBreakpoint(it) => of([("tag", json!(it.tag))]),
            Self::GetVersion(_) | Self::GetGuestInfo(_) | Self::GetMapToken(_) => of([]),
            Self::GetMaxGfn(_) | Self::GetNextAvailableGfn(_) | Self::CreateView(_) => of([]),
            Self::GetIdentity(_) | Self::GetCapabilities(_) | Self::ListBreakpoints(_) => of([]),
            Self::PauseOthers(_) | Self::Resume(_) | Self::GetKernel(_) => of([]),
            Self::ListTasks(_) | Self::HiddenTasks(_) | Self::ListModules(_) => of([]),
            Self::ListAreas(_) => of([]),
            Self::FindSymbol(it) => named(&it.name, it.module.as_deref()),
            Self::FindVariants(it) => of([("name", text(&it.name))]),
            Self::SymbolAt(it) => of([("gva", hex(it.gva))]),
            Self::FindField(it) => named(&it.path, it.module.as_deref()),
            Self::FindTask(it) => of([("pid", json!(it.pid))]),
            Self::SystemCalls(it) => of([("compat", json!(it.compat))]),
            Self::LocateKernel(it) => of([("gva", hex(it.gva)), ("length", json!(it.length))]),
        }
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "only what is counted is named"
    )]
    fn read(&self) -> Option<Read> {
        let (word, at, length) = match self {
            Self::ReadWord(it) => (true, it.gpa, it.size.into()),
            Self::CoversMemory(it) => (true, it.gpa, it.length),
            Self::ReadPhysical(it) => (false, it.gpa, it.length.into()),
            Self::ReadScattered(it) => {
                let (at, _) = it.ranges.first()?;
                let total = it.ranges.iter().map(|&(_, length)| u64::from(length));
                (false, *at, total.sum())
            }
            _ => return None,
        };
        Some(Read { word, at, length })
    }
}

impl Audited for VcpuCall {
    fn id(&self) -> CommandId {
        CommandId::Vcpu(self.id())
    }

    fn arguments(&self) -> Fields {
        match self {
            Self::ControlEvents(it) => {
                of([("event", json!(it.event)), ("enable", json!(it.enable))])
            }
            Self::ControlCr(it) => of([("cr", json!(it.cr)), ("enable", json!(it.enable))]),
            Self::ControlMsr(it) => of([("msr", msr(it.msr)), ("enable", json!(it.enable))]),
            Self::GetRegisters(it) => of([("msrs", few(it.msrs.iter().map(|&one| msr(one))))]),
            Self::SetRegisters(it) => {
                of([("rip", hex(it.general.rip)), ("rsp", hex(it.general.rsp))])
            }
            Self::GetCpuid(it) => of([
                ("function", hex(it.function.into())),
                ("index", json!(it.index)),
            ]),
            Self::InjectException(it) => of([
                ("vector", json!(it.exception.vector)),
                ("error_code", json!(it.exception.error_code)),
                ("address", hex(it.exception.address)),
            ]),
            Self::GetMtrrType(it) => of([("gpa", hex(it.gpa))]),
            Self::SetVeInfoPage(it) => of([("gpa", hex(it.gpa))]),
            Self::SetView(it) => of([("view", json!(it.view))]),
            Self::TranslateGva(it) => of([("gva", hex(it.gva))]),
            Self::ControlView(it) => of([("view", json!(it.view)), ("visible", json!(it.visible))]),
            Self::GetXcr(it) => of([("xcr", json!(it.xcr))]),
            Self::SetXsave(it) => of([("length", json!(it.area.len()))]),
            Self::AllocGfn(it) => of([("gfn", hex(it.gfn))]),
            Self::FreeGfn(it) => of([("gfn", hex(it.gfn))]),
            Self::ChangeGfn(it) => of([("old", hex(it.old)), ("new", hex(it.new))]),
            Self::ControlSinglestep(it) => of([("enable", json!(it.enable))]),
            Self::GetRegister(it) => of([("register", register(it.register))]),
            Self::GetMsr(it) => of([("msr", msr(it.msr))]),
            Self::SetRegister(it) => of([
                ("register", register(it.register)),
                ("value", hex(it.value)),
            ]),
            Self::SetMsr(it) => of([("msr", msr(it.msr)), ("value", hex(it.value))]),
            Self::TranslateIn(it) => of([
                ("gva", hex(it.gva)),
                ("cr3", it.cr3.map_or(Json::Null, hex)),
            ]),
            Self::ReadVirtual(it) => of([
                ("gva", hex(it.gva)),
                ("length", json!(it.length)),
                ("cr3", it.cr3.map_or(Json::Null, hex)),
            ]),
            Self::WriteVirtual(it) => of([("gva", hex(it.gva)), ("length", json!(it.bytes.len()))]),
            Self::SetBreakpoint(it) => of([place(it.place), ("tag", json!(it.tag))]),
            Self::GetVcpuInfo(_) | Self::GetXsave(_) | Self::GetView(_) => of([]),
            Self::DisableVe(_) | Self::GetGeneral(_) => of([]),
            Self::CurrentTask(_) | Self::GetInterrupts(_) => of([]),
        }
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "only what is counted is named"
    )]
    fn read(&self) -> Option<Read> {
        match self {
            Self::ReadVirtual(it) => Some(Read {
                word: false,
                at: it.gva,
                length: it.length.into(),
            }),
            _ => None,
        }
    }
}

impl Audited for ServiceCall {
    fn id(&self) -> CommandId {
        CommandId::Service(self.id())
    }

    fn arguments(&self) -> Fields {
        match self {
            Self::RaiseAlert(it) => of([
                ("severity", json!(it.severity)),
                ("message", text(&it.message)),
            ]),
            Self::WriteLog(it) => of([("level", json!(it.level)), ("message", text(&it.message))]),
            Self::RecordMetric(it) => of([("name", text(&it.name)), sample(it.sample)]),
            Self::StoreGet(it) => of([("key", text(&it.key))]),
            Self::StoreSet(it) => of([("key", text(&it.key)), ("length", json!(it.value.len()))]),
            Self::StoreRemove(it) => of([("key", text(&it.key))]),
            Self::StoreKeys(it) => of([("prefix", text(&it.prefix))]),
            Self::StoreAdd(it) => of([("key", text(&it.key)), ("delta", json!(it.delta))]),
            Self::StoreCompareAndSwap(it) => {
                of([("key", text(&it.key)), ("length", json!(it.new.len()))])
            }
        }
    }

    fn read(&self) -> Option<Read> {
        None
    }
}

fn sample(sample: Sample) -> (&'static str, Json) {
    match sample {
        Sample::Count(by) => ("count", json!(by)),
        Sample::Gauge(to) => ("gauge", json!(to)),
        Sample::Value(value) => ("value", json!(value)),
    }
}
