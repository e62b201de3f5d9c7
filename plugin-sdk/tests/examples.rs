//! Every public item of the SDK is shown in an example that is compiled and run with the tests.
//!
//! Looks at the sources as syntax: what is `pub`, its name, and the code in the docs of the same file.
//! That the code is right is `cargo test --doc`'s business.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use syn::{
    Attribute, ImplItem, Item, Meta, TraitItem, UseTree, Visibility,
    visit::{self, Visit},
};

/// What is generated, or made for macros only.
const NOT_FOR_AUTHORS: [&str; 5] = [
    "bindings",
    "bindings.rs",
    "export.rs",
    "native",
    "native.rs",
];
/// The engine in a component, which authors never name.
const NEVER_NAMED: [&str; 1] = ["Engine"];

/// What a file has for authors, and what its docs show.
#[derive(Default)]
struct File {
    items: BTreeSet<String>,
    shown: String,
}

impl File {
    fn read(path: &Path) -> Self {
        Self::of(&fs::read_to_string(path).expect("a source file"))
    }

    fn of(text: &str) -> Self {
        let mut file = Self {
            shown: code_in_docs(text),
            ..Self::default()
        };
        file.visit_file(&syn::parse_file(text).expect("Rust"));
        file
    }

    fn take(&mut self, visible: &Visibility, attributes: &[Attribute], name: &syn::Ident) {
        if matches!(visible, Visibility::Public(_)) && !is_hidden(attributes) {
            self.items.insert(name.to_string());
        }
    }

    fn take_uses(&mut self, tree: &UseTree) {
        match tree {
            UseTree::Path(path) => self.take_uses(&path.tree),
            UseTree::Name(name) => drop(self.items.insert(name.ident.to_string())),
            UseTree::Rename(name) => drop(self.items.insert(name.rename.to_string())),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.take_uses(tree)),
            UseTree::Glob(_) => {}
        }
    }

    /// What is not shown anywhere in the file.
    fn missing(&self) -> Vec<&str> {
        let words = self.shown.split(|c: char| !c.is_alphanumeric() && c != '_');
        let words: BTreeSet<&str> = words.collect();
        let items = self.items.iter().map(String::as_str);
        items
            .filter(|name| !words.contains(name) && !NEVER_NAMED.contains(name))
            .collect()
    }
}

/// Constants are shown where they are used, and modules by what is in them.
impl<'ast> Visit<'ast> for File {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "of Rust's items, these are the ones that authors name"
    )]
    fn visit_item(&mut self, item: &'ast Item) {
        match item {
            Item::Fn(it) => self.take(&it.vis, &it.attrs, &it.sig.ident),
            Item::Struct(it) => self.take(&it.vis, &it.attrs, &it.ident),
            Item::Enum(it) => self.take(&it.vis, &it.attrs, &it.ident),
            Item::Type(it) => self.take(&it.vis, &it.attrs, &it.ident),
            Item::Trait(it) => self.take(&it.vis, &it.attrs, &it.ident),
            Item::Mod(it) if is_test(&it.attrs) => return,
            // Others are no items for authors, or are looked into below.
            _ => {}
        }
        visit::visit_item(self, item);
    }

    /// Names that come from the WIT are the SDK's own.
    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        let own = matches!(&item.tree, UseTree::Path(path) if path.ident == "wit" || path.ident == "types");
        if own && matches!(item.vis, Visibility::Public(_)) {
            self.take_uses(&item.tree);
        }
    }

    fn visit_impl_item(&mut self, item: &'ast ImplItem) {
        if let ImplItem::Fn(it) = item {
            self.take(&it.vis, &it.attrs, &it.sig.ident);
        }
    }

    fn visit_item_trait(&mut self, item: &'ast syn::ItemTrait) {
        if !matches!(item.vis, Visibility::Public(_)) {
            return;
        }
        for inner in &item.items {
            if let TraitItem::Fn(it) = inner {
                self.items.insert(it.sig.ident.to_string());
            }
        }
    }
}

/// The code in a file's docs, without what is marked as not compiled.
fn code_in_docs(text: &str) -> String {
    let docs = text.lines().map(str::trim);
    let docs = docs.filter_map(|line| line.strip_prefix("///").or(line.strip_prefix("//!")));
    let mut shown = String::new();
    // What kind of block it is in, if in any.
    let mut block: Option<&str> = None;
    for line in docs {
        match (line.trim().strip_prefix("```"), block) {
            (Some(word), None) => block = Some(word),
            (Some(_), Some(_)) => block = None,
            (None, Some("")) => shown.extend([line, "\n"]),
            (None, Some(_) | None) => {}
        }
    }
    shown
}

fn is_hidden(attributes: &[Attribute]) -> bool {
    has(attributes, "doc", "hidden")
}

fn is_test(attributes: &[Attribute]) -> bool {
    has(attributes, "cfg", "test")
}

fn has(attributes: &[Attribute], name: &str, inside: &str) -> bool {
    let is = |attribute: &Attribute| {
        matches!(&attribute.meta, Meta::List(list)
            if list.path.is_ident(name) && list.tokens.to_string() == inside)
    };
    attributes.iter().any(is)
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if NOT_FOR_AUTHORS.contains(&&*name) || name == "tests.rs" {
            continue;
        }
        if path.is_dir() {
            sources(&path, found);
        } else if name.ends_with(".rs") {
            found.push(path);
        }
    }
}

#[test]
fn every_public_item_is_shown_in_an_example_of_its_file() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&folder, &mut files);
    assert!(files.len() > 50, "{files:?}");
    let wrong = files.iter().filter_map(|path| {
        let file = File::read(path);
        let missing = file.missing().join(", ");
        let shown = path.strip_prefix(&folder).unwrap_or(path).display();
        (!missing.is_empty()).then(|| format!("{shown}: {missing}"))
    });
    let wrong: Vec<_> = wrong.collect();
    assert!(wrong.is_empty(), "no example shows\n{}", wrong.join("\n"));
}

#[test]
fn an_item_that_no_example_shows_is_found() {
    let text = "/// One.\n/// ```\n/// shown();\n/// ```\npub fn shown() {}\npub fn hidden() {}";
    assert_eq!(File::of(text).missing(), ["hidden"]);
}
