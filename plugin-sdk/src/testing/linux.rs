//! The Linux that the mock engine's guest is, if a test says that it is one. Owns what it answers; the
//! memory behind it is the test's to fill.

use std::collections::BTreeMap;

use crate::linux::{Area, Entry, Field, Kernel, Module, Source, Symbol, Task};

/// What a test has the guest's kernel be. Questions about what it does not have are answered with
/// `unknown`, as the engine answers them.
///
/// ```
/// use oriel_sdk::GuestOs;
/// use oriel_sdk::linux::Symbol;
/// use oriel_sdk::testing::{MockEngine, MockLinux};
///
/// let mut host = MockEngine::default();
/// let nobody = host.kernel().unwrap_err();
/// assert!(nobody.to_string().contains("no Linux kernel"));
///
/// let mut linux = MockLinux::new(0x10_0000);
/// let open = Symbol { name: "do_open".into(), address: 0xffff_ffff_8100_0000, kind: 't' };
/// linux.symbols.push(open);
/// host.linux = Some(linux);
/// assert_eq!(host.find_symbol("do_open", None)?.address, 0xffff_ffff_8100_0000);
/// assert_eq!(host.symbol_at(0xffff_ffff_8100_0010)?.name, "do_open");
/// assert!(host.find_field("task_struct.pid", None).is_err());
/// # Ok::<(), oriel_sdk::linux::Absence>(())
/// ```
#[derive(Clone, Debug)]
pub struct MockLinux {
    /// Which kernel it is. Kernel memory lies where the tables at its `cr3` lead.
    pub kernel: Kernel,
    /// Its symbols.
    pub symbols: Vec<Symbol>,
    /// Fields by their paths.
    pub fields: BTreeMap<String, Field>,
    /// Every process and thread in its lists.
    pub tasks: Vec<Task>,
    /// Tasks that are in no list.
    pub hidden: Vec<Task>,
    /// The numbers of those that run, by vCPU.
    pub current: BTreeMap<u32, u32>,
    /// Its modules.
    pub modules: Vec<Module>,
    /// Its system calls, of 64-bit programs and of 32-bit ones.
    pub calls: [Vec<Entry>; 2],
    /// The gates of every vCPU.
    pub gates: Vec<Entry>,
    /// Where its system calls, those of 32-bit programs, and its gates are written down.
    pub tables: [u64; 3],
    /// Its code and constants.
    pub areas: Vec<Area>,
}

impl MockLinux {
    /// A kernel that has nothing yet, with its page tables there.
    pub fn new(cr3: u64) -> Self {
        let release = "6.1.0-mock".to_owned();
        Self {
            kernel: Kernel {
                banner: format!("Linux version {release}"),
                release,
                start: 0xffff_ffff_8100_0000,
                end: 0xffff_ffff_8300_0000,
                cr3,
                slide: Some(0),
                source: Source::Lstar,
            },
            symbols: Vec::new(),
            fields: BTreeMap::new(),
            tasks: Vec::new(),
            hidden: Vec::new(),
            current: BTreeMap::new(),
            modules: Vec::new(),
            calls: [Vec::new(), Vec::new()],
            gates: Vec::new(),
            tables: [0; 3],
            areas: Vec::new(),
        }
    }
}
