//! The policy of `docs/writing-a-policy.md`, with its tests.

use oriel_sdk::{Alert, Judge, Moment, Plain, Severity, Store, hex, msr};

#[derive(Default)]
struct Once;

impl Plain for Once {}

impl Judge<msr::Write> for Once {
    fn filters(&self) -> Vec<msr::Filter> {
        vec![msr::Filter::one(msr::LSTAR)]
    }

    fn judge(
        &mut self,
        _: &Moment,
        write: msr::Write,
        host: &mut (impl Alert + Store),
    ) -> msr::Verdict {
        if host.first_number("lstar", write.new) == Ok(write.new) {
            return msr::Verdict::Continue;
        }
        host.report(
            Severity::High,
            "LSTAR changed",
            &[("value", &hex(write.new))],
        );
        msr::Verdict::Deny
    }
}

oriel_sdk::export!(Once: msr);

#[cfg(test)]
mod tests {
    use super::*;
    use oriel_sdk::testing::{Bench, Command, Lost, scenario};
    use oriel_sdk::{Config, Failure, Refusal};

    const fn lstar(new: u64) -> msr::Write {
        msr::Write::new(msr::LSTAR, 0, new)
    }

    #[test]
    fn a_trap_between_two_writes_forgets_nothing() -> Result<(), Failure> {
        let mut bench = Bench::<Once>::new(Config::new())?;
        assert_eq!(bench.raise(0, lstar(1)), Some(msr::Verdict::Continue));
        bench.crash();
        assert_eq!(bench.raise(1, lstar(2)), Some(msr::Verdict::Deny));
        assert_eq!(bench.engine.alerts[0].fields["value"], "0x2");
        Ok(())
    }

    #[test]
    fn what_cannot_be_checked_is_denied() -> Result<(), Failure> {
        let mut bench = Bench::<Once>::new(Config::new())?;
        let swap = Command::CompareAndSwapNumber;
        bench.engine.refuse(swap, Refusal::Limit);
        assert_eq!(bench.raise(0, lstar(1)), Some(msr::Verdict::Deny));
        Ok(())
    }

    #[test]
    fn a_deadline_that_is_missed_helps_nobody() -> Result<(), Failure> {
        let mut bench = Bench::<Once>::new(Config::new())?;
        bench.engine.stop_after(0);
        assert_eq!(bench.attempt(0, lstar(1)), Err(Lost::Overdue));
        assert_eq!(bench.raise(0, lstar(2)), Some(msr::Verdict::Continue));
        assert_eq!(bench.raise(0, lstar(1)), Some(msr::Verdict::Deny));
        Ok(())
    }

    #[test]
    fn the_attack_is_denied() -> Result<(), Failure> {
        let attack = scenario::builtin("msr-attack").ok_or("it is built in")?;
        let mut bench = Bench::<Once>::new(Config::new())?;
        let played = bench.play_with(&attack, |bench, cue| {
            if cue.before == 1 {
                bench.crash();
            }
        })?;
        let denied = |one: &&_| one == &&scenario::Verdict::Deny;
        let verdicts = played.judged.iter().map(|judged| &judged.verdict);
        assert_eq!(verdicts.filter(denied).count(), 1);
        Ok(())
    }
}

/// The guide and this file are the same code.
#[cfg(test)]
mod guide {
    #[test]
    fn the_guide_shows_this_policy() {
        let guide = include_str!("../../docs/writing-a-policy.md");
        let shown = guide.split("```").filter(|block| block.contains("Once"));
        let shown = shown.filter_map(|block| block.strip_prefix("rust"));
        let shown: Vec<_> = shown
            .map(|block| block.trim_start_matches(",ignore"))
            .collect();
        assert_eq!(shown.len(), 2);
        for block in shown {
            assert!(include_str!("once.rs").contains(block), "{block}");
        }
    }
}
