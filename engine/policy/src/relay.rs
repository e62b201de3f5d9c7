//! A module of imports and exports alone, put into a component before it is compiled, between the functions
//! that it exports and whoever calls them. It never changes what a component imports, exports or does.
//!
//! Each time the host calls an exported function, wasmtime 48 looks for the core function behind it. One that the
//! module there has defined is described anew, by way of a tree of all code (`Instance::initialize_defined_funcref`);
//! one that it has imported is there, described when it was instantiated. So with a relay all are imported, and
//! a call costs 40 ns less, or after an exit, with cold caches, 0.1 to 0.25 µs (decision 0019).

mod outline;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use wasm_encoder::{
    Alias, ComponentAliasSection, ComponentSection as _, EntityType, ExportKind, ExportSection,
    ImportSection, InstanceSection, Module, ModuleArg, ModuleSection, TypeSection,
    reencode::{Reencode as _, ReencodeComponent as _, RoundtripReencoder},
};
use wasmparser::FuncType;

use outline::{Aliases, Outline};

/// The functions of the relay, by name.
type Functions<'a> = BTreeMap<&'a str, &'a FuncType>;

/// The same component with a relay; none: it is left as it is, since its functions are not where wit-component
/// puts them, behind all modules and instances.
pub(crate) fn relayed(bytes: &[u8]) -> Option<Vec<u8>> {
    let outline = Outline::read(bytes).ok()?;
    let behind = outline.lifting()?;
    let first = behind.first()?;
    let (from, relay) = (outline.lifted(first).next()?.instance, first.made.instances);
    let all = behind.iter().flat_map(|aliases| outline.lifted(aliases));
    let functions = all.filter(|function| function.instance == from);
    let functions = functions.map(|function| (function.name, &function.ty));

    let mut out = bytes[..first.at.start].to_vec();
    ModuleSection(&module(&functions.collect())?).append_to_component(&mut out);
    let mut instance = InstanceSection::new();
    instance.instantiate(first.made.modules, [("", ModuleArg::Instance(from))]);
    instance.append_to_component(&mut out);
    let mut copied = first.at.start;
    for aliases in behind {
        out.extend_from_slice(&bytes[copied..aliases.at.start]);
        redirected(&outline, aliases, (from, relay))?.append_to_component(&mut out);
        copied = aliases.at.end;
    }
    out.extend_from_slice(&bytes[copied..]);
    Some(out)
}

/// The relay itself: what it exports is what it imports.
fn module(functions: &Functions<'_>) -> Option<Module> {
    let (mut types, mut imports, mut exports) = (
        TypeSection::new(),
        ImportSection::new(),
        ExportSection::new(),
    );
    for (index, (name, ty)) in (0..).zip(functions) {
        let ty = RoundtripReencoder.func_type((*ty).clone()).ok()?;
        types.ty().func_type(&ty);
        imports.import("", name, EntityType::Function(index));
        exports.export(name, ExportKind::Func, index);
    }
    let mut module = Module::new();
    module.section(&types).section(&imports).section(&exports);
    Some(module)
}

/// The same aliases, but that what is lifted comes from the relay.
fn redirected(
    outline: &Outline<'_>,
    aliases: &Aliases<'_>,
    (from, relay): (u32, u32),
) -> Option<ComponentAliasSection> {
    let mut section = ComponentAliasSection::new();
    let mut functions = aliases.functions.iter();
    for alias in aliases.section.clone() {
        let mut alias = RoundtripReencoder.component_alias(alias.ok()?).ok()?;
        if let Alias::CoreInstanceExport {
            kind: ExportKind::Func,
            instance,
            ..
        } = &mut alias
            && outline.lifts(functions.next()?)
            && *instance == from
        {
            *instance = relay;
        }
        section.alias(alias);
    }
    Some(section)
}
