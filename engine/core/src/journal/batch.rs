//! What waits in a ring: plain calls as they are, which the writer makes bytes of, and bytes of all other
//! records. Making bytes of a call takes longer than all else that recording it takes, so a vCPU does
//! not do it where it need not.

use oriel_journal::{Entry, codec};

use super::entry::{Asked, Called, Outcome, Seen, Stamp};

/// A call that asked for nothing, and let its event happen, as nearly all calls do.
#[derive(Clone, Debug)]
pub(super) struct Plain {
    pub(super) instance: u64,
    pub(super) turn: u64,
    pub(super) at: Stamp,
    pub(super) seen: Seen,
}

impl From<Plain> for Entry {
    fn from(plain: Plain) -> Self {
        let Plain {
            instance,
            turn,
            at,
            seen,
        } = plain;
        Self::Called(Called {
            instance,
            turn,
            at,
            asked: Asked::Judge(seen),
            said: Vec::new(),
            outcome: Outcome::Continue,
        })
    }
}

/// Records in their order.
#[derive(Default)]
pub(super) struct Batch {
    waiting: Vec<Waiting>,
    /// Those that are bytes already, one behind the other.
    bytes: Vec<u8>,
}

/// What stands next in a batch.
enum Waiting {
    Plain(Plain),
    /// So many bytes.
    Bytes(usize),
}

impl Batch {
    /// How many bytes it takes.
    #[inline]
    pub(super) fn size(&self) -> usize {
        size_of::<Waiting>() * self.waiting.len() + self.bytes.len()
    }

    /// How many records there are.
    pub(super) fn len(&self) -> u64 {
        self.waiting.len() as u64
    }

    pub(super) fn clear(&mut self) {
        self.waiting.clear();
        self.bytes.clear();
    }

    #[inline]
    pub(super) fn leave(&mut self, plain: Plain) {
        self.waiting.push(Waiting::Plain(plain));
    }

    /// Puts a record in; false if it is larger than a record may be.
    pub(super) fn put(&mut self, entry: &Entry) -> bool {
        let before = self.bytes.len();
        let put = codec::put(entry, &mut self.bytes);
        if put {
            let length = self.bytes.len() - before;
            self.waiting.push(Waiting::Bytes(length));
        }
        put
    }

    /// Hands out the bytes of each record. There is room in `scratch` for those that are none yet.
    pub(super) fn each(&self, scratch: &mut Vec<u8>, mut taken: impl FnMut(&[u8])) {
        let mut rest = self.bytes.as_slice();
        for waiting in &self.waiting {
            match waiting {
                Waiting::Plain(plain) => {
                    scratch.clear();
                    codec::put(&Entry::from(plain.clone()), scratch);
                    taken(scratch);
                }
                Waiting::Bytes(length) => {
                    let (content, behind) = rest.split_at_checked(*length).unwrap_or_default();
                    taken(content);
                    rest = behind;
                }
            }
        }
    }
}
