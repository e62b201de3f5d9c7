//! The rows for what may be done with pages, and with parts of pages.

use super::{Layout, count, entries, no_data};
use crate::{
    Access, Dialect, Gpa, Request,
    commands::vm::{
        ControlSpp, GetPageAccess, GetPageWriteBitmap, PageRule, SetPageAccess, SetPageSve,
        SetPageWriteBitmap,
    },
    kvmi::{
        Errno, Flaw, Malformed,
        bytes::{Reader, Writer},
    },
};

/// What a list of pages begins with: the view, except in v12, and how many follow.
fn take_heading(from: &mut Reader<'_>) -> Result<(u16, u16), Flaw> {
    if from.dialect() == Dialect::V12 {
        let count = from.u16();
        from.padding(6)?;
        return Ok((0, count));
    }
    let (view, count) = (from.u16(), from.u16());
    from.padding(4)?;
    Ok((view, count))
}

fn put_heading(to: &mut Writer, view: u16, length: usize) {
    if to.dialect() == Dialect::V12 {
        to.u16(count(length));
        to.padding(6);
        return;
    }
    to.u16(view);
    to.u16(count(length));
    to.padding(4);
}

fn take_gpas(from: &mut Reader<'_>, row: &'static str) -> Result<(u16, Vec<Gpa>), Flaw> {
    let (view, count) = take_heading(from)?;
    let gpas = entries(from, row, count, 8)?.map(|mut entry| entry.u64());
    Ok((view, gpas.collect()))
}

fn put_gpas(to: &mut Writer, view: u16, gpas: &[Gpa]) {
    put_heading(to, view, gpas.len());
    gpas.iter().for_each(|&gpa| to.u64(gpa));
}

impl Layout for GetPageAccess {
    const RETURNS_DATA: bool = true;

    fn take(from: &mut Reader<'_>) -> Result<Self, Flaw> {
        let (view, gpas) = take_gpas(from, Self::ID.name())?;
        Ok(Self { view, gpas })
    }

    fn put(&self, to: &mut Writer) {
        put_gpas(to, self.view, &self.gpas);
    }

    fn put_reply(allowed: &Vec<Access>, to: &mut Writer) {
        allowed.iter().for_each(|access| to.u8(access.bits()));
    }

    fn take_reply(from: &mut Reader<'_>) -> Result<Vec<Access>, Malformed> {
        let bytes = from.rest().iter();
        let known = |&bits: &u8| {
            Access::from_bits(bits).ok_or(Malformed::Value {
                what: "an access",
                value: bits.into(),
            })
        };
        bytes.map(known).collect()
    }
}

/// One bad entry refuses the whole list, before anything of it is done.
impl Layout for SetPageAccess {
    no_data!();

    fn take(from: &mut Reader<'_>) -> Result<Self, Flaw> {
        let (view, count) = take_heading(from)?;
        let entries = entries(from, Self::ID.name(), count, 16)?.map(take_rule);
        let entries = entries.collect::<Result<_, _>>()?;
        Ok(Self { view, entries })
    }

    fn put(&self, to: &mut Writer) {
        put_heading(to, self.view, self.entries.len());
        for rule in &self.entries {
            to.u64(rule.gpa);
            to.u8(rule.allowed.bits());
            to.padding(7);
        }
    }
}

fn take_rule(mut from: Reader<'_>) -> Result<PageRule, Flaw> {
    let gpa = from.u64();
    let allowed = Access::from_bits(from.u8()).ok_or(Errno::INVAL)?;
    from.padding(7)?;
    Ok(PageRule {
        gpa,
        allowed,
        tag: 0,
    })
}

impl Layout for ControlSpp {
    no_data!();

    fn take(from: &mut Reader<'_>) -> Result<Self, Flaw> {
        let enable = from.switch()?;
        from.padding(7)?;
        Ok(Self { enable })
    }

    fn put(&self, to: &mut Writer) {
        to.switch(self.enable);
        to.padding(7);
    }
}

impl Layout for GetPageWriteBitmap {
    const RETURNS_DATA: bool = true;

    fn take(from: &mut Reader<'_>) -> Result<Self, Flaw> {
        let (view, gpas) = take_gpas(from, Self::ID.name())?;
        Ok(Self { view, gpas })
    }

    fn put(&self, to: &mut Writer) {
        put_gpas(to, self.view, &self.gpas);
    }

    fn put_reply(bitmaps: &Vec<u32>, to: &mut Writer) {
        bitmaps.iter().for_each(|&bitmap| to.u32(bitmap));
    }

    fn take_reply(from: &mut Reader<'_>) -> Result<Vec<u32>, Malformed> {
        let words = from.rest().chunks_exact(4);
        let dialect = from.dialect();
        Ok(words.map(|word| Reader::new(dialect, word).u32()).collect())
    }
}

impl Layout for SetPageWriteBitmap {
    no_data!();

    fn take(from: &mut Reader<'_>) -> Result<Self, Flaw> {
        let (view, count) = take_heading(from)?;
        let entries = entries(from, Self::ID.name(), count, 16)?.map(take_bitmap);
        let entries = entries.collect::<Result<_, _>>()?;
        Ok(Self { view, entries })
    }

    fn put(&self, to: &mut Writer) {
        put_heading(to, self.view, self.entries.len());
        for &(gpa, bitmap) in &self.entries {
            to.u64(gpa);
            to.u32(bitmap);
            to.padding(4);
        }
    }
}

fn take_bitmap(mut from: Reader<'_>) -> Result<(Gpa, u32), Flaw> {
    let (gpa, bitmap) = (from.u64(), from.u32());
    from.padding(4)?;
    Ok((gpa, bitmap))
}

impl Layout for SetPageSve {
    no_data!();

    fn take(from: &mut Reader<'_>) -> Result<Self, Flaw> {
        let view = from.u16();
        let suppress = match from.u8() {
            2.. => return Err(Errno::INVAL.into()),
            byte => byte == 1,
        };
        from.padding(5)?;
        let gpa = from.u64();
        Ok(Self {
            view,
            suppress,
            gpa,
        })
    }

    fn put(&self, to: &mut Writer) {
        to.u16(self.view);
        to.switch(self.suppress);
        to.padding(5);
        to.u64(self.gpa);
    }
}
