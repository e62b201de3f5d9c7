//! The page tables: real ones, that the engine's own walk reads.

use oriel_protocol::{EventData, EventKind, Refusal, Verdict, events::Page};

use super::{Run, everything, wanting};
use crate::{
    Wants,
    paging::{self, Mode, Translation},
};

fn translate(run: &mut Run, cr3: Option<u64>, gva: u64) -> Result<Translation, Refusal> {
    let special = run.vcpu.special().unwrap();
    let root = cr3.unwrap_or(special.cr3);
    paging::translate(run.machine.memory(), Mode::of(&special), root, gva)
}

#[test]
fn all_of_ram_is_mapped_where_it_is_and_nothing_else() {
    let mut run = Run::text("memory-mib = 3", &Wants::default());
    let sizes = [
        (0, 2 << 20),
        (0x1f_fff8, 2 << 20),
        (0x20_0000, 4096),
        (0x2f_ffff, 4096),
    ];
    for (gva, size) in sizes {
        let found = translate(&mut run, None, gva).unwrap();
        assert_eq!((found.gpa, found.page_size), (gva, size));
        assert!(found.writable && found.user && found.executable);
    }
    assert_eq!(translate(&mut run, None, 3 << 20), Err(Refusal::NotFound));
}

#[test]
fn a_range_lies_over_the_identity_map_with_its_own_rights() {
    let text = "
        [[map]]
        gva = 0x3000
        gpa = 0x9000
        rights = 'r'
        [[map]]
        gva = '0xffffffff80000000'
        gpa = 0x200000
        size = 0x400000
        rights = 'rx'
        [[map]]
        gva = 0x5000
        gpa = 0
        rights = ''
    ";
    let mut run = Run::text(text, &Wants::default());
    let small = translate(&mut run, None, 0x3008).unwrap();
    assert_eq!(
        (small.gpa, small.writable, small.executable, small.user),
        (0x9008, false, false, false)
    );
    let large = translate(&mut run, None, 0xffff_ffff_8030_0000).unwrap();
    assert_eq!(
        (large.gpa, large.page_size, large.writable),
        (0x50_0000, 2 << 20, false)
    );
    assert_eq!(translate(&mut run, None, 0x5000), Err(Refusal::NotFound));
    assert_eq!(
        translate(&mut run, None, 0x4000).unwrap().gpa,
        0x4000,
        "the rest is as it was"
    );
}

#[test]
fn an_address_space_of_its_own_has_its_own_ranges() {
    let text = "
        [[map]]
        cr3 = 0x8000
        gva = 0x3000
        gpa = 0x9000
        [[step]]
        event = 'page'
        access = 'read'
        gva = 0x3000
        cr3 = 0x8000
    ";
    let mut run = Run::text(text, &everything());
    assert_eq!(translate(&mut run, None, 0x3000).unwrap().gpa, 0x3000);
    assert_eq!(
        translate(&mut run, Some(0x8000), 0x3000).unwrap().gpa,
        0x9000
    );
    assert_eq!(
        translate(&mut run, Some(0x8000), 0x4000).unwrap().gpa,
        0x4000
    );
    run.event(Verdict::Continue);
    assert_eq!(run.vcpu.special().unwrap().cr3, 0x8000);
}

#[test]
fn an_access_that_the_tables_forbid_is_a_page_fault_and_no_event() {
    let step = |access: &str, gva: u64, cpl: u8| {
        format!("[[step]]\nevent = 'page'\naccess = '{access}'\ngva = {gva}\ncpl = {cpl}\n")
    };
    let steps = [
        step("read", 0x7000, 0),
        step("write", 0x4000, 0),
        step("execute", 0x4000, 0),
        step("read", 0x4000, 3),
    ];
    let maps = "
        [[map]]
        gva = 0x7000
        gpa = 0
        rights = ''
        [[map]]
        gva = 0x4000
        gpa = 0x4000
        rights = 'r'
    ";
    let mut wants = wanting(&[EventKind::Page]);
    wants.pages = [
        (4, oriel_protocol::Access::READ),
        (7, oriel_protocol::Access::NONE),
    ]
    .into();
    let mut run = Run::text(&format!("{maps}{}", steps.concat()), &wants);
    run.end(Verdict::Continue);
    let codes = run.probe.faults(0).into_iter().map(|fault| fault.exception);
    let codes: Vec<_> = codes
        .map(|it| (it.vector, it.error_code, it.address))
        .collect();
    let expected = [(0, 0x7000), (3, 0x4000), (0x11, 0x4000), (5, 0x4000)];
    assert_eq!(codes, expected.map(|(code, at)| (14, Some(code), at)));
}

#[test]
fn an_event_tells_the_virtual_and_the_physical_address() {
    let text = "
        [[map]]
        gva = '0xffff888000000000'
        gpa = 0x4000
        [[step]]
        event = 'page'
        access = 'write'
        gva = '0xffff888000000010'
        size = 2
        value = 0x112233
    ";
    let event = Run::text(text, &everything()).event(Verdict::Continue);
    let EventData::Page(Page {
        gva,
        gpa,
        size,
        value,
        ..
    }) = event.data
    else {
        panic!("{event:?}");
    };
    assert_eq!((gva, gpa), (Some(0xffff_8880_0000_0010), 0x4010));
    assert_eq!(
        (size, value),
        (2, Some(0x2233)),
        "the bytes that are stored"
    );
}
