//! Why there is no answer, in words for people and as a kind for counters.
//!
//! Never holds a path, a query, user info or a field of a head: what is printed here ends up in
//! logs and on the status page.

use std::error::Error;
use std::fmt;
use std::io;
use std::time::Duration;

use humantime::format_duration;
use hyper::StatusCode;

use super::{HEAD_BYTES, HEAD_FIELDS};

/// Why a request has no answer, or none that can be used.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SendError {
    /// Nothing was sent.
    #[error("the URL cannot be asked: {0}")]
    Url(UrlFault),
    /// A deadline passed.
    #[error("{phase} within {}", format_duration(*after))]
    Timeout {
        /// What was still missing.
        phase: Phase,
        /// The deadline: the request's own, or the one for connecting.
        after: Duration,
    },
    /// A body that comes piece by piece has not gone on.
    #[error("nothing came for {}", format_duration(*after))]
    Silent {
        /// The longest silence that was allowed.
        after: Duration,
    },
    /// The name has no address, or nobody accepts connections there.
    #[error("cannot connect to {peer}: {reason}")]
    Connect {
        /// Host and port; a proxy is called one.
        peer: String,
        /// What the system said.
        reason: String,
    },
    /// There is a connection, but no TLS over it: a certificate that is not trusted, most often.
    #[error("no TLS with {peer}: {reason}")]
    Tls {
        /// Host and port; a proxy is called one.
        peer: String,
        /// What rustls said.
        reason: String,
    },
    /// The proxy answered itself instead of passing the request on.
    #[error("the proxy {proxy} answered {status} to a request for {target}")]
    Proxy {
        /// Host and port of the proxy.
        proxy: String,
        /// Host and port of whom we asked it for.
        target: String,
        /// What it answered: 407 asks for credentials.
        status: StatusCode,
    },
    /// The peer closed the connection before the answer was whole.
    #[error("the connection was closed: {0}")]
    BrokenOff(Phase),
    /// The connection failed in another way.
    #[error("the connection failed: {0}")]
    Network(String),
    /// What came is not HTTP.
    #[error("the answer is not HTTP/1.1: {0}")]
    Malformed(String),
    /// The status line and the fields are more than is read of a head.
    #[error("the answer's head has more than {HEAD_FIELDS} fields or {HEAD_BYTES} bytes")]
    HeadTooLarge,
    /// The body is longer than the request's bound, as it came or inflated.
    #[error("the body is longer than {limit} bytes")]
    TooLarge {
        /// The bound.
        limit: usize,
    },
    /// The body came, and cannot be decoded.
    #[error(transparent)]
    Encoding(#[from] EncodingError),
}

/// Why a URL cannot be asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum UrlFault {
    /// No `http:` and no `https:`.
    #[error("it is neither http:// nor https://")]
    Scheme,
    /// Nobody to ask.
    #[error("it has no host")]
    Host,
    /// A password in a URL shows up where URLs do; it belongs in a header.
    #[error("it has a user name or a password in it")]
    UserInfo,
}

/// How far a request had come. Prints what was still missing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Phase {
    /// Name look-up, TCP, the proxy's tunnel, TLS.
    Connecting,
    /// The request is on its way; no whole head has come back.
    Head,
    /// The head has come; the body was still coming.
    Body,
}

impl fmt::Display for Phase {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Connecting => "no connection",
            Self::Head => "no answer",
            Self::Body => "no complete body",
        })
    }
}

/// Why a body cannot be decoded.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum EncodingError {
    /// Encoded in a way that was not asked for; named when it is a well-known one.
    #[error("the body is encoded with {0}, which was not asked for")]
    Unsupported(&'static str),
    /// Not gzip, cut off, or with a checksum that does not fit.
    #[error("the body's gzip is damaged or incomplete")]
    Damaged,
}

/// The coarse reason, for counters and for deciding what to do next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FailureKind {
    /// A deadline passed.
    Timeout,
    /// Nobody answered, or the connection was lost.
    Network,
    /// An answer came, and it cannot be used.
    Malformed,
}

impl SendError {
    /// The coarse reason. A URL that cannot be asked counts as [`FailureKind::Network`].
    pub fn kind(&self) -> FailureKind {
        match self {
            Self::Timeout { .. } | Self::Silent { .. } => FailureKind::Timeout,
            Self::Url(_)
            | Self::Connect { .. }
            | Self::Tls { .. }
            | Self::Proxy { .. }
            | Self::BrokenOff(_)
            | Self::Network(_) => FailureKind::Network,
            Self::Malformed(_) | Self::HeadTooLarge | Self::TooLarge { .. } | Self::Encoding(_) => {
                FailureKind::Malformed
            }
        }
    }

    /// What hyper says of an exchange, or of the body that follows it.
    pub(super) fn exchange(error: &hyper::Error, phase: Phase) -> Self {
        if error.is_parse_too_large() {
            return Self::HeadTooLarge;
        }
        if error.is_parse() {
            return Self::Malformed(chain(error));
        }
        if error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
            return Self::BrokenOff(phase);
        }
        match io_kind(error) {
            Some(
                io::ErrorKind::UnexpectedEof
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::ConnectionAborted
                | io::ErrorKind::BrokenPipe,
            ) => Self::BrokenOff(phase),
            // hyper's word for chunks that are none.
            Some(io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput) => {
                Self::Malformed(chain(error))
            }
            _ => Self::Network(chain(error)),
        }
    }
}

/// The kind of the first error of the system below `error`.
pub(super) fn io_kind(error: &dyn Error) -> Option<io::ErrorKind> {
    let mut below = error.source();
    while let Some(error) = below {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return Some(error.kind());
        }
        below = error.source();
    }
    None
}

/// An error and all below it, on one line.
pub(super) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut below = error.source();
    while let Some(error) = below {
        text.push_str(": ");
        text.push_str(&error.to_string());
        below = error.source();
    }
    text
}
