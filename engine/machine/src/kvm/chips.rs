//! The interrupt controllers and the timer that KVM emulates in the kernel, where a VM has them.
//! Never raises an interrupt: devices do.

use std::io;

use kvm_bindings::{
    KVM_IRQCHIP_IOAPIC, KVM_IRQCHIP_PIC_MASTER, KVM_IRQCHIP_PIC_SLAVE, KVM_PIT_SPEAKER_DUMMY,
    kvm_irqchip, kvm_pit_config, kvm_pit_state2,
};
use kvm_ioctls::VmFd;

/// The state in which they start, kept for resets.
pub(super) struct Chips {
    controllers: [kvm_irqchip; 3],
    timer: kvm_pit_state2,
}

impl Chips {
    /// Gives a VM two 8259s, an IOAPIC and a local APIC for each vCPU to come (KVM API, 4.24), and
    /// an 8254 with the port of its speaker (4.71).
    pub(super) fn install(vm: &VmFd) -> io::Result<Self> {
        vm.create_irq_chip()?;
        vm.create_pit2(kvm_pit_config {
            flags: KVM_PIT_SPEAKER_DUMMY,
            ..Default::default()
        })?;
        let mut controllers = [
            KVM_IRQCHIP_PIC_MASTER,
            KVM_IRQCHIP_PIC_SLAVE,
            KVM_IRQCHIP_IOAPIC,
        ]
        .map(|chip_id| kvm_irqchip {
            chip_id,
            ..Default::default()
        });
        for chip in &mut controllers {
            vm.get_irqchip(chip)?;
        }
        let timer = vm.get_pit2()?;
        Ok(Self { controllers, timer })
    }

    /// Puts them back.
    pub(super) fn put_back(&self, vm: &VmFd) -> io::Result<()> {
        for chip in &self.controllers {
            vm.set_irqchip(chip)?;
        }
        Ok(vm.set_pit2(&self.timer)?)
    }
}
