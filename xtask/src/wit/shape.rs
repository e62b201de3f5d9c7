//! What a WIT package says, without what is said about it: each type and function as one line of text,
//! so that two packages can be compared name by name. Compares nothing itself.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::str::FromStr;

use anyhow::{Context, Result, bail};
use wit_bindgen_core::wit_parser::{
    Function, Handle, InterfaceId, PackageId, Resolve, Type, TypeDef, TypeDefKind, TypeOwner,
    World, WorldId, WorldItem, WorldKey,
};

/// A version, as `0.1.0`. There are none with more words to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version(pub(super) u64, pub(super) u64, pub(super) u64);

impl FromStr for Version {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let parts: Vec<_> = text.split('.').map(str::parse).collect();
        let [Ok(major), Ok(minor), Ok(patch)] = parts[..] else {
            bail!("{text:?} is not a version of three numbers");
        };
        Ok(Self(major, minor, patch))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// What stands in an interface or a world, by its name with the word before it.
pub(super) type Items = BTreeMap<String, String>;

/// A package.
#[derive(Debug)]
pub(super) struct Package {
    /// Without its version.
    pub(super) name: String,
    pub(super) version: Version,
    pub(super) interfaces: BTreeMap<String, Items>,
    pub(super) worlds: BTreeMap<String, Items>,
}

impl Package {
    /// Reads the package in a folder.
    pub(super) fn read(folder: &Path) -> Result<Self> {
        let mut resolve = Resolve::default();
        let read = resolve.push_dir(folder);
        let (package, _) = read.with_context(|| format!("reading {}", folder.display()))?;
        Self::of(&resolve, package).with_context(|| format!("in {}", folder.display()))
    }

    /// What a package says that has been read.
    pub(super) fn of(resolve: &Resolve, package: PackageId) -> Result<Self> {
        let package = &resolve.packages[package];
        let name = &package.name;
        let version = name
            .version
            .as_ref()
            .context("the package has no version")?;
        let interfaces = package.interfaces.iter();
        let worlds = package.worlds.iter();
        Ok(Self {
            name: format!("{}:{}", name.namespace, name.name),
            version: version.to_string().parse()?,
            interfaces: interfaces
                .map(|(name, id)| (name.clone(), interface(resolve, *id)))
                .collect(),
            worlds: worlds
                .map(|(name, id)| (name.clone(), world(resolve, *id)))
                .collect(),
        })
    }
}

fn interface(resolve: &Resolve, id: InterfaceId) -> Items {
    let interface = &resolve.interfaces[id];
    let scope = Scope {
        resolve,
        here: TypeOwner::Interface(id),
    };
    let types = interface.types.iter();
    let types = types.map(|(name, id)| {
        (
            format!("type `{name}`"),
            scope.definition(&resolve.types[*id]),
        )
    });
    let functions = interface.functions.iter();
    let functions =
        functions.map(|(name, function)| (format!("function `{name}`"), scope.function(function)));
    types.chain(functions).collect()
}

fn world(resolve: &Resolve, id: WorldId) -> Items {
    let World {
        imports, exports, ..
    } = &resolve.worlds[id];
    let scope = Scope {
        resolve,
        here: TypeOwner::World(id),
    };
    let sides = [("import", imports), ("export", exports)];
    let items = sides
        .into_iter()
        .flat_map(|(side, items)| items.iter().map(move |(key, item)| (side, key, item)));
    let named = |side: &str, key: &WorldKey| format!("{side} `{}`", scope.key(key));
    let items = items.map(|(side, key, item)| (named(side, key), scope.item(item)));
    items.collect()
}

/// From where names are looked at: what is defined elsewhere has its interface before it.
struct Scope<'a> {
    resolve: &'a Resolve,
    here: TypeOwner,
}

