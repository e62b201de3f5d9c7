//! A desk that writes down what it is asked, and answers as it is told.

use std::{any::Any, sync::Arc, time::Duration};

use oriel_protocol::{
    Handle, Refusal, Request, ServiceCall, VcpuCall, VmCall,
    commands::{
        ServiceReply, VcpuReply, VmReply,
        service::{
            RaiseAlert, RecordMetric, StoreAdd, StoreCompareAndSwap, StoreGet, StoreKeys,
            StoreRemove, StoreSet, WriteLog,
        },
    },
};

use crate::{Desk, Store};

/// Answers each VM command with one reply, and each vCPU command with another; refuses where it
/// has none. The store works.
pub(super) struct FakeDesk {
    pub(super) refusal: Refusal,
    pub(super) vm: Option<VmReply>,
    pub(super) vcpu: Option<VcpuReply>,
    pub(super) asked: Vec<String>,
    pub(super) store: Arc<Store>,
    pub(super) delay: Option<Duration>,
}

impl FakeDesk {
    /// Refuses everything but services.
    pub(super) fn new() -> Box<Self> {
        Box::new(Self {
            refusal: Refusal::Denied,
            vm: None,
            vcpu: None,
            asked: Vec::new(),
            store: Arc::default(),
            delay: None,
        })
    }

    /// The desk that was lent.
    pub(super) fn back(desk: Box<dyn Desk>) -> Box<Self> {
        let desk: Box<dyn Any> = desk;
        desk.downcast().expect("the same desk")
    }
}

impl Desk for FakeDesk {
    fn vm(&mut self, call: VmCall) -> Result<VmReply, Refusal> {
        self.asked.push(format!("{call:?}"));
        self.wait();
        self.vm.clone().ok_or(self.refusal)
    }

    fn vcpu(&mut self, vcpu: u32, call: VcpuCall) -> Result<VcpuReply, Refusal> {
        self.asked.push(format!("{vcpu} {call:?}"));
        self.wait();
        self.vcpu.clone().ok_or(self.refusal)
    }

    fn service(&mut self, call: ServiceCall) -> Result<ServiceReply, Refusal> {
        call.run(self)
    }
}

impl FakeDesk {
    fn wait(&self) {
        self.delay.into_iter().for_each(std::thread::sleep);
    }
}

macro_rules! noted {
    ($($row:ident)*) => { $(
        impl Handle<$row> for FakeDesk {
            fn handle(&mut self, request: $row) -> Result<(), Refusal> {
                self.asked.push(format!("{request:?}"));
                Ok(())
            }
        }
    )* };
}
macro_rules! stored {
    ($($row:ident)*) => { $(
        impl Handle<$row> for FakeDesk {
            fn handle(&mut self, request: $row) -> Result<<$row as Request>::Reply, Refusal> {
                self.store.apply(request)
            }
        }
    )* };
}
noted!(RaiseAlert WriteLog RecordMetric);
stored!(StoreGet StoreSet StoreRemove StoreKeys StoreAdd StoreCompareAndSwap);
