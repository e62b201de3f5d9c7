//! Where an exec can be met in a kernel. Owns the table of places; looks for them by their names and
//! breaks at none.

use oriel_sdk::GuestOs;
use oriel_sdk::linux::{Absence, Symbol};

/// A function of the kernel (`fs/exec.c`, `security/security.c`) through which execs go. Its first
/// argument, in RDI, is the `struct linux_binprm` of the exec.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Point {
    /// Its name.
    pub(crate) name: &'static str,
    /// When it is called.
    pub(crate) stage: Stage,
    /// It may return an errno without having run: it answers with one, has been handed nothing that
    /// it would have to give back, and its callers undo what they have done.
    pub(crate) can_refuse: bool,
    /// Other files of the kernel call it too, so that the function is there as a whole even where a
    /// part of it has been split off.
    global: bool,
}

/// When in an exec a function is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// For the program, and once more for each interpreter that a script names: the file is open,
    /// the arguments are copied.
    EachFile,
    /// Once, when the arguments are copied; before 6.8 the file is not open yet, and may not exist.
    Asked,
    /// Once, when it is known what will run: the file is that of the last interpreter.
    Chosen,
}

/// The places, the best first.
///
/// 1. `security_bprm_check`, in every kernel with security modules: from `search_binary_handler`,
///    whose callers take any error before there is something to undo. In 5.4 to 5.7 that calls
///    itself for an interpreter; since then it is called in a loop.
/// 2. `bprm_execve`, since 5.9: its callers free what they have made, whatever it says. GCC splits
///    it in some builds; the part has a lock taken already, so it is not used.
/// 3. `search_binary_handler`, up to 5.7, where modules can call it: as the first.
/// 4. `begin_new_exec`, since 5.8: loaders give up if it fails, as it does before it has begun.
/// 5. `setup_new_exec`: the old program is gone, and there is no errno.
pub(crate) const POINTS: [Point; 5] = [
    Point {
        name: "security_bprm_check",
        stage: Stage::EachFile,
        can_refuse: true,
        global: true,
    },
    Point {
        name: "bprm_execve",
        stage: Stage::Asked,
        can_refuse: true,
        global: false,
    },
    Point {
        name: "search_binary_handler",
        stage: Stage::EachFile,
        can_refuse: true,
        global: false,
    },
    Point {
        name: "begin_new_exec",
        stage: Stage::Chosen,
        can_refuse: true,
        global: true,
    },
    Point {
        name: "setup_new_exec",
        stage: Stage::Chosen,
        can_refuse: false,
        global: true,
    },
];

/// More clones of one function than any compiler makes; each takes a breakpoint.
pub(crate) const MOST_CLONES: usize = 8;

/// The best place that this kernel has, and where its clones begin.
///
/// # Errors
/// It has none, with what was said of the last one; or the right was not granted.
pub(crate) fn find(host: &mut impl GuestOs) -> Result<(&'static Point, Vec<u64>), Absence> {
    let mut why = "it has none of them as a whole".to_owned();
    for point in &POINTS {
        let symbols = match host.find_variants(point.name) {
            Ok(symbols) => symbols,
            Err(Absence::Unknown(reason)) => {
                why = reason;
                continue;
            }
            Err(refused @ Absence::Refused(_)) => return Err(refused),
        };
        let clones = point.clones(&symbols);
        if !clones.is_empty() {
            return Ok((point, clones));
        }
    }
    let names = POINTS.each_ref().map(|point| point.name).join(", ");
    Err(Absence::Unknown(format!("{why} (looked for: {names})")))
}

impl Point {
    /// Where the function begins, once for each whole clone; nowhere, if some calls of it might go
    /// past all of them.
    fn clones(&self, symbols: &[Symbol]) -> Vec<u64> {
        let is_part = |symbol: &&Symbol| symbol.name.contains(".part.");
        if !self.global && symbols.iter().any(|symbol| is_part(&symbol)) {
            return Vec::new();
        }
        let whole = symbols.iter().filter(|symbol| symbol.is_code());
        let whole = whole.filter(|symbol| !is_part(symbol) && !symbol.name.contains(".cold"));
        let mut clones: Vec<u64> = whole.map(|symbol| symbol.address).collect();
        clones.sort_unstable();
        clones.dedup();
        if clones.len() > MOST_CLONES {
            clones.clear();
        }
        clones
    }
}
