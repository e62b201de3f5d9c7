//! What is odd about a plugin that can be loaded: each oddity has a name that stays.

use oriel_policy::{Inspection, manifest_json};
use oriel_protocol::Right;
use serde::Serialize;

/// Something odd.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Lint {
    pub(super) name: &'static str,
    pub(super) message: String,
}

impl Lint {
    fn new(name: &'static str, message: impl Into<String>) -> Self {
        Self {
            name,
            message: message.into(),
        }
    }
}

/// All that is odd.
pub(super) fn of(bytes: &[u8], inspection: &Inspection) -> anyhow::Result<Vec<Lint>> {
    let Some(manifest) = manifest_json(bytes)? else {
        let message = "it has no manifest: nobody can tell its name, and it fails closed; build it \
                       with `oriel plugin build`";
        return Ok(vec![Lint::new("no-manifest", message)]);
    };
    let manifest: serde_json::Value = serde_json::from_slice(manifest)?;
    let says = |key: &str| manifest.get(key).is_some_and(|value| value != "");
    let mut lints = unused(inspection);
    if !says("on-failure") && !inspection.hears.is_empty() {
        let message = "it does not say what answers when it fails (`on-failure` in oriel.json): it \
                       fails closed, which may stop a guest";
        lints.push(Lint::new("no-failure-mode", message));
    }
    for key in ["name", "version"].into_iter().filter(|key| !says(key)) {
        let message = format!("its manifest does not say its `{key}`");
        lints.push(Lint::new("no-identity", message));
    }
    if is_never_called(inspection) {
        let message = "it judges and observes nothing, and no clock calls it";
        lints.push(Lint::new("never-called", message));
    }
    Ok(lints)
}

/// Rights that its manifest asks for, and its code does not use. The log is everybody's.
fn unused(inspection: &Inspection) -> Vec<Lint> {
    let declared = inspection.manifest.rights.iter().flatten();
    let unused = declared.filter(|right| **right != Right::Log && !inspection.asks.contains(right));
    let say = |right: &Right| {
        let name = right.name();
        let message =
            format!("its manifest asks for the right `{name}`, which its code never uses");
        Lint::new("unused-right", message)
    };
    unused.map(say).collect()
}

fn is_never_called(inspection: &Inspection) -> bool {
    let exports = |name: &str| inspection.exports.iter().any(|export| export == name);
    inspection.hears.is_empty() && !exports("observe") && !exports("tick")
}
