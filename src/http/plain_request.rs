//! Requests in the plain form that nearly all have: whole heads of GET or POST over HTTP/1.1, with a
//! length where there is a body.
//!
//! What is read here means the same to hyper, whose parser of heads this is. Whatever is unusual is
//! not read at all but left to hyper, so that there is one judge of it.

use std::mem::MaybeUninit;

use hyper::Method;

use super::head_fields::{HeadFields, Noted};
use super::request_head::RequestHead;

/// A request whose head was read.
#[derive(Debug)]
pub(super) struct PlainRequest<'a> {
    pub(super) method: &'static Method,
    pub(super) path: &'a str,
    pub(super) query: Option<&'a str>,
    /// Length of path and query.
    pub(super) target_length: usize,
    pub(super) fields: HeadFields<'a>,
    /// Where the body begins, and how long it is.
    pub(super) head_length: usize,
    pub(super) body_length: usize,
}

impl<'a> PlainRequest<'a> {
    /// The head, as answers depend on it.
    #[inline]
    pub(super) fn head(&self, base_path: &str) -> RequestHead<'a> {
        let target = (self.path, self.query);
        RequestHead::new(base_path, self.method, target, self.target_length, self.fields)
    }
}

static GET: Method = Method::GET;
static POST: Method = Method::POST;

/// Most fields of a head.
const FIELDS: usize = 64;

/// Digits of the longest length that is read: no such body is short enough.
const DIGITS: usize = 9;

/// Reads the head at the front of `bytes`, if all of it is here and plain.
pub(super) fn read(bytes: &[u8]) -> Option<PlainRequest<'_>> {
    // Blank lines before a request are for hyper, too.
    if !matches!(bytes.first(), Some(b'G' | b'P')) {
        return None;
    }
    let mut lines = [const { MaybeUninit::uninit() }; FIELDS];
    let mut request = httparse::Request::new(&mut []);
    let parsed = request.parse_with_uninit_headers(bytes, &mut lines);
    let Ok(httparse::Status::Complete(head_length)) = parsed else { return None };
    let method = match request.method? {
        "GET" => &GET,
        "POST" => &POST,
        _ => return None,
    };
    let target = request.path?;
    if request.version != Some(1) || !target.starts_with('/') || !is_plain(target) {
        return None;
    }
    let mut fields = HeadFields::default();
    for line in request.headers.iter() {
        match fields.note(line.name, line.value) {
            Noted::Ignored if is_unusual(line) => return None,
            Noted::First | Noted::Ignored => {}
            Noted::Again => {
                let is = |name| line.name.eq_ignore_ascii_case(name);
                // All of these count, and not only the first.
                if is("content-length") || is("if-none-match") {
                    return None;
                }
            }
        }
    }
    let body_length = match fields.content_length {
        None => 0,
        Some(_) if fields.transfer_encoding.is_some() => return None,
        Some(length) => number(length)?,
    };
    if fields.transfer_encoding.is_some() || (body_length > 0 && *method == Method::GET) {
        return None;
    }
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    let target_length = target.len();
    Some(PlainRequest { method, path, query, target_length, fields, head_length, body_length })
}

/// Whether every byte of a target stands for itself, whoever reads it. Without branches, so that it
/// is a few instructions for sixteen bytes.
fn is_plain(target: &str) -> bool {
    let within = |byte: u8, first: u8, last: u8| u8::from(byte.wrapping_sub(first) <= last - first);
    let odd = target.bytes().fold(0, |odd, byte| {
        odd | (1 ^ within(byte, b'!', b'~'))
            | within(byte, b'"', b'#')
            | within(byte, b'<', b'<')
            | within(byte, b'>', b'>')
            | within(byte, b'[', b'^')
            | within(byte, b'`', b'`')
            | within(byte, b'{', b'}')
    });
    odd == 0
}

/// Whether a field asks something of the connection.
fn is_unusual(field: &httparse::Header<'_>) -> bool {
    let is = |name| field.name.eq_ignore_ascii_case(name);
    match field.name.len() {
        6 => is("expect"),
        7 => is("upgrade") || is("trailer"),
        10 => is("connection") && !field.value.eq_ignore_ascii_case(b"keep-alive"),
        _ => false,
    }
}

