//! Where a component takes functions out of its modules, and which of them it lifts.

use std::{collections::BTreeSet, ops::Range};

use wasmparser::{
    CanonicalFunction, ComponentAlias, ComponentAliasSectionReader, ExternalKind, FuncType, Parser,
    Payload, Result, ValidPayload, Validator, WasmFeatures, types::TypesRef,
};

/// Bytes before the first section.
const HEADER: usize = 8;

/// What matters here of a component's own sections, not of those inside of them.
#[derive(Default)]
pub(super) struct Outline<'a> {
    aliases: Vec<Aliases<'a>>,
    lifted: BTreeSet<u32>,
    made: Made,
}

/// Modules and instances of modules, so far.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Made {
    pub(super) modules: u32,
    pub(super) instances: u32,
}

/// A section of aliases.
pub(super) struct Aliases<'a> {
    /// Where it is, with its header.
    pub(super) at: Range<usize>,
    pub(super) section: ComponentAliasSectionReader<'a>,
    /// What had been made before it.
    pub(super) made: Made,
    /// The functions of modules among them, in this order.
    pub(super) functions: Vec<Function<'a>>,
}

/// A function of a module.
pub(super) struct Function<'a> {
    index: u32,
    pub(super) instance: u32,
    pub(super) name: &'a str,
    pub(super) ty: FuncType,
}

impl<'a> Outline<'a> {
    /// Reads it from front to back.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self> {
        let mut outline = Self::default();
        let mut validator = Validator::new_with_features(WasmFeatures::default());
        let (mut depth, mut end) = (0_usize, HEADER);
        for payload in Parser::new(0).parse_all(bytes) {
            let payload = payload?;
            let top = depth == 0;
            let functions = validator.types(0).filter(|_| top);
            let functions = functions.map_or(0, |types| types.function_count());
            match validator.payload(&payload)? {
                ValidPayload::Parser(_) => depth += 1,
                ValidPayload::End(_) => depth = depth.saturating_sub(1),
                ValidPayload::Ok | ValidPayload::Func(..) => {}
            }
            let after = end_of(&payload).filter(|_| top);
            let section = end..after.unwrap_or(end);
            end = section.end;
            if let (0, Some(types)) = (depth, validator.types(0).filter(|_| top)) {
                outline.note(&payload, section, (types, functions))?;
            }
        }
        Ok(outline)
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "two of some thirty kinds of section"
    )]
    fn note(
        &mut self,
        payload: &Payload<'a>,
        at: Range<usize>,
        (types, functions): (TypesRef<'_>, u32),
    ) -> Result<()> {
        match payload {
            Payload::ComponentAliasSection(section) => {
                self.aliases.push(Aliases {
                    at,
                    section: section.clone(),
                    made: self.made,
                    functions: taken(section, (types, functions))?,
                });
            }
            Payload::ComponentCanonicalSection(section) => {
                for function in section.clone() {
                    if let CanonicalFunction::Lift {
                        core_func_index, ..
                    } = function?
                    {
                        self.lifted.insert(core_func_index);
                    }
                }
            }
            _ => {}
        }
        self.made = Made {
            modules: types.module_count(),
            instances: types.core_instance_count(),
        };
        Ok(())
    }

    /// The aliases from the first that is lifted; none if modules or instances are made after it.
    pub(super) fn lifting(&self) -> Option<&[Aliases<'a>]> {
        let lifts = |one| self.lifted(one).next().is_some();
        let first = self.aliases.iter().position(lifts)?;
        let lifting = &self.aliases[first..];
        (lifting[0].made == self.made).then_some(lifting)
    }

    /// Those of these functions that are lifted.
    pub(super) fn lifted<'s>(
        &'s self,
        aliases: &'s Aliases<'a>,
    ) -> impl Iterator<Item = &'s Function<'a>> {
        aliases.functions.iter().filter(|one| self.lifts(one))
    }

    /// Whether it lifts this one.
    pub(super) fn lifts(&self, function: &Function<'_>) -> bool {
        self.lifted.contains(&function.index)
    }
}

/// Where a section ends, whatever is inside of it.
fn end_of(payload: &Payload<'_>) -> Option<usize> {
    if let Payload::ModuleSection {
        unchecked_range, ..
    }
    | Payload::ComponentSection {
        unchecked_range, ..
    } = payload
    {
        return Some(unchecked_range.end);
    }
    payload.as_section().map(|(_, range)| range.end)
}

/// The functions of modules among these aliases; the first has this number.
fn taken<'a>(
    section: &ComponentAliasSectionReader<'a>,
    (types, first): (TypesRef<'_>, u32),
) -> Result<Vec<Function<'a>>> {
    let mut functions = Vec::new();
    let mut numbers = first..;
    for alias in section.clone() {
        if let ComponentAlias::CoreInstanceExport {
            kind: ExternalKind::Func,
            instance_index,
            name,
        } = alias?
            && let Some(index) = numbers.next()
        {
            functions.push(Function {
                index,
                instance: instance_index,
                name,
                ty: types[types.core_function_at(index)].unwrap_func().clone(),
            });
        }
    }
    Ok(functions)
}
