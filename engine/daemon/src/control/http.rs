//! HTTP/1.1, as much of it as one request and its answer take: bytes in, values out. It reads no
//! socket and knows no path.

use serde_json::Value as Json;

use super::Problem;

/// The most bytes of a request's head.
pub(super) const HEAD_MAX: usize = 16 << 10;
/// The most fields of a head.
const FIELDS_MAX: usize = 64;
/// The most bytes of a body: a component of 64 MiB in base64, and what is said with it.
pub(super) const BODY_MAX: usize = (64 << 20) / 3 * 4 + (1 << 20);

/// A request without its body.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) method: String,
    /// Without what follows a question mark.
    pub(super) path: String,
    /// Bytes of the body.
    pub(super) length: usize,
    /// It waits to hear that its body is welcome.
    pub(super) expects: bool,
}

/// An answer.
#[derive(Debug, PartialEq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Json,
    /// More fields of the head.
    pub(super) fields: Vec<(&'static str, String)>,
}

/// What says that a body is welcome.
pub(super) const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

impl Head {
    /// Reads a head, and says where it ends; none if it is not all there yet.
    pub(super) fn read(bytes: &[u8]) -> Result<Option<(Self, usize)>, Problem> {
        let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
        let mut request = httparse::Request::new(&mut fields);
        let length = match request.parse(bytes) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) if bytes.len() >= HEAD_MAX => {
                return Err(Problem::new(431, "head-too-large", "the head is too large"));
            }
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(httparse::Error::TooManyHeaders) => {
                return Err(Problem::new(
                    431,
                    "head-too-large",
                    "the head has too many fields",
                ));
            }
            Err(error) => return Err(malformed(format!("this is not HTTP/1.1: {error}"))),
        };
        let path = request.path.unwrap_or_default();
        let head = Self {
            method: request.method.unwrap_or_default().to_owned(),
            path: path.split('?').next().unwrap_or_default().to_owned(),
            length: body_length(request.headers)?,
            expects: has(request.headers, "expect", "100-continue"),
        };
        Ok(Some((head, length)))
    }
}

fn malformed(message: String) -> Problem {
    Problem::new(400, "malformed", message)
}

fn named<'a>(
    fields: &'a [httparse::Header<'a>],
    name: &'a str,
) -> impl Iterator<Item = &'a httparse::Header<'a>> {
    fields
        .iter()
        .filter(move |field| field.name.eq_ignore_ascii_case(name))
}

fn has(fields: &[httparse::Header<'_>], name: &str, value: &str) -> bool {
    named(fields, name).any(|field| field.value.eq_ignore_ascii_case(value.as_bytes()))
}

/// How long the body is, which a request has to say once and clearly.
fn body_length(fields: &[httparse::Header<'_>]) -> Result<usize, Problem> {
    if named(fields, "transfer-encoding").next().is_some() {
        let message = "the body comes in pieces: say how long it is (`Content-Length`)";
        return Err(Problem::new(411, "length-required", message));
    }
    let mut lengths = named(fields, "content-length");
    let Some(first) = lengths.next() else {
        return Ok(0);
    };
    let digits = std::str::from_utf8(first.value).ok();
    let digits = digits.filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let length = digits.and_then(|digits| digits.parse::<usize>().ok());
    match length {
        Some(length) if lengths.next().is_none() && length <= BODY_MAX => Ok(length),
        Some(length) if length > BODY_MAX => Err(Problem::new(
            413,
            "body-too-large",
            format!("a body of {length} bytes is more than {BODY_MAX}"),
        )),
        Some(_) | None => Err(malformed("how long the body is is not clear".to_owned())),
    }
}

impl Answer {
    pub(super) const fn new(status: u16, body: Json) -> Self {
        let fields = Vec::new();
        Self {
            status,
            body,
            fields,
        }
    }

    /// As it goes over the wire.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let body = format!("{}\n", self.body);
        let mut head = format!(
            "HTTP/1.1 {} {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n",
            self.status,
            reason(self.status),
            body.len()
        );
        for (name, value) in &self.fields {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        format!("{head}\r\n{body}").into_bytes()
    }
}

/// The words for the statuses that are given (RFC 9110, section 15).
const fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        411 => "Length Required",
        413 => "Content Too Large",
        422 => "Unprocessable Content",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        503 => "Service Unavailable",
        _ => "Internal Server Error",
    }
}

