//! Policies written by hand: a component made of the real `wit/`, of the interfaces that a test
//! names, with functions in WebAssembly text. Functions that a test says nothing of answer with
//! zeros: no error, no filters, `continue`.

use std::{collections::BTreeMap, fmt::Write};

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::{
    Function, InterfaceId, Resolve, SizeAlign, Type, TypeDefKind, WorldId,
    abi::{AbiVariant, WasmType},
};

/// Where 256 bytes of zeros are, for answers.
pub(crate) const ANSWER: u32 = 1024;
/// Where 256 bytes are into which imports put their results.
pub(crate) const RESULT: u32 = 1280;
/// Where texts are.
pub(crate) const TEXT: u32 = 2048;

/// The contract as it stands in this repository.
pub(crate) fn wit() -> String {
    [
        include_str!("../../../../wit/types.wit"),
        include_str!("../../../../wit/policy.wit"),
        include_str!("../../../../wit/judges.wit"),
        include_str!("../../../../wit/rights.wit"),
        include_str!("../../../../wit/worlds.wit"),
    ]
    .concat()
}

/// A policy in the making.
#[derive(Clone)]
pub(crate) struct Guest {
    wit: String,
    version: &'static str,
    exports: Vec<String>,
    imports: Vec<(String, String)>,
    bodies: BTreeMap<String, String>,
    texts: Vec<(u32, String)>,
    packages: Vec<String>,
    more: String,
    raw: String,
    allocating: String,
    pages: u32,
}

impl Guest {
    /// Exports nothing but `lifecycle`.
    pub(crate) fn new() -> Self {
        Self {
            wit: wit(),
            version: "0.1.0",
            exports: vec!["lifecycle".into()],
            imports: Vec::new(),
            bodies: BTreeMap::new(),
            texts: Vec::new(),
            packages: Vec::new(),
            more: String::new(),
            raw: String::new(),
            allocating: String::new(),
            pages: 1,
        }
    }

    /// Judges events of these kinds, and lets all happen.
    pub(crate) fn judging<const N: usize>(kinds: [&str; N]) -> Self {
        kinds.iter().fold(Self::new(), |guest, kind| {
            guest.exporting(&format!("judge-{kind}"))
        })
    }

    /// Exports one more interface.
    pub(crate) fn exporting(mut self, interface: &str) -> Self {
        self.exports.push(interface.into());
        self
    }

    /// Exports no lifecycle.
    pub(crate) fn without_lifecycle(mut self) -> Self {
        self.exports.retain(|export| export != "lifecycle");
        self
    }

    /// Imports a function; in bodies it is `$interface.function`.
    pub(crate) fn importing(mut self, interface: &str, function: &str) -> Self {
        self.imports.push((interface.into(), function.into()));
        self
    }

    /// Gives an exported function a body; its parameters are `$p0`, `$p1`, …, and it answers with
    /// what it puts at [`ANSWER`].
    pub(crate) fn with(mut self, interface: &str, function: &str, body: &str) -> Self {
        self.bodies
            .insert(format!("{interface}#{function}"), body.into());
        self
    }

    /// Puts a text into memory.
    pub(crate) fn text(mut self, at: u32, text: &str) -> Self {
        self.texts.push((at, text.into()));
        self
    }

    /// Speaks another version of the contract.
    pub(crate) fn version(mut self, version: &'static str) -> Self {
        self.wit = self.wit.replace("@0.1.0", &format!("@{version}"));
        self.version = version;
        self
    }

    /// Speaks a contract in which something is different.
    pub(crate) fn edited(mut self, from: &str, to: &str) -> Self {
        assert!(self.wit.contains(from), "{from}");
        self.wit = self.wit.replacen(from, to, 1);
        self
    }

    /// More of the world, in WIT.
    pub(crate) fn world(mut self, more: &str) -> Self {
        self.more.push_str(more);
        self
    }

    /// Another package, in WIT.
    pub(crate) fn package(mut self, package: &str) -> Self {
        self.packages.push(package.into());
        self
    }

    /// More of the module, in WebAssembly text.
    pub(crate) fn raw(mut self, more: &str) -> Self {
        self.raw.push_str(more);
        self
    }

