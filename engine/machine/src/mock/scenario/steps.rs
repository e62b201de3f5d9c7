//! `[[step]]`: one table is one step. Its keys are of three sorts: the one that says what is done,
//! those that every step can have, and those of what is done.

mod keys;

use std::ops::Range;

use oriel_protocol::{Access, Decision, EventKind};
use serde::de::DeserializeOwned;
use toml::{
    Spanned,
    de::{DeTable, DeValue, ValueDeserializer},
};

use self::keys::{
    COMMON, Common, Faults, GpaKey, Memory, Nothing, RegisterKey, STAND, StandKeys, VERBS, Verb,
};
use super::{error::Mistake, value::word};
use crate::mock::{
    instruction::{Instruction, Notice, ReadMsr},
    step::{Action, Expect, Passing, Report, Stand, Step},
};

/// Reads all steps, with where each stands.
pub(super) fn read(
    steps: Option<Spanned<DeValue<'_>>>,
) -> Result<Vec<(Step, Range<usize>)>, Mistake> {
    let Some(steps) = steps else {
        return Ok(Vec::new());
    };
    let at = steps.span();
    let DeValue::Array(steps) = steps.into_inner() else {
        return Err(Mistake::new(at, "steps are a list: write `[[step]]`"));
    };
    let numbered = steps.into_iter().enumerate();
    numbered.map(|(index, step)| one(index + 1, step)).collect()
}

/// Reads the step of this number, counted from 1 as everybody does who looks for it.
fn one(number: usize, step: Spanned<DeValue<'_>>) -> Result<(Step, Range<usize>), Mistake> {
    let at = step.span();
    let DeValue::Table(table) = step.into_inner() else {
        return Err(Mistake::new(at, "a step is a table: write `[[step]]`"));
    };
    let keys = Keys {
        table,
        at: at.clone(),
    };
    match keys.step() {
        Ok(step) => Ok((step, at)),
        Err(mistake) => Err(mistake.in_part(&format!("step {number}"), at)),
    }
}

/// A step's table, or what is left of it.
struct Keys<'i> {
    table: DeTable<'i>,
    at: Range<usize>,
}

impl<'i> Keys<'i> {
    /// Takes these keys out.
    fn take(&mut self, names: &[&str]) -> Self {
        let found = names
            .iter()
            .filter_map(|name| self.table.remove_entry(*name));
        Keys {
            table: found.collect(),
            at: self.at.clone(),
        }
    }

    /// Everything that is left, as the keys of `T` and no others.
    fn all<T: DeserializeOwned>(self) -> Result<T, Mistake> {
        let table = Spanned::new(self.at, DeValue::Table(self.table));
        Ok(T::deserialize(ValueDeserializer::from(table))?)
    }

    fn step(mut self) -> Result<Step, Mistake> {
        let verb = self.verb()?;
        let common: Common = self.take(&COMMON).all()?;
        let expect = common.expect.map(expected).transpose();
        let mut stand = Stand::default();
        if matches!(verb, Verb::Event(_)) {
            stand = self.take(&STAND).all::<StandKeys>()?.into();
        }
        Ok(Step {
            vcpu: common.vcpu,
            repeat: common.repeat,
            expect: expect.map_err(|message| Mistake::new(self.at.clone(), message))?,
            stand,
            action: self.action(verb)?,
        })
    }

    fn verb(&mut self) -> Result<Verb, Mistake> {
        let verb = self.take(&VERBS);
        if verb.table.len() == 1 {
            return verb.all();
        }
        let names = VERBS.map(|name| format!("`{name}`")).join(", ");
        Err(Mistake::new(
            verb.at,
            format!("a step has exactly one of {names}"),
        ))
    }

    fn action(self, verb: Verb) -> Result<Action, Mistake> {
        Ok(match verb {
            Verb::Event(name) => self.instruction(&name)?.into(),
            Verb::Report(name) => self.report(&name)?.into(),
            Verb::Serial(text) => self.nothing_but(Action::Serial(text))?,
            Verb::WaitFor(name) => self.nothing_but(Action::WaitFor(name))?,
            Verb::Signal(name) => self.nothing_but(Action::Signal(name))?,
            Verb::Idle(ms) => self.nothing_but(Action::Idle(ms))?,
            Verb::Unjudged(access) => self.passing(&access)?,
            Verb::Finish(status) => self.nothing_but(Action::Finish(status))?,
        })
    }