/// A segment of a path as it is meant: `%2F` and the like undone. None if that is not text.
pub(super) fn decode(segment: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = segment.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        if first != b'%' {
            bytes.push(first);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2)?;
        let digits = std::str::from_utf8(digits).ok()?;
        let digits = Some(digits).filter(|text| text.bytes().all(|one| one.is_ascii_hexdigit()));
        bytes.push(u8::from_str_radix(digits?, 16).ok()?);
        rest = after;
    }
    String::from_utf8(bytes).ok()
}

/// A text as a segment of a path.
pub(crate) fn encode(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let one = |byte: u8| {
        if plain(byte) {
            char::from(byte).to_string()
        } else {
            format!("%{byte:02X}")
        }
    };
    text.bytes().map(one).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<Option<(Head, usize)>, Problem> {
        Head::read(text.as_bytes())
    }

    #[test]
    fn a_head_is_read_whole_or_not_yet() {
        let text = "POST /v1/policies?x=1 HTTP/1.1\r\nHost: oriel\r\nContent-Length: 12\r\nExpect: 100-Continue\r\n\r\n";
        let (head, length) = read(&format!("{text}{{\"name\":1}}")).unwrap().unwrap();
        assert_eq!(length, text.len());
        assert_eq!((&*head.method, &*head.path), ("POST", "/v1/policies"));
        assert_eq!((head.length, head.expects), (12, true));
        for cut in 0..text.len() {
            assert_eq!(read(&text[..cut]).unwrap(), None, "{cut}");
        }
    }

    #[test]
    fn what_is_no_clear_request_is_refused_with_its_status() {
        let with = |fields: &str| format!("POST / HTTP/1.1\r\n{fields}\r\n\r\n");
        let long = with(&format!("X: {}", "x".repeat(HEAD_MAX)));
        let cases = [
            ("\u{0}\u{1}garbage\r\n\r\n".to_owned(), 400),
            (with("Content-Length: 1\r\nContent-Length: 2"), 400),
            (with("Content-Length: +1"), 400),
            (with("Content-Length: -1"), 400),
            (with("Content-Length: 99999999999999999999999999"), 400),
            (with("Content-Length: 999999999"), 413),
            (with("Transfer-Encoding: chunked"), 411),
            (with(&"X: y\r\n".repeat(FIELDS_MAX + 1)), 431),
            (long[..HEAD_MAX].to_owned(), 431),
        ];
        for (text, status) in cases {
            let problem = read(&text).unwrap_err();
            assert_eq!(problem.status(), status, "{problem}");
        }
    }

    #[test]
    fn an_answer_says_how_long_it_is() {
        let mut answer = Answer::new(429, serde_json::json!({"a": 1}));
        answer.fields.push(("Retry-After", "3".to_owned()));
        let text = String::from_utf8(answer.to_bytes()).unwrap();
        assert!(
            text.starts_with("HTTP/1.1 429 Too Many Requests\r\n"),
            "{text}"
        );
        assert!(text.contains("Content-Length: 8\r\n") && text.contains("Retry-After: 3\r\n"));
        assert!(text.ends_with("\r\n\r\n{\"a\":1}\n"), "{text}");
    }

    proptest! {
        #[test]
        fn a_name_survives_being_a_path(name in ".*") {
            prop_assert_eq!(decode(&encode(&name)), Some(name));
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), text in ".*") {
            let _ = Head::read(&bytes);
            let _ = decode(&text);
        }
    }
}
