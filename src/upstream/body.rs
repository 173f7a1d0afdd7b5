//! Reads a body to its end, within a bound on what comes and on what that inflates to.
//!
//! Never gives a part of a body: what is cut off, damaged or too long is an error.

use std::io::{self, Write};

use bytes::Bytes;
use flate2::write::MultiGzDecoder;
use http_body_util::BodyExt;
use hyper::HeaderMap;
use hyper::body::{Body, Incoming};
use hyper::header::CONTENT_ENCODING;

use super::error::{EncodingError, Phase, SendError};

/// How a body is encoded.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Coding {
    Identity,
    Gzip,
}

impl Coding {
    /// Reads `Content-Encoding`.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, EncodingError> {
        let mut coding = Self::Identity;
        for value in headers.get_all(CONTENT_ENCODING) {
            for name in value.as_bytes().split(|byte| *byte == b',') {
                let name = name.trim_ascii();
                let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
                if name.is_empty() || is("identity") {
                    continue;
                }
                // The peer's own words are not repeated: they could be anything.
                let unsupported = ["br", "zstd", "deflate", "compress"].into_iter();
                coding = match coding {
                    // RFC 9110, 8.4.1.3: the old name means the same.
                    Self::Identity if is("gzip") || is("x-gzip") => Self::Gzip,
                    Self::Identity => {
                        let name = unsupported.into_iter().find(|known| is(known));
                        return Err(EncodingError::Unsupported(
                            name.unwrap_or("something unknown"),
                        ));
                    }
                    Self::Gzip => return Err(EncodingError::Unsupported("more than gzip")),
                };
            }
        }
        Ok(coding)
    }
}

/// The whole body, decoded. `limit` bounds it as it comes and as it inflates.
///
/// A body without any length ends where the connection does; there plain HTTP cannot tell a
/// whole body from one that was cut off. TLS can, and does.
pub(super) async fn receive(
    mut body: Incoming,
    coding: Coding,
    limit: usize,
) -> Result<Bytes, SendError> {
    let too_large = SendError::TooLarge { limit };
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced > limit {
        return Err(too_large);
    }
    let mut received = 0_usize;
    let mut decoded = Decoder::new(coding, announced, limit);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| SendError::exchange(&error, Phase::Body))?;
        // Trailers say nothing that is needed here.
        let Ok(piece) = frame.into_data() else { continue };
        received = received.saturating_add(piece.len());
        // A gzip of nothing but empty members is short inflated and endless as it comes.
        if received > limit {
            return Err(too_large);
        }
        decoded.push(&piece)?;
    }
    decoded.finish()
}

enum Decoder {
    Identity(Collected),
    /// A gzip may be several, one after the other (RFC 1952, 2.2).
    Gzip(Box<MultiGzDecoder<Collected>>),
}

impl Decoder {
    fn new(coding: Coding, announced: usize, limit: usize) -> Self {
        match coding {
            Coding::Identity => Self::Identity(Collected::new(announced, limit)),
            Coding::Gzip => Self::Gzip(Box::new(MultiGzDecoder::new(Collected::new(0, limit)))),
        }
    }

    fn push(&mut self, piece: &[u8]) -> Result<(), SendError> {
        match self {
            Self::Identity(collected) => Ok(collected.push(piece)?),
            Self::Gzip(inflater) => inflater.write_all(piece).map_err(|error| inflating(&error)),
        }
    }

    fn finish(self) -> Result<Bytes, SendError> {
        let collected = match self {
            Self::Identity(collected) => collected,
            Self::Gzip(inflater) => inflater.finish().map_err(|error| inflating(&error))?,
        };
        Ok(collected.into_bytes())
    }
}

/// The inflater passes on what its writer says, and has words of its own for gzip that is none.
fn inflating(error: &io::Error) -> SendError {
    match error.get_ref().and_then(|error| error.downcast_ref::<TooLarge>()) {
        Some(too_large) => SendError::from(*too_large),
        None => EncodingError::Damaged.into(),
    }
}

/// Bytes, up to a limit. While they grow they take at most one and a half times the limit.
struct Collected {
    bytes: Vec<u8>,
    limit: usize,
}

#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("longer than {0} bytes")]
struct TooLarge(usize);

impl From<TooLarge> for SendError {
    fn from(TooLarge(limit): TooLarge) -> Self {
        Self::TooLarge { limit }
    }
}

impl Collected {
    /// With room for `expected` bytes: all that will come, or none.
    fn new(expected: usize, limit: usize) -> Self {
        Self { bytes: Vec::with_capacity(expected.min(limit)), limit }
    }

    fn push(&mut self, piece: &[u8]) -> Result<(), TooLarge> {
        let length = self.bytes.len().saturating_add(piece.len());
        if length > self.limit {
            return Err(TooLarge(self.limit));
        }
        if length > self.bytes.capacity() {
            let doubled = length.max(self.bytes.capacity().saturating_mul(2));
            // From half the limit on it is the limit at once: growing in between would hold the
            // old half and nearly all of the new.
            let capacity = if doubled > self.limit / 2 { self.limit } else { doubled };
            self.bytes.reserve_exact(capacity - self.bytes.len());
        }
        self.bytes.extend_from_slice(piece);
        Ok(())
    }

    fn into_bytes(mut self) -> Bytes {
        // What is kept for long must not hold room that is not used.
        self.bytes.shrink_to_fit();
        Bytes::from(self.bytes)
    }
}

impl Write for Collected {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        self.push(piece).map_err(io::Error::other)?;
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
