//! A scenario as TOML. `docs/scenarios.md` describes each key; what is not a key is refused.

use std::collections::BTreeMap;

use serde::{Deserialize, de::IgnoredAny};
use toml::{Spanned, de::DeTable};
use uuid::Uuid;

use super::{
    Owner, Scenario, ScenarioError, check,
    error::{Mistake, Places},
    range::{MapText, MemoryText},
    steps,
    value::{Msr, Name, Word, number, optional},
};

/// Everything but the steps, which are read one by one.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Document {
    name: Option<String>,
    uuid: Option<Uuid>,
    #[serde(default, deserialize_with = "optional")]
    vcpus: Option<u32>,
    #[serde(default, deserialize_with = "optional")]
    memory_mib: Option<u32>,
    #[serde(default, rename = "loop")]
    looping: bool,
    #[serde(default)]
    everywhere: bool,
    #[serde(default)]
    memory: Vec<Spanned<MemoryText>>,
    #[serde(default)]
    map: Vec<Spanned<MapText>>,
    #[serde(default)]
    registers: BTreeMap<Name, Word>,
    #[serde(default)]
    msrs: BTreeMap<Msr, Word>,
    #[serde(default)]
    vcpu: Vec<Spanned<VcpuText>>,
    #[serde(default, rename = "step")]
    _steps: Option<IgnoredAny>,
}

/// What one vCPU begins with.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct VcpuText {
    #[serde(deserialize_with = "number")]
    index: u32,
    #[serde(default)]
    registers: BTreeMap<Name, Word>,
    #[serde(default)]
    msrs: BTreeMap<Msr, Word>,
}

/// Reads a scenario.
pub(super) fn parse(text: &str, file: &str) -> Result<Scenario, ScenarioError> {
    read(text, file).map_err(|mistake| mistake.in_file(file, text))
}

fn read(text: &str, file: &str) -> Result<Scenario, Mistake> {
    let table = DeTable::parse(text)?;
    let steps = steps::read(table.get_ref().get("step").cloned())?;
    let document = Document::deserialize(toml::Deserializer::from(table))?;
    let mut places = Places::default();
    let mut scenario = document.begin(file, &mut places);
    for (step, place) in steps {
        scenario.steps.push(step);
        places.steps.push(place);
    }
    check::scenario(&scenario).map_err(|wrong| places.locate(wrong))?;
    Ok(scenario)
}

impl Document {
    /// The scenario without its steps.
    fn begin(self, file: &str, places: &mut Places) -> Scenario {
        let mut scenario = Scenario::new(self.name.unwrap_or_else(|| stem(file)));
        scenario.identity.uuid = self.uuid.unwrap_or(scenario.identity.uuid);
        scenario.vcpus = self.vcpus.unwrap_or(scenario.vcpus);
        scenario.memory_mib = self.memory_mib.unwrap_or(scenario.memory_mib);
        scenario.looping = self.looping;
        scenario.everywhere = self.everywhere;
        for piece in self.memory {
            places.memory.push(piece.span());
            scenario.memory.push(piece.into_inner().0);
        }
        for map in self.map {
            places.maps.push(map.span());
            scenario.maps.push(map.into_inner().0);
        }
        initial(&mut scenario, None, self.registers, self.msrs);
        for vcpu in self.vcpu {
            let place = vcpu.span();
            let VcpuText {
                index,
                registers,
                msrs,
            } = vcpu.into_inner();
            places.vcpus.push((index, place));
            initial(&mut scenario, Some(index), registers, msrs);
        }
        scenario
    }
}

/// Adds what a vCPU, or all of them, begin with.
fn initial(
    scenario: &mut Scenario,
    owner: Owner,
    registers: BTreeMap<Name, Word>,
    msrs: BTreeMap<Msr, Word>,
) {
    let registers = registers
        .into_iter()
        .map(|(Name(name), Word(value))| (owner, name, value));
    scenario.registers.extend(registers);
    let msrs = msrs
        .into_iter()
        .map(|(Msr(number), Word(value))| (owner, number, value));
    scenario.msrs.extend(msrs);
}

/// The file's name without folders and ending.
fn stem(file: &str) -> String {
    let path = std::path::Path::new(file);
    path.file_stem()
        .unwrap_or(path.as_os_str())
        .to_string_lossy()
        .into_owned()
}
