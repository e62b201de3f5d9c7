//! String instructions on trapped pages: whole, and one event for each page and kind of access,
//! however many turns they take and exits come of them.

use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

use iced_x86::{IcedError, code_asm::*};
use oriel_guests::{Guest, PAGE, abi};
use oriel_protocol::{
    Access, Event, EventData, EventKind, Verdict, VerdictSet, events::Page, page::frame,
};

use super::theatre::{Play, assembled, build, has_kvm, run};
use crate::{End, Machine, Wants};

const SOURCE: u64 = PAGE - 0x1000;
const COPY: u64 = PAGE + 0x10;
const COPIED: u32 = 24;
/// Two of four words lie on the next page.
const FILL: u64 = PAGE + 0xff0;
const FILLED: u64 = 0x1122_3344_5566_7788;

/// Copies bytes to the page, fills words at its end and beyond; reports RDI and RCX.
fn copies_and_fills() -> Guest {
    assembled(|asm| {
        asm.cld()?;
        asm.mov(rsi, SOURCE)?;
        asm.mov(rdi, COPY)?;
        asm.mov(ecx, COPIED)?;
        asm.rep().movsb()?;
        asm.mov(rax, FILLED)?;
        asm.mov(rdi, FILL)?;
        asm.mov(ecx, 4)?;
        asm.rep().stosq()?;
        asm.mov(eax, edi)?;
        ends_with(asm, ecx)
    })
}

/// Reports EAX with this register above it, and ends.
fn ends_with(asm: &mut CodeAssembler, high: AsmRegister32) -> Result<(), IcedError> {
    asm.out(u32::from(abi::REPORT_LOW_PORT), eax)?;
    asm.mov(eax, high)?;
    asm.out(u32::from(abi::REPORT_HIGH_PORT), eax)?;
    asm.xor(eax, eax)?;
    asm.out(u32::from(abi::END_PORT), eax)
}

/// Runs a guest with bytes to copy, all of these pages trapped.
fn watch(
    guest: Guest,
    pages: &[u64],
    judge: impl Fn(&Event) -> Verdict + Sync,
) -> (Play, std::sync::Arc<dyn Machine>) {
    let (parts, kept) = build(guest);
    let machine = parts.machine.clone();
    let bytes: Vec<u8> = (1..=64).collect();
    machine.memory().write_at(SOURCE, &bytes).unwrap();
    let pages = pages.iter().map(|page| (frame(*page), Access::NONE));
    let wants = Wants {
        events: [EventKind::Page].into_iter().collect(),
        pages: pages.collect(),
        ..Wants::default()
    };
    machine.arm(&wants).unwrap();
    let play = run(parts, &kept, |event, _| judge(event));
    (play, machine)
}

fn touched(event: &Event) -> Page {
    let EventData::Page(page) = event.data else {
        panic!("{event:?}");
    };
    page
}

fn told(play: &Play) -> Vec<(Access, u64)> {
    let events = play.events.iter().map(|(_, event)| touched(event));
    events.map(|page| (page.access, page.gpa)).collect()
}

/// What was copied, and what was filled.
fn found(machine: &dyn Machine) -> (Vec<u8>, [u64; 4]) {
    let mut copy = vec![0; COPIED as usize];
    machine.memory().read_at(COPY, &mut copy).unwrap();
    let word = |at: u64| machine.memory().read_u64(FILL + 8 * at).unwrap();
    (copy, [0, 1, 2, 3].map(word))
}

fn whole() -> (Vec<u8>, [u64; 4]) {
    ((1..=24).collect(), [FILLED; 4])
}

/// What is trapped, and what is told.
type Row<'a> = (&'a [u64], &'a [(Access, u64)]);

const READ: (Access, u64) = (Access::READ, SOURCE);
const COPIES: (Access, u64) = (Access::WRITE, COPY);
const FILLS: [(Access, u64); 2] = [(Access::WRITE, FILL), (Access::WRITE, PAGE + 0x1000)];

