//! Orders in the audit trail: what is said of one before it is carried out, and of what came of it.
//! It carries out none.

use std::time::Duration;

use serde_json::{Map, Value as Json, json};

use super::{OnRefusal, Posted, Roster, RosterError, Share, SwapOptions, Swapped};
use crate::{
    audit::{Order, Orderer, Verb},
    engine::Candidate,
    thread::chain,
};

/// Fields of a line.
type Fields = Map<String, Json>;

/// What an order brings about.
pub(super) trait Effect {
    /// As the trail says it.
    fn fields(&self) -> Fields;
}

impl Roster {
    /// The same roster, for whoever gives orders: the audit trail says so.
    #[must_use]
    pub fn ordered_by(&self, by: Orderer) -> Self {
        Self {
            shared: self.shared.clone(),
            by,
        }
    }

    /// Writes an order into the audit trail that was refused before it came here.
    pub fn declined(&self, verb: Verb, policy: &str, reason: &str) {
        let open = self.shared.audit.as_ref();
        let open = open.and_then(|audit| audit.order(self.order(verb, policy, Fields::new())));
        if let Some(open) = open {
            open.answered(Err(reason.to_owned()));
        }
    }

    /// Carries out an order, with its line in the audit trail.
    ///
    /// # Errors
    /// [`RosterError::Unaudited`], then nothing was done; else what it is refused with.
    pub(super) fn audited<T: Effect>(
        &self,
        (verb, policy, arguments): (Verb, &str, Fields),
        carry_out: impl FnOnce() -> Result<T, RosterError>,
    ) -> Result<T, RosterError> {
        let Some(audit) = &self.shared.audit else {
            return carry_out();
        };
        let open = audit.order(self.order(verb, policy, arguments));
        let open = open.ok_or(RosterError::Unaudited)?;
        let done = carry_out();
        open.answered(match &done {
            Ok(effect) => Ok(effect.fields()),
            Err(error) => Err(chain(error)),
        });
        done
    }

    fn order(&self, verb: Verb, policy: &str, arguments: Fields) -> Order {
        Order {
            by: self.by.clone(),
            verb,
            policy: policy.to_owned(),
            time_ns: self.shared.now(),
            arguments,
        }
    }
}

/// What is said of a policy that is to come.
pub(super) fn code(candidate: &Candidate) -> Fields {
    let mut fields = Fields::new();
    if let Some(hosted) = &candidate.hosted {
        let digest = hosted.policy.plugin().inspection().digest;
        fields.insert("digest".to_owned(), json!(digest));
    }
    fields
}

/// How it is to come into force.
pub(super) fn way(candidate: &Candidate, how: &SwapOptions) -> Fields {
    let mut fields = code(candidate);
    let mut put = |key: &str, value: Option<Json>| {
        fields.extend(value.map(|value| (key.to_owned(), value)));
    };
    put("together", how.together.then_some(json!(true)));
    put(
        "state",
        (how.state == OnRefusal::Fresh).then_some(json!("fresh")),
    );
    let shadow = how.shadow.map(
        |shadow| json!({ "seconds": seconds(shadow.lasts), "disagreements": shadow.disagreements }),
    );
    put("shadow", shadow);
    let canary = how.canary.as_ref().map(|canary| match &canary.share {
        Share::Vcpus(vcpus) => json!({ "seconds": seconds(canary.lasts), "vcpus": vcpus }),
        Share::OneIn(many) => json!({ "seconds": seconds(canary.lasts), "one-in": many }),
    });
    put("canary", canary);
    let probation = how.probation.map(
        |probation| json!({ "seconds": seconds(probation.lasts), "failures": probation.failures }),
    );
    put("probation", probation);
    fields
}

/// Which revision a rollback is to go to; nothing: the one before.
pub(super) fn back(to: Option<u64>) -> Fields {
    let to = to.map(|to| ("to".to_owned(), json!(to)));
    to.into_iter().collect()
}

/// Why one goes back that nobody has told to.
pub(super) fn why(why: &str) -> Fields {
    Fields::from_iter([("why".to_owned(), json!(why))])
}

fn seconds(lasts: Duration) -> f64 {
    lasts.as_secs_f64()
}

impl Effect for () {
    fn fields(&self) -> Fields {
        Fields::new()
    }
}

impl Effect for Posted {
    fn fields(&self) -> Fields {
        Fields::from_iter([("to".to_owned(), json!(self.revision))])
    }
}

impl Effect for Swapped {
    fn fields(&self) -> Fields {
        let numbers = [("from", self.from), ("to", self.to)];
        let numbers = numbers.map(|(key, number)| (key.to_owned(), json!(number)));
        numbers.into_iter().collect()
    }
}
