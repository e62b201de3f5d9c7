//! The named members of a structure or union, those of anonymous members in their place. Owns the
//! walk that both paths and layouts are made by, and its limit: anonymous members may nest without
//! end.

use super::{Member, TypeId, Types};

/// The most members that are looked at.
const MOST: usize = 1 << 14;

/// The walk: what is left to look at is on a pile, the next on top.
pub(super) struct Members<'t> {
    types: &'t Types,
    open: Vec<(Member, u64)>,
    left: usize,
}

impl Types {
    /// Each named member, in order, with its distance from the beginning in bits.
    pub(super) fn named_members(&self, id: TypeId) -> Members<'_> {
        let mut members = Members {
            types: self,
            open: Vec::new(),
            left: MOST,
        };
        members.open(id, 0);
        members
    }

    /// Whether a member is a structure or union without a name, whose members are its parent's.
    fn is_anonymous(&self, member: &Member) -> bool {
        let inner = || self.record(self.plain(member.type_id)?);
        member.name == 0 && inner().is_some_and(|record| record.kind.is_composite())
    }
}

impl Members<'_> {
    /// Puts the members of a type that begins at this bit onto the pile, the first one on top.
    fn open(&mut self, id: TypeId, from: u64) {
        let Some(record) = self.types.record(id) else {
            return;
        };
        let below = self.open.len();
        let members = record.members().take(MOST.saturating_sub(below));
        let placed = members.map(|member| (member, from.saturating_add(member.bit_offset.into())));
        self.open.extend(placed);
        if let Some(new) = self.open.get_mut(below..) {
            new.reverse();
        }
    }
}

impl Iterator for Members<'_> {
    type Item = (Member, u64);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            self.left = self.left.checked_sub(1)?;
            let (member, at) = self.open.pop()?;
            if !self.types.is_anonymous(&member) {
                return Some((member, at));
            }
            self.open(self.types.plain(member.type_id)?, at);
        }
    }
}
