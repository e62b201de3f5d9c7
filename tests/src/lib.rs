//! What the whole-engine tests share: finding plugins, loading them, running guests to the end,
//! and talking to one as a KVMI tool.

mod channel;
mod noted;
mod observer;
mod pauser;
pub mod scripts;
pub mod tool;
mod vm;

pub use channel::channel;
pub use noted::Noted;
pub use observer::{Seen, observer};
pub use pauser::{CallEnds, pauser};
pub use vm::{FOREVER, Vm, scenario};

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use oriel_engine::{Candidate, Desk, Judge, Native, Outcome, Record, policies, record};
use oriel_machine::{Parts, mock::Scenario};
use oriel_policy::{
    Host, Inspection, InstanceMode, Limits, Manifest, OnFailure, Plugin, Policy, PrepareError,
    Setting, Store, StoreSchema, Terms, write_manifest,
};
use oriel_protocol::{Bounds, Case, EventKind, EventSet, Filter, Grant, Right, Verdict};

/// The bytes of a plugin that `cargo xtask plugins` has built.
///
/// # Panics
/// If it is not there, with the command that makes it.
pub fn plugin(name: &str) -> Vec<u8> {
    let observers = [Seen::Count, Seen::Trap, Seen::Heir];
    if let Some(seen) = observers.into_iter().find(|one| one.name() == name) {
        return observer(seen);
    }
    if let Some(ends) = CallEnds::ALL.into_iter().find(|one| one.name() == name) {
        return pauser(ends);
    }
    let file = plugins().join(format!("{name}.wasm"));
    std::fs::read(&file).unwrap_or_else(|error| {
        panic!(
            "{}: {error}; run `cargo xtask plugins`, or `cargo xtask test`",
            file.display()
        )
    })
}

fn plugins() -> PathBuf {
    if let Some(directory) = std::env::var_os("ORIEL_PLUGINS") {
        return directory.into();
    }
    let program = std::env::current_exe().expect("a test knows where it is");
    program
        .ancestors()
        .nth(3)
        .expect("tests lie in target/PROFILE/deps")
        .join("plugins")
}

/// The host of policies: one a process.
pub fn host() -> Arc<Host> {
    static HOST: OnceLock<Arc<Host>> = OnceLock::new();
    let make = || Host::new(oriel_policy::HostSettings::default()).expect("a host of policies");
    HOST.get_or_init(|| Arc::new(make())).clone()
}

/// A plugin of ours, which is compiled once.
fn compiled(host: &Arc<Host>, name: &str, bytes: Vec<u8>) -> Arc<Plugin> {
    type Compiled = BTreeMap<(String, Vec<u8>), Arc<Plugin>>;
    static COMPILED: Mutex<Compiled> = Mutex::new(BTreeMap::new());
    let mut compiled = COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
    let known = compiled.entry((name.to_owned(), bytes));
    let load = |(name, bytes): &(String, Vec<u8>)| host.load(name, bytes);
    let plugin = known.or_insert_with_key(|key| load(key).expect("a plugin of ours loads"));
    plugin.clone()
}

/// A policy to be loaded.
pub struct Load {
    plugin: &'static str,
    name: String,
    rights: BTreeSet<Right>,
    events: Option<EventSet>,
    bounds: Option<Arc<Bounds>>,
    config: BTreeMap<String, Setting>,
    /// What it may use.
    pub limits: Limits,
    /// What answers when it fails, instead of what its manifest says.
    pub on_failure: Option<OnFailure>,
    /// How long a failure may keep a vCPU waiting.
    pub pause: Option<Duration>,
    store: Arc<Store>,
    per_vm: bool,
    schema: u32,
}

/// Loads a plugin under its own name, with the default rights and all the events it exports.
pub fn load(plugin: &'static str) -> Load {
    Load {
        plugin,
        name: plugin.to_owned(),
        rights: Right::DEFAULT.iter().copied().collect(),
        events: None,
        bounds: None,
        config: BTreeMap::new(),
        limits: Limits::default(),
        on_failure: None,
        pause: None,
        store: Arc::default(),
        per_vm: false,
        schema: 1,
    }
}

/// A policy that only observes MSR writes.
pub fn watching(seen: Seen) -> Load {
    load(seen.name()).hears(&[EventKind::Msr])
}

/// The zoo's policy, doing `act` when it judges.
pub fn zoo(act: &str) -> Load {
    load("oriel-zoo").text("act", act).rights([
        Right::RegistersRead,
        Right::MemoryRead,
        Right::Intercept,
    ])
}

/// `kernel-guard` with all rights that it asks for, and without questions to vCPUs, which stop the guest.
pub fn kernel_guard() -> Load {
    load("kernel-guard")
        .rights([
            Right::GuestOs,
            Right::Machine,
            Right::MemoryRead,
            Right::PageAccess,
        ])
        .set("vcpus", Setting::Flag(false))
}

/// Whether `kernel-guard` says here that it has looked at everything.
pub fn ends_round(record: &Record) -> bool {
    matches!(record, Record::Log(line) if line.message.ends_with("is over"))
}

/// A field of an alert.
pub fn field<'a>(alert: &'a record::Alert, name: &str) -> Option<&'a str> {
    let found = alert.fields.iter().find(|(known, _)| known == name);
    found.map(|(_, value)| value.as_str())
}

