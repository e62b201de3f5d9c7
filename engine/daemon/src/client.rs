//! Asks a running VM through its control socket: one request, one answer, and that is all.

use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::Path,
};

use anyhow::{Context, anyhow, bail};
use serde_json::Value as Json;

/// The most bytes of an answer.
const ANSWER_MAX: u64 = 16 << 20;
/// The most fields of an answer's head.
const FIELDS_MAX: usize = 32;

/// Asks, and gives the answer; what the VM refuses is an error in its own words.
///
/// There is no deadline: a swap with a shadow takes as long as the shadow.
pub(crate) fn ask(
    socket: &Path,
    method: &str,
    path: &str,
    body: Option<&Json>,
) -> anyhow::Result<Json> {
    let shown = socket.display();
    let mut stream = UnixStream::connect(socket).with_context(|| {
        format!("nobody takes orders at {shown}: is `oriel run --control {shown}` running?")
    })?;
    let body = body.map(Json::to_string).unwrap_or_default();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: oriel\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    // One that does not want to hear all of it has answered why.
    let _ = stream
        .write_all(head.as_bytes())
        .and_then(|()| stream.write_all(body.as_bytes()));
    let mut bytes = Vec::new();
    let read = stream.take(ANSWER_MAX).read_to_end(&mut bytes);
    let (status, answer) = parse(&bytes).ok_or_else(|| match read {
        Err(error) => anyhow!(error).context(gone(socket)),
        Ok(_) => anyhow!(gone(socket)),
    })?;
    if status >= 400 {
        bail!(refusal(&answer, status));
    }
    Ok(answer)
}

fn gone(socket: &Path) -> String {
    format!(
        "{} gave no answer: the VM may have ended meanwhile; what it did is in its log",
        socket.display()
    )
}

/// Status and body; none if it is not all there.
fn parse(bytes: &[u8]) -> Option<(u16, Json)> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut response = httparse::Response::new(&mut fields);
    let httparse::Status::Complete(head) = response.parse(bytes).ok()? else {
        return None;
    };
    let body = serde_json::from_slice(bytes.get(head..)?).ok()?;
    Some((response.code?, body))
}

/// A problem in words, with what to do next.
fn refusal(answer: &Json, status: u16) -> String {
    let message = answer["message"].as_str();
    let message = message.map_or_else(|| format!("status {status}"), str::to_owned);
    match answer["next"].as_str() {
        Some(next) => format!("{message}; {next}"),
        None => message,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_answer_is_whole_or_none() {
        let text = b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n{\"a\":1}\n";
        assert_eq!(parse(text), Some((200, json!({"a": 1}))));
        for cut in [0, 10, 40, text.len() - 3] {
            assert_eq!(parse(&text[..cut]), None, "{cut}");
        }
    }

    #[test]
    fn a_refusal_says_what_to_do_next() {
        let answer = json!({"error": "busy", "message": "another is at it", "next": "wait"});
        assert_eq!(refusal(&answer, 409), "another is at it; wait");
        assert_eq!(refusal(&json!(null), 500), "status 500");
    }
}
