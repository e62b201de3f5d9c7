//! How the verdicts on one event add up: a pure rule, which no judge can bend.
//!
//! All judges are asked, in the operator's order. The strictest verdict stands:
//! `crash > deny = inject = skip = keep > emulate > retry > step > replace > continue`, ties to
//! the first. `keep` is a `replace` by the value that was there before. So nobody can weaken
//! another's no, and order decides only between judges that are equally strict.

use oriel_protocol::{Decision, Event, Value, Verdict};

/// The verdicts on one event so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Round {
    old: Option<Value>,
    proposed: Option<Value>,
    standing: Verdict,
    decided: Decision,
    by: Option<usize>,
}

/// A verdict that was as strict as the standing one but another, and lost to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The judge whose verdict stands.
    pub standing: usize,
    /// The judge whose verdict does not.
    pub lost: usize,
}

impl Round {
    /// Nobody has been asked.
    pub fn new(event: &Event) -> Self {
        Self {
            old: event.data.old().map(Value::Word),
            proposed: event.data.proposed(),
            standing: Verdict::Continue,
            decided: Decision::Continue,
            by: None,
        }
    }

    /// The value as it would be now.
    pub const fn proposed(&self) -> Option<Value> {
        self.proposed
    }

    /// The verdict that stands, as the next judge is told it.
    pub const fn decided(&self) -> Decision {
        self.decided
    }

    /// The judge whose verdict stands; none while all continue.
    pub const fn by(&self) -> Option<usize> {
        self.by
    }

    /// Whether nobody further is asked.
    pub fn is_over(&self) -> bool {
        self.decided == Decision::Crash
    }

    /// The verdict that stands.
    pub fn into_verdict(self) -> Verdict {
        self.standing
    }

    /// Adds a judge's verdict.
    pub fn add(&mut self, judge: usize, verdict: Verdict) -> Option<Conflict> {
        let decision = self.decision(&verdict);
        match rank(decision).cmp(&rank(self.decided)) {
            std::cmp::Ordering::Greater => self.stand(judge, verdict, decision),
            std::cmp::Ordering::Less => return None,
            std::cmp::Ordering::Equal => return self.conflict(judge, &verdict, decision),
        }
        None
    }

    fn stand(&mut self, judge: usize, verdict: Verdict, decision: Decision) {
        if let Verdict::Replace(value) = &verdict {
            self.proposed = Some(*value);
        }
        self.standing = verdict;
        self.decided = decision;
        self.by = Some(judge);
    }

    fn conflict(&self, judge: usize, verdict: &Verdict, decision: Decision) -> Option<Conflict> {
        let standing = self.by?;
        let same = *verdict == self.standing && decision == self.decided;
        (!same).then_some(Conflict {
            standing,
            lost: judge,
        })
    }

    fn decision(&self, verdict: &Verdict) -> Decision {
        match verdict {
            Verdict::Continue => Decision::Continue,
            Verdict::Retry => Decision::Retry,
            Verdict::Crash => Decision::Crash,
            Verdict::Replace(value) if self.old == Some(*value) => Decision::Keep,
            Verdict::Replace(_) => Decision::Replace,
            Verdict::Deny => Decision::Deny,
            Verdict::Skip => Decision::Skip,
            Verdict::Inject(_) => Decision::Inject,
            Verdict::Emulate(_) => Decision::Emulate,
            Verdict::Step => Decision::Step,
        }
    }
}

/// How strict a decision is.
pub const fn rank(decision: Decision) -> u8 {
    match decision {
        Decision::Continue => 0,
        Decision::Replace => 1,
        Decision::Step => 2,
        Decision::Retry => 3,
        Decision::Emulate => 4,
        Decision::Deny | Decision::Inject | Decision::Skip | Decision::Keep => 5,
        Decision::Crash => 6,
    }
}

#[cfg(test)]
mod tests {
    use oriel_protocol::{VerdictSet, events::Msr, x86::Exception};
    use proptest::prelude::*;

    use super::*;

    const OLD: u64 = 10;

    fn event() -> Event {
        let data = Msr {
            msr: 1,
            old: OLD,
            new: 20,
        }
        .into();
        Event {
            data,
            ip: 0,
            cr3: 0,
            cpl: 0,
            allowed: VerdictSet::ALL,
            retired: false,
        }
    }

    fn merge(verdicts: &[Verdict]) -> Round {
        let mut round = Round::new(&event());
        for (judge, verdict) in verdicts.iter().enumerate() {
            if round.is_over() {
                break;
            }
            round.add(judge, verdict.clone());
        }
        round
    }

    fn verdict() -> impl Strategy<Value = Verdict> {
        prop_oneof![
            Just(Verdict::Continue),
            Just(Verdict::Retry),
            Just(Verdict::Crash),
            (8u64..12).prop_map(|value| Verdict::Replace(Value::Word(value))),
            Just(Verdict::Deny),
            Just(Verdict::Skip),
            Just(Verdict::Inject(Exception::GP0)),
            Just(Verdict::Emulate(Box::new([1]))),
            Just(Verdict::Step),
        ]
    }

