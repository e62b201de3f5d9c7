//! Connecting to a tool: it listens, we connect, as QEMU does.

use std::{
    future::Future,
    io,
    os::fd::{AsFd, OwnedFd},
    time::Duration,
};

use anyhow::Context;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    time::timeout,
};
use tokio_vsock::{VsockAddr, VsockStream};

use super::address::Address;

/// How long connecting may take.
const CONNECTING: Duration = Duration::from_secs(10);

/// A connection, before it is hooked.
pub(crate) enum Stream {
    Unix(UnixStream),
    Vsock(VsockStream),
}

/// Connects.
pub(crate) async fn connect(address: &Address) -> anyhow::Result<Stream> {
    let connected = match address {
        Address::Unix(path) => within(UnixStream::connect(path)).await.map(Stream::Unix),
        Address::Vsock { cid, port } => within(VsockStream::connect(VsockAddr::new(*cid, *port)))
            .await
            .map(Stream::Vsock),
    };
    connected.with_context(|| format!("{address} does not answer; is the tool listening there?"))
}

async fn within<T>(connecting: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let waited = timeout(CONNECTING, connecting).await;
    waited.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

impl Stream {
    pub(crate) async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Unix(stream) => stream.write_all(bytes).await,
            Self::Vsock(stream) => stream.write_all(bytes).await,
        }
    }

    pub(crate) async fn read_exact(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        match self {
            Self::Unix(stream) => stream.read_exact(bytes).await.map(drop),
            Self::Vsock(stream) => stream.read_exact(bytes).await.map(drop),
        }
    }

    /// The socket itself, which nothing of this module looks at any more.
    pub(crate) fn into_socket(self) -> io::Result<OwnedFd> {
        match self {
            Self::Unix(stream) => Ok(stream.into_std()?.into()),
            Self::Vsock(stream) => stream.as_fd().try_clone_to_owned(),
        }
    }
}