impl Scope<'_> {
    fn key(&self, key: &WorldKey) -> String {
        match key {
            WorldKey::Name(name) => name.clone(),
            WorldKey::Interface(id) => self.interface(*id),
        }
    }

    fn interface(&self, id: InterfaceId) -> String {
        let name = self.resolve.interfaces[id].name.clone();
        name.unwrap_or_else(|| "an interface without a name".to_owned())
    }

    fn item(&self, item: &WorldItem) -> String {
        match item {
            WorldItem::Interface { id, .. } => self.interface(*id),
            WorldItem::Function(function) => self.function(function),
            WorldItem::Type { id, .. } => self.definition(&self.resolve.types[*id]),
        }
    }

    fn function(&self, function: &Function) -> String {
        let Function {
            kind,
            params,
            result,
            ..
        } = function;
        let params = params
            .iter()
            .map(|param| format!("{}: {}", param.name, self.ty(&param.ty)));
        let params: Vec<_> = params.collect();
        let result = result.map(|ty| format!(" -> {}", self.ty(&ty)));
        let word = if kind.is_async() {
            "async func"
        } else {
            "func"
        };
        format!(
            "{word}({}){}",
            params.join(", "),
            result.unwrap_or_default()
        )
    }

    fn ty(&self, ty: &Type) -> String {
        let Type::Id(id) = ty else {
            return format!("{ty:?}").to_lowercase();
        };
        let definition = &self.resolve.types[*id];
        match &definition.name {
            Some(name) if definition.owner == self.here => name.clone(),
            Some(name) => format!("{}.{name}", self.owner(definition.owner)),
            None => self.definition(definition),
        }
    }

    fn owner(&self, owner: TypeOwner) -> String {
        match owner {
            TypeOwner::Interface(id) => self.interface(id),
            TypeOwner::World(id) => self.resolve.worlds[id].name.clone(),
            TypeOwner::None => "nobody".to_owned(),
        }
    }

    fn definition(&self, definition: &TypeDef) -> String {
        let ty = |ty: &Type| self.ty(ty);
        let maybe =
            |ty: &Option<Type>| ty.as_ref().map_or_else(|| "_".to_owned(), |ty| self.ty(ty));
        match &definition.kind {
            TypeDefKind::Record(record) => {
                let fields = record.fields.iter();
                listed(
                    "record",
                    fields.map(|field| format!("{}: {}", field.name, self.ty(&field.ty))),
                )
            }
            TypeDefKind::Variant(variant) => {
                let cases = variant.cases.iter();
                listed(
                    "variant",
                    cases.map(|case| format!("{}({})", case.name, maybe(&case.ty))),
                )
            }
            TypeDefKind::Enum(one) => {
                listed("enum", one.cases.iter().map(|case| case.name.clone()))
            }
            TypeDefKind::Flags(flags) => {
                listed("flags", flags.flags.iter().map(|flag| flag.name.clone()))
            }
            TypeDefKind::Tuple(tuple) => listed("tuple", tuple.types.iter().map(ty)),
            TypeDefKind::Option(inner) => format!("option<{}>", ty(inner)),
            TypeDefKind::Result(result) => {
                format!("result<{}, {}>", maybe(&result.ok), maybe(&result.err))
            }
            TypeDefKind::List(inner) => format!("list<{}>", ty(inner)),
            TypeDefKind::Map(key, value) => format!("map<{}, {}>", ty(key), ty(value)),
            TypeDefKind::FixedLengthList(inner, length) => format!("list<{}, {length}>", ty(inner)),
            TypeDefKind::Future(inner) => format!("future<{}>", maybe(inner)),
            TypeDefKind::Stream(inner) => format!("stream<{}>", maybe(inner)),
            TypeDefKind::Type(inner) => ty(inner),
            TypeDefKind::Resource => "resource".to_owned(),
            TypeDefKind::Handle(Handle::Own(id)) => format!("own<{}>", ty(&Type::Id(*id))),
            TypeDefKind::Handle(Handle::Borrow(id)) => format!("borrow<{}>", ty(&Type::Id(*id))),
            TypeDefKind::Unknown => "unknown".to_owned(),
        }
    }
}

fn listed(word: &str, parts: impl Iterator<Item = String>) -> String {
    let parts: Vec<_> = parts.collect();
    format!("{word} {{ {} }}", parts.join(", "))
}
