//! Which dialect a tool seems to speak, by what it sends. The handshake does not say, the version
//! is 1 in all dialects, and users lose days to "failed to retrieve the protocol version"; so this
//! module owns the signs, and the words that name the flag to try. It never decides anything.

use crate::Dialect;

/// GET_VERSION, the first message in every dialect.
const GET_VERSION: u16 = 2;

/// What a tool's messages give away.
#[derive(Clone, Debug)]
pub struct Suspicion {
    spoken: Dialect,
    /// The first message that points to another dialect.
    sign: Option<Sign>,
    /// Commands heard so far, up to 2.
    heard: u8,
    /// All of them asked for the version.
    only_version: bool,
}

/// A message that points to another dialect.
#[derive(Clone, Copy, Debug)]
struct Sign {
    id: u16,
    size: u16,
    seems: Seems,
}

/// What a tool seems to speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seems {
    V6,
    V7,
    V12,
    /// These two begin alike.
    V6OrV7,
}

impl Suspicion {
    /// Of a tool that has sent nothing, where this dialect is spoken.
    pub const fn new(spoken: Dialect) -> Self {
        Self {
            spoken,
            sign: None,
            heard: 0,
            only_version: true,
        }
    }

    /// Takes note of a message by its number and the bytes of its payload.
    pub fn hear(&mut self, id: u16, size: u16) {
        self.heard = self.heard.saturating_add(1).min(2);
        self.only_version &= id == GET_VERSION;
        if self.sign.is_none() {
            self.sign = seems(self.spoken, id, size).map(|seems| Sign { id, size, seems });
        }
    }

    /// In words, what the tool seems to speak and which flag to try; none if nothing points to
    /// another dialect. A single GET_VERSION is a sign if the tool has hung up after it.
    pub fn words(&self) -> Option<String> {
        let spoken = self.spoken.name();
        if let Some(Sign { id, size, seems }) = self.sign {
            let (words, flag) = seems.words();
            return Some(format!(
                "the tool seems to speak {words}, but it is spoken to in {spoken}: it has sent \
                 message {id} of {size} bytes; try --dialect {flag}"
            ));
        }
        let only_version = self.heard == 1 && self.only_version;
        only_version.then(|| {
            format!(
                "the tool asked for the version and nothing else: it may speak another dialect \
                 than {spoken}; try --dialect {}",
                others(self.spoken)
            )
        })
    }
}

impl Seems {
    /// Its words, and the value of the flag.
    const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::V6 => ("v6", "v6"),
            Self::V7 => ("v7", "v7"),
            Self::V12 => ("v12", "v12"),
            Self::V6OrV7 => ("v7 or v6", "v7 or --dialect v6"),
        }
    }
}

/// What to try instead of a dialect, the likeliest first.
const fn others(spoken: Dialect) -> &'static str {
    match spoken {
        Dialect::V7 => "v12 or --dialect v6",
        Dialect::Rfc6 | Dialect::V6 => "v7 or --dialect v12",
        Dialect::V12 => "v7 or --dialect v6",
    }
}

/// What a message of this number and size points to, where this dialect is spoken.
const fn seems(spoken: Dialect, id: u16, size: u16) -> Option<Seems> {
    match (spoken, id, size) {
        // v12 asks for the number of vCPUs; elsewhere this switches an event and has 8 bytes.
        (Dialect::Rfc6 | Dialect::V6 | Dialect::V7, 8, 0) => Some(Seems::V12),
        // v12's replies to events; elsewhere only a VM sends this.
        (Dialect::Rfc6 | Dialect::V6 | Dialect::V7, 1, _) => Some(Seems::V12),
        // The number of vCPUs; in v12 this switches an event and has 16 bytes.
        (Dialect::V12, 5, 0) => Some(Seems::V6OrV7),
        // Replies to events; in v12 only a VM sends this.
        (Dialect::V12, 0, _) => Some(Seems::V6OrV7),
        // What may be done with pages, and with parts of them; v7 has dropped both.
        (Dialect::V7, 20 | 25, _) => Some(Seems::V6),
        (Dialect::V6, 28 | 30..=63, _) => Some(Seems::V7),
        // GET_MAX_GFN, which the posted series does not have.
        (Dialect::Rfc6, 29, _) => Some(Seems::V6OrV7),
        (Dialect::Rfc6, 28 | 30..=63, _) => Some(Seems::V7),
        (Dialect::Rfc6 | Dialect::V6 | Dialect::V7 | Dialect::V12, _, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(spoken: Dialect, heard: &[(u16, u16)]) -> Option<String> {
        let mut suspicion = Suspicion::new(spoken);
        heard
            .iter()
            .for_each(|&(id, size)| suspicion.hear(id, size));
        suspicion.words()
    }

    #[test]
    fn each_sign_names_the_flag() {
        let cases = [
            (Dialect::V7, (8, 0), "--dialect v12"),
            (Dialect::V6, (8, 0), "--dialect v12"),
            (Dialect::Rfc6, (8, 0), "--dialect v12"),
            (Dialect::V7, (1, 24), "--dialect v12"),
            (Dialect::V12, (5, 0), "--dialect v7"),
            (Dialect::V12, (0, 16), "--dialect v7"),
            (Dialect::V7, (20, 16), "--dialect v6"),
            (Dialect::V7, (25, 16), "--dialect v6"),
            (Dialect::V6, (28, 24), "--dialect v7"),
            (Dialect::V6, (63, 16), "--dialect v7"),
            (Dialect::Rfc6, (35, 16), "--dialect v7"),
            (Dialect::Rfc6, (29, 0), "--dialect v7 or --dialect v6"),
        ];
        for (spoken, message, flag) in cases {
            let words = words(spoken, &[(2, 0), message, (17, 16)]).unwrap();
            assert!(words.contains(flag), "{spoken:?} {message:?}: {words}");
            assert!(words.contains(spoken.name()), "{words}");
        }
    }

    #[test]
    fn tools_that_speak_the_same_are_not_suspected() {
        let hookguest = [
            (2, 0),
            (5, 0),
            (27, 8),
            (7, 16),
            (27, 8),
            (29, 0),
            (21, 24),
            (9, 16),
        ];
        assert_eq!(words(Dialect::V7, &hookguest), None);
        assert_eq!(words(Dialect::V6, &hookguest), None);
        assert_eq!(
            words(Dialect::V12, &[(2, 0), (8, 0), (5, 16), (20, 24)]),
            None
        );
        assert_eq!(words(Dialect::V7, &[(2, 0), (8, 8)]), None);
        assert_eq!(words(Dialect::V12, &[(2, 0), (5, 16)]), None);
    }

    #[test]
    fn a_tool_that_leaves_after_the_version_is_suspected_of_something() {
        let left = words(Dialect::V7, &[(2, 0)]).unwrap();
        assert!(left.contains("--dialect v12"), "{left}");
        assert_eq!(words(Dialect::V7, &[]), None);
        assert_eq!(words(Dialect::V7, &[(2, 0), (2, 0)]), None);
        assert_eq!(words(Dialect::V7, &[(5, 0)]), None);
    }
}
