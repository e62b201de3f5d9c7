//! Places where a kernel patches its own code: which there are, and what may stand at each. Found
//! once, when the baseline is made; who adds an entry to a kernel's table later adds none here.

mod gather;
mod kept;
mod listed;
mod traced;

pub(crate) use gather::Gather;
pub(crate) use kept::GROUP;
pub(crate) use listed::data;

use crate::form::Form;
use crate::image::Image;

/// The most bytes of a site.
pub(crate) const LONGEST: usize = 6;

/// Why the kernel patches there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A jump label, and where it may lead.
    Label(u64),
    /// A static call.
    Call,
    /// The trampoline of one.
    Trampoline,
    /// Where a function calls its tracer.
    Traced,
    /// Where the tracers' own code calls the tracer that is on.
    Tracer,
    /// A dispatcher of BPF programs.
    Dispatcher,
}

/// Whether a form may stand at a site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Allowed {
    Yes,
    No,
    /// If code is there.
    IfCode(u64),
}

/// A place where a kernel patches its code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Site {
    pub(crate) at: u64,
    /// In bytes; 0 while nobody has seen what stands there.
    pub(crate) length: u8,
    pub(crate) kind: Kind,
}

impl Kind {
    /// Its name for a person.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Label(_) => "jump label",
            Self::Call => "static call",
            Self::Trampoline => "trampoline of a static call",
            Self::Traced => "ftrace site",
            Self::Tracer => "call of a tracer",
            Self::Dispatcher => "BPF dispatcher",
        }
    }

    /// Whether a form may stand there. An INT3 does while the kernel patches.
    pub(crate) fn allows(self, form: Form) -> Allowed {
        match (self, form) {
            (_, Form::Other) => Allowed::No,
            (_, Form::Breakpoint) => Allowed::Yes,
            (Self::Label(target), Form::Jump(to)) if to == target => Allowed::Yes,
            (Self::Label(_), Form::Nop) => Allowed::Yes,
            (Self::Label(_), _) => Allowed::No,
            (Self::Traced, Form::Nop) => Allowed::Yes,
            (Self::Traced, Form::Call(to)) => Allowed::IfCode(to),
            (Self::Traced, _) => Allowed::No,
            (Self::Tracer | Self::Dispatcher, Form::Nop) => Allowed::Yes,
            (Self::Tracer | Self::Dispatcher, Form::Call(to) | Form::Jump(to)) => {
                Allowed::IfCode(to)
            }
            (Self::Tracer | Self::Dispatcher, _) => Allowed::No,
            (Self::Call, Form::Nop | Form::Zero | Form::Return) => Allowed::Yes,
            (Self::Call, Form::Call(to) | Form::Jump(to) | Form::Condition(to)) => {
                Allowed::IfCode(to)
            }
            (Self::Trampoline, Form::Return) => Allowed::Yes,
            (Self::Trampoline, Form::Jump(to)) => Allowed::IfCode(to),
            (Self::Trampoline, _) => Allowed::No,
        }
    }
}

impl Site {
    /// The address behind it.
    pub(crate) fn end(&self) -> u64 {
        self.at.saturating_add(self.length.into())
    }

    /// Finds its length by the bytes from its first on: kernels since 5.14 have short labels. None:
    /// the kernel is patching it just now.
    pub(crate) fn measure(&mut self, bytes: &[u8]) -> Option<()> {
        let length = match (self.kind, bytes) {
            _ if self.length != 0 => self.length,
            (_, [0xcc, ..]) => return None,
            (Kind::Label(_), [0xeb, ..] | [0x66, 0x90, ..]) => 2,
            (Kind::Call, [0x0f, 0x80..=0x8f, ..]) => 6,
            (_, _) => 5,
        };
        self.length = length;
        Some(())
    }
}

/// All sites of an image, by the page that they begin on, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sites {
    pages: Vec<Vec<Site>>,
    /// Pages whose sites were seen, so that their lengths are known.
    settled: Vec<bool>,
}

impl Sites {
    /// Those that lie in the image's code. Of two that overlap the first is taken.
    pub(crate) fn new(image: &Image, mut all: Vec<Site>) -> Self {
        all.sort_by_key(|site| site.at);
        let mut pages = vec![Vec::new(); image.pages() as usize];
        let mut end = 0;
        for site in all {
            let page = image.page_at(site.at).filter(|_| image.is_code(site.at));
            let own = page.and_then(|page| pages.get_mut(page as usize));
            if let Some(own) = own.filter(|_| site.at >= end) {
                end = site.at + u64::from(site.length.max(2));
                own.push(site);
            }
        }
        let settled = vec![false; pages.len()];
        Self { pages, settled }
    }

    /// Those that begin on a page.
    pub(crate) fn on(&self, page: u32) -> &[Site] {
        self.pages.get(page as usize).map_or(&[], Vec::as_slice)
    }

    /// Finds how long the sites of a page are, by what it holds from each of them on. Those that `is_one`
    /// says no to are none. The one that the kernel is patching just now, if it is: then the next look
    /// tries again.
    pub(crate) fn settle<'a>(
        &mut self,
        page: u32,
        holds: impl Fn(u64) -> &'a [u8],
        is_one: impl Fn(&Site) -> bool,
    ) -> Option<Site> {
        let settled = self
            .settled
            .get_mut(page as usize)
            .filter(|settled| !**settled)?;
        let sites = self.pages.get_mut(page as usize)?;
        for site in sites.iter_mut() {
            if site.measure(holds(site.at)).is_none() {
                return Some(*site);
            }
        }
        sites.retain(is_one);
        *settled = true;
        None
    }

    /// Those that have bytes on a page: the last of the page before may.
    pub(crate) fn touching(&self, page: u32, start: u64) -> impl Iterator<Item = &Site> {
        let before = page.checked_sub(1).and_then(|page| self.on(page).last());
        let before = before.filter(move |site| site.end() > start);
        before.into_iter().chain(self.on(page))
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.pages.iter().map(Vec::len).sum()
    }
}
