//! What is tried.

use shuttle::thread;

use crate::{
    Kicker, arming,
    kick::Kick,
    mailbox::Mailbox,
    sync::{Arc, AtomicU32, AtomicU64, Condvar, Duration, Instant, Mutex, Ordering::SeqCst},
    sys::{self, page::ImmediateExit, signal::KickSignal},
    turn::{Turn, Waiter},
    visit::{Visit, arrange, gather},
    world::World,
};

/// Name, how many schedules, and one of them.
pub(crate) type Case = (&'static str, usize, fn());

/// All that is tried.
pub(crate) const ALL: &[Case] = &[
    (
        "no letter is lost, 5 kicks each",
        100_000,
        no_letter_is_lost,
    ),
    (
        "who is let go of is kicked no more",
        20_000,
        who_is_let_go_of_is_kicked_no_more,
    ),
    ("who is held stays out", 30_000, who_is_held_stays_out),
    (
        "of two holders one is told",
        30_000,
        of_two_holders_one_is_told,
    ),
    ("two vCPUs ask each other", 30_000, two_vcpus_ask_each_other),
    (
        "who arms waits for every vCPU",
        30_000,
        arming::who_arms_waits_for_every_vcpu,
    ),
    (
        "turns are taken one at a time",
        20_000,
        turns_are_taken_one_at_a_time,
    ),
    ("an end reaches everybody", 20_000, an_end_reaches_everybody),
    (
        "a swap moves everybody or nobody",
        50_000,
        a_swap_moves_everybody_or_nobody,
    ),
];

const LATER: Duration = Duration::from_millis(200);

/// A vCPU: its page, its kick, and the world that it shares.
#[derive(Clone)]
struct Vcpu {
    index: u32,
    byte: ImmediateExit,
    kick: Arc<Kick>,
    /// How many vCPUs run guest code.
    running: Arc<AtomicU32>,
}

fn vcpus(count: u32) -> (Vec<Vcpu>, Arc<World>) {
    let running = Arc::new(AtomicU32::new(0));
    let vcpu = |index| {
        let byte = ImmediateExit::default();
        Vcpu {
            index,
            kick: Kick::new(byte.clone(), KickSignal),
            byte,
            running: running.clone(),
        }
    };
    let vcpus: Vec<_> = (0..count).map(vcpu).collect();
    let kicks = vcpus.iter().map(|vcpu| vcpu.kick.clone()).collect();
    (vcpus, World::new(kicks))
}

impl Vcpu {
    /// As the kvm machine's `enter`: back when somebody has kicked, or the VM has ended.
    fn enter(&self, world: &Arc<World>) {
        self.kick.attach().unwrap();
        while world.ended().is_none() && !self.kick.is_kicked() {
            // An instruction is completed first, as the tap does: without entering the guest.
            self.kick.hold_at_entry();
            sys::kvm_run(&self.byte, |_| panic!("it entered the guest"));
            self.kick.release_entry();
            if !world.go_in(self.index, 0) {
                self.kick.wait_while(|| world.must_wait(self.index, 0));
                continue;
            }
            sys::kvm_run(&self.byte, |inside| self.count(inside));
            world.come_out(self.index);
            self.kick.release_entry();
        }
    }

    fn count(&self, inside: bool) {
        match inside {
            true => self.running.fetch_add(1, SeqCst),
            false => self.running.fetch_sub(1, SeqCst),
        };
    }
}

/// The loop of a vCPU's thread: forget kicks, read the mailbox, enter; until it has read so many.
fn serve(vcpu: &Vcpu, world: &Arc<World>, mailbox: &Mailbox<u32>, letters: u32) {
    let mut read = 0;
    loop {
        vcpu.kick.acknowledge();
        while mailbox.take().is_some() {
            read += 1;
        }
        if read == letters {
            return;
        }
        vcpu.enter(world);
    }
}

/// A letter that is lost leaves the vCPU in the guest for ever, which shuttle calls a deadlock.
fn no_letter_is_lost() {
    let (mut vcpus, world) = vcpus(1);
    let vcpu = vcpus.remove(0);
    let mailbox = Arc::new(Mailbox::new(vcpu.kick.clone() as std::sync::Arc<dyn Kicker>));
    let posters: Vec<_> = [3, 2]
        .into_iter()
        .map(|letters| {
            let mailbox = mailbox.clone();
            thread::spawn(move || (0..letters).for_each(|one| mailbox.post(one).unwrap()))
        })
        .collect();
    serve(&vcpu, &world, &mailbox, 5);
    posters
        .into_iter()
        .for_each(|poster| poster.join().unwrap());
    assert_eq!(mailbox.take(), None);
}

/// A kick that comes late would keep the vCPU out of the guest, and nobody would take it back.
fn who_is_let_go_of_is_kicked_no_more() {
    let (mut vcpus, _) = vcpus(1);
    let vcpu = vcpus.remove(0);
    vcpu.kick.attach().unwrap();
    let kickers = (0..2).map(|_| {
        let kick = vcpu.kick.clone();
        thread::spawn(move || kick.kick())
    });
    let kickers: Vec<_> = kickers.collect();
    vcpu.kick.let_go();
    kickers.into_iter().for_each(|one| one.join().unwrap());
    assert!(!vcpu.byte.is_set());
}

fn end(world: &World, threads: Vec<thread::JoinHandle<()>>) {
    world.finish(crate::End::Cancelled);
    threads.into_iter().for_each(|one| one.join().unwrap());
}

fn who_is_held_stays_out() {
    let (mut vcpus, world) = vcpus(3);
    let holder = vcpus.remove(0);
    let threads = vcpus.into_iter().map(|vcpu| {
        let world = world.clone();
        thread::spawn(move || vcpu.enter(&world))
    });
    let threads = threads.collect();
    for _ in 0..2 {
        // Refused only where its deadline has passed; then nobody is held.
        if let Ok(hold) = world.hold_others(holder.index) {
            assert_eq!(holder.running.load(SeqCst), 0);
            thread::yield_now();
            assert_eq!(holder.running.load(SeqCst), 0);
            drop(hold);
        }
    }
    end(&world, threads);
}

fn of_two_holders_one_is_told() {
    let (vcpus, world) = vcpus(2);
    let inside = Arc::new(AtomicU32::new(0));
    let threads = vcpus.into_iter().map(|vcpu| {
        let (world, inside) = (world.clone(), inside.clone());
        thread::spawn(move || {
            if let Ok(hold) = world.hold_others(vcpu.index) {
                assert_eq!(inside.fetch_add(1, SeqCst), 0, "one at a time");
                thread::yield_now();
                inside.fetch_sub(1, SeqCst);
                drop(hold);
            }
        })
    });
    let threads: Vec<_> = threads.collect();
    threads.into_iter().for_each(|one| one.join().unwrap());
    assert!(world.hold_others(0).is_ok(), "nobody holds any more");
}

/// A question of one vCPU to another, or its answer.
enum Letter {
    Ask { from: usize, ticket: u64 },
    Answer(u64),
}

/// Nobody to kick: both are at their mailboxes.
struct Nobody;

impl Kicker for Nobody {
    fn kick(&self) {}
}

fn two_vcpus_ask_each_other() {
    let mailbox = || Mailbox::<Letter>::new(std::sync::Arc::new(Nobody));
    let mailboxes = Arc::new([mailbox(), mailbox()]);
    let answered = Arc::new(AtomicU64::new(0));
    let threads = [0, 1].map(|me| {
        let (mailboxes, answered) = (mailboxes.clone(), answered.clone());
        thread::spawn(move || {
            for ticket in 0..2 {
                if ask(&mailboxes, me, ticket) {
                    answered.fetch_add(1, SeqCst);
                }
            }
            // Late letters are answered by whoever closes, as those that come later are.
            mailboxes[me].close();
        })
    });
    threads.into_iter().for_each(|one| one.join().unwrap());
    assert!(answered.load(SeqCst) <= 4);
}

/// Asks the other vCPU, and serves its questions meanwhile; whether it has answered in time.
fn ask(mailboxes: &[Mailbox<Letter>; 2], me: usize, ticket: u64) -> bool {
    let other = &mailboxes[1 - me];
    if other.post(Letter::Ask { from: me, ticket }).is_err() {
        return false;
    }
    let deadline = Instant::now() + LATER;
    let answer = mailboxes[me].wait_for(deadline, |letter| match letter {
        Letter::Answer(number) => (number == ticket).then_some(()),
        Letter::Ask { from, ticket } => {
            // Whoever has stopped asking has closed its mailbox.
            let _ = mailboxes[from].post(Letter::Answer(ticket));
            None
        }
    });
    assert!(
        answer.is_some() || Instant::now() > deadline,
        "no answer before its deadline"
    );
    answer.is_some()
}

/// Waits for its turn at a mailbox.
struct Waiting {
    number: u32,
    /// Has all the time in the world: who is not called then waits for ever.
    patient: bool,
    mailboxes: Arc<Vec<Mailbox<()>>>,
}

impl Waiter for Waiting {
    fn number(&self) -> u32 {
        self.number
    }

    fn serve_one(&mut self, by: Instant) -> bool {
        self.mailboxes[self.number as usize]
            .wait((!self.patient).then_some(by))
            .is_some()
    }

    fn call(&self, waiter: u32) {
        // One that has ended waits no more.
        let _ = self.mailboxes[waiter as usize].post(());
    }
}

fn turns_are_taken_one_at_a_time() {
    let mailbox = |_| Mailbox::new(std::sync::Arc::new(Nobody) as std::sync::Arc<dyn Kicker>);
    let mailboxes: Arc<Vec<Mailbox<()>>> = Arc::new((0..3).map(mailbox).collect());
    let (turn, made) = (
        Arc::new(Turn::<u32>::default()),
        Arc::new(AtomicU32::new(0)),
    );
    let threads = (0..3).map(|number| {
        let (mailboxes, turn, made) = (mailboxes.clone(), turn.clone(), made.clone());
        thread::spawn(move || {
            let mut waiting = Waiting {
                number,
                patient: number == 2,
                mailboxes,
            };
            for _ in 0..2 {
                let Some(thing) = turn.take(&mut waiting, LATER) else {
                    continue;
                };
                // Made once, by whoever comes first; there is never a second one about.
                let thing = thing.unwrap_or_else(|| made.fetch_add(1, SeqCst));
                assert_eq!(thing, 0);
                thread::yield_now();
                turn.put(Some(thing), &waiting);
            }
        })
    });
    let threads: Vec<_> = threads.collect();
    threads.into_iter().for_each(|one| one.join().unwrap());
    let mailboxes = mailboxes.clone();
    let mut last = Waiting {
        number: 0,
        patient: true,
        mailboxes,
    };
    let left = turn.take(&mut last, LATER);
    assert!(left.is_some(), "nobody holds it, and nobody is in front");
}

fn an_end_reaches_everybody() {
    let (vcpus, world) = vcpus(3);
    let arrived = Arc::new((Mutex::new(0), Condvar::new()));
    let threads: Vec<_> = vcpus
        .into_iter()
        .map(|vcpu| {
            let (world, arrived) = (world.clone(), arrived.clone());
            thread::spawn(move || {
                if vcpu.index == 0 && world.halt(0) {
                    world.finish(crate::End::Stopped);
                }
                vcpu.enter(&world);
                *arrived.0.lock().unwrap() += 1;
                arrived.1.notify_one();
            })
        })
        .collect();
    world.finish(crate::End::Cancelled);
    threads.into_iter().for_each(|one| one.join().unwrap());
    assert_eq!(*arrived.0.lock().unwrap(), 3);
}

/// What a vCPU's thread does between two events: here to the number of the revision that judges.
type Errand = Box<dyn FnOnce(&mut u32) + Send>;

/// A VM in which a policy is swapped.
struct Judged {
    mailboxes: Vec<Mailbox<Errand>>,
    /// Revisions whose traps are armed.
    armed: Mutex<std::collections::BTreeSet<u32>>,
}

impl Judged {
    /// A vCPU's thread: between two events it does what it is asked to; each event is judged by
    /// one revision, whose traps are armed.
    fn run(&self, vcpu: usize, events: u32) -> u32 {
        let mut revision = 1;
        for _ in 0..events {
            while let Some(errand) = self.mailboxes[vcpu].take() {
                errand(&mut revision);
            }
            assert!(self.armed.lock().unwrap().contains(&revision));
            thread::yield_now();
        }
        // It has ended: what it is asked now is dropped, and whoever asks learns of that.
        drop(self.mailboxes[vcpu].close());
        revision
    }

    fn ask(
        &self,
        vcpu: u32,
        act: impl FnOnce(&mut u32) -> Result<u32, u32> + Send + 'static,
    ) -> (u32, Visit<Result<u32, u32>>) {
        let (visit, mut visitor) = arrange();
        let errand: Errand = Box::new(move |revision| {
            if visitor.begin() {
                visitor.done(act(revision));
            }
        });
        drop(self.mailboxes[vcpu as usize].post(errand));
        (vcpu, visit)
    }

    /// Swaps to revision 2, which the second vCPU may not take.
    fn swap(&self, refuses: bool) -> bool {
        self.armed.lock().unwrap().insert(2);
        let visits = [0, 1].map(|vcpu| {
            self.ask(vcpu, move |revision| {
                if refuses && vcpu == 1 {
                    return Err(vcpu);
                }
                *revision = 2;
                Ok(vcpu)
            })
        });
        let moved = gather(visits.into(), LATER, |vcpu| vcpu);
        if let Err((_, moved)) = &moved {
            let back = moved.iter().map(|&vcpu| {
                self.ask(vcpu, move |revision| {
                    *revision = 1;
                    Ok(vcpu)
                })
            });
            for (_, visit) in back.collect::<Vec<_>>() {
                // One that has ended meanwhile has nowhere to go back to.
                let _ = visit.see_through();
            }
        }
        moved.is_ok()
    }
}

/// All vCPUs move or none does, and no event finds its revision's traps gone.
fn a_swap_moves_everybody_or_nobody() {
    use shuttle::rand::Rng as _;
    let refuses = shuttle::rand::thread_rng().gen_bool(0.3);
    let mailbox = || Mailbox::new(std::sync::Arc::new(Nobody) as std::sync::Arc<dyn Kicker>);
    let vm = Arc::new(Judged {
        mailboxes: vec![mailbox(), mailbox()],
        armed: Mutex::new([1].into()),
    });
    let threads = [0, 1].map(|vcpu| {
        let vm = vm.clone();
        thread::spawn(move || vm.run(vcpu, 4))
    });
    let swapped = vm.swap(refuses);
    let left = if swapped { 1 } else { 2 };
    // The vCPUs that go on judge by the other one now.
    vm.armed.lock().unwrap().remove(&left);
    let ended = threads.map(|one| one.join().unwrap());
    if swapped {
        assert_eq!((ended, refuses), ([2, 2], false));
    }
    if refuses {
        assert!(!swapped);
        assert_eq!(ended[1], 1);
    }
}
