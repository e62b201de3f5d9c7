//! What was expected of a scenario and what came of it, compared.

use std::fmt;

use oriel_engine::{Record, lines::end_name};
use oriel_machine::{
    End,
    mock::{Expect, Scenario},
};
use oriel_protocol::Decision;
use serde::Serialize;

use super::stage::Played;

/// What became of a scenario.
#[derive(Debug, Serialize)]
pub(super) struct Verdicts {
    /// Nothing is other than expected, and the policy has not failed.
    pub(super) passed: bool,
    /// One for each playing of a step that says what should come of it.
    pub(super) checks: Vec<Check>,
    /// How the policy failed, each time.
    pub(super) failures: Vec<String>,
    /// How the VM ended.
    pub(super) end: &'static str,
}

/// One playing of one step.
#[derive(Debug, Serialize)]
pub(super) struct Check {
    /// Which step, counted from 1 as error messages do.
    step: usize,
    vcpu: u32,
    passed: bool,
    expected: Words,
    /// None: the step was not played.
    got: Option<Words>,
}

/// A verdict and a value, where there is one.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Words {
    verdict: Option<Decision>,
    value: Option<String>,
}

impl Verdicts {
    /// Compares.
    pub(super) fn of(scenario: &Scenario, played: &Played) -> Self {
        let checks: Vec<_> = checks(scenario, played).collect();
        let mut failures = failures(&played.records);
        if let End::Failed(reason) = &played.outcome.end {
            failures.push(format!("the VM failed: {reason}"));
        }
        Self {
            passed: failures.is_empty() && checks.iter().all(|check| check.passed),
            checks,
            failures,
            end: end_name(&played.outcome.end),
        }
    }

    /// What is wrong, a line each.
    pub(super) fn complaints(&self) -> impl Iterator<Item = String> {
        let wrong = self.checks.iter().filter(|check| !check.passed);
        let failures = self
            .failures
            .iter()
            .map(|failure| format!("the policy failed: {failure}"));
        wrong.map(ToString::to_string).chain(failures)
    }

    /// In a few words.
    pub(super) fn summary(&self) -> String {
        let met = self.checks.iter().filter(|check| check.passed).count();
        format!(
            "{met} of {} expectations met, VM {}",
            self.checks.len(),
            self.end
        )
    }
}

fn checks<'a>(scenario: &'a Scenario, played: &'a Played) -> impl Iterator<Item = Check> + 'a {
    let steps = scenario.steps().iter().enumerate();
    let expecting = steps.filter_map(|(at, step)| Some((at, step.vcpu, step.expect?)));
    expecting.flat_map(|(at, vcpu, expect)| {
        let outcomes = played.steps.iter().filter(|outcome| outcome.step == at);
        let mut checks: Vec<_> = outcomes
            .map(|outcome| {
                // Nobody was asked: it has simply happened.
                let decided = outcome.verdict.unwrap_or_default();
                Check::of((at, outcome.vcpu), expect, Some((decided, outcome.value)))
            })
            .collect();
        if checks.is_empty() {
            checks.push(Check::of((at, vcpu), expect, None));
        }
        checks
    })
}

impl Check {
    fn of((at, vcpu): (usize, u32), expect: Expect, got: Option<(Decision, Option<u64>)>) -> Self {
        let passed = got.is_some_and(|(decided, value)| {
            expect.verdict.is_none_or(|wanted| wanted == decided)
                && (expect.value.is_none() || expect.value == value)
        });
        Self {
            step: at + 1,
            vcpu,
            passed,
            expected: Words::of(expect.verdict, expect.value),
            // Only what was asked for is shown.
            got: got.map(|(decided, value)| {
                let decided = expect.verdict.map(|_| decided);
                Words::of(decided, expect.value.and(value))
            }),
        }
    }
}

impl Words {
    fn of(verdict: Option<Decision>, value: Option<u64>) -> Self {
        Self {
            verdict,
            value: value.map(|value| format!("{value:#x}")),
        }
    }
}

fn failures(records: &[Record]) -> Vec<String> {
    let failed = records.iter().filter_map(|record| match record {
        Record::Failure(failed) => Some(failed.failure.clone()),
        Record::Start(_) | Record::Event(_) | Record::Alert(_) | Record::Refusal(_) => None,
        Record::Log(_) | Record::Tool(_) | Record::Policy(_) | Record::Report { .. } => None,
        Record::End(_) => None,
    });
    failed.collect()
}

impl fmt::Display for Check {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "step {} on vCPU {}: expected {}, ",
            self.step, self.vcpu, self.expected
        )?;
        match &self.got {
            Some(got) => write!(out, "got {got}"),
            None => write!(out, "but it was not played"),
        }
    }
}

impl fmt::Display for Words {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = self.verdict.map(Decision::name);
        let value = self.value.as_ref().map(|value| format!("value {value}"));
        let words: Vec<_> = verdict
            .map(str::to_owned)
            .into_iter()
            .chain(value)
            .collect();
        if words.is_empty() {
            return out.write_str("no value");
        }
        out.write_str(&words.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use oriel_machine::mock;

    const TEXT: &str = "
        [[step]]
        event = 'msr'
        msr = 'lstar'
        value = 1
        expect = { verdict = 'deny', value = 0 }

        [[step]]
        finish = 0";

    fn check(steps: Vec<mock::Outcome>) -> Vec<Check> {
        let scenario = Scenario::parse(TEXT, "t").expect("well formed");
        let played = Played {
            outcome: oriel_engine::Outcome {
                end: End::Finished(0),
                events: 0,
                unjudged: 0,
                ran: std::time::Duration::ZERO,
            },
            records: Vec::new(),
            steps,
        };
        Verdicts::of(&scenario, &played).checks
    }

    const fn outcome(verdict: Option<Decision>, value: u64) -> mock::Outcome {
        mock::Outcome {
            vcpu: 0,
            step: 0,
            verdict,
            value: Some(value),
        }
    }

    #[test]
    fn verdict_and_value_must_both_be_as_expected() {
        assert!(check(vec![outcome(Some(Decision::Deny), 0)])[0].passed);
        assert!(!check(vec![outcome(Some(Decision::Deny), 1)])[0].passed);
        let wrong = &check(vec![outcome(None, 1)])[0];
        assert_eq!(
            wrong.to_string(),
            "step 1 on vCPU 0: expected deny, value 0x0, got continue, value 0x1"
        );
    }

    #[test]
    fn a_step_that_was_not_played_is_wrong() {
        let missing = check(Vec::new());
        assert!(!missing[0].passed);
        assert!(missing[0].to_string().ends_with("but it was not played"));
    }
}
