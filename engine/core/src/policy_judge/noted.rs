//! What of a policy's calls goes into the journal. Without one, nothing here is reached but a look
//! at whether there is one.

use oriel_policy::{Failure, Saved};
use oriel_protocol::{Case, Verdict};

use super::PolicyJudge;
use crate::{
    desk::Desk,
    journal::{
        self,
        entry::{Asked, Missed, Outcome, Seen},
    },
    judge::Ruling,
};

impl PolicyJudge {
    /// It let the event happen.
    #[inline(never)]
    pub(super) fn note_continued(&mut self, case: &Case<'_>, desk: &mut Desk) {
        if let Some(tape) = &mut self.tape {
            tape.put_continued(case, desk);
        }
    }

    /// What it said, or what stands in for it.
    #[inline(never)]
    pub(super) fn rule_noted(
        &mut self,
        case: &Case<'_>,
        answer: Result<Verdict, Failure>,
        desk: Box<Desk>,
    ) -> (Ruling, Box<Desk>) {
        let failure = answer.as_ref().err().cloned();
        let (ruling, mut desk) = self.rule(case, answer, desk);
        if let Some(tape) = &mut self.tape {
            let verdict = ruling.verdict().clone();
            let outcome = match failure {
                None => Outcome::Verdict(verdict),
                Some(failure) => journal::failed(&failure, Some(verdict)),
            };
            tape.put(Asked::Judge(Seen::of(case)), outcome, &mut desk);
        }
        (ruling, desk)
    }

    /// It was called, and nothing was to be answered.
    pub(super) fn note_informed(
        &mut self,
        asked: impl FnOnce() -> Option<Asked>,
        told: &Result<(), Failure>,
        desk: &mut Desk,
    ) {
        let Some(tape) = &mut self.tape else {
            return;
        };
        if let Some(asked) = asked() {
            tape.put(asked, done(told), desk);
        }
    }

    /// It was asked to hand over what it knows.
    pub(super) fn note_saved(&mut self, saved: &Result<Option<Saved>, Failure>, desk: &mut Desk) {
        let Some(tape) = &mut self.tape else {
            return;
        };
        let outcome = match saved {
            Ok(Some(Saved { schema, data })) => Outcome::Saved {
                schema: *schema,
                data: data.clone(),
            },
            Ok(None) => Outcome::Done,
            Err(failure) => journal::failed(failure, None),
        };
        tape.put(Asked::Save, outcome, desk);
    }

    /// It was given what another revision has handed over.
    pub(super) fn note_restored(
        &mut self,
        (saved, revision): (Saved, u64),
        taken: &Result<(), Failure>,
        desk: &mut Desk,
    ) {
        let Some(tape) = &mut self.tape else {
            return;
        };
        let Saved { schema, data } = saved;
        let asked = Asked::Restore {
            schema,
            data,
            revision,
        };
        tape.put(asked, done(taken), desk);
    }

    /// There was nobody to ask.
    #[cold]
    pub(super) fn note_missed(
        &self,
        case: &Case<'_>,
        reason: &str,
        ruling: &Ruling,
        desk: &mut Desk,
    ) {
        let Some(tape) = &self.tape else {
            return;
        };
        let missed = Missed {
            policy: self.policy.name().to_owned(),
            seat: journal::terms::seat(self.home.place(desk.index())),
            at: case.moment.into(),
            seen: Seen::of(case),
            reason: reason.to_owned(),
            answered: ruling.verdict().clone(),
        };
        tape.miss(missed, desk);
    }
}

fn done(told: &Result<(), Failure>) -> Outcome {
    match told {
        Ok(()) => Outcome::Done,
        Err(failure) => journal::failed(failure, None),
    }
}
