//! Processes, threads, and who is hidden: each with the vCPUs that run it.

use oriel_guest::{Guest, Sight, Task, Unknown};
use serde_json::{Value as Json, json};

use super::words::found;

/// A vCPU and the task that it runs, if that is known.
type Running = (u32, Option<Task>);

pub(super) fn tasks(guest: &Guest<'_>, sights: &[Sight], threads: bool) -> Result<Json, Unknown> {
    let listing = if threads {
        guest.threads()?
    } else {
        guest.tasks()?
    };
    let running = running(guest, sights);
    let tasks = listing.items.iter().map(|task| {
        // A process runs where any of its threads does.
        let runs = |current: &Task| match threads {
            true => current.address == task.address,
            false => current.tgid == task.tgid && task.tgid != 0,
        };
        let vcpus = running
            .iter()
            .filter(|(_, current)| current.as_ref().is_some_and(runs));
        shown(guest, task, vcpus.map(|(vcpu, _)| *vcpu).collect())
    });
    Ok(json!({
        "tasks": tasks.collect::<Vec<_>>(),
        "ending": listing.ending,
        "source": listing.source,
        "vcpus": sights.iter().map(|sight| current(guest, sight)).collect::<Vec<_>>(),
    }))
}

fn running(guest: &Guest<'_>, sights: &[Sight]) -> Vec<Running> {
    let current = |sight: &Sight| guest.current(sight).ok().map(|current| current.value);
    let vcpus = sights.iter().map(|sight| (sight.vcpu, current(sight)));
    vcpus.collect()
}

/// Who is in no list, though he runs or has a number.
pub(super) fn hidden(guest: &Guest<'_>, sights: &[Sight]) -> Result<Json, Unknown> {
    let view = guest.cross_view(sights)?;
    let hidden = view.hidden().map(|seen| {
        let mut task = shown(guest, &seen.task, seen.current_of.clone());
        task["numbered"] = seen.numbered.into();
        task
    });
    Ok(json!({
        "hidden": hidden.collect::<Vec<_>>(),
        "compared": view.tasks.len(),
        "list": view.list,
        "tree": view.tree,
    }))
}

/// A task with its name in full.
fn shown(guest: &Guest<'_>, task: &Task, vcpus: Vec<u32>) -> Json {
    let mut shown = json!(task);
    shown["name"] = guest.name_of(task).into();
    shown["vcpus"] = vcpus.into();
    shown
}

/// What a vCPU runs.
pub(super) fn current(guest: &Guest<'_>, sight: &Sight) -> Json {
    let current = guest.current(sight);
    let short =
        |task: Task| json!({ "pid": task.pid, "tgid": task.tgid, "name": guest.name_of(&task) });
    json!({ "vcpu": sight.vcpu, "current": found(current.map(|task| task.map(short))) })
}
