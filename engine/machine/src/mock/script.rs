//! The steps of one vCPU, and how far it is.

use super::step::{Action, Step};

/// What one vCPU does, from the first step to the last, or round and round.
#[derive(Debug)]
pub(super) struct Script {
    /// Each with its position among the steps of all.
    steps: Box<[(usize, Step)]>,
    looping: bool,
    /// The step that is being played.
    at: usize,
    /// How often it has been played already.
    done: u64,
}

impl Script {
    /// The steps of this vCPU among those of all. A script that loops has no end of its own.
    pub(super) fn new(steps: &[Step], vcpu: u32, looping: bool) -> Self {
        let ends = |step: &Step| looping && matches!(step.action, Action::Finish(_));
        let own = steps.iter().enumerate();
        let own = own.filter(|(_, step)| step.vcpu == vcpu && !ends(step));
        Self {
            steps: own.map(|(at, step)| (at, step.clone())).collect(),
            looping,
            at: 0,
            done: 0,
        }
    }

    /// The step to play; none at the end.
    pub(super) fn now(&self) -> Option<&Step> {
        self.steps.get(self.at).map(|(_, step)| step)
    }

    /// The position of that step among the steps of all vCPUs.
    pub(super) fn position(&self) -> usize {
        self.steps.get(self.at).map_or(self.at, |(at, _)| *at)
    }

    /// Whether it has no end.
    pub(super) const fn loops(&self) -> bool {
        self.looping
    }

    /// It has been played once.
    pub(super) fn advance(&mut self) {
        self.done += 1;
        if self.now().is_none_or(|step| self.done < step.repeat) {
            return;
        }
        self.done = 0;
        self.at += 1;
        if self.looping && self.at == self.steps.len() {
            self.at = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn played(looping: bool, count: usize) -> Vec<Option<Step>> {
        let steps = [
            Step::serial("a").times(2),
            Step::serial("other").on(1),
            Step::serial("b"),
        ]
        .into_iter()
        .chain(looping.then(|| Step::finish(0)))
        .collect::<Vec<_>>();
        let mut script = Script::new(&steps, 0, looping);
        let mut step = || {
            let now = script.now().cloned();
            script.advance();
            now.map(|step| step.times(1))
        };
        (0..count).map(|_| step()).collect()
    }

    #[test]
    fn a_script_ends_after_its_last_step() {
        let (a, b) = (Some(Step::serial("a")), Some(Step::serial("b")));
        assert_eq!(played(false, 5), [a.clone(), a, b, None, None]);
    }

    #[test]
    fn a_looping_script_starts_over_and_does_not_finish() {
        let (a, b) = (Some(Step::serial("a")), Some(Step::serial("b")));
        assert_eq!(played(true, 5), [a.clone(), a.clone(), b, a.clone(), a]);
    }
}