    fn strictness(verdict: &Verdict) -> u8 {
        rank(Round::new(&event()).decision(verdict))
    }

    proptest! {
        #[test]
        fn nobody_weakens_anothers_no(verdicts in proptest::collection::vec(verdict(), 1..6)) {
            let strictest = verdicts.iter().map(strictness).max().unwrap_or(0);
            prop_assert_eq!(rank(merge(&verdicts).decided()), strictest);
        }

        #[test]
        fn order_decides_only_between_equals(
            (one_way, another) in proptest::collection::vec(verdict(), 1..6)
                .prop_flat_map(|verdicts| (Just(verdicts.clone()), Just(verdicts).prop_shuffle())),
        ) {
            let (first, second) = (merge(&one_way), merge(&another));
            prop_assert_eq!(rank(first.decided()), rank(second.decided()));
            let strictest = rank(first.decided());
            let mut equals = one_way.iter().filter(|verdict| strictness(verdict) == strictest);
            let chosen = equals.next();
            if equals.all(|other| Some(other) == chosen) {
                prop_assert_eq!(first.into_verdict(), second.into_verdict());
            }
        }

        #[test]
        fn of_equals_the_first_stands(verdicts in proptest::collection::vec(verdict(), 1..6)) {
            let strictest = verdicts.iter().map(strictness).max().unwrap_or(0);
            let first = verdicts.iter().position(|verdict| strictness(verdict) == strictest);
            let round = merge(&verdicts);
            let by = round.by().or(first);
            prop_assert_eq!(by, first);
        }

        #[test]
        fn each_judge_that_is_added_makes_it_no_milder(
            verdicts in proptest::collection::vec(verdict(), 1..6),
        ) {
            let decided = (0..=verdicts.len()).map(|asked| rank(merge(&verdicts[..asked]).decided()));
            prop_assert!(decided.collect::<Vec<_>>().is_sorted());
        }

        #[test]
        fn a_conflict_names_two_that_are_equally_strict_and_differ(
            verdicts in proptest::collection::vec(verdict(), 1..6),
        ) {
            let mut round = Round::new(&event());
            for (judge, verdict) in verdicts.iter().enumerate() {
                if round.is_over() {
                    break;
                }
                let before = round.clone();
                let Some(conflict) = round.add(judge, verdict.clone()) else {
                    continue;
                };
                prop_assert_eq!((Some(conflict.standing), conflict.lost), (before.by(), judge));
                prop_assert_eq!(&round, &before, "one that loses changes nothing");
                let standing = &verdicts[conflict.standing];
                prop_assert_eq!(strictness(standing), strictness(verdict));
                prop_assert_ne!(standing, verdict);
            }
        }

        #[test]
        fn who_does_not_weaken_is_told_the_value_that_stands(
            verdicts in proptest::collection::vec(verdict(), 1..6),
        ) {
            let round = merge(&verdicts);
            if let Some(Verdict::Replace(value)) = round.by().map(|judge| &verdicts[judge]) {
                prop_assert_eq!(round.proposed(), Some(*value));
            }
        }

        #[test]
        fn a_judge_that_continues_changes_nothing(
            verdicts in proptest::collection::vec(verdict(), 0..5),
            at in 0usize..5,
        ) {
            let mut with = verdicts.clone();
            with.insert(at.min(verdicts.len()), Verdict::Continue);
            prop_assert_eq!(merge(&verdicts).into_verdict(), merge(&with).into_verdict());
        }

        #[test]
        fn the_standing_verdict_is_somebodys(verdicts in proptest::collection::vec(verdict(), 1..6)) {
            let round = merge(&verdicts);
            match round.by() {
                Some(judge) => prop_assert_eq!(&verdicts[judge], &round.into_verdict()),
                None => prop_assert!(verdicts.iter().all(|verdict| *verdict == Verdict::Continue)),
            }
        }
    }

    #[test]
    fn keeping_the_old_value_beats_another_value() {
        let other = Verdict::Replace(Value::Word(99));
        let keep = Verdict::Replace(Value::Word(OLD));
        for order in [[other.clone(), keep.clone()], [keep.clone(), other]] {
            assert_eq!(merge(&order).into_verdict(), keep);
        }
    }

    #[test]
    fn a_second_replacement_is_a_conflict_and_the_first_stands() {
        let mut round = Round::new(&event());
        assert_eq!(round.add(0, Verdict::Replace(Value::Word(1))), None);
        assert_eq!(
            round.add(1, Verdict::Replace(Value::Word(1))),
            None,
            "the same is no conflict"
        );
        assert_eq!(
            round.add(2, Verdict::Replace(Value::Word(2))),
            Some(Conflict {
                standing: 0,
                lost: 2
            })
        );
        assert_eq!(round.proposed(), Some(Value::Word(1)));
    }
}
