//! What the memory of a Linux guest means, as the engine finds it.

mod words;

use oriel_protocol::{
    self as table,
    commands::{
        vcpu::{CurrentTask, GetInterrupts},
        vm::{
            FindField, FindSymbol, FindTask, FindVariants, GetKernel, HiddenTasks, ListAreas,
            ListModules, ListTasks, LocateKernel, SymbolAt, SystemCalls,
        },
    },
    linux::Told,
};

use super::bulk;
use crate::{
    bindings::oriel::introspection::guest_os::{
        Absence, Area, EntryList, Field, Host, Kernel, ModuleList, Piece, Symbol, Task, TaskList,
    },
    state::State,
};

impl Host for State {
    fn get_kernel(&mut self) -> Result<Kernel, Absence> {
        boxed(self.vm(GetKernel {}))
    }

    fn find_symbol(&mut self, name: String, module: Option<String>) -> Result<Symbol, Absence> {
        one(self.vm(FindSymbol { name, module }))
    }

    fn find_variants(&mut self, name: String) -> Result<Vec<Symbol>, Absence> {
        let found = self.vm(FindVariants { name });
        self.several(found)
    }

    fn symbol_at(&mut self, gva: u64) -> Result<Symbol, Absence> {
        one(self.vm(SymbolAt { gva }))
    }

    fn find_field(&mut self, path: String, module: Option<String>) -> Result<Field, Absence> {
        one(self.vm(FindField { path, module }))
    }

    fn list_tasks(&mut self) -> Result<TaskList, Absence> {
        let list = told(self.vm(ListTasks {}))?;
        Ok(TaskList {
            tasks: self.several(Ok(Ok(list.items)))?,
            ending: list.ending.into(),
            source: list.source.into(),
        })
    }

    fn find_task(&mut self, pid: u32) -> Result<Task, Absence> {
        boxed(self.vm(FindTask { pid }))
    }

    fn current_task(&mut self, vcpu: u32) -> Result<Task, Absence> {
        boxed(self.vcpu(vcpu, CurrentTask {}))
    }

    fn hidden_tasks(&mut self) -> Result<Vec<Task>, Absence> {
        let hidden = self.vm(HiddenTasks {});
        self.several(hidden)
    }

    fn list_modules(&mut self) -> Result<ModuleList, Absence> {
        let list = told(self.vm(ListModules {}))?;
        Ok(ModuleList {
            modules: self.several(Ok(Ok(list.items)))?,
            ending: list.ending.into(),
            source: list.source.into(),
        })
    }

    fn system_calls(&mut self, compat: bool) -> Result<EntryList, Absence> {
        one(self.vm(SystemCalls { compat }))
    }

    fn interrupts(&mut self, vcpu: u32) -> Result<EntryList, Absence> {
        one(self.vcpu(vcpu, GetInterrupts {}))
    }

    fn list_areas(&mut self) -> Result<Vec<Area>, Absence> {
        let areas = self.vm(ListAreas {});
        self.several(areas)
    }

    fn locate(&mut self, gva: u64, length: u32) -> Result<Vec<Piece>, Absence> {
        bulk(length as usize).map_err(refused)?;
        let pieces = self.vm(LocateKernel { gva, length });
        self.several(pieces)
    }
}

impl State {
    /// A list, if it is not more than one command may answer with.
    fn several<T, W: From<T>>(
        &self,
        answer: Result<Told<Vec<T>>, table::Refusal>,
    ) -> Result<Vec<W>, Absence> {
        let list = told(answer)?;
        let bytes = list.len().saturating_mul(size_of::<W>());
        self.fits(bytes).map_err(refused)?;
        Ok(list.into_iter().map(W::from).collect())
    }
}

fn one<T, W: From<T>>(answer: Result<Told<T>, table::Refusal>) -> Result<W, Absence> {
    told(answer).map(W::from)
}

fn boxed<T, W: From<T>>(answer: Result<Told<Box<T>>, table::Refusal>) -> Result<W, Absence> {
    told(answer).map(|found| W::from(*found))
}

fn told<T>(answer: Result<Told<T>, table::Refusal>) -> Result<T, Absence> {
    answer.map_err(refused)?.map_err(Absence::Unknown)
}

fn refused(refusal: table::Refusal) -> Absence {
    Absence::Refused(refusal.into())
}
