//! The whole host, with policies written by hand.

mod contract;
mod cost;
mod deadlines;
mod desk;
mod echo;
pub(crate) mod guest;
mod hearing;
mod judging;
mod keeping;
mod kept_code;
mod lifecycle;
mod limits;
mod loading;
mod rates;
mod reentry;
mod rights;
mod spent;

use std::sync::{Arc, LazyLock};

use oriel_protocol::{Case, Decision, Event, EventData, EventSet, Moment, Right};

use crate::{
    Desk, Host, HostSettings, Instance, Limits, Place, Plugin, Policy, PrepareError, Slot, Terms,
};
use desk::FakeDesk;
use guest::Guest;

/// One host for all tests: a pool is a lot of addresses.
static HOST: LazyLock<Host> = LazyLock::new(|| {
    let settings = HostSettings {
        pool: 64,
        ..HostSettings::default()
    };
    Host::new(settings).unwrap()
});

fn plugin(guest: &Guest) -> Arc<Plugin> {
    HOST.load("guest", &guest.build()).unwrap()
}

/// Everything that can be granted.
fn all() -> Terms {
    Terms {
        name: "guest".into(),
        rights: Right::ALL.iter().copied().collect(),
        events: EventSet::all(),
        limits: Limits {
            // A loaded machine is no reason for a test to fail.
            wall_factor: 10_000,
            ..Limits::default()
        },
        ..Terms::default()
    }
}

fn prepare(guest: &Guest, terms: Terms) -> Result<Policy, PrepareError> {
    HOST.prepare(&plugin(guest), terms)
}

fn policy(guest: &Guest) -> Policy {
    prepare(guest, all()).unwrap()
}

/// An instance of its own, with a slot of its own.
fn instance(guest: &Guest) -> (Instance, Arc<Slot>) {
    let slot = HOST.slot();
    let (instance, _) = policy(guest).instantiate(Place::Vcpu(0), &slot, FakeDesk::new());
    (instance.unwrap(), slot)
}

fn event(data: impl Into<EventData>) -> Event {
    let data = data.into();
    Event {
        ip: 0xffff_ffff_8100_0000,
        cr3: 0x1000,
        cpl: 3,
        allowed: data.kind().verdicts(),
        retired: false,
        data,
    }
}

fn case(event: &Event) -> Case<'_> {
    Case {
        event,
        moment: Moment {
            vcpu: 1,
            seq: 7,
            time_ns: 9,
        },
        proposed: event.data.proposed(),
        decided: Decision::Continue,
        tag: 5,
    }
}

fn msr() -> Event {
    event(oriel_protocol::events::Msr {
        msr: 0xc000_0082,
        old: 1,
        new: 2,
    })
}
