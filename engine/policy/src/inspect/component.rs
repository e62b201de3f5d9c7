//! The imports and exports of a component, with the functions in each, by wasmparser.

use wasmparser::{
    Instance, Payload, Result, ValidPayload,
    component_types::{ComponentEntityType, ComponentItem},
    types::Types,
};

use super::{
    Footprint, LoadError,
    walk::{Piece, walk},
};

const PAGE: u64 = 65_536;

/// What is known of a component from its types alone.
#[derive(Debug, Default)]
pub(super) struct Component {
    /// Name, and names of the functions in it.
    pub(super) imports: Vec<(String, Vec<String>)>,
    /// The same of exports.
    pub(super) exports: Vec<(String, Vec<String>)>,
    pub(super) footprint: Footprint,
}

impl Component {
    /// Reads it from front to back.
    pub(super) fn read(bytes: &[u8]) -> std::result::Result<Self, LoadError> {
        let mut component = Self::default();
        walk(bytes, |piece| component.note(piece)).map_err(LoadError::Invalid)?;
        Ok(component)
    }

    fn note(&mut self, piece: &Piece<'_, '_>) -> Result<()> {
        self.footprint.add(piece.payload)?;
        match piece.valid {
            ValidPayload::End(types) if piece.own => self.resolve(types),
            ValidPayload::Ok if piece.own => self.name(piece.payload)?,
            ValidPayload::Ok
            | ValidPayload::Parser(_)
            | ValidPayload::Func(..)
            | ValidPayload::End(_) => {}
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
