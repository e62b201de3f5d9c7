//! What a tool has on its way to one vCPU: commands, pauses, an injection. All of it is bounded.

use std::sync::{
    Condvar, Mutex, PoisonError,
    atomic::{AtomicU32, Ordering::SeqCst},
};

/// The most commands of one tool that wait for one vCPU; whoever receives waits then.
const COMMANDS_MAX: u32 = 64;

/// The most pauses of one tool that wait for one vCPU (KVMI: about a thousand).
const PAUSES_MAX: u32 = 1000;

/// What is on its way to one vCPU.
#[derive(Debug, Default)]
pub(in crate::tool) struct Lane {
    commands: Mutex<Traffic>,
    moved: Condvar,
    pauses: AtomicU32,
    /// The vector of the exception that the tool injected last, and one; 0: none.
    injected: AtomicU32,
    /// The tool had one instruction stepped by its answer to a page event.
    stepping: AtomicU32,
}

#[derive(Debug, Default)]
struct Traffic {
    waiting: u32,
    /// Nobody waits for room any more.
    open: bool,
}

impl Lane {
    /// Waits until there is room for one more command, and takes it.
    pub(in crate::tool) fn enter(&self) {
        let mut traffic = self.traffic();
        while traffic.waiting >= COMMANDS_MAX && !traffic.open {
            traffic = self
                .moved
                .wait(traffic)
                .unwrap_or_else(PoisonError::into_inner);
        }
        traffic.waiting += 1;
    }

    /// A command has been run.
    pub(in crate::tool) fn leave(&self) {
        let mut traffic = self.traffic();
        traffic.waiting = traffic.waiting.saturating_sub(1);
        drop(traffic);
        self.moved.notify_one();
    }

    /// Lets everybody through, because nothing counts any more.
    pub(in crate::tool) fn open(&self) {
        self.traffic().open = true;
        self.moved.notify_all();
    }

    fn traffic(&self) -> std::sync::MutexGuard<'_, Traffic> {
        self.commands.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more pause is wanted; whether there is room for it.
    pub(in crate::tool) fn add_pause(&self) -> bool {
        let more = |count| (count < PAUSES_MAX).then_some(count + 1);
        self.pauses.fetch_update(SeqCst, SeqCst, more).is_ok()
    }

    /// A pause is over, or told; whether there was one.
    pub(in crate::tool) fn take_pause(&self) -> bool {
        let fewer = |count: u32| count.checked_sub(1);
        self.pauses.fetch_update(SeqCst, SeqCst, fewer).is_ok()
    }

    /// The tool has injected an exception of this vector.
    pub(in crate::tool) fn set_injected(&self, vector: u8) {
        self.injected.store(u32::from(vector) + 1, SeqCst);
    }

    /// The vector of the exception that the tool has injected since this was last asked.
    pub(in crate::tool) fn take_injected(&self) -> Option<u8> {
        let kept = self.injected.swap(0, SeqCst).checked_sub(1)?;
        u8::try_from(kept).ok()
    }

    /// One instruction is stepped.
    pub(in crate::tool) fn begin_step(&self) {
        self.stepping.store(1, SeqCst);
    }

    /// Whether the instruction that was stepped was stepped for that.
    pub(in crate::tool) fn end_step(&self) -> bool {
        self.stepping.swap(0, SeqCst) == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_bounded_and_none_is_told_twice() {
        let lane = Lane::default();
        assert!((0..PAUSES_MAX).all(|_| lane.add_pause()));
        assert!(!lane.add_pause(), "one too many");
        assert!((0..PAUSES_MAX).all(|_| lane.take_pause()));
        assert!(!lane.take_pause());
    }

    #[test]
    fn whoever_waits_for_room_gets_it_when_a_command_has_run() {
        let lane = Lane::default();
        (0..COMMANDS_MAX).for_each(|_| lane.enter());
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| lane.enter());
            lane.leave();
            waiting.join().unwrap();
        });
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| lane.enter());
            lane.open();
            waiting.join().unwrap();
        });
    }

    #[test]
    fn an_injection_is_remembered_once() {
        let lane = Lane::default();
        lane.set_injected(0);
        assert_eq!(lane.take_injected(), Some(0));
        assert_eq!(lane.take_injected(), None);
    }
}
