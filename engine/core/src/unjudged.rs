//! When the operator is told of accesses that went through unjudged: the first at once, then at
//! most one alert a second on each vCPU, with how many there were. It counts, and keeps no clock.

use oriel_machine::Unjudged;
use oriel_protocol::{Moment, commands::service::Severity};

use crate::record::Alert;

/// The least time between two alerts of a vCPU, in nanoseconds.
const APART: u64 = 1_000_000_000;

/// What one vCPU has let through.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    total: u64,
    /// Not told yet.
    waiting: Option<Unjudged>,
    /// When there may be another alert.
    next_at: u64,
}

impl Tally {
    /// Notes what the machine says.
    pub(crate) fn add(&mut self, unjudged: Unjudged) {
        self.total = self.total.saturating_add(unjudged.count);
        self.waiting = Some(unjudged.after(self.waiting.take()));
    }

    /// Whether there is something to tell, now or later.
    pub(crate) const fn waits(&self) -> bool {
        self.waiting.is_some()
    }

    /// The alert that is due at this moment.
    pub(crate) fn due(&mut self, moment: Moment) -> Option<Alert> {
        if moment.time_ns < self.next_at {
            return None;
        }
        self.last(moment)
    }

    /// The alert for what has not been told, due or not.
    pub(crate) fn last(&mut self, moment: Moment) -> Option<Alert> {
        let unjudged = self.waiting.take()?;
        self.next_at = moment.time_ns.saturating_add(APART);
        Some(alert(unjudged, self.total, moment))
    }
}

fn alert(unjudged: Unjudged, total: u64, moment: Moment) -> Alert {
    let Unjudged {
        count,
        ip,
        gpa,
        why,
    } = unjudged;
    let hex = |name: &str, word: Option<u64>| Some((name.to_owned(), format!("{:#x}", word?)));
    let said = [("count", count.to_string()), ("total", total.to_string())];
    let said = said.map(|(name, text)| (name.to_owned(), text));
    let known = [hex("ip", ip), hex("gpa", gpa)].into_iter().flatten();
    let why_name = [("why".to_owned(), why.name().to_owned())];
    Alert {
        by_engine: true,
        judge: None,
        moment,
        severity: Severity::High,
        message: format!("accesses to trapped pages went through unjudged: {why}"),
        fields: said.into_iter().chain(known).chain(why_name).collect(),
    }
}

#[cfg(test)]
mod tests {
    use oriel_machine::Unseen;

    use super::*;

    fn at(time_ns: u64) -> Moment {
        Moment {
            vcpu: 0,
            seq: 0,
            time_ns,
        }
    }

    fn field<'a>(alert: &'a Alert, name: &str) -> Option<&'a str> {
        let field = alert.fields.iter().find(|(known, _)| known == name);
        field.map(|(_, value)| value.as_str())
    }

    #[test]
    fn the_first_is_told_at_once_and_what_follows_with_its_count() {
        let mut tally = Tally::default();
        let one = |ip| Unjudged::one(Some(ip), None, Unseen::Unknown);
        tally.add(one(0x10));
        let first = tally.due(at(5)).unwrap();
        assert_eq!(field(&first, "count"), Some("1"));
        assert_eq!(
            (field(&first, "ip"), field(&first, "gpa")),
            (Some("0x10"), None)
        );
        (0x20..0x25).for_each(|ip| tally.add(one(ip)));
        assert!(tally.due(at(APART)).is_none(), "within a second");
        assert!(tally.waits());
        let second = tally.due(at(5 + APART)).unwrap();
        assert_eq!(field(&second, "count"), Some("5"));
        assert_eq!(field(&second, "total"), Some("6"));
        assert_eq!(field(&second, "ip"), Some("0x24"), "the newest");
        assert!(!tally.waits() && tally.due(at(u64::MAX)).is_none());
    }

    #[test]
    fn what_is_left_in_the_end_is_told_before_its_time() {
        let mut tally = Tally::default();
        let one = Unjudged::one(None, Some(0x5000), Unseen::Open);
        tally.add(one);
        assert!(tally.due(at(0)).is_some());
        tally.add(one);
        let last = tally.last(at(1)).unwrap();
        assert_eq!(
            (field(&last, "count"), field(&last, "why")),
            (Some("1"), Some("open"))
        );
        assert!(tally.last(at(2)).is_none());
    }
}
