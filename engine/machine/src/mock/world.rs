//! What the vCPUs of a mock machine share: who is in the guest, who holds whom, which names have
//! been signalled, what is wanted, and how it ended.
//!
//! Playing an event touches only the vCPU's own [bell](super::bell); the lock is for waiting, and
//! for what wakes those who wait. Nobody waits with the lock held for anything but a wake-up.

mod barrier;

use std::{
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use oriel_protocol::Refusal;

use super::{
    armed::Armed,
    bell::{Bell, ENDED, HELD, INSIDE, KICKED, REARMED, RESTING},
};
use crate::machine::{End, Hold};

pub(super) use self::barrier::{Barriers, Parked, Standing};

/// As long as a wait may be told to be; whoever waits looks again then, and waits on.
const LONG: Duration = Duration::from_secs(3600);

#[derive(Debug)]
pub(super) struct World {
    bells: Box<[Arc<Bell>]>,
    shared: Mutex<Shared>,
    changed: Condvar,
    /// All vCPUs are on one thread, so nobody waits: how many milliseconds have been idled.
    alone: Option<AtomicU64>,
}

#[derive(Debug)]
struct Shared {
    barriers: Barriers,
    /// Which vCPU holds the others, and how often.
    holder: Option<(u32, u32)>,
    armed: Arc<Armed>,
    end: Option<End>,
}

impl World {
    pub(super) fn new(vcpus: u32) -> Arc<Self> {
        Arc::new(Self::of(vcpus, None))
    }

    /// One whose vCPUs are entered in turn, on one thread. Who would wait leaves the guest as if
    /// kicked, and idling takes no time.
    pub(super) fn alone(vcpus: u32) -> Arc<Self> {
        Arc::new(Self::of(vcpus, Some(AtomicU64::new(0))))
    }

    fn of(vcpus: u32, alone: Option<AtomicU64>) -> Self {
        Self {
            bells: (0..vcpus).map(|_| Arc::default()).collect(),
            shared: Mutex::new(Shared {
                barriers: Barriers::new(vcpus),
                holder: None,
                armed: Arc::default(),
                end: None,
            }),
            changed: Condvar::new(),
            alone,
        }
    }

    /// Lets so many milliseconds pass at once, where nobody waits; whether it did.
    pub(super) fn skip(&self, bell: &Bell, ms: u32) -> bool {
        let Some(idled) = &self.alone else {
            return false;
        };
        idled.fetch_add(ms.into(), Ordering::Relaxed);
        bell.set(KICKED);
        true
    }

    /// How long vCPUs have idled together where nobody waits.
    pub(super) fn idled(&self) -> Duration {
        let idled = self.alone.as_ref().map(|ms| ms.load(Ordering::Relaxed));
        Duration::from_millis(idled.unwrap_or(0))
    }

    /// How many vCPUs there are.
    pub(super) fn vcpus(&self) -> u32 {
        u32::try_from(self.bells.len()).unwrap_or(u32::MAX)
    }

    /// The bell of a vCPU; one that nobody rings where there is no such vCPU.
    pub(super) fn bell(&self, vcpu: u32) -> Arc<Bell> {
        let at = usize::try_from(vcpu).unwrap_or(usize::MAX);
        self.bells.get(at).cloned().unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, shared: MutexGuard<'a, Shared>) -> MutexGuard<'a, Shared> {
        self.changed
            .wait(shared)
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes whoever waits, so that it looks again.
    fn wake(&self) {
        let _shared = self.lock();
        self.changed.notify_all();
    }

    /// Makes a vCPU leave the guest.
    pub(super) fn kick(&self, bell: &Bell) {
        if bell.set(KICKED) & RESTING != 0 {
            self.wake();
        }
    }

    /// Goes into the guest; out of the way as long as another vCPU holds the world, unless
    /// somebody wants the thread.
    pub(super) fn go_in(&self, bell: &Bell) {
        if bell.set(INSIDE) & HELD != 0 {
            self.stay_out(bell);
        }
    }

    /// Leaves the guest.
    pub(super) fn go_out(&self, bell: &Bell) {
        if bell.clear(INSIDE) & HELD != 0 {
            self.wake();
        }
    }

    /// Stays out of the guest until nobody holds the world, or the bell rings.
    pub(super) fn stay_out(&self, bell: &Bell) {
        self.rest(bell, |_| true);
    }

    /// Waits outside the guest until the VM's barriers are as wanted and nobody holds the world,
    /// or the bell rings. Inside again afterwards, unless held still.
    pub(super) fn rest(&self, bell: &Bell, over: impl Fn(&Barriers) -> bool) {
        self.rest_while(bell, |shared| {
            (!over(&shared.barriers)).then_some(Duration::MAX)
        });
    }

    /// The same until it is so late.
    pub(super) fn rest_until(&self, bell: &Bell, until: Instant) {
        self.rest_while(bell, |_| until.checked_duration_since(Instant::now()));
    }

    /// The same as long as there is something to wait for, and how long it may take.
    fn rest_while(&self, bell: &Bell, left: impl Fn(&Shared) -> Option<Duration>) {
        if self.alone.is_some() {
            // The vCPU that it waits for is entered next.
            bell.set(KICKED);
            return;
        }
        let mut shared = self.lock();
        bell.clear(INSIDE);
        bell.set(RESTING);
        self.changed.notify_all();
        while !bell.has(KICKED | ENDED) {
            let held = bell.has(HELD).then_some(Duration::MAX);
            let Some(left) = held.or_else(|| left(&shared)) else {
                break;
            };
            let waited = self.changed.wait_timeout(shared, left.min(LONG));
            shared = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        bell.clear(RESTING);
        if !bell.has(HELD) {
            bell.set(INSIDE);
        }
    }

    /// A vCPU cannot go on by itself; answers what is to be done about it.
    pub(super) fn park(&self, vcpu: u32, standing: Standing) -> Parked {
        self.lock().barriers.park(vcpu, standing)
    }

    /// Signals a name.
    pub(super) fn signal(&self, name: &str) {
        self.lock().barriers.signal(name);
        self.changed.notify_all();
    }

    /// Ends the VM; the first end stands.
    pub(super) fn end(&self, end: End) {
        let mut shared = self.lock();
        shared.end.get_or_insert(end);
        for bell in &self.bells {
            bell.set(ENDED);
        }
        self.changed.notify_all();
    }

    /// How the VM ended, once it has.
    pub(super) fn ended(&self) -> Option<End> {
        self.lock().end.clone()
    }

    /// Puts what is wanted where each vCPU finds it before its next step.
    pub(super) fn arm(&self, armed: Armed) {
        let mut shared = self.lock();
        if *shared.armed == armed {
            return;
        }
        shared.armed = Arc::new(armed);
        for bell in &self.bells {
            bell.set(REARMED);
        }
    }

    /// What is wanted.
    pub(super) fn armed(&self) -> Arc<Armed> {
        Arc::clone(&self.lock().armed)
    }

    /// Holds every vCPU but this one; returns when none of them is in the guest.
    ///
    /// # Errors
    /// [`Refusal::Busy`] if another vCPU holds the world.
    pub(super) fn hold_others(self: &Arc<Self>, vcpu: u32) -> Result<Hold, Refusal> {
        let mut shared = self.lock();
        let times = match shared.holder {
            None => 0,
            Some((holder, times)) if holder == vcpu => times,
            Some(_) => return Err(Refusal::Busy),
        };
        shared.holder = Some((vcpu, times + 1));
        self.others(vcpu).for_each(|bell| {
            bell.set(HELD);
        });
        while self.others(vcpu).any(|bell| bell.has(INSIDE)) {
            shared = self.wait(shared);
        }
        let world = Arc::clone(self);
        Ok(Hold::new(move || world.release()))
    }

    fn others(&self, vcpu: u32) -> impl Iterator<Item = &Arc<Bell>> {
        let others = self
            .bells
            .iter()
            .zip(0..)
            .filter(move |(_, other)| *other != vcpu);
        others.map(|(bell, _)| bell)
    }

    /// Ends one of the holder's holds.
    fn release(&self) {
        let mut shared = self.lock();
        shared.holder = match shared.holder {
            Some((vcpu, times)) if times > 1 => return shared.holder = Some((vcpu, times - 1)),
            Some(_) | None => None,
        };
        for bell in &self.bells {
            bell.clear(HELD);
        }
        self.changed.notify_all();
    }
}
