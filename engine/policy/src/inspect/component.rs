//! The imports and exports of a component, with the functions in each, by wasmparser. Function
//! bodies are skipped: whoever compiles them validates them.

use wasmparser::{
    Instance, Parser, Payload, Result, ValidPayload, Validator, WasmFeatures,
    component_types::{ComponentEntityType, ComponentItem},
    types::Types,
};

use super::{Footprint, LoadError};

const PAGE: u64 = 65_536;

/// What is known of a component from its types alone.
#[derive(Debug, Default)]
pub(super) struct Component {
    /// Name, and names of the functions in it.
    pub(super) imports: Vec<(String, Vec<String>)>,
    /// The same of exports.
    pub(super) exports: Vec<(String, Vec<String>)>,
    pub(super) footprint: Footprint,
    /// How many modules and components the reader is inside of.
    depth: usize,
}

impl Component {
    /// Reads it from front to back.
    pub(super) fn read(bytes: &[u8]) -> std::result::Result<Self, LoadError> {
        let mut component = Self::default();
        component.parse(bytes).map_err(LoadError::Invalid)?;
        Ok(component)
    }

    fn parse(&mut self, bytes: &[u8]) -> Result<()> {
        let mut validator = Validator::new_with_features(WasmFeatures::default());
        for payload in Parser::new(0).parse_all(bytes) {
            let payload = payload?;
            let valid = validator.payload(&payload)?;
            self.footprint.add(&payload)?;
            self.note(&payload, &valid)?;
        }
        Ok(())
    }

    /// Follows the nesting, and notes the names at the top of it.
    fn note(&mut self, payload: &Payload<'_>, valid: &ValidPayload<'_>) -> Result<()> {
        let top = self.depth == 0;
        match valid {
            ValidPayload::Parser(_) => self.depth += 1,
            ValidPayload::End(types) if top => self.resolve(types),
            ValidPayload::End(_) => self.depth -= 1,
            ValidPayload::Ok | ValidPayload::Func(..) if top => self.name(payload)?,
            ValidPayload::Ok | ValidPayload::Func(..) => {}
        }
        Ok(())
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "two of some thirty kinds of section"
    )]
    fn name(&mut self, payload: &Payload<'_>) -> Result<()> {
        match payload {
            Payload::ComponentImportSection(section) => {
                for import in section.clone() {
                    self.imports
                        .push((import?.name.name.to_owned(), Vec::new()));
                }
            }
            Payload::ComponentExportSection(section) => {
                for export in section.clone() {
                    self.exports
                        .push((export?.name.name.to_owned(), Vec::new()));
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Looks up the functions behind the names.
    fn resolve(&mut self, types: &Types) {
        for (name, functions) in &mut self.imports {
            *functions = functions_of(types, types.component_item_for_import(name));
        }
        for (name, functions) in &mut self.exports {
            *functions = functions_of(types, types.component_item_for_export(name));
        }
    }
}

/// The functions of an interface. Anything that is not an interface counts as one function of
/// its own, so that it is never mistaken for harmless types.
fn functions_of(types: &Types, item: Option<&ComponentItem>) -> Vec<String> {
    let Some(ComponentEntityType::Instance(interface)) = item.map(|item| item.ty) else {
        return vec!["itself".into()];
    };
    let exports = &types[interface].exports;
    let can_be_done = exports
        .iter()
        .filter(|(_, item)| !matches!(item.ty, ComponentEntityType::Type { .. }));
    can_be_done.map(|(name, _)| name.clone()).collect()
}

impl Footprint {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "three of some thirty kinds of section"
    )]
    fn add(&mut self, payload: &Payload<'_>) -> Result<()> {
        match payload {
            Payload::InstanceSection(section) => {
                for instance in section.clone() {
                    self.modules += usize::from(matches!(instance?, Instance::Instantiate { .. }));
                }
            }
            Payload::MemorySection(section) => {
                for memory in section.clone() {
                    self.memories += 1;
                    self.memory_bytes = self.memory_bytes.max(memory?.initial.saturating_mul(PAGE));
                }
            }
            Payload::TableSection(section) => {
                for table in section.clone() {
                    self.tables += 1;
                    self.table_elements = self.table_elements.max(table?.ty.initial);
                }
            }
            _ => {}
        }
        Ok(())
    }
}
