//! How an instance comes to know the kernel that runs, and that it is another one. Owns what it knows;
//! the breakpoints are the policy's, whichever instance has placed them.

use oriel_sdk::{Host, Log, Severity};

use crate::watch::{self, Lack, Watch};

/// What one instance knows.
#[derive(Debug, Default)]
pub(crate) struct Lookout {
    watch: Option<Watch>,
    /// Why there is nothing, as it was last said.
    waiting_for: Option<Lack>,
}

impl Lookout {
    /// What is known of the kernel, once there is one.
    pub(crate) const fn watch(&self) -> Option<&Watch> {
        self.watch.as_ref()
    }

    /// Sees to it that the kernel that runs is watched; whether nobody did before.
    pub(crate) fn look(&mut self, vcpu: u32, host: &mut impl Host) -> Result<bool, Lack> {
        if self.is_watched(host)? {
            return Ok(false);
        }
        let watch = Watch::find(host)?;
        watch::has_booted(host)?;
        let is_new = watch.is_armed(host) != Ok(true);
        let cleared = watch::clear(Some(&watch), host).map_err(Into::into);
        let armed = cleared.and_then(|()| watch.arm(vcpu, host));
        armed.map_err(|absence| watch.unarmed(&absence))?;
        if is_new {
            say(&watch, host);
        }
        self.waiting_for = None;
        self.watch = Some(watch);
        Ok(is_new)
    }

    /// Whether the kernel is the one that is known, with all breakpoints in it.
    fn is_watched(&self, host: &mut impl Host) -> Result<bool, Lack> {
        let Some(watch) = &self.watch else {
            return Ok(false);
        };
        let kernel = host.kernel().map_err(|absence| watch::early(&absence))?;
        Ok(watch.is_of(&kernel) && watch.is_armed(host) == Ok(true))
    }

    /// What is known of the kernel that a breakpoint is in; none, if it is one of another kernel's.
    pub(crate) fn watch_of(
        &mut self,
        tag: u64,
        host: &mut impl Host,
    ) -> Result<Option<&Watch>, Lack> {
        let kernel = host.kernel().ok();
        let is_of = |watch: &Watch| kernel.as_ref().is_none_or(|kernel| watch.is_of(kernel));
        let known = self.watch.take();
        let watch = match known.filter(|watch| watch.has(tag) && is_of(watch)) {
            Some(watch) => watch,
            None => Watch::find(host)?,
        };
        if !watch.has(tag) {
            // It may be gone already.
            let _ = host.clear_breakpoint(tag);
        }
        Ok(Some(&*self.watch.insert(watch)).filter(|watch| watch.has(tag)))
    }

    /// The guest begins anew: what comes next is looked for by the clock.
    pub(crate) fn forget(&mut self, host: &mut impl Host) {
        self.watch = None;
        if let Err(refusal) = watch::clear(None, host) {
            let why = refusal.name();
            host.error(format_args!(
                "breakpoints are left over from before the reset: {why}"
            ));
        }
    }

    /// Looks by the clock; whether there is something new. Each reason to wait is said once.
    pub(crate) fn tick(&mut self, host: &mut impl Host) -> bool {
        let lack = match self.look(0, host) {
            Ok(is_new) => return is_new,
            Err(lack) => lack,
        };
        if self.waiting_for.as_ref() == Some(&lack) {
            return false;
        }
        match &lack {
            Lack::Early(why) => host.info(format_args!("no exec is met yet: {why}")),
            Lack::Final(why) => {
                host.report(Severity::High, &format!("no exec is met: {why}"), &[]);
                host.error(why);
            }
        }
        self.waiting_for = Some(lack);
        false
    }
}

fn say(watch: &Watch, host: &mut impl Log) {
    host.info(format_args!("execs are met in {}", watch.describe()));
    if watch.layout.tree.is_none() {
        host.warn("the kernel's types do not say where a file is: paths are judged as asked for");
    }
}
