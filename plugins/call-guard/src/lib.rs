//! Tells of calls to functions of a kernel, and makes some of them refuse.
//!
//! A breakpoint stands at the first instruction of each function that the configuration names. A
//! call of a watched one goes on. One of a refused one returns at once, with minus an errno in RAX,
//! as if the function had said so: nothing of it has run yet, so there is nothing to undo.

#[cfg(test)]
mod tests;

use oriel_sdk::{
    Alert, AnswerCalls, BreakpointPlace, Config, Failure, Host, Intercept, Judge, Level, Log,
    MemoryRead, Moment, Place, Policy, RegistersRead, RegistersWrite, Severity, breakpoint, hex,
};

/// The highest errno (Linux, `include/linux/err.h`).
const MAX_ERRNO: u64 = 4095;

/// The policy.
#[derive(Debug)]
pub struct CallGuard {
    watched: Vec<u64>,
    refused: Vec<u64>,
    errno: u64,
}

impl CallGuard {
    fn read(config: &mut Config) -> Result<Self, Failure> {
        let guard = Self {
            watched: addresses(config, "watch")?,
            refused: addresses(config, "refuse")?,
            errno: config.get_or("errno", 1)?,
        };
        if guard.watched.is_empty() && guard.refused.is_empty() {
            return Err("`watch` and `refuse` are empty: name the address of a function".into());
        }
        if !(1..=MAX_ERRNO).contains(&guard.errno) {
            return Err("`errno` is a number from 1 to 4095".into());
        }
        Ok(guard)
    }

    /// Breaks at every function; the address is the tag.
    fn arm(&self, vcpu: u32, host: &mut (impl Intercept + Log)) -> Result<(), Failure> {
        for address in self.watched.iter().chain(&self.refused) {
            let at = BreakpointPlace::Gva(*address);
            host.set_breakpoint(vcpu, at, *address)
                .map_err(|refusal| format!("{} cannot be watched: {refusal}", hex(*address)))?;
        }
        let count = self.watched.len() + self.refused.len();
        host.log(Level::Info, &format!("{count} functions are watched"));
        Ok(())
    }
}

/// Addresses are texts: those of a kernel are larger than any number of a configuration file.
fn addresses(config: &mut Config, key: &str) -> Result<Vec<u64>, Failure> {
    let texts: Vec<String> = config.get_or(key, Vec::new())?;
    let address = |text: &String| {
        let digits = text.strip_prefix("0x");
        let address = digits.and_then(|digits| u64::from_str_radix(digits, 16).ok());
        address.ok_or_else(|| {
            format!("`{key}` holds {text:?}: an address looks like \"0xffffffff81000000\"").into()
        })
    };
    texts.iter().map(address).collect()
}

impl Policy for CallGuard {
    fn init(config: &mut Config, place: Place, host: &mut impl Host) -> Result<Self, Failure> {
        let guard = Self::read(config)?;
        if let Place::Vcpu(vcpu) = place {
            guard.arm(vcpu, host)?;
        }
        Ok(guard)
    }
}

impl Judge<breakpoint::Hit> for CallGuard {
    fn filters(&self) -> Vec<breakpoint::Filter> {
        vec![breakpoint::Filter::own()]
    }

    fn judge(
        &mut self,
        at: &Moment,
        hit: breakpoint::Hit,
        host: &mut (impl Alert + Log + MemoryRead + RegistersRead + RegistersWrite),
    ) -> breakpoint::Verdict {
        if !self.refused.contains(&hit.tag) {
            tell(
                at,
                hit,
                Severity::Info,
                "a watched function was called",
                host,
            );
            return breakpoint::Verdict::Continue;
        }
        match host.answer_call(at.vcpu, self.errno.wrapping_neg()) {
            Ok(()) => {
                tell(at, hit, Severity::High, "a call was refused", host);
                // The vCPU is with the caller already.
                breakpoint::Verdict::Retry
            }
            Err(refusal) => {
                let message = format!("a call could not be refused, and went on: {refusal}");
                tell(at, hit, Severity::Critical, &message, host);
                breakpoint::Verdict::Continue
            }
        }
    }
}

/// An operator who gets too many alerts is told in the log.
fn tell(
    at: &Moment,
    hit: breakpoint::Hit,
    severity: Severity,
    message: &str,
    host: &mut (impl Alert + Log),
) {
    let fields: [(&str, &dyn std::fmt::Display); 3] = [
        ("function", &hex(hit.gva)),
        ("vcpu", &at.vcpu),
        ("cr3", &hex(at.cr3)),
    ];
    if let Err(refusal) = host.alert(severity, message, &fields) {
        host.log(Level::Warn, &format!("no alert ({refusal}): {message}"));
    }
}

oriel_sdk::export!(CallGuard: breakpoint);
