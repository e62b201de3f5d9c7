//! Where a component takes functions out of its modules, and which of them it lifts.

use std::{collections::BTreeSet, ops::Range};

use wasmparser::{
    CanonicalFunction, ComponentAlias, ComponentAliasSectionReader, ExternalKind, FuncType,
    Payload, Result, types::TypesRef,
};

use crate::inspect::walk::{Piece, walk};

/// Bytes before the first section.
const HEADER: usize = 8;

/// What matters here of a component's own sections, not of those inside of them.
#[derive(Default)]
pub(super) struct Outline<'a> {
    aliases: Vec<Aliases<'a>>,
    lifted: BTreeSet<u32>,
    /// Functions of modules, so far.
    functions: u32,
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
        let mut end = HEADER;
        walk(bytes, |piece| {
            if piece.own {
                let start = end;
                end = piece.payload.as_section().map_or(end, |(_, at)| at.end);
                outline.note(piece, start..end)?;
            }
            if let Some(types) = piece.types {
                outline.functions = types.function_count();
                outline.made = Made {
                    modules: types.module_count(),
                    instances: types.core_instance_count(),
                };
            }
            Ok(())
        })?;
        Ok(outline)
    }

    fn note(&mut self, piece: &Piece<'_, 'a>, at: Range<usize>) -> Result<()> {
        match (piece.payload, piece.types) {
            (Payload::ComponentAliasSection(section), Some(types)) => {
                self.aliases.push(Aliases {
                    at,
                    section: section.clone(),
                    made: self.made,
                    functions: taken(section, (types, self.functions))?,
                });
            }
            (Payload::ComponentCanonicalSection(section), _) => {
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
