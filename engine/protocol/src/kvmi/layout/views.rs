//! The rows for views of memory and for #VE.

use super::{Layout, at_least, no_data, no_request};
use crate::{
    Request,
    commands::{
        vcpu::{ControlView, DisableVe, GetView, SetVeInfoPage, SetView},
        vm::{CreateView, DestroyView},
    },
    kvmi::{
        Flaw, Malformed,
        bytes::{Reader, Writer},
    },
};

fn take_view(from: &mut Reader<'_>) -> Result<u16, Flaw> {
    let view = from.u16();
    from.padding(6)?;
    Ok(view)
}

fn put_view(view: u16, to: &mut Writer) {
    to.u16(view);
    to.padding(6);
}

impl Layout for CreateView {
    const RETURNS_DATA: bool = true;
    no_request!(CreateView);

    fn put_reply(view: &u16, to: &mut Writer) {
        put_view(*view, to);
    }

    fn take_reply(from: &mut Reader<'_>) -> Result<u16, Malformed> {
        at_least(from, Self::ID.name(), 2)?;
        Ok(from.u16())
    }
}

impl Layout for DestroyView {
    no_data!();

    fn take(from: &mut Reader<'_>) -> Result<Self, Flaw> {
        let view = take_view(from)?;
        Ok(Self { view })
    }

    fn put(&self, to: &mut Writer) {
        put_view(self.view, to);
    }
}

impl Layout for SetView {
    no_data!();

    fn take(from: &mut Reader<'_>) -> Result<Self, Flaw> {
        let view = take_view(from)?;
        Ok(Self { view })
    }

    fn put(&self, to: &mut Writer) {
        put_view(self.view, to);
    }
}

impl Layout for GetView {
    const RETURNS_DATA: bool = true;
    no_request!(GetView);

    fn put_reply(view: &u16, to: &mut Writer) {
        put_view(*view, to);
    }

    fn take_reply(from: &mut Reader<'_>) -> Result<u16, Malformed> {
        at_least(from, Self::ID.name(), 2)?;
        Ok(from.u16())
    }
}

impl Layout for ControlView {
    no_data!();

    fn take(from: &mut Reader<'_>) -> Result<Self, Flaw> {
        let view = from.u16();
        let visible = from.switch()?;
        from.padding(5)?;
        Ok(Self { view, visible })
    }

    fn put(&self, to: &mut Writer) {
        to.u16(self.view);
        to.switch(self.visible);
        to.padding(5);
    }
}

impl Layout for SetVeInfoPage {
    no_data!();

    fn take(from: &mut Reader<'_>) -> Result<Self, Flaw> {
        let gpa = from.u64();
        let trigger_vmexit = from.switch()?;
        from.padding(7)?;
        Ok(Self {
            gpa,
            trigger_vmexit,
        })
    }

    fn put(&self, to: &mut Writer) {
        to.u64(self.gpa);
        to.switch(self.trigger_vmexit);
        to.padding(7);
    }
}

impl Layout for DisableVe {
    no_request!(DisableVe);
    no_data!();
}