    /// Does this whenever it is asked for room for what it is handed.
    pub(crate) fn allocating(mut self, body: &str) -> Self {
        self.allocating = body.into();
        self
    }

    /// Has this much memory from the start.
    pub(crate) fn pages(mut self, pages: u32) -> Self {
        self.pages = pages;
        self
    }

    /// The types of an exported function's parameters.
    pub(crate) fn params(&self, interface: &str, function: &str) -> Vec<&'static str> {
        self.core_signature(AbiVariant::GuestExport, interface, function)
            .0
    }

    /// The types of a function's parameters and results, in core WebAssembly.
    pub(crate) fn core_signature(
        &self,
        abi: AbiVariant,
        interface: &str,
        function: &str,
    ) -> (Vec<&'static str>, Vec<&'static str>) {
        let resolve = self.contract();
        let signature = resolve.wasm_signature(abi, find(&resolve, interface, function));
        let core = |types: Vec<WasmType>| types.into_iter().map(core).collect();
        (core(signature.params), core(signature.results))
    }

    /// The functions of an interface.
    pub(crate) fn functions(&self, interface: &str) -> Vec<String> {
        let resolve = self.contract();
        let (_, functions) = interface_named(&resolve, interface);
        functions.map(|function| function.name.clone()).collect()
    }

    /// Where in a function's result the payload is: a refusal, say.
    pub(crate) fn refusal_offset(&self, interface: &str, function: &str) -> u32 {
        let resolve = self.contract();
        let Some(Type::Id(result)) = find(&resolve, interface, function).result else {
            return 0;
        };
        let TypeDefKind::Result(result) = &resolve.types[result].kind else {
            return 0;
        };
        let mut sizes = SizeAlign::default();
        sizes.fill(&resolve);
        let payload = [result.ok, result.err]
            .into_iter()
            .flatten()
            .map(|ty| sizes.align(&ty).align_wasm32());
        u32::try_from(payload.max().unwrap()).unwrap()
    }

    fn contract(&self) -> Resolve {
        let mut resolve = Resolve::new();
        resolve.push_source("oriel.wit", &self.wit).unwrap();
        resolve
    }

    /// The component.
    pub(crate) fn build(&self) -> Vec<u8> {
        let (resolve, world) = self.resolve();
        let module = self.module(&resolve);
        let mut module =
            wat::parse_str(&module).unwrap_or_else(|error| panic!("{error}\n{module}"));
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
        let encoder = ComponentEncoder::default().validate(true).module(&module);
        encoder.unwrap().encode().unwrap()
    }

    fn resolve(&self) -> (Resolve, WorldId) {
        let mut resolve = self.contract();
        for package in &self.packages {
            resolve.push_source("other.wit", package).unwrap();
        }
        let package = resolve
            .push_source("guest.wit", &self.world_text())
            .unwrap();
        let world = resolve.select_world(&[package], Some("guest")).unwrap();
        (resolve, world)
    }

    fn world_text(&self) -> String {
        let mut text = "package test:guest;\nworld guest {\n".to_owned();
        let mut imports: Vec<_> = self
            .imports
            .iter()
            .map(|(interface, _)| interface)
            .collect();
        imports.dedup();
        for import in imports {
            writeln!(text, "import {};", self.name(import)).unwrap();
        }
        for export in &self.exports {
            writeln!(text, "export {};", self.name(export)).unwrap();
        }
        text + &self.more + "}\n"
    }

    fn name(&self, interface: &str) -> String {
        format!("oriel:introspection/{interface}@{}", self.version)
    }

    fn module(&self, resolve: &Resolve) -> String {
        let mut text = "(module\n".to_owned();
        for (interface, function) in &self.imports {
            let signature = signature(
                resolve,
                AbiVariant::GuestImport,
                find(resolve, interface, function),
            );
            let name = self.name(interface);
            writeln!(
                text,
                "(import \"{name}\" \"{function}\" (func ${interface}.{function} {signature}))"
            )
            .unwrap();
        }
        text.push_str(&self.raw);
        let runtime = RUNTIME.replace("PAGES", &self.pages.to_string());
        text.push_str(&runtime.replace("ALLOCATING", &self.allocating));
        for (at, data) in &self.texts {
            writeln!(text, "(data (i32.const {at}) {data:?})").unwrap();
        }
        for interface in &self.exports {
            for function in interface_named(resolve, interface).1 {
                self.function(&mut text, resolve, interface, function);
            }
        }
        text + ")"
    }

    fn function(&self, text: &mut String, resolve: &Resolve, interface: &str, function: &Function) {
        let key = format!("{interface}#{}", function.name);
        let body = self.bodies.get(&key).map_or("", String::as_str);
        let name = format!("{}#{}", self.name(interface), function.name);
        let signature = signature(resolve, AbiVariant::GuestExport, function);
        let result = result(resolve, function);
        writeln!(
            text,
            "(func ${key} (export \"{name}\") {signature} {body} {result})"
        )
        .unwrap();
    }
}

