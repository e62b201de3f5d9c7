//! What was expected of a scenario and what came of it, compared.

use oriel_engine::{Record, lines::end_name};
use oriel_machine::{
    End,
    mock::{self, Expect, Scenario},
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
    #[serde(skip)]
    words: String,
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
        let checks = scenario.compare(&played.steps);
        let checks: Vec<_> = checks.into_iter().map(Check::from).collect();
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
        let wrong = wrong.map(|check| check.words.clone());
        let failures = self
            .failures
            .iter()
            .map(|failure| format!("the policy failed: {failure}"));
        wrong.chain(failures)
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

impl From<mock::Check> for Check {
    fn from(check: mock::Check) -> Self {
        Self {
            step: check.step,
            vcpu: check.vcpu,
            passed: check.passed(),
            expected: check.expected.into(),
            got: check.got.map(Words::from),
            words: check.to_string(),
        }
    }
}

impl From<Expect> for Words {
    fn from(said: Expect) -> Self {
        Self {
            verdict: said.verdict,
            value: said.value.map(|value| format!("{value:#x}")),
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
