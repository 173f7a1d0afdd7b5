//! The limit that the load bench divides by: hyper 1 on one current-thread tokio runtime, answering
//! bodies that were read from a folder at the start.
//!
//!     bare-hyper PORT FOLDER
//!
//! The body for a path is the file whose name is the path with `/` written as `_`; the query is not
//! looked at. A request that carries `If-None-Match` is answered 304. It listens on 127.0.0.1 only.
//!
//! Never add anything that a proxy could do without: each instruction here makes every ratio look better.

#![forbid(unsafe_code)]

use std::convert::Infallible;
use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{HeaderValue, CONTENT_TYPE, IF_NONE_MATCH};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

struct Answer {
    name: String,
    body: Bytes,
}

fn main() -> ExitCode {
    match start() {
        Ok(never) => match never {},
        Err(error) => {
            eprintln!("bare-hyper: {error}\nusage: bare-hyper PORT FOLDER");
            ExitCode::FAILURE
        }
    }
}

fn start() -> Result<Infallible, Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(port), Some(folder), None) = (arguments.next(), arguments.next(), arguments.next())
    else {
        return Err("expected two arguments".into());
    };
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port.parse()?));
    // Leaked because the answers live as long as the process; a reference costs a request nothing.
    let answers = Box::leak(load(&folder)?.into_boxed_slice());
    tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?
        .block_on(serve(address, answers))
}

fn load(folder: &str) -> Result<Vec<Answer>, Box<dyn Error>> {
    let mut answers = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if let (true, Some(name)) = (path.is_file(), path.file_name()) {
            answers.push(Answer {
                name: name.to_string_lossy().into_owned(),
                body: std::fs::read(&path)?.into(),
            });
        }
    }
    if answers.is_empty() {
        return Err(format!("{folder} holds no bodies").into());
    }
    Ok(answers)
}

async fn serve(
    address: SocketAddr,
    answers: &'static [Answer],
) -> Result<Infallible, Box<dyn Error>> {
    let listener = TcpListener::bind(address).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(http1::Builder::new().pipeline_flush(false).serve_connection(
            TokioIo::new(stream),
            service_fn(move |request| answer(answers, request)),
        ));
    }
}

async fn answer(
    answers: &'static [Answer],
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (status, body) = if request.headers().contains_key(IF_NONE_MATCH) {
        (StatusCode::NOT_MODIFIED, Bytes::new())
    } else {
        match answers.iter().find(|answer| names(&answer.name, request.uri().path())) {
            Some(answer) => (StatusCode::OK, answer.body.clone()),
            None => (StatusCode::NOT_FOUND, Bytes::from_static(b"{}")),
        }
    };
    if request.method() == Method::POST {
        // A proxy has to read the body before it can answer, so the limit reads it too.
        let _ = request.into_body().collect().await;
    }
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// Whether `name` is `path` with `/` written as `_`.
fn names(name: &str, path: &str) -> bool {
    name.len() == path.len()
        && name.bytes().zip(path.bytes()).all(|(n, p)| n == p || (n == b'_' && p == b'/'))
}
