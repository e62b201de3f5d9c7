//! Sites where functions call their tracer: the kernel's list of groups of records, gone through a few
//! groups a call by the clock. Believes no link and no count.

use std::collections::BTreeSet;

use oriel_sdk::Fixed as _;
use oriel_sdk::linux::{Absence, ReadKernel};

use super::{Kind, Site, data};
use crate::image::Image;

/// Groups of one call, and bytes after which it ends; groups of a kernel with all its modules; and
/// records of one group.
const AT_ONCE: usize = 32;
const BYTES: usize = 1 << 20;
const GROUPS: usize = 16384;
const RECORDS: u64 = 1 << 17;
/// More sites than a kernel has functions.
const SITES: usize = 1 << 18;

/// How far the walk is.
#[derive(Debug)]
pub(crate) struct Walk {
    next: u64,
    met: BTreeSet<u64>,
    group: Group,
    record: Record,
}

/// Where the members of `struct ftrace_page` are.
#[derive(Debug)]
struct Group {
    next: usize,
    records: usize,
    index: usize,
    size: u64,
}

/// Where those of `struct dyn_ftrace` are.
#[derive(Debug)]
struct Record {
    ip: usize,
    size: u64,
}

impl Walk {
    /// Where the list begins. None: the kernel has no such tracers.
    pub(super) fn begin(host: &mut impl ReadKernel) -> Result<Option<Self>, Absence> {
        let Some(start) = data("ftrace_pages_start", host)? else {
            return Ok(None);
        };
        let mut offset = |path: &str| -> Result<usize, Absence> {
            let offset = host.find_field(path, None)?.offset;
            usize::try_from(offset).map_err(|_| absurd("a member of ftrace's records"))
        };
        let group = Group {
            next: offset("ftrace_page.next")?,
            records: offset("ftrace_page.records")?,
            index: offset("ftrace_page.index")?,
            size: 0,
        };
        let ip = offset("dyn_ftrace.ip")?;
        let mut size = |name: &str, most: u64| {
            let size = host.find_field(name, None)?.size;
            let sound = (8..=most).contains(&size);
            sound.then_some(size).ok_or_else(|| absurd(name))
        };
        let group = Group {
            size: size("ftrace_page", 4096)?,
            ..group
        };
        let record = Record {
            ip,
            size: size("dyn_ftrace", 256)?,
        };
        let (next, met) = (host.read_kernel_value(start)?, BTreeSet::new());
        Ok(Some(Self {
            next,
            met,
            group,
            record,
        }))
    }

    /// Goes on by some groups; says whether that was the last.
    pub(super) fn go(
        &mut self,
        image: &Image,
        host: &mut impl ReadKernel,
        found: &mut Vec<Site>,
    ) -> Result<bool, Absence> {
        let mut bytes = 0;
        for _ in 0..AT_ONCE {
            if self.next == 0 {
                return Ok(true);
            }
            if !self.met.insert(self.next) {
                return Err(Absence::Unknown("its list goes round in a circle".into()));
            }
            if self.met.len() > GROUPS || found.len() > SITES {
                return Err(absurd("its list has no end, and"));
            }
            let group = host.read_kernel(self.next, self.group.size)?;
            bytes += self.records(&group, image, host, found)?;
            self.next = u64::at(&group, self.group.next).unwrap_or(0);
            if bytes > BYTES {
                break;
            }
        }
        Ok(false)
    }

    /// The records of a group; with how many bytes they took.
    fn records(
        &self,
        group: &[u8],
        image: &Image,
        host: &mut impl ReadKernel,
        found: &mut Vec<Site>,
    ) -> Result<usize, Absence> {
        let count = u64::from(u32::at(group, self.group.index).unwrap_or(0));
        let start = u64::at(group, self.group.records).unwrap_or(0);
        if count == 0 {
            return Ok(0);
        }
        if count > RECORDS {
            return Err(absurd("the count of a group of records"));
        }
        let bytes = host.read_kernel(start, count * self.record.size)?;
        let size = usize::try_from(self.record.size).unwrap_or(bytes.len());
        let records = bytes.chunks_exact(size.max(1));
        let own = records.filter_map(|record| u64::at(record, self.record.ip));
        let sites = own.filter(|at| image.is_code(*at)).map(|at| Site {
            at,
            length: 5,
            kind: Kind::Traced,
        });
        found.extend(sites);
        Ok(bytes.len())
    }
}

fn absurd(what: &str) -> Absence {
    Absence::Unknown(format!("{what} is absurd"))
}
