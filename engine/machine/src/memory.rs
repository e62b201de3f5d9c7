//! Guest-physical memory, as the engine reads and writes it.

use oriel_protocol::{Gpa, Refusal};
use vm_memory::{
    Bytes, GuestAddress, GuestMemoryBackend as _, GuestMemoryMmap, GuestMemoryRegion as _,
};

/// One piece of a scattered read.
#[derive(Debug)]
pub struct Piece<'a> {
    /// From where.
    pub gpa: Gpa,
    /// What is filled.
    pub to: &'a mut [u8],
    /// Whether it was: [`Refusal::Unavailable`] until it has been tried, [`Refusal::NotFound`]
    /// where part of it is not RAM; then the contents of `to` mean nothing.
    pub outcome: Result<(), Refusal>,
}

impl<'a> Piece<'a> {
    /// A piece that has not been read yet.
    pub const fn new(gpa: Gpa, to: &'a mut [u8]) -> Self {
        Self {
            gpa,
            to,
            outcome: Err(Refusal::Unavailable),
        }
    }
}

/// Guest-physical memory of one machine.
pub trait GuestMemory: Send + Sync {
    /// Fills `to` from `gpa` on, with the original bytes under managed breakpoints.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] where part of the range is not RAM.
    fn read_at(&self, gpa: Gpa, to: &mut [u8]) -> Result<(), Refusal>;

    /// Stores `from` at `gpa`; a byte under a managed breakpoint goes to the saved original.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] where part of the range is not RAM; then nothing is written.
    fn write_at(&self, gpa: Gpa, from: &[u8]) -> Result<(), Refusal>;

    /// Reads several pieces at once; each has its own answer. A machine whose memory is a trip
    /// away makes one trip of it.
    fn read_each(&self, pieces: &mut [Piece<'_>]) {
        for piece in pieces {
            piece.outcome = self.read_at(piece.gpa, piece.to);
        }
    }

    /// The address behind the last byte of RAM.
    fn end(&self) -> Gpa;

    /// Whether all of the range is RAM.
    fn covers(&self, gpa: Gpa, length: u64) -> bool;

    /// RAM as it is mapped in this process, where it is.
    fn mapping(&self) -> Option<&GuestMemoryMmap<()>> {
        None
    }

    /// Whether a read is no trip, but a look into this process's own memory.
    fn is_near(&self) -> bool {
        self.mapping().is_some()
    }

    /// Reads a little-endian word.
    ///
    /// # Errors
    /// As [`read_at`](Self::read_at).
    fn read_u64(&self, gpa: Gpa) -> Result<u64, Refusal> {
        let mut word = [0; 8];
        self.read_at(gpa, &mut word)?;
        Ok(u64::from_le_bytes(word))
    }
}

impl GuestMemory for GuestMemoryMmap<()> {
    fn read_at(&self, gpa: Gpa, to: &mut [u8]) -> Result<(), Refusal> {
        self.read_slice(to, GuestAddress(gpa))
            .map_err(|_| Refusal::NotFound)
    }

    fn write_at(&self, gpa: Gpa, from: &[u8]) -> Result<(), Refusal> {
        if !self.covers(gpa, from.len() as u64) {
            return Err(Refusal::NotFound);
        }
        self.write_slice(from, GuestAddress(gpa))
            .map_err(|_| Refusal::NotFound)
    }

    fn end(&self) -> Gpa {
        self.iter()
            .map(|region| region.last_addr().0 + 1)
            .max()
            .unwrap_or(0)
    }

    fn covers(&self, gpa: Gpa, length: u64) -> bool {
        usize::try_from(length).is_ok_and(|length| self.check_range(GuestAddress(gpa), length))
    }

    fn mapping(&self) -> Option<&GuestMemoryMmap<()>> {
        Some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_a_hole() -> GuestMemoryMmap<()> {
        GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 0x2000), (GuestAddress(0x4000), 0x1000)])
            .unwrap()
    }

    #[test]
    fn reads_and_writes_stay_out_of_holes() {
        let memory = with_a_hole();
        let mut word = [0; 8];
        assert_eq!(memory.write_at(0x1ffc, &[7; 8]), Err(Refusal::NotFound));
        assert_eq!(memory.read_at(0x1ffc, &mut word), Err(Refusal::NotFound));
        assert_eq!(
            memory.read_u64(0x1ff8),
            Ok(0),
            "nothing was written by halves"
        );
        assert_eq!(memory.write_at(0x4000, &[7; 8]), Ok(()));
        assert_eq!(memory.read_u64(0x4000), Ok(0x0707_0707_0707_0707));
    }

    #[test]
    fn each_piece_of_a_scattered_read_has_its_own_answer() {
        let memory = with_a_hole();
        memory.write_at(0x1000, &[1, 2]).unwrap();
        memory.write_at(0x4000, &[3]).unwrap();
        let (mut first, mut hole, mut last) = ([0; 2], [0; 2], [0; 1]);
        let mut pieces = [
            Piece::new(0x1000, &mut first),
            Piece::new(0x2000, &mut hole),
            Piece::new(0x4000, &mut last),
        ];
        assert!(
            pieces.iter().all(|piece| piece.outcome.is_err()),
            "not read yet"
        );
        memory.read_each(&mut pieces);
        let outcomes = pieces.map(|piece| piece.outcome);
        assert_eq!(outcomes, [Ok(()), Err(Refusal::NotFound), Ok(())]);
        assert_eq!((first, last), ([1, 2], [3]));
    }

    #[test]
    fn addresses_at_the_end_of_the_world_are_refused() {
        let memory = with_a_hole();
        assert_eq!(memory.read_u64(u64::MAX - 3), Err(Refusal::NotFound));
        assert!(!memory.covers(u64::MAX, u64::MAX));
        assert_eq!(memory.end(), 0x5000);
    }
}