/// What a body ends with: the answer, or where it is.
fn result(resolve: &Resolve, function: &Function) -> String {
    let signature = resolve.wasm_signature(AbiVariant::GuestExport, function);
    match (signature.retptr, signature.results.len()) {
        (true, _) => format!("(i32.const {ANSWER})"),
        (false, 0) => String::new(),
        (false, _) => format!("(i32.load8_u (i32.const {ANSWER}))"),
    }
}

/// Memory, and an allocator that never frees.
const RUNTIME: &str = r#"
(memory (export "memory") PAGES)
(global $next (mut i32) (i32.const 8192))
(func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (local $at i32)
    ALLOCATING
    (local.set $at (i32.and (i32.add (global.get $next) (i32.const 15)) (i32.const -16)))
    (global.set $next (i32.add (local.get $at) (local.get 3)))
    (local.get $at))
"#;

/// A body that answers with a case that has no payload.
pub(crate) fn answer(case: u8) -> String {
    format!("(i32.store8 (i32.const {ANSWER}) (i32.const {case}))")
}

/// A body that answers with a case and eight bytes of payload.
pub(crate) fn answer_with(case: u8, payload: &str) -> String {
    format!(
        "(i64.store (i32.const {}) {payload}) {}",
        ANSWER + 8,
        answer(case)
    )
}

/// A body that answers with an error of this text, which is at [`TEXT`].
pub(crate) fn error(text: &str) -> String {
    format!(
        "(i32.store offset=4 (i32.const {ANSWER}) (i32.const {TEXT}))
         (i32.store offset=8 (i32.const {ANSWER}) (i32.const {})) {}",
        text.len(),
        answer(1)
    )
}

/// A body that never ends.
pub(crate) const LOOP: &str = "(loop $again (br $again))";

fn signature(resolve: &Resolve, abi: AbiVariant, function: &Function) -> String {
    let signature = resolve.wasm_signature(abi, function);
    let params = signature.params.iter().enumerate();
    let params = params.map(|(at, ty)| format!("(param $p{at} {})", core(*ty)));
    let results = signature
        .results
        .iter()
        .map(|ty| format!("(result {})", core(*ty)));
    params.chain(results).collect::<Vec<_>>().join(" ")
}

fn core(ty: WasmType) -> &'static str {
    match ty {
        WasmType::I32 | WasmType::Pointer | WasmType::Length => "i32",
        WasmType::I64 | WasmType::PointerOrI64 => "i64",
        WasmType::F32 => "f32",
        WasmType::F64 => "f64",
    }
}

/// An interface of the contract, and its functions.
pub(crate) fn interface_named<'a>(
    resolve: &'a Resolve,
    name: &str,
) -> (InterfaceId, impl Iterator<Item = &'a Function>) {
    let named = |(_, interface): &(InterfaceId, &wit_parser::Interface)| {
        interface.name.as_deref() == Some(name)
    };
    let found = resolve.interfaces.iter().find(named);
    let (id, interface) = found.unwrap_or_else(|| panic!("no interface `{name}`"));
    (id, interface.functions.values())
}

fn find<'a>(resolve: &'a Resolve, interface: &str, function: &str) -> &'a Function {
    let (_, mut functions) = interface_named(resolve, interface);
    functions.find(|known| known.name == function).unwrap()
}
