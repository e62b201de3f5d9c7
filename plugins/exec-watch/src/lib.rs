//! Sees every exec of a Linux guest, tells of those that may not be, and has the kernel refuse them.
//!
//! A breakpoint stands at a function of the kernel that every exec goes through once it knows what is
//! to run (`points`). It is placed as soon as there is a kernel that has booted: when an instance
//! begins, or later by the clock, which also sees that another kernel runs than before. What is known
//! of a kernel (`watch`) is looked up once for each instance, and again if a breakpoint has a tag of
//! another kernel's.

mod arguments;
mod bytes;
mod exec;
mod layout;
mod lookout;
mod path;
mod pattern;
mod points;
mod report;
mod rules;
#[cfg(test)]
mod tests;
mod watch;
mod words;

use oriel_sdk::{
    AnswerCalls, Config, Failure, Host, Judge, Log, Moment, Place, Policy, Refusal, Register,
    Severity, Tick, breakpoint, reset,
};

use exec::{Exec, Role};
use lookout::Lookout;
use report::{Answer, Report};
use rules::Rules;
use watch::Lack;

/// The policy.
#[derive(Debug)]
pub struct ExecWatch {
    rules: Rules,
    lookout: Lookout,
}

impl Policy for ExecWatch {
    fn init(config: &mut Config, place: Place, host: &mut impl Host) -> Result<Self, Failure> {
        let mut policy = Self {
            rules: Rules::read(config)?,
            lookout: Lookout::default(),
        };
        let begun = match place {
            Place::Vcpu(vcpu) => policy.lookout.look(vcpu, host),
            Place::Vm => policy.lookout.look(0, host),
            // The clock looks when it is called.
            Place::Probe | Place::Tick => Ok(false),
        };
        match begun {
            Err(Lack::Final(why)) => return Err(why.into()),
            Ok(true) => policy.warn(host),
            // The clock looks again.
            Ok(false) | Err(Lack::Early(_)) => {}
        }
        Ok(policy)
    }
}

impl ExecWatch {
    /// Says, once a kernel is found, what is not to be expected.
    fn warn(&self, host: &mut impl Log) {
        let cannot = self
            .lookout
            .watch()
            .is_some_and(|watch| !watch.point.can_refuse);
        if self.rules.deny && cannot {
            host.warn("an exec cannot be refused there: all go on, with an alert");
        }
    }

    /// Tells of an exec what is to be told, and answers it.
    fn answer(&self, at: &Moment, exec: &Exec, host: &mut impl Host) -> Answer {
        let breach = self.rules.breach(exec);
        let is_told = self.rules.report_all && exec.role == Role::Program;
        if breach.is_none() && !is_told {
            return Answer::GoesOn;
        }
        let report = Report::of(exec, at.vcpu, host);
        let answer = match breach {
            Some(_) if self.rules.deny => self.refuse(at, host),
            Some(_) | None => Answer::GoesOn,
        };
        if let Some(breach) = breach {
            host.count("breaches", 1);
            report.alert((breach, exec.role), answer, host);
        }
        if is_told {
            host.info(report.line(answer));
        }
        answer
    }

    fn refuse(&self, at: &Moment, host: &mut impl Host) -> Answer {
        let can = self
            .lookout
            .watch()
            .is_some_and(|watch| watch.point.can_refuse);
        if !can || !at.allows(&breakpoint::Verdict::Retry) {
            return Answer::CouldNot(Refusal::Unsupported);
        }
        match host.answer_call(at.vcpu, self.rules.errno.wrapping_neg()) {
            Ok(()) => {
                host.count("refused", 1);
                Answer::Refused
            }
            Err(refusal) => Answer::CouldNot(refusal),
        }
    }
}

impl Judge<breakpoint::Hit> for ExecWatch {
    fn filters(&self) -> Vec<breakpoint::Filter> {
        vec![breakpoint::Filter::own()]
    }

    fn judge(
        &mut self,
        at: &Moment,
        hit: breakpoint::Hit,
        host: &mut impl Host,
    ) -> breakpoint::Verdict {
        let watch = match self.lookout.watch_of(hit.tag, host) {
            Ok(Some(watch)) => watch,
            // Of a kernel that is gone.
            Ok(None) => return breakpoint::Verdict::Continue,
            Err(lack) => {
                let message = format!("an exec could not be looked at: {}", lack.words());
                host.report(Severity::High, &message, &[("vcpu", &at.vcpu)]);
                return breakpoint::Verdict::Continue;
            }
        };
        let exec = match host.get_register(at.vcpu, Register::Rdi) {
            Ok(binprm) => Exec::read(watch, at.vcpu, binprm, host),
            Err(_) => Exec::unknown(),
        };
        if exec.role == Role::Program {
            host.count("execs", 1);
        }
        match self.answer(at, &exec, host) {
            // The vCPU is with the caller already.
            Answer::Refused => breakpoint::Verdict::Retry,
            Answer::GoesOn | Answer::CouldNot(_) => breakpoint::Verdict::Continue,
        }
    }
}

/// The kernel is gone, and what comes next is looked for by the clock.
impl Judge<reset::Reset> for ExecWatch {
    fn judge(&mut self, _: &Moment, _: reset::Reset, host: &mut impl Host) -> reset::Verdict {
        self.lookout.forget(host);
        reset::Verdict::Continue
    }
}

impl Tick for ExecWatch {
    fn tick(&mut self, _: u64, _: u32, host: &mut impl Host) {
        if self.lookout.tick(host) {
            self.warn(host);
        }
    }
}

oriel_sdk::export!(ExecWatch: breakpoint, reset, tick);
