//! What both policies have in common; what they make of a value is `crate::sight`'s.

use oriel_sdk::state::Saved;
use oriel_sdk::{Config, Failure, Host, Judge, Moment, Place, Policy, State, Store, msr};

use crate::sight;

/// The version of what `save` writes.
const SCHEMA: u32 = 1;
const STAR: u32 = 0xc000_0081;

/// All vCPUs together may write STAR so often; from then on it keeps its value, unless the new one is
/// the kernel's own.
#[derive(Debug)]
pub struct Quota {
    limit: u64,
    /// How often this instance, and those that it took over from, saw a value of this rank.
    ranks: [u64; 16],
}

impl Policy for Quota {
    fn init(config: &mut Config, _: Place, _: &mut impl Host) -> Result<Self, Failure> {
        let limit = config.require("limit")?;
        let ranks = [0; 16];
        Ok(Self { limit, ranks })
    }
}

impl Judge<msr::Write> for Quota {
    fn filters(&self) -> Vec<msr::Filter> {
        vec![msr::Filter::one(STAR)]
    }

    fn judge(&mut self, _: &Moment, write: msr::Write, host: &mut impl Store) -> msr::Verdict {
        let is_used_up = match host.add_number("writes", 1) {
            Ok(writes) => writes > self.limit,
            Err(_) => true,
        };
        if let Some(rank) = self.ranks.get_mut(sight::rank(write.new)) {
            *rank += 1;
        }
        if is_used_up && !sight::is_the_kernels(write.new) {
            return msr::Verdict::Replace(write.old);
        }
        msr::Verdict::Continue
    }
}

impl State for Quota {
    fn save(&mut self, _: &mut impl Host) -> Result<Saved, Failure> {
        Saved::encode(SCHEMA, &self.ranks)
    }

    fn restore(&mut self, saved: Saved, _: u64, _: &mut impl Host) -> Result<(), Failure> {
        self.ranks = saved.decode(SCHEMA)?;
        Ok(())
    }
}

oriel_sdk::export!(Quota: msr, state);
