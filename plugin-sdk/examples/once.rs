//! The policy of `docs/writing-a-policy.md`, with its tests.

use oriel_sdk::{
    Alert, Config, Failure, Host, Judge, Moment, Place, Policy, Severity, Store, hex, msr,
};

struct Once;

impl Policy for Once {
    fn init(_: &mut Config, _: Place, _: &mut impl Host) -> Result<Self, Failure> {
        Ok(Once)
    }
}

impl Judge<msr::Write> for Once {
    fn filters(&self) -> Vec<msr::Filter> {
        vec![msr::Filter::one(0xC000_0082)]
    }

    fn judge(
        &mut self,
        _: &Moment,
        write: msr::Write,
        host: &mut (impl Alert + Store),
    ) -> msr::Verdict {
        match host.compare_and_swap_number("lstar", None, write.new) {
            Ok(None) => msr::Verdict::Continue,
            Ok(Some(first)) if first == write.new => msr::Verdict::Continue,
            Ok(Some(_)) | Err(_) => {
                let message = "LSTAR changed";
                // Whether or not somebody hears of it, the answer is no.
                let _ = host.alert(Severity::High, message, &[("value", &hex(write.new))]);
                msr::Verdict::Deny
            }
        }
    }
}

oriel_sdk::export!(Once: msr);

#[cfg(test)]
mod tests {
    use super::*;
    use oriel_sdk::Refusal;
    use oriel_sdk::testing::{Bench, Command};

    const fn lstar(new: u64) -> msr::Write {
        msr::Write::new(0xC000_0082, 0, new)
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
