//! The task that a vCPU runs, by its per-CPU area. Owns the two places where kernels keep it.

use oriel_protocol::Gva;

use super::Task;
use crate::{
    answer::{Answer, Found, Source, Unknown},
    guest::Guest,
    sight::Sight,
};

/// Kernel addresses are in the upper half.
const KERNEL: u64 = 1 << 63;

impl Guest<'_> {
    /// The task that a vCPU runs. What GS says is believed only where it leads to a task.
    ///
    /// # Errors
    /// [`Unknown`] where the place, the per-CPU area or the layout is.
    pub fn current(&self, sight: &Sight) -> Answer<Task> {
        let place = self.current_place()?;
        let mut failure = Unknown::Register("the base of GS");
        for (area, source) in self.areas(sight) {
            match self.current_in(area, place) {
                Ok(task) => return Ok(Found::new(task, source)),
                Err(unknown) => failure = unknown,
            }
        }
        Err(failure)
    }

    /// Where the pointer is in each area: `current_task`, or `pcpu_hot` from 6.2 to 6.14.
    fn current_place(&self) -> Result<u64, Unknown> {
        self.symbol("current_task").or_else(|unknown| {
            let hot = self.symbol("pcpu_hot").map_err(|_| unknown)?;
            let inside = self.types()?.offset("pcpu_hot.current_task")?;
            Ok(hot.wrapping_add(inside))
        })
    }

    /// Where the per-CPU area of a vCPU may be, the surest first: GS in the kernel, what SWAPGS
    /// keeps in user mode, and the kernel's table by number.
    fn areas(&self, sight: &Sight) -> Vec<(u64, Source)> {
        let registers = [sight.gs_base, sight.kernel_gs_base].into_iter().flatten();
        let registers = registers.filter(|base| base & KERNEL != 0);
        let registers = registers.map(|base| (base, Source::Register));
        let listed = self.area_of(sight.vcpu).ok();
        registers
            .chain(listed.map(|base| (base, Source::KallsymsAndBtf)))
            .collect()
    }

    /// The per-CPU area of a CPU. Which vCPU has which number is the kernel's choice; it is
    /// nearly always the order in which they are.
    fn area_of(&self, cpu: u32) -> Result<u64, Unknown> {
        let table = self.symbol("__per_cpu_offset")?;
        self.space().u64(table.wrapping_add(u64::from(cpu) * 8))
    }

    fn current_in(&self, area: u64, place: u64) -> Result<Task, Unknown> {
        let task = self.space().u64(area.wrapping_add(place))?;
        if task & KERNEL == 0 || !self.is_task(task)? {
            return Err(Unknown::Damaged("the per-CPU area"));
        }
        self.layout()?.task(self.space(), task)
    }

    /// Whether a task's entry in the list of processes leads away and back. That of a thread, or
    /// of an idle task, is its own neighbour or nobody's: then its name has to be one.
    fn is_task(&self, task: Gva) -> Result<bool, Unknown> {
        let layout = self.layout()?;
        let known = layout.task(self.space(), task)?;
        let entry = task.wrapping_add(layout.tasks);
        let next = self.space().u64(entry)?;
        let back = self.space().u64(next.wrapping_add(8)).ok();
        let named = !known.comm.is_empty() && !known.comm.contains('\u{fffd}');
        Ok(named || back == Some(entry))
    }
}