impl Load {
    /// Under another name.
    pub fn named(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// With this right as well.
    pub fn right(mut self, right: Right) -> Self {
        self.rights.insert(right);
        self
    }

    /// With these rights as well.
    pub fn rights(mut self, rights: impl IntoIterator<Item = Right>) -> Self {
        self.rights.extend(rights);
        self
    }

    /// With no right at all.
    pub fn no_rights(mut self) -> Self {
        self.rights.clear();
        self
    }

    /// Hearing only this.
    pub fn hears(mut self, kinds: &[EventKind]) -> Self {
        self.events = Some(kinds.iter().copied().collect());
        self
    }

    /// Within these bounds.
    pub fn within(mut self, bounds: Bounds) -> Self {
        self.bounds = Some(Arc::new(bounds));
        self
    }

    /// With a setting.
    pub fn set(mut self, key: &str, value: Setting) -> Self {
        self.config.insert(key.to_owned(), value);
        self
    }

    /// With a setting that is a text.
    pub fn text(self, key: &str, value: &str) -> Self {
        self.set(key, Setting::Text(value.to_owned()))
    }

    /// With a store that is there already.
    pub fn store(mut self, store: &Arc<Store>) -> Self {
        self.store = store.clone();
        self
    }

    /// With a store of this schema.
    pub fn schema(mut self, schema: u32) -> Self {
        self.schema = schema;
        self
    }

    /// With one instance for all vCPUs.
    pub fn per_vm(mut self) -> Self {
        self.per_vm = true;
        self
    }

    /// Its bytes, with the manifest that it is to have.
    pub fn bytes(&self) -> Vec<u8> {
        let bytes = plugin(self.plugin);
        if !self.per_vm && self.schema == 1 {
            return bytes;
        }
        let manifest = oriel_policy::inspect(&bytes)
            .expect("a plugin of ours")
            .manifest;
        let instances = if self.per_vm {
            InstanceMode::Vm
        } else {
            manifest.instances
        };
        let other = Manifest {
            instances,
            store_schema: StoreSchema(self.schema),
            ..manifest
        };
        write_manifest(&bytes, &other).expect("a manifest of ours")
    }

    /// Prepares it.
    ///
    /// # Errors
    /// What the host refuses it with.
    pub fn prepare(&self, host: &Arc<Host>) -> Result<Policy, PrepareError> {
        let plugin = compiled(host, &self.name, self.bytes());
        let hears = |inspection: &Inspection| inspection.hears;
        host.prepare(
            &plugin,
            Terms {
                name: self.name.clone(),
                rights: self.rights.clone(),
                events: self.events.unwrap_or_else(|| hears(plugin.inspection())),
                bounds: self.bounds.clone(),
                config: self.config.clone(),
                limits: self.limits,
                on_failure: self.on_failure.clone(),
                pause: self.pause,
            },
        )
    }

    /// As a judge.
    pub fn candidate(&self, host: &Arc<Host>) -> Candidate {
        let policy = self.prepare(host).expect("a policy that can be prepared");
        policies::candidate(host, &Arc::new(policy), self.store.clone())
    }
}

/// A judge made of a function, which may do everything and listens to these kinds.
pub fn native<F>(name: &str, kinds: &[EventKind], judge: F) -> Candidate
where
    F: Fn(&Case<'_>, &mut Desk) -> Verdict + Clone + Send + Sync + 'static,
{
    Candidate {
        name: Arc::from(name),
        grant: Grant::all(),
        judges: oriel_protocol::EventSet::all(),
        filters: kinds.iter().map(|&kind| Filter::any(kind)).collect(),
        observations: vec![],
        store: Arc::default(),
        tick: None,
        tool: None,
        hosted: None,
        make: Box::new(move |_, _| -> Box<dyn Judge> { Box::new(Native(judge.clone())) }),
    }
}

/// What a VM left behind.
pub struct Ran {
    /// How it ended.
    pub outcome: Outcome,
    /// What the engine told.
    pub records: Vec<Record>,
    /// What the guest reported, in order.
    pub reports: Vec<u64>,
}

impl Ran {
    /// Kind and verdict of each event that was judged.
    pub fn verdicts(&self) -> Vec<(EventKind, Verdict)> {
        let judged = self.records.iter().filter_map(|record| {
            let Record::Event(judged) = record else {
                return None;
            };
            Some((judged.event.kind(), judged.verdict.clone()))
        });
        judged.collect()
    }

    /// The failures of judges.
    pub fn failures(&self) -> Vec<&record::Failed> {
        let failed = self.records.iter().filter_map(|record| {
            let Record::Failure(failed) = record else {
                return None;
            };
            Some(failed)
        });
        failed.collect()
    }

    /// The alerts.
    pub fn alerts(&self) -> Vec<&record::Alert> {
        let alerts = self.records.iter().filter_map(|record| {
            let Record::Alert(alert) = record else {
                return None;
            };
            Some(alert)
        });
        alerts.collect()
    }
}

/// Runs a scenario under these judges, to its end.
pub fn play(scenario: &Scenario, judges: Vec<Candidate>) -> Ran {
    run(
        |outlet| {
            scenario
                .build(outlet)
                .expect("a scenario of ours is well formed")
        },
        judges,
    )
}

/// Runs a machine under these judges, to its end.
pub fn run(
    build: impl FnOnce(Arc<dyn oriel_machine::Outlet>) -> Parts,
    judges: Vec<Candidate>,
) -> Ran {
    Vm::start(build, judges, oriel_engine::Settings::default()).wait()
}
