//! What a vCPU's instance says of a write to a guarded page: the kernel's own patching goes on without a
//! word, anything else is told, and stopped where the operator says so. Knows of the kernel what the store
//! has of it.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Range;

use oriel_sdk::linux::Absence;
use oriel_sdk::page::{Touch, Verdict};
use oriel_sdk::{
    Access, Alert, GuestOs, Log, MemoryRead, Moment, PageAccess, Refusal, Severity, Store, hex,
};

use super::GATES;
use crate::boot::Boot;
use crate::image::{Image, PAGE};
use crate::news::{self, name_of};
use crate::probes::Probes;
use crate::settings::OnWrite;
use crate::sites::{GROUP, Site, Sites};
use crate::watch::GENERATION;

/// What an instance knows.
#[derive(Debug, Default)]
pub(crate) struct Witness {
    generation: u64,
    image: Image,
    groups: BTreeMap<u32, Vec<Site>>,
    probes: Probes,
}

/// What a write is.
enum Write {
    /// Of the kernel's own patching, or one that changes nothing.
    Lawful,
    /// To memory that is guarded no longer: the guest has booted anew.
    Stale,
    /// To this address.
    Odd(Option<u64>),
}

impl Witness {
    /// Judges a write.
    pub(crate) fn judge(
        &mut self,
        at: &Moment,
        touch: &Touch,
        answer: OnWrite,
        host: &mut (impl Alert + GuestOs + Log + MemoryRead + PageAccess + Store),
    ) -> Verdict {
        let write = self.look(touch, host);
        let gva = match write {
            Ok(Write::Lawful) => return Verdict::Continue,
            Ok(Write::Stale) => {
                // Whether it is refused or not, the next write asks again.
                let _ = host.set_page_access(touch.gpa, Access::all(), touch.tag);
                return Verdict::Continue;
            }
            Ok(Write::Odd(gva)) => gva,
            // What cannot be checked is not let through in silence.
            Err(_) => None,
        };
        let verdict = match answer {
            OnWrite::Alert => None,
            OnWrite::Deny => at.first_allowed([Verdict::Deny, Verdict::Skip]),
        };
        tell(at, touch, gva, verdict.is_some(), host);
        verdict.unwrap_or(Verdict::Continue)
    }

    fn look(
        &mut self,
        touch: &Touch,
        host: &mut (impl GuestOs + MemoryRead + Store),
    ) -> Result<Write, Refusal> {
        if changes_nothing(touch, host) {
            return Ok(Write::Lawful);
        }
        self.learn(host)?;
        let within = touch.gpa % PAGE;
        if touch.tag == GATES {
            let table = host.find_symbol("idt_table", None);
            return Ok(Write::Odd(table.ok().map(|table| table.address | within)));
        }
        let number = u32::try_from(touch.tag).map_err(|_| Refusal::Invalid)?;
        let Some(page) = self.image.page(number) else {
            return Ok(Write::Stale);
        };
        let gva = page.start & !(PAGE - 1) | within;
        if is_elsewhere(gva, touch.gpa, host) {
            return Ok(Write::Stale);
        }
        let written = gva..gva.saturating_add(touch.size.into());
        if !page.contains(&gva) || self.is_patching(number, &written, host)? {
            return Ok(Write::Lawful);
        }
        Ok(Write::Odd(Some(gva)))
    }

    /// Learns of the boot that is guarded now.
    fn learn(&mut self, host: &mut impl Store) -> Result<(), Refusal> {
        let generation = host.get_number(GENERATION)?.unwrap_or(0);
        if generation != self.generation {
            let boot = Boot::kept(host)?.unwrap_or_default();
            (self.generation, self.image) = (generation, boot.image());
            self.groups.clear();
            self.probes = Probes::default();
        }
        Ok(())
    }

    /// Whether the kernel may write there: all bytes are of one site, or of a probe that it lists. What
    /// comes of it is looked at by the clock.
    fn is_patching(
        &mut self,
        page: u32,
        written: &Range<u64>,
        host: &mut (impl GuestOs + MemoryRead + Store),
    ) -> Result<bool, Refusal> {
        let group = page / GROUP;
        let sites = match self.groups.entry(group) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => unknown.insert(Sites::of_group(group, host)?),
        };
        let covers = |site: &Site| site.at <= written.start && written.end <= site.end();
        if sites.iter().any(covers) {
            return Ok(true);
        }
        let known = self.probes.look(host);
        Ok(known.is_ok() && self.probes.cover(written))
    }
}

/// Whether what is written stands there already.
fn changes_nothing(touch: &Touch, host: &mut impl MemoryRead) -> bool {
    let Some(value) = touch.value else {
        return false;
    };
    let length = usize::from(touch.size).min(8);
    let now = host.read_memory(touch.gpa, touch.size.into());
    now.is_ok_and(|now| now.get(..length) == value.to_le_bytes().get(..length))
}

/// Whether the kernel has something else at the address by now.
fn is_elsewhere(gva: u64, gpa: u64, host: &mut impl GuestOs) -> bool {
    match host.locate(gva, 1) {
        Ok(pieces) => pieces.first().is_none_or(|piece| piece.gpa != gpa),
        Err(Absence::Unknown(_)) => true,
        Err(Absence::Refused(_)) => false,
    }
}

fn tell(
    at: &Moment,
    touch: &Touch,
    gva: Option<u64>,
    stopped: bool,
    host: &mut (impl Alert + GuestOs + Log),
) {
    let task = match host.current_task(at.vcpu) {
        Ok(task) => format!("{} ({})", task.comm, task.pid),
        Err(absence) => absence.to_string(),
    };
    let known = touch.value.map(|value| hex(value).to_string());
    let value = known.unwrap_or_else(|| "unknown".to_owned());
    let place = gva.map_or_else(|| hex(touch.gpa).to_string(), |gva| name_of(gva, host));
    let from = name_of(at.ip, host);
    let words = if stopped {
        "a write to guarded memory was stopped"
    } else {
        "guarded memory is written to"
    };
    let fields: [(&str, &dyn std::fmt::Display); 7] = [
        ("where", &place),
        ("gpa", &hex(touch.gpa)),
        ("size", &touch.size),
        ("value", &value),
        ("task", &task),
        ("from", &from),
        ("vcpu", &at.vcpu),
    ];
    news::raise(Severity::Critical, words, &fields, host);
}
