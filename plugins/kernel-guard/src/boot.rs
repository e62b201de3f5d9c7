//! Which boot of which kernel the guest is in. Owns how one is told from the next, and when it is far
//! enough for a baseline; makes none.

use oriel_sdk::bincode::{Decode, Encode};
use oriel_sdk::linux::Absence;
use oriel_sdk::{GuestOs, Refusal, Store};

use crate::image::Image;

/// Where it is kept.
const KEY: &str = "boot";

/// A boot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[bincode(crate = "oriel_sdk::bincode")]
pub(crate) struct Boot {
    /// `Linux version …`, all of it.
    pub(crate) banner: String,
    /// Where its image begins and ends.
    start: u64,
    end: u64,
    cr3: u64,
    areas: Vec<(bool, u64, u64)>,
    /// When the first process was started, in nanoseconds of the guest's: none is the same.
    init: Option<u64>,
}

/// What the guest is at.
#[derive(Clone, Debug)]
pub(crate) enum Stage {
    /// There is no kernel, or nobody can say where its code is.
    Unknown(String),
    /// It boots.
    Boots,
    /// It runs, and has no business with its code but to patch it; with pages that are too many.
    Runs(Boot, u64),
}

impl Boot {
    /// What the guest is at now.
    pub(crate) fn of(host: &mut impl GuestOs) -> Stage {
        match Self::look(host) {
            Ok(stage) => stage,
            Err(absence) => Stage::Unknown(absence.to_string()),
        }
    }

    /// Constants are written to until the kernel starts its first program: then task 1 has user memory.
    fn look(host: &mut impl GuestOs) -> Result<Stage, Absence> {
        let kernel = host.kernel()?;
        let init = match host.find_task(1) {
            Ok(task) if task.kernel == Some(true) || task.cr3.is_none() => {
                return Ok(Stage::Boots);
            }
            Ok(task) => task.start_time,
            // Either it has not been started, or this kernel's tasks cannot be had at all.
            Err(Absence::Unknown(_)) if host.tasks().is_ok() => return Ok(Stage::Boots),
            Err(Absence::Unknown(_)) => None,
            Err(refused) => return Err(refused),
        };
        let (image, lost) = Image::new(&host.areas()?);
        let boot = Self {
            banner: kernel.banner,
            start: kernel.start,
            end: kernel.end,
            cr3: kernel.cr3,
            areas: image.areas().to_vec(),
            init,
        };
        Ok(Stage::Runs(boot, lost))
    }

    /// Whether an address is in its image, with what it used for booting.
    pub(crate) fn has(&self, gva: u64) -> bool {
        (self.start..self.end).contains(&gva)
    }

    /// Its image.
    pub(crate) fn image(&self) -> Image {
        Image::of(self.areas.clone())
    }

    /// Whether it is the same boot: the same place, and the same first process. Its banner is memory like
    /// any other: who writes another one there gets no new baseline by it.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let same = match (self.init, other.init) {
            (Some(one), Some(two)) => one == two,
            (_, _) => self.banner == other.banner,
        };
        same && self.place() == other.place()
    }

    /// Whether the same kernel lies at the same place, in whichever boot.
    pub(crate) fn is_same_image(&self, other: &Self) -> bool {
        self.banner == other.banner && self.place() == other.place()
    }

    fn place(&self) -> (u64, u64, u64, &[(bool, u64, u64)]) {
        (self.start, self.end, self.cr3, &self.areas)
    }

    /// That of which the store has a baseline.
    pub(crate) fn kept(host: &mut impl Store) -> Result<Option<Self>, Refusal> {
        host.get_value(KEY)
    }

    pub(crate) fn keep(&self, host: &mut impl Store) -> Result<(), Refusal> {
        host.set_value(KEY, self)
    }
}
