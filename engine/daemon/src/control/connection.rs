//! One connection: who it is, its one request, its answer. Every wait for the client has an end.

use std::{sync::Arc, time::Duration};

use oriel_engine::audit::Orderer;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    sync::OwnedSemaphorePermit,
    time::{Instant, timeout, timeout_at},
};

use super::{
    Problem, Service,
    http::{Answer, CONTINUE, HEAD_MAX, Head},
    routes,
};

/// Bytes of a body that any number of connections may send at once.
pub(super) const SMALL: usize = 256 << 10;

/// How long a client may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// For the head of its request.
    pub(super) head: Duration,
    /// For the body.
    pub(super) body: Duration,
    /// For taking the answer.
    pub(super) answer: Duration,
    /// How long those that have asked before the end may take to hear of it.
    pub(super) grace: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(5),
            body: Duration::from_secs(30),
            answer: Duration::from_secs(10),
            grace: Duration::from_secs(2),
        }
    }
}

/// A request with the bytes of its body.
struct Request {
    head: Head,
    body: Vec<u8>,
}

/// Serves one connection, and hangs up.
pub(super) async fn serve(
    mut stream: UnixStream,
    service: Arc<Service>,
    _place: OwnedSemaphorePermit,
) {
    let patience = service.patience.answer;
    let answer = match admit(&stream, service.user) {
        Ok(by) => answer(&mut stream, &service, by).await,
        Err(problem) => Some(problem.into()),
    };
    if let Some(answer) = answer {
        let bytes = answer.to_bytes();
        // Whoever does not take it does not get it.
        let _ = timeout(patience, stream.write_all(&bytes)).await;
    }
}

/// Only the user that the VM runs as, and root, give orders; says who it is.
fn admit(stream: &UnixStream, user: u32) -> Result<Orderer, Problem> {
    let refused = |who: String| {
        tracing::warn!(
            peer = who,
            "somebody else was refused at the control socket"
        );
        Problem::new(403, "forbidden", format!("{who} gives no orders here"))
            .next("ask as the user that `oriel run` runs as, or as root")
    };
    let peer = stream.peer_cred();
    let peer = peer.map_err(|error| refused(format!("whoever asks ({error})")))?;
    if is_heard(peer.uid(), user) {
        let (uid, pid) = (peer.uid(), peer.pid());
        return Ok(Orderer::Socket { uid, pid });
    }
    Err(refused(format!("user {}", peer.uid())))
}

const fn is_heard(peer: u32, user: u32) -> bool {
    peer == 0 || peer == user
}

/// The answer to what comes; none if it went away, or said nothing at all.
async fn answer(stream: &mut UnixStream, service: &Arc<Service>, by: Orderer) -> Option<Answer> {
    let request = match receive(stream, service).await {
        Ok(request) => request?,
        Err(problem) => return Some(problem.into()),
    };
    let asked = format!("{} {}", request.head.method, request.head.path);
    let answer = carry_out(request, service.clone(), by).await;
    tracing::info!(asked, status = answer.status, "an order was carried out");
    Some(answer)
}

/// Orders take as long as they take; meanwhile others are served.
async fn carry_out(request: Request, service: Arc<Service>, by: Orderer) -> Answer {
    let Request { head, body } = request;
    let done = tokio::task::spawn_blocking(move || {
        let asked = routes::Asked {
            method: &head.method,
            path: &head.path,
            body: &body,
            by,
        };
        routes::answer(&service.steward, asked)
    });
    done.await.unwrap_or_else(|_| {
        let message = "this order broke Oriel, which is a fault of Oriel: please report it";
        Problem::new(500, "broken", message).into()
    })
}

/// Receives a request; none if the client hangs up.
async fn receive(stream: &mut UnixStream, service: &Service) -> Result<Option<Request>, Problem> {
    let mut bytes = Vec::new();
    let head = timeout(service.patience.head, read_head(stream, &mut bytes));
    let late = |what: &str| {
        Problem::new(408, "too-slow", format!("{what} did not come in time")).next("try again")
    };
    let Some((head, length)) = head.await.map_err(|_| late("the head"))?? else {
        return Ok(None);
    };
    let mut body = bytes.split_off(length);
    let end = Instant::now() + service.patience.body;
    let _large = match head.length {
        ..=SMALL => None,
        _ => Some(
            timeout_at(end, service.large.acquire())
                .await
                .map_err(|_| crowded())?,
        ),
    };
    if head.expects && body.is_empty() {
        // If it has gone, reading says so.
        let _ = stream.write_all(CONTINUE).await;
    }
    let whole = timeout_at(end, read_body(stream, head.length, &mut body));
    let whole = whole.await.map_err(|_| late("the body"))?;
    Ok(whole.then_some(Request { head, body }))
}

fn crowded() -> Problem {
    Problem::new(503, "crowded", "others are sending components").wait(Duration::from_secs(5))
}

async fn read_head(
    stream: &mut UnixStream,
    bytes: &mut Vec<u8>,
) -> Result<Option<(Head, usize)>, Problem> {
    loop {
        if let Some(found) = Head::read(bytes)? {
            return Ok(Some(found));
        }
        let room = HEAD_MAX.saturating_sub(bytes.len()) as u64;
        // An error says that it is gone, as its end does.
        let read = stream.take(room).read_buf(bytes).await;
        if read.unwrap_or(0) == 0 {
            return Ok(None);
        }
    }
}

/// Whether all of it came. It takes up only what has come.
async fn read_body(stream: &mut UnixStream, length: usize, body: &mut Vec<u8>) -> bool {
    let missing = length.saturating_sub(body.len()) as u64;
    let read = stream.take(missing).read_to_end(body).await;
    body.truncate(length);
    read.is_ok() && body.len() == length
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_user_and_root_are_heard_and_nobody_else() {
        let heard = [0, 1000, 1001, u32::MAX].map(|peer| is_heard(peer, 1000));
        assert_eq!(heard, [true, true, false, false]);
        assert!(!is_heard(1000, 0));
    }
}
