//! The control socket: HTTP/1.1 with JSON, for `oriel policy` and for whatever else an operator
//! has. It runs on a thread of its own, with everything about a client bounded: who it is, how
//! many there are, how much they send and how long they take. What an order does, the steward
//! does, off that thread.
//!
//! ```text
//!   accept ──► who is it? ──► head ──► body ──► route ──► steward ──► answer, hang up
//!               403           408, 431  413      404, 405   what it says
//! ```
//! One connection is one request: an operator sends few, and there is no state to keep.

mod connection;
mod http;
mod openapi;
mod orders;
mod problem;
mod routes;
mod socket;

use std::{sync::Arc, thread::JoinHandle, time::Duration};

use anyhow::Context;
use tokio::{
    net::UnixListener,
    sync::{Semaphore, watch},
    time::{sleep, timeout},
};

use crate::steward::Steward;

pub(crate) use http::encode;
use problem::Problem;
pub(crate) use socket::Socket;

/// Connections at once. More wait until one of these is done.
const CONNECTIONS: u32 = 8;
/// Of these, how many may send more than [`connection::SMALL`] at once.
const LARGE: usize = 2;
/// How long to wait where the host has no more files for a connection.
const CROWDED: Duration = Duration::from_millis(200);

/// What is served, and to how many.
struct Service {
    steward: Arc<Steward>,
    patience: connection::Patience,
    /// Who else but root is heard.
    user: u32,
    places: Arc<Semaphore>,
    large: Semaphore,
}

/// Takes orders for as long as it lives.
pub(crate) struct Control {
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Control {
    /// Takes orders on this socket.
    pub(crate) fn serve(socket: Socket, steward: Arc<Steward>) -> anyhow::Result<Self> {
        let service = Service::new(steward, connection::Patience::default());
        Self::start(socket, service)
    }

    fn start(socket: Socket, service: Service) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .max_blocking_threads(CONNECTIONS as usize)
            .thread_name("control-order")
            .build()
            .context("no runtime for the control socket")?;
        let (stop, stopped) = watch::channel(false);
        let body = move || {
            let served = runtime.block_on(serve(&socket, Arc::new(service), stopped));
            if let Err(error) = served {
                tracing::warn!(%error, "the control socket cannot be listened at");
            }
            // An order that is still being carried out is not waited for: the VM has ended.
            runtime.shutdown_background();
        };
        let thread = std::thread::Builder::new().name("control".to_owned());
        Ok(Self {
            stop,
            thread: Some(
                thread
                    .spawn(body)
                    .context("the thread of the control socket")?,
            ),
        })
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        // If nobody listens, it has ended already.
        let _ = self.stop.send(true);
        if let Some(thread) = self.thread.take() {
            // A panic there has been reported, and the VM has ended without it.
            let _ = thread.join();
        }
    }
}

impl Service {
    fn new(steward: Arc<Steward>, patience: connection::Patience) -> Self {
        Self {
            steward,
            patience,
            user: rustix::process::geteuid().as_raw(),
            places: Arc::new(Semaphore::new(CONNECTIONS as usize)),
            large: Semaphore::new(LARGE),
        }
    }
}

/// Serves until it is told to stop, then waits a moment for those that have asked already.
async fn serve(
    socket: &Socket,
    service: Arc<Service>,
    mut stopped: watch::Receiver<bool>,
) -> std::io::Result<()> {
    let listener = UnixListener::from_std(socket.listener()?)?;
    let accepting = tokio::spawn(accept_all(listener, service.clone()));
    // An error says that nobody can stop it any more: the VM is gone.
    let _ = stopped.wait_for(|stop| *stop).await;
    accepting.abort();
    // Whoever has not been answered by then sees the connection close.
    let _ = timeout(
        service.patience.grace,
        service.places.acquire_many(CONNECTIONS),
    )
    .await;
    Ok(())
}

async fn accept_all(listener: UnixListener, service: Arc<Service>) {
    while let Ok(place) = service.places.clone().acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(connection::serve(stream, service.clone(), place));
            }
            Err(error) => {
                tracing::warn!(%error, "a connection to the control socket was not accepted");
                sleep(CROWDED).await;
            }
        }
    }
}

#[cfg(test)]
mod tests;
