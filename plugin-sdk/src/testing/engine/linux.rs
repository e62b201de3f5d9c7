//! What a test has its Linux answer, question by question.

use super::{Command, MockEngine};
use crate::linux::{
    Absence, Area, Ending, EntryList, Field, Kernel, ModuleList, Piece, Source, Symbol, Task,
    TaskList,
};
use crate::testing::MockLinux;
use crate::{GuestOs, Refusal};

const PAGE: u64 = 4096;
/// The most that one command locates, in bytes.
const MOST: u32 = 65536;

impl MockEngine {
    fn linux(&mut self, command: Command) -> Result<&mut MockLinux, Absence> {
        self.admit(command)?;
        let none = "no Linux kernel is mapped: the guest has not booted, or is another system";
        let linux = self.linux.as_mut();
        linux.ok_or_else(|| Absence::Unknown(none.to_owned()))
    }
}

impl MockLinux {
    fn symbol(&self, name: &str) -> Result<Symbol, Absence> {
        let named = self.symbols.iter().filter(|symbol| symbol.name == name);
        let lowest = named.min_by_key(|symbol| symbol.address).cloned();
        lowest.ok_or_else(|| unknown(format!("the kernel lists no symbol {name}")))
    }

    fn task(&self, pid: u32) -> Result<Task, Absence> {
        let mut all = self.tasks.iter().chain(&self.hidden);
        let task = all.find(|task| task.pid == pid).cloned();
        task.ok_or_else(|| unknown(format!("no task has the number {pid}")))
    }

    fn has_module(&self, name: Option<&str>) -> Result<(), Absence> {
        let known = name.is_none_or(|name| self.modules.iter().any(|module| module.name == name));
        let name = name.unwrap_or_default();
        known
            .then_some(())
            .ok_or_else(|| unknown(format!("no module {name} is loaded")))
    }
}

fn unknown(why: String) -> Absence {
    Absence::Unknown(why)
}

/// Whether one is the other, but for what compilers append.
fn is_variant(symbol: &str, name: &str) -> bool {
    let rest = symbol.strip_prefix(name);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.') && rest != ".cold")
}

impl GuestOs for MockEngine {
    fn kernel(&mut self) -> Result<Kernel, Absence> {
        Ok(self.linux(Command::Kernel)?.kernel.clone())
    }

    fn find_symbol(&mut self, name: &str, module: Option<&str>) -> Result<Symbol, Absence> {
        let linux = self.linux(Command::FindSymbol)?;
        linux.has_module(module)?;
        linux.symbol(name)
    }

    fn find_variants(&mut self, name: &str) -> Result<Vec<Symbol>, Absence> {
        let linux = self.linux(Command::FindVariants)?;
        let found = linux
            .symbols
            .iter()
            .filter(|one| is_variant(&one.name, name));
        Ok(found.cloned().collect())
    }

    fn symbol_at(&mut self, gva: u64) -> Result<Symbol, Absence> {
        let linux = self.linux(Command::SymbolAt)?;
        let before = linux.symbols.iter().filter(|one| one.address <= gva);
        let last = before.max_by_key(|one| one.address).cloned();
        last.ok_or_else(|| unknown(format!("no symbol begins before {gva:#x}")))
    }

    fn find_field(&mut self, path: &str, module: Option<&str>) -> Result<Field, Absence> {
        let linux = self.linux(Command::FindField)?;
        linux.has_module(module)?;
        let field = linux.fields.get(path).cloned();
        field.ok_or_else(|| unknown(format!("{path} names no member of this kernel's types")))
    }

    fn tasks(&mut self) -> Result<TaskList, Absence> {
        let tasks = self.linux(Command::Tasks)?.tasks.clone();
        Ok(TaskList {
            tasks: tasks
                .into_iter()
                .filter(|task| task.pid == task.tgid)
                .collect(),
            ending: Ending::Whole,
            source: Source::KallsymsAndBtf,
        })
    }

    fn find_task(&mut self, pid: u32) -> Result<Task, Absence> {
        self.linux(Command::FindTask)?.task(pid)
    }

    fn current_task(&mut self, vcpu: u32) -> Result<Task, Absence> {
        let linux = self.linux(Command::CurrentTask)?;
        let pid = linux.current.get(&vcpu).copied();
        linux.task(pid.ok_or(Refusal::NotFound)?)
    }

    fn hidden_tasks(&mut self) -> Result<Vec<Task>, Absence> {
        Ok(self.linux(Command::HiddenTasks)?.hidden.clone())
    }

    fn modules(&mut self) -> Result<ModuleList, Absence> {
        Ok(ModuleList {
            modules: self.linux(Command::Modules)?.modules.clone(),
            ending: Ending::Whole,
            source: Source::KallsymsAndBtf,
        })
    }

    fn system_calls(&mut self, compat: bool) -> Result<EntryList, Absence> {
        let linux = self.linux(Command::SystemCalls)?;
        let which = usize::from(compat);
        Ok(EntryList {
            entries: linux.calls[which].clone(),
            start: linux.tables[which],
            source: Source::Neighbour,
        })
    }

    fn interrupts(&mut self, _: u32) -> Result<EntryList, Absence> {
        let linux = self.linux(Command::Interrupts)?;
        Ok(EntryList {
            entries: linux.gates.clone(),
            start: linux.tables[2],
            source: Source::Register,
        })
    }

    fn areas(&mut self) -> Result<Vec<Area>, Absence> {
        Ok(self.linux(Command::Areas)?.areas.clone())
    }

    fn locate(&mut self, gva: u64, length: u32) -> Result<Vec<Piece>, Absence> {
        let cr3 = self.linux(Command::Locate)?.kernel.cr3;
        if length == 0 || length > MOST {
            return Err(Refusal::Invalid.into());
        }
        let mut pieces: Vec<Piece> = Vec::new();
        let (mut at, mut left) = (gva, u64::from(length));
        while left > 0 {
            let here = left.min(PAGE - at % PAGE);
            let found = self.memory.translate(cr3, at);
            let gpa = found.map_err(|_| unknown(format!("nothing is mapped at {at:#x}")))?;
            let count = u32::try_from(here).map_err(|_| Refusal::Invalid)?;
            match pieces.last_mut() {
                Some(last) if last.gpa + u64::from(last.length) == gpa => last.length += count,
                Some(_) | None => pieces.push(Piece { gpa, length: count }),
            }
            left -= here;
            at = at.checked_add(here).ok_or(Refusal::Invalid)?;
        }
        Ok(pieces)
    }
}
