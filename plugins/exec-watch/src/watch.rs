//! What is known of one kernel, and the breakpoints in it. Owns how a kernel is told from the next
//! one; looks at no exec.

use oriel_sdk::linux::{Absence, Kernel};
use oriel_sdk::{BreakpointPlace, GuestOs, Intercept, Refusal, hex};

use crate::layout::Layout;
use crate::points::{self, MOST_CLONES, Point};

/// The first process: once it is there, the kernel has patched its own code for this machine.
const INIT: u32 = 1;
/// As many tags as clones can have.
const TAGS: u64 = (MOST_CLONES as u64).next_power_of_two() - 1;

/// What is known of the kernel that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Watch {
    /// The first of its tags. All instances make the same ones of the same kernel.
    pub(crate) tag: u64,
    pub(crate) point: &'static Point,
    pub(crate) layout: Layout,
    clones: Vec<u64>,
}

/// Why there is nothing to watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Lack {
    /// Not yet: no kernel, or one that still boots.
    Early(String),
    /// Never in this kernel, or not with these rights.
    Final(String),
}

impl Lack {
    /// Why.
    pub(crate) fn words(&self) -> &str {
        match self {
            Self::Early(why) | Self::Final(why) => why,
        }
    }
}

impl Watch {
    /// Looks for what is needed of the kernel that runs.
    pub(crate) fn find(host: &mut impl GuestOs) -> Result<Self, Lack> {
        let kernel = host.kernel().map_err(|absence| early(&absence))?;
        let needs = |what: &'static str| move |absence| last(what, &absence);
        let point = points::find(host);
        let (point, clones) = point.map_err(needs("a function that every exec goes through"))?;
        let layout = Layout::find(host).map_err(needs("the kernel's types (BTF)"))?;
        Ok(Self {
            tag: tag(&kernel),
            point,
            layout,
            clones,
        })
    }

    /// Whether a breakpoint of this tag is one of these.
    pub(crate) fn has(&self, tag: u64) -> bool {
        tag & !TAGS == self.tag
    }

    /// Whether it is this kernel that runs.
    pub(crate) fn is_of(&self, kernel: &Kernel) -> bool {
        tag(kernel) == self.tag
    }

    /// Breaks at each clone, where the kernel's own page tables say that it lies. A vCPU in user mode
    /// may not have it mapped.
    pub(crate) fn arm(
        &self,
        vcpu: u32,
        host: &mut (impl GuestOs + Intercept),
    ) -> Result<(), Absence> {
        for (tag, gva) in (self.tag..).zip(&self.clones) {
            let pieces = host.locate(*gva, 1)?;
            let piece = pieces.first().ok_or(Refusal::NotFound)?;
            host.set_breakpoint(vcpu, BreakpointPlace::Gpa(piece.gpa), tag)?;
        }
        Ok(())
    }

    /// Why it could not be armed.
    pub(crate) fn unarmed(&self, absence: &Absence) -> Lack {
        Lack::Final(format!(
            "{} cannot be broken at: {absence}",
            self.describe()
        ))
    }

    /// Whether each is armed, by whichever instance.
    pub(crate) fn is_armed(&self, host: &mut impl Intercept) -> Result<bool, Refusal> {
        let armed = host.breakpoints()?;
        let mut tags = (self.tag..).zip(&self.clones).map(|(tag, _)| tag);
        Ok(tags.all(|tag| armed.contains(&tag)))
    }

    /// In words, for the log.
    pub(crate) fn describe(&self) -> String {
        let clones: Vec<String> = self
            .clones
            .iter()
            .map(|gva| hex(*gva).to_string())
            .collect();
        format!("{} at {}", self.point.name, clones.join(", "))
    }
}

/// Takes away the breakpoints that are not of this kernel, or all.
pub(crate) fn clear(keep: Option<&Watch>, host: &mut impl Intercept) -> Result<(), Refusal> {
    for tag in host.breakpoints()? {
        if !keep.is_some_and(|watch| watch.has(tag)) {
            host.clear_breakpoint(tag)?;
        }
    }
    Ok(())
}

/// Whether the kernel has come so far that its code stays as it is: it checks, while it boots, that
/// it finds there what its compiler has left, and would find a breakpoint.
pub(crate) fn has_booted(host: &mut impl GuestOs) -> Result<(), Lack> {
    if host.find_task(INIT).is_ok() {
        return Ok(());
    }
    let tasks = host.tasks().map_err(|absence| early(&absence))?;
    let init = tasks.tasks.iter().any(|task| task.pid == INIT);
    init.then_some(())
        .ok_or_else(|| Lack::Early("the kernel still boots".to_owned()))
}

/// The same for all instances, and another for another kernel or another place.
fn tag(kernel: &Kernel) -> u64 {
    let place = kernel.start.to_le_bytes();
    let bytes = kernel.banner.bytes().chain(place);
    // FNV-1a, of 64 bits.
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    hash & !TAGS
}

/// What is missing may come.
pub(crate) fn early(absence: &Absence) -> Lack {
    match absence {
        Absence::Unknown(why) => Lack::Early(why.clone()),
        Absence::Refused(refusal) => refused(*refusal),
    }
}

fn last(what: &str, absence: &Absence) -> Lack {
    match absence {
        Absence::Unknown(why) => Lack::Final(format!("{what} cannot be had: {why}")),
        Absence::Refused(refusal) => refused(*refusal),
    }
}

/// Only some refusals are for good.
fn refused(refusal: Refusal) -> Lack {
    let words = format!(
        "what the guest's memory means was refused: {}",
        refusal.name()
    );
    match refusal {
        Refusal::Denied => Lack::Final(format!("{words}; grant `guest-os`")),
        Refusal::Unsupported => Lack::Final(words),
        Refusal::Unavailable
        | Refusal::NotFound
        | Refusal::Invalid
        | Refusal::Busy
        | Refusal::Conflict
        | Refusal::Limit
        | Refusal::Gone => Lack::Early(words),
    }
}
