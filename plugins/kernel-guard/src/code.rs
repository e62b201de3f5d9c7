//! Where patched code may lead: functions of the kernel, modules, and code that the kernel has made
//! and lists. Owns what is known of it in one call by the clock.

mod made;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use oriel_sdk::linux::{Absence, ModuleState, PartKind, ReadKernel};

use crate::image::Image;

/// How far behind a function's symbol it may be entered: behind ENDBR, or the check that clang puts
/// there.
const ENTRY: u64 = 16;
/// Symbols that are asked for in one call.
const QUESTIONS: usize = 128;
/// For so many nanoseconds code counts as made by the kernel after it was listed last: who takes a tracer
/// away takes it out of the list first, and then has thousands of functions no longer call it.
const GRACE: u64 = 60_000_000_000;

/// What is known.
#[derive(Debug, Default)]
pub(crate) struct Code {
    /// Functions of the kernel that were asked for.
    functions: BTreeSet<u64>,
    questions: usize,
    /// Code outside of the image, as it was found in this call.
    outside: Option<Vec<Range<u64>>>,
    /// Code that the kernel has made, by where it begins: where it ends, and when it was last
    /// listed.
    made: BTreeMap<u64, (u64, u64)>,
    /// When this call began, and whether the lists were read in it.
    now: u64,
    is_read: bool,
    /// Lists that could not be read: then what they might hold is let through.
    pub(crate) gaps: BTreeSet<String>,
}

impl Code {
    /// A call begins: code outside of the image may have gone.
    pub(crate) fn begin(&mut self, now: u64) {
        self.outside = None;
        self.questions = 0;
        (self.now, self.is_read) = (now, false);
    }

    /// Whether patched code may lead there.
    pub(crate) fn may_be_entered(
        &mut self,
        at: u64,
        image: &Image,
        host: &mut impl ReadKernel,
    ) -> bool {
        if image.is_code(at) {
            return self.is_function(at, host);
        }
        let outside = match self.outside.take() {
            Some(known) => known,
            None => self.modules(host),
        };
        let is_there = self
            .outside
            .insert(outside)
            .iter()
            .any(|one| one.contains(&at));
        is_there || self.is_made(at, host)
    }

    /// Whether a function of the kernel begins there. In a call with too many questions: whether code
    /// is there; the next round asks again.
    fn is_function(&mut self, at: u64, host: &mut impl ReadKernel) -> bool {
        if self.functions.contains(&at) || self.questions >= QUESTIONS {
            return true;
        }
        self.questions += 1;
        // Nobody can say what begins where.
        let Ok(symbol) = host.symbol_at(at) else {
            return true;
        };
        let begins = at.wrapping_sub(symbol.address) <= ENTRY;
        if begins {
            self.functions.insert(at);
        }
        begins
    }

    /// The code of modules.
    fn modules(&mut self, host: &mut impl ReadKernel) -> Vec<Range<u64>> {
        let modules = match host.modules() {
            Ok(list) => list.modules,
            Err(absence) => {
                self.gaps.insert(format!("modules: {absence}"));
                return Vec::new();
            }
        };
        let there = modules
            .iter()
            .filter(|one| one.state != ModuleState::Unformed);
        let parts = there.flat_map(|module| &module.parts);
        let code = parts.filter(|part| matches!(part.kind, PartKind::Text));
        code.map(|part| part.start..part.start.saturating_add(part.size))
            .collect()
    }

    fn is_made(&mut self, at: u64, host: &mut impl ReadKernel) -> bool {
        if !self.is_read {
            self.find_made(host);
        }
        let before = self.made.range(..=at).next_back();
        let is_there = before.is_some_and(|(_, (end, _))| at < *end);
        // What cannot be said is no alarm; that it cannot be said is told.
        is_there || (!self.gaps.is_empty() && host.locate(at, 1).is_ok())
    }

    fn find_made(&mut self, host: &mut impl ReadKernel) {
        let (mut all, now) = (Vec::new(), self.now);
        self.is_read = true;
        self.add("trampolines of tracers", made::trampolines(host, &mut all));
        self.add("code of BPF", made::programs(host, &mut all));
        self.made
            .retain(|_, (_, listed)| listed.saturating_add(GRACE) >= now);
        let listed = all.into_iter().map(|one| (one.start, (one.end, now)));
        self.made.extend(listed);
    }

    fn add(&mut self, what: &str, read: Result<(), Absence>) {
        if let Err(absence) = read {
            self.gaps.insert(format!("{what}: {absence}"));
        }
    }
}
