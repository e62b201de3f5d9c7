//! What is armed as the instance of a vCPU begins: breakpoints, page traps, steps.

use oriel_sdk::{Access, BreakpointPlace, Config, Failure, Intercept, PageAccess};

/// What is armed.
#[derive(Debug)]
pub(crate) struct Arms {
    breakpoints: Vec<u64>,
    pages: Vec<u64>,
    allowed: Access,
    /// How many instructions are stepped.
    pub(crate) steps: u64,
}

impl Arms {
    pub(crate) fn read(config: &mut Config) -> Result<Self, Failure> {
        let allow: String = config.get_or("allow", String::new())?;
        Ok(Self {
            breakpoints: config.get_or("breakpoints", Vec::new())?,
            pages: config.get_or("pages", Vec::new())?,
            allowed: letters(&allow).ok_or("`allow` is letters of rwx")?,
            steps: config.get_or("steps", 0)?,
        })
    }

    /// Arms all of it. Instances of other vCPUs arm the same, which changes nothing.
    pub(crate) fn arm(
        &self,
        vcpu: u32,
        host: &mut (impl Intercept + PageAccess),
    ) -> Result<(), Failure> {
        for (tag, gva) in (0..).zip(&self.breakpoints) {
            host.set_breakpoint(vcpu, BreakpointPlace::Gva(*gva), tag)?;
        }
        for (tag, gpa) in (0..).zip(&self.pages) {
            host.set_page_access(*gpa, self.allowed, tag)?;
        }
        if self.steps > 0 {
            host.single_step(vcpu, true)?;
        }
        Ok(())
    }
}

fn letters(text: &str) -> Option<Access> {
    let access = |letter| match letter {
        'r' => Some(Access::READ),
        'w' => Some(Access::WRITE),
        'x' => Some(Access::EXECUTE),
        _ => None,
    };
    text.chars().map(access).collect()
}
