//! Rows that no machine of today can carry out, and rows that belong to a tool's session (how it
//! is answered, what is undone when it goes) and mean nothing to other judges.

use oriel_protocol::{
    Handle, Refusal,
    commands::{
        vcpu::{
            AllocGfn, ChangeGfn, ControlView, DisableVe, FreeGfn, GetView, SetVeInfoPage, SetView,
        },
        vm::{
            ControlCleanup, ControlCommandResponse, ControlSpp, CreateView, DestroyView,
            GetMapToken, GetNextAvailableGfn, GetPageWriteBitmap, QueryPhysical, SetPageSve,
            SetPageWriteBitmap,
        },
    },
};

use super::Desk;

macro_rules! unsupported {
    ($($row:ty => $answer:ty),* $(,)?) => { $(
        impl Handle<$row> for Desk {
            fn handle(&mut self, _: $row) -> Result<$answer, Refusal> {
                Err(Refusal::Unsupported)
            }
        }
    )* };
}

unsupported! {
    ControlCommandResponse => (),
    ControlCleanup => (),
    GetMapToken => [u64; 4],
    ControlSpp => (),
    GetPageWriteBitmap => Vec<u32>,
    SetPageWriteBitmap => (),
    SetPageSve => (),
    GetNextAvailableGfn => u64,
    QueryPhysical => (u64, u64),
    CreateView => u16,
    DestroyView => (),
    SetVeInfoPage => (),
    SetView => (),
    DisableVe => (),
    GetView => u16,
    ControlView => (),
    AllocGfn => (),
    FreeGfn => (),
    ChangeGfn => (),
}
