//! Finds the sites in the kernel's own tables, one table a call by the clock. Owns the order and
//! what could not be read; each table is read in a file beside.

use oriel_sdk::linux::{Absence, ReadKernel};

use super::traced::Walk;
use super::{Site, Sites, listed};
use crate::image::Image;

/// Which table is next.
#[derive(Debug)]
enum Step {
    Labels,
    Calls,
    Named,
    Traced(Walk),
}

/// The search.
#[derive(Debug)]
pub(crate) struct Gather {
    step: Step,
    found: Vec<Site>,
    /// Tables that could not be read, and why.
    pub(crate) gaps: Vec<String>,
}

impl Gather {
    pub(crate) fn new() -> Self {
        Self {
            step: Step::Labels,
            found: Vec::new(),
            gaps: Vec::new(),
        }
    }

    /// Reads on. All sites, when the last table was read.
    pub(crate) fn go(&mut self, image: &Image, host: &mut impl ReadKernel) -> Option<Sites> {
        match &mut self.step {
            Step::Labels => {
                let read = listed::labels(image, host);
                self.take("jump labels", read);
                self.step = Step::Calls;
            }
            Step::Calls => {
                let read = listed::calls(image, host);
                self.take("static calls", read);
                let read = listed::trampolines(host);
                self.take("trampolines of static calls", read);
                self.step = Step::Named;
            }
            Step::Named => {
                self.found.extend(listed::named(host));
                match Walk::begin(host) {
                    Ok(Some(walk)) => self.step = Step::Traced(walk),
                    Ok(None) => return self.end(image, Ok(Vec::new())),
                    Err(absence) => return self.end(image, Err(absence)),
                }
            }
            Step::Traced(walk) => match walk.go(image, host, &mut self.found) {
                Ok(false) => {}
                Ok(true) => return self.end(image, Ok(Vec::new())),
                Err(absence) => return self.end(image, Err(absence)),
            },
        }
        None
    }

    fn end(&mut self, image: &Image, last: Result<Vec<Site>, Absence>) -> Option<Sites> {
        self.take("ftrace sites", last);
        Some(Sites::new(image, std::mem::take(&mut self.found)))
    }

    /// A kernel that was built without a table has no symbol for it, and nothing to patch by it: that
    /// is told in the log's words, as it cannot be told from one that hides it.
    fn take(&mut self, what: &str, read: Result<Vec<Site>, Absence>) {
        match read {
            Ok(sites) => self.found.extend(sites),
            Err(absence) => self.gaps.push(format!("{what}: {absence}")),
        }
    }
}