fn number(digits: &[u8]) -> Option<usize> {
    if digits.is_empty() || digits.len() > DIGITS {
        return None;
    }
    digits.iter().try_fold(0, |number, digit| {
        digit.is_ascii_digit().then(|| number * 10 + usize::from(digit - b'0'))
    })
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::{Arc, Mutex};

    use bytes::Bytes;
    use http_body_util::{BodyExt, Empty};
    use hyper::body::Incoming;
    use hyper::server::conn::http1;
    use hyper::service::service_fn;
    use hyper::{Request, Response};
    use hyper_util::rt::TokioIo;
    use proptest::prelude::*;
    use tokio::io::AsyncWriteExt;

    use super::*;

    /// What a reader of requests understands of one.
    type Understood = (String, String, Vec<Option<String>>, Vec<u8>);

    fn understood(request: &RequestHead<'_>, body: &[u8]) -> Understood {
        let fields = &request.fields;
        let text = |value: &[u8]| value.escape_ascii().to_string();
        let target = format!("{} {:?} {}", request.path, request.query, request.target_length);
        let values = fields.each().into_iter().map(|value| value.map(text));
        let tags = fields.tags().map(|tag| Some(text(tag)));
        (request.method.to_string(), target, values.chain(tags).collect(), body.to_vec())
    }

    /// What hyper understands of the requests on a connection.
    async fn by_hyper(bytes: Vec<u8>) -> Vec<Understood> {
        let (mut client, server) = tokio::io::duplex(64 * 1024);
        client.write_all(&bytes).await.unwrap();
        client.shutdown().await.unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&seen);
        let service = service_fn(move |request: Request<Incoming>| {
            let noted = Arc::clone(&noted);
            async move {
                let (parts, body) = request.into_parts();
                // A body that breaks off is no request.
                if let Ok(body) = body.collect().await {
                    let head = RequestHead::of("", &parts);
                    noted.lock().unwrap().push(understood(&head, &body.to_bytes()));
                }
                Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
            }
        });
        let mut builder = http1::Builder::new();
        // Else the end of what the client sends would be the end of all.
        builder.half_close(true);
        let connection = builder.serve_connection(TokioIo::new(server), service);
        // The answers have room in the pipe, so nobody has to read them.
        let _ = connection.await;
        let seen = seen.lock().unwrap();
        seen.clone()
    }

    fn line() -> impl Strategy<Value = String> {
        let name = prop_oneof![
            3 => proptest::sample::select(&[
                "Host", "content-length", "Content-Length", "Content-Type", "If-None-Match", "ORIGIN",
                "x-environment-key", "X-API-Key", "Authorization", "Accept-Encoding", "TE",
                "Transfer-Encoding", "Connection", "Expect", "Upgrade", "Trailer", "Keep-Alive",
                "if-modified-since", "last-event-id", "Content-Encoding", "reflag-sdk-version",
            ][..]).prop_map(str::to_owned),
            1 => "[A-Za-z-]{1,18}",
            1 => "[ -~]{0,12}",
        ];
        let value = prop_oneof![
            3 => proptest::sample::select(&[
                "0", "3", "03", "+3", "3, 3", "99999999999", "keep-alive", "Keep-Alive", "close",
                "100-continue", "chunked", "identity", "h2c", "\"a\", W/\"b\"", "Bearer k", "", "  ",
            ][..]).prop_map(str::to_owned),
            1 => "[ -~\t\u{e9}]{0,16}",
        ];
        let colon =
            prop_oneof![8 => Just(": "), 1 => Just(":"), 1 => Just(" : "), 1 => Just(":\t ")];
        let end =
            prop_oneof![12 => Just("\r\n"), 1 => Just("\n"), 1 => Just("\r"), 1 => Just("\r\n ")];
        (name, colon, value, end).prop_map(|(name, colon, value, end)| name + colon + &value + end)
    }

    fn requests() -> impl Strategy<Value = Vec<u8>> {
        let method = prop_oneof![
            4 => Just("GET"), 4 => Just("POST"), 1 => Just("HEAD"), 1 => Just("get"), 1 => Just("PRI")
        ];
        let target = prop_oneof![
            4 => "/[a-z0-9/._~%-]{0,12}(\\?[a-z=&%+?/]{0,12})?",
            1 => "/[ -~]{0,12}",
            1 => proptest::sample::select(&["*", "http://h/p?q", "//h/p", "/a#b", ""][..])
                .prop_map(str::to_owned),
        ];
        let version =
            prop_oneof![8 => Just("HTTP/1.1"), 1 => Just("HTTP/1.0"), 1 => Just("HTTP/2.0")];
        let end = prop_oneof![8 => Just("\r\n"), 1 => Just("\n")];
        let lines = proptest::collection::vec(line(), 0..6);
        (method, target, version, end, lines, "[a-z]{0,6}").prop_map(
            |(method, target, version, end, lines, body)| {
                let lines = lines.concat();
                format!("{method} {target} {version}{end}{lines}{end}{body}").into_bytes()
            },
        )
    }

    /// Reads one plain request after another; gives them, and the place of the first that is none.
    fn by_us(bytes: &[u8]) -> (Vec<Understood>, usize) {
        let (mut seen, mut place) = (Vec::new(), 0);
        while let Some(request) = read(&bytes[place..]) {
            let (head, length) = (request.head(""), request.head_length + request.body_length);
            let Some(body) = bytes[place..].get(request.head_length..length) else { break };
            seen.push(understood(&head, body));
            place += length;
        }
        (seen, place)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        /// Nothing is taken for a request that hyper would take for another one, or for none.
        #[test]
        fn what_is_read_here_means_the_same_to_hyper(first in requests(), second in requests()) {
            let bytes = [first, second, b"GET /last HTTP/1.1\r\n\r\n".to_vec()].concat();
            let (seen, place) = by_us(&bytes);
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let by_hyper = runtime.block_on(by_hyper(bytes.clone()));
            prop_assert!(
                by_hyper.starts_with(&seen),
                "{:?}\nhere: {seen:?}\nhyper: {by_hyper:?}", bytes.escape_ascii().to_string()
            );
            if place == bytes.len() {
                prop_assert_eq!(by_hyper.len(), seen.len());
            }
        }
    }

    #[test]
    fn targets_are_plain_without_what_uris_escape() {
        for byte in 0..=255_u8 {
            let escaped = b"\"#<>[\\]^`{|}".contains(&byte);
            let expected = byte.is_ascii_graphic() && !escaped;
            let target = format!("/{}", char::from(byte).to_string().repeat(40));
            assert_eq!(is_plain(&target), expected, "{byte}");
        }
    }

    #[test]
    fn plain_requests_are_read() {
        let get =
            b"GET /api/v1/flags/?feature=a HTTP/1.1\r\nHost: x\r\nx-environment-KEY: k\r\n\r\nGET";
        let request = read(get).unwrap();
        assert_eq!((request.path, request.query), ("/api/v1/flags/", Some("feature=a")));
        assert_eq!(request.fields.environment_key, Some(&b"k"[..]));
        assert_eq!((request.head_length, request.body_length), (get.len() - 3, 0));
        let post = b"POST /bulk HTTP/1.1\r\nConnection: Keep-Alive\r\nContent-Length: 12\r\n\r\n";
        assert_eq!(read(post).unwrap().body_length, 12);
        assert_eq!(read(post).unwrap().method, Method::POST);
    }

    #[test]
    fn whatever_asks_for_more_than_an_answer_is_left_to_hyper() {
        let plain = "GET /features HTTP/1.1\r\nHost: x\r\n\r\n";
        assert!(read(plain.as_bytes()).is_some());
        for length in 0..plain.len() {
            assert!(read(&plain.as_bytes()[..length]).is_none(), "a head that is not whole");
        }
        for field in [
            "Connection: close",
            "Connection: keep-alive, upgrade",
            "Upgrade: h2c",
            "Expect: 100-continue",
            "Transfer-Encoding: chunked",
            "Trailer: x",
            "Content-Length: 1",
            "Content-Length: 0\r\nContent-Length: 0",
            "Content-Length: 00000000000",
            "If-None-Match: \"a\"\r\nIf-None-Match: \"b\"",
        ] {
            let request = plain.replace("Host: x", field);
            assert!(read(request.as_bytes()).is_none(), "{field}");
        }
        for (from, to) in [
            ("GET", "HEAD"),
            ("GET", "OPTIONS"),
            ("1.1", "1.0"),
            ("/features", "http://x/features"),
            ("/features", "/features#top"),
            ("/features", "/{features}"),
            ("GET", "\r\nGET"),
        ] {
            let request = plain.replacen(from, to, 1);
            assert!(read(request.as_bytes()).is_none(), "{to}");
        }
    }
}
