//! What kernels have in their memory: tables of symbols in every layout, and types.

use oriel_guest::forge::{Blob, Entry, FORMS};

use super::Seed;
use crate::kallsyms::{IMAGE, START};

/// Every one.
pub(super) fn all() -> Vec<Seed> {
    let tables = FORMS.iter().enumerate().map(|(number, form)| Seed {
        target: "kallsyms",
        file: format!("seed-form-{number}"),
        bytes: form.table(&symbols(), START, IMAGE.start),
    });
    tables.chain([types()]).collect()
}

/// As few as a table can have, all in the image, so that every layout can express them.
fn symbols() -> Vec<Entry> {
    let addresses = (0..260).map(|number| IMAGE.start + number * 16);
    let names = (0..260).map(|number| match number {
        3 => "y".repeat(200),
        _ => format!("symbol_{}", number % 250),
    });
    let named = names.zip(addresses);
    named.map(|(name, address)| (b't', name, address)).collect()
}

/// A task and what it points at, and a module's type that points at a task.
fn types() -> Seed {
    let mut kernel = Blob::default();
    let int = kernel.int("int", 4);
    let byte = kernel.int("char", 1);
    let comm = kernel.array(byte, 16);
    let mm = kernel.structure("mm_struct", 16, &[("users", int, 0), ("pgd", int, 8)]);
    let to_mm = kernel.pointer(mm);
    let inner = kernel.structure("", 8, &[("a", int, 0), ("b", int, 4)]);
    let members = [("mm", to_mm, 0), ("", inner, 8), ("comm", comm, 16)];
    let task = kernel.structure("task_struct", 32, &members);
    let bits = [("few", int, 3 << 24), ("more", int, 5 << 24 | 3)];
    kernel.composite("flags", Blob::STRUCT | Blob::FLAG, 4, &bits);
    let bytes = kernel.bytes();
    let strings = u32::from_le_bytes(bytes[20..24].try_into().expect("a head"));
    let mut module = Blob::upon(kernel.count(), strings);
    let to_task = module.pointer(task);
    module.structure("owner", 8, &[("task", to_task, 0)]);
    let length = u16::try_from(bytes.len()).expect("a small one");
    Seed {
        target: "btf",
        file: "seed-task".to_owned(),
        bytes: [length.to_le_bytes().to_vec(), bytes, module.bytes()].concat(),
    }
}
