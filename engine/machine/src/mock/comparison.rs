//! What was expected of the steps of a scenario and what came of them, compared. Plays nothing.

use std::fmt;

use oriel_protocol::Decision;

use super::{probe::Outcome, scenario::Scenario, step::Expect};

/// One playing of one step that says what should come of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Check {
    /// Which step, counted from 1 as error messages do.
    pub step: usize,
    /// The vCPU.
    pub vcpu: u32,
    /// What the scenario says.
    pub expected: Expect,
    /// What came of it: nothing else than was asked for. None: the step was not played.
    pub got: Option<Expect>,
}

impl Scenario {
    /// Compares what the scenario expects with what came of it, in the order of its steps.
    pub fn compare(&self, outcomes: &[Outcome]) -> Vec<Check> {
        let steps = self.steps().iter().enumerate();
        let expecting = steps.filter_map(|(at, step)| Some((at, step.vcpu, step.expect?)));
        let checks = expecting.flat_map(|(at, vcpu, expected)| {
            let played = outcomes.iter().filter(|outcome| outcome.step == at);
            let mut checks: Vec<_> = played.map(|outcome| Check::of(outcome, expected)).collect();
            if checks.is_empty() {
                checks.push(Check {
                    step: at + 1,
                    vcpu,
                    expected,
                    got: None,
                });
            }
            checks
        });
        checks.collect()
    }
}

impl Check {
    fn of(outcome: &Outcome, expected: Expect) -> Self {
        // Nobody was asked: it has simply happened.
        let decided = outcome.verdict.unwrap_or_default();
        Self {
            step: outcome.step + 1,
            vcpu: outcome.vcpu,
            expected,
            got: Some(Expect {
                verdict: expected.verdict.map(|_| decided),
                value: expected.value.and(outcome.value),
            }),
        }
    }

    /// Whether it went as expected.
    pub fn passed(&self) -> bool {
        self.got == Some(self.expected)
    }
}

impl fmt::Display for Check {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (step, vcpu, expected) = (self.step, self.vcpu, self.expected);
        write!(out, "step {step} on vCPU {vcpu}: expected {expected}, ")?;
        match self.got {
            Some(got) => write!(out, "got {got}"),
            None => write!(out, "but it was not played"),
        }
    }
}

impl fmt::Display for Expect {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = self.verdict.map(Decision::name).map(str::to_owned);
        let value = self.value.map(|value| format!("value {value:#x}"));
        let words: Vec<_> = verdict.into_iter().chain(value).collect();
        if words.is_empty() {
            return out.write_str("no value");
        }
        out.write_str(&words.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "
        [[step]]
        event = 'msr'
        msr = 'lstar'
        value = 1
        expect = { verdict = 'deny', value = 0 }

        [[step]]
        finish = 0";

    fn check(outcomes: &[Outcome]) -> Vec<Check> {
        let scenario = Scenario::parse(TEXT, "t").expect("well formed");
        scenario.compare(outcomes)
    }

    const fn outcome(verdict: Option<Decision>, value: u64) -> Outcome {
        Outcome {
            vcpu: 0,
            step: 0,
            verdict,
            value: Some(value),
        }
    }

    #[test]
    fn verdict_and_value_must_both_be_as_expected() {
        assert!(check(&[outcome(Some(Decision::Deny), 0)])[0].passed());
        assert!(!check(&[outcome(Some(Decision::Deny), 1)])[0].passed());
        let wrong = check(&[outcome(None, 1)])[0];
        assert_eq!(
            wrong.to_string(),
            "step 1 on vCPU 0: expected deny, value 0x0, got continue, value 0x1"
        );
    }

    #[test]
    fn a_step_that_was_not_played_is_wrong() {
        let missing = check(&[]);
        assert!(!missing[0].passed());
        assert!(missing[0].to_string().ends_with("but it was not played"));
    }
}
