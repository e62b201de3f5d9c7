//! The connections of KVMI tools: dials, shakes hands, hooks, waits, and dials again. It runs on a
//! thread of its own, and never touches a message after the handshake: the hooked socket is the
//! engine's.
//!
//! ```text
//!   dial ──► handshake ──► hook ──► (KVMI, in the engine) ──► gone ──► pause ──┐
//!    ▲                                                                        │
//!    └────────────────────────────────────────────────────────────────────────┘
//! ```

mod address;
mod cookie;
mod dial;
mod handshake;
mod plan;

use std::{
    thread::JoinHandle,
    time::{Duration, Instant},
};

use anyhow::Context;
use oriel_engine::{VmHandle, tool::Port, tool::Quiet};
use oriel_machine::Machine;
use tokio::sync::{oneshot, watch};

pub(crate) use plan::{ToolPlan, plans};

/// How long a tool has to say nothing to count as ready for the guest to run.
const QUIET: Duration = Duration::from_millis(100);

/// The connections of a VM's tools, for as long as this lives.
pub(crate) struct Tools {
    ports: Vec<Port>,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

/// One tool's connection, kept up.
struct Keeper {
    plan: ToolPlan,
    port: Port,
    hello: handshake::Greeting,
}

impl Tools {
    /// Connects to the tools of a VM, which has a place for each.
    pub(crate) fn connect(
        plans: &[ToolPlan],
        vm: &VmHandle,
        machine: &dyn Machine,
    ) -> anyhow::Result<Self> {
        let hello = handshake::Greeting::of(machine);
        let keeper = |plan: &ToolPlan| {
            let port = vm.tool(&plan.name).context("a tool without a place")?;
            Ok(Keeper {
                plan: plan.clone(),
                port,
                hello: hello.clone(),
            })
        };
        let keepers: Vec<_> = plans.iter().map(keeper).collect::<anyhow::Result<_>>()?;
        let ports = keepers.iter().map(|keeper| keeper.port.clone()).collect();
        let (stop, stopped) = watch::channel(false);
        let thread = if keepers.is_empty() {
            None
        } else {
            Some(run_all(keepers, &stopped)?)
        };
        Ok(Self {
            ports,
            stop,
            thread,
        })
    }

    /// Waits until every tool is hooked and quiet, but no longer than this.
    pub(crate) fn wait(&self, within: Duration) {
        let end = Instant::now() + within;
        for port in &self.ports {
            let left = end.saturating_duration_since(Instant::now());
            let name = port.name();
            match port.wait_quiet(QUIET, left) {
                Quiet::Yes => {}
                Quiet::Busy => {
                    tracing::warn!(tool = name, "the guest runs, though it is still at work");
                }
                Quiet::Away => tracing::warn!(tool = name, "the guest runs without it"),
            }
        }
    }
}

impl Drop for Tools {
    fn drop(&mut self) {
        // If nobody listens, it has ended already.
        let _ = self.stop.send(true);
        if let Some(thread) = self.thread.take() {
            // A panic there has been reported, and the VM has ended without it.
            let _ = thread.join();
        }
    }
}

fn run_all(
    keepers: Vec<Keeper>,
    stopped: &watch::Receiver<bool>,
) -> anyhow::Result<JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .context("no runtime for the connections of tools")?;
    let tasks = keepers
        .into_iter()
        .map(|keeper| (keeper, stopped.clone()))
        .collect::<Vec<_>>();
    let body = move || {
        runtime.block_on(async {
            let tasks: Vec<_> = tasks
                .into_iter()
                .map(|(keeper, stopped)| tokio::spawn(keeper.until(stopped)))
                .collect();
            for task in tasks {
                // A panic of one leaves the others as they are.
                let _ = task.await;
            }
        });
    };
    let thread = std::thread::Builder::new().name("tools".to_owned());
    thread.spawn(body).context("the thread of the tools")
}

impl Keeper {
    async fn until(self, mut stopped: watch::Receiver<bool>) {
        let end = async move {
            // An error says that nobody can stop it any more: the VM is gone.
            let _ = stopped.wait_for(|stop| *stop).await;
        };
        tokio::pin!(end);
        let keep = self.keep();
        tokio::pin!(keep);
        std::future::poll_fn(|context| {
            if end.as_mut().poll(context).is_ready() {
                return std::task::Poll::Ready(());
            }
            keep.as_mut().poll(context)
        })
        .await;
    }

    /// Connects, and again when that has ended.
    async fn keep(&self) {
        let mut told = String::new();
        loop {
            if let Err(error) = self.once().await {
                // The same again is no news: a tool that is not there yet.
                let text = format!("{error:#}");
                if text != told {
                    tracing::warn!(tool = self.plan.name, address = %self.plan.address, "{text}");
                }
                told = text;
            } else {
                told.clear();
            }
            if self.plan.reconnect.is_zero() || self.port.is_closed() {
                return;
            }
            tokio::time::sleep(self.plan.reconnect).await;
        }
    }

    /// One connection, from dialling to its end.
    async fn once(&self) -> anyhow::Result<()> {
        let mut stream = dial::connect(&self.plan.address).await?;
        let dialect = self.port.settings().dialect;
        handshake::shake(&mut stream, &self.hello, dialect, self.plan.cookie.as_ref()).await?;
        let (gone, is_gone) = oneshot::channel::<()>();
        self.port.hook(stream.into_socket()?, move |_| {
            // If nobody waits for it, the program ends.
            let _ = gone.send(());
        })?;
        // An error says the same: it is gone.
        let _ = is_gone.await;
        Ok(())
    }
}
