//! Tasks by the kernel's list of processes, and the list of threads of each.

use oriel_protocol::Gva;

use super::{Listing, Task};
use crate::{
    answer::Unknown,
    guest::Guest,
    lists::{Ending, List},
};

/// More threads than all processes together have.
const MOST_THREADS: usize = 1 << 17;

impl Guest<'_> {
    /// Every process, the kernel's threads too, in the order of their start. The idle tasks with
    /// number 0 are in no list.
    ///
    /// # Errors
    /// [`Unknown`] where the list's head or the layout of tasks is.
    pub fn tasks(&self) -> Result<Listing<Task>, Unknown> {
        let (layout, init) = (self.layout()?, self.init_task()?);
        let mut list = List::new(self.space(), init.value.wrapping_add(layout.tasks));
        let mut items = Vec::new();
        let mut ending = None;
        for entry in list.by_ref() {
            let address = entry.wrapping_sub(layout.tasks);
            match layout.task(self.space(), address) {
                Ok(task) => items.push(task),
                // What is no task does not lead on to any.
                Err(_) => {
                    ending = Some(Ending::Broken);
                    break;
                }
            }
        }
        Ok(Listing {
            items,
            ending: ending.unwrap_or_else(|| list.ending()),
            source: self.source_with(init.source, layout.source()),
        })
    }

    /// Every thread of every process in the list, a process's first one with it.
    ///
    /// # Errors
    /// As [`tasks`](Self::tasks); [`Unknown::Member`] where the list of threads has no known place.
    pub fn threads(&self) -> Result<Listing<Task>, Unknown> {
        let layout = self.layout()?;
        let known = layout.threads;
        known.ok_or_else(|| Unknown::Member("signal_struct.thread_head".to_owned()))?;
        let processes = self.tasks()?;
        let mut all = Listing {
            items: Vec::new(),
            ..processes
        };
        for process in processes.items {
            let (threads, ending) = self.threads_of(&process);
            all.ending = all.ending.and(ending);
            all.items.extend(threads);
            if all.items.len() > MOST_THREADS {
                all.ending = Ending::Endless;
                break;
            }
        }
        Ok(all)
    }

    /// The threads of a process, itself first if it is among them.
    fn threads_of(&self, process: &Task) -> (Vec<Task>, Ending) {
        let Some((mut list, node)) = self.thread_list(process.address) else {
            return (vec![process.clone()], Ending::Broken);
        };
        let threads = list.by_ref().filter_map(|entry| {
            let address = entry.wrapping_sub(node);
            if address == process.address {
                return Some(process.clone());
            }
            self.layout().ok()?.task(self.space(), address).ok()
        });
        let mut threads: Vec<_> = threads.collect();
        if threads.is_empty() {
            threads.push(process.clone());
        }
        (threads, list.ending())
    }

    fn thread_list(&self, process: Gva) -> Option<(List<'_>, u64)> {
        let known = self.layout().ok()?.threads?;
        let shared = self.space().u64(process.wrapping_add(known.signal)).ok()?;
        let head = shared.wrapping_add(known.head);
        let list = List::new(self.space(), head).at_most(MOST_THREADS);
        Some((list, known.node))
    }
}