    fn nothing_but(self, action: Action) -> Result<Action, Mistake> {
        self.all::<Nothing>().map(|Nothing {}| action)
    }

    fn passing(self, access: &str) -> Result<Action, Mistake> {
        let known = Access::NAMES.iter().find(|(_, name)| *name == access);
        let (access, _) = known.ok_or_else(|| {
            Mistake::new(
                self.at.clone(),
                format!("`unjudged` is `read`, `write` or `execute`, not `{access}`"),
            )
        })?;
        let access = *access;
        self.all::<GpaKey>()
            .map(|GpaKey { gpa }| Action::Unjudged(Passing { access, gpa }))
    }

    fn report(self, name: &str) -> Result<Report, Mistake> {
        match name {
            "msr" => self.all::<ReadMsr>().map(|it| Report::Msr(it.msr)),
            "register" => self
                .all::<RegisterKey>()
                .map(|it| Report::Register(it.register.0)),
            "memory" => self
                .all::<Memory>()
                .map(|it| Report::Memory(it.place, it.size)),
            "faults" => self.all::<Faults>().map(|it| Report::Faults(it.vector)),
            _ => Err(Mistake::new(
                self.at,
                format!("`report` is `msr`, `register`, `memory` or `faults`, not `{name}`"),
            )),
        }
    }

    fn instruction(self, name: &str) -> Result<Instruction, Mistake> {
        let Some(kind) = EventKind::by_name(name) else {
            return Err(Mistake::new(self.at, format!("there is no event `{name}`")));
        };
        Ok(match kind {
            EventKind::Cr => Instruction::Cr(self.all()?),
            EventKind::Msr => Instruction::Msr(self.all()?),
            EventKind::Xsetbv => Instruction::Xsetbv(self.all()?),
            EventKind::Breakpoint => Instruction::Breakpoint(self.all()?),
            EventKind::Hypercall => Instruction::Hypercall(self.all()?),
            EventKind::Page => Instruction::Page(self.all()?),
            EventKind::Trap => Instruction::Trap(self.all()?),
            EventKind::Descriptor => Instruction::Descriptor(self.all()?),
            EventKind::CreateVcpu => self.notice(Notice::CreateVcpu)?,
            EventKind::Pause => self.notice(Notice::Pause)?,
            EventKind::Unhook => self.notice(Notice::Unhook)?,
            EventKind::Singlestep => Instruction::Singlestep(self.all()?),
            EventKind::Cpuid => Instruction::Cpuid(self.all()?),
            EventKind::MsrRead => Instruction::MsrRead(self.all()?),
            EventKind::Pio => Instruction::Pio(self.all()?),
            EventKind::Mmio => Instruction::Mmio(self.all()?),
            EventKind::Reset => Instruction::Reset(self.all()?),
            EventKind::Shutdown => Instruction::Shutdown(self.all()?),
            EventKind::CommandError => return Err(Mistake::new(self.at, WIRE_ONLY)),
        })
    }

    fn notice(self, notice: Notice) -> Result<Instruction, Mistake> {
        self.all::<Nothing>()
            .map(|Nothing {}| Instruction::Notice(notice))
    }
}

const WIRE_ONLY: &str = "`command-error` is not raised by guests: it exists on a KVMI wire only";

fn expected(keys: keys::ExpectKeys) -> Result<Expect, String> {
    let words = DECISIONS.map(|decision| (decision.name(), decision));
    let verdict = keys.verdict.map(|name| word(&name, &words));
    Ok(Expect {
        verdict: verdict.transpose()?,
        value: keys.value,
    })
}

/// What `expect.verdict` can name.
const DECISIONS: [Decision; 10] = [
    Decision::Continue,
    Decision::Retry,
    Decision::Crash,
    Decision::Replace,
    Decision::Deny,
    Decision::Skip,
    Decision::Inject,
    Decision::Emulate,
    Decision::Step,
    Decision::Keep,
];
