//! Who is in which list. Owns the comparison; what a difference means is the reader's to judge.
//!
//! A guest that runs changes its lists while they are read. So whoever is missed is looked for
//! once more, and only who is missed twice is told.

use std::collections::{BTreeMap, HashSet};

use oriel_protocol::Gva;
use serde::Serialize;

use super::Task;
use crate::{answer::Unknown, guest::Guest, lists::Ending, sight::Sight};

/// A task, and where it was met.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Seen {
    /// Who.
    pub task: Task,
    /// In the list of processes, or in that of the threads of one that is.
    pub listed: bool,
    /// In the tree of pids, under its own number.
    pub numbered: bool,
    /// By these vCPUs, which run it.
    pub current_of: Vec<u32>,
}

impl Seen {
    /// Whether it runs or has a number, and is in no list: `ps` does not show it, and it is there.
    pub const fn is_hidden(&self) -> bool {
        !self.listed && (self.numbered || !self.current_of.is_empty())
    }
}

/// Every task by every way that leads to one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CrossView {
    /// By pid.
    pub tasks: Vec<Seen>,
    /// Whether the list of processes was walked to its end.
    pub list: Ending,
    /// Whether the tree of pids was; none where it is not known.
    pub tree: Option<Ending>,
}

impl CrossView {
    /// The tasks that are in no list.
    pub fn hidden(&self) -> impl Iterator<Item = &Seen> {
        self.tasks.iter().filter(|seen| seen.is_hidden())
    }
}

type ByAddress = BTreeMap<Gva, Seen>;

impl Guest<'_> {
    /// Compares the list of processes and their threads with the tree of pids and with what these
    /// vCPUs run.
    ///
    /// # Errors
    /// As [`tasks`](Self::tasks).
    pub fn cross_view(&self, sights: &[Sight]) -> Result<CrossView, Unknown> {
        let mut view = self.look(sights)?;
        if view.hidden().next().is_some() {
            let again = self.look(sights)?;
            let missed = |seen: &Seen| (seen.task.address, seen.task.pid);
            let hidden: HashSet<_> = again.hidden().map(missed).collect();
            view.tasks
                .retain(|seen| !seen.is_hidden() || hidden.contains(&missed(seen)));
        }
        Ok(view)
    }

    fn look(&self, sights: &[Sight]) -> Result<CrossView, Unknown> {
        let mut met = ByAddress::new();
        // Numbers first: who starts meanwhile is in the list by then.
        let tree = self.meet_numbered(&mut met);
        self.meet_current(&mut met, sights);
        let list = self.meet_listed(&mut met)?;
        let mut tasks: Vec<_> = met.into_values().collect();
        tasks.sort_by_key(|seen| seen.task.pid);
        Ok(CrossView { tasks, list, tree })
    }

    fn meet_listed(&self, met: &mut ByAddress) -> Result<Ending, Unknown> {
        let all = self.threads().or_else(|_| self.tasks())?;
        for task in all.items {
            seen(met, task).listed = true;
        }
        Ok(all.ending)
    }

    fn meet_numbered(&self, met: &mut ByAddress) -> Option<Ending> {
        let (pids, layout) = (self.pids().ok()?, self.layout().ok()?);
        for (pid, address) in pids.items {
            let task = layout.task(self.space(), address);
            if let Some(task) = task.ok().filter(|task| task.pid == pid) {
                seen(met, task).numbered = true;
            }
        }
        Some(pids.ending)
    }

    /// The idle tasks are nobody's: they are in no list, and have no number.
    fn meet_current(&self, met: &mut ByAddress, sights: &[Sight]) {
        for sight in sights {
            let current = self.current(sight).ok();
            if let Some(current) = current.filter(|current| current.value.pid != 0) {
                seen(met, current.value).current_of.push(sight.vcpu);
            }
        }
    }
}

fn seen(met: &mut ByAddress, task: Task) -> &mut Seen {
    met.entry(task.address).or_insert_with(|| Seen {
        task,
        listed: false,
        numbered: false,
        current_of: Vec::new(),
    })
}