#[test]
fn each_page_is_one_event_and_the_instruction_is_whole() {
    if !has_kvm() {
        return;
    }
    let [first, second] = FILLS;
    let rows: [Row<'_>; 4] = [
        (&[PAGE], &[COPIES, first]),
        (&[PAGE, PAGE + 0x1000], &[COPIES, first, second]),
        (&[SOURCE], &[READ]),
        (&[SOURCE, PAGE], &[READ, COPIES, first]),
    ];
    for (pages, expected) in rows {
        let (play, machine) = watch(copies_and_fills(), pages, |_| Verdict::Continue);
        assert_eq!(play.end(), &End::Finished(0), "{pages:x?}");
        assert_eq!(play.values(), [FILL + 32], "RDI, with RCX 0 above");
        assert_eq!(found(&*machine), whole(), "{pages:x?}");
        assert_eq!(told(&play), expected, "{pages:x?}");
    }
}

#[test]
fn what_is_skipped_is_skipped_for_all_turns_on_its_page() {
    if !has_kvm() {
        return;
    }
    let trapped = [PAGE, PAGE + 0x1000];
    let (play, machine) = watch(copies_and_fills(), &trapped, |event| {
        match touched(event).gpa == FILL {
            true => Verdict::Continue,
            false => Verdict::Skip,
        }
    });
    assert_eq!(play.end(), &End::Finished(0));
    let (copy, fill) = found(&*machine);
    assert_eq!(copy, [0; COPIED as usize]);
    let retires = play.events.iter().all(|(_, event)| event.retired);
    // Where the instruction has not begun, skipping it leaves nothing of it for the next page.
    let second = if retires { 0 } else { FILLED };
    assert_eq!((fill[0], fill[3]), (FILLED, second));
}

#[test]
fn one_value_does_not_stand_for_the_elements_of_a_string() {
    if !has_kvm() {
        return;
    }
    let one = VerdictSet::REPLACE.union(VerdictSet::EMULATE);
    let (play, _) = watch(copies_and_fills(), &[SOURCE, PAGE], |_| Verdict::Continue);
    for (_, event) in &play.events {
        assert_eq!(event.allowed.intersection(one), VerdictSet::default());
    }
}

#[test]
fn the_same_instruction_again_is_another_event() {
    if !has_kvm() {
        return;
    }
    const ROUNDS: u32 = 5;
    // From the end of the page into one that nobody traps: no exit says when the rest is done.
    let guest = assembled(|asm| {
        let mut again = asm.create_label();
        asm.cld()?;
        asm.mov(ebx, ROUNDS)?;
        asm.set_label(&mut again)?;
        asm.mov(rdi, PAGE + 0xffc)?;
        asm.mov(ecx, 8)?;
        asm.rep().stosb()?;
        asm.dec(ebx)?;
        asm.jnz(again)?;
        asm.mov(eax, edi)?;
        ends_with(asm, ecx)
    });
    let (play, _) = watch(guest, &[PAGE], |_| Verdict::Continue);
    assert_eq!(play.values(), [PAGE + 0x1004]);
    let each = (Access::WRITE, PAGE + 0xffc);
    assert_eq!(told(&play), vec![each; ROUNDS as usize]);
}

#[test]
fn a_string_that_is_only_read_is_tried_again_and_passed_over_with_all_its_turns() {
    if !has_kvm() {
        return;
    }
    let guest = || {
        assembled(|asm| {
            asm.cld()?;
            asm.xor(eax, eax)?;
            asm.mov(rsi, SOURCE)?;
            asm.mov(ecx, 5)?;
            asm.rep().lodsb()?;
            ends_with(asm, ecx)
        })
    };
    let (plain, _) = watch(guest(), &[SOURCE], |_| Verdict::Continue);
    assert_eq!((plain.values(), told(&plain)), (vec![5], vec![READ]));
    let asked = AtomicU32::new(0);
    let (again, _) = watch(guest(), &[SOURCE], |_| match asked.fetch_add(1, SeqCst) {
        0..3 => Verdict::Retry,
        _ => Verdict::Continue,
    });
    assert_eq!((again.values(), told(&again)), (vec![5], vec![READ; 4]));
    let (skipped, _) = watch(guest(), &[SOURCE], |_| Verdict::Skip);
    assert_eq!(skipped.values(), [5 << 32], "RCX as it was, AL too");
    assert_eq!(told(&skipped), [READ]);
}
