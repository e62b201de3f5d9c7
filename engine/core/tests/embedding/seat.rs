//! The VMM's loop for one vCPU, and its devices.

use std::sync::Mutex;

use kvm_ioctls::VcpuFd;
use oriel_engine::Station;
use oriel_machine::{
    End,
    kvm::{Bus, Effect, EmbeddedVcpu, Ready, Seen, Then, exit::RawExit, pending::Place},
};
use oriel_protocol::Verdict;

use crate::guest::PORT;

/// A port at which vCPUs say whether their store stands.
#[derive(Default)]
pub(crate) struct Devices(Mutex<Vec<(u32, bool)>>);

impl Devices {
    /// What a vCPU has said, and no longer keeps it.
    pub(crate) fn take(&self, vcpu: u32) -> Vec<bool> {
        let mut said = self.0.lock().unwrap();
        let taken = said.extract_if(.., |(from, _)| *from == vcpu);
        taken.map(|(_, stands)| stands).collect()
    }
}

impl Bus for Devices {
    fn read(&self, _: u32, _: Place, to: &mut [u8]) {
        to.fill(0xff);
    }

    fn write(&self, vcpu: u32, place: Place, from: &[u8]) -> Effect {
        assert_eq!(place, Place::Port(PORT));
        self.0.lock().unwrap().push((vcpu, from == [1]));
        Effect::None
    }
}

/// A vCPU of the VMM, for the thread that runs it.
pub(crate) struct Seat<'a> {
    pub(crate) fd: &'a mut VcpuFd,
    pub(crate) devices: &'a Devices,
}

/// The VMM's loop, to the end.
pub(crate) fn to_the_end(mut station: Station, mut seat: Seat<'_>) -> End {
    station.ready();
    let end = seat.turns(&mut station, u64::MAX);
    station.leave(&end);
    end
}

impl Seat<'_> {
    /// At most so many rounds of the loop.
    pub(crate) fn turns(&mut self, station: &mut Station, rounds: u64) -> End {
        let mut verdict = None;
        for _ in 0..rounds {
            if let Some(end) = self.turn(station, &mut verdict) {
                return end;
            }
        }
        End::Cancelled
    }

    /// One round, which carries out this verdict and leaves the next one.
    pub(crate) fn turn(
        &mut self,
        station: &mut Station,
        verdict: &mut Option<Verdict>,
    ) -> Option<End> {
        if let Some(end) = station.board(verdict.as_ref()) {
            return Some(end);
        }
        let vcpu: &mut EmbeddedVcpu = station.vcpu().unwrap();
        let decided = verdict.take().unwrap_or_default();
        let then = vcpu.apply(self.devices, decided).unwrap();
        assert!(
            matches!(then, Then::Enter | Then::Asked(Effect::None)),
            "{then:?}"
        );
        let next = match vcpu.ready().unwrap() {
            Ready::Run => vcpu.ran(self.fd.run().map(drop)).unwrap(),
            ready @ (Ready::Decode | Ready::Kicked) => ready,
        };
        if next == Ready::Kicked {
            return None;
        }
        match vcpu.decode(self.devices).unwrap() {
            Seen::Event(event) => *verdict = Some(station.judge(&event)),
            Seen::Handled => {}
            Seen::NotOurs(exit @ RawExit::Port(_)) => {
                assert_eq!(vcpu.serve(self.devices, &exit), Effect::None);
            }
            Seen::NotOurs(exit) => panic!("{exit:?}"),
        }
        None
    }
}
