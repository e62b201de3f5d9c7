//! Register writes of an event: seen by later judges at once, by the guest when it is entered.

use oriel_machine::Vcpu;
use oriel_protocol::{
    Refusal,
    x86::{Control, General, Register, Special},
};

/// The writes, in order.
#[derive(Debug, Default)]
pub(super) struct Staged(Vec<Write>);

#[derive(Debug)]
struct Write {
    register: Register,
    value: u64,
    judge: usize,
}

impl Staged {
    /// Whether nobody has written anything.
    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Stages a write. The same judge may change its mind; another one may only agree.
    pub(super) fn write(
        &mut self,
        judge: usize,
        register: Register,
        value: u64,
    ) -> Result<(), Refusal> {
        match self.0.iter_mut().find(|known| known.register == register) {
            Some(known) if known.value == value => Ok(()),
            Some(known) if known.judge == judge => {
                known.value = value;
                Ok(())
            }
            Some(_) => Err(Refusal::Conflict),
            None => {
                self.0.push(Write {
                    register,
                    value,
                    judge,
                });
                Ok(())
            }
        }
    }

    /// The judge that has written a register.
    pub(super) fn writer(&self, register: Register) -> Option<usize> {
        let known = self.0.iter().find(|known| known.register == register);
        known.map(|known| known.judge)
    }

    /// Takes back what one judge has written.
    pub(super) fn forget(&mut self, judge: usize) {
        self.0.retain(|write| write.judge != judge);
    }

    /// Shows the general registers as they will be.
    pub(super) fn overlay_general(&self, general: &mut General) {
        for write in &self.0 {
            if let Some(field) = general.field(write.register) {
                *field = write.value;
            }
        }
    }

    /// Shows the control registers as they will be.
    pub(super) fn overlay_control(&self, control: &mut Control) {
        for write in &self.0 {
            if let Some(field) = control.field(write.register) {
                *field = write.value;
            }
        }
    }

    /// Shows the special registers as they will be.
    pub(super) fn overlay_special(&self, special: &mut Special) {
        for write in &self.0 {
            if let Some(field) = special.field(write.register) {
                *field = write.value;
            }
        }
    }

    /// Hands the writes to the vCPU.
    pub(super) fn settle(&mut self, vcpu: &mut dyn Vcpu) -> Result<(), Refusal> {
        if self.0.is_empty() {
            return Ok(());
        }
        let staged = std::mem::take(self);
        if staged.touches(|register| General::default().field(register).is_some()) {
            let mut general = vcpu.general()?;
            staged.overlay_general(&mut general);
            vcpu.set_general(&general)?;
        }
        if staged.touches(|register| Special::default().field(register).is_some()) {
            let mut special = vcpu.special()?;
            staged.overlay_special(&mut special);
            vcpu.set_special(&special)?;
        }
        Ok(())
    }

    fn touches(&self, kind: impl Fn(Register) -> bool) -> bool {
        self.0.iter().any(|write| kind(write.register))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_judge_may_agree_but_not_contradict() {
        let mut staged = Staged::default();
        assert_eq!(staged.write(0, Register::Rax, 1), Ok(()));
        assert_eq!(staged.write(0, Register::Rax, 2), Ok(()), "its own mind");
        assert_eq!(staged.write(1, Register::Rax, 2), Ok(()), "agrees");
        assert_eq!(staged.write(1, Register::Rax, 3), Err(Refusal::Conflict));
        assert_eq!(staged.writer(Register::Rax), Some(0), "the first stands");
        assert_eq!(staged.write(1, Register::Rbx, 3), Ok(()));
        let mut general = General {
            rcx: 9,
            ..General::default()
        };
        staged.overlay_general(&mut general);
        assert_eq!((general.rax, general.rbx, general.rcx), (2, 3, 9));
    }
}
