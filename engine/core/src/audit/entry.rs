//! A command between its announcement and its answer, and the reads of a call between its
//! beginning and its end. Owns their place in the queue; never lets one go without a line.

use oriel_protocol::{Moment, Refusal};

use super::{
    Audit,
    line::{Command, Line, Tally, Who},
    queue::Place,
    short::Read,
};

/// How long reads are counted before they become a line, where no event ends: nanoseconds.
const SPAN_NS: u64 = 1_000_000_000;

/// A command that has been announced.
pub(crate) enum Opened {
    /// A read of memory, which is counted.
    Read(Read),
    /// Anything else, which has a line of its own.
    Command(Entry),
}

impl Opened {
    /// Says what became of it.
    pub(crate) fn answered(self, answer: Result<(), Refusal>, reads: &mut Option<Reads>) {
        match (self, reads) {
            (Self::Command(entry), _) => entry.answered(answer),
            (Self::Read(read), Some(reads)) => reads.tally.count(&read, answer),
            // Its place was made when it was announced.
            (Self::Read(_), None) => {}
        }
    }
}

/// A command with its place in the queue.
pub(crate) struct Entry {
    /// None: it is counted as lost already.
    place: Option<Place>,
    /// None once it is answered.
    command: Option<Box<Command>>,
}

impl Entry {
    pub(super) fn new(place: Option<Place>, command: Command) -> Self {
        Self {
            place,
            command: Some(Box::new(command)),
        }
    }

    /// Says what became of the command.
    pub(crate) fn answered(mut self, answer: Result<(), Refusal>) {
        self.write(Some(answer));
    }

    fn write(&mut self, answer: Option<Result<(), Refusal>>) {
        if let (Some(place), Some(command)) = (self.place.take(), self.command.take()) {
            place.put(Line::Command(command, answer));
        }
    }
}

/// A command of which nobody says what became of it has a line all the same.
impl Drop for Entry {
    fn drop(&mut self) {
        self.write(None);
    }
}

/// Reads of memory in one call of a judge, with their place in the queue. Dropping them writes
/// them.
pub(crate) struct Reads {
    place: Option<Place>,
    who: Option<Who>,
    moment: Moment,
    tally: Tally,
}

impl Reads {
    /// Makes sure that one more read can be counted.
    pub(super) fn make_room(
        audit: &Audit,
        who: Who,
        moment: Moment,
        reads: &mut Option<Self>,
    ) -> Result<(), Refusal> {
        if reads.as_ref().is_some_and(|open| open.goes_on(moment)) {
            return Ok(());
        }
        *reads = None;
        *reads = Some(Self {
            place: audit.place()?,
            who: Some(who),
            moment,
            tally: Tally::default(),
        });
        Ok(())
    }

    /// A tool that reads for hours has no event that ends.
    const fn goes_on(&self, moment: Moment) -> bool {
        moment.time_ns.saturating_sub(self.moment.time_ns) < SPAN_NS
    }
}

impl Drop for Reads {
    fn drop(&mut self) {
        let (Some(place), Some(who)) = (self.place.take(), self.who.take()) else {
            return;
        };
        if !self.tally.is_empty() {
            place.put(Line::Reads(
                who,
                self.moment,
                std::mem::take(&mut self.tally),
            ));
        }
    }
}
