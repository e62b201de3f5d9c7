//! Connections that break, and how the world ends for us: by itself, or because we leave it.

use std::time::{Duration, Instant};

use oriel_protocol::events::ShutdownCause;

use super::{Place, Run, Trouble, World};
use crate::{
    End, Exit,
    qemu::{attach::Leave, gdb::Gdb, qmp::Qmp},
};

/// How long we try to connect again where QEMU is still there.
const RECONNECT: Duration = Duration::from_secs(10);

/// Between two tries.
const PAUSE: Duration = Duration::from_millis(50);

impl World {
    /// Deals with a connection that broke: connects again, or that was the end.
    pub(super) fn mend(&mut self) {
        let Some(trouble) = self.trouble.take() else {
            if self.shutting_down && self.run == Run::Stands && self.end.is_none() {
                self.notice_the_end();
            }
            return;
        };
        if self.is_over() {
            return;
        }
        self.run = Run::Stands;
        let words = words(&trouble);
        // Asking whether it is there also brings what it has told.
        let there = self.is_there();
        self.heed();
        if self.shutting_down || !there {
            // It may be the monitor alone that is gone.
            let _ = self.gdb.detach();
            self.end = Some(self.last_end(&words));
            return;
        }
        tracing::warn!(reason = words, "the gdb connection broke; connecting again");
        match self.reconnect() {
            Ok(()) => tracing::warn!("connected again; what was armed is armed again"),
            Err(reason) => {
                let text = format!("{words}, and connecting again failed: {reason}");
                self.end = Some(End::Failed(text));
            }
        }
    }

    /// Whether QEMU is still there to talk to.
    fn is_there(&mut self) -> bool {
        self.address.is_some() && self.qmp.status().is_ok()
    }

    fn last_end(&self, words: &str) -> End {
        if self.shutting_down {
            End::Shutdown(ShutdownCause::Request)
        } else {
            End::Failed(format!("QEMU is gone: {words}"))
        }
    }

    /// QEMU said that the guest shuts down, and stands since.
    fn notice_the_end(&mut self) {
        if !self.qmp.status().is_ok_and(|(runs, _)| runs) {
            self.end = Some(End::Shutdown(ShutdownCause::Request));
        }
    }

    /// Connects anew, which stops the world and clears the stub, and arms what was armed.
    fn reconnect(&mut self) -> Result<(), String> {
        let deadline = Instant::now() + RECONNECT;
        let address = self.address.clone().ok_or("there is no address")?;
        self.gdb.hang_up();
        loop {
            match Gdb::connect(&address, RECONNECT) {
                Ok(gdb) if gdb.layout() == self.gdb.layout() && gdb.vcpus() == self.gdb.vcpus() => {
                    self.gdb = gdb;
                    break;
                }
                Ok(_) => return Err("it is another VM now".to_owned()),
                Err(error) if Instant::now() >= deadline => return Err(error.to_string()),
                // Whatever listens there may need a moment to listen again.
                Err(_) => std::thread::park_timeout(PAUSE),
            }
        }
        self.arm_again().map_err(|refusal| refusal.to_string())
    }

    /// Tells every thread that waits.
    pub(super) fn tell_the_end(&mut self) {
        let Some(end) = self.end.clone() else { return };
        for seat in &mut self.seats {
            if seat.place == Place::Inside {
                seat.leave(Exit::Ended(end.clone()), None);
            }
        }
    }

    /// Leaves the VM: nothing stays armed, and it runs, or stands.
    pub(in crate::qemu) fn leave(&mut self, how: Leave) -> Result<(), String> {
        if self.is_over() {
            // The guard is not dismissed: what we could not do is its to try.
            return Ok(());
        }
        self.stand();
        self.disarm();
        let stays = how == Leave::Standing || self.paused;
        let left = self.let_it_run(stays);
        self.end = Some(End::Cancelled);
        // Others may attach now.
        self.gdb.hang_up();
        self.qmp.hang_up();
        if left.is_ok() {
            self.dismiss_guard();
        }
        left
    }

    fn let_it_run(&mut self, stays: bool) -> Result<(), String> {
        if let Some(trouble) = self.trouble.take() {
            return Err(words(&trouble));
        }
        if stays {
            return Ok(());
        }
        self.gdb.detach().map_err(|error| error.to_string())?;
        make_sure(&mut self.qmp)
    }

    fn dismiss_guard(&mut self) {
        if let Some(guard) = self.guard.take() {
            guard.dismiss();
        }
    }
}

/// Makes sure that the vCPUs run.
pub(in crate::qemu) fn make_sure(qmp: &mut Qmp) -> Result<(), String> {
    let runs = |qmp: &mut Qmp| qmp.status().map_err(|error| error.to_string());
    if runs(qmp)?.0 {
        return Ok(());
    }
    qmp.go_on().map_err(|error| error.to_string())?;
    match runs(qmp)? {
        (true, _) => Ok(()),
        (false, status) => Err(format!("the VM does not run: QEMU says {status:?}")),
    }
}

fn words(trouble: &Trouble) -> String {
    match trouble {
        Trouble::Gdb(error) => error.to_string(),
        Trouble::Qmp(error) => error.to_string(),
    }
}
