//! Rows for what no machine here has: views, #VE, sub-page permissions, other frames behind an
//! address. Each is refused by −EOPNOTSUPP; v12 does not know them.

use oriel_protocol::commands::{
    vcpu::{AllocGfn, ChangeGfn, ControlView, DisableVe, FreeGfn, GetView, SetVeInfoPage, SetView},
    vm::{
        ControlSpp, CreateView, DestroyView, GetMapToken, GetNextAvailableGfn, QueryPhysical,
        SetPageSve, SetPageWriteBitmap,
    },
};
use oriel_tests::scenario;

use super::{
    super::{Dialect, errno, hooked},
    IDLE, row_of_v7,
};

const ABSENT: i32 = errno::OPNOTSUPP;

#[test]
fn views_are_refused() {
    row_of_v7(IDLE, |_vm, mut tool| {
        assert_eq!(tool.on(0, GetView {}), Err(ABSENT));
        for view in [0, 1] {
            assert_eq!(tool.on(0, SetView { view }), Err(ABSENT));
            let visible = true;
            assert_eq!(tool.on(0, ControlView { view, visible }), Err(ABSENT));
        }
        assert_eq!(tool.vm(CreateView {}), Err(ABSENT));
        assert_eq!(tool.vm(DestroyView { view: 1 }), Err(ABSENT));
    });
}

#[test]
fn virtualization_exceptions_are_refused() {
    row_of_v7(IDLE, |_vm, mut tool| {
        let (gpa, trigger_vmexit) = (0x5000, false);
        let page = SetVeInfoPage {
            gpa,
            trigger_vmexit,
        };
        assert_eq!(tool.on(0, page), Err(ABSENT));
        assert_eq!(tool.on(0, DisableVe {}), Err(ABSENT));
        let (view, suppress) = (0, true);
        let suppress = SetPageSve {
            view,
            suppress,
            gpa,
        };
        assert_eq!(tool.vm(suppress), Err(ABSENT));
    });
}

#[test]
fn sub_page_permissions_are_refused() {
    row_of_v7(IDLE, |_vm, mut tool| {
        for enable in [true, false] {
            assert_eq!(tool.vm(ControlSpp { enable }), Err(ABSENT));
        }
        let (view, entries) = (0, vec![(0x5000, 1)]);
        assert_eq!(tool.vm(SetPageWriteBitmap { view, entries }), Err(ABSENT));
    });
}

#[test]
fn other_frames_behind_an_address_are_refused() {
    row_of_v7(IDLE, |_vm, mut tool| {
        let (view, old, new) = (0, 5, 6);
        assert_eq!(tool.on(0, ChangeGfn { view, old, new }), Err(ABSENT));
        assert_eq!(tool.on(0, AllocGfn { gfn: 5000 }), Err(ABSENT));
        assert_eq!(tool.on(0, FreeGfn { gfn: 5000 }), Err(ABSENT));
        assert_eq!(tool.vm(GetNextAvailableGfn {}), Err(ABSENT));
    });
}

#[test]
fn mapping_guest_memory_into_the_tool_is_refused() {
    row_of_v7(IDLE, |_vm, mut tool| {
        assert_eq!(tool.vm(GetMapToken {}), Err(ABSENT));
        assert_eq!(tool.vm(QueryPhysical { gfn: 5 }), Err(ABSENT));
    });
}

#[test]
fn v12_knows_none_of_them() {
    let (_vm, mut tool) = hooked(Dialect::V12, &scenario(IDLE));
    for id in [22, 24, 26, 28, 31, 33, 60, 63] {
        assert_eq!(tool.raw_on(id, 0, &[0; 16]), Err(errno::NOSYS), "{id}");
    }
}
